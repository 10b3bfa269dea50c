"""What log pipelines wrap around the messages of a gateway, taken off before any format reads them."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.json_text import read_json
from copycatch.formats.shared.kafka_dumps import opened
from copycatch.formats.shared.recognise import Recognise
from copycatch.records.columns import RawBatch
from copycatch.records.decoding import Decoded, Decoder, Note
from copycatch.records.wire import MESSAGE_BYTES_MAX

INNER_MAX = 10_000  # messages of one envelope
DEPTH_MAX = 4  # envelopes within envelopes: a container's log of a file of a stream
_HEAD_BYTES = 1024
_KEYS = re.compile(
    rb'"(?:messageType|logEvents|records|jsonPayload|insertId|log|message|@message|@timestamp|payload|schema'
    rb'|resourceLogs)"'
)
_MAGIC = 0  # of Confluent's wire format: this byte, four of a schema's id, then the message
_MAGIC_BYTES = 5

Inner = list[bytes] | None
"""Messages within an envelope; None where there is none."""


class UnwrappingDecoder(Decoder):
    """Takes envelopes off the messages of a topic, then decodes what was within.

    Parameters
    ----------
    inner : Decoder
    recognise : callable
        Tells formats: what is in one is no envelope.
    """

    def __init__(self, inner: Decoder, recognise: Recognise) -> None:
        self._inner = inner
        self._recognise = recognise

    def decode(self, batch: RawBatch) -> Decoded:
        unwrapped, notes = unwrap_batch(batch, self._recognise)
        decoded = self._inner.decode(unwrapped)
        decoded.notes += notes
        return decoded

    def decode_lazily(self, batch: RawBatch) -> Decoded:
        """Envelopes are looked for only where the message is not plainly of the format that is expected."""
        sure, rows = self._inner.decode_sure(batch)
        if not rows:
            return sure
        rest = self.decode(picked(batch, rows))
        return in_order(batch, sure, rest) if sure.records else rest

    def flush(self, now_ms: int) -> Decoded:
        return self._inner.flush(now_ms)

    def snapshot(self) -> bytes:
        return self._inner.snapshot()

    def restore(self, state: bytes) -> None:
        self._inner.restore(state)


def unwrap_batch(batch: RawBatch, recognise: Recognise) -> tuple[RawBatch, Counter[Note]]:
    """The messages within a batch's envelopes, each at the position of its envelope.

    Returns
    -------
    batch : RawBatch
        The given one where nothing is wrapped.
    notes : Counter
        `split` for messages beyond the first of an envelope, `skipped` for envelopes that hold none.
    """
    notes: Counter[Note] = Counter()
    batch = opened(batch)
    inner_by_row: dict[int, list[bytes]] = {}
    for row, value in enumerate(batch.values):
        if not _may_be_wrapped(value):
            continue
        inner = _unwrap(value, recognise, 0)
        if inner is not None:
            inner_by_row[row] = inner
            notes["split"] += max(len(inner) - 1, 0)
            notes["skipped"] += not inner
    if not inner_by_row:
        return batch, notes
    rows: list[int] = []
    values: list[bytes] = []
    for row, value in enumerate(batch.values):
        found = inner_by_row.get(row, [value])
        values += found
        rows += [row] * len(found)
    return replace(picked(batch, rows), values=values), notes


def picked(batch: RawBatch, rows: list[int]) -> RawBatch:
    """Some of the messages; a row may be there more than once."""
    if len(rows) == len(batch.values) and rows == list(range(len(rows))):
        return batch
    return RawBatch(
        batch.topic,
        batch.partition,
        [batch.positions[row] for row in rows],
        [batch.values[row] for row in rows],
        timestamps_ms=[batch.timestamps_ms[row] for row in rows] if batch.timestamps_ms else [],
        headers=[batch.headers[row] for row in rows] if batch.headers else [],
        keys=[batch.keys[row] for row in rows] if batch.keys else [],
    )


def in_order(batch: RawBatch, first: Decoded, second: Decoded) -> Decoded:
    """Both, their records in the order of the messages of the batch."""
    row_by_position = {position: row for row, position in enumerate(batch.positions)}
    both = Decoded([*first.records], [*first.positions], [*first.rejects], first.notes + second.notes)
    both.rejects += second.rejects
    if not second.records:
        return both
    records = first.records + second.records
    positions = first.positions + second.positions
    order = sorted(range(len(records)), key=lambda index: row_by_position[positions[index]])
    both.records = [records[index] for index in order]
    both.positions = [positions[index] for index in order]
    return both


def _may_be_wrapped(value: bytes) -> bool:
    """A look at the beginning, so that messages without envelope cost next to nothing."""
    if not value or len(value) > MESSAGE_BYTES_MAX:
        return False
    return value[0] == _MAGIC or _KEYS.search(value, 0, _HEAD_BYTES) is not None


def _unwrap(value: bytes, recognise: Recognise, depth: int) -> Inner:
    if depth == DEPTH_MAX:
        return None
    if value[:1] == bytes([_MAGIC]) and value[_MAGIC_BYTES : _MAGIC_BYTES + 1] in (b"{", b"["):
        bare = value[_MAGIC_BYTES:]
        inner = _unwrap(bare, recognise, depth + 1)
        return [bare] if inner is None else inner
    try:
        document = read_json(value)
    except MessageFault:
        return None
    if not isinstance(document, dict):
        return None
    for take in _TAKERS:
        found = take(document)
        # A log that has the keys of an envelope by chance is in a known format.
        if found is None or (take is not _otlp_bodies and recognise(document, {}) is not None):
            continue
        messages: list[bytes] = []
        for each in found[:INNER_MAX]:
            encoded = each.encode(errors="replace") if isinstance(each, str) else msgspec.json.encode(each)
            inner = _unwrap(encoded, recognise, depth + 1)
            messages += [encoded] if inner is None else inner
        return messages[:INNER_MAX]
    return None


def _is_json_text(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip()[:1] in ("{", "[")


def _cloudwatch(document: dict[str, Any]) -> list[Any] | None:
    """CloudWatch Logs: a subscription's DATA_MESSAGE (control messages hold nothing), or an export."""
    events = document.get("logEvents")
    if isinstance(events, list) and ("messageType" in document or "logGroup" in document):
        if document.get("messageType") == "CONTROL_MESSAGE":
            return []
        return [each["message"] for each in events if isinstance(each, dict) and "message" in each]
    exported = document.get("@message")
    return [exported] if isinstance(exported, dict) or _is_json_text(exported) else None


def _event_hubs(document: dict[str, Any]) -> list[Any] | None:
    """Azure Monitor to Event Hubs: `{"records": [...]}`; Firehose and others write the same."""
    records = document.get("records")
    is_envelope = isinstance(records, list) and len(document) <= 3
    if not is_envelope or not isinstance(records, list):
        return None
    return records if all(isinstance(each, dict) for each in records) else None


def _cloud_logging(document: dict[str, Any]) -> list[Any] | None:
    """Google Cloud Logging: an entry's `jsonPayload`."""
    payload = document.get("jsonPayload")
    is_entry = any(key in document for key in ("logName", "insertId", "resource", "receiveTimestamp"))
    return [payload] if is_entry and isinstance(payload, dict) else None


def _line(document: dict[str, Any]) -> list[Any] | None:
    """Docker and Fluent Bit (`log`), Filebeat and Logstash (`message`): a line of JSON as text."""
    for key in ("log", "message"):
        if _is_json_text(document.get(key)):
            return [document[key]]
    return None


def _connect(document: dict[str, Any]) -> list[Any] | None:
    """Kafka Connect's JSON converter with schemas: `{"schema": ..., "payload": ...}`."""
    if set(document) != {"schema", "payload"}:
        return None
    payload = document["payload"]
    if payload is None:
        return []  # a tombstone
    return [payload] if isinstance(payload, dict) or _is_json_text(payload) else None


def _otlp_bodies(document: dict[str, Any]) -> list[Any] | None:
    """OTLP log records whose bodies are lines of JSON, as collectors read them from files."""
    records = [
        record
        for group in _dicts(document.get("resourceLogs"))
        for scope in _dicts(group.get("scopeLogs"))
        for record in _dicts(scope.get("logRecords"))
    ]
    bodies = [_body_text(record) for record in records]
    return bodies if bodies and all(map(_is_json_text, bodies)) and not _is_genai(records) else None


def _body_text(record: dict[str, Any]) -> Any:
    body = record.get("body")
    return body.get("stringValue") if isinstance(body, dict) else body


def _is_genai(records: list[dict[str, Any]]) -> bool:
    names = [record.get("eventName") for record in records]
    names += [each.get("key") for record in records for each in _dicts(record.get("attributes"))]
    return any(isinstance(name, str) and name.startswith("gen_ai.") for name in names)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


_TAKERS: tuple[Callable[[dict[str, Any]], list[Any] | None], ...] = (
    _cloudwatch,
    _event_hubs,
    _cloud_logging,
    _line,
    _connect,
    _otlp_bodies,
)
