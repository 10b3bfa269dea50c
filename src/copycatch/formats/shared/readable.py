"""What of a record can be read where a part of it cannot: the part is missing, and the query counts."""

import hashlib
from typing import Any

import msgspec

from copycatch.formats.shared.faults import MessageFault, schema_fault
from copycatch.formats.shared.format import REQUIRED_FIELDS
from copycatch.records.wire import ID_CHARS_MAX, TEXT_CHARS_MAX, InferenceRecord, Params

ID_FIELDS = (
    *("event_id", "account_id", "model_id"),
    "tenant_id",
    "api_key_id",
    "model_version",
    "conversation_id",
    "system_hash",
    "tools_hash",
)
_TEXT_FIELDS = ("input", "output_text", "user_agent")
_KEPT_CHARS = 64  # of a long id, so that people still find it in their log
_PLACEHOLDERS: dict[str, Any] = dict.fromkeys(REQUIRED_FIELDS, "x")


def readable_record(given: dict[str, Any]) -> tuple[InferenceRecord | MessageFault, int]:
    """The record of all fields that are valid, and how many were not.

    Ids and texts that are too long are shortened and count as read. A fault is about a required field.

    Examples
    --------
    >>> given = {"event_id": "e" * 600, "event_time": 1, "account_id": "a", "model_id": "m", "input": [True]}
    >>> record, n_unread = readable_record(given)
    >>> len(record.event_id), record.input, n_unread
    (97, None, 1)
    """
    fields: dict[str, Any] = {}
    for name, value in given.items():
        found = _shortened(name, value)
        if name == "params" and isinstance(value, dict):
            found = {key: each for key, each in value.items() if _is_valid({key: each}, Params)}
        if name in REQUIRED_FIELDS or _is_valid({**_PLACEHOLDERS, name: found}, InferenceRecord):
            fields[name] = found
    n_unread = len(given) - len(fields)
    if "params" in fields and isinstance(given["params"], dict):
        n_unread += len(given["params"]) - len(fields["params"])
    try:
        return msgspec.convert(fields, InferenceRecord), n_unread
    except msgspec.ValidationError as error:
        return schema_fault(error, fields), n_unread
    except (RecursionError, OverflowError) as error:
        return MessageFault("schema", None, f"the record cannot be read: {error}"), n_unread


def is_unread(given: Any, record: InferenceRecord) -> bool:
    """Whether the input or its embedding was given and could not be read."""
    return any(
        getattr(record, name) is None and given.get(name) is not None for name in ("input", "embedding")
    )


def short_id(text: str) -> str:
    """An id that is too long for one, as its beginning and a hash of all of it.

    Examples
    --------
    >>> short_id("short"), len(short_id("x" * 513)), short_id("x" * 513) == short_id("x" * 514)
    ('short', 97, False)
    """
    if len(text) <= ID_CHARS_MAX:
        return text
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return f"{text[:_KEPT_CHARS]}~{digest}"


def _shortened(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name in ID_FIELDS or name == "predicted_label":
        return short_id(value)
    return value[:TEXT_CHARS_MAX] if name in _TEXT_FIELDS else value


def _is_valid(fields: dict[str, Any], kind: type[msgspec.Struct]) -> bool:
    try:
        msgspec.convert(fields, kind)
    except (msgspec.ValidationError, RecursionError, OverflowError):
        return False
    return True
