"""Databricks inference tables: request and response as JSON strings, of chat and of custom models."""

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
)
from copycatch.formats.shared.predictions import rows_of
from copycatch.formats.shared.recognise import Recognise

NAME = "databricks"
SOURCES = {
    "event_id": "databricks_request_id",
    "event_time": "request_time; event_time; timestamp_ms",
    "account_id": "requester",
    "tenant_id": "the tenant header of messages in Kafka",
    "model_id": "request.model; served_entity_id; model_id in the settings of the topic",
    "model_version": "response.model",
    "input": "request: messages (last of a user), dataframe_records, dataframe_split, instances or inputs",
    "predicted_label": "response.predictions",
    "probabilities": "response.predictions",
    "top_scores": "response.predictions",
    "output_text": "response.choices[].message.content",
    "params": "request: logprobs, top_logprobs, logit_bias, n, temperature, max_tokens",
    "input_tokens": "response.usage.prompt_tokens",
    "output_tokens": "response.usage.completion_tokens",
    "latency_ms": "execution_duration_ms; execution_time_ms; latency_ms",
    "status": "status_code",
    **CONTEXT_SOURCES,
}


def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, recognise, is_batched=True)


FORMAT = Format(
    name=NAME,
    sentence="Databricks inference table rows, AI gateway and custom models",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        ("databricks_request_id",),
        (
            "requester",
            "served_entity_id",
            "request",
            "response",
        ),
    ),
)


def read(message: LogMessage) -> list[Reading]:
    """One query for each row of the request."""
    document = message.document
    event_id = first_name(document.get("databricks_request_id"), document.get("invocation_id"))
    if event_id is None:
        raise MessageFault(
            "schema", "databricks_request_id", "no inference table row: databricks_request_id is missing"
        )
    request, response = message.asked(document.get("request")), message.body(document.get("response"))
    sampled = document.get("sampling_fraction")
    if isinstance(sampled, int | float) and sampled < 1:
        message.notes["sampled"] += 1
    times = (document.get(name) for name in ("request_time", "event_time", "timestamp_ms"))
    latencies = (document.get(name) for name in ("execution_duration_ms", "execution_time_ms", "latency_ms"))
    common: Fields = {
        "event_id": event_id,
        "event_time": message.time_ms(*times),
        "account_id": message.account(document, document.get("requester")),
        "tenant_id": message.tenant(),
        "model_id": first_name(
            dig(request, "model"), message.options.model_id, document.get("served_entity_id")
        ),
        "latency_ms": first(*latencies),
        "status": count_of(document.get("status_code")),
    }
    return list(rows_of(request, response, common))
