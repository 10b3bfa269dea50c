"""The one constructor of `Rejected`, so that every stage words and masks its rejects alike."""

import re

from copycatch.records.wire import Rejected, RejectReason

EXCERPT_CHARS_MAX = 256  # enough to recognise the producer; dead letters are read by people
SCAN_BYTES_MAX = 2048  # masking costs about 0.1 ms at this length, and floods of bad records are free to send
SHOWN_CHARS_MAX = 64  # of one value
KEY_CHARS_MAX = 64
MASK = "***"

# Values are masked unless their field is known to be harmless: logs of unknown gateways hide prompts and
# keys under any name, so a list of secret names would always be one name short.
SHOWN_FIELDS = frozenset(
    (
        *("event_id", "event_time", "account_id", "tenant_id", "model_id", "model_version", "schema_version"),
        *("status", "latency_ms", "input_tokens", "output_tokens", "dtype"),
        *("logprobs", "top_logprobs", "n", "max_tokens", "temperature"),
        *("id", "type", "source", "time", "specversion", "datacontenttype", "object", "model", "model_name"),
        *("call_type", "operation", "op", "method", "mode", "name", "datatype", "shape", "eventversion"),
        *("timestamp", "created", "start_time", "started_at", "request_time", "logging_time"),
        *("requestid", "request_id", "modelid", "schematype", "schemaversion", "status_code"),
        "sampling_fraction",
    )
)

_TOKEN = re.compile(
    r"""
    (?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))
  | (?P<string>"(?:[^"\\]|\\.)*(?:"|\\?\Z))   # also one that the cut end leaves open
  | (?P<constant>\b(?:true|false|null|NaN|-?Infinity)\b)
  | (?P<number>-?\d[0-9.eE+-]*)
  | (?P<mark>[{}\[\]:,])
  | (?P<space>[\x00\s]+)
  | (?P<word>[^\s{}\[\]:,"\x00]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_REPEATS = re.compile(r"(?:\*\*\*,)+\*\*\*")


def make_rejected(
    *,
    reason: RejectReason,
    field: str | None,
    message: str,
    topic: str,
    partition: int,
    offset: int,
    value: bytes,
) -> Rejected:
    """A dead letter about the message `value`, which stood at `offset` of its source.

    Examples
    --------
    >>> make_rejected(
    ...     reason="schema", field="account_id", message="account_id is missing",
    ...     topic="inference-logs", partition=3, offset=17, value=b'{"event_id": "e1", "input": "hello"}',
    ... ).excerpt
    '{"event_id":"e1","input":***}'
    """
    return Rejected(
        reason=reason,
        field=field,
        message=message[: 4 * EXCERPT_CHARS_MAX],
        topic=topic,
        partition=partition,
        offset=offset,
        excerpt=excerpt_of(value),
        value_bytes=len(value),
    )


def excerpt_of(value: bytes) -> str:
    r"""The shape of a message with its contents masked, on one bounded line of printable ASCII.

    Works on anything: a cut-off or broken document shows its structure as far as it goes, and of what is
    no JSON at all only the punctuation is left.

    Examples
    --------
    >>> excerpt_of(b'{"event_id":"e1","probabilities":[0.1,0.9],"params":{"n":2},"prompt":"my secret')
    '{"event_id":"e1","probabilities":[***],"params":{"n":2},"prompt":***'
    >>> excerpt_of(b"password=hunter2 \x1b]")
    '*** ***]'
    """
    text = value[:SCAN_BYTES_MAX].decode("utf-8", errors="backslashreplace")
    parts: list[str] = []
    key: str | None = None  # of the value that comes next
    for token in _TOKEN.finditer(text):
        kind, found = token.lastgroup, token.group()
        if kind == "key":
            key = found[1:-1]
            parts.append(f'"{key[:KEY_CHARS_MAX]}"')
            continue
        if kind == "space":
            if not parts or parts[-1] == MASK:
                parts.append(" ")
            continue
        if kind == "mark":
            while parts and parts[-1] == " ":
                parts.pop()
            parts.append(found)
            if found != ":":
                key = None
            continue
        is_shown = kind == "constant" or (
            key is not None and key.lower() in SHOWN_FIELDS and kind in ("string", "number")
        )
        if is_shown:
            parts.append(found if len(found) <= SHOWN_CHARS_MAX else found[:SHOWN_CHARS_MAX] + "...")
        else:
            parts.append(MASK)
        key = None
    masked = _REPEATS.sub(MASK, "".join(parts)).strip()
    printable = masked.encode("ascii", errors="backslashreplace").decode("ascii")
    escaped = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in printable)
    return escaped if len(escaped) <= EXCERPT_CHARS_MAX else escaped[: EXCERPT_CHARS_MAX - 3] + "..."
