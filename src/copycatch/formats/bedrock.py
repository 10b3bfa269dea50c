"""Amazon Bedrock model invocation logs: the bodies of many model families in one envelope."""

from typing import Any

from copycatch.formats.shared.chat import (
    asked_of,
    embeddings_of,
    params_of,
    response_fields,
    split_embeddings,
)
from copycatch.formats.shared.context import CONTEXT_SOURCES, request_context
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
from copycatch.formats.shared.predictions import numbered
from copycatch.formats.shared.recognise import Recognise

NAME = "bedrock"
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
    **CONTEXT_SOURCES,
    "conversation_id": "requestMetadata.conversation_id or session_id; earlier turns",
    "plan": "requestMetadata.plan",
}
_STATUS_BY_ERROR = {
    "ThrottlingException": 429,
    "AccessDeniedException": 403,
    "ValidationException": 400,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
}
_ACCOUNT_KEYS = ("account", "account_id", "accountId", "user", "user_id", "userId")


def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, recognise, is_batched=True)


FORMAT = Format(
    name=NAME,
    sentence="Amazon Bedrock model invocation log",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        (
            "modelId",
            "operation",
            "requestId",
            "schemaType|schemaVersion",
        ),
    ),
)


def read(message: LogMessage) -> list[Reading]:
    """One invocation."""
    document = message.document
    if "modelId" not in document or "requestId" not in document:
        raise MessageFault("schema", "modelId", "no model invocation log: modelId and requestId are needed")
    metadata = document.get("requestMetadata")
    asked = dig(document, "input", "inputBodyJson")
    answered = message.body(dig(document, "output", "outputBodyJson"))
    answer = response_fields(answered) if isinstance(answered, dict) else {}
    vectors = embeddings_of(answered)
    context = request_context(asked)
    fields: Fields = {
        **context,
        **answer,
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
        "output_text": None if vectors else answer.get("output_text"),
        "params": params_of(asked) if isinstance(asked, dict) else None,
        "input_tokens": count_of(
            first(dig(document, "input", "inputTokenCount"), answer.get("input_tokens"))
        ),
        "output_tokens": count_of(
            first(dig(document, "output", "outputTokenCount"), answer.get("output_tokens"))
        ),
        "latency_ms": dig(answered, "metrics", "latencyMs"),
        "status": _status(document.get("errorCode")),
        "conversation_id": first_name(
            *(dig(metadata, key) for key in ("conversation_id", "session_id", "sessionId")),
            context.get("conversation_id"),
        ),
        "plan": dig(metadata, "plan"),
    }
    return list(numbered(split_embeddings(fields, asked, vectors)))


def _status(error: Any) -> int | None:
    if not isinstance(error, str) or not error:
        return None
    return _STATUS_BY_ERROR.get(error, 500)
