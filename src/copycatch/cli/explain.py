"""`copycatch explain`: an alert in plain words, for whoever has to act on it."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from copycatch.cli.render_alert import alert_text
from copycatch.records.wire import Alert, Recommendation

DESCRIPTION = """\
Tell in plain words what an alert says: who and what was seen, what would be normal, which feature carries
how much of the score, what is recommended and what that does, what to check before acting, and how to
put the account on the allow-list if it is legitimate.

ALERT is a file with native alerts, one JSON object a line (a single pretty-printed one will do, too), or
- for standard input. Without --uid every alert of the file is shown, newest state of each only.

  copycatch explain alerts.jsonl --uid 3f2a            (the first characters of a uid are enough)
  kafka-console-consumer ... | copycatch explain - --last 1

exit codes: 0 shown; 1 no such alert, or lines that are no alerts; 2 the file cannot be read, or wrong usage
"""

LINE_BYTES_MAX = 4 << 20


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "explain",
        help="tell an alert in plain words: what was seen, what is normal, what to do",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "alert", metavar="ALERT", help="file of native alerts (.json or .jsonl), or - for stdin"
    )
    parser.add_argument("--uid", help="only this alert; the first characters are enough")
    parser.add_argument("--last", type=int, metavar="N", help="only the newest N alerts")
    parser.add_argument(
        "--recommendations",
        type=Path,
        metavar="FILE",
        help="file of recommendations: tells what is in force now, with its parameters",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, choose, tell; see DESCRIPTION for the exit codes."""
    if args.last is not None and args.last < 1:
        print("--last: at least 1", file=sys.stderr)
        return 2
    faults: list[str] = []
    try:
        alerts = _newest(_alerts(args.alert, faults))
        recommendations = _recommendations(args.recommendations, faults)
    except OSError as error:
        print(f"{error.filename or args.alert}: cannot be read: {error.strerror or error}", file=sys.stderr)
        return 2
    for fault in faults[:20]:
        print(fault, file=sys.stderr)
    if args.uid:
        alerts = [alert for alert in alerts if alert.uid.startswith(args.uid)]
    if args.last:
        alerts = sorted(alerts, key=lambda alert: alert.time)[-args.last :]
    if not alerts:
        wanted = f"with uid {args.uid!r} " if args.uid else ""
        print(
            f"{args.alert}: no alert {wanted}found; native alerts carry uid, entity and reasons",
            file=sys.stderr,
        )
        return 1
    is_tty = sys.stdout.isatty()
    texts = (alert_text(a, recommendations.get(a.recommendation or ""), is_tty) for a in alerts)
    print("\n\n".join(texts))
    return 1 if faults else 0


def _newest(alerts: Iterator[Alert]) -> list[Alert]:
    """The last state of each uid, in the order of their last change."""
    alert_by_uid: dict[str, Alert] = {}
    for alert in alerts:
        alert_by_uid.pop(alert.uid, None)
        alert_by_uid[alert.uid] = alert
    return list(alert_by_uid.values())


def _alerts(name: str, faults: list[str]) -> Iterator[Alert]:
    decoder = msgspec.json.Decoder(Alert)
    for line_number, line in _lines(name):
        try:
            yield decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            faults.append(f"{name}:{line_number}: not a native alert: {error}")


def _recommendations(path: Path | None, faults: list[str]) -> dict[str, Recommendation]:
    """What is in force per decision key: the row with the highest epoch and revision."""
    rows: dict[str, Recommendation] = {}
    if path is None:
        return rows
    decoder = msgspec.json.Decoder(Recommendation)
    for line_number, line in _lines(str(path)):
        try:
            row = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            faults.append(f"{path}:{line_number}: not a recommendation: {error}")
            continue
        known = rows.get(row.decision_key)
        if known is None or (row.epoch, row.revision) >= (known.epoch, known.revision):
            rows[row.decision_key] = row
    return rows


def _lines(name: str) -> Iterator[tuple[int, bytes]]:
    """Lines of JSON; a file that is one pretty-printed object counts as one line."""
    if name == "-":
        yield from _split(sys.stdin.buffer)
        return
    with Path(name).open("rb") as file:
        yield from _split(file)


def _split(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    first = file.readline(LINE_BYTES_MAX)
    if first.strip() == b"{":
        yield 1, first + file.read(LINE_BYTES_MAX)
        return
    line, line_number = first, 1
    while line:
        if line.strip():
            yield line_number, line
        line, line_number = file.readline(LINE_BYTES_MAX), line_number + 1
