"""KServe's payload logger: CloudEvents, binary and structured, a request joined with its response."""

import base64
import binascii
from typing import Any

from copycatch.formats.shared import tensors
from copycatch.formats.shared.context import CONTEXT_SOURCES
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.joining import Identity, JoiningDecoder
from copycatch.formats.shared.messages import Fields, LogMessage, Reading, dig, first_name, nested_or_text
from copycatch.formats.shared.recognise import Recognise

NAME = "kserve"
SOURCES = {
    "event_id": "id of the CloudEvent, with :0, :1, ... where a request has several instances",
    "event_time": "time of the request's CloudEvent",
    "account_id": "the account headers within the CloudEvent's metadata",
    "tenant_id": "namespace; the tenant headers within the CloudEvent's metadata, where named",
    "user_agent": "the user-agent header within the CloudEvent's metadata",
    "client_ip": "the x-forwarded-for header within the CloudEvent's metadata",
    "model_id": "inferenceservicename",
    "model_version": "model_version of a v2 response",
    "input": "instances (v1), inputs (v2), messages or prompt (OpenAI body) of the request",
    "predicted_label": "predictions (v1), outputs (v2) of the response",
    "probabilities": "predictions (v1), outputs (v2) of the response",
    "top_scores": "predictions (v1) of the response",
    "output_text": "outputs (v2) of text, choices (OpenAI body) of the response",
    "params": "logprobs, top_logprobs, n, ... of an OpenAI body",
    "input_tokens": "usage of an OpenAI body",
    "output_tokens": "usage of an OpenAI body",
    "latency_ms": "time of the response's CloudEvent less that of the request's",
    **{name: f"{source}; of chat models" for name, source in CONTEXT_SOURCES.items()},
}
_TYPES = {
    "request": "org.kubeflow.serving.inference.request",
    "response": "org.kubeflow.serving.inference.response",
}
_NEEDED = ("specversion", "type", "source", "id")


def make_decoder(options: FormatOptions, recognise: Recognise) -> JoiningDecoder:
    """A decoder of this format."""
    return JoiningDecoder(NAME, identify, read_pair, SOURCES, options, recognise)


FORMAT = Format(
    name=NAME,
    sentence="KServe payload logger: CloudEvents, binary or structured, v1 and v2 bodies, requests joined",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        ("header:ce_type=org.kubeflow.serving",),
        (
            "specversion",
            "type=org.kubeflow.serving",
        ),
    ),
)


def attribute(message: LogMessage, name: str) -> Any:
    """An attribute of the CloudEvent, from the headers (binary mode) or the document (structured mode)."""
    if "ce_specversion" in message.headers or "ce_id" in message.headers:
        return message.headers.get(f"ce_{name}")
    return dig(message.document, name)


def body_of(message: LogMessage) -> Any:
    """What was asked or answered."""
    if "ce_specversion" in message.headers or "ce_id" in message.headers:
        return message.body(message.document)
    data, encoded = message.document.get("data"), message.document.get("data_base64")
    if data is None and isinstance(encoded, str):  # so the SDKs carry what says no JSON of itself
        try:
            data = base64.b64decode(encoded, validate=True).decode("utf-8", errors="replace")
        except binascii.Error:
            message.notes["unread"] += 1
    return message.body(data)


def identify(message: LogMessage) -> Identity:
    """The pair: the id belongs to one request, but each component that it passes logs it once."""
    is_event = any(attribute(message, name) is not None for name in _NEEDED)
    missing = [name for name in _NEEDED if not first_name(attribute(message, name))]
    if missing:
        is_binary = "ce_id" in message.headers or "ce_specversion" in message.headers
        where = f"header ce_{missing[0]}" if is_binary else f"attribute {missing[0]}"
        what = "half a CloudEvent" if is_event else "no CloudEvent"
        raise MessageFault(
            "schema", missing[0], f"{what}: {where} is missing; forward headers and value together"
        )
    ce_type = attribute(message, "type")
    for kind in ("request", "response"):
        if ce_type == _TYPES[kind]:
            parts = (
                attribute(message, name) for name in ("id", "namespace", "inferenceservicename", "component")
            )
            return Identity("|".join(first_name(part) or "" for part in parts), kind)
    raise MessageFault(
        "schema",
        "type",
        f"CloudEvent of type {str(ce_type)[:80]!r}; expected {_TYPES['request']} or .response",
    )


def read_pair(request: LogMessage | None, response: LogMessage | None) -> list[Reading]:
    """One query for each instance of the request."""
    message = request or response
    assert message is not None
    headers = metadata_headers(message)
    if response is not None and response is not request:
        headers = {**metadata_headers(response), **headers}
    message.headers.update({name: text for name, text in headers.items() if not name.startswith("ce_")})
    asked_ms = message.time_ms(attribute(message, "time"), attribute(message, "recordedtime"))
    client_ip = message.client_ip(headers.get("x-forwarded-for"))
    common: Fields = {
        "event_id": first_name(attribute(message, "id")),
        "event_time": asked_ms,
        "account_id": message.account(message.document, client_ip=client_ip),
        "tenant_id": message.header(message.options.tenant_headers)
        or first_name(attribute(message, "namespace")),
        "user_agent": headers.get("user-agent"),
        "client_ip": client_ip,
        "model_id": message.model(attribute(message, "inferenceservicename")),
    }
    if request is not None and response is not None:
        answered_ms = response.time_ms(attribute(response, "time"), attribute(response, "recordedtime"))
        if asked_ms is not None and answered_ms is not None and answered_ms >= asked_ms:
            common["latency_ms"] = float(answered_ms - asked_ms)
    asked = None if request is None else body_of(request)
    if isinstance(asked, str):
        message.notes["unread"] += 1
        asked = None
    answered = None if response is None else body_of(response)
    return list(tensors.body_rows(asked, answered, common, message.notes))


def metadata_headers(message: LogMessage) -> dict[str, str]:
    """HTTP headers that the logger was told to keep, from the event's metadata: JSON of lists by name."""
    found = nested_or_text(attribute(message, "metadata"))
    headers = {}
    for name, values in found.items() if isinstance(found, dict) else ():
        value = values[-1] if isinstance(values, list) and values else values
        if isinstance(value, str):
            headers[str(name).lower()] = value
    return headers
