"""Every message and file as JSON Schema 2020-12, generated from the classes that the code itself uses."""

import copy
import json
from typing import Any, NamedTuple

import msgspec

from copycatch.alert_formats.catalog import ALERT_FORMATS
from copycatch.contracts.examples import EXAMPLES
from copycatch.records import wire
from copycatch.records.policy import Policy
from copycatch.records.policy_values import DURATION_PATTERN, duration_text

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAJOR = "v1"


class Message(NamedTuple):
    """A message as the schema folder lists it."""

    file_name: str
    cls: type[msgspec.Struct]
    title: str


MESSAGES: tuple[Message, ...] = (
    Message("record.schema.json", wire.InferenceRecord, "Inference record"),
    Message("alert.schema.json", wire.Alert, "Alert"),
    Message("recommendation.schema.json", wire.Recommendation, "Recommendation"),
    Message("dead-letter.schema.json", wire.Rejected, "Dead letter"),
    Message("ack.schema.json", wire.Ack, "Acknowledgement"),
)


def schema_id(file_name: str) -> str:
    """Identifier of a schema: a URN, because the project promises no web server.

    Examples
    --------
    >>> schema_id("alert.schema.json")
    'urn:copycatch:schemas:v1:alert'
    """
    return f"urn:copycatch:schemas:{MAJOR}:{file_name.partition('.')[0]}"


def message_schema(message: Message) -> dict[str, Any]:
    """JSON Schema of one message, with a description for each field and examples.

    Examples
    --------
    >>> schema = message_schema(MESSAGES[0])
    >>> schema["required"]
    ['event_id', 'event_time', 'account_id', 'model_id']
    >>> schema["properties"]["account_id"]["description"][:14]
    'Who is judged:'
    """
    root, others = _components(message.cls)
    return {
        "$schema": DIALECT,
        "$id": schema_id(message.file_name),
        **root,
        "title": message.title,
        "examples": copy.deepcopy(EXAMPLES[message.cls.__name__]),
        **({"$defs": others} if others else {}),
    }


def alert_format_schemas() -> dict[str, dict[str, Any]]:
    """What alerts look like in the other output formats, by file name; nothing but what is named is written.

    Examples
    --------
    >>> alert_format_schemas()["ocsf.schema.json"]["properties"]["class_uid"]["enum"]
    [2004]
    """
    schemas: dict[str, dict[str, Any]] = {}
    for row in ALERT_FORMATS.values():
        name = f"{row.name}.schema.json"
        head = {"$schema": DIALECT, "$id": schema_id(f"findings:{name}")}
        title = {"title": f"{row.description}, as copycatch writes it"}
        if isinstance(row.schema, str):
            schemas[name] = {**head, **title, "type": "string", "pattern": row.schema}
        elif row.schema is not wire.Alert:
            root, others = _components(row.schema)
            schemas[name] = {**head, **root, **title, "$defs": others}
    return schemas


def policy_json_schema(identifier: str | None = None, model: type[Policy] = Policy) -> dict[str, Any]:
    """JSON Schema 2020-12 of the policy file, for editors and `schemas/`.

    Examples
    --------
    >>> policy_json_schema("urn:x")["required"]
    ['version']
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    head = {"$schema": DIALECT}
    if identifier is not None:
        head["$id"] = identifier
    _write_defaults_as_analysts_do(schema)
    return {**head, **schema, "title": "Policy"}


def to_text(document: dict[str, Any]) -> str:
    """A schema as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _components(cls: type[msgspec.Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Schema of a class, and of those that it refers to, by name."""
    _, components = msgspec.json.schema_components([cls], ref_template="#/$defs/{name}")
    for schema in components.values():
        if "description" in schema:  # a docstring, with the line breaks of the source
            schema["description"] = " ".join(schema["description"].split())
    root = components.pop(cls.__name__)
    return root, dict(sorted(components.items()))


def _write_defaults_as_analysts_do(schema: Any) -> None:
    """Editors insert defaults: 15m, not the 900.0 that the core has."""
    if isinstance(schema, list):
        for item in schema:
            _write_defaults_as_analysts_do(item)
    if not isinstance(schema, dict):
        return
    default = schema.get("default")
    if isinstance(default, int | float) and schema.get("pattern") == DURATION_PATTERN:
        schema["default"] = duration_text(default)
    elif (
        isinstance(default, dict)
        and schema.get("additionalProperties", {}).get("pattern") == DURATION_PATTERN
    ):
        schema["default"] = {name: duration_text(value) for name, value in default.items()}
    elif isinstance(default, dict) and "$ref" in schema:
        del schema["default"]  # of a section: its parts carry their own
    for value in schema.values():
        _write_defaults_as_analysts_do(value)
