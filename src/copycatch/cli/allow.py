"""`copycatch allow`: exempt an account for a while, in the policy file, with its comments kept."""

import argparse
import sys
from pathlib import Path

from copycatch.cli.options import duration_of
from copycatch.safe_text import printable
from copycatch.units import MS_PER_S, UnixMs, format_rfc3339

DESCRIPTION = """\
Add to the allow-list of a policy file, or list it. The file is checked before and after; nothing else in it
changes, comments neither. A running service takes the file by itself, and releases the account at once.
"""
EPILOG = """\
examples:
  copycatch allow add nightly-eval --policy policy.yaml --for 30d --reason "regression suite" --owner ml@acme
  copycatch allow add acct-7 --tenant acme --model fraud --policy policy.yaml --for 7d ...
  copycatch allow list --policy policy.yaml

exit codes: 0 done; 2 wrong options, or the policy is or would be wrong; 3 the file cannot be written
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "allow",
        help="exempt an account for a while, in the policy file",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="exempt an account")
    add.add_argument("account", metavar="ID", help="account or campaign id, whole")
    add.add_argument("--tenant", metavar="ID", help="its tenant, where the log names one")
    add.add_argument("--model", metavar="ID", help="only on this model")
    add.add_argument("--for", dest="duration", required=True, metavar="TIME", help="how long: 12h, 30d")
    add.add_argument("--reason", required=True, help="why this is expected")
    add.add_argument("--owner", required=True, help="who answers for it")
    add.add_argument("--dry-run", action="store_true", help="show the change, write nothing")
    listing = actions.add_parser("list", help="who is exempt, and until when")
    for each in (add, listing):
        each.add_argument("--policy", type=Path, required=True, metavar="FILE", help="the policy file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Add or list; see EPILOG for the exit codes."""
    from copycatch.adapters.clock import SystemClock

    now_ms = SystemClock().now_ms()
    return _list(args.policy, now_ms) if args.action == "list" else _add(args, now_ms)


def expiry_after(option: str, duration: str, now_ms: UnixMs) -> str:
    """RFC 3339 time that lies so far ahead, to the second.

    Raises
    ------
    ConfigError
        If it is no duration.
    """
    ms = now_ms + round(duration_of(option, duration) * MS_PER_S)
    return format_rfc3339(ms - ms % MS_PER_S)


def _add(args: argparse.Namespace, now_ms: UnixMs) -> int:
    from copycatch.desk.policy_changes import entry_of, with_entry, write_policy

    match = {"account_id": args.account, "tenant_id": args.tenant, "model_id": args.model}
    expires = expiry_after("--for", args.duration, now_ms)
    policy, text, diff = with_entry(args.policy, "allow", entry_of(match, args.reason, args.owner, expires))
    print(diff, end="")
    if args.dry_run:
        print(f"{args.policy}: not written (--dry-run)", file=sys.stderr)
        return 0
    write_policy(args.policy, text)
    print(f"{args.policy}: written, version {policy.content_version}", file=sys.stderr)
    return 0


def _list(path: Path, now_ms: UnixMs) -> int:
    from copycatch.features.catalog import NAMES
    from copycatch.settings.policy import load_policy

    for entry in load_policy(path, NAMES).allow:
        parts = (
            ("account", entry.match.account_id),
            ("tenant", entry.match.tenant_id),
            ("model", entry.match.model_id),
        )
        who = ", ".join(f"{kind} {printable(value)}" for kind, value in parts if value is not None)
        if entry.expires_ms is None:
            until = "never ends"
        else:
            state = "EXPIRED" if entry.expires_ms <= now_ms else "until"
            until = f"{state} {format_rfc3339(entry.expires_ms)[:16]}Z"
        worse = "" if entry.unless_below is None else f", unless below {entry.unless_below:.2g}"
        print(f"{who}: {until}{worse} ({printable(entry.reason, 200)}, {printable(entry.owner)})")
    return 0
