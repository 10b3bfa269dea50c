"""`copycatch replay`: a log file through the same engine, as fast as the machine goes."""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from copycatch.cli.format_options import add_format_arguments, given_by
from copycatch.errors import ConfigError, TransportError
from copycatch.records.columns import Evaluations, Outcomes, Scores
from copycatch.records.wire import ENCODER

DESCRIPTION = """\
Play log files through the engine of `copycatch run` and write what it would have announced.

Files are .jsonl, .jsonl.gz, .jsonl.zst, folders of them, or - for standard input; they are read in the
order given, as one log. Time is the log's own.
"""
EPILOG = """\
examples:
  copycatch replay gateway.jsonl.gz --alerts alerts.jsonl --recommendations recommendations.jsonl
  copycatch replay logs/ --format litellm --policy policy.yaml --alerts - | jq .words
  copycatch replay gateway.jsonl --features evaluations.parquet   # for a notebook (pandas)

exit codes: 0 done; 2 wrong options or policy; 3 a file cannot be read or written.
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
    add_format_arguments(parser, default="native")
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no summary")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay; see EPILOG for the exit codes."""
    from copycatch.cli.progress import ReplayBar
    from copycatch.features.catalog import NAMES
    from copycatch.formats.catalog import FORMATS
    from copycatch.records.policy import Policy
    from copycatch.service.logs import logging_at
    from copycatch.service.replay import replay
    from copycatch.settings.policy import load_policy
    from copycatch.settings.service import Input

    if args.format not in FORMATS:
        message = f"--format {args.format}: no such format; there are {', '.join(sorted(FORMATS))}"
        raise ConfigError(message)
    policy = Policy() if args.policy is None else load_policy(args.policy, NAMES)
    frames = Frames(args.features)
    with ExitStack() as stack:
        stack.enter_context(logging_at("warning"))
        writers = [
            (_opened(stack, args.alerts), lambda outcomes: outcomes.alerts),
            (_opened(stack, args.recommendations), lambda outcomes: outcomes.recommendations),
            (_opened(stack, args.dead_letters), lambda outcomes: outcomes.rejects),
        ]
        bar = stack.enter_context(ReplayBar(is_quiet=args.quiet))
        summary = replay(
            args.files,
            policy,
            _writer(writers, frames),
            bar.update,
            log=Input(topic="files", format=args.format, options=given_by(args.option)),
        )
    frames.write()
    if not args.quiet:
        counts = summary.counts
        print(
            f"{counts.total} records: {counts.accepted} accepted, {counts.duplicates} duplicates, "
            f"{counts.late} late, {counts.rejected} rejected; "
            f"{summary.alerts} alerts, {summary.recommendations} recommendations",
            file=sys.stderr,
        )
    return 0


def _opened(stack: ExitStack, target: str | None) -> IO[bytes] | None:
    if target is None:
        return None
    if target == "-":
        return sys.stdout.buffer
    try:
        return stack.enter_context(Path(target).open("wb"))
    except OSError as error:
        message = f"{target} cannot be written: {error.strerror}; name another file"
        raise TransportError(message) from error


def _writer(
    writers: list[tuple[IO[bytes] | None, Callable[[Outcomes], list[Any]]]], frames: "Frames"
) -> Callable[[Outcomes], None]:
    def write(outcomes: Outcomes) -> None:
        for file, pick in writers:
            if file is None:
                continue
            try:
                file.writelines(ENCODER.encode(item) + b"\n" for item in pick(outcomes))
                file.flush()
            except OSError as error:
                if isinstance(error, BrokenPipeError):
                    raise
                why = os.strerror(error.errno or 0)
                message = f"{file.name} cannot be written: {why}; make room and start again"
                raise TransportError(message) from error
        frames.add(outcomes.evaluations)

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
