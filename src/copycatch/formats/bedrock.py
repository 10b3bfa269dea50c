"""Amazon Bedrock model invocation logs: the bodies of many model families in one envelope."""

from typing import Any

from copycatch.formats.chat import asked_of, content_text, embeddings_of, params_of, response_fields
from copycatch.formats.documents import DocumentDecoder
from copycatch.formats.faults import Fault
from copycatch.formats.messages import (
    Message,
    Reading,
    count_of,
    dig,
    first,
    first_name,
    text_of,
)
from copycatch.formats.protocol import FormatOptions

NAME = "bedrock"
SENTENCE = "Amazon Bedrock model invocation log"
SOURCES = {
    "event_id": "requestId",
    "event_time": "timestamp",
    "account_id": "requestMetadata.account, account_id, user or user_id; identity.arn",
    "tenant_id": "requestMetadata.tenant; accountId (of AWS)",
    "model_id": "modelId",
    "input": "input.inputBodyJson: messages (last of a user), prompt or inputText",
    "embedding": "output.outputBodyJson.embedding",
    "output_text": "output.outputBodyJson: generation, content, results, ...; deltas of a stream joined",
    "params": "input.inputBodyJson: temperature, max_tokens, inferenceConfig, ...",
    "input_tokens": "input.inputTokenCount",
    "output_tokens": "output.outputTokenCount",
    "latency_ms": "output.outputBodyJson.metrics.latencyMs",
    "status": "errorCode",
}
DELTAS_MAX = 20_000
_STATUS_BY_ERROR = {
    "ThrottlingException": 429,
    "AccessDeniedException": 403,
    "ValidationException": 400,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
}
_ACCOUNT_KEYS = ("account", "account_id", "accountId", "user", "user_id", "userId")


def make_decoder(options: FormatOptions) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, is_batched=True)


def read(message: Message) -> list[Reading]:
    """One invocation."""
    document = message.document
    if "modelId" not in document or "requestId" not in document:
        raise Fault("schema", "modelId", "no model invocation log: modelId and requestId are needed")
    metadata = document.get("requestMetadata")
    asked = dig(document, "input", "inputBodyJson")
    answered = dig(document, "output", "outputBodyJson")
    answer = response_fields(answered) if isinstance(answered, dict) else {}
    vectors = embeddings_of(answered)
    return [
        {
            "event_id": first_name(document.get("requestId")),
            "event_time": message.time_ms(document.get("timestamp")),
            "account_id": message.account(
                document,
                *(dig(metadata, key) for key in _ACCOUNT_KEYS),
                message.header(message.options.account_headers),
                dig(document, "identity", "arn"),
            ),
            "tenant_id": message.tenant(dig(metadata, "tenant"), document.get("accountId")),
            "model_id": message.model(document.get("modelId")),
            "input": asked_of(asked) if isinstance(asked, dict) else None,
            "embedding": vectors[0] if len(vectors) == 1 else None,
            "output_text": stream_text(answered) if isinstance(answered, list) else answer.get("output_text"),
            "params": params_of(asked) if isinstance(asked, dict) else None,
            "input_tokens": count_of(
                first(dig(document, "input", "inputTokenCount"), answer.get("input_tokens"))
            ),
            "output_tokens": count_of(
                first(dig(document, "output", "outputTokenCount"), answer.get("output_tokens"))
            ),
            "latency_ms": dig(answered, "metrics", "latencyMs"),
            "status": _status(document.get("errorCode")),
        }
    ]


def stream_text(deltas: list[Any]) -> str | None:
    """The answer that a stream's deltas make together.

    Examples
    --------
    >>> stream_text([{"contentBlockDelta": {"delta": {"text": "Khar"}}},
    ...              {"delta": {"text": "toum"}}, {"generation": "."}, {"type": "message_stop"}])
    'Khartoum.'
    """
    texts = []
    for delta in deltas[:DELTAS_MAX]:
        if not isinstance(delta, dict):
            continue
        inner = first(dig(delta, "contentBlockDelta", "delta"), delta.get("delta"), delta)
        said = (dig(inner, key) for key in ("text", "generation", "outputText", "completion"))
        text = first(*said, content_text(dig(inner, "content")))
        if isinstance(text, str):
            texts.append(text)
    return text_of("".join(texts)) if texts else None


def _status(error: Any) -> int | None:
    if not isinstance(error, str) or not error:
        return None
    return _STATUS_BY_ERROR.get(error, 500)
