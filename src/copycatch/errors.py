"""What can go wrong for good reason; each message names file, field and remedy."""

import difflib
from collections.abc import Collection


class CopycatchError(Exception):
    """Any error that copycatch raises on purpose."""


class ConfigError(CopycatchError):
    """A policy or settings file, or an option, that cannot be used."""


class StateError(CopycatchError):
    """A snapshot that is corrupt, foreign or of another version."""


class TransportError(CopycatchError):
    """A source or a sink failed for good: wrong topic, refused authorisation."""


class RecoverableError(TransportError):
    """A source or a sink failed and may work again: the runner retries with back-off."""


class FencedError(TransportError):
    """It is open whether a unit of effects happened, or another worker owns the shard: rebuild the state."""


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that was probably meant.

    Examples
    --------
    >>> nearest("querys_min", ["queries_min", "name"]), nearest("zzz", ["queries_min"])
    ('queries_min', None)
    """
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    if matches:
        return matches[0]
    # A unit or a prefix left out ("short_s" for "short", "budget" for "budget_alerts") is further in letters.
    inside = [k for k in known if min(len(k), len(name)) >= 3 and (k in name or name in k)]
    return min(inside, key=len) if inside else None


def unknown_remedy(name: str, known: Collection[str]) -> str:
    """What to write instead of an unknown name.

    Examples
    --------
    >>> unknown_remedy("severty", ["severity"]), unknown_remedy("x", ["b", "a"])
    ('did you mean severity?', 'known: a, b')
    """
    near = nearest(name, known)
    if near is not None:
        return f"did you mean {near}?"
    return "known: " + ", ".join(sorted(known)[:40]) if known else "nothing is known here"
