"""Langfuse observations: rows of the blob export (JSON, Parquet, CSV), of the UI's export and the API."""

from typing import Any

from copycatch.formats.shared.chat import (
    embeddings_of,
    params_of,
    prompt_of,
    request_fields,
    response_fields,
    split_embeddings,
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
    first,
    first_name,
    nested_or_text,
)
from copycatch.formats.shared.predictions import numbered
from copycatch.formats.shared.recognise import Recognise
from copycatch.formats.shared.times import in_utc

NAME = "langfuse"
SOURCES = {
    "event_id": "id",
    "event_time": "start_time (startTime), UTC where it names no zone",
    "account_id": "user_id (userId): enriched observations have it, others need account_pointer",
    "model_id": "provided_model_name (providedModelName); model",
    "input": "input: messages (last of a user) or text",
    "embedding": "output of an EMBEDDING",
    "output_text": "output",
    "params": "model_parameters (modelParameters)",
    "input_tokens": "usage_details.input; usage.input; promptTokens",
    "output_tokens": "usage_details.output; usage.output; completionTokens",
    "latency_ms": "latency, in seconds",
    "status": "level ERROR is 500",
    **CONTEXT_SOURCES,
    "conversation_id": "session_id (sessionId)",
}
_TYPES = ("GENERATION", "EMBEDDING")  # of observations that ask a model; the others enclose these


def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, recognise, is_batched=True)


FORMAT = Format(
    name=NAME,
    sentence="Langfuse observations, exported to blob storage (Parquet, JSON, CSV), by UI or API; traces",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        ("trace_id", "type", "start_time", "provided_model_name|usage_details|parent_observation_id"),
        (
            "traceId",
            "type",
            "startTime",
            "providedModelName|usageDetails|parentObservationId|modelParameters",
        ),
        ("observations", "timestamp|createdAt", "userId|sessionId|projectId|htmlPath"),
    ),
)


def read(message: LogMessage) -> list[Reading]:
    """One query for each observation that asked a model; spans, events and the like are skipped."""
    trace = message.document
    observations = trace.get("observations")
    if not isinstance(observations, list):
        return _read_one(message, trace)
    rows = [each for each in observations if isinstance(each, dict)]
    if len(rows) < len(observations):
        raise MessageFault("schema", "observations", "a trace with ids of observations; export these whole")
    shared = {name: trace[name] for name in ("userId", "sessionId") if trace.get(name) is not None}
    own = {} if trace.get("id") is None else {"traceId": trace["id"]}
    found: list[Reading] = []
    for row in rows:
        given = {name: value for name, value in row.items() if value is not None}
        try:
            found += _read_one(message, {**own, **shared, **given})
        except MessageFault as fault:
            found.append(fault)
    return found


def _read_one(message: LogMessage, row: dict[str, Any]) -> list[Reading]:
    kind = row.get("type")
    if not isinstance(kind, str) or first(row.get("trace_id"), row.get("traceId")) is None:
        raise MessageFault("schema", "type", "no observation: trace_id and type are needed")
    if kind.upper() not in _TYPES:
        return []
    asked, answered = nested_or_text(row.get("input")), message.body(row.get("output"))
    request = asked if isinstance(asked, dict) else {"messages": asked} if _is_chat(asked) else None
    parameters = table_of(first(row.get("model_parameters"), row.get("modelParameters")))
    usage = table_of(first(row.get("usage_details"), row.get("usageDetails"), row.get("usage")))
    vectors = embeddings_of({"embeddings": answered} if isinstance(answered, list) else answered)
    answer = _answer_of(answered)
    session = first_name(row.get("session_id"), row.get("sessionId"))
    fields: Fields = {
        **(request_fields(request) if request is not None else {"input": prompt_of(asked)}),
        **{name: value for name, value in answer.items() if value is not None},
        "event_id": first_name(row.get("id"), message.origin),
        "event_time": message.time_ms(in_utc(row.get("start_time")), in_utc(row.get("startTime"))),
        "account_id": message.account(row, row.get("user_id"), row.get("userId")),
        "tenant_id": message.tenant(),
        "model_id": message.model(
            row.get("provided_model_name"), row.get("providedModelName"), row.get("model")
        ),
        "params": params_of(parameters),
        "input_tokens": count_of(
            first(usage.get("input"), usage.get("prompt_tokens"), row.get("promptTokens"))
        ),
        "output_tokens": count_of(
            first(usage.get("output"), usage.get("completion_tokens"), row.get("completionTokens"))
        ),
        "latency_ms": _latency_ms(row.get("latency")),
        "status": 500 if row.get("level") == "ERROR" else None,
    }
    if session is not None:
        fields["conversation_id"] = session
    return list(numbered(split_embeddings(fields, asked, vectors)))


def table_of(given: Any) -> dict[str, Any]:
    """Names and values: an object, JSON text of one, or the pairs that a map of Parquet is read as.

    Examples
    --------
    >>> table_of('{"temperature": 0.7}'), table_of([["input", 7], ["output", 2]]), table_of(None)
    ({'temperature': 0.7}, {'input': 7, 'output': 2}, {})
    """
    found = nested_or_text(given)
    if isinstance(found, list):
        pairs = [each for each in found if isinstance(each, list) and len(each) == 2]
        found = {str(name): value for name, value in pairs}
    return found if isinstance(found, dict) else {}


def _is_chat(asked: Any) -> bool:
    return isinstance(asked, list) and bool(asked) and isinstance(asked[0], dict)


def _answer_of(answered: Any) -> Fields:
    """An answer as any API gives it, or the message alone, which the SDKs keep of it."""
    if isinstance(answered, dict) and "role" in answered and "choices" not in answered:
        answered = {"choices": [{"message": answered}]}
    if isinstance(answered, list):
        answered = {"choices": [{"message": each} for each in answered if isinstance(each, dict)]}
    return response_fields(answered)


def _latency_ms(latency_s: Any) -> float | None:
    is_number = isinstance(latency_s, int | float) and not isinstance(latency_s, bool)
    return round(1000.0 * latency_s, 3) if is_number and abs(latency_s) < 1e9 else None
