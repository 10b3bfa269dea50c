"""JSON as logs really hold it: what one part of a document has wrong must not cost the rest."""

import json
import math
from typing import Any

import ijson
import msgspec

from copycatch.formats.shared.faults import json_fault, size_fault
from copycatch.records.wire import MESSAGE_BYTES_MAX

DEPTH_MAX = 64  # of a document that is too deep to read whole; what lies deeper is left out
_INTEGER_CHARS_MAX = 19
_SEPARATOR = "\x1e"  # of sequences of JSON texts (RFC 7464)


def read_json(value: bytes) -> Any:
    r"""The document in `value`: strict JSON by the fast parser, all else as far as it can be read.

    NaN, Infinity and numbers that no 64-bit float holds become null, halves of surrogate pairs and bytes that
    are no UTF-8 become U+FFFD, and what is nested too deep is left out.

    Raises
    ------
    MessageFault
        If it is no JSON even so, or longer than a message may be.

    Examples
    --------
    >>> read_json(b'{"a": NaN, "b": [1e400, 2], "c": "half \\ud83d"}')
    {'a': None, 'b': [None, 2], 'c': 'half \ufffd'}
    >>> read_json(b'{"deep": ' + b"[" * 5000 + b"]" * 5000 + b', "account": "a"}')["account"]
    'a'
    """
    if len(value) > MESSAGE_BYTES_MAX:
        raise size_fault(value)
    try:
        return msgspec.json.decode(value)
    except (ValueError, RecursionError) as error:
        try:
            return _read_leniently(value)
        except (ValueError, ijson.JSONError):
            raise json_fault(value, error) from None


def lost_parts(document: Any) -> int:
    """How many values of a document's fields were no numbers, and are null in it.

    Examples
    --------
    >>> lost_parts(read_json(b'{"a": NaN, "b": [NaN]}')), lost_parts(read_json(b'{"a": 1}'))
    (1, 0)
    """
    return document.n_lost if isinstance(document, _MendedObject | _MendedArray) else 0


class _MendedObject(dict[str, Any]):
    n_lost = 0


class _MendedArray(list[Any]):
    n_lost = 0


_LOST: Any = object()  # while it is read: NaN, Infinity, or a number that no float holds


def _read_leniently(value: bytes) -> Any:
    text = value.decode("utf-8-sig", errors="replace").strip(_SEPARATOR)
    n_lost = 0

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal n_lost
        n_lost += sum(found is _LOST for _, found in pairs)
        return {name: _cleared(found) for name, found in pairs}

    try:
        document = _cleared(
            json.loads(
                text,
                strict=False,
                parse_constant=_missing,
                parse_float=_finite,
                parse_int=_integer,
                object_pairs_hook=object_of,
            )
        )
        if "\\u" in text:
            # Only escapes make halves of surrogate pairs; UTF-16 tells them from whole ones.
            written = json.dumps(document, ensure_ascii=False)
            document = json.loads(written.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
    except RecursionError:
        return _read_shallow(value)
    if n_lost and isinstance(document, dict | list):
        document = _MendedObject(document) if isinstance(document, dict) else _MendedArray(document)
        document.n_lost = n_lost
    return document


def _cleared(found: Any) -> Any:
    """A value with null where a number was lost; what is in lists shows when these are read."""
    if found is _LOST:
        return None
    return list(map(_cleared, found)) if isinstance(found, list) else found


def _read_shallow(value: bytes) -> Any:
    """The document down to `DEPTH_MAX`, read event by event, so that its depth costs no stack."""
    builder = ijson.ObjectBuilder()
    depth = 0
    for event, found in ijson.basic_parse(value, use_float=True):
        depth -= event in ("end_map", "end_array")
        if depth < DEPTH_MAX:
            builder.event(event, found)
        depth += event in ("start_map", "start_array")
    return builder.value


def _missing(_constant: str) -> Any:
    return _LOST


def _finite(text: str) -> Any:
    number = float(text)
    return number if math.isfinite(number) else _LOST


def _integer(text: str) -> Any:
    return int(text) if len(text) < _INTEGER_CHARS_MAX else _finite(text)
