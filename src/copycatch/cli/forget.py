"""`copycatch forget`: delete an account's data, in a running service and in its topics."""

import argparse
import sys
from typing import TYPE_CHECKING

from copycatch.cli.options import duration_of
from copycatch.cli.serving import add_settings_argument
from copycatch.errors import ConfigError
from copycatch.safe_text import printable

if TYPE_CHECKING:
    from copycatch.service.erasure import Erasures, Request
    from copycatch.settings.service import Service

DESCRIPTION = """\
Delete what is kept of an account: memory, snapshots and journals of every worker and of the learner, its
place in campaigns, and its rows on the recommendations topic (by tombstones).

The request is a file in the state folder (snapshots.directory), so run this where that folder is: in a pod
of the service, as its user. Workers do it between two batches, or when they start; this command waits until
all have. Ask when the account's last record was judged: one that comes later makes it known again.
"""
EPILOG = """\
What it cannot delete ends by retention, or by your own means: records in the input topic, dead letters,
alerts, acks, messages between workers and learner, and what a SIEM or an evidence pack holds. What was
learned of many accounts together (what is usual, how words are spread) stays; it names nobody.

exit codes: 0 deleted; 1 not everywhere in time (it is still done when the worker comes back); 2 wrong
options or settings; 3 the broker or the folder cannot be used
"""
WAIT = "5m"
LOOK_EVERY_S = 0.3


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "forget",
        help="delete an account's data",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("account", metavar="ACCOUNT", help="its id, whole")
    parser.add_argument("--tenant", metavar="ID", help="of the account, where the log names one")
    parser.add_argument("--reason", required=True, help="why, for the audit")
    parser.add_argument("--by", required=True, help="who asks for it")
    parser.add_argument("--wait", default=WAIT, metavar="TIME", help=f"for the workers (default: {WAIT})")
    add_settings_argument(parser, "those of the service")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask, wait, and clear the topic; see EPILOG for the exit codes."""
    from copycatch.desk.policy_changes import require_said
    from copycatch.settings.service import load_service

    require_said("--reason", args.reason)
    require_said("--by", args.by)
    wait_s = duration_of("--wait", args.wait)
    settings = load_service(args.settings)
    asked = _ask(args, settings)
    left = _wait(asked, wait_s)
    n_rows = _clear_rows(args, settings)
    print(f"recommendations: {n_rows} rows of the account replaced by tombstones")
    for text in left:
        print(text, file=sys.stderr)
    if not left:
        print(f"{printable(args.account)}: deleted; what only retention ends: see copycatch forget --help")
    return 1 if left else 0


def _ask(args: argparse.Namespace, settings: "Service") -> "list[tuple[Erasures, Request]]":
    import uuid

    from copycatch.adapters.clock import SystemClock
    from copycatch.intake.accounts import canonical_account
    from copycatch.service.bootstrap import as_learner
    from copycatch.service.erasure import Request, make_erasures
    from copycatch.units import format_rfc3339

    clock = SystemClock()
    request = Request(
        id=uuid.uuid4().hex[:16],
        account_id=canonical_account(args.account),
        tenant_id=args.tenant,
        by=args.by,
        reason=args.reason,
        time=format_rfc3339(clock.now_ms()),
    )
    asked = []
    for role in [settings, *([as_learner(settings)] if settings.learner.inputs is not None else [])]:
        erasures = make_erasures(role, clock, b"")
        if erasures is None:
            msg = (
                f"snapshots.directory: {settings.snapshots.directory} is a URL, where no request can be "
                "put; stop the service, remove the snapshots of its group there, and start it: a cold start"
            )
            raise ConfigError(msg)
        erasures.ask(request)
        asked.append((erasures, request))
    return asked


def _wait(asked: "list[tuple[Erasures, Request]]", wait_s: float) -> list[str]:
    """Until it is done everywhere; says what is left."""
    from copycatch.adapters.clock import SystemClock

    clock = SystemClock()
    until_s = clock.monotonic_s() + wait_s
    while any(erasures.is_open(request) for erasures, request in asked) and clock.monotonic_s() < until_s:
        clock.sleep(LOOK_EVERY_S)
    left = []
    for erasures, request in asked:
        if erasures.is_open(request):
            shards = ", ".join(printable(shard, 200) for shard in erasures.waits_for(request))
            left.append(
                f"not done: {shards or 'all'}; it is done as soon as a worker has these, at its next turn; "
                "a topic that is not read any more leaves a folder of snapshots, to be removed by hand"
            )
    return left


def _clear_rows(args: argparse.Namespace, settings: "Service") -> int:
    """Tombstones for what is left of the account on the compacted topic; gives how many."""
    from copycatch.adapters.clock import SystemClock
    from copycatch.adapters.kafka.publish import publish
    from copycatch.desk.reading import read_announced
    from copycatch.intake.accounts import canonical_account
    from copycatch.ports import Message

    topic, account = settings.outputs.recommendations, canonical_account(args.account)
    found = read_announced([topic], settings.kafka).rows
    keys = [
        row.decision_key
        for row in found.values()
        if row.scope == "account" and row.value == account and row.tenant_id == args.tenant
    ]
    now_ms = SystemClock().now_ms()
    publish(
        settings.kafka,
        topic,
        [Message(key.encode("utf-8", "backslashreplace"), None, now_ms) for key in keys],
    )
    n_campaigns = sum(account in row.accounts for row in found.values())
    if n_campaigns:
        print(
            f"recommendations: {n_campaigns} rows of campaigns named it; those in force are written again "
            "without it at the next search for campaigns",
            file=sys.stderr,
        )
    return len(keys)
