"""OpenTelemetry GenAI spans and log events as OTLP/JSON, with attribute names old and new."""

from collections.abc import Callable
from functools import partial
from typing import Any

from copycatch.formats.shared.dialects import is_about_models, translated
from copycatch.formats.shared.documents import DocumentDecoder, Plain, add_readings, message_of
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.json_text import read_json
from copycatch.formats.shared.messages import (
    Fields,
    LogMessage,
    Reading,
    first,
    first_name,
)
from copycatch.formats.shared.otlp import (
    Attributes,
    is_alone,
    items_of,
)
from copycatch.formats.shared.plain_spans import plain_record
from copycatch.formats.shared.platform_dialects import TEXTS, VECTORS
from copycatch.formats.shared.recognise import Recognise
from copycatch.formats.shared.span_contents import SpanContents
from copycatch.formats.shared.span_fields import (
    ROLE_BY_EVENT,
    body_of,
    each_text,
    fields_there,
    message_of_event,
    span_key,
)
from copycatch.formats.shared.typed_spans import NotPlain, Span, spans_of
from copycatch.records.columns import Charge
from copycatch.records.decoding import Decoded
from copycatch.records.wire import InferenceRecord

NAME = "otel"
SOURCES = {
    "event_id": "traceId and spanId; gen_ai.response.id",
    "event_time": "startTimeUnixNano (else endTimeUnixNano) of spans, timeUnixNano of log events",
    "account_id": "user.id; enduser.id; gen_ai.user.id; userId of metadata (AI SDK), properties (Traceloop); "
    "langfuse.user.id; metadata.user_api_key_user_id (LiteLLM)",
    "tenant_id": "tenant.id; organization.id",
    "user_agent": "user_agent.original",
    "client_ip": "client.address",
    "model_id": "gen_ai.request.model; gen_ai.response.model",
    "model_version": "gen_ai.response.model",
    "input": "gen_ai.input.messages (last of a user); gen_ai.prompt, .N.content; events gen_ai.user.message",
    "output_text": "gen_ai.output.messages; gen_ai.completion, .N.content; events gen_ai.choice",
    "params": "gen_ai.request.temperature, choice.count, max_tokens; llm.invocation_parameters; ai.settings",
    "embedding": "embedding.embeddings.N.embedding.vector; ai.embeddings",
    "prompt_index": "place among the texts that a span embeds",
    "input_tokens": "gen_ai.usage.input_tokens; gen_ai.usage.prompt_tokens",
    "output_tokens": "gen_ai.usage.output_tokens; gen_ai.usage.completion_tokens",
    "latency_ms": "endTimeUnixNano - startTimeUnixNano",
    "status": "http.response.status_code; status code ERROR",
    "conversation_id": "gen_ai.conversation.id; session.id; earlier turns",
    "turn": "user turns in gen_ai.input.messages",
    "system_hash": "gen_ai.system_instructions; system messages",
    "tools_hash": "gen_ai.tool.definitions",
    "reasoning_refs": "signatures in gen_ai.input.messages; gen_ai.request.previous_response.id",
    "reasoning_issued": "signatures in gen_ai.output.messages",
    "finish_reason": "gen_ai.response.finish_reasons; gen_ai.output.messages",
    "plan": "enduser.plan; user.plan",
    "asn": "client.as.number",
}
HTTP_ERROR_MIN = 400
_DETAILS = "gen_ai.client.inference.operation.details"  # all of a call in one event; mostly without account


class SpanDecoder(DocumentDecoder):
    """Decodes spans; content in log records and its span wait for each other."""

    def __init__(
        self,
        name: str,
        options: FormatOptions,
        recognise: Recognise,
        plain: Plain,
        contents: SpanContents,
        parse: Callable[[bytes], Any] = read_json,
        is_batched: bool = False,
    ) -> None:
        reader = partial(read, contents=contents)
        super().__init__(name, reader, SOURCES, options, recognise, is_batched, parse, plain)
        self._contents = contents

    def flush(self, now_ms: int) -> Decoded:
        decoded = Decoded()
        for trace, key in self._contents.late(now_ms):
            give_up(decoded, self._options, self._contents, trace, key)
        self._contents.forget(now_ms)
        return decoded

    def make_room(self, decoded: Decoded) -> None:
        while (oldest := self._contents.crowded()) is not None:
            give_up(decoded, self._options, self._contents, *oldest)

    def snapshot(self) -> bytes:
        return self._contents.snapshot()

    def restore(self, state: bytes) -> None:
        self._contents.restore(state, self._name)


def make_decoder(options: FormatOptions, recognise: Recognise) -> SpanDecoder:
    """A decoder of this format."""
    contents = SpanContents(options)
    plain = partial(read_plain, contents=contents)
    return SpanDecoder(NAME, options, recognise, plain, contents, is_batched=True)


FORMAT = Format(
    name=NAME,
    sentence="OpenTelemetry spans and logs of GenAI, OpenInference, the AI SDK, OpenLLMetry (OTLP/JSON)",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        ("resourceSpans|resourceLogs|resource_spans|resource_logs",),
        ("context.trace_id=0x", "context.span_id", "start_time", "attributes"),
        ("severity_number", "trace_id", "span_id", "body", "attributes", "timestamp", "resource"),
    ),
)


def read_plain(value: bytes, message: LogMessage, contents: SpanContents) -> list[InferenceRecord] | None:
    """Records of an export of spans that each hold a chat of text, or ask no model; None for all else."""
    try:
        return plain_records(spans_of(value), message, contents)
    except (NotPlain, MessageFault):
        return None


def plain_records(
    spans: list[tuple[Span, Attributes]], message: LogMessage, contents: SpanContents
) -> list[InferenceRecord]:
    """Records of spans that each hold a chat of text.

    Raises
    ------
    NotPlain, MessageFault
        If the message must go the long way.
    """
    if contents and any(span.traceId.strip() in contents for span, _ in spans):
        raise NotPlain
    found = [plain_record(message, span, each) for span, each in spans]
    return [record for record in found if record is not None]


def read(message: LogMessage, contents: SpanContents) -> list[Reading]:
    """One query for each span or log event that asked a model; all others are skipped."""
    document = message.document
    if not is_alone(document) and not any(
        key in document for key in ("resourceSpans", "resourceLogs", "resource_spans", "resource_logs")
    ):
        raise MessageFault("schema", "resourceSpans", "no OTLP/JSON: resourceSpans or resourceLogs is needed")
    items = list(items_of(document))
    traces = [_keep_content(item, attributes, contents) for item, attributes in items]
    readings: list[Reading] = []
    for item, attributes in items:
        try:
            fields = _fields_of(message, item, attributes, contents)
        except MessageFault as fault:
            readings.append(fault)
            continue
        if fields is not None:
            readings += each_text(fields, attributes)
    for trace in dict.fromkeys(each for each in traces if each is not None):
        for key in contents.waiting_in(trace, "span"):
            readings += _completed(message, contents, trace, key)
    return readings


def _completed(message: LogMessage, contents: SpanContents, trace: str, key: str) -> list[Reading]:
    """The span that waited, where all that its service sends is there now."""
    pending = contents.pending(trace, key)
    if pending is None:
        return []
    earlier = message_of(pending.batch(), 0, read_json(pending.value), message.options, message.notes)
    [(item, attributes)] = items_of(earlier.document)
    try:
        fields = _fields_of(earlier, item, attributes, contents, is_again=True)
    except MessageFault as fault:
        contents.take(trace, key)
        message.notes["joined"] += 1
        return [fault]
    if fields is None:
        return []
    contents.take(trace, key)
    message.notes["joined"] += 1
    return [*each_text(fields, attributes)]


def give_up(decoded: Decoded, options: FormatOptions, contents: SpanContents, trace: str, key: str) -> None:
    """Read what waited by itself; a span without its question is judged as half."""
    pending = contents.take(trace, key)
    if pending is None:
        return
    batch = pending.batch()
    message = message_of(batch, 0, read_json(pending.value), options, decoded.notes)
    readings: list[Reading] = []
    for item, attributes in items_of(message.document):
        try:
            fields = _fields_of(message, item, attributes, contents, is_last=True)
        except MessageFault as fault:
            readings.append(fault)
            continue
        readings += [] if fields is None else each_text(fields, attributes)
    is_half = any(not isinstance(each, MessageFault) and each.get("input") is None for each in readings)
    decoded.notes["unpaired"] += is_half
    decoded.notes["split"] += max(len(readings) - 1, 0)
    charge = Charge.UNJOINED if is_half else Charge.NONE
    add_readings(decoded, batch, pending.position, readings, SOURCES, charge)


def _keep_content(item: dict[str, Any], attributes: Attributes, contents: SpanContents) -> str | None:
    """Remember a log record that holds one message of a span's question or answer; its trace."""
    name = first(item.get("eventName"), item.get("event_name"), attributes.get("event.name"))
    if not isinstance(name, str) or name not in ROLE_BY_EVENT:
        return None
    said = message_of_event(name, first(body_of(item), attributes))
    trace = first_name(item.get("traceId"), item.get("trace_id"))
    if said is None or trace is None:
        return None
    contents.note(_service_of(attributes), "answered" if said["role"] == "choice" else "asked")
    contents.keep(trace, span_key(item) or trace, said)
    return trace


def _service_of(attributes: Attributes) -> str:
    return first_name(attributes.get("service.name")) or ""


def _fields_of(
    message: LogMessage,
    item: dict[str, Any],
    attributes: Attributes,
    contents: SpanContents,
    *,
    is_again: bool = False,
    is_last: bool = False,
) -> Fields | None:
    """Fields of a span or log event; None where it is about no inference, or waits for its other part.

    `is_again` is of what waits already; `is_last` of what waits no longer.
    """
    name = first(item.get("eventName"), item.get("event_name"), attributes.get("event.name"))
    if not is_about_models(attributes) or str(name) in ROLE_BY_EVENT:
        return None
    trace, key = first_name(item.get("traceId"), item.get("trace_id")) or "", span_key(item) or ""
    other = None if is_again or not key else contents.pending(trace, key)
    if other is not None and (other.kind == "span") == (name == _DETAILS):
        contents.take(trace, key)
        message.notes["joined"] += 1
        earlier = message_of(other.batch(), 0, read_json(other.value), message.options, message.notes)
        [(other_item, others)] = items_of(earlier.document)
        attributes = {**others, **attributes} if other.kind == "event" else {**attributes, **others}
        if other.kind == "span":
            message, item = earlier, other_item
        is_last = True
    # At first and at last, content under the only other span of the trace will do: some log it so.
    takes_other = is_last or not is_again
    fields = fields_there(message, item, attributes, contents, is_last=takes_other)
    if fields is None or not key or is_last:
        if fields is not None:
            contents.drop(trace, key, is_last=True)
        return fields
    is_held = False
    if name == _DETAILS:
        if fields["account_id"] is None:
            contents.note(_service_of(attributes), "asked", "answered")
            is_held = contents.wait(message, trace, key, "event", _alone(item, attributes, is_log=True))
    elif _lacks_content(fields, attributes, contents):
        is_held = is_again or contents.wait(message, trace, key, "span", _alone(item, attributes))
    if is_held:
        return None
    contents.drop(trace, key, is_last=takes_other)
    return fields


def _lacks_content(fields: Fields, attributes: Attributes, contents: SpanContents) -> bool:
    """Whether something is missing that the service of the span sends in log records."""
    told = translated(attributes)
    operation = str(told.get("gen_ai.operation.name")).lower()
    if operation == "embeddings" or told.get(TEXTS) or told.get(VECTORS):
        return False
    service, status = _service_of(attributes), fields["status"]
    if fields["input"] is None and not fields.get("turn") and contents.sends(service, "asked"):
        return True
    is_answered = fields["output_text"] is not None or fields.get("finish_reason") is not None
    is_failed = isinstance(status, int) and status >= HTTP_ERROR_MIN
    return not is_answered and not is_failed and contents.sends(service, "answered")


def _alone(item: dict[str, Any], attributes: Attributes, *, is_log: bool = False) -> dict[str, Any]:
    """A document of this item alone."""
    whole = {**item, "attributes": attributes}
    if is_log:
        return {"resourceLogs": [{"scopeLogs": [{"logRecords": [whole]}]}]}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [whole]}]}]}
