"""`copycatch check`: read a policy and say all that is wrong with it, or what it means."""

import argparse
import sys
from pathlib import Path

import msgspec

from copycatch.adapters.clock import SystemClock
from copycatch.cli.render_policy import policy_lines, policy_warnings
from copycatch.contracts.example_policy import example_policy
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

A good policy is told in words: what alerts, what is recommended, who is exempt and until when, which numbers
are not the default, and its version (the content hash that goes on every alert). --example prints a policy
with every key, its default and a comment.

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
    parser.add_argument("policy", type=Path, nargs="*", metavar="POLICY", help="policy file(s) to check")
    parser.add_argument(
        "--example", action="store_true", help="print a policy with every key and its comment"
    )
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
    if args.example:
        print(example_policy(), end="")
        return 0
    if not args.policy:
        print("name a policy file, or ask for one with --example", file=sys.stderr)
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
        warnings = [] if policy is None else policy_warnings(policy, now_ms)
        if args.json:
            _print_json(path, policy, faults, warnings)
        elif policy is None:
            for fault in faults:
                print(fault)
            print(f"{path}: {len(faults)} {'fault' if len(faults) == 1 else 'faults'}", file=sys.stderr)
        elif not args.quiet:
            print(f"{path}: good, version {policy.content_version}")
            print("\n".join(f"  {line}" for line in policy_lines(policy)))
            print("\n".join(f"  note: {warning}" for warning in warnings), end="\n" if warnings else "")
        if policy is None:
            exit_code = max(exit_code, 1)
    return exit_code


def _print_json(path: Path, policy: Policy | None, faults: list[Fault], warnings: list[str]) -> None:
    report = {
        "file": str(path),
        "is_good": policy is not None,
        "policy_version": None if policy is None else policy.content_version,
        "faults": [fault.as_dict() for fault in faults],
        "notes": warnings,
        "words": [] if policy is None else policy_lines(policy),
    }
    print(msgspec.json.encode(report).decode())
