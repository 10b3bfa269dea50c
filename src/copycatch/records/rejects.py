"""How a message that cannot be taken is described without repeating what it holds."""

import re
from bisect import bisect_left

from copycatch.records.columns import RawBatch
from copycatch.records.wire import Rejected, RejectReason
from copycatch.safe_text import printable

EXCERPT_CHARS_MAX = 256
MESSAGE_CHARS_MAX = 300
FIELD_CHARS_MAX = 120
_SCANNED_BYTES_MAX = 2_048  # masking shrinks text; enough raw bytes to fill an excerpt
# Only these tell an operator where to look and nothing about what a user asked or which key they hold.
_SHOWN_FIELDS = frozenset(
    {
        "event_id", "event_time", "account_id", "tenant_id", "model_id", "model_version", "status",
        "schema_version", "specversion", "type", "time", "dtype",
    }
)  # fmt: skip
_TOKEN = re.compile(
    r'"(?P<text>(?:[^"\\]|\\.)*)(?P<end>"?)(?P<colon>\s*:)?'
    r"|(?P<number>-?\d[\d.eE+-]*)|(?P<word>[^\W\d_]+)",
    re.DOTALL,
)
_PLAIN_KEY = re.compile(r"[\w.:/@-]{1,64}")


def mask(value: bytes) -> str:
    """The shape of a message: its field names and punctuation, with what users wrote masked.

    Examples
    --------
    >>> mask(b'{"account_id":"a1","input":"my PIN is 12","embedding":[0.5,1.25]}')
    '{"account_id":"a1","input":"<12>","embedding":[0,0]}'
    >>> mask(b"my PIN is 12")
    '<2> <3> <2> 0'
    """
    text = value[:_SCANNED_BYTES_MAX].decode("utf-8", errors="replace")
    shown_next = False

    def replace(found: re.Match[str]) -> str:
        nonlocal shown_next
        is_shown, shown_next = shown_next, False
        inner = found["text"]
        if inner is None:
            if found["number"] is not None:
                return found["number"][:24] if is_shown else "0"
            word = found["word"]
            return word if word in {"true", "false", "null", "NaN", "Infinity"} else f"<{len(word)}>"
        if found["colon"] is not None and _PLAIN_KEY.fullmatch(inner):
            shown_next = inner in _SHOWN_FIELDS
            return f'"{inner}":'
        if is_shown and found["end"]:
            return f'"{inner[:64]}"'
        return f'"<{len(inner)}>{found["end"]}{found["colon"] or ""}'

    return printable(_TOKEN.sub(replace, text), EXCERPT_CHARS_MAX)


def reject(
    raw: RawBatch,
    position: int,
    reason: RejectReason,
    field: str | None,
    message: str,
    account_id: object = None,
) -> Rejected:
    """The dead letter of one message.

    Parameters
    ----------
    raw : RawBatch
        The batch that held it; a position outside it gives an empty excerpt.
    position : int
        Its offset or line number.
    reason, field, message
        What is wrong, where, and what would be right; cut to a bounded length and escaped.
    account_id : object
        Whose message it is, where that could be read; what is no text counts as unread.

    Examples
    --------
    >>> raw = RawBatch(topic="logs", partition=0, positions=[7], values=[b'{"status":"x"}'])
    >>> letter = reject(raw, 7, "schema", "status", "expected an integer")
    >>> letter.offset, letter.excerpt
    (7, '{"status":"x"}')
    """
    index = bisect_left(raw.positions, position)
    is_found = index < len(raw.positions) and raw.positions[index] == position
    value = raw.values[index] if is_found else b""
    return Rejected(
        reason=reason,
        field=None if field is None else printable(field, FIELD_CHARS_MAX),
        message=printable(message, MESSAGE_CHARS_MAX),
        topic=raw.topic,
        partition=raw.partition,
        offset=position,
        excerpt=mask(value),
        value_bytes=len(value),
        account_id=printable(account_id, FIELD_CHARS_MAX) if isinstance(account_id, str) else None,
    )
