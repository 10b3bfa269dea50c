"""Cases as a table: a line each, fitted to a terminal or whole."""

from collections.abc import Mapping, Sequence

from rich.cells import cell_len, set_cell_size

from copycatch.decisions.explain import readable_number
from copycatch.desk.overview import Case, is_in_force
from copycatch.safe_text import printable
from copycatch.units import MS_PER_DAY, format_rfc3339, parse_rfc3339

WHY_MIN = 20  # columns; less says nothing
TREND_NARROW = 6
SHORT = {"CRITICAL": "CRIT", "MEDIUM": "MED"}
ID_CHARS_MAX = 40
WHOLE_CHARS_MAX = 400
GAP = "  "
DAYS_PLAIN = 300  # within so many days a time needs no year


def case_lines(
    cases: Sequence[Case], verdicts: Mapping[str, str], now_ms: int, width: int | None
) -> list[str]:
    """A line a case below a line of titles; no lines where there are no cases.

    Parameters
    ----------
    verdicts : mapping of str to str
        By account or campaign id.
    now_ms : int
        When what is in force is asked for.
    width : int or None
        Columns of a terminal: the last cell is shortened to it, or stands on a line of its own. None: whole.
    """
    if not cases:
        return []
    is_whole = width is None
    chars_max = WHOLE_CHARS_MAX if is_whole else ID_CHARS_MAX
    columns = {
        "worst": [case.worst.upper() for case in cases],
        "state": ["open" if case.is_open else "closed" for case in cases],
        "who": [_who(case, chars_max) for case in cases],
        "model": [printable(case.model_id, chars_max) for case in cases],
        "since": [_time(format_rfc3339(case.first_ms), now_ms, is_whole=is_whole) for case in cases],
        "queries": [readable_number(case.queries) for case in cases],
        "trend": [case.trend for case in cases],
        "in force": [_holds(case, now_ms, is_whole=is_whole) for case in cases],
        "verdict": [verdicts.get(case.entity_id, "") for case in cases],
    }
    columns = {title: cells for title, cells in columns.items() if any(cells)}
    whys = [printable(case.first_reason, WHOLE_CHARS_MAX) for case in cases]
    told = ["why", *whys]
    if width is None:
        return [f"{line}{GAP}{why}" for line, why in zip(_laid_out(columns), told, strict=True)]
    gap = GAP
    if _room(columns, width, gap) < WHY_MIN:
        columns, gap = _narrowed(columns), " "
    fixed, room = _laid_out(columns, gap), _room(columns, width, gap)
    if room >= WHY_MIN:
        return [f"{line}{gap}{_shortened(why, room)}" for line, why in zip(fixed, told, strict=True)]
    lines = [fixed[0].rstrip()]
    for line, why in zip(fixed[1:], whys, strict=True):
        lines += [line.rstrip(), GAP + _shortened(why, width - len(GAP))]
    return lines


def _narrowed(columns: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The same in fewer columns: severities as `copycatch top` has them; one model stands in the title."""
    less = dict(columns)
    less["worst"] = [SHORT.get(cell, cell) for cell in less["worst"]]
    if "trend" in less:
        less["trend"] = [cell[-TREND_NARROW:] for cell in less["trend"]]
    models = set(less["model"])
    if len(models) == 1:
        title = f"who, on {models.pop()}"
        del less["model"]
        less = {title if each == "who" else each: cells for each, cells in less.items()}
    return less


def _laid_out(columns: Mapping[str, Sequence[str]], gap: str = GAP) -> list[str]:
    """Titles and cells, each column as wide as its widest cell; numbers to the right."""
    parts = []
    for title, cells in columns.items():
        size = max(cell_len(cell) for cell in (title, *cells))
        if title == "queries":
            parts.append([cell.rjust(size) for cell in (title, *cells)])
        else:
            parts.append([set_cell_size(cell, size) for cell in (title, *cells)])
    return [gap.join(row) for row in zip(*parts, strict=True)]


def _room(columns: Mapping[str, Sequence[str]], width: int, gap: str) -> int:
    """Columns that are left for the last cell."""
    return width - sum(max(map(cell_len, (title, *cells))) + len(gap) for title, cells in columns.items())


def _shortened(text: str, size: int) -> str:
    if cell_len(text) <= size:
        return text
    return set_cell_size(text, max(size - 1, 0)).rstrip() + "…"


def _who(case: Case, chars_max: int) -> str:
    tenant = f" of {printable(case.tenant_id, chars_max)}" if case.tenant_id else ""
    kind = "" if case.kind == "account" else f"{case.kind} "
    return f"{kind}{printable(case.entity_id, chars_max)}{tenant}"


def _time(rfc3339: str, now_ms: int, *, is_whole: bool) -> str:
    """To the minute, UTC; on a terminal without the year where it cannot be mistaken."""
    text = printable(rfc3339[:16]) + "Z"
    is_near = abs(now_ms - parse_rfc3339(rfc3339)) < DAYS_PLAIN * MS_PER_DAY
    return text if is_whole or not is_near else text[5:].replace("T", " ")


def _holds(case: Case, now_ms: int, *, is_whole: bool) -> str:
    row = case.row
    if row is None:
        return "nothing"
    if is_in_force(row, now_ms):
        if not row.expires_at:
            return f"{row.action} until revoked"
        return f"{row.action} until {_time(row.expires_at, now_ms, is_whole=is_whole)}"
    if row.op == "revoke":
        return f"{row.action} revoked"
    return f"{row.action} (shadow)" if row.mode == "shadow" else f"{row.action} ran out"
