"""Anthropic's Messages API as gateways log it: an envelope, an answer alone, or results of a batch."""

from dataclasses import replace
from typing import Any

from copycatch.formats import openai
from copycatch.formats.shared.documents import DocumentDecoder
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.messages import LogMessage, Reading, dig, nested_or_text
from copycatch.formats.shared.recognise import Recognise

NAME = "anthropic"
SOURCES = {
    **openai.SOURCES,
    "event_id": "event_id, request_id or id of the envelope; response.id; custom_id of a batch's result",
    "event_time": "event_time, timestamp, time, start_time or created_at of the envelope; arrival",
    "input": "request.messages (last of a user)",
    "output_text": "response.content of type text; deltas of a stream joined",
    "input_tokens": "response.usage.input_tokens",
    "output_tokens": "response.usage.output_tokens",
    "params": "request: temperature, max_tokens",
    "status": "status or status_code of the envelope; response.error.type",
}
del SOURCES["embedding"]
_STATUS_BY_ERROR = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, recognise, is_batched=True)


FORMAT = Format(
    name=NAME,
    sentence="Anthropic Messages: {request, response, ...}, an answer alone, or results of a batch",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        ("request", "response.type=message"),
        ("request", "response.type=error", "response.error.type"),
        ("request.messages", "request.thinking|request.anthropic_version|request.anthropic_beta"),
        ("type=message", "role=assistant", "content", "usage"),
        ("custom_id", "result.type", "result.message|result.error"),
    ),
)


def read(message: LogMessage) -> list[Reading]:
    """One query: the envelope is that of `openai`, the bodies are this API's own."""
    document = message.document
    if "result" in document and "custom_id" in document:  # a line of a batch's results
        result = document["result"]
        envelope = {**document, "id": document["custom_id"], "response": dig(result, "message")}
        failed = dig(result, "error")
    elif document.get("type") == "message" and "content" in document:
        envelope, failed = {**document, "response": document}, None
    elif "request" in document or "response" in document:
        envelope = document
        response = nested_or_text(document.get("response"))
        if isinstance(response, dict) and not response.keys().isdisjoint(("choices", "object", "outputs")):
            raise MessageFault("schema", "response", "the response is an answer of another API")
        failed = response if dig(response, "type") == "error" else None
    else:
        raise MessageFault("schema", "request", "neither an envelope of request and response nor a message")
    if failed is not None and "status" not in envelope and "status_code" not in envelope:
        envelope = {**envelope, "status": _status(failed)}
    if envelope.get("response") is None and envelope.get("request") is None:
        envelope = {**envelope, "response": {}}  # a result that failed: the query counts
    return openai.read(replace(message, document=envelope))


def _status(failed: Any) -> int:
    inner = dig(failed, "error")
    kind = dig(inner, "type") if isinstance(inner, dict) else dig(failed, "type")
    return _STATUS_BY_ERROR.get(kind, 500) if isinstance(kind, str) else 500
