"""Committed schemas equal the generated ones; every example and every encoded message validates."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from copycatch.cli.schemas import texts_by_path
from copycatch.settings.asyncapi import TOPICS, asyncapi_document
from copycatch.settings.policy import policy_json_schema
from copycatch.settings.schema_words import EXAMPLES, FIELD_WORDS
from copycatch.settings.schemas import MESSAGES, Message, message_schema, schema_id
from copycatch.settings.yaml_document import read_document

ROOT = Path(__file__).parents[2] / "schemas"


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("path", sorted(texts_by_path()), ids=str)
def test_committed_equals_generated(path: Path) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == texts_by_path()[path], "run `copycatch schemas`"


def test_no_schema_is_left_over() -> None:
    committed = {path.relative_to(ROOT) for path in (ROOT / "v1").rglob("*") if path.is_file()}
    assert committed == set(texts_by_path())


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.title)
def test_examples_validate_and_decode(message: Message) -> None:
    check = validator(message_schema(message))
    for example in EXAMPLES[message.cls.__name__]:
        check.validate(example)
        decoded = msgspec.convert(example, message.cls)
        # What the code writes for it must be what the schema promises, defaults filled in.
        check.validate(json.loads(msgspec.json.encode(decoded)))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.title)
def test_a_missing_required_field_fails(message: Message) -> None:
    schema = message_schema(message)
    for name in schema["required"]:
        broken = copy.deepcopy(EXAMPLES[message.cls.__name__][0])
        del broken[name]
        with pytest.raises(jsonschema.ValidationError, match=name):
            validator(schema).validate(broken)


def test_every_field_has_its_sentence_and_none_is_left_over() -> None:
    _, components = msgspec.json.schema_components([message.cls for message in MESSAGES])
    for name, schema in components.items():
        assert set(FIELD_WORDS[name]) == set(schema["properties"]), name
    assert set(FIELD_WORDS) == set(components)


# --- AsyncAPI ---------------------------------------------------------------------------------------------


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    return [ref for value in node for ref in references(value)] if isinstance(node, list) else []


def resolve(document: Any, ref: str) -> Any:
    for key in ref.removeprefix("#/").split("/"):
        document = document[key]
    return document


def test_asyncapi_references_resolve() -> None:
    document = yaml.safe_load((ROOT / "v1" / "asyncapi.yaml").read_text(encoding="utf-8"))
    found = references(document)
    assert len(found) == 4 * len(TOPICS)  # channel -> message, operation -> channel and message, payload
    for ref in found:
        if ref.startswith("#/"):
            assert resolve(document, ref)
        else:
            assert (ROOT / "v1" / ref).is_file(), ref


def test_asyncapi_structure() -> None:
    document = asyncapi_document()
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(document["info"])
    for server in document["servers"].values():
        assert server["protocol"] == "kafka"
        assert re.fullmatch(r"[\w.-]+:\d+", server["host"])
    names = re.compile(r"[A-Za-z0-9_\-]+")
    for section in ("channels", "operations"):
        assert all(names.fullmatch(key) for key in document[section])
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = resolve(document, operation["channel"]["$ref"])
        for message in operation["messages"]:
            # The specification asks that an operation's messages be members of its channel.
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
            assert message["$ref"].rpartition("/")[2] in channel["messages"]
    for channel in document["channels"].values():
        assert channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] in (
            ["compact"],
            ["delete"],
        )
    compacted = {topic.address for topic in TOPICS if topic.is_compacted}
    assert compacted == {"copycatch.recommendations", "copycatch.feedback"}


# --- the policy -------------------------------------------------------------------------------------------

POLICIES = sorted((ROOT.parent / "deploy").glob("policy*.yaml")) + sorted(
    (ROOT.parent / "tests" / "scenarios").glob("*/policy.yaml")
)


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_policies_that_are_used_validate(path: Path) -> None:
    document = read_document(path.read_bytes(), str(path))
    assert document.faults == []
    validator(policy_json_schema(schema_id("policy.schema.json"))).validate(document.data)


@pytest.mark.parametrize(
    "broken", [{"version": 2}, {"version": 1, "mood": "x"}, {"version": 1, "mode": "maybe"}]
)
def test_policies_that_are_wrong_do_not(broken: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator(policy_json_schema("urn:x")).validate(broken)
