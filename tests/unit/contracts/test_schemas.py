"""Committed schemas equal the generated ones; every example and every encoded message validates."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from copycatch.cli.schemas import texts_by_path
from copycatch.contracts.examples import EXAMPLES
from copycatch.contracts.schemas import MESSAGES, Message, message_schema, policy_json_schema, schema_id
from copycatch.features.catalog import NAMES
from copycatch.settings.yaml_document import read_document

ROOT = Path(__file__).parents[3] / "schemas"


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("path", sorted(texts_by_path()), ids=str)
def test_committed_equals_generated(path: Path) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == texts_by_path()[path], "run `copycatch schemas`"


def test_no_schema_is_left_over() -> None:
    committed = {path.relative_to(ROOT) for path in (ROOT / "v1").rglob("*") if path.is_file()}
    assert committed == {*texts_by_path(), Path("v1/asyncapi.yaml")}


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


@pytest.mark.parametrize("path", sorted(texts_by_path()), ids=str)
def test_every_field_is_described(path: Path) -> None:
    if path.suffix == ".md":
        pytest.skip("a table for people")
    if "findings" in path.parts:
        pytest.skip("OCSF, ECS and CEF describe their fields themselves")
    schema = json.loads(texts_by_path()[path])
    for name, entry in {"": schema, **schema.get("$defs", {})}.items():
        assert entry.get("description"), name
        for field, each in entry.get("properties", {}).items():
            assert each.get("description") or "$ref" in each, (
                f"{name}.{field}: say beside the field what it is"
            )


def test_examples_name_features_that_exist() -> None:
    named = {reason["feature"] for reason in EXAMPLES["Alert"][0]["reasons"]}
    assert named <= set(NAMES)


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
