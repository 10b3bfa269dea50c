"""`copycatch inspect`: does copycatch fit this log, and what has to be set?"""

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

import msgspec

from copycatch.cli.format_options import add_format_arguments, options_of
from copycatch.cli.options import add_kafka_arguments, kafka_of
from copycatch.errors import ConfigError
from copycatch.formats.shared.format import FormatOptions

DESCRIPTION = """\
Look at a few hundred messages of a log and say what copycatch makes of them: which format they are in,
which field each canonical field comes from and how often it is there, what is missing and which features
that switches off, and what would be rejected and why.

SOURCE is a file (JSON, CSV, Parquet; compressed or not), a folder, - for standard input, or the name of a
Kafka topic.
A topic is read without a consumer group: no offset moves, and nothing is written.
"""
EPILOG = """\
examples:
  copycatch inspect gateway.jsonl
  copycatch inspect inference-logs --kafka broker:9092
  copycatch inspect gateway.jsonl --write mapping.yaml      # no known format: draft a mapping, then edit it
  copycatch inspect gateway.jsonl --format mapping --option mapping=mapping.yaml
  copycatch inspect gateway.jsonl --write settings.yaml     # a known format: a first settings file
  copycatch inspect --formats                               # what is understood, and what it never gives

exit codes: 0 messages decode; 1 none does, or some are rejected; 2 wrong options; 3 it cannot be read
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "inspect",
        help="recognise a log's format and say what maps to what",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="file, folder, - or topic")
    add_format_arguments(parser, default=None)
    parser.add_argument(
        "--records", type=int, default=500, metavar="N", help="messages to read (default: %(default)s)"
    )
    add_kafka_arguments(parser, "SOURCE is a topic")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write a first settings or mapping file")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    parser.add_argument(
        "--formats", action="store_true", help="list formats, options and conversions, and end"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Inspect; see EPILOG for the exit codes."""
    if args.formats:
        print_formats()
        return 0
    if args.source is None:
        msg = "inspect: name a file, a folder, - or a topic (or --formats)"
        raise ConfigError(msg)
    if args.records < 1:
        msg = f"--records {args.records}: read at least one"
        raise ConfigError(msg)
    from copycatch.adapters.clock import SystemClock
    from copycatch.features.catalog import SPECS
    from copycatch.service.inspection import inspect_batch
    from copycatch.service.recognition import UNRECOGNISED, format_of

    batch = _messages_of(args)
    options = options_of(args.format, args.option) if args.format else FormatOptions()
    if args.format is None and args.option:
        options = options_of(format_of(batch) or UNRECOGNISED, args.option)
    report = inspect_batch(batch, SPECS, options, args.format, SystemClock().now_ms())
    if report.format_name is None:
        report.fitting_mapping = _fitting(batch)
    elif not report.n_records:
        report.helping_options = _helping(batch, report, args.option)
    if args.json:
        print(msgspec.json.encode(report).decode())
    else:
        from copycatch.cli.render_inspection import report_text

        print(report_text(report, batch, args))
    if args.write is not None:
        _write(args, report.format_name, batch)
    return 0 if report.n_records and not report.rejects else 1


# What the log may lack, and what else can be taken for it; the fewest that help are proposed.
_HELPING = ("account_fallback=key", "account_fallback=client_ip", "model_id=my-model", "times=UTC")


def _helping(batch: Any, report: Any, given: list[str]) -> list[str]:
    """Options with which the log decodes; none where no such few do."""
    from copycatch.adapters.peek import documents_of
    from copycatch.formats.shared.mapping_draft import account_pointer_in
    from copycatch.service.inspection import inspect_batch

    if report.format_name == "native":
        return []
    keys = {option.partition("=")[0] for option in given}
    pointer = account_pointer_in(documents_of(batch))
    helping = _HELPING if pointer is None else (*_HELPING[:2], f"account_pointer={pointer}", *_HELPING[2:])
    offered = [option for option in helping if option.partition("=")[0] not in keys]
    for n in range(1, len(offered) + 1):
        for more in itertools.combinations(offered, n):
            options = options_of(report.format_name, [*given, *more])
            if inspect_batch(batch, (), options, report.format_name).n_records:
                return list(more)
    return []


def _fitting(batch: Any) -> str | None:
    """The shipped mapping that the log fits."""
    from collections import Counter

    from copycatch.adapters.peek import documents_of
    from copycatch.formats.shared.documents import message_of
    from copycatch.settings.shipped import fitting_mapping

    unwrapped = _unwrapped(batch)
    return fitting_mapping(
        documents_of(unwrapped),
        lambda document: message_of(unwrapped, 0, document, FormatOptions(), Counter()),
    )


def _unwrapped(batch: Any, *, is_pointed: bool = False) -> Any:
    """The messages as decoders see them: cut lines joined, envelopes taken off."""
    from copycatch.formats.catalog import recognise
    from copycatch.formats.shared.cut_lines import CutLines
    from copycatch.formats.shared.envelopes import unwrap_batch
    from copycatch.records.decoding import Decoded

    joined = CutLines(FormatOptions()).joined(batch, Decoded())
    return unwrap_batch(joined, recognise, is_pointed)[0]


def _messages_of(args: argparse.Namespace) -> Any:
    from copycatch.adapters.clock import SystemClock
    from copycatch.adapters.peek import peek_file, peek_topic

    kafka = kafka_of(args)
    if kafka is None:
        if args.source != "-" and not Path(args.source).exists():
            msg = f"{args.source}: no such file; for a topic add --kafka HOST:PORT or --settings FILE"
            raise ConfigError(msg)
        return peek_file(args.source, args.records)
    return peek_topic(args.source, kafka, args.records, SystemClock())


def _write(args: argparse.Namespace, format_name: str | None, batch: Any) -> None:
    from copycatch.adapters.peek import documents_of
    from copycatch.cli.render_inspection import settings_text
    from copycatch.formats.shared.mapping_draft import draft_mapping

    if args.write.exists():
        msg = f"{args.write}: is there already; it is not overwritten"
        raise ConfigError(msg)
    documents = documents_of(_unwrapped(batch, is_pointed=True))
    if format_name is None and not documents:
        msg = f"{args.source}: holds no JSON object to draft a mapping from"
        raise ConfigError(msg)
    text = draft_mapping(documents, args.source) if format_name is None else settings_text(format_name, args)
    try:
        args.write.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{args.write}: cannot be written: {error.strerror}"
        raise ConfigError(msg) from error
    print(f"wrote {args.write}", file=sys.stderr)


def print_formats() -> None:
    """The catalogue in words."""
    from copycatch.formats.catalog import FORMATS
    from copycatch.formats.shared.conversions import CONVERSIONS

    for row in FORMATS.values():
        never = ", ".join(sorted(row.never_gives())) or "nothing"
        print(f"{row.name}\n  {row.sentence}\n  never gives: {never}")
    print("\nconversions of a mapping (as: NAME)")
    for name, conversion in CONVERSIONS.items():
        print(f"  {name:14} {conversion.sentence}")
