"""Outcomes as messages: keys, headers, time stamps and tombstones, the same for every sink.

Keys make sinks idempotent: an alert's uid, a recommendation's decision key, a reject's source position.
"""

from collections.abc import Iterator
from typing import NamedTuple

from copycatch.alert_formats.catalog import ALERT_FORMATS, AlertFormat
from copycatch.ports import Kind, Message
from copycatch.records.columns import Outcomes
from copycatch.records.traces import TRACEPARENT
from copycatch.records.wire import ENCODER, Alert, Recommendation, Rejected
from copycatch.units import parse_rfc3339

JSON = b"application/json"
NATIVE = ALERT_FORMATS["native"]


class Addressed(NamedTuple):
    kind: Kind
    message: Message


def messages_of(outcomes: Outcomes, alert_format: AlertFormat, now_ms: int) -> Iterator[Addressed]:
    """Every message that `outcomes` asks for, in the order in which they are to be written.

    A revoked recommendation is written first, and its tombstone after it: a reader who is there sees why,
    and compaction can forget the key. `now_ms` dates rejects only: they have no time of their own.
    """
    for alert in outcomes.alerts:
        yield Addressed("alert", _alert(alert, alert_format))
    for recommendation in outcomes.recommendations:
        message = _recommendation(recommendation)
        yield Addressed("recommendation", message)
        if recommendation.op == "revoke":
            tombstone = Message(message.key, None, message.timestamp_ms, [])
            yield Addressed("recommendation", tombstone)
    for reject in outcomes.rejects:
        yield Addressed("dead_letter", _dead_letter(reject, now_ms))
    for key, value in outcomes.learning:
        yield Addressed("learning", Message(key, value, now_ms))


def _headers(content_type: bytes, schema_version: str, ce_id: str, ce_type: str) -> list[tuple[str, bytes]]:
    return [
        ("content-type", content_type),
        ("schema-version", schema_version.encode()),
        ("ce_specversion", b"1.0"),
        ("ce_id", ce_id.encode("utf-8", "backslashreplace")),
        ("ce_type", ce_type.encode()),
        ("ce_source", b"copycatch"),
    ]


def _alert(alert: Alert, alert_format: AlertFormat) -> Message:
    headers = _headers(
        alert_format.content_type.encode(),
        alert.schema_version,
        f"{alert.uid}/{alert.op}/{alert.time}",
        f"copycatch.alert.{alert.op}",
    )
    if alert.traceparent is not None:
        headers.append((TRACEPARENT, alert.traceparent.encode()))
    value, time_ms, is_drill = alert_format.encode(alert), parse_rfc3339(alert.time), alert.drill is True
    return Message(alert.uid.encode(), value, time_ms, headers, is_drill)


def _recommendation(recommendation: Recommendation) -> Message:
    key = recommendation.decision_key.encode("utf-8", "backslashreplace")
    headers = _headers(
        JSON,
        recommendation.schema_version,
        f"{recommendation.decision_key}/{recommendation.epoch}/{recommendation.revision}",
        f"copycatch.recommendation.{recommendation.op}",
    )
    value, time_ms = ENCODER.encode(recommendation), parse_rfc3339(recommendation.issued_at)
    return Message(key, value, time_ms, headers, recommendation.drill is True)


def _dead_letter(reject: Rejected, now_ms: int) -> Message:
    position = f"{reject.topic}:{reject.partition}:{reject.offset}"
    headers = _headers(JSON, reject.schema_version, position, f"copycatch.rejected.{reject.reason}")
    return Message(position.encode("utf-8", "backslashreplace"), ENCODER.encode(reject), now_ms, headers)
