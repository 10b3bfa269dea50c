"""`copycatch replay`: a log file through the same engine, as fast as the machine goes."""

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copycatch.adapters.outputs import Existing, OutputFile, check_outputs
from copycatch.cli.format_options import add_format_arguments, decoders_of
from copycatch.cli.options import policy_of
from copycatch.errors import ConfigError, TransportError
from copycatch.records.columns import Evaluations, Outcomes, Scores
from copycatch.records.wire import ENCODER

if TYPE_CHECKING:
    from copycatch.desk.curve import BudgetCurve

DESCRIPTION = """\
Play log files through the engine of `copycatch run` and write what it would have announced.

Files hold JSON (one object a line, one document, an array, or objects in a row), CSV or Parquet; compressed
with gzip, zstd, bzip2 or xz or not. A folder is read with those below it, rotated logs oldest first; - is
standard input (lines). All are one log: files that are open together (32) are read in line by
event time. Time is the log's own.
"""
EPILOG = """\
examples:
  copycatch replay gateway.jsonl.gz --alerts alerts.jsonl --recommendations recommendations.jsonl
  copycatch replay logs/ --format litellm --policy policy.yaml --alerts - | jq .words
  copycatch replay gateway.jsonl --features evaluations.parquet   # for a notebook (pandas)

exit codes: 0 judged; 1 read to the end but not judged, or not all of it: nothing decoded, 1 % or more
  rejected or late, or no account scored (it says why); 2 wrong options or policy, an output that exists or
  is read; 3 a file cannot be written, or not
  read to its end (what could be read is judged).
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command's options."""
    parser = subparsers.add_parser(
        "replay",
        help="judge log files, as fast as the machine goes",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="log files or folders; - is standard input")
    parser.add_argument(
        "--alerts", metavar="FILE", help="where alerts go, one JSON object a line; - for standard output"
    )
    parser.add_argument("--recommendations", metavar="FILE", help="where recommendations go")
    parser.add_argument("--dead-letters", metavar="FILE", help="where records go that could not be taken")
    parser.add_argument(
        "--features", type=Path, metavar="FILE", help="write every evaluation as a Parquet frame"
    )
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", help="policy to judge by (default: the built-in one)"
    )
    add_format_arguments(parser, default=None)
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--append", action="store_true", help="add to outputs that exist")
    existing.add_argument("--force", action="store_true", help="begin outputs that exist anew")
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no counts")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay; see EPILOG for the exit codes."""
    from copycatch.cli.progress import ReplayBar
    from copycatch.desk.curve import BudgetCurve
    from copycatch.service.logs import logging_at
    from copycatch.service.replay import BrokenLogError, replay

    make_decoder = decoders_of(args)
    policy = policy_of(args.policy)
    frames, curve = Frames(args.features), BudgetCurve(policy)
    with ExitStack() as stack:
        stack.enter_context(logging_at("warning"))
        writers = _open_outputs(stack, args)
        bar = stack.enter_context(ReplayBar(is_quiet=args.quiet))
        is_broken = False
        write = _writer(writers, frames, curve)
        try:
            summary = replay(args.files, policy, write, bar.update, make_decoder=make_decoder)
        except BrokenLogError as fault:
            summary, is_broken = fault.summary, True
    frames.write()
    if not args.quiet:
        counts = summary.counts
        print(
            f"{counts.total} records: {counts.accepted} accepted, {counts.duplicates} duplicates, "
            f"{counts.late} late, {counts.rejected} rejected; "
            f"{summary.alerts} alerts, {summary.recommendations} recommendations",
            file=sys.stderr,
        )
        print(curve.sentence(), file=sys.stderr)
    for sentence in summary.unjudged:
        print(sentence, file=sys.stderr)
    return 3 if is_broken else 0 if summary.findings.is_judged else 1


Writer = tuple[OutputFile, Callable[[Outcomes], list[Any]]]


def _open_outputs(stack: ExitStack, args: argparse.Namespace) -> list[Writer]:
    """Every output, after all of them are seen to be free."""
    pick_by_option: dict[str, Callable[[Outcomes], list[Any]]] = {
        "--alerts": lambda outcomes: outcomes.alerts,
        "--recommendations": lambda outcomes: outcomes.recommendations,
        "--dead-letters": lambda outcomes: outcomes.rejects,
        "--features": lambda _outcomes: [],
    }
    given = {
        "--alerts": args.alerts,
        "--recommendations": args.recommendations,
        "--dead-letters": args.dead_letters,
        "--features": None if args.features is None else str(args.features),
    }
    targets = {option: target for option, target in given.items() if target is not None}
    settings = [str(args.policy)] if args.policy is not None else []
    check_outputs(targets, [*args.files, *settings])
    existing: Existing = "append" if args.append else "replace" if args.force else "refuse"
    opened: list[Writer] = []
    for option, target in targets.items():
        is_frame = option == "--features"  # pandas writes it whole, at the end
        if is_frame and args.append:
            message = f"--features {target}: a Parquet file cannot be added to; leave --append out"
            raise ConfigError(message)
        output = OutputFile(target, existing)
        stack.callback(output.close)
        if not is_frame:
            opened.append((output, pick_by_option[option]))
    for output, _ in opened:
        output.begin()
    return opened


def _writer(writers: list[Writer], frames: "Frames", curve: "BudgetCurve") -> Callable[[Outcomes], None]:
    def write(outcomes: Outcomes) -> None:
        for output, pick in writers:
            output.write(b"".join(ENCODER.encode(item) + b"\n" for item in pick(outcomes)))
        frames.add(outcomes.evaluations)
        for evaluations, scores in outcomes.evaluations:
            curve.take(evaluations, scores)

    return write


class Frames:
    """Every evaluation as a row of a pandas frame."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._evaluations: list[tuple[Evaluations, Scores]] = []

    def add(self, evaluations: list[tuple[Evaluations, Scores]]) -> None:
        if self._path is not None:
            self._evaluations += evaluations

    def write(self) -> None:
        """One row an evaluation: who, when, how many queries, tail probability, then all features."""
        if self._path is None:
            return
        import pandas as pd

        from copycatch.features.catalog import NAMES

        parts = [
            pd.DataFrame(scores.values, columns=list(NAMES)).assign(
                account_id=evaluations.account_ids,
                tenant_id=pd.Series(evaluations.tenant_ids, dtype="string"),
                model_id=evaluations.model_ids,
                event_time=pd.to_datetime(evaluations.event_times_ms, unit="ms", utc=True),
                queries=evaluations.queries,
                tail_prob=scores.tail_probs,
            )
            for evaluations, scores in self._evaluations
        ]
        frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
        try:
            frame.to_parquet(self._path, index=False)
        except OSError as error:
            message = f"{self._path} cannot be written: {error}"
            raise TransportError(message) from error
