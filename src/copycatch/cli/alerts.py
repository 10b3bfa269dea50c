"""`copycatch alerts`: one line an account and a campaign, the worst first."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from copycatch.cli.options import (
    add_source_arguments,
    desk_token,
    kafka_of,
    sources_of,
    tell_faults,
    tell_left_out,
    time_of,
)
from copycatch.records.wire import SEVERITIES
from copycatch.units import format_rfc3339

DESCRIPTION = """\
List who was alerted on: one line an account or campaign and model, the worst first, with the state of its
case, since when, how many queries, how its score went, the restriction that holds now and until when, the
verdict, and what weighs most. Updates and closings of one case are one line.

A terminal gets what fits its width: the last column is shortened, or goes to a line of its own where next to
nothing would be left of it. Pipes and files get whole lines, as does --wide.
"""
EPILOG = """\
examples:
  copycatch replay gateway.jsonl --alerts alerts.jsonl --recommendations recommendations.jsonl
  copycatch alerts alerts.jsonl recommendations.jsonl
  copycatch alerts alerts.jsonl --account acct-7f3a
  copycatch alerts copycatch.alerts copycatch.recommendations --kafka broker:9092 --open
  copycatch alerts --url http://127.0.0.1:9465 --token-file copycatch-state/desk.token
  copycatch run --source - --sink - < gateway.jsonl | copycatch alerts -

exit codes: 0 listed, also where there are none; 1 lines that are neither alerts nor recommendations;
  2 wrong options; 3 a file, a topic or the service cannot be read
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "alerts",
        help="list who was alerted on, one line an account or campaign",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_source_arguments(parser)
    parser.add_argument("--account", metavar="ID", help="only this account or campaign, or those it is in")
    parser.add_argument("--model", metavar="ID", help="only on this model")
    parser.add_argument("--tenant", metavar="ID", help="only of this tenant")
    parser.add_argument("--since", metavar="TIME", help="only what changed at or after this RFC 3339 time")
    parser.add_argument(
        "--severity", choices=SEVERITIES, action="append", default=[], help="only these; may be repeated"
    )
    parser.add_argument("--open", action="store_true", help="only cases that are not closed")
    parser.add_argument("--at", metavar="TIME", help="what is in force at this RFC 3339 time (default: now)")
    parser.add_argument(
        "--verdicts",
        type=Path,
        metavar="FILE",
        help="what `copycatch verdict` noted, a file or topic: beside each, and precision",
    )
    parser.add_argument("--wide", action="store_true", help="whole lines, also on a terminal")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, fold, list; see EPILOG for the exit codes."""
    from copycatch.adapters.clock import SystemClock
    from copycatch.cli.render_cases import case_lines
    from copycatch.desk.overview import cases_of, matching
    from copycatch.desk.reading import read_announced
    from copycatch.desk.verdicts import read_verdicts

    now_ms = time_of("--at", args.at) or SystemClock().now_ms()
    since_ms = time_of("--since", args.since)
    sources = sources_of(args)
    found = read_announced(sources, kafka_of(args), token=desk_token(args, sources))
    verdicts = {} if args.verdicts is None else read_verdicts(args.verdicts, kafka_of(args))
    cases = matching(
        cases_of(found.alerts, found.rows),
        account=args.account,
        model=args.model,
        tenant=args.tenant,
        since_ms=since_ms,
        severities=args.severity,
        only_open=args.open,
    )
    if args.json:
        for case in cases:
            line = _as_json(case, now_ms) | {"verdict": verdicts.get(case.entity_id)}
            print(msgspec.json.encode(line).decode())
    else:
        width = None if args.wide or not sys.stdout.isatty() else os.get_terminal_size().columns
        print("".join(f"{line}\n" for line in case_lines(cases, verdicts, now_ms, width)), end="")
    if not args.json:
        print(_summary(cases, len(found.alerts), now_ms), file=sys.stderr)
        if args.verdicts is not None:
            print(_precision(cases, verdicts), file=sys.stderr)
        if found.n_drills:
            print(f"{found.n_drills} messages of drills are left out", file=sys.stderr)
    tell_left_out(found.n_left_out)
    tell_faults(found.faults, found.n_faults)
    return 1 if found.n_faults else 0


def _as_json(case: Any, now_ms: int) -> dict[str, Any]:
    row = case.in_force(now_ms)
    return {
        "tenant_id": case.tenant_id,
        "entity": {"kind": case.kind, "id": case.entity_id},
        "model_id": case.model_id,
        "worst": case.worst,
        "state": "open" if case.is_open else "closed",
        "first_seen": format_rfc3339(case.first_ms),
        "last_change": format_rfc3339(case.last_ms),
        "queries": case.queries,
        "in_force": None
        if row is None
        else {"action": row.action, "until": row.expires_at, "decision_key": row.decision_key},
        "levels": [{"time": format_rfc3339(ms), "surprise": round(level, 3)} for ms, level in case.levels],
        "first_reason": case.first_reason,
        "uids": case.uids,
    }


def _summary(cases: Sequence[Any], n_alerts: int, now_ms: int) -> str:
    from copycatch.desk.overview import is_restriction

    n_open = sum(case.is_open for case in cases)
    n_held = sum((row := case.in_force(now_ms)) is not None and is_restriction(row) for case in cases)
    return (
        f"{len(cases)} {'case' if len(cases) == 1 else 'cases'} of {n_alerts} alert records: {n_open} open, "
        f"{n_held} restricted now"
    )


def _precision(cases: Sequence[Any], verdicts: dict[str, Any]) -> str:
    """How often it was right, of the cases that somebody judged."""
    from copycatch.settings.verdicts import VERDICTS, precision_of

    said = [verdicts[case.entity_id] for case in cases if case.entity_id in verdicts]
    counts = {verdict: said.count(verdict) for verdict in VERDICTS}
    precision = precision_of(counts)
    share = "no precision yet" if precision is None else f"precision {precision:.0%}"
    parts = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    return f"{share}: {parts}; {len(cases) - len(said)} not judged, which counts neither way"
