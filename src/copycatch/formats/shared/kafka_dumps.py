"""Messages of Kafka written to a file with their headers and keys, as `kcat -J` and console consumers do."""

import base64
import re
from typing import Any

import msgspec

from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.json_text import read_json
from copycatch.formats.shared.messages import HEADERS_MAX
from copycatch.records.columns import RawBatch
from copycatch.records.wire import MESSAGE_BYTES_MAX

_MARKS = re.compile(rb'"(?:topic|partition|offset|headers|key|tstype)"')
_HEAD_BYTES = 256
_KEYS = frozenset(
    {"topic", "partition", "partitionID", "offset", "headers", "key", "value", "payload", "broker",
     "__metadata", "ts", "tstype", "timestamp", "timestampType"}
)  # fmt: skip
_HINTS = frozenset({"topic", "headers", "offset"})
_UNKNOWN_MS = -1
_BEGINNINGS = (b"{", b"[", b"\n", b"\x00")  # of JSON, of OTLP as protobuf, of Confluent's wire format


def opened(batch: RawBatch) -> RawBatch:
    """The messages within, each with its own headers, key and time; the given batch where there are none."""
    found = {row: dump for row, value in enumerate(batch.values) if (dump := _dump_of(value)) is not None}
    if not found:
        return batch
    n = len(batch.values)
    opened_batch = RawBatch(
        batch.topic,
        batch.partition,
        batch.positions,
        list(batch.values),
        timestamps_ms=list(batch.timestamps_ms) or [_UNKNOWN_MS] * n,
        headers=list(batch.headers) or [[] for _ in range(n)],
        keys=list(batch.keys) or [None] * n,
    )
    for row, dump in found.items():
        body = _body_of(dump)
        packed = unpacked_bytes(body)
        opened_batch.values[row] = packed or (
            body.encode(errors="replace") if isinstance(body, str) else msgspec.json.encode(body)
        )
        opened_batch.headers[row] = _headers_of(dump.get("headers"))
        key = dump.get("key")
        named = unpacked_key(key) if packed is not None else None
        opened_batch.keys[row] = named or (key.encode(errors="replace") if isinstance(key, str) else None)
        for name in ("ts", "timestamp"):
            if isinstance(dump.get(name), int):
                opened_batch.timestamps_ms[row] = dump[name]
    return opened_batch


def _dump_of(value: bytes) -> dict[str, Any] | None:
    if len(value) > MESSAGE_BYTES_MAX or _MARKS.search(value, 0, _HEAD_BYTES) is None:
        return None
    if b'"value"' not in value and b'"payload"' not in value:
        return None
    if b'"topic' not in value and b'"headers' not in value and b'"offset' not in value:
        return None  # spans have keys and values, too
    try:
        document = read_json(value)
    except MessageFault:
        return None
    if not isinstance(document, dict) or not _KEYS.issuperset(document) or _HINTS.isdisjoint(document):
        return None
    body = _body_of(document)
    return document if isinstance(body, str | dict | list) and body else None


def _body_of(dump: dict[str, Any]) -> Any:
    return dump.get("payload") if dump.get("value") is None else dump["value"]


def unpacked_bytes(body: Any) -> bytes | None:
    r"""The message within base64: JSON, OTLP as protobuf, or Confluent's wire format; None for all else.

    Examples
    --------
    >>> unpacked_bytes("eyJhIjogMX0="), unpacked_bytes("CgNhYmM="), unpacked_bytes('{"a": 1}')
    (b'{"a": 1}', b'\n\x03abc', None)
    """
    if not isinstance(body, str) or body[:1] in ("{", "["):
        return None
    found = unpacked_key(body)
    return found if found is not None and found[:1] in _BEGINNINGS else None


def unpacked_key(key: Any) -> bytes | None:
    """The bytes within base64; None where there is none."""
    try:
        return base64.b64decode(key, validate=True) if isinstance(key, str) and key else None
    except ValueError:  # not only binascii.Error: text beyond ASCII is another one
        return None


def _headers_of(given: Any) -> list[tuple[str, bytes]]:
    """Headers as an object, as pairs, or as names and values by turns."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(given, dict):
        pairs = list(given.items())
    elif isinstance(given, list) and all(isinstance(each, str) for each in given):
        pairs = list(zip(given[::2], given[1::2], strict=False))
    elif isinstance(given, list):
        pairs = [(each.get("key"), each.get("value")) for each in given if isinstance(each, dict)]
        pairs += [(each[0], each[1]) for each in given if isinstance(each, list) and len(each) == 2]
    return [
        (name, text.encode(errors="replace"))
        for name, text in pairs[:HEADERS_MAX]
        if isinstance(name, str) and isinstance(text, str)
    ]
