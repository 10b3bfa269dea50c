"""OTLP as protobuf, the collector's default for Kafka: read by the published package, then as `otel`."""

from functools import partial
from typing import TYPE_CHECKING, Any

from copycatch.formats import otel
from copycatch.formats.shared.faults import MessageFault, size_fault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.json_text import read_json
from copycatch.formats.shared.messages import LogMessage
from copycatch.formats.shared.otlp import Attributes
from copycatch.formats.shared.recognise import Recognise
from copycatch.formats.shared.span_contents import SpanContents
from copycatch.formats.shared.typed_spans import ITEMS_MAX, NotPlain, places_read
from copycatch.formats.shared.typed_spans import Span as PlainSpan
from copycatch.records.wire import MESSAGE_BYTES_MAX, InferenceRecord

if TYPE_CHECKING:  # the package is loaded with the first message that needs it: other formats start faster
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData
    from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

NAME = "otlp_proto"
SOURCES = otel.SOURCES
_TRACE_BYTES, _SPAN_BYTES = 16, 8  # of ids, by the definition
_DEPTH_MAX = 8
_SCALARS = frozenset({"string_value", "int_value", "double_value", "bool_value"})


def make_decoder(options: FormatOptions, recognise: Recognise) -> otel.SpanDecoder:
    """A decoder of this format."""
    contents = SpanContents(options)
    return otel.SpanDecoder(NAME, options, recognise, partial(read_plain, contents=contents), contents, parse)


def read_plain(value: bytes, message: LogMessage, contents: SpanContents) -> list[InferenceRecord] | None:
    """Records of spans that each hold a chat of text, or ask no model; None for all else."""
    if value[:1] == b"{":
        return otel.read_plain(value, message, contents)
    traces = _traces(value)
    if traces is None:
        return None
    try:
        return otel.plain_records(_spans_read(traces), message, contents)
    except (NotPlain, MessageFault):
        return None


def parse(value: bytes) -> Any:
    """Traces or logs of one message as the document that OTLP/JSON would be, attributes as plain values.

    A message in JSON is taken as well: exporters in front of one topic need not agree.

    Raises
    ------
    MessageFault
        If it is neither, or longer than a message may be.
    """
    if len(value) > MESSAGE_BYTES_MAX:
        raise size_fault(value)
    if value[:1] == b"{":
        return read_json(value)
    traces = _traces(value)
    if traces is not None:
        return {
            "resourceSpans": [
                {
                    "resource": {"attributes": _attributes(group.resource.attributes)},
                    "scopeSpans": [{"spans": list(map(_span, scope.spans))} for scope in group.scope_spans],
                }
                for group in traces.resource_spans
            ]
        }
    logs = _logs(value)
    if logs is None:
        raise MessageFault(
            "schema", None, "neither traces nor logs of OTLP as protobuf; set encoding: otlp_proto"
        )
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": _attributes(group.resource.attributes)},
                "scopeLogs": [
                    {"logRecords": list(map(_log, scope.log_records))} for scope in group.scope_logs
                ],
            }
            for group in logs.resource_logs
        ]
    }


def is_own(value: bytes) -> bool:
    """Whether a message is traces or logs of OTLP as protobuf."""
    return value[:1] == b"\n" and (_traces(value) is not None or _logs(value) is not None)


FORMAT = Format(
    name=NAME,
    sentence="OpenTelemetry GenAI spans and log events as OTLP/protobuf, the collector's default for Kafka",
    sources=SOURCES,
    make_decoder=make_decoder,
    is_own=is_own,
)


def _traces(value: bytes) -> "TracesData | None":
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    # Traces, logs and metrics have the same outer shape; ids of the right length tell spans.
    found = TracesData()
    try:
        found.ParseFromString(value)
    except DecodeError:
        return None
    spans = [span for group in found.resource_spans for scope in group.scope_spans for span in scope.spans]
    is_span = all(len(span.trace_id) == _TRACE_BYTES and len(span.span_id) == _SPAN_BYTES for span in spans)
    return found if spans and is_span else None


def _logs(value: bytes) -> "LogsData | None":
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

    found = LogsData()
    try:
        found.ParseFromString(value)
    except DecodeError:
        return None
    records = [
        record for group in found.resource_logs for scope in group.scope_logs for record in scope.log_records
    ]
    is_log = all(len(record.trace_id) in (0, _TRACE_BYTES) for record in records) and any(
        record.time_unix_nano or record.observed_time_unix_nano for record in records
    )
    return found if records and is_log else None


def _spans_read(traces: "TracesData") -> list[tuple[PlainSpan, Attributes]]:
    """Spans that ask models, with those of their attributes that are read."""
    found: list[tuple[PlainSpan, Attributes]] = []
    n_spans = 0
    for group in traces.resource_spans:
        shared = group.resource.attributes
        for scope in group.scope_spans:
            n_spans += len(scope.spans)
            if n_spans > ITEMS_MAX:
                raise NotPlain
            for span in scope.spans:
                entries = [*shared, *span.attributes]
                places = places_read(tuple([each.key for each in entries]))
                if places is not None:
                    read = {name: _plain_of(entries[place]) for name, place in places}
                    found.append((_plain_span(span), read))
    return found


def _plain_span(span: "Span") -> PlainSpan:
    if len(span.events):
        raise NotPlain
    return PlainSpan(
        traceId=span.trace_id.hex(),
        spanId=span.span_id.hex(),
        startTimeUnixNano=span.start_time_unix_nano,
        endTimeUnixNano=span.end_time_unix_nano,
        status={"code": code} if (code := span.status.code) else None,
    )


def _plain_of(entry: "KeyValue") -> Any:
    value = entry.value
    text = value.string_value
    if text:
        return text
    kind = value.WhichOneof("value")
    if kind == "array_value":
        if any(each.WhichOneof("value") not in _SCALARS for each in value.array_value.values):
            raise NotPlain
        return [_plain(each) for each in value.array_value.values]
    if kind not in _SCALARS:
        raise NotPlain
    return getattr(value, kind)


def _span(span: "Span") -> dict[str, Any]:
    return {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "name": span.name,
        "startTimeUnixNano": span.start_time_unix_nano,
        "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": _attributes(span.attributes),
        "events": [{"name": each.name, "attributes": _attributes(each.attributes)} for each in span.events],
        "status": {"code": span.status.code},
    }


def _log(record: "LogRecord") -> dict[str, Any]:
    return {
        "traceId": record.trace_id.hex(),
        "spanId": record.span_id.hex(),
        "timeUnixNano": record.time_unix_nano,
        "observedTimeUnixNano": record.observed_time_unix_nano,
        "eventName": record.event_name or None,
        "attributes": _attributes(record.attributes),
        "body": {"stringValue": _plain(record.body)},  # whatever its kind: read as it stands here
    }


def _attributes(given: Any) -> dict[str, Any]:
    return {entry.key: _plain(entry.value) for entry in given}


def _plain(value: "AnyValue", depth: int = 0) -> Any:
    """A plain value; bytes have none that a record holds."""
    kind = value.WhichOneof("value")
    if kind is None or kind == "bytes_value" or depth > _DEPTH_MAX:
        return None
    found = getattr(value, kind)
    if kind == "array_value":
        return [_plain(each, depth + 1) for each in found.values]
    if kind == "kvlist_value":
        return {entry.key: _plain(entry.value, depth + 1) for entry in found.values}
    return found
