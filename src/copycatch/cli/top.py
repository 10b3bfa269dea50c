"""`copycatch top`: cases and the most anomalous accounts in the terminal, as they change."""

import argparse
import os
import re
import select
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from copycatch.cli.options import add_token_argument, desk_token
from copycatch.errors import ConfigError, TransportError

DESCRIPTION = """\
Show who is alerted on now, worst first, and who comes close, in the terminal, as it changes. From a running
service, whose live pages must be on (desk.is_on, or COPYCATCH_DESK__IS_ON=true), or from files of alerts and
recommendations that grow. Wants 60 columns and 12 lines.
"""
EPILOG = """\
keys: q quits; up and down (or k, j) choose a case, Enter shows it in words and Esc goes back; o leaves out
  closed cases; p pauses.

examples:
  copycatch top --token-file copycatch-state/desk.token
  copycatch top alerts.jsonl recommendations.jsonl
  copycatch top alerts.jsonl --once | cat

exit codes: 0 ended by q, or shown once; 2 wrong options; 3 the service cannot be reached, refuses the token,
  or a file cannot be read
"""
URL = "http://127.0.0.1:9465"
EVERY_S = 2.0
ONCE_LINES = 24  # beside the cases, without a terminal that says how many
KEY = re.compile(r"\x1b[\[O][A-Z]|.", re.DOTALL)
ESCAPES = {"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\x1b": "esc"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "top",
        help="watch cases and the most anomalous accounts in the terminal",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources", nargs="*", metavar="FILE", help="alerts and recommendations (default: a running service)"
    )
    parser.add_argument("--url", default=URL, help="where the live pages are (default: %(default)s)")
    add_token_argument(parser)
    parser.add_argument("--once", action="store_true", help="print once and end")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw until q; see EPILOG for the exit codes."""
    from rich.console import Console

    from copycatch.desk.top import View, draw

    read = _reader(args)
    console = Console(highlight=False)
    data = read()
    if args.once or not (sys.stdin.isatty() and console.is_terminal):
        console.print(draw(data, View(), console.width, len(data["cases"]) + ONCE_LINES))
        return 0
    with _keys() as key_within:
        _watch(console, read, data, key_within)
    return 0


def _watch(
    console: Any,
    read: Callable[[], dict[str, Any]],
    data: dict[str, Any],
    key_within: Callable[[float], str | None],
) -> None:
    from rich.live import Live

    from copycatch.adapters.clock import SystemClock
    from copycatch.desk.top import View, draw, shown_cases

    clock, view, note = SystemClock(), View(), ""
    next_s = clock.monotonic_s() + EVERY_S
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            width, height = os.get_terminal_size(sys.stdout.fileno())  # COLUMNS of an outer shell may lie
            console.size = (width, height)
            live.update(draw(data, view, width, height, note), refresh=True)
            key = key_within(max(next_s - clock.monotonic_s(), 0.0))
            if key is not None and not view.press(key, len(shown_cases(data, view))):
                return
            if clock.monotonic_s() >= next_s:
                next_s = clock.monotonic_s() + EVERY_S
                if not view.is_paused:
                    try:
                        data, note = read(), ""
                    except TransportError as error:  # it may come back: what is known stays, and says so
                        note = str(error)
                    view.press("", len(shown_cases(data, view)))


@contextmanager
def _keys() -> Iterator[Callable[[float], str | None]]:
    """Gives a function that waits for a key, at most so many seconds; keys are not echoed meanwhile."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    waiting: deque[str] = deque()  # who types fast, or pastes, sends several keys at once

    def key_within(wait_s: float) -> str | None:
        if not waiting:
            ready, _, _ = select.select([descriptor], [], [], wait_s)
            if not ready:
                return None
            given = os.read(descriptor, 256).decode("utf-8", "replace")
            if not given:
                return "q"  # the terminal has gone
            waiting.extend(KEY.findall(given))
        key = waiting.popleft()
        return ESCAPES.get(key, key)

    try:
        tty.setcbreak(descriptor)
        yield key_within
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _reader(args: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    return _file_reader(args.sources) if args.sources else _service_reader(args.url, desk_token(args))


def _service_reader(url: str, token: str) -> Callable[[], dict[str, Any]]:
    import msgspec

    from copycatch.adapters.desk_client import DeskClient

    client = DeskClient(url, token)

    def read() -> dict[str, Any]:
        data: dict[str, Any] = msgspec.json.decode(client.get("/desk.json").body)
        return data

    return read


def _file_reader(sources: list[str]) -> Callable[[], dict[str, Any]]:
    from copycatch.adapters.clock import SystemClock
    from copycatch.desk.board import Board
    from copycatch.desk.reading import read_announced
    from copycatch.records.columns import Outcomes
    from copycatch.records.policy import Policy
    from copycatch.units import format_rfc3339

    if "-" in sources:
        msg = "-: files are read again as they grow; name files"
        raise ConfigError(msg)
    known: dict[str, Any] = {}

    def sizes() -> tuple[tuple[int, int], ...]:
        try:
            found = [Path(each).stat() for each in sources]
        except OSError as error:
            msg = f"{error.filename}: {error.strerror}"
            raise TransportError(msg) from error
        return tuple((each.st_size, each.st_mtime_ns) for each in found)

    def read() -> dict[str, Any]:
        now = sizes()
        if known.get("sizes") != now:
            announced = read_announced(sources)
            board = Board(Policy())
            board.take(Outcomes(alerts=announced.alerts, recommendations=list(announced.rows.values())))
            cases = board.cases()
            data: Mapping[str, Any] = board.overview(cases)
            known["data"] = {**data, "cases": [board.case(each, {}) for each in cases]}
            known["data"]["about"] |= {
                "records": None,
                "budget": None,
                "mode": announced.alerts[-1].mode if announced.alerts else "no alerts",
                "unjudged": [f"{announced.n_faults} lines cannot be read"] if announced.n_faults else [],
            }
            known["sizes"] = now
        known["data"]["about"]["made"] = format_rfc3339(SystemClock().now_ms())[:19] + "Z"
        return dict(known["data"])

    return read
