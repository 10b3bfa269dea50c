"""What a sample of a log amounts to: its format, what maps to which field, and what that switches off."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from copycatch.engine.admission import FUTURE_MS_MAX, future_text
from copycatch.formats.catalog import FORMATS, make_decoder
from copycatch.formats.shared.format import CANONICAL_FIELDS, FormatOptions
from copycatch.intake.vectors import bytes_of_blob
from copycatch.records.columns import FeatureSpec, RawBatch
from copycatch.records.decoding import Decoded
from copycatch.records.rejects import reject
from copycatch.records.wire import Blob, InferenceRecord, RejectReason
from copycatch.safe_text import printable
from copycatch.service.recognition import recognise_all
from copycatch.units import (
    LOG_MS_MAX,
    LOG_MS_MIN,
    UNIX_MS_MAX,
    UNIX_MS_MIN,
    epoch_ms,
    event_time_ms,
    format_rfc3339,
    odd_time_text,
)

BIGGEST_MAX = 3
IDENTITY_FIELDS = ("tenant_id", "model_id", "client_ip", "api_key_id")
MANY_MIN = 10
_FAR_MS = 1 << 52  # later than any timeout


@dataclass(slots=True)
class FieldReport:
    """One canonical field over the sample."""

    name: str
    source: str | None  # None where the format never gives it
    n_filled: int
    example: str


@dataclass(slots=True)
class RejectReport:
    """Rejects of one kind."""

    reason: str
    field: str | None
    message: str  # of the first
    n: int
    position: int


@dataclass(slots=True)
class Inspection:
    """All of it."""

    source: str
    n_messages: int
    recognised: Counter[str] = field(default_factory=Counter)  # format names, and what is none
    format_name: str | None = None
    n_records: int = 0
    n_accounts: int = 0
    biggest_accounts: list[tuple[str, int]] = field(default_factory=list)  # with their records
    fitting_mapping: str | None = None  # name of a shipped one, where no format is recognised
    helping_options: list[str] = field(default_factory=list)  # with which a log decodes that does not yet
    n_waiting: int = 0  # requests and responses whose counterpart lies outside of the sample
    many: list[tuple[str, str, int, int]] = field(default_factory=list)
    """Account, field, its different values and the account's records: what a client seems to choose."""
    notes: Counter[str] = field(default_factory=Counter)
    fields: list[FieldReport] = field(default_factory=list)
    rejects: list[RejectReport] = field(default_factory=list)
    switched_off: list[tuple[FeatureSpec, list[str]]] = field(default_factory=list)
    n_features: int = 0
    first_time: str | None = None
    last_time: str | None = None


def inspect_batch(
    batch: RawBatch,
    specs: Sequence[FeatureSpec],
    options: FormatOptions,
    format_name: str | None = None,
    now_ms: int | None = None,
) -> Inspection:
    """Decode a sample and report on it.

    Parameters
    ----------
    batch : RawBatch
    specs : sequence of FeatureSpec
        The catalogue of features, to say which stay off.
    options : FormatOptions
    format_name : str, optional
        The format to try; by default the one most messages are in.
    now_ms : int, optional
        The present: times beyond it are rejected, as `replay` and `run` do.
    """
    report = Inspection(batch.topic, len(batch.values), recognise_all(batch), n_features=len(specs))
    known = [name for name, _ in report.recognised.most_common() if name in FORMATS]
    report.format_name = format_name or (known[0] if known else None)
    if report.format_name is None:
        return report
    decoder = make_decoder(report.format_name, options)
    decoded = decoder.decode(batch)
    decoder.flush(0)  # the wait begins
    given_up = decoder.flush(_FAR_MS)
    report.n_waiting = sum(each.reason == "unjoined" for each in given_up.rejects)
    given_up.rejects = [each for each in given_up.rejects if each.reason != "unjoined"]
    decoded.add(given_up)  # as replay judges it: a request by what it asks
    _reject_implausible_times(batch, decoded, now_ms)
    decoded.notes["unread"] += sum(map(_n_bad_blobs, decoded.records))
    report.n_records = len(decoded.records)
    accounts = Counter(record.account_id for record in decoded.records)
    report.n_accounts, report.biggest_accounts = len(accounts), accounts.most_common(BIGGEST_MAX)
    report.many = _many_identities(decoded.records)
    report.notes = Counter({str(note): n for note, n in decoded.notes.items() if n})
    report.rejects = _rejects_of(decoded)
    times_ms = [_time_ms(record.event_time) for record in decoded.records]
    known_ms = [time_ms for time_ms in times_ms if time_ms is not None]
    if known_ms:
        report.first_time, report.last_time = format_rfc3339(min(known_ms)), format_rfc3339(max(known_ms))
    sources = FORMATS[report.format_name].sources_with(options)
    report.fields = [_field_report(name, sources.get(name), decoded.records) for name in CANONICAL_FIELDS]
    filled = {each.name for each in report.fields if each.n_filled}
    if decoded.records:
        report.switched_off = switched_off(specs, filled)
    return report


def _many_identities(records: Sequence[InferenceRecord]) -> list[tuple[str, str, int, int]]:
    """Accounts that show another tenant, model, address or key with every other record, or more often."""
    by_account: dict[str, list[InferenceRecord]] = {}
    for record in records:
        by_account.setdefault(record.account_id, []).append(record)
    found = []
    for account, own in by_account.items():
        for name in IDENTITY_FIELDS:
            n_values = len({value for each in own if (value := getattr(each, name)) is not None})
            if n_values >= MANY_MIN and 2 * n_values >= len(own):
                found.append((account, name, n_values, len(own)))
    return sorted(found, key=lambda each: (-each[2], each[:2]))[:BIGGEST_MAX]


def _time_ms(event_time: str | int) -> int | None:
    try:
        time_ms = event_time_ms(event_time)
    except ValueError:
        return None
    return time_ms if UNIX_MS_MIN <= time_ms <= UNIX_MS_MAX else None


def _n_bad_blobs(record: InferenceRecord) -> int:
    """Vectors in base64 that the intake will not be able to read."""
    n = 0
    for given in (record.input, record.embedding):
        if isinstance(given, Blob):
            try:
                bytes_of_blob(given)
            except ValueError:
                n += 1
    return n


def _reject_implausible_times(batch: RawBatch, decoded: Decoded, now_ms: int | None) -> None:
    """As the intake and the engine do after decoding."""
    kept: list[tuple[InferenceRecord, int]] = []
    for record, position in zip(decoded.records, decoded.positions, strict=True):
        time_ms = _time_ms(record.event_time)
        reason: RejectReason = "schema"
        if time_ms is None:
            text = f"{str(record.event_time)[:40]!r} is no time with an offset; see the option times"
        elif not LOG_MS_MIN <= time_ms < LOG_MS_MAX:
            text = odd_time_text(time_ms)
        elif now_ms is not None and time_ms > now_ms + FUTURE_MS_MAX:
            text, reason = future_text(time_ms, now_ms), "far_future"
        else:
            kept.append((record, position))
            continue
        decoded.rejects.append(reject(batch, position, reason, "event_time", f"event_time: {text}"))
    decoded.records[:] = [record for record, _ in kept]
    decoded.positions[:] = [position for _, position in kept]


def switched_off(specs: Sequence[FeatureSpec], filled: set[str]) -> list[tuple[FeatureSpec, list[str]]]:
    """Features that stay missing, with the fields that they would need."""
    given = set(filled)
    # Text is embedded on the way in, and a label can be read off the probabilities.
    given |= {"embedding"} if "input" in filled else set()
    given |= {"predicted_label"} if "probabilities" in filled else set()
    lacking = ((spec, [need for need in spec.needs if need.partition(".")[0] not in given]) for spec in specs)
    return [(spec, needs) for spec, needs in lacking if needs]


def _field_report(name: str, source: str | None, records: list[InferenceRecord]) -> FieldReport:
    values = [getattr(record, name) for record in records]
    filled = [value for value in values if value is not None]
    if name == "event_time":
        filled = [format_rfc3339(epoch_ms(value)) if isinstance(value, int) else value for value in filled]
    return FieldReport(name, source, len(filled), example_of(name, filled[0]) if filled else "")


def example_of(name: str, value: Any) -> str:
    """What a value looks like, without repeating what users wrote.

    Examples
    --------
    >>> example_of("input", "what is the capital of Sudan?"), example_of("embedding", [0.1, 0.2])
    ('text of 29 characters', '2 numbers')
    >>> example_of("account_id", "acct-1")
    'acct-1'
    """
    if name in ("input", "output_text") and isinstance(value, str):
        return f"text of {len(value)} characters"
    if name == "api_key_id":
        return "an id"
    if isinstance(value, list):
        return f"{len(value)} numbers"
    if isinstance(value, msgspec.Struct):
        given = {key: each for key, each in msgspec.to_builtins(value).items() if each is not None}
        if "b64" in given:
            return f"base64 of {given['dtype']}"
        return ", ".join(f"{key} {each}" for key, each in given.items())[:60]
    return printable(str(value), 40)


def _rejects_of(decoded: Decoded) -> list[RejectReport]:
    groups: dict[tuple[str, str | None], RejectReport] = {}
    for each in decoded.rejects:
        key = (each.reason, each.field)
        if key in groups:
            groups[key].n += 1
        else:
            groups[key] = RejectReport(each.reason, each.field, each.message, 1, each.offset)
    return sorted(groups.values(), key=lambda group: -group.n)
