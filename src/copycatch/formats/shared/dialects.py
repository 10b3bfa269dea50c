"""Attributes of spans in other conventions, told in the names of OpenTelemetry's GenAI conventions.

OpenInference (`llm.input_messages.0.message.content`), the AI SDK of Vercel (`ai.prompt.messages`),
OpenLLMetry (`llm.prompts.0.content`, `traceloop.association.properties.user_id`), and those of platforms.
"""

from collections.abc import Callable, Set
from functools import lru_cache
from typing import Any, Final

from copycatch.formats.shared.messages import dig, first, nested_or_text, parts_or_text
from copycatch.formats.shared.platform_dialects import (
    PARAMETERS,
    TEXTS,
    VECTORS,
    Attributes,
    answered_messages,
    asked_messages,
    google,
    langfuse,
    litellm,
    logfire,
    mlflow,
)

ENTRIES_MAX: Final = 1_000
_NAMES_MAX, _NAME_CHARS_MAX = 64, 128  # of spans whose first words are kept
_HINTS = frozenset(
    {"gen_ai", "llm", "ai", "openinference", "traceloop", "embedding", "langfuse", "request_data", "mlflow"}
)
_OPERATIONS = {
    "llm": "chat", "embedding": "embeddings", "agent": "invoke_agent", "tool": "execute_tool",
}  # fmt: skip
_ACCOUNT_NAMES = (
    "user_id",
    "userId",
    "user.id",
    "user",
    "account_id",
    "accountId",
    "customer_id",
    "customerId",
)
_SESSION_NAMES = (
    "session_id",
    "sessionId",
    "conversation_id",
    "conversationId",
    "thread_id",
    "threadId",
    "chatId",
)


def is_about_models(attributes: Attributes) -> bool:
    """Whether a name among the attributes is of one of the conventions for language models.

    Examples
    --------
    >>> is_about_models({"llm.model_name": "m"}), is_about_models({"http.route": "/", "aircraft": 1})
    (True, False)
    """
    return is_about(roots_of(attributes))


def is_about(roots: Set[str]) -> bool:
    """The same by the first words of the names."""
    return not _HINTS.isdisjoint(roots)


def roots_of(attributes: Attributes) -> frozenset[str]:
    """The first words of the names; spans of one exporter have the same names, so they are kept."""
    names = tuple(attributes)
    if len(names) > _NAMES_MAX or max(map(len, names), default=0) > _NAME_CHARS_MAX:
        return frozenset(name.partition(".")[0] for name in names)
    return _kept_roots(names)


@lru_cache(maxsize=256)
def _kept_roots(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.partition(".")[0] for name in names)


def translated(attributes: Attributes) -> Attributes:
    """The attributes with what other conventions say added under GenAI names; these win where both are there.

    Examples
    --------
    >>> found = translated({"openinference.span.kind": "LLM", "llm.model_name": "m",
    ...                     "llm.input_messages.0.message.role": "user",
    ...                     "llm.input_messages.0.message.content": "hi"})
    >>> found["gen_ai.operation.name"], found["gen_ai.request.model"], found["gen_ai.input.messages"]
    ('chat', 'm', [{'role': 'user', 'content': 'hi'}])
    """
    roots = roots_of(attributes)
    if TOLD_ROOTS.isdisjoint(roots):
        return attributes
    found: Attributes = {}
    for root, tell in _TELLERS.items():
        if root in roots:
            for name, value in tell(attributes).items():
                if value not in (None, [], {}):
                    found.setdefault(name, value)
    return {**found, **attributes} if found else attributes


def _openinference(attributes: Attributes) -> Attributes:
    kind = str(attributes.get("openinference.span.kind", "")).lower()
    given, answered = (nested_or_text(attributes.get(f"{side}.value")) for side in ("input", "output"))
    asks = kind in ("llm", "")
    embedded = [dig(each, "embedding") for each in _listed(attributes, "embedding.embeddings.")]
    if kind == "reranker":
        return _reranked(attributes, given)
    return {
        "gen_ai.operation.name": _OPERATIONS.get(kind, kind or None),
        "gen_ai.request.model": first(
            attributes.get("llm.model_name"), attributes.get("embedding.model_name")
        ),
        "gen_ai.input.messages": _messages(attributes, "llm.input_messages.")
        or _prompts(attributes, "llm.prompts.")
        or (asked_messages(given) if asks else None),
        "gen_ai.output.messages": _messages(attributes, "llm.output_messages.")
        or _prompts(attributes, "llm.choices.")
        or _prompts(attributes, "llm.completions.")
        or (answered_messages(answered) if asks else None),
        PARAMETERS: nested_or_text(attributes.get("llm.invocation_parameters")),
        "gen_ai.tool.definitions": [
            nested_or_text(dig(each, "tool", "json_schema")) for each in _listed(attributes, "llm.tools.")
        ]
        or _listed(attributes, "llm.request.functions."),
        "gen_ai.usage.input_tokens": first(
            attributes.get("llm.token_count.prompt"), attributes.get("llm.usage.prompt_tokens")
        ),
        "gen_ai.usage.output_tokens": first(
            attributes.get("llm.token_count.completion"), attributes.get("llm.usage.completion_tokens")
        ),
        "gen_ai.response.finish_reasons": attributes.get("llm.finish_reason"),
        TEXTS: [dig(each, "text") for each in embedded],
        VECTORS: [dig(each, "vector") for each in embedded],
    }


def _reranked(attributes: Attributes, given: Any) -> Attributes:
    """A model asked which documents fit a query: it is asked with both."""
    documents = [
        dig(each, "document", "content") for each in _listed(attributes, "reranker.input_documents.")
    ]
    query = first(
        attributes.get("reranker.query"), dig(given, "query"), given if isinstance(given, str) else None
    )
    texts = [each for each in (query, *documents) if isinstance(each, str)]
    return {
        "gen_ai.operation.name": "rerank",
        "gen_ai.request.model": attributes.get("reranker.model_name"),
        "gen_ai.input.messages": asked_messages("\n".join(texts)) if texts else None,
    }


def _openllmetry(attributes: Attributes) -> Attributes:
    kind = str(attributes.get("llm.request.type") or "").lower()
    embedded = [*_listed(attributes, "gen_ai.prompt."), *_listed(attributes, "llm.prompts.")]
    return {
        "gen_ai.operation.name": first(
            attributes.get("traceloop.span.kind"), _OPERATIONS.get(kind, kind or None)
        ),
        TEXTS: [dig(each, "content") for each in embedded] if kind == "embedding" else None,
        "gen_ai.request.model": attributes.get("llm.request.model"),
        "gen_ai.response.model": attributes.get("llm.response.model"),
        "gen_ai.request.temperature": attributes.get("llm.temperature"),
        "gen_ai.request.max_tokens": attributes.get("llm.request.max_tokens"),
        "user.id": _property(attributes, "traceloop.association.properties.", _ACCOUNT_NAMES),
        "session.id": _property(attributes, "traceloop.association.properties.", _SESSION_NAMES),
    }


def _vercel(attributes: Attributes) -> Attributes:
    named = str(attributes.get("operation.name") or "").split(" ")[0]
    operation = str(first(attributes.get("ai.operationId"), named))
    whole = nested_or_text(attributes.get("ai.prompt"))
    messages = nested_or_text(attributes.get("ai.prompt.messages"))
    text = first(
        *(
            attributes.get(f"ai.{side}.{kind}")
            for kind in ("text", "object")
            for side in ("response", "result")
        )
    )
    texts = first(attributes.get("ai.values"), attributes.get("ai.value"))
    vectors = first(attributes.get("ai.embeddings"), attributes.get("ai.embedding"))
    tools = nested_or_text(attributes.get("ai.prompt.tools"))
    metadata = "ai.telemetry.metadata."
    return {
        "gen_ai.operation.name": _vercel_operation(operation),
        "gen_ai.request.model": attributes.get("ai.model.id"),
        "gen_ai.response.model": attributes.get("ai.response.model"),
        "gen_ai.input.messages": messages if isinstance(messages, list) else asked_messages(whole),
        "gen_ai.system_instructions": dig(whole, "system"),
        "gen_ai.output.messages": answered_messages(text),
        "gen_ai.tool.definitions": [nested_or_text(each) for each in tools]
        if isinstance(tools, list)
        else None,
        "gen_ai.request.temperature": attributes.get("ai.settings.temperature"),
        "gen_ai.request.max_tokens": first(
            attributes.get("ai.settings.maxTokens"), attributes.get("ai.settings.maxOutputTokens")
        ),
        "gen_ai.usage.input_tokens": first(
            *(attributes.get(f"ai.usage.{name}") for name in ("inputTokens", "promptTokens", "tokens"))
        ),
        "gen_ai.usage.output_tokens": first(
            *(attributes.get(f"ai.usage.{name}") for name in ("outputTokens", "completionTokens"))
        ),
        "gen_ai.response.finish_reasons": first(
            attributes.get("ai.response.finishReason"), attributes.get("ai.finishReason")
        ),
        "user.id": _property(attributes, metadata, _ACCOUNT_NAMES),
        "session.id": _property(attributes, metadata, _SESSION_NAMES),
        TEXTS: [
            nested_or_text(each) for each in (texts if isinstance(texts, list) else [texts] if texts else [])
        ],
        VECTORS: [
            nested_or_text(each)
            for each in (vectors if isinstance(vectors, list) else [vectors] if vectors else [])
        ],
    }


def _vercel_operation(operation: str) -> str | None:
    """Spans of calls to a provider end in do...; those around them, and of tools, ask no model themselves."""
    if operation.endswith((".doGenerate", ".doStream")):
        return "chat"
    if operation.endswith(".doEmbed"):
        return "embeddings"
    if operation.startswith("ai."):
        return "execute_tool" if operation.startswith("ai.toolCall") else "workflow"
    return None


_TELLERS: dict[str, Callable[[Attributes], Attributes]] = {
    "openinference": _openinference,
    "llm": lambda attributes: {**_openinference(attributes), **_told(_openllmetry(attributes))},
    "traceloop": _openllmetry,
    "ai": _vercel,
    "request_data": logfire,
    "langfuse": langfuse,
    "mlflow": mlflow,
    "gcp": google,
    "metadata": litellm,
}
TOLD_ROOTS: Final = frozenset(_TELLERS)  # first words of the names that `translated` tells


def _told(found: Attributes) -> Attributes:
    return {name: value for name, value in found.items() if value is not None}


def _property(attributes: Attributes, prefix: str, names: tuple[str, ...]) -> Any:
    return first(*(attributes.get(prefix + name) for name in names))


def _listed(attributes: Attributes, prefix: str) -> list[Any]:
    """The entries under `prefix.0.`, `prefix.1.`, ... as nested objects, in their order."""
    tree: dict[str, Any] = {}
    for name, value in attributes.items():
        if name.startswith(prefix):
            *path, last = name[len(prefix) :].split(".")
            node = tree
            for step in path[:8]:
                inner = node.setdefault(step, {})
                node = inner if isinstance(inner, dict) else node.setdefault(f"{step}.", {})
            node[last] = value
    numbers = sorted(int(key) for key in tree if key.isascii() and key.isdecimal() and len(key) < 7)
    return [tree[str(number)] for number in numbers[:ENTRIES_MAX] if str(number) in tree]


def _messages(attributes: Attributes, prefix: str) -> list[dict[str, Any]]:
    """Messages of OpenInference: `0.message.role`, `0.message.content`, `0.message.contents.0....text`."""
    messages = []
    for each in _listed(attributes, prefix):
        message = first(dig(each, "message"), each)
        if not isinstance(message, dict):
            continue
        parts = (
            [dig(part, "message_content") for _, part in sorted((dig(message, "contents") or {}).items())]
            if isinstance(message.get("contents"), dict)
            else []
        )
        content = first(message.get("content"), parts or None)
        messages.append({"role": message.get("role"), "content": content})
    return messages


def _prompts(attributes: Attributes, prefix: str) -> list[dict[str, Any]]:
    """Prompts and completions without a wrapping message: `0.role`, `0.content`, `0.prompt.text`."""
    messages = []
    for each in _listed(attributes, prefix):
        text = first(dig(each, "content"), dig(each, "prompt", "text"), dig(each, "completion", "text"))
        if text is not None:
            role = first(dig(each, "role"), "user" if "prompt" in prefix else "assistant")
            messages.append(
                {"role": role, "content": parts_or_text(text), "finish_reason": dig(each, "finish_reason")}
            )
    return messages
