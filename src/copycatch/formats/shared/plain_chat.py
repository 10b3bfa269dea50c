"""The shape that most chat records have, read in one look; anything else is read by the long way.

What is read here is what `chat` and `context` read: a key beyond those named here, or a value of another
type, gives None, and tests hold the two ways to the same fields.
"""

from typing import Any

from copycatch.formats.shared.contents import is_redacted
from copycatch.formats.shared.context import WORD_CHARS_MAX, hash_of
from copycatch.formats.shared.messages import Fields
from copycatch.records.wire import TEXT_CHARS_MAX

MESSAGES_MAX = 1_000
_COUNT_MAX = 1 << 53
# Keys that are read, then those that nothing is read from.
_REQUEST_KEYS = frozenset(
    {
        *("model", "messages", "temperature", "n", "max_tokens", "max_completion_tokens"),
        *("top_p", "top_k", "seed", "user", "stream", "stream_options", "stop", "presence_penalty"),
        *("frequency_penalty", "response_format", "service_tier", "safety_identifier", "store", "metadata"),
    }
)
_RESPONSE_KEYS = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"}
)
_CHOICE_KEYS = frozenset({"index", "message", "finish_reason", "logprobs", "content_filter_results"})
_MESSAGE_KEYS = frozenset({"role", "content", "name", "refusal", "annotations"})
_SYSTEM = frozenset({"system", "developer"})
_ROLES = frozenset({"system", "developer", "user", "assistant"})
_COUNTS, _NUMBERS, _NAMES = (int, type(None)), (int, float, type(None)), (str, type(None))


def plain_request_fields(request: dict[str, Any]) -> Fields | None:
    """Fields of a request with nothing but text, the last of it a user's, and the usual options."""
    if not request.keys() <= _REQUEST_KEYS:
        return None
    get = request.get
    messages, model, temperature, n = get("messages"), get("model"), get("temperature"), get("n")
    limit = get("max_completion_tokens")
    limit = get("max_tokens") if limit is None else limit
    is_plain = (
        type(messages) is list
        and 0 < len(messages) <= MESSAGES_MAX
        and type(model) in _NAMES
        and type(temperature) in _NUMBERS
        and type(n) in _COUNTS
        and type(limit) in _COUNTS
        and 0 <= (n or 0) <= _COUNT_MAX
        and 0 <= (limit or 0) <= _COUNT_MAX
    )
    context = _plain_context(messages) if is_plain else None
    if context is None:
        return None
    params = {
        name: value
        for name, value in (("n", n), ("temperature", temperature), ("max_tokens", limit))
        if value is not None
    }
    return {"model_id": (model or "").strip() or None, "params": params or None, **context}


def plain_response_fields(response: dict[str, Any]) -> Fields | None:
    """Fields of an answer that is one text."""
    choices = response.get("choices") if response.keys() <= _RESPONSE_KEYS else None
    if type(choices) is not list or len(choices) != 1 or response.get("object") == "response":
        return None
    choice, usage, model = choices[0], response.get("usage"), response.get("model")
    message = choice.get("message") if type(choice) is dict and choice.keys() <= _CHOICE_KEYS else None
    if type(message) is not dict or not message.keys() <= _MESSAGE_KEYS:
        return None
    text, reason = message.get("content"), choice.get("finish_reason")
    if type(usage) is not dict or type(text) is not str or type(model) not in _NAMES:
        return None
    asked, told = usage.get("prompt_tokens"), usage.get("completion_tokens")
    is_plain = type(asked) is int and type(told) is int and 0 < len(text) <= TEXT_CHARS_MAX
    if not is_plain or type(reason) not in _NAMES:
        return None
    fields = {
        "output_text": text,
        "model_version": (model or "").strip() or None,
        "input_tokens": asked,
        "output_tokens": told,
    }
    return {**fields, "finish_reason": reason[:WORD_CHARS_MAX].lower()} if reason else fields


def _plain_context(messages: Any) -> Fields | None:
    """Input, and what stands around it."""
    systems: list[str] = []
    beginning: list[str] = []
    turns = n_answers = 0
    role: Any = None
    content: Any = None
    for message in messages:
        if type(message) is not dict or not message.keys() <= _MESSAGE_KEYS:
            return None
        role, content = message.get("role"), message.get("content")
        is_text = type(content) is str and 0 < len(content) <= TEXT_CHARS_MAX and not is_redacted(content)
        if not is_text or type(role) is not str or role not in _ROLES:
            return None
        if role in _SYSTEM:
            systems.append(content)
            continue
        turns += role == "user"
        if not n_answers:
            beginning.append(f"{role}: {content}")
        n_answers += role == "assistant"
    if role != "user":
        return None
    fields: Fields = {"input": content, "turn": turns}
    spoken = "\n".join(systems)
    if spoken:
        fields["system_hash"] = hash_of(spoken)
    if n_answers:
        fields["conversation_id"] = hash_of("\n".join([spoken, *beginning]))
    return fields
