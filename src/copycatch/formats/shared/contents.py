"""Text of messages and their parts, in the forms of all chat APIs."""

from typing import Any

from copycatch.formats.shared.messages import first, text_of

PARTS_MAX = 10_000  # of one message's content, or of one request for embeddings
REDACTIONS = frozenset({"redacted-by-litellm", "[REDACTED]", "redacted"})
_REDACTION_CHARS_MAX = max(map(len, REDACTIONS))


def is_redacted(text: str) -> bool:
    """Whether a text stands for one that was blacked out; long ones are not even hashed."""
    return len(text) <= _REDACTION_CHARS_MAX and text in REDACTIONS


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
        elif isinstance(part, dict) and _is_text(part.get("type")):
            # "content" is what the parts of OpenTelemetry call it
            text = first(part.get("text"), part.get("content"))
            if isinstance(text, str):
                texts.append(text)
    return text_of("\n".join(texts)) if texts else None


def _is_text(kind: Any) -> bool:
    """Whether a part of this type may hold text; images, audio and blobs hold base64."""
    return not isinstance(kind, str) or "text" in kind or kind in ("refusal", "message")
