"""What is wrong with a file, where, and what would be right."""

from collections.abc import Sequence
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


def path_text(path: PathParts) -> str:
    """A path as people write it.

    Examples
    --------
    >>> path_text(("rules", 0, "severity"))
    'rules[0].severity'
    """
    text = ""
    for part in path[:PATH_PARTS_MAX]:
        shown = printable(str(part))
        text += f"[{shown}]" if isinstance(part, int) else f".{shown}" if text else shown
    return text if len(path) <= PATH_PARTS_MAX else text + "..."
