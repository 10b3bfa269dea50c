"""The decoder that all formats of one JSON document a message share; a format adds its reader."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from copycatch.formats.shared.faults import MessageFault, foreign_fault
from copycatch.formats.shared.format import REQUIRED_FIELDS, FormatOptions
from copycatch.formats.shared.json_text import lost_parts, read_json
from copycatch.formats.shared.messages import LogMessage, Reading, lower_headers
from copycatch.formats.shared.readable import is_unread, readable_record
from copycatch.formats.shared.recognise import Recognise
from copycatch.records.columns import Charge, RawBatch
from copycatch.records.decoding import Decoded, Decoder, Note
from copycatch.records.rejects import reject
from copycatch.records.wire import MESSAGE_BYTES_MAX, InferenceRecord

Reader = Callable[[LogMessage], list[Reading]]
"""Readings of one message; an empty list where it is about no inference. May raise `MessageFault`."""

Plain = Callable[[bytes, LogMessage], list[InferenceRecord] | None]
"""Records of a message of the usual shape, of which `LogMessage` has all but the document; None where the
message must go the long way. Tests hold both ways to the same records."""

DOCUMENTS_MAX = 10_000  # in one message; batching loggers send hundreds


class DocumentDecoder(Decoder):
    """Decodes messages that each hold a whole query and its answer.

    Parameters
    ----------
    name : str
        Of the format, to tell foreign messages.
    read : Reader
    sources : mapping of str to str
        Where each canonical field comes from, for messages about missing ones.
    options : FormatOptions
    recognise : Recognise
        Tells messages of other formats.
    is_batched : bool
        Whether a message may be an array of documents.
    parse : callable
        Bytes of a message to its document; may raise `MessageFault`.
    plain : callable
        Reads messages of the usual shape in one look; not asked where a pointer names the account.
    """

    def __init__(
        self,
        name: str,
        read: Reader,
        sources: Mapping[str, str],
        options: FormatOptions,
        recognise: Recognise,
        is_batched: bool = False,
        parse: Callable[[bytes], Any] = read_json,
        plain: Plain | None = None,
    ) -> None:
        self._name = name
        self._read = read
        self._sources = sources
        self._options = options
        self._recognise = recognise
        self._is_batched = is_batched
        self._parse = parse
        self._plain = plain if options.account_pointer is None else None

    def decode_sure(self, batch: RawBatch) -> tuple[Decoded, list[int]]:
        decoded = Decoded()
        plain, rows = self._plain, range(len(batch.values))
        if plain is None:
            return decoded, list(rows)
        return decoded, [row for row in rows if not self._decode_plain(decoded, batch, row, plain)]

    def decode(self, batch: RawBatch) -> Decoded:
        decoded = Decoded()
        for row in range(len(batch.values)):
            if self._plain is not None and self._decode_plain(decoded, batch, row, self._plain):
                continue
            readings = self._readings_of(batch, row, decoded.notes)
            add_readings(decoded, batch, batch.positions[row], readings, self._sources)
            self.make_room(decoded)
        return decoded

    def make_room(self, decoded: Decoded) -> None:
        """Give up what has waited longest, where more waits than may; here nothing waits."""

    def _decode_plain(self, decoded: Decoded, batch: RawBatch, row: int, plain: Plain) -> bool:
        """Whether the message was of the usual shape, and is in the result."""
        value = batch.values[row]
        if len(value) > MESSAGE_BYTES_MAX:
            return False
        records = plain(value, message_of(batch, row, None, self._options, decoded.notes))
        if records is None:
            return False
        decoded.records += records
        decoded.positions += [batch.positions[row]] * len(records)
        if len(records) != 1:
            decoded.notes["skipped" if not records else "split"] += max(len(records) - 1, 1)
        return True

    def _readings_of(self, batch: RawBatch, row: int, notes: Counter[Note]) -> list[Reading]:
        try:
            document = self._parse(batch.values[row])
        except MessageFault as fault:
            found = self._recognise(batch.values[row], {})
            return [fault if found in (None, self._name) else foreign_fault(self._name, found)]
        notes["unread"] += lost_parts(document)
        documents = document if self._is_batched and isinstance(document, list) else [document]
        if len(documents) > DOCUMENTS_MAX:
            return [
                MessageFault(
                    "schema", None, f"{len(documents):,} documents in one message; at most {DOCUMENTS_MAX:,}"
                )
            ]
        notes["split"] += max(len(documents) - 1, 0)
        notes["skipped"] += not documents
        readings: list[Reading] = []
        for index, each in enumerate(documents):
            message = message_of(batch, row, each, self._options, notes)
            if len(documents) > 1:
                message.origin += f":{index}"
            readings += self._read_one(message)
        return readings

    def _read_one(self, message: LogMessage) -> list[Reading]:
        """Readings of a message; what is wrong with it is put in the terms of its own format."""
        document = message.document
        if not isinstance(document, dict):
            kind = "array" if isinstance(document, list) else type(document).__name__
            return [
                MessageFault("schema", None, f"expected a JSON object of format {self._name!r}, got {kind}")
            ]
        n_unknown_before, n_held_before = message.notes["unknown"], message.notes["held"]
        try:
            readings = self._read(message)
        except MessageFault as fault:
            readings = [fault]
        if not all(map(_is_whole, readings)):
            # Only now: a key of another format in a body must not hide a good record.
            found = self._recognise(document, message.headers)
            if found not in (None, self._name):
                message.notes["unknown"] = n_unknown_before
                return [foreign_fault(self._name, found)]
        n_parts = len(readings) + message.notes["unknown"] - n_unknown_before
        n_parts += message.notes["held"] - n_held_before
        if not n_parts:
            message.notes["skipped"] += 1
        message.notes["split"] += max(n_parts - 1, 0)
        return readings


def message_of(
    batch: RawBatch, row: int, document: Any, options: FormatOptions, notes: Counter[Note]
) -> LogMessage:
    """The message at `row` of a batch."""
    key = batch.keys[row] if batch.keys else None
    arrival_ms = batch.timestamps_ms[row] if batch.timestamps_ms else None
    return LogMessage(
        document=document,
        headers=lower_headers(batch.headers[row]) if batch.headers else {},
        key=None if key is None else key[:1024].decode("utf-8", errors="replace"),
        arrival_ms=arrival_ms if arrival_ms is not None and arrival_ms >= 0 else None,
        origin=f"{batch.topic}:{batch.partition}:{batch.positions[row]}",
        options=options,
        notes=notes,
        batch=batch,
        row=row,
    )


def add_readings(
    decoded: Decoded,
    batch: RawBatch,
    position: int,
    readings: list[Reading],
    sources: Mapping[str, str],
    charge: Charge = Charge.NONE,
) -> None:
    """Put what was read into the result: records, and a reject for each reading that is none.

    Records are charged with `charge`, or with an input that could not be read.
    """
    for reading in readings:
        found = reading if isinstance(reading, MessageFault) else record_of(reading, sources, decoded.notes)
        if isinstance(found, MessageFault):
            account_id = None if isinstance(reading, MessageFault) else reading.get("account_id")
            decoded.rejects.append(
                reject(batch, position, found.reason, found.field, found.message, account_id)
            )
        else:
            if charge or is_unread(reading, found):
                decoded.charges[len(decoded.records)] = charge or Charge.UNREAD
            decoded.records.append(found)
            decoded.positions.append(position)


def record_of(
    fields: dict[str, Any], sources: Mapping[str, str], notes: Counter[Note]
) -> InferenceRecord | MessageFault:
    """The record with all that can be read, or what is wrong with a field that every record needs.

    Examples
    --------
    >>> notes = Counter()
    >>> nameless = {"event_id": "e", "event_time": 1, "model_id": "m"}
    >>> record_of(nameless, {"account_id": "consumer.id"}, notes).message
    'account_id is missing: this format takes it from consumer.id; see also account_pointer, \
account_headers and account_fallback in the settings of the topic'
    >>> given = {"event_id": "e", "event_time": 1, "account_id": "a", "model_id": "m", "status": "ok"}
    >>> record_of(given, {}, notes).status, notes["unread"]
    (None, 1)
    """
    try:
        return msgspec.convert(fields, InferenceRecord)
    except (msgspec.ValidationError, RecursionError, OverflowError):
        given = {name: value for name, value in fields.items() if value is not None}
        record, n_unread = readable_record(given)
    if not isinstance(record, MessageFault):
        notes["unread"] += n_unread
        return record
    root = (record.field or "").partition(".")[0].partition("[")[0]
    source = sources.get(root)
    if root not in given:
        return MessageFault("schema", root, _missing_text(root, source))
    return MessageFault(
        record.reason, record.field, f"{record.message} (from {source})" if source else record.message
    )


def _is_whole(reading: Reading) -> bool:
    if isinstance(reading, MessageFault):
        return False
    return None not in [reading.get(name) for name in REQUIRED_FIELDS]


def _missing_text(field: str, source: str | None) -> str:
    origin = f"this format takes it from {source}" if source else "this format never gives it"
    if field == "account_id":
        remedy = "account_pointer, account_headers and account_fallback in the settings of the topic"
        return f"account_id is missing: {origin}; see also {remedy}"
    if field == "model_id":
        return f"model_id is missing: {origin}; set model_id in the settings of the topic"
    return f"{field} is missing: {origin}"
