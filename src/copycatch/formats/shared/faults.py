"""What is wrong with a message, found out only once decoding has failed."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from copycatch.records.wire import MESSAGE_BYTES_MAX, RejectReason

_PATH = re.compile(r" - at `\$(?P<path>.*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]*)`")
_OUT_OF_RANGE = "out of range"
FIELD_CHARS_MAX = 128


class MessageFault(Exception):  # noqa: N818 - a finding about data, caught where messages are decoded
    """One message cannot be taken; carries what its dead letter says."""

    def __init__(self, reason: RejectReason, field: str | None, message: str) -> None:
        super().__init__(message)
        self.reason: RejectReason = reason
        self.field = None if field is None else field[:FIELD_CHARS_MAX]
        self.message = message


def size_fault(value: bytes) -> MessageFault:
    """The fault of a message that is longer than any record may be."""
    return MessageFault(
        "too_large",
        None,
        f"the message has {len(value):,} bytes and a message at most {MESSAGE_BYTES_MAX:,}; "
        "shorten the input at the gateway or send it as base64",
    )


def json_fault(value: bytes, error: Exception) -> MessageFault:
    """The fault of a message that could not be read as JSON, leniently either."""
    if not value.strip():
        message = "the message is empty; a tombstone or a blank line is no record"
        return MessageFault("not_json", None, message)
    hint = " (gzip)" if value[:2] == b"\x1f\x8b" else " (zstd)" if value[:4] == b"\x28\xb5\x2f\xfd" else ""
    return MessageFault(
        "not_json", None, f"the message is not JSON{hint}: {error}; send one JSON object a message"
    )


def schema_fault(error: msgspec.ValidationError, document: Any = None) -> MessageFault:
    """The fault behind a validation error of msgspec, with the path of the field.

    Examples
    --------
    >>> from copycatch.records.wire import Params
    >>> try:
    ...     msgspec.json.decode(b'{"n": "two"}', type=Params)
    ... except msgspec.ValidationError as error:
    ...     fault = schema_fault(error)
    >>> fault.reason, fault.field, fault.message
    ('schema', 'n', 'n: expected `int | null`, got `str`')
    """
    text = str(error)
    found = _PATH.search(text)
    path = found["path"].lstrip(".") if found else ""
    problem = text[: found.start()] if found else text
    missing = _MISSING.match(problem)
    if missing:
        path = f"{path}.{missing['field']}".lstrip(".")
        return MessageFault("schema", path, f"{path} is missing; every record must have it")
    if "[...]" in path:
        path = _name_elements(path, document)
    problem = problem[:1].lower() + problem[1:]
    reason: RejectReason = "not_finite" if _OUT_OF_RANGE in problem else "schema"
    return MessageFault(reason, path or None, f"{path}: {problem}" if path else problem)


def version_fault(version: str) -> MessageFault:
    """The fault of a record that says it is of a later schema."""
    return MessageFault(
        "unknown_version",
        "schema_version",
        f"schema_version is {version[:32]!r} and this copycatch reads 1.x; upgrade it, or send version 1",
    )


def foreign_fault(expected: str, found: str) -> MessageFault:
    """The fault of a good message of another format."""
    return MessageFault(
        "wrong_format",
        None,
        f"this is a record of format {found!r} and the topic is set to {expected!r}; "
        f"set the topic's format to {found!r}, or give each format a topic of its own",
    )


def _name_elements(path: str, document: Any) -> str:
    """`a[...]` of msgspec as the index or key of the first value that is no number."""
    head, _, tail = path.partition("[...]")
    found = document
    for step in head.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    entries: Iterable[tuple[object, object]] = ()
    if isinstance(found, dict):
        entries = found.items()
    elif isinstance(found, list):
        entries = enumerate(found)
    for key, element in entries:
        if isinstance(element, bool) or not isinstance(element, int | float):
            return f"{head}[{str(key)[:32]}]{tail}"
    return path
