"""`copycatch check`: read a policy and say all that is wrong with it, or what it means."""

import argparse
import sys
from pathlib import Path

import msgspec

from copycatch.adapters.clock import SystemClock
from copycatch.cli.policy_words import policy_notes, policy_words
from copycatch.errors import ConfigError
from copycatch.features.catalog import NAMES
from copycatch.records.policy import Policy
from copycatch.settings.faults import Fault
from copycatch.settings.load import read_file
from copycatch.settings.policy import check_policy
from copycatch.units import parse_rfc3339

DESCRIPTION = """\
Check a policy before the service reads it. Every fault is printed at once, one a line:

  policy.yaml:8:5: rules[0].querys_min: unknown key 'querys_min' (did you mean queries_min?)

A good policy is told in words: what alerts, what is recommended, who is exempt and until when, and its
version (the content hash that goes on every alert).

exit codes: 0 good; 1 faults found; 2 the file cannot be read, or wrong usage
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "check",
        help="check a policy file: all faults at once, or what it means in words",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("policy", type=Path, nargs="+", metavar="POLICY", help="policy file(s) to check")
    parser.add_argument("--json", action="store_true", help="one JSON object per file, for editors and CI")
    parser.add_argument("--quiet", action="store_true", help="print faults only")
    parser.add_argument(
        "--at", metavar="TIME", help="RFC 3339 time for what has expired or is about to (default: now)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check each file; see DESCRIPTION for the exit codes."""
    try:
        now_ms = parse_rfc3339(args.at) if args.at else SystemClock().now_ms()
    except ValueError as error:
        print(f"--at: {error}", file=sys.stderr)
        return 2
    exit_code = 0
    for path in args.policy:
        try:
            text = read_file(path)
        except ConfigError as error:
            print(error, file=sys.stderr)
            exit_code = 2
            continue
        policy, faults = check_policy(text, str(path), NAMES)
        notes = [] if policy is None else policy_notes(policy, now_ms)
        if args.json:
            _print_json(path, policy, faults, notes)
        elif policy is None:
            for fault in faults:
                print(fault)
            print(f"{path}: {len(faults)} {'fault' if len(faults) == 1 else 'faults'}", file=sys.stderr)
        elif not args.quiet:
            print(f"{path}: good, version {policy.version}")
            print("\n".join(f"  {line}" for line in policy_words(policy)))
            print("\n".join(f"  note: {note}" for note in notes), end="\n" if notes else "")
        if policy is None:
            exit_code = max(exit_code, 1)
    return exit_code


def _print_json(path: Path, policy: Policy | None, faults: list[Fault], notes: list[str]) -> None:
    report = {
        "file": str(path),
        "is_good": policy is not None,
        "policy_version": None if policy is None else policy.version,
        "faults": [fault.as_dict() for fault in faults],
        "notes": notes,
        "words": [] if policy is None else policy_words(policy),
    }
    print(msgspec.json.encode(report).decode())
