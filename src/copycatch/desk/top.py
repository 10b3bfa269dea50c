"""The desk in a terminal: what `copycatch top` draws, from the data of the live pages or from files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from copycatch.desk.overview import LEVEL_MAX, SPARKS
from copycatch.records.wire import SEVERITIES
from copycatch.safe_text import printable
from copycatch.units import MS_PER_DAY, MS_PER_HOUR, MS_PER_S

STYLES: Final = {"low": "dim", "medium": "yellow", "high": "dark_orange", "critical": "bold red"}
LETTERS: Final = {"low": "low", "medium": "med", "high": "high", "critical": "CRIT"}
KEYS: Final = "q quit  ↑↓ choose  ⏎ details  o open only  p pause"
TREND_COLUMNS_MIN: Final = 76  # of the terminal, from which there is room for how scores went
REASON_COLUMNS_MIN: Final = 110
ID_CHARS_MIN: Final = 8
SPARKS_SHOWN: Final = 10
MINUTE_MS: Final = 60 * MS_PER_S
OTHERS_SHARE: Final = 3  # of the lines: one in so many for accounts without an alert


@dataclass(slots=True)
class View:
    """What the person has chosen."""

    at: int = 0  # line of the cases
    is_open_only: bool = False
    is_paused: bool = False
    is_detailed: bool = False

    def press(self, key: str, n_cases: int) -> bool:
        """Take a key; False when it says to end.

        Examples
        --------
        >>> view = View()
        >>> view.press("down", 3), view.at, view.press("q", 3)
        (True, 1, False)
        """
        if key in ("q", "\x03", "\x04"):
            return False
        if key in ("up", "k"):
            self.at -= 1
        elif key in ("down", "j"):
            self.at += 1
        elif key in ("enter", "\r", "\n"):
            self.is_detailed = not self.is_detailed
        elif key == "esc":
            self.is_detailed = False
        elif key == "o":
            self.is_open_only = not self.is_open_only
        elif key == "p":
            self.is_paused = not self.is_paused
        self.at = max(0, min(self.at, n_cases - 1))
        return True


def shown_cases(data: Mapping[str, Any], view: View) -> list[dict[str, Any]]:
    """The cases that the view lists, the worst first."""
    return [case for case in data["cases"] if case["is_open"] or not view.is_open_only]


def middle(text: str, n: int) -> str:
    """Text in at most n characters, the middle left out: ids tell themselves apart at their ends.

    Examples
    --------
    >>> middle("acct-l00161", 8), middle("short", 8)
    ('acc…0161', 'short')
    """
    text = printable(text, 200)
    if len(text) <= n:
        return text
    head = (n - 1) // 2
    return f"{text[:head]}…{text[len(text) - (n - 1 - head) :]}"


def age(ms: int) -> str:
    """A length of time in at most four characters.

    Examples
    --------
    >>> age(90_000), age(7_200_000), age(400_000_000)
    ('1m', '2h', '4d')
    """
    ms = max(ms, 0)
    if ms < MS_PER_HOUR:
        return f"{ms // MINUTE_MS}m"
    return f"{ms // MS_PER_HOUR}h" if ms < 2 * MS_PER_DAY else f"{min(ms // MS_PER_DAY, 999)}d"


def draw(data: Mapping[str, Any], view: View, columns: int, lines: int, note: str = "") -> RenderableType:
    """Everything, in at most `lines` lines of `columns` columns.

    Parameters
    ----------
    data : mapping
        As the live pages get it.
    note : str
        What is wrong with the data, such as that the service cannot be reached.
    """
    head = _head(data, columns, note, is_paused=view.is_paused)
    rest = max(lines - len(head) - 1, 3)
    cases = shown_cases(data, view)
    if view.is_detailed and cases:
        body: list[RenderableType] = [_details(cases[view.at], columns, rest)]
    else:
        others = _others(data, cases)
        n_others = min(len(others), max(rest // OTHERS_SHARE - 2, 0))
        n_cases = rest - (n_others + 2 if n_others else 0) - 1
        body = [_table_of_cases(data, cases, view, columns, n_cases)]
        if n_others:
            body += [
                Text("without an alert, most anomalous first", "dim"),
                _table_of_others(others[:n_others], columns),
            ]
    foot = Text(
        KEYS if columns >= len(KEYS) else "q quit  ↑↓  ⏎ details  o open  p pause", "dim", no_wrap=True
    )
    return Group(*head, *body, foot)


def _head(data: Mapping[str, Any], columns: int, note: str, *, is_paused: bool) -> list[Text]:
    about = data["about"]
    n_open = sum(case["is_open"] for case in data["cases"])
    first = f"copycatch  {about['made'][:19]}{'  PAUSED' if is_paused else ''}"
    mode = about["mode"] + ("" if about["budget"] is None else f", budget {about['budget']:g}")
    lines = [
        _spread(first, mode, columns),
        _spread(f"{len(data['cases'])} cases, {n_open} open", _numbers(about), columns),
    ]
    told = [note] if note else []
    told += about["unjudged"][: 1 if columns < TREND_COLUMNS_MIN else 2]
    lines += [Text(printable(" ".join(each.split()), columns), "bold red", no_wrap=True) for each in told]
    return lines


def _numbers(about: Mapping[str, Any]) -> str:
    parts = []
    if about.get("records") is not None:
        parts.append(f"{about['records']:,} records")
    status = about.get("status")
    if status is not None:
        parts.append(f"lag {status['lag_records']:,}")
        if not status["is_ready"]:
            parts.append("NOT READY")
        if status["warming_up"]:
            parts.append(f"{len(status['warming_up'])} warming up")
    return ", ".join(parts)


def _spread(left: str, right: str, columns: int) -> Text:
    """Both ends of one line; the right one goes where there is no room for both."""
    left = left[:columns]
    if len(left) + len(right) + 2 > columns:
        right = right[: max(columns - len(left) - 2, 0)]
    return Text(left + " " * max(columns - len(left) - len(right), 0) + right, "bold", no_wrap=True)


def _table(columns: int, heads: Sequence[tuple[str, int, bool]]) -> Table:
    table = Table(
        box=None, padding=(0, 1, 0, 0), expand=False, header_style="dim", show_edge=False, width=columns
    )
    for name, width, is_number in heads:
        table.add_column(
            name, width=width, justify="right" if is_number else "left", no_wrap=True, overflow="crop"
        )
    return table


def _table_of_cases(
    data: Mapping[str, Any], cases: Sequence[dict[str, Any]], view: View, columns: int, n: int
) -> RenderableType:
    if not cases:
        return Text("nobody was alerted on", "dim")
    fixed = [
        ("", 4, False),
        ("who", 0, False),
        ("model", 10, False),
        ("asked", 7, True),
        ("age", 4, True),
        ("now", 13, False),
    ]
    if columns >= TREND_COLUMNS_MIN:
        fixed.append(("trend", SPARKS_SHOWN, False))
    if columns >= REASON_COLUMNS_MIN:
        fixed.append(("mostly", 24, False))
    room = columns - sum(width for _, width, _ in fixed) - len(fixed)
    table = _table(columns, [(name, width or max(room, ID_CHARS_MIN), right) for name, width, right in fixed])
    first = max(0, min(view.at - n // 2, len(cases) - n))
    now_ms = max([case["last_ms"] for case in data["cases"]] + [each["last_ms"] for each in data["accounts"]])
    for at, case in list(enumerate(cases))[first : first + n]:
        who = case["id"] if case["kind"] == "account" else f"{case['members_total']} as one: {case['id']}"
        cells = [
            Text(LETTERS[case["worst"]], STYLES[case["worst"]]),
            Text(middle(who, max(room, ID_CHARS_MIN))),
            Text(middle(case["model"], 10)),
            Text(f"{case['queries']:,}"[:7]),
            Text(age(now_ms - case["last_ms"])),
            Text(_state(case)),
        ]
        if columns >= TREND_COLUMNS_MIN:
            cells.append(Text(_trend(case)))
        if columns >= REASON_COLUMNS_MIN:
            cells.append(Text(printable(case["reasons"][0]["feature"] if case["reasons"] else "", 24)))
        table.add_row(*cells, style="reverse" if at == view.at else None)
    return table


def _state(case: Mapping[str, Any]) -> str:
    """What was recommended, in at most 13 characters."""
    if not case["is_open"]:
        return "closed"
    action = case["action"] or "nothing"
    return f"({action})"[:13] if case["is_shadow"] else action


def _trend(case: Mapping[str, Any]) -> str:
    """How its score went: of evaluations, or of alerts where files hold no evaluations."""
    top = len(SPARKS) - 1
    levels = [-math.log10(max(tail, 1e-12)) for _, _, tail in case["points"]] or case["levels"]
    marks = [min(max(level, 0.0), LEVEL_MAX) / LEVEL_MAX for level in levels[-SPARKS_SHOWN:]]
    return "".join(SPARKS[round(top * mark)] for mark in marks)


def _others(data: Mapping[str, Any], cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Accounts with a score and no case, the most anomalous first."""
    named = {name for case in data["cases"] for name in (case["id"], *case["members"])}
    quiet = [account for account in data["accounts"] if account["id"] not in named]
    return sorted(quiet, key=lambda account: account["tail"])


def _table_of_others(others: Sequence[Mapping[str, Any]], columns: int) -> Table:
    fixed = [
        ("who", 0, False),
        ("model", 10, False),
        ("asked", 7, True),
        ("chance a day", 12, True),
        ("budget", 7, True),
    ]
    room = max(columns - sum(width for _, width, _ in fixed) - len(fixed), ID_CHARS_MIN)
    table = _table(columns, [(name, width or room, right) for name, width, right in fixed])
    for account in others:
        chance = f"1 in {1 / max(account['tail'], 1e-7):,.0f}"
        table.add_row(
            *(
                Text(cell)
                for cell in (
                    middle(account["id"], room),
                    middle(account["model"], 10),
                    f"{account['queries']:,}"[:7],
                    chance[:12],
                    f"{account['budget']:.2g}",
                )
            )
        )
    return table


def _details(case: Mapping[str, Any], columns: int, n: int) -> RenderableType:
    """One case in words, as many lines as there are."""
    until = f" until {case['until'][:16]}Z" if case["until"] else ""
    text = Text()
    text.append(f"{case['worst']} ", STYLES[case["worst"]] if case["worst"] in SEVERITIES else "")
    text.append(f"{case['kind']} {printable(case['id'], 80)} on {printable(case['model'], 60)}\n", "bold")
    text.append(f"{_state(case)}{until}   {case['queries']:,} queries\n\n")
    text.append(printable(" ".join(case["description"].split()), 2_000) + "\n")
    for reason in case["reasons"]:
        text.append(f"\n{reason['share']:.0%} {printable(reason['feature'], 40)}: ", "bold")
        text.append(f"{printable(reason['value'], 20)}, usual {printable(reason['usual'], 40)}")
    if case["members_total"] > 1:
        text.append(f"\n\n{case['members_total']} accounts: " + printable(", ".join(case["members"]), 1_000))
    wrapped = text.wrap(Console(width=columns), columns)
    kept = wrapped[: max(n - 1, 1)]
    return Text("\n").join(kept)
