"""OpenAI's API as gateways log it: an envelope of request and response, or one of the two alone."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from copycatch.formats.shared.chat import (
    logprobs_in,
    request_fields,
    response_fields,
    split_asked,
)
from copycatch.formats.shared.context import CONTEXT_SOURCES
from copycatch.formats.shared.documents import DocumentDecoder
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.messages import (
    CLIENT_IP_CHARS_MAX,
    Fields,
    LogMessage,
    Reading,
    agent_of,
    count_of,
    dig,
    first,
    first_name,
)
from copycatch.formats.shared.predictions import numbered
from copycatch.formats.shared.recognise import Recognise
from copycatch.formats.shared.typed_chat import Name, Request, Response, are_ids, asked_in, first_of, stripped
from copycatch.records.wire import InferenceRecord

NAME = "openai"
SOURCES = {
    "event_id": "event_id, request_id or id of the envelope; response.id; topic, partition and offset",
    "event_time": "event_time, timestamp, time or start_time of the envelope; response.created; arrival",
    "account_id": "account_id, user_id, customer_id or api_key_id of the envelope; the account headers",
    "tenant_id": "tenant_id or organization of the envelope; the tenant header",
    "api_key_id": "api_key_id of the envelope",
    "user_agent": "user_agent of the envelope; the user-agent header",
    "client_ip": "client_ip of the envelope; the x-forwarded-for header",
    "model_id": "request.model; response.model",
    "model_version": "response.model",
    "input": "request.messages (last of a user), request.prompt or request.input",
    "embedding": "response.data[].embedding",
    "output_text": "response.choices[].message.content, response.output[]",
    "params": "request.logprobs, top_logprobs, logit_bias, n, temperature, max_tokens",
    "input_tokens": "response.usage.prompt_tokens",
    "output_tokens": "response.usage.completion_tokens",
    "latency_ms": "latency_ms or duration_ms of the envelope",
    "status": "status or status_code of the envelope",
    **CONTEXT_SOURCES,
    "conversation_id": "conversation_id or session_id of the envelope; request.conversation; earlier turns",
    "account_created": "account_created of the envelope",
    "asn": "asn of the envelope",
    "plan": "plan of the envelope",
}
_RESPONSES = ("chat.completion", "text_completion", "list", "response", "chat.completion.chunk")


def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, recognise, is_batched=True, plain=read_plain)


FORMAT = Format(
    name=NAME,
    sentence="OpenAI chat, completion, response and embedding calls: {request, response, ...} or one alone",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        (
            "request.messages|request.input|request.prompt|request.model",
            "response",
        ),
        (
            "messages",
            "model",
        ),
        (
            "object=chat.completion|object=text_completion|object=list|object=response",
            "model",
        ),
    ),
    precedence=1,
)


class _Envelope(Struct, gc=False, kw_only=True):
    """What most gateways log."""

    request: Request
    response: Response
    request_id: Name = None
    timestamp: str | int | float | None = None
    account_id: Name = None
    client_ip: Annotated[str, Meta(max_length=CLIENT_IP_CHARS_MAX)] | None = None
    user_agent: str | None = None
    status_code: Annotated[int, Meta(ge=0, le=999)] | None = None
    latency_ms: float | None = None
    headers: dict[str, Any] | None = None
    event_id: Name = None
    event_time: str | int | float | None = None
    tenant_id: Name = None
    user_id: Name = None
    api_key_id: Name = None
    model: Name = None
    conversation_id: Name = None
    session_id: Name = None
    # Null or missing; read by the long way.
    id: None = None
    time: None = None
    start_time: None = None
    created_at: None = None
    request_headers: None = None
    ip: None = None
    customer_id: None = None
    organization: None = None
    org_id: None = None
    duration_ms: None = None
    account_created: None = None
    asn: None = None
    plan: None = None
    status: None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def read_plain(value: bytes, message: LogMessage) -> list[InferenceRecord] | None:
    """The record of an envelope with a chat of text and its answer, as `read` reads it; None for all else."""
    try:
        envelope = _decode_envelope(value)
        event_time = message.time_ms(envelope.event_time, envelope.timestamp, envelope.response.created)
    except (ValueError, RecursionError, MessageFault):
        return None
    request, response = envelope.request, envelope.response
    asked, params = asked_in(request.messages), request.params()
    choice = response.choices[0]
    is_told = params is not None or choice.logprobs is None
    if asked is None or not (is_told and response.is_plain()):
        return None
    headers = message.headers
    for name, given in (envelope.headers or {}).items():
        if type(given) is not str:
            return None
        headers.setdefault(name.lower(), given)
    client_ip = message.client_ip(first(envelope.client_ip, headers.get("x-forwarded-for")))
    event_id = first_of(envelope.event_id, envelope.request_id)
    if event_id is None:
        event_id = first_name(response.id, headers.get("x-request-id"), message.origin)
    account = message.account(
        None, envelope.account_id, envelope.user_id, envelope.api_key_id, client_ip=client_ip
    )
    tenant = message.tenant(envelope.tenant_id)
    model = message.model(request.model, envelope.model, response.model)
    if event_id is None or event_time is None or account is None or model is None:
        return None
    if not are_ids(event_id, account, tenant, model):
        return None
    return [
        InferenceRecord(
            event_id=event_id,
            event_time=event_time,
            account_id=account,
            model_id=model,
            tenant_id=tenant,
            api_key_id=stripped(envelope.api_key_id),
            user_agent=agent_of(first(envelope.user_agent, headers.get("user-agent"))),
            client_ip=client_ip,
            model_version=stripped(response.model),
            input=asked.text,
            output_text=choice.message.content,
            params=params,
            input_tokens=response.usage.prompt_tokens,
            output_tokens=response.usage.completion_tokens,
            latency_ms=envelope.latency_ms,
            status=envelope.status_code,
            conversation_id=first_of(envelope.conversation_id, envelope.session_id, asked.conversation_id),
            turn=asked.turn,
            system_hash=asked.system_hash,
            finish_reason=response.reason,
        )
    ]


def read(message: LogMessage) -> list[Reading]:
    """One query; a request with several prompts, or texts to embed, is as many."""
    document = message.document
    request, response = message.asked(document.get("request")), message.body(document.get("response"))
    envelope = document
    if request is None and response is None:
        envelope = {}
        if document.get("object") in _RESPONSES and ("choices" in document or "data" in document):
            response = document
        elif "messages" in document or (
            "model" in document and ("input" in document or "prompt" in document)
        ):
            request = document
        elif document.get("object") == "response":
            response = document
        else:
            raise MessageFault(
                "schema", "request", "neither a request, nor a response, nor an envelope of the two"
            )
    fields = _fields_of(message, envelope, request, response)
    return list(numbered(split_asked(fields, request, response)))


def _fields_of(message: LogMessage, envelope: Any, request: Any, response: Any) -> Fields:
    asked, answered = request_fields(request), response_fields(response)
    headers = first(envelope.get("headers"), envelope.get("request_headers"))
    for name, value in headers.items() if isinstance(headers, dict) else ():
        text = value[0] if isinstance(value, list) and value else value
        if isinstance(text, str):
            message.headers.setdefault(str(name).lower(), text)
    forwarded = message.headers.get("x-forwarded-for")
    client_ip = message.client_ip(first(envelope.get("client_ip"), envelope.get("ip"), forwarded))
    get = envelope.get
    error_status = first(get("status"), get("status_code"))
    return {
        **asked,
        **{name: value for name, value in answered.items() if value is not None},
        "event_id": first_name(
            get("event_id"), get("request_id"), get("id"),
            dig(response, "id"), message.headers.get("x-request-id"), message.origin,
        ),
        "event_time": message.time_ms(
            get("event_time"), get("timestamp"), get("time"), get("start_time"), get("created_at"),
            dig(response, "created"), dig(response, "created_at"),
        ),
        "account_id": message.account(
            message.document, get("account_id"), get("user_id"), get("customer_id"), get("api_key_id"),
            client_ip=client_ip,
        ),
        "tenant_id": message.tenant(get("tenant_id"), get("organization"), get("org_id")),
        "api_key_id": first_name(envelope.get("api_key_id")),
        "user_agent": agent_of(first(envelope.get("user_agent"), message.headers.get("user-agent"))),
        "client_ip": client_ip,
        "model_id": message.model(asked.get("model_id"), envelope.get("model"), dig(response, "model")),
        "params": asked.get("params") or logprobs_in(response),
        "latency_ms": first(envelope.get("latency_ms"), envelope.get("duration_ms")),
        "conversation_id": first_name(
            envelope.get("conversation_id"), envelope.get("session_id"), asked.get("conversation_id")
        ),
        "account_created": message.optional_time_ms(envelope.get("account_created")),
        "asn": count_of(envelope.get("asn")),
        "plan": envelope.get("plan"),
        "status": count_of(error_status),
    }  # fmt: skip
