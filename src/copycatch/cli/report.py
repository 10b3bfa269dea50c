"""`copycatch report`: one HTML page about a log, to read, print or send."""

import argparse
import sys
from pathlib import Path
from typing import Any

from copycatch.cli.format_options import add_format_arguments, decoders_of
from copycatch.cli.options import policy_of
from copycatch.errors import ConfigError
from copycatch.units import format_rfc3339

DESCRIPTION = """\
Play a log and write one HTML page about it: alerts over time, how anomalous each account was with a slider
over the false-alarm budget, and a page for every case with its score over time, what weighs most beside
other accounts, and its queries farthest from what others ask beside usual ones. The page loads nothing from
a network. It holds queries of the log: keep it as you keep the log.
"""
EPILOG = """\
examples:
  copycatch report gateway.jsonl.gz -o report.html
  copycatch report logs/ --policy policy.yaml --verdicts verdicts.jsonl -o report.html --force

exit codes: 0 written; 1 written, but the log was not judged, or not all of it; 2 wrong options, or the file
  exists; 3 a file cannot be read or written
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "report",
        help="write one HTML page about a log",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="log files or folders")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="where the page goes")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="policy to judge by (default: built in)")
    parser.add_argument("--verdicts", type=Path, metavar="FILE", help="what analysts said of accounts")
    add_format_arguments(parser, default=None)
    parser.add_argument("--force", action="store_true", help="write over a file that exists")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay, gather, write; see EPILOG for the exit codes."""
    from copycatch.adapters.clock import SystemClock
    from copycatch.adapters.outputs import OutputFile, check_outputs
    from copycatch.cli.progress import ReplayBar
    from copycatch.desk.page import render_page
    from copycatch.desk.report import ReportBuilder
    from copycatch.desk.verdicts import read_verdicts
    from copycatch.service.logs import logging_at
    from copycatch.service.replay import replay

    if "-" in args.files:
        msg = "-: the log is read twice; name a file"
        raise ConfigError(msg)
    check_outputs({"--out": args.out}, args.files)
    render_page({})  # says at once if the plotting library is missing
    policy = policy_of(args.policy)
    verdicts: dict[str, Any] = {} if args.verdicts is None else read_verdicts(args.verdicts)
    output = OutputFile(args.out, "replace" if args.force else "refuse")
    try:
        builder, make_decoder = ReportBuilder(policy), decoders_of(args)
        with logging_at("warning"), ReplayBar(is_quiet=args.quiet) as bar:
            summary = replay(args.files, policy, builder.take, bar.update, make_decoder=make_decoder)
        about = {
            "made": format_rfc3339(SystemClock().now_ms())[:16] + "Z",
            "files": [Path(each).name for each in args.files],
            "records": summary.counts.total,
            "unjudged": list(summary.unjudged),
        }
        page = render_page(builder.data(about, args.files, make_decoder, verdicts))
        output.begin()
        output.write(page.encode("utf-8", "backslashreplace"))
    finally:
        output.close()
    for sentence in summary.unjudged:
        print(sentence, file=sys.stderr)
    print(f"wrote {args.out}", file=sys.stderr)
    return 0 if summary.findings.is_judged else 1
