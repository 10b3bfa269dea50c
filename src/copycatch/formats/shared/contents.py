"""Text of messages and their parts, in the forms of all chat APIs."""

from typing import Any, Final

from copycatch.formats.shared.messages import first, text_of

PARTS_MAX = 10_000  # of one message's content, or of one request for embeddings
REDACTIONS = frozenset({"redacted-by-litellm", "[REDACTED]", "redacted"})
_REDACTION_CHARS_MAX = max(map(len, REDACTIONS))


def is_redacted(text: str) -> bool:
    """Whether a text stands for one that was blacked out; long ones are not even hashed."""
    return len(text) <= _REDACTION_CHARS_MAX and text in REDACTIONS


UNREAD: Final = object()  # an input that is there and is no text: no record takes it, and each notes it


def is_without_text(messages: Any) -> bool:
    """Whether the last user says something, and none of it is text: an image, audio, a file.

    Examples
    --------
    >>> is_without_text([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "..."}}]}])
    True
    >>> is_without_text([{"role": "user", "content": [{"type": "tool_result", "content": "42"}]}])
    False
    """
    if not isinstance(messages, list) or messages_text(messages) is not None:
        return False
    asked = [each for each in messages[-PARTS_MAX:] if isinstance(each, dict) and each.get("role") == "user"]
    parts = first(asked[-1].get("content"), asked[-1].get("parts")) if asked else None
    if not isinstance(parts, list):
        return parts is not None and not isinstance(parts, str)
    kinds = [each for each in parts[:PARTS_MAX] if isinstance(each, dict)]
    return bool(kinds) and not any("tool" in str(each.get("type")) or "toolResult" in each for each in kinds)


def messages_text(messages: Any) -> str | None:
    """Text of the last message of a user, or of the last message where no user speaks.

    Examples
    --------
    >>> messages_text([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]},
    ...                {"role": "assistant", "content": "b"}])
    'a'
    """
    if isinstance(messages, str):
        return None if is_redacted(messages) else text_of(messages)
    if not isinstance(messages, list):
        return None
    spoken = [message for message in messages[-PARTS_MAX:] if isinstance(message, dict)]
    asked = [message for message in spoken if message.get("role") == "user"]
    # The last with text: a user's turn may be nothing but the result of a tool.
    for message in [*reversed(asked), *reversed(spoken)]:
        text = content_text(first(message.get("content"), message.get("parts"), message.get("text")))
        if text:
            return None if is_redacted(text) else text
    return None


def content_text(content: Any) -> str | None:
    """Text of a message's content: a string, or parts of which only those with text count."""
    if isinstance(content, str):
        return text_of(content)
    if isinstance(content, dict):
        return content_text(first(content.get("text"), content.get("content"), content.get("parts")))
    if not isinstance(content, list):
        return None
    texts = []
    for part in content[:PARTS_MAX]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and _is_text(part.get("type")) and not part.get("thought"):
            # "content" is what the parts of OpenTelemetry call it
            text = first(part.get("text"), part.get("content"))
            if isinstance(text, str):
                texts.append(text)
    return text_of("\n".join(texts)) if texts else None


def _is_text(kind: Any) -> bool:
    """Whether a part of this type may hold text; images, audio and blobs hold base64."""
    return not isinstance(kind, str) or "text" in kind or kind in ("refusal", "message")
