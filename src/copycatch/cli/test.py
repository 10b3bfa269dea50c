"""`copycatch test`: does a policy still find what it must, and leave alone what it must?"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from copycatch.cli.options import policy_of
from copycatch.errors import ConfigError
from copycatch.safe_text import printable

DESCRIPTION = """\
Play the logs that files of expectations name, and hold what the policy says against them. A file holds:

  log: ../logs/week-9.jsonl.gz   # from the file's own folder
  alerted: [acct-7f3a]           # must be alerted on
  restricted: [acct-7f3a]        # must get a recommendation that takes something
  quiet: [nightly-eval]          # must not be alerted on
  others: any                    # or none: nobody else may be alerted on

--add writes such a file, or adds an account to one: a true or false alert becomes a test.
"""
EPILOG = """\
examples:
  copycatch test policy.yaml cases/ --junit results.xml
  copycatch test policy.yaml cases/ --add week-9 --log week-9.jsonl.gz --account acct-7 --expect quiet

exit codes: 0 all pass; 1 some fail; 2 wrong options, policy or expectations; 3 a file cannot be read or
  written
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "test",
        help="hold a policy against what it must find and leave alone",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("policy", type=Path, metavar="POLICY")
    parser.add_argument("cases", type=Path, metavar="CASES", help="folder of expectations, or one file")
    parser.add_argument("--junit", metavar="FILE", help="write the results as JUnit XML; written over")
    parser.add_argument("--add", metavar="NAME", help="write CASES/NAME.yaml, or add to it, and end")
    parser.add_argument("--log", type=Path, metavar="FILE", help="with --add: the log")
    parser.add_argument("--account", metavar="ID", help="with --add: the account or campaign")
    parser.add_argument(
        "--expect", choices=("alerted", "restricted", "quiet"), help="with --add: what must come of it"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Test, or add a case; see EPILOG for the exit codes."""
    from copycatch.desk.expectations import check_case, junit_xml, read_cases

    if args.add is not None:
        return _add(args)
    policy = policy_of(args.policy)
    cases = read_cases(args.cases)
    by_log: dict[tuple[str, str | None], list[Any]] = {}
    for case in cases:
        by_log.setdefault((case.log, case.expected.format), []).append(case)
    results = []
    for (log, format_name), members in by_log.items():
        trial, unjudged = _play(log, format_name, policy)
        results += [check_case(case, trial, unjudged) for case in members]
    for result in results:
        print(f"{'FAIL' if result.failures else 'ok  '} {result.case.path}")
        for failure in result.failures:
            print(f"     {printable(failure, 300)}")
    n_failed = sum(bool(result.failures) for result in results)
    print(f"{len(results) - n_failed} of {len(results)} pass", file=sys.stderr)
    if args.junit is not None:
        from copycatch.adapters.outputs import OutputFile

        output = OutputFile(args.junit, "replace")
        output.begin()
        output.write(junit_xml(results))
        output.close()
    return 1 if n_failed else 0


def _play(log: str, format_name: str | None, policy: Any) -> tuple[Any, list[str]]:
    """What the policy says of a log whose last record is the present."""
    from copycatch.cli.format_options import decoders_of
    from copycatch.desk.backtest import PolicyTrial
    from copycatch.service.logs import logging_at
    from copycatch.service.replay import replay

    trial = PolicyTrial(policy, policy)
    make_decoder = decoders_of(argparse.Namespace(format=format_name, option=[]))
    with logging_at("warning"):
        summary = replay([log], policy, trial.take, make_decoder=make_decoder)
    return trial, [] if summary.findings.is_judged else list(summary.unjudged)


def _add(args: argparse.Namespace) -> int:
    """Write a case, or add an account to the list of one."""
    from copycatch.desk.expectations import read_cases

    if args.log is None or args.account is None or args.expect is None:
        msg = "--add NAME: needs --log, --account and --expect"
        raise ConfigError(msg)
    if not args.log.exists():
        msg = f"--log {args.log}: no such file"
        raise ConfigError(msg)
    args.cases.mkdir(parents=True, exist_ok=True)
    path = args.cases / f"{args.add}.yaml"
    log = os.path.relpath(args.log.resolve(), path.parent.resolve())
    document: dict[str, Any] = {"log": log}
    if path.exists():
        document = read_cases(path)[0].expected.model_dump(exclude_defaults=True)
        if (path.parent / document["log"]).resolve() != args.log.resolve():
            msg = f"{path}: is about another log ({document['log']}); choose another name"
            raise ConfigError(msg)
    listed = document.setdefault(args.expect, [])
    if args.account not in listed:
        listed.append(args.account)
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    read_cases(path)
    print(f"wrote {path}", file=sys.stderr)
    return 0
