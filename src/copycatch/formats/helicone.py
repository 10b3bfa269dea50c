"""Helicone requests: its export tool (JSONL with bodies), its query API, and its webhooks."""

from typing import Any

from copycatch.formats.shared.chat import (
    request_fields,
    response_fields,
    split_asked,
)
from copycatch.formats.shared.context import CONTEXT_SOURCES
from copycatch.formats.shared.documents import DocumentDecoder
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.messages import (
    Fields,
    LogMessage,
    Reading,
    count_of,
    dig,
    first,
    first_name,
    nested_or_text,
)
from copycatch.formats.shared.predictions import numbered
from copycatch.formats.shared.recognise import Recognise
from copycatch.formats.shared.times import in_utc

NAME = "helicone"
SOURCES = {
    "event_id": "request_id",
    "event_time": "request_created_at",
    "account_id": "request_user_id (the header Helicone-User-Id); user_id; helicone_user",
    "model_id": "request_model; model_override; request_body.model; model; response_model",
    "model_version": "response_model; response_body.model",
    "input": "request_body: messages (last of a user), prompt or input; needs bodies in the export",
    "embedding": "response_body.data[].embedding",
    "output_text": "response_body; streamed answers joined",
    "params": "request_body: logprobs, top_logprobs, logit_bias, n, temperature, max_tokens",
    "input_tokens": "prompt_tokens; response_body.usage",
    "output_tokens": "completion_tokens; response_body.usage",
    "latency_ms": "delay_ms",
    "status": "response_status",
    **CONTEXT_SOURCES,
    "conversation_id": "request_properties.Helicone-Session-Id",
}


def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, recognise, is_batched=True)


FORMAT = Format(
    name=NAME,
    sentence="Helicone requests, as its export tool, query API and webhooks write them",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        ("request_id", "request_created_at", "request_path|request_body|response_status|helicone_user"),
        ("request_id", "request_response_url"),
    ),
)


def read(message: LogMessage) -> list[Reading]:
    """One request."""
    row = message.document
    event_id = first_name(row.get("request_id"))
    if event_id is None:
        raise MessageFault("schema", "request_id", "no request of Helicone: request_id is missing")
    request, response = message.asked(row.get("request_body")), _answer(message, row.get("response_body"))
    asked, answered = request_fields(request), response_fields(response)
    properties = first(row.get("request_properties"), row.get("properties"))
    session = first_name(
        dig(properties, "Helicone-Session-Id"), dig(properties, "helicone-session-id"), row.get("session_id")
    )
    fields: Fields = {
        **asked,
        **{name: value for name, value in answered.items() if value is not None},
        "event_id": event_id,
        "event_time": message.time_ms(in_utc(row.get("request_created_at")), in_utc(row.get("created_at"))),
        "account_id": message.account(
            row, row.get("request_user_id"), row.get("user_id"), row.get("helicone_user")
        ),
        "tenant_id": message.tenant(),
        "model_id": message.model(
            row.get("request_model"), row.get("model_override"), asked.get("model_id"), row.get("model"),
            row.get("response_model"),
        ),
        "model_version": first_name(row.get("response_model"), answered.get("model_version")),
        "input_tokens": count_of(first(row.get("prompt_tokens"), answered.get("input_tokens"))),
        "output_tokens": count_of(first(row.get("completion_tokens"), answered.get("output_tokens"))),
        "latency_ms": row.get("delay_ms"),
        "status": _status(row.get("response_status")),
    }  # fmt: skip
    if session is not None:
        fields["conversation_id"] = session
    return list(numbered(split_asked(fields, request, response)))


def _answer(message: LogMessage, body: Any) -> Any:
    found = nested_or_text(body)
    streamed = dig(found, "streamed_data")  # what came over the wire, beside what was made of it
    if streamed is not None and "choices" not in found and "content" not in found:
        found = streamed
    return message.body(found)


def _status(status: Any) -> Any:
    # Below 100 are Helicone's own marks: pending, cancelled, timeout.
    code = count_of(status)
    return code if isinstance(code, int) and code >= 100 else None
