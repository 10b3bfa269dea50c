"""The decoder that all formats of one JSON document a message share; a format adds its reader."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from copycatch.formats.faults import Fault, format_fault, read_json, schema_fault
from copycatch.formats.messages import Message, Reading, lower_headers
from copycatch.formats.protocol import FormatOptions
from copycatch.records.columns import RawBatch
from copycatch.records.decoding import Decoded, Decoder, Note
from copycatch.records.rejects import reject
from copycatch.records.wire import InferenceRecord

Reader = Callable[[Message], list[Reading]]
"""Readings of one message; an empty list for a message that is about no inference. May raise `Fault`."""

MAPPING = "mapping"  # reads whatever its file says, known formats included
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
    is_batched : bool
        Whether a message may be an array of documents.
    """

    def __init__(
        self,
        name: str,
        read: Reader,
        sources: Mapping[str, str],
        options: FormatOptions,
        is_batched: bool = False,
    ) -> None:
        self._name = name
        self._read = read
        self._sources = sources
        self._options = options
        self._is_batched = is_batched

    def decode(self, batch: RawBatch) -> Decoded:
        decoded = Decoded()
        for row in range(len(batch.values)):
            readings = self._readings_of(batch, row, decoded.notes)
            add_readings(decoded, batch, batch.positions[row], readings, self._sources)
        return decoded

    def _readings_of(self, batch: RawBatch, row: int, notes: Counter[Note]) -> list[Reading]:
        try:
            document = read_json(batch.values[row])
        except Fault as fault:
            return [fault]
        documents = document if self._is_batched and isinstance(document, list) else [document]
        if len(documents) > DOCUMENTS_MAX:
            return [
                Fault(
                    "schema", None, f"{len(documents):,} documents in one message; at most {DOCUMENTS_MAX:,}"
                )
            ]
        notes["split"] += max(len(documents) - 1, 0)
        notes["skipped"] += not documents
        readings: list[Reading] = []
        for index, each in enumerate(documents):
            message = message_of(batch, row, each, self._options, notes)
            if len(documents) > 1:
                message.place += f":{index}"
            readings += read_one(self._name, self._read, message)
        return readings


def message_of(
    batch: RawBatch, row: int, document: Any, options: FormatOptions, notes: Counter[Note]
) -> Message:
    """The message at `row` of a batch."""
    key = batch.keys[row] if batch.keys else None
    arrival_ms = batch.timestamps_ms[row] if batch.timestamps_ms else None
    return Message(
        document=document,
        headers=lower_headers(batch.headers[row]) if batch.headers else {},
        key=None if key is None else key[:1024].decode("utf-8", errors="replace"),
        arrival_ms=arrival_ms if arrival_ms is not None and arrival_ms >= 0 else None,
        place=f"{batch.topic}:{batch.partition}:{batch.positions[row]}",
        options=options,
        notes=notes,
    )


def read_one(name: str, read: Reader, message: Message) -> list[Reading]:
    """Readings of a message, with what is wrong with it said in the words of its own format."""
    document = message.document
    if not isinstance(document, dict):
        kind = "array" if isinstance(document, list) else type(document).__name__
        return [Fault("schema", None, f"expected a JSON object of format {name!r}, got {kind}")]
    # First, because formats that ask for little would take half of what a richer one says.
    foreign = None if name == MAPPING else format_fault(name, document, message.headers)
    if foreign is not None:
        return [foreign]
    try:
        readings = read(message)
    except Fault as fault:
        return [fault]
    if not readings:
        message.notes["skipped"] += 1
    elif len(readings) > 1:
        message.notes["split"] += len(readings) - 1
    return readings


def add_readings(
    decoded: Decoded,
    batch: RawBatch,
    position: int,
    readings: list[Reading],
    sources: Mapping[str, str],
) -> None:
    """Put what was read into the result: valid records, and a reject for each other one."""
    for reading in readings:
        found = reading if isinstance(reading, Fault) else record_of(reading, sources)
        if isinstance(found, Fault):
            decoded.rejects.append(reject(batch, position, found.reason, found.field, found.message))
        else:
            decoded.records.append(found)
            decoded.positions.append(position)


def record_of(fields: dict[str, Any], sources: Mapping[str, str]) -> InferenceRecord | Fault:
    """The validated record, or what is wrong with it and where that came from in the log.

    Examples
    --------
    >>> record_of({"event_id": "e", "event_time": 1, "model_id": "m"}, {"account_id": "consumer.id"}).message
    'account_id is missing: this format takes it from consumer.id; see also account_pointer, \
account_headers and account_fallback in the settings of the topic'
    """
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return msgspec.convert(given, InferenceRecord)
    except (msgspec.ValidationError, RecursionError, OverflowError) as error:
        if not isinstance(error, msgspec.ValidationError):
            return Fault("schema", None, f"the record cannot be read: {error}")
        fault = schema_fault(error, given)
    root = (fault.field or "").partition(".")[0].partition("[")[0]
    source = sources.get(root)
    if root not in given:
        return Fault("schema", root, _missing_words(root, source))
    return Fault(fault.reason, fault.field, f"{fault.message} (from {source})" if source else fault.message)


def _missing_words(field: str, source: str | None) -> str:
    whence = f"this format takes it from {source}" if source else "this format never gives it"
    if field == "account_id":
        remedy = "account_pointer, account_headers and account_fallback in the settings of the topic"
        return f"account_id is missing: {whence}; see also {remedy}"
    if field == "model_id":
        return f"model_id is missing: {whence}; set model_id in the settings of the topic"
    return f"{field} is missing: {whence}"
