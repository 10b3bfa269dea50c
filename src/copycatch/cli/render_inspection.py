"""The report of `copycatch inspect` in words for a person."""

import argparse
import shlex
from pathlib import Path

from copycatch.adapters.peek import has_binary_values
from copycatch.formats.catalog import FORMATS
from copycatch.formats.shared.format import REQUIRED_FIELDS
from copycatch.records.columns import RawBatch
from copycatch.safe_text import printable
from copycatch.service.findings import WORDS_BY_NOTE
from copycatch.service.inspection import Inspection

_WORDS_BY_NOTE = {
    **WORDS_BY_NOTE,
    "split": "further records out of messages that hold several",
    "joined": "requests joined with their responses",
}

_WORDS_BY_OPTION = {
    "account_fallback=key": "the key of the Kafka message for the account",
    "account_fallback=client_ip": "the client's address for the account",
    "model_id=my-model": "one name for the model",
    "times=UTC": "times without an offset for UTC",
}


def report_text(report: Inspection, batch: RawBatch, args: argparse.Namespace) -> str:
    """The whole report."""
    lines = [_headline(report)]
    if not report.n_messages:
        return lines[0]
    if report.format_name is None:
        return "\n".join([*lines, *_unknown_lines(report, batch, args)])
    row = FORMATS[report.format_name]
    lines.append(f"format    {row.name}: {row.sentence}")
    others = {name: n for name, n in report.recognised.items() if name != row.name}
    if others and row.name != "mapping":
        lines.append("but also  " + ", ".join(f"{n} x {name}" for name, n in others.items()))
        if _is_mixed(report, args):
            lines.append("          Files may differ: replay and run recognise each by itself.")
    if report.n_records:
        lines.append(f"decoded   {report.n_records} records of {report.n_accounts} accounts")
        lines.append(f"          most of {_biggest(report)}")
        lines.append(f"          from {report.first_time} to {report.last_time}")
    lines += [
        f"          {printable(account, 60)} shows {n} values of {name} in {n_records} records: "
        "if clients choose it, take it from an authenticated field"
        for account, name, n, n_records in report.many
    ]
    lines += [
        f"          {n} {_WORDS_BY_NOTE[note]}" for note, n in report.notes.items() if note in _WORDS_BY_NOTE
    ]
    if report.n_waiting:
        lines.append(
            f"          {report.n_waiting} requests or responses whose counterpart is not in this sample"
        )
    lines += _reject_lines(report)
    lines += _field_lines(report)
    lines += _feature_lines(report)
    lines += _next_lines(report, args)
    return "\n".join(lines)


def settings_text(format_name: str, args: argparse.Namespace) -> str:
    """A first settings file for the service."""
    topic = args.source if _is_topic(args) else "inference-logs"
    options = "".join(
        f"\n      {key}: {value}" for key, _, value in (word.partition("=") for word in args.option)
    )
    return (
        "# Written by `copycatch inspect`. Start with: copycatch run --settings THIS_FILE\n"
        "version: 1\n"
        f"kafka:\n  bootstrap_servers: [{args.kafka or 'localhost:9092'}]\n"
        f"inputs:\n  - topic: {topic}\n    format: {format_name}\n"
        + (f"    options:{options}\n" if options else "")
    )


def _headline(report: Inspection) -> str:
    if not report.n_messages:
        return f"{report.source}: no message to look at; is it empty?"
    return f"{report.source}: {report.n_messages} message{'' if report.n_messages == 1 else 's'}"


def _biggest(report: Inspection) -> str:
    """The accounts with most records, so that a wrong choice of the account is seen."""
    return ", ".join(
        f"{printable(account, 60)} ({100 * n / report.n_records:.0f} %)"
        for account, n in report.biggest_accounts
    )


def _unknown_lines(report: Inspection, batch: RawBatch, args: argparse.Namespace) -> list[str]:
    found = ", ".join(f"{n} x {name}" for name, n in report.recognised.most_common())
    lines = [f"format    none that is known ({found})"]
    if report.fitting_mapping is not None:
        words = ["--format", "mapping", "--option", f"mapping={report.fitting_mapping}"]
        return [
            *lines,
            f"          The mapping {report.fitting_mapping} that comes with copycatch fits.",
            "",
            f"next      {shlex.join(['copycatch', 'inspect', *_source_words(args), *words])}",
        ]
    if has_binary_values(batch):
        lines.append(
            "          The messages are binary (Avro, compressed, protobuf but no OTLP). Have the producer"
        )
        lines.append(
            "          write JSON: the OpenTelemetry collector's Kafka exporter with `encoding: otlp_json`,"
        )
        lines.append("          Kafka Connect with JsonConverter.")
    elif report.recognised.get("unknown JSON"):
        source = shlex.join(_source_words(args))
        mapping = _free("mapping.yaml")
        lines.append(
            "          It is JSON, so a mapping can say which pointer holds which field. Draft one, edit it,"
        )
        lines.append("          and look again:")
        lines.append(f"            copycatch inspect {source} --write {mapping}")
        lines.append(f"            copycatch inspect {source} --format mapping --option mapping={mapping}")
    else:
        lines.append("          copycatch reads one JSON object a message or a line.")
    return lines


def _reject_lines(report: Inspection) -> list[str]:
    n = sum(each.n for each in report.rejects)
    if not n:
        return []
    lines = [f"rejected  {n}: these would go to the dead-letter topic"]
    return lines + [
        f"          {each.n} x {each.reason}, first at {each.position}: {each.message}"
        for each in report.rejects[:8]
    ]


def _field_lines(report: Inspection) -> list[str]:
    if not report.n_records:
        return []
    lines = ["", f"{'field':17}{'filled':>7}  {'example':32}from"]
    for each in report.fields:
        if each.source is None:
            continue
        share = f"{100 * each.n_filled / report.n_records:.0f} %"
        mark = "  <- needed" if each.name in REQUIRED_FIELDS and not each.n_filled else ""
        lines.append(f"{each.name:17}{share:>7}  {each.example[:31]:32}{each.source}{mark}")
    never = [each.name for each in report.fields if each.source is None]
    if never:
        lines.append(f"{'never given':17}{'':7}  {', '.join(never)}")
    return lines


def _feature_lines(report: Inspection) -> list[str]:
    if not report.n_records:
        return []
    n_off = len(report.switched_off)
    lines = ["", f"features  {report.n_features - n_off} of {report.n_features} can speak"]
    by_need: dict[str, list[str]] = {}
    for spec, needs in report.switched_off:
        by_need.setdefault(" and ".join(needs), []).append(spec.name)
    for need, names in by_need.items():
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        lines.append(f"          without {need}: no {shown}")
    return lines


def _next_lines(report: Inspection, args: argparse.Namespace) -> list[str]:
    if not report.n_records:
        return ["", *_nothing_yet(report, args)]
    words = [
        "--format",
        report.format_name or "",
        *(word for each in args.option for word in ("--option", each)),
    ]
    settings = _free("settings.yaml")
    lines = [
        f"next      {shlex.join(['copycatch', 'inspect', *_source_words(args), *words, '--write', settings])}"
    ]
    if _is_topic(args):
        lines.append(f"          copycatch run --settings {settings}")
    elif args.source != "-":
        named = [] if _is_mixed(report, args) else words
        replay = ["copycatch", "replay", _as_argument(args.source), *named, "--alerts", _free("alerts.jsonl")]
        lines.append(f"          {shlex.join(replay)}")
    return ["", *lines]


def _nothing_yet(report: Inspection, args: argparse.Namespace) -> list[str]:
    """What to do about a known format of which nothing decodes."""
    if report.helping_options:
        words = ["--format", report.format_name or ""]
        words += [word for each in (*args.option, *report.helping_options) for word in ("--option", each)]
        told = [
            _WORDS_BY_OPTION.get(each, f"what {each.partition('=')[2]} holds for the account")
            for each in report.helping_options
        ]
        return [
            f"next      {shlex.join(['copycatch', 'inspect', *_source_words(args), *words])}",
            f"          takes {' and '.join(told)}; better, have the log say it.",
        ]
    if report.n_waiting and not report.rejects:
        if "unpaired=reject" in args.option:
            return [
                "next      No request has its answer here: log both, or leave out --option unpaired=reject."
            ]
        return ["next      Only answers are here: log their requests, too."]
    others = [name for name, _ in report.recognised.most_common() if name in FORMATS]
    if others and others[0] != report.format_name:
        words = ["copycatch", "inspect", *_source_words(args), "--format", others[0]]
        return [f"next      {shlex.join(words)}"]
    if (
        report.rejects
        and report.format_name != "mapping"
        and all(each.field == "account_id" for each in report.rejects)
    ):
        return [
            "next      Nothing here names the account: have the log say it, where it is looked for above."
        ]
    return ["next      Nothing decodes yet: mend what is rejected above, or choose another --format."]


def _is_mixed(report: Inspection, args: argparse.Namespace) -> bool:
    """Whether the source is a folder in which several formats are known, and none was named."""
    n_known = sum(name in FORMATS for name in report.recognised)
    return n_known > 1 and args.format is None and not args.option and Path(args.source).is_dir()


def _is_topic(args: argparse.Namespace) -> bool:
    return args.kafka is not None or args.settings is not None


def _source_words(args: argparse.Namespace) -> list[str]:
    """The source as it was named, with the broker of a topic."""
    kafka = [] if args.kafka is None else ["--kafka", args.kafka]
    settings = [] if args.settings is None else ["--settings", str(args.settings)]
    return [_as_argument(args.source), *kafka, *settings]


def _as_argument(source: str) -> str:
    """A file's name that no command takes for an option."""
    return f"./{source}" if source.startswith("-") and source != "-" else source


def _free(name: str) -> str:
    """The name of a file that is not there: what is printed can be run, and overwrites nothing."""
    path = Path(name)
    names = (path.with_stem(f"{path.stem}-{number}") for number in range(2, 1000))
    return str(path if not path.exists() else next((each for each in names if not each.exists()), path))
