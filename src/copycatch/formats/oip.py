"""Open Inference Protocol v2 without CloudEvents: Triton, MLServer and Seldon behind any Kafka logger."""

from typing import Any

from copycatch.formats.shared import tensors
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.joining import Identity, JoiningDecoder
from copycatch.formats.shared.messages import (
    Fields,
    LogMessage,
    Reading,
    agent_of,
    dig,
    first,
    first_name,
    nested_or_text,
)
from copycatch.formats.shared.recognise import Recognise

NAME = "oip"
SOURCES = {
    "event_id": "id; the Kafka key; with :0, :1, ... where a request has several rows",
    "event_time": "event_time or timestamp of an envelope; arrival",
    "account_id": "account_id of an envelope; the account headers",
    "tenant_id": "tenant_id of an envelope; the tenant headers",
    "user_agent": "the user-agent header",
    "client_ip": "the x-forwarded-for header",
    "model_id": "model_name (modelName) of the response",
    "model_version": "model_version (modelVersion) of the response",
    "input": "inputs of the request",
    "predicted_label": "outputs of the response: a tensor of one whole number or word a row",
    "probabilities": "outputs of the response: a tensor whose rows sum to 1",
    "output_text": "outputs of the response: a tensor of text",
    "latency_ms": "latency_ms of an envelope; arrivals of request and response",
    "status": "status of an envelope",
    "prompt_index": "place of the row in its batch",
}


def make_decoder(options: FormatOptions, recognise: Recognise) -> JoiningDecoder:
    """A decoder of this format."""
    return JoiningDecoder(NAME, identify, read_pair, SOURCES, options, recognise)


FORMAT = Format(
    name=NAME,
    sentence="Open Inference Protocol v2 (Triton, MLServer, Seldon): request and response, or joined by id",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        ("request.inputs|response.outputs",),
        ("inputs",),
        (
            "outputs",
            "model_name|modelName",
        ),
    ),
    precedence=2,
)


def identify(message: LogMessage) -> Identity:
    """Envelopes hold both; a lone request has inputs, a response outputs; joined by id, else by Kafka key."""
    document = message.document
    if dig(document, "request") is not None and dig(document, "response") is not None:
        asked, answered = (nested_or_text(document.get(side)) for side in ("request", "response"))
        if any(dig(asked, key) is not None for key in ("inputs", "instances")) or dig(answered, "outputs"):
            return Identity("", None)
    kind = (
        "request" if tensors.is_request(document) else "response" if tensors.is_response(document) else None
    )
    if kind is None:
        raise MessageFault(
            "schema", "inputs", "neither a v2 request (inputs with name, shape, data) nor a v2 response"
        )
    key = first_name(dig(document, "id"), message.headers.get("x-request-id"), message.key)
    if key is None:
        raise MessageFault(
            "schema", "id", "id is missing: without it, a Kafka key or x-request-id nothing can be joined"
        )
    return Identity(key, kind)  # type: ignore[arg-type]  # told apart above


def read_pair(request: LogMessage | None, response: LogMessage | None) -> list[Reading]:
    """One query for each row of the batch."""
    message = request or response
    assert message is not None
    envelope: dict[str, Any] = {}
    asked, answered = (None if each is None else each.document for each in (request, response))
    if request is response:
        envelope = message.document
        asked, answered = message.asked(envelope.get("request")), message.body(envelope.get("response"))
    if response is not None and response is not message:
        for name, text in response.headers.items():
            message.headers.setdefault(name, text)
    client_ip = message.client_ip(first(envelope.get("client_ip"), message.headers.get("x-forwarded-for")))
    common: Fields = {
        "event_id": first_name(
            envelope.get("event_id"), dig(asked, "id"), dig(answered, "id"), message.key, message.origin
        ),
        "event_time": message.time_ms(*(envelope.get(key) for key in ("event_time", "timestamp", "time"))),
        "account_id": message.account(
            message.document,
            envelope.get("account_id"),
            client_ip=client_ip,
        ),
        "tenant_id": message.tenant(envelope.get("tenant_id")),
        "user_agent": agent_of(message.headers.get("user-agent")),
        "client_ip": client_ip,
        "model_id": message.model(
            dig(answered, "model_name"),
            dig(answered, "modelName"),
            envelope.get("model_id"),
            dig(asked, "model_name"),
        ),
        "latency_ms": first(envelope.get("latency_ms"), _latency_ms(request, response)),
        "status": envelope.get("status"),
    }
    return list(tensors.body_rows(asked, answered, common, message.notes))


def _latency_ms(request: LogMessage | None, response: LogMessage | None) -> float | None:
    if request is None or response is None or request is response:
        return None
    if request.arrival_ms is None or response.arrival_ms is None:
        return None
    latency_ms = response.arrival_ms - request.arrival_ms
    return float(latency_ms) if latency_ms >= 0 else None
