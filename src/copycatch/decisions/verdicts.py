"""What verdicts may do: entries of `allow` and `attacks` that follow from one are bounded in number and time.

Whoever may give verdicts, an insider or a stolen token, must not be able to blind the detector by calling
everybody benign, nor starve it by calling everybody an attack. Entries that say when a verdict gave them are
counted; those beyond the bounds do not hold, and this is said. Entries without are the policy's own.
"""

from collections.abc import Sequence
from typing import TypeVar

from copycatch.records.policy import Allow, Judged
from copycatch.units import MS_PER_DAY

VERDICTS_A_DAY_MAX = 20
VERDICTS_MAX = 100  # in force at a time
BENIGN_MS_MAX = 31 * MS_PER_DAY
WORSE_FACTOR = 10.0
UNLESS_BELOW_MIN, UNLESS_BELOW_MAX = 1e-12, 0.999  # the least where a score is off: it never speaks

Entry = TypeVar("Entry", bound=Judged)


def held(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Those that hold, in their order, and those beyond what verdicts may do.

    Parameters
    ----------
    entries : sequence of Allow or KnownAttack
        In the order of the file. Of several verdicts the earlier hold.

    Examples
    --------
    >>> from copycatch.records.policy import Match
    >>> def entry(day):
    ...     return Allow(match=Match(account_id=f"a{day}"), reason="r", owner="o", given_ms=0,
    ...                  unless_below=1e-6, expires_ms=day * MS_PER_DAY)
    >>> [len(each) for each in held([entry(30)] * 25 + [entry(90)])]
    [20, 6]
    """
    given = sorted((e.given_ms, place) for place, e in enumerate(entries) if e.given_ms is not None)
    kept: list[Entry] = []
    beyond: set[int] = set()
    for time_ms, place in given:
        entry = entries[place]
        n_today = sum(each.given_ms is not None and each.given_ms > time_ms - MS_PER_DAY for each in kept)
        n_in_force = sum(each.expires_ms is None or each.expires_ms > time_ms for each in kept)
        if n_today < VERDICTS_A_DAY_MAX and n_in_force < VERDICTS_MAX and _is_within(entry, time_ms):
            kept.append(entry)
        else:
            beyond.add(place)
    return (
        [entry for place, entry in enumerate(entries) if place not in beyond],
        [entries[place] for place in sorted(beyond)],
    )


def unless_below(tail_prob: float | None, alert_threshold: float) -> float:
    """Below which chance a benign account speaks again: ten times rarer; of a limit, where alerts begin.

    Examples
    --------
    >>> unless_below(0.5, 0.002), unless_below(None, 0.002)
    (0.05, 0.002)
    """
    chance = tail_prob / WORSE_FACTOR if tail_prob else alert_threshold
    return min(max(chance, UNLESS_BELOW_MIN), UNLESS_BELOW_MAX)


def _is_within(entry: Judged, given_ms: int) -> bool:
    """Benign means quiet at that deviation for a month; more is for the policy's own entries."""
    if not isinstance(entry, Allow):
        return True
    ends = entry.expires_ms is not None and entry.expires_ms - given_ms <= BENIGN_MS_MAX
    return ends and entry.unless_below is not None and entry.match.account_id is not None
