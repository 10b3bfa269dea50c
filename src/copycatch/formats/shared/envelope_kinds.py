"""Kinds of envelopes that log pipelines put around messages, and what is within each."""

import base64
import re
import zlib
from collections.abc import Callable
from typing import Any

from copycatch.formats.shared.kafka_dumps import unpacked_bytes
from copycatch.formats.shared.messages import dig, first
from copycatch.formats.shared.otlp import plain_value
from copycatch.records.wire import MESSAGE_BYTES_MAX

CRI_LINE = re.compile(rb"\S{20,40} (?:stdout|stderr) F (?=[\[{])")  # of containerd and CRI-O
BASE64 = re.compile(rb"[A-Za-z0-9+/]{40}")  # how a message as base64 begins
# What stands before JSON in a line of text: a time, a host, a container's name, a key.
TEXT_BEFORE = re.compile(rb"[^\s{}\[\]\"][^{}\x00-\x08\x0a-\x1f]{0,500}?[\s|](?=\{\s*\")")
MAGIC = 0  # of Confluent's wire format: this byte, four of a schema's id, then the message
_MAGIC_BYTES = 5
_TEXT_KEYS = (
    "log",
    "message",
    "MESSAGE",
    "textPayload",
    "Message",
    "msg",
    "short_message",
    "LogEntry",
    "LogMessage",
)
_CRI_CHARS = 128  # of a line's prefix and more


def bare(value: bytes) -> bytes | None:
    """The message behind Confluent's magic or a container's prefix, or in base64; None if none."""
    if value[:1] == bytes([MAGIC]) and value[_MAGIC_BYTES : _MAGIC_BYTES + 1] in (b"{", b"["):
        return value[_MAGIC_BYTES:]
    line = CRI_LINE.match(value, 0, 128)
    if line is not None:
        return value[line.end() :]
    is_packed = BASE64.match(value, 0, 128) is not None and value.isascii()
    return unpacked_bytes(value.strip().decode("ascii")) if is_packed else None


def is_json_text(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip()[:1] in ("{", "[")


def _cloudwatch(document: dict[str, Any]) -> list[Any] | None:
    """CloudWatch Logs: a subscription's DATA_MESSAGE (control messages hold nothing), or an export."""
    events = document.get("logEvents")
    if isinstance(events, list) and ("messageType" in document or "logGroup" in document):
        if document.get("messageType") == "CONTROL_MESSAGE":
            return []
        return [each["message"] for each in events if isinstance(each, dict) and "message" in each]
    exported = document.get("@message")
    return [exported] if isinstance(exported, dict) or is_json_text(exported) else None


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
    """Docker and Fluent Bit (`log`), Filebeat and Logstash (`message`), and so on: a line of JSON as text."""
    for key in _TEXT_KEYS:
        held = document.get(key)
        if is_json_text(held) or (isinstance(held, str) and CRI_LINE.match(held[:_CRI_CHARS].encode())):
            return [held]
    # Parsed by the shipper already, beside the line or in its place.
    for key in ("log_processed", "json"):
        if isinstance(document.get(key), dict) and ("@timestamp" in document or "log" in document):
            return [document[key]]
    return None


def _events(document: dict[str, Any]) -> list[Any] | None:
    """Splunk's collector (`event`) and EventBridge (`detail`)."""
    for key, mark in (("event", "sourcetype"), ("detail", "detail-type")):
        found = document.get(key)
        if mark in document and (isinstance(found, dict) or is_json_text(found)):
            return [found]
    return None


def _records(document: dict[str, Any]) -> list[Any] | None:
    """What Lambda functions are given by SQS (`body`), SNS and Kinesis: `{"Records": [...]}`."""
    records = _dicts(document.get("Records"))
    by_partition = document.get("records")
    if isinstance(by_partition, dict):  # of Kafka
        values = [_decoded(each.get("value")) for some in by_partition.values() for each in _dicts(some)]
        return values if values and all(map(is_json_text, values)) else None
    found = []
    for record in records:
        sns, kinesis = record.get("Sns"), record.get("kinesis")
        text = record.get("body")
        text = sns.get("Message") if isinstance(sns, dict) else text
        text = _decoded(kinesis.get("data")) if isinstance(kinesis, dict) else text
        if not is_json_text(text):
            return None
        found.append(text)
    return found or None


def _encoded(document: dict[str, Any]) -> list[Any] | None:
    """Base64, packed or not: `awslogs` of CloudWatch, Pub/Sub's `message.data`, Firehose's `data`."""
    for holder in (document.get("awslogs"), document.get("message"), document):
        data = holder.get("data") if isinstance(holder, dict) else None
        if isinstance(data, str) and (holder is not document or len(document) <= 2):
            text = _decoded(data)
            if is_json_text(text):
                return [text]
    # CloudEvents, and what Event Hubs captures.
    packed = document.get("data_base64") if "specversion" in document else None
    text = _decoded(first(packed, document.get("Body") if "SequenceNumber" in document else None))
    return [text] if is_json_text(text) else None


def _decoded(data: Any) -> str | None:
    """The text within base64, at most as long as a message may be; None where there is none."""
    if not isinstance(data, str):
        return None
    try:
        found = base64.b64decode(data, validate=True)
        if found[:2] == b"\x1f\x8b":
            found = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(found, MESSAGE_BYTES_MAX)
    except (ValueError, zlib.error):  # not only binascii.Error: text beyond ASCII is another one
        return None
    return found.decode("utf-8", errors="replace")


def _connect(document: dict[str, Any]) -> list[Any] | None:
    """Kafka Connect's JSON converter with schemas: `{"schema": ..., "payload": ...}`; Debezium without."""
    is_change = {"before", "after", "op", "source"} <= document.keys()
    if set(document) != {"schema", "payload"} and not is_change:
        return None
    payload = document if is_change else document["payload"]
    if payload is None:
        return []  # a tombstone
    if (
        isinstance(payload, dict) and {"before", "after", "op"} <= payload.keys()
    ):  # Debezium: a row that changed
        payload = payload["after"]
        if payload is None:
            return []
    return [payload] if isinstance(payload, dict) or is_json_text(payload) else None


def otlp_bodies(document: dict[str, Any]) -> list[Any] | None:
    """OTLP log records whose bodies are lines of JSON, as collectors read them from files."""
    records = [
        record
        for group in _dicts(document.get("resourceLogs"))
        for scope in _dicts(group.get("scopeLogs"))
        for record in _dicts(scope.get("logRecords"))
    ]
    bodies = [_body_text(record) for record in records]
    are_lines = all(isinstance(each, dict) or is_json_text(each) for each in bodies)
    return bodies if bodies and are_lines and not _is_genai(records) else None


def _body_text(record: dict[str, Any]) -> Any:
    body = record.get("body")
    if not isinstance(body, dict):
        return body
    # A collector that has parsed the line hands it on as a map.
    return plain_value(body) if "kvlistValue" in body else body.get("stringValue")


def _is_genai(records: list[dict[str, Any]]) -> bool:
    attributes = [each for record in records for each in _dicts(record.get("attributes"))]
    names = [record.get("eventName") for record in records]
    names += [each.get("key") for each in attributes]
    names += [dig(each, "value", "stringValue") for each in attributes if each.get("key") == "event.name"]
    return any(isinstance(name, str) and name.startswith("gen_ai.") for name in names)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


TAKERS: tuple[Callable[[dict[str, Any]], list[Any] | None], ...] = (
    _cloudwatch,
    _event_hubs,
    _cloud_logging,
    _line,
    _events,
    _records,
    _encoded,
    _connect,
    otlp_bodies,
)
