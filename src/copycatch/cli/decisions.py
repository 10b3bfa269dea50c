"""`copycatch decisions`: what is in force, take it back, put something in force by hand."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from copycatch.cli.options import (
    add_kafka_arguments,
    add_token_argument,
    desk_token,
    duration_of,
    kafka_of,
    tell_faults,
    tell_left_out,
    time_of,
)
from copycatch.errors import ConfigError, TransportError
from copycatch.records.wire import ACTIONS, Recommendation
from copycatch.safe_text import printable
from copycatch.units import UnixMs

DESCRIPTION = """\
List what is in force, take a decision back, or put one in force by hand. Sources are files of
recommendations or, with --kafka, their topic; a revision goes to the same place, with who made it and why.

The detector goes on by itself: whom it still finds anomalous gets a new recommendation when that is due.
Give a benign verdict (copycatch verdict), or an entry on the allow-list, to keep it away.
"""
EPILOG = """\
examples:
  copycatch decisions list recommendations.jsonl
  copycatch decisions revoke acct-7f3a copycatch.recommendations --kafka broker:9092 --reason ... --by kim
  copycatch decisions add acct-7f3a rows.jsonl --model fraud --action block --for 4h --reason ... --by kim

exit codes: 0 done; 1 nothing like that is in force, or lines that are no recommendations; 2 wrong options;
  3 a file or topic cannot be read or written
"""
TOPIC = "copycatch.recommendations"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "decisions",
        help="list what is in force, take it back, or add to it by hand",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="verb", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="what is in force")
    listing.add_argument("--restrictions", action="store_true", help="only what takes something away")
    listing.add_argument(
        "--all", action="store_true", help="also what ran out, was revoked or is in shadow mode"
    )
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    listing.add_argument("--at", metavar="TIME", help="at this RFC 3339 time (default: now)")
    revoke = actions.add_parser("revoke", help="take back what is in force for an account or campaign")
    revoke.add_argument("value", metavar="ID", help="account or campaign id, or a decision key")
    add = actions.add_parser("add", help="put an action in force for an account")
    add.add_argument("value", metavar="ID", help="account id, whole")
    add.add_argument("--model", required=True, metavar="ID")
    add.add_argument("--tenant", metavar="ID")
    add.add_argument("--action", required=True, choices=[each for each in ACTIONS if each != "revoke_key"])
    add.add_argument("--for", dest="duration", required=True, metavar="TIME", help="how long: 90m, 4h")
    for each in (revoke, add):
        each.add_argument("--reason", required=True, help="why")
        each.add_argument("--by", required=True, help="who decides")
    for each in (listing, revoke, add):
        each.add_argument(
            "source", nargs="?", default=TOPIC, metavar="SOURCE",
            help="file, or topic with --kafka; list: or the address of live pages",
        )  # fmt: skip
        add_kafka_arguments(each, "SOURCE is a topic")
    add_token_argument(listing)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List or revise; see EPILOG for the exit codes."""
    from copycatch.adapters.clock import SystemClock
    from copycatch.desk.reading import Announced, is_service, read_announced

    kafka, now_ms = kafka_of(args), SystemClock().now_ms()
    if args.verb != "list" and is_service(args.source):
        msg = f"{args.source}: live pages only show; name the topic with --kafka, or the file"
        raise ConfigError(msg)
    token = desk_token(args, [args.source]) if args.verb == "list" else ""
    try:
        found = read_announced([args.source], kafka, token=token)
    except ConfigError:
        if args.verb != "add" or kafka is not None:
            raise
        found = Announced()  # the first decision of a new file
    tell_faults(found.faults, found.n_faults)
    tell_left_out(found.n_left_out)
    if args.verb == "list":
        _list(list(found.rows.values()), args, time_of("--at", args.at) or now_ms)
        return 1 if found.n_faults else 0
    revisions = (
        _revoked(found.rows, args, now_ms) if args.verb == "revoke" else _added(found.rows, args, now_ms)
    )
    if not revisions:
        print(f"{printable(args.value)}: nothing is in force for it", file=sys.stderr)
        return 1
    _write(revisions, args.source, kafka)
    for row in revisions:
        print(f"{row.op} {row.action} {printable(row.decision_key, 200)}, revision {row.revision}")
    return 0


def _list(rows: Sequence[Recommendation], args: argparse.Namespace, now_ms: UnixMs) -> None:
    from copycatch.desk.overview import is_in_force, is_restriction

    shown = [
        row
        for row in sorted(rows, key=lambda row: (-row.action_rank, row.expires_at or "", row.decision_key))
        if (args.all or is_in_force(row, now_ms)) and (not args.restrictions or is_restriction(row))
    ]
    for row in shown:
        if args.json:
            print(msgspec.json.encode(row).decode())
            continue
        until = (
            "until it is revoked" if row.expires_at is None else f"until {printable(row.expires_at[:16])}Z"
        )
        state = "" if is_in_force(row, now_ms) else " (not in force)"
        who = "" if row.decided_by is None else f", by {printable(row.decided_by)}"
        tenant = f" of {printable(row.tenant_id, 40)}" if row.tenant_id else ""
        scope = "" if row.scope == "account" else f"{row.scope} "
        print(
            f"{row.action:13} {scope}{printable(row.value, 60)}{tenant} on {printable(row.model_id, 60)} "
            f"{until}{state}{who}"
        )
    if not args.json:
        n = sum(is_restriction(row) for row in shown)
        print(f"{len(shown)} decisions, {n} of them restrictions", file=sys.stderr)


def _person(args: argparse.Namespace) -> Any:
    from copycatch.desk.decisions import Person
    from copycatch.desk.policy_changes import require_said

    require_said("--reason", args.reason)
    require_said("--by", args.by)
    return Person(args.by, args.reason)


def _revoked(
    rows: dict[str, Recommendation], args: argparse.Namespace, now_ms: UnixMs
) -> list[Recommendation]:
    from copycatch.desk.decisions import revoked

    person = _person(args)
    return [
        revoked(row, person, now_ms)
        for row in rows.values()
        if args.value in {row.value, row.decision_key} and row.op == "upsert"
    ]


def _added(rows: dict[str, Recommendation], args: argparse.Namespace, now_ms: UnixMs) -> list[Recommendation]:
    from copycatch.decisions.recommend import decision_key_of
    from copycatch.desk.decisions import added

    ttl_s = duration_of("--for", args.duration)
    key = (args.tenant, args.value, args.model)
    return [added(key, args.action, ttl_s, _person(args), now_ms, rows.get(decision_key_of(key)))]


def _write(revisions: list[Recommendation], target: str, kafka: Any) -> None:
    from copycatch.adapters.kafka.publish import publish
    from copycatch.adapters.messages import NATIVE, messages_of
    from copycatch.adapters.outputs import OutputFile
    from copycatch.records.columns import Outcomes

    messages = [each.message for each in messages_of(Outcomes(recommendations=revisions), NATIVE, 0)]
    if kafka is not None:
        publish(kafka, target, messages)
        return
    if target == "-":
        msg = "-: standard input cannot be written to; name the file"
        raise TransportError(msg)
    output = OutputFile(target, "append")
    try:
        output.begin()
        output.write(b"".join(m.value + b"\n" for m in messages if m.value is not None))
    finally:
        output.close()
