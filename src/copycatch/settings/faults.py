"""What is wrong with a file, where, and what would be right."""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from copycatch.errors import ConfigError
from copycatch.safe_text import printable

PathParts = tuple[str | int, ...]
PATH_PARTS_MAX = 10  # a longer path names nothing of ours


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault of a settings file; lines and columns count from 1."""

    file: str
    line: int
    column: int
    path: str  # as `rules[0].severity`; empty for the file as a whole
    message: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: "
        path = f"{self.path}: " if self.path else ""
        remedy = f" ({self.remedy})" if self.remedy else ""
        return f"{where}{path}{self.message}{remedy}"

    def as_dict(self) -> dict[str, str | int]:
        return asdict(self)


class FaultsError(ConfigError):
    """A file that cannot be used, with every fault that was found in it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        assert faults
        self.faults = sorted(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


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


def path_words(path: PathParts) -> str:
    """A path as people write it.

    Examples
    --------
    >>> path_words(("rules", 0, "severity"))
    'rules[0].severity'
    """
    words = ""
    for part in path[:PATH_PARTS_MAX]:
        shown = printable(str(part))
        words += f"[{shown}]" if isinstance(part, int) else f".{shown}" if words else shown
    return words if len(path) <= PATH_PARTS_MAX else words + "..."
