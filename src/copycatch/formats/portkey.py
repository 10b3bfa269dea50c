"""Portkey: its logs export (JSONL), and the log objects of its API."""

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

NAME = "portkey"
SOURCES = {
    "event_id": "id; response.id; topic, partition and offset (a trace_id holds several requests)",
    "event_time": "created_at; response.created; arrival",
    "account_id": "api_key_id; metadata._user, user_id or user, which the application names",
    "tenant_id": "workspace_id, workspace_slug; metadata.organization",
    "api_key_id": "api_key_id",
    "model_id": "ai_model; request.model",
    "model_version": "response.model",
    "input": "request: messages (last of a user), prompt or input",
    "embedding": "response.data[].embedding",
    "output_text": "response; streamed answers joined",
    "params": "request: logprobs, top_logprobs, logit_bias, n, temperature, max_tokens",
    "input_tokens": "req_units; response.usage",
    "output_tokens": "res_units; response.usage",
    "latency_ms": "response_time; response.response_time",
    "status": "response_status_code; response.status",
    **CONTEXT_SOURCES,
}


def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, recognise, is_batched=True)


FORMAT = Format(
    name=NAME,
    sentence="Portkey: rows of its logs export, and log objects with request and response",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        ("ai_model|ai_org", "request|request.body", "response|response.body"),
        ("ai_model|ai_org", "req_units|res_units|response_status_code|trace_id"),
        ("request.url", "request.body", "response.body", "metadata|request.provider"),
    ),
)


def read(message: LogMessage) -> list[Reading]:
    """One request."""
    row = message.document
    request, response = _side(row, "request"), _side(row, "response")
    if request is None and response is None and "ai_model" not in row:
        raise MessageFault("schema", "request", "no log of Portkey: request, response or ai_model is needed")
    asked_body = message.asked(_body_of(request))
    answer = message.body(_body_of(response))
    asked, answered = request_fields(asked_body), response_fields(answer)
    metadata = metadata_of(row)
    key = first_name(row.get("api_key_id"), dig(row, "api_key", "id"))
    fields: Fields = {
        **asked,
        **{name: value for name, value in answered.items() if value is not None},
        "event_id": first_name(row.get("id"), dig(answer, "id"), message.origin),
        "event_time": message.time_ms(in_utc(row.get("created_at")), dig(answer, "created")),
        "account_id": message.account(
            row, key, *(metadata.get(name) for name in ("_user", "user_id", "user"))
        ),
        "tenant_id": message.tenant(
            row.get("workspace_id"), row.get("workspace_slug"), metadata.get("organization")
        ),
        "api_key_id": key,
        "model_id": message.model(row.get("ai_model"), asked.get("model_id")),
        "input_tokens": count_of(first(row.get("req_units"), answered.get("input_tokens"))),
        "output_tokens": count_of(first(row.get("res_units"), answered.get("output_tokens"))),
        "latency_ms": count_of(
            first(row.get("response_time"), dig(response, "response_time"), dig(response, "time"))
        ),
        "status": _status(row, response),
    }
    return list(numbered(split_asked(fields, asked_body, answer)))


def metadata_of(row: dict[str, Any]) -> dict[str, Any]:
    """Metadata of a request: an object, or the export's columns of keys and of values.

    Examples
    --------
    >>> metadata_of({"metadata": {"_user": "u1"}})
    {'_user': 'u1'}
    >>> metadata_of({"metadata.key": ["_user", "env"], "metadata.value": ["u1", "prod"]})
    {'_user': 'u1', 'env': 'prod'}
    """
    found = nested_or_text(row.get("metadata"))
    keys = first(dig(found, "key"), row.get("metadata.key"))
    values = first(dig(found, "value"), row.get("metadata.value"))
    if isinstance(keys, list) and isinstance(values, list):
        return {str(name): value for name, value in zip(keys, values, strict=False)}
    return found if isinstance(found, dict) else {}


def _side(row: dict[str, Any], name: str) -> Any:
    """`request` or `response`; the older export names the column of its body."""
    given = row.get(name)
    return (
        {"body": row.get(f"{name}.body")}
        if given is None and f"{name}.body" in row
        else nested_or_text(given)
    )


def _body_of(side: Any) -> Any:
    return side["body"] if isinstance(side, dict) and "body" in side else side


def _status(row: dict[str, Any], response: Any) -> Any:
    code = count_of(first(row.get("response_status_code"), row.get("status_code"), dig(response, "status")))
    if isinstance(code, int):
        return code
    return 500 if row.get("is_success") in (0, False, "0") else None
