"""The native format: one JSON object a message, validated while it is parsed."""

import datetime as dt
from typing import Any

import msgspec

from copycatch.formats.shared.faults import (
    MessageFault,
    foreign_fault,
    schema_fault,
    size_fault,
    version_fault,
)
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.json_text import lost_parts, read_json
from copycatch.formats.shared.lazy_record import LazyReader
from copycatch.formats.shared.readable import is_unread, readable_record
from copycatch.formats.shared.recognise import Recognise
from copycatch.formats.shared.times import time_ms_of
from copycatch.records.columns import Charge, RawBatch
from copycatch.records.decoding import Decoded, Decoder
from copycatch.records.rejects import reject
from copycatch.records.wire import MESSAGE_BYTES_MAX, InferenceRecord

SOURCES: dict[str, str] = {
    name: name for name in InferenceRecord.__struct_fields__ if name != "schema_version"
}
NAME = "native"

_decode_record = msgspec.json.Decoder(InferenceRecord).decode


class NativeDecoder(Decoder):
    """Decodes inference records; 1 to 6 us each, most of it the numbers of the vectors.

    Examples
    --------
    >>> from copycatch.formats.catalog import make_decoder
    >>> batch = RawBatch("logs", 0, [7, 8], [
    ...     b'{"event_id":"e1","event_time":"2026-01-05T00:00:00Z","account_id":"a","model_id":"m"}',
    ...     b'{"event_id":"e2","event_time":"2026-01-05T00:00:01Z","model_id":"m"}',
    ... ])
    >>> decoded = make_decoder("native", FormatOptions()).decode(batch)
    >>> [record.event_id for record in decoded.records], decoded.positions
    (['e1'], [7])
    >>> decoded.rejects[0].field, decoded.rejects[0].offset
    ('account_id', 8)
    """

    def __init__(self, recognise: Recognise, zone: dt.tzinfo | None = None) -> None:
        self._recognise = recognise
        self._zone = zone
        self._reader = LazyReader()

    def decode_sure(self, batch: RawBatch) -> tuple[Decoded, list[int]]:
        values = batch.values
        if self._zone is not None or max(map(len, values), default=0) > MESSAGE_BYTES_MAX:
            return super().decode_sure(batch)
        records, rows, others = self._reader.read(values)
        positions = batch.positions if not others else [batch.positions[row] for row in rows]
        return Decoded(records, positions), others

    def decode(self, batch: RawBatch) -> Decoded:
        decoded = Decoded()
        values = batch.values
        records, kept = decoded.records, decoded.positions
        row, n_values = 0, len(values)
        # The try is outside of the loop: a good batch pays nothing for it.
        while row < n_values:
            try:
                for row in range(row, n_values):  # noqa: B020 - goes on behind the bad record
                    value = values[row]
                    if len(value) > MESSAGE_BYTES_MAX:
                        raise size_fault(value)
                    record = _decode_record(value)
                    version = record.schema_version
                    if version is not None and not version.startswith("1."):
                        raise version_fault(version)
                    if self._zone is not None:
                        record.event_time = time_ms_of(record.event_time, zone=self._zone)
                    records.append(record)
                    kept.append(batch.positions[row])
            except MessageFault as found:
                fault = found
            except (ValueError, RecursionError) as error:
                slow = _read_slowly(value, error, self._recognise, decoded)
                if isinstance(slow, InferenceRecord):
                    slow = self._in_zone(slow)
                if isinstance(slow, InferenceRecord):
                    records.append(slow)
                    kept.append(batch.positions[row])
                    row += 1
                    continue
                fault = slow
            else:
                break
            decoded.rejects.append(
                reject(batch, batch.positions[row], fault.reason, fault.field, fault.message)
            )
            row += 1
        return decoded

    def _in_zone(self, record: InferenceRecord) -> InferenceRecord | MessageFault:
        try:
            if self._zone is not None:
                record.event_time = time_ms_of(record.event_time, zone=self._zone)
        except MessageFault as fault:
            return fault
        return record


def make_decoder(options: FormatOptions, recognise: Recognise) -> NativeDecoder:
    """A decoder of this format; of the options only `times` matters."""
    return NativeDecoder(recognise, options.times)


FORMAT = Format(
    name=NAME,
    sentence="copycatch's own inference record: one JSON object a message",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        (
            "event_id",
            "event_time",
        ),
        (
            "event_id",
            "account_id|model_id",
        ),
        (
            "account_id",
            "model_id",
        ),
    ),
    precedence=3,
)


def _read_slowly(
    value: bytes, error: Exception, recognise: Recognise, decoded: Decoded
) -> InferenceRecord | MessageFault:
    """The record with all that can be read of it, or what is wrong; run only for bad messages."""
    try:
        document: Any = read_json(value)
    except MessageFault as fault:
        found = recognise(value, {})
        return fault if found is None else foreign_fault(NAME, found)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, str) and not version.startswith("1."):
        return version_fault(version)
    if isinstance(document, dict):
        given = {name: document[name] for name in SOURCES if document.get(name) is not None}
        record, n_unread = readable_record(given)
        if isinstance(record, InferenceRecord):
            decoded.notes["unread"] += n_unread + lost_parts(document)
            if is_unread(given, record):
                decoded.charges[len(decoded.records)] = Charge.UNREAD
            return record
        foreign = recognise(document, {})
        return record if foreign in (None, NAME) else foreign_fault(NAME, foreign)
    if isinstance(error, msgspec.ValidationError):
        return schema_fault(error, document)
    return MessageFault("schema", None, f"the record cannot be read: {error}")
