"""OTLP/JSON: spans and log records of an export, and their attributes as plain values."""

from collections.abc import Iterator
from typing import Any

from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.messages import count_of, dig, first
from copycatch.formats.shared.times import time_ms_of

Attributes = dict[str, Any]
_ITEMS_MAX = 20_000  # spans or log events of one message
_DEPTH_MAX = 8
_CALL_EVENTS = ("gen_ai.client.", "gen_ai.content.")  # others hold a message each


def items_of(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Attributes]]:
    """Spans and log events with their attributes, those of the resource below their own."""
    if is_alone(document):
        yield (
            _alone(document),
            {
                **attributes_of(dig(document, "resource", "attributes")),
                **_told_by_events(document),
                **attributes_of(document.get("attributes")),
            },
        )
        return
    n_items = 0
    for group_key, scope_key, item_key in (
        ("resourceSpans", "scopeSpans", "spans"),
        ("resourceLogs", "scopeLogs", "logRecords"),
        ("resource_spans", "scope_spans", "spans"),
        ("resource_logs", "scope_logs", "log_records"),
    ):
        for group in dicts_of(document.get(group_key)) if group_key in document else ():
            shared = attributes_of(dig(group, "resource", "attributes"))
            for scope in dicts_of(group.get(scope_key)):
                for item in dicts_of(scope.get(item_key)):
                    n_items += 1
                    if n_items > _ITEMS_MAX:
                        raise MessageFault(
                            "schema", item_key, f"more than {_ITEMS_MAX:,} items in one message"
                        )
                    yield item, {**shared, **_told_by_events(item), **attributes_of(item.get("attributes"))}


def is_alone(document: dict[str, Any]) -> bool:
    """Whether a document is one span or log record, as the SDK of Python writes them to the console."""
    if not isinstance(document.get("attributes"), dict):
        return False
    is_span = isinstance(document.get("context"), dict) and "start_time" in document
    return is_span or {"body", "severity_number", "trace_id", "timestamp"} <= document.keys()


def _alone(document: dict[str, Any]) -> dict[str, Any]:
    """The same in the terms of OTLP: ids without 0x, times in nanoseconds."""
    context = document if "start_time" not in document else document["context"]
    item = {
        "traceId": _plain_id(context.get("trace_id")),
        "spanId": _plain_id(context.get("span_id")),
        "events": document.get("events"),
    }
    if context is document:
        name = document.get("event_name")
        return {**item, "eventName": name, "timeUnixNano": _nanos_at(document.get("timestamp")),
                "body": {"stringValue": document["body"]}}  # fmt: skip
    code = "STATUS_CODE_ERROR" if dig(document, "status", "status_code") == "ERROR" else None
    return {
        **item,
        "startTimeUnixNano": _nanos_at(document.get("start_time")),
        "endTimeUnixNano": _nanos_at(document.get("end_time")),
        "status": {"code": code},
    }


def _plain_id(value: Any) -> Any:
    return value.removeprefix("0x") if isinstance(value, str) else value


def _nanos_at(time: Any) -> str | None:
    return None if time is None else str(1_000_000 * time_ms_of(time))


def _told_by_events(item: dict[str, Any]) -> Attributes:
    """What events of a span say of the call itself: all of it in one event, a prompt, a completion."""
    told: Attributes = {}
    for event in dicts_of(item.get("events")) if item.get("events") else ():
        name = event.get("name")
        if isinstance(name, str) and name.startswith(_CALL_EVENTS):
            told |= {
                key: value
                for key, value in attributes_of(event.get("attributes")).items()
                if key.startswith("gen_ai.")
            }
    return told


def attributes_of(given: Any) -> Attributes:
    """Attributes as names and plain values.

    Examples
    --------
    >>> attributes_of([{"key": "n", "value": {"intValue": "2"}}, {"key": "t", "value": {"doubleValue": 0.5}}])
    {'n': 2, 't': 0.5}
    """
    if isinstance(given, dict):  # some exporters flatten them
        return given
    found = {}
    for entry in given if isinstance(given, list) else ():
        key = entry.get("key") if isinstance(entry, dict) else None
        if isinstance(key, str):
            value = entry.get("value")
            is_text = isinstance(value, dict) and "stringValue" in value  # most are
            found[key] = value["stringValue"] if is_text else plain_value(value)
    return found


def plain_value(value: Any, depth: int = 0) -> Any:
    """An AnyValue of OTLP as a plain value; 64-bit integers come as strings in JSON."""
    if not isinstance(value, dict) or depth > _DEPTH_MAX:
        return None
    for key, found in value.items():
        if key in ("intValue", "int_value"):
            return count_of(found)
        if key in ("arrayValue", "array_value"):
            return [plain_value(each, depth + 1) for each in dicts_of(dig(found, "values"))]
        if key in ("kvlistValue", "kvlist_value"):
            return {
                str(entry.get("key")): plain_value(entry.get("value"), depth + 1)
                for entry in dicts_of(dig(found, "values"))
            }
        return found
    return None


def known_time(item: dict[str, Any], *names: str) -> Any:
    """The first time that is there; 0 is how OTLP writes that it is unknown."""
    return next((item[name] for name in names if item.get(name) not in (None, 0, "0", "")), None)


def nanos_of(value: Any) -> int | None:
    """Nanoseconds since 1970, which JSON writes as text; None where it is no time."""
    is_text = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20
    if is_text or (isinstance(value, int) and 0 < value < 1 << 63):
        return int(value)
    return None


def dicts_of(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def latency_ms_of(started: Any, ended: Any) -> float | None:
    """Milliseconds between two times of a span; None where one is unknown."""
    started_ns, ended_ns = nanos_of(started), nanos_of(ended)
    return (ended_ns - started_ns) / 1e6 if started_ns and ended_ns else None


def status_of(item: dict[str, Any], attributes: Attributes) -> Any:
    """The HTTP status that a span tells, 500 where it only says that it failed."""
    code = count_of(first(attributes.get("http.response.status_code"), attributes.get("error.type")))
    if isinstance(code, int) and 100 <= code <= 999:
        return code
    is_error = dig(item, "status", "code") in (2, "STATUS_CODE_ERROR") or "error.type" in attributes
    return 500 if is_error else None
