"""`copycatch check`: read a policy or settings and say all that is wrong with them, or what they mean."""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from copycatch.adapters.clock import SystemClock
from copycatch.cli.render_policy import policy_lines
from copycatch.contracts.example_policy import example_policy
from copycatch.errors import ConfigError
from copycatch.features.catalog import NAMES
from copycatch.settings.faults import Fault
from copycatch.settings.load import read_file
from copycatch.settings.policy import check_policy
from copycatch.settings.policy_notes import policy_warnings
from copycatch.settings.service_check import Kind, check_service, kind_of
from copycatch.units import UnixMs, parse_rfc3339

DESCRIPTION = """\
Check a policy, or settings, before the service reads them. Every fault is printed at once, one a line:

  policy.yaml:8:5: rules[0].querys_min: unknown key 'querys_min' (did you mean queries_min?)

A good policy is told in words: what alerts, what is recommended, who is exempt and until when, which numbers
are not the default, and its version (the content hash that goes on every alert). --example prints a policy
with every key, its default and a comment.

Settings are read with the environment over them, as the service does; formats and their options, and the
policy that they name, are checked along. Notes tell what may be meant so: a key file that this machine does
not have, a placeholder for a reason, an entry that has expired, a limit that can never be passed, a budget
outside the range that was measured. With --strict they count as faults. --kind says which of the two a file
is where its keys do not.

exit codes: 0 good; 1 faults found; 2 the file cannot be read, or wrong usage
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "check",
        help="check a policy or settings: all faults at once, or what they mean in words",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("policy", type=Path, nargs="*", metavar="FILE", help="policies or settings")
    parser.add_argument(
        "--example", action="store_true", help="print a policy with every key and its comment"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per file, for editors and CI")
    parser.add_argument("--kind", choices=["policy", "settings"], help="default: by the keys of the file")
    parser.add_argument("--strict", action="store_true", help="notes are faults, too")
    parser.add_argument("--quiet", action="store_true", help="print faults only")
    parser.add_argument(
        "--at", metavar="TIME", help="RFC 3339 time for what has expired or is about to (default: now)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check each file; see DESCRIPTION for the exit codes."""
    try:
        now_ms = UnixMs(parse_rfc3339(args.at)) if args.at else SystemClock().now_ms()
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
            report = _report(path, args.kind, now_ms)
        except ConfigError as error:
            print(error, file=sys.stderr)
            exit_code = 2
            continue
        is_good = report.is_good and not (args.strict and report.notes)
        if args.json:
            _print_json(report, is_good)
        elif report.faults:
            for fault in report.faults:
                print(fault)
            n_faults = len(report.faults)
            print(f"{path}: {n_faults} {'fault' if n_faults == 1 else 'faults'}", file=sys.stderr)
        elif not args.quiet:
            print(f"{path}: {report.head}")
            print("".join(f"  {line}\n" for line in report.words), end="")
        if not args.json and (not is_good or not args.quiet):
            print("".join(f"  note: {note}\n" for note in report.notes), end="")
        if not is_good:
            exit_code = max(exit_code, 1)
            if not report.faults:
                print(
                    f"{path}: {len(report.notes)} notes, and --strict takes them for faults", file=sys.stderr
                )
    return exit_code


@dataclass(frozen=True)
class _Report:
    path: Path
    kind: Kind
    head: str
    version: str | None
    faults: list[Fault]
    notes: list[str]
    words: list[str]

    @property
    def is_good(self) -> bool:
        return not self.faults


def _report(path: Path, kind: Kind | None, now_ms: UnixMs) -> _Report:
    text = read_file(path)
    kind = kind or kind_of(text)
    if kind == "settings":
        checked = check_service(path, os.environ, NAMES, now_ms)
        return _Report(path, kind, "good settings", None, checked.faults, checked.notes, [])
    policy, faults = check_policy(text, str(path), NAMES)
    if policy is None:
        return _Report(path, kind, "", None, faults, [], [])
    version = policy.content_version
    notes = policy_warnings(policy, now_ms)
    return _Report(path, kind, f"good, version {version}", version, [], notes, policy_lines(policy, now_ms))


def _print_json(report: _Report, is_good: bool) -> None:
    document = {
        "file": str(report.path),
        "kind": report.kind,
        "is_good": is_good,
        "policy_version": report.version,
        "faults": [fault.as_dict() for fault in report.faults],
        "notes": report.notes,
        "words": report.words,
    }
    print(msgspec.json.encode(document).decode())
