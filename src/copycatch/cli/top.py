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
TOKEN_VARIABLE = "COPYCATCH_DESK__TOKEN"  # noqa: S105, its name
EVERY_S = 2.0
TIMEOUT_S = 10.0
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
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"holds their token (default: {TOKEN_VARIABLE})"
    )
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
    return _file_reader(args.sources) if args.sources else _service_reader(args.url, _token(args))


def _token(args: argparse.Namespace) -> str:
    from copycatch.secret_files import read_secret

    found = read_secret(None, args.token_file, "--token-file")
    token = found.decode("utf-8", "replace") if found is not None else os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        msg = (
            f"the token of the live pages is missing: name its file with --token-file (the service keeps it "
            f"as desk.token in its state folder) or set {TOKEN_VARIABLE}; or name files of alerts"
        )
        raise ConfigError(msg)
    return token


def _service_reader(url: str, token: str) -> Callable[[], dict[str, Any]]:
    import msgspec
    import urllib3

    pool = urllib3.PoolManager(num_pools=1, timeout=TIMEOUT_S, retries=False)
    address = f"{url.rstrip('/')}/desk.json"

    def read() -> dict[str, Any]:
        try:
            answer = pool.request(
                "GET", address, headers={"Authorization": f"Bearer {token}"}, redirect=False
            )
        except urllib3.exceptions.LocationParseError as error:
            msg = f"--url {url}: is no address"
            raise ConfigError(msg) from error
        except urllib3.exceptions.HTTPError as error:
            msg = f"{address}: no answer; does the service run, with desk.is_on?"
            raise TransportError(msg) from error
        if answer.status != 200:
            remedy = "the token is another one" if answer.status == 401 else "is that the port of the desk?"
            msg = f"{address}: answered {answer.status}; {remedy}"
            raise TransportError(msg)
        data: dict[str, Any] = msgspec.json.decode(answer.data)
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
