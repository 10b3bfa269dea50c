"""Tell formats apart by the fields that only they have."""

from collections.abc import Callable, Mapping
from typing import Any

from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.json_text import read_json

Marks = tuple[tuple[str, ...], ...]
"""Ways to recognise a format, each a tuple of marks that must all be there. A mark is a path of keys; "|"
separates other spellings, "=" begins what the value must start with, and "header:" names a header."""

Recognise = Callable[[Any, Mapping[str, str]], str | None]
"""Name of the format that a decoded document with these headers is in, or None where none fits; bytes of a
message that is no JSON are looked at as such."""


def recognise_nothing(_document: Any, _headers: Mapping[str, str]) -> str | None:
    """For decoders that read whatever they are told to."""
    return None


def has_marks(marks: Marks, document: Any, headers: Mapping[str, str]) -> bool:
    """Whether a document has all marks of one way to recognise its format.

    Examples
    --------
    >>> has_marks((("captureData", "eventMetadata|meta"),), {"captureData": {}, "meta": {}}, {})
    True
    >>> has_marks((("header:ce_type=org.kubeflow",),), {}, {"ce_type": "org.kubeflow.serving"})
    True
    >>> has_marks((("request.model", "response"),), {"request": '{"model": "m"}', "response": ""}, {})
    True
    >>> has_marks((("object=chat.completion", "model"),), {"object": "list", "model": "m"}, {})
    False
    """
    if not isinstance(document, dict):
        return False
    return any(all(_has(document, headers, mark) for mark in way) for way in marks)


def _has(document: Mapping[str, Any], headers: Mapping[str, str], mark: str) -> bool:
    return any(_has_one(document, headers, way) for way in mark.split("|"))


def _has_one(document: Mapping[str, Any], headers: Mapping[str, str], way: str) -> bool:
    path, _, start = way.partition("=")
    if path.startswith("header:"):
        return headers.get(path.removeprefix("header:"), "").startswith(start)
    found: Any = document
    # Attribute names of OpenTelemetry hold dots themselves, so a whole key is tried before a path.
    if path in document:
        found = document[path]
    else:
        for key in path.split("."):
            if isinstance(found, str) and found.startswith("{"):
                found = _nested(found)  # bodies that are logged as text
            if not isinstance(found, dict) or key not in found:
                return False
            found = found[key]
    return not start or (isinstance(found, str) and found.startswith(start))


def _nested(text: str) -> Any:
    try:
        return read_json(text.encode(errors="replace"))
    except MessageFault:
        return None
