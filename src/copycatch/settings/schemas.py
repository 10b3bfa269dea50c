"""Every message and file as JSON Schema 2020-12, generated from the classes that the code itself uses."""

import copy
import json
from typing import Any, NamedTuple

import msgspec

from copycatch.findings.cef import CEF_PATTERN
from copycatch.findings.ecs import EcsAlert
from copycatch.findings.ocsf import DetectionFinding
from copycatch.records import wire
from copycatch.settings.schema_words import EXAMPLES, FIELD_WORDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAJOR = "v1"
_DATE_TIMES = frozenset({"time", "first_seen", "last_seen", "issued_at", "expires_at", "event_time"})


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
    Message("feedback.schema.json", wire.Feedback, "Feedback"),
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
    _, components = msgspec.json.schema_components([message.cls], ref_template="#/$defs/{name}")
    described = {name: _describe(name, schema) for name, schema in components.items()}
    root = described.pop(message.cls.__name__)
    root.pop("title", None)
    schema: dict[str, Any] = {
        "$schema": DIALECT,
        "$id": schema_id(message.file_name),
        "title": message.title,
        **root,
        "examples": copy.deepcopy(EXAMPLES[message.cls.__name__]),
    }
    if described:
        schema["$defs"] = {name: described[name] for name in sorted(described)}
    return schema


def finding_schemas() -> dict[str, dict[str, Any]]:
    """What alerts look like in the other output formats, by file name; nothing but what is named is written.

    Examples
    --------
    >>> finding_schemas()["ocsf.schema.json"]["properties"]["class_uid"]["enum"]
    [2004]
    """
    schemas: dict[str, dict[str, Any]] = {}
    for name, cls, title in (
        ("ocsf.schema.json", DetectionFinding, "OCSF 1.8 Detection Finding as copycatch writes it"),
        ("ecs.schema.json", EcsAlert, "ECS alert document as copycatch writes it"),
    ):
        _, components = msgspec.json.schema_components([cls], ref_template="#/$defs/{name}")
        root = components.pop(cls.__name__)
        schemas[name] = {
            "$schema": DIALECT,
            "$id": schema_id(f"findings:{name}"),
            **root,
            "title": title,
            "$defs": components,
        }
    schemas["cef.schema.json"] = {
        "$schema": DIALECT,
        "$id": schema_id("findings:cef.schema.json"),
        "title": "CEF line as copycatch writes it",
        "type": "string",
        "pattern": CEF_PATTERN,
    }
    return schemas


def to_text(document: dict[str, Any]) -> str:
    """A schema as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _describe(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    described = {**schema, "description": " ".join(schema.get("description", "").split())}
    words = FIELD_WORDS[name]
    described["properties"] = {
        field: {"description": words[field], **_dated(field, entry)}
        for field, entry in schema["properties"].items()
    }
    return described


def _dated(field: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Strings of the fields that are times, marked as such for validators that check formats."""
    if field not in _DATE_TIMES:
        return entry
    if entry.get("type") == "string":
        return {**entry, "format": "date-time"}
    if "anyOf" in entry:
        ways = [
            {**way, "format": "date-time"} if way.get("type") == "string" else way for way in entry["anyOf"]
        ]
        return {**entry, "anyOf": ways}
    return entry
