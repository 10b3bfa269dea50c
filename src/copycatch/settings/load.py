"""From a file to a checked model, with every fault at once."""

import types
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from copycatch.errors import ConfigError, nearest, unknown_remedy
from copycatch.settings.faults import Fault, PathParts
from copycatch.settings.yaml_document import DOCUMENT_BYTES_MAX, Document, read_document

Model = TypeVar("Model", bound=BaseModel)


def read_file(path: Path) -> bytes:
    """The bytes of a settings file, never more than it may have.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror or error} (check the path and its permissions)"
        raise ConfigError(message) from error


def check_text(
    model: type[Model],
    text: str | bytes,
    file: str,
    context: Mapping[str, Any] | None = None,
    adjust: Callable[[Document], None] = lambda _document: None,
) -> tuple[Model | None, Document]:
    """Read and validate; faults of syntax and of content stand together in `document.faults`.

    Parameters
    ----------
    context : mapping, optional
        What validators of the model may look up, such as the names of known features.
    adjust : callable, optional
        May change the data before they are validated (overrides from the environment), and add faults.
    """
    document = read_document(text, file)
    if document.data is not None or not document.faults:
        adjust(document)
    return check_document(model, document, context), document


def check_document(
    model: type[Model], document: Document, context: Mapping[str, Any] | None = None
) -> Model | None:
    """Validate what was read; adds to `document.faults`, and gives None if there are any."""
    if document.data is None and document.faults:
        return None
    try:
        checked = model.model_validate(document.data, context=dict(context or {}))
    except ValidationError as error:
        add_faults(model, error, document)
        return None
    return None if document.faults else checked


def add_faults(model: type[BaseModel], error: ValidationError, document: Document) -> None:
    """What pydantic refuses, as faults of the document."""
    details = error.errors(include_url=False)
    document.faults.extend(_fault(model, detail, document) for detail in details)


def _fault(model: type[BaseModel], detail: ErrorDetails, document: Document) -> Fault:
    path = _path(detail["loc"], document)
    kind, given, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    name = str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        known = _known_names(model, detail["loc"])
        return document.fault(path, f"unknown key {name!r}", unknown_remedy(name, known), is_key=True)
    if kind == "missing":
        return document.fault(path, f"{name!r} is missing", f"add {name}: ...", is_key=True)
    if kind == "literal_error":
        options = [option.strip("'\"") for option in _options(context.get("expected", ""))]
        is_key = "[key]" in detail["loc"]
        shown = name if is_key else given
        near = nearest(str(shown), options)
        remedy = (f"did you mean {near}? " if near else "") + f"one of {', '.join(options)}"
        return document.fault(path, f"{shown!r} is none of the allowed words", remedy, is_key)
    if "remedy" in context:
        return document.fault(path, detail["msg"], str(context["remedy"]))
    return document.fault(path, _plain(detail["msg"], given), _remedy(kind, given))


def _path(loc: tuple[int | str, ...], document: Document) -> PathParts:
    """The location without what pydantic adds to it: union tags and `[key]`."""
    path: list[str | int] = []
    data = document.data
    for position, part in enumerate(loc):
        is_last = position == len(loc) - 1
        is_index = isinstance(part, int) and isinstance(data, list) and part < len(data)
        if is_index or (isinstance(part, str) and isinstance(data, dict) and part in data):
            data = data[part]
        elif not is_last or part == "[key]":
            continue
        path.append(part)
    return tuple(path)


def _known_names(model: type[BaseModel], loc: tuple[int | str, ...]) -> Collection[str]:
    """The keys that the model takes where an unknown one stands."""
    current: Any = model
    for part in loc[:-1]:
        current = _step(_bare(current), part)
        if current is None:
            return ()
    current = _bare(current)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return [_key(name, field) for name, field in current.model_fields.items()]
    return ()


def _step(current: Any, part: int | str) -> Any:
    """The type one step further down."""
    if isinstance(current, type) and issubclass(current, BaseModel):
        for name, field in current.model_fields.items():
            if part == _key(name, field):
                return field.annotation
        return None
    arguments = get_args(current)
    if get_origin(current) in {Union, types.UnionType}:
        tagged = [a for a in arguments if any(isinstance(m, Tag) and m.tag == part for m in get_args(a)[1:])]
        return tagged[0] if tagged else None
    return arguments[-1] if arguments else None


def _key(name: str, field: FieldInfo) -> str:
    """What a field is called in a file."""
    return field.validation_alias if isinstance(field.validation_alias, str) else name


def _bare(current: Any) -> Any:
    """Without Annotated and without `| None`."""
    while True:
        if get_origin(current) is Annotated:
            current = get_args(current)[0]
        elif get_origin(current) in {Union, types.UnionType} and type(None) in get_args(current):
            current = next(a for a in get_args(current) if a is not type(None))
        else:
            return current


def _options(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(", ")


def _plain(message: str, given: Any) -> str:
    shown = repr(given)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    message = message.removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return f"{shown} {message}" if message.startswith("should") else message


_REMEDIES = {
    "float_type": "write a number without quotes or unit",
    "int_type": "write a whole number without quotes or unit",
    "int_from_float": "write a whole number",
    "bool_type": "write true or false",
    "model_type": "write keys and values below it",
    "dict_type": "write keys and values below it",
    "list_type": "write a list, each item after a dash",
    "too_short": "it may not be empty",
    "string_too_short": "it may not be empty",
}


def _remedy(kind: str, given: Any) -> str:
    if kind == "string_type":
        return f'quote it: "{given}"' if isinstance(given, int | float | bool) else "write text"
    return _REMEDIES.get(kind, "`copycatch schemas` writes what is possible")
