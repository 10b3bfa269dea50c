"""The hand-written AsyncAPI document says what the code does: topics, directions, keys, headers, schemas."""

import inspect
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from copycatch import __version__
from copycatch.adapters.messages import NATIVE, messages_of
from copycatch.contracts.examples import EXAMPLES
from copycatch.contracts.schemas import MESSAGES
from copycatch.enforcement.feed import Feed
from copycatch.records.columns import Outcomes
from copycatch.records.wire import Alert, Recommendation, Rejected
from copycatch.settings.service import Input, Outputs

FOLDER = Path(__file__).parents[3] / "schemas" / "v1"
DOCUMENT: dict[str, Any] = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text(encoding="utf-8"))


def at(reference: str) -> Any:
    """What a reference within the document names."""
    found: Any = DOCUMENT
    for key in reference.removeprefix("#/").split("/"):
        found = found[key]
    return found


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    return [ref for value in node for ref in references(value)] if isinstance(node, list) else []


def addresses(action: str) -> list[str]:
    chosen = (each for each in DOCUMENT["operations"].values() if each["action"] == action)
    return sorted(at(each["channel"]["$ref"])["address"] for each in chosen)


def test_references_resolve() -> None:
    found = references(DOCUMENT)
    assert found
    for ref in found:
        assert at(ref) if ref.startswith("#/") else (FOLDER / ref).is_file(), ref


def test_every_topic_is_one_that_the_code_reads_or_writes() -> None:
    enforcement = inspect.signature(Feed).parameters
    outputs = Outputs()
    assert addresses("receive") == sorted([Input().topic, enforcement["topic"].default])
    assert addresses("send") == sorted(
        [outputs.alerts, outputs.recommendations, outputs.dead_letters, enforcement["acks_topic"].default]
    )
    named = {each["channel"]["$ref"].rpartition("/")[2] for each in DOCUMENT["operations"].values()}
    assert named == set(DOCUMENT["channels"]), "a channel that nothing sends to or receives from"


def test_operations_name_messages_of_their_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        for message in operation["messages"]:
            # The specification asks that an operation's messages be members of its channel.
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
            assert at(message["$ref"])


def test_messages_are_those_that_have_a_schema() -> None:
    schemas = {
        each["payload"]["schema"]["$ref"].removeprefix("./"): each["title"]
        for each in DOCUMENT["components"]["messages"].values()
    }
    assert schemas == {message.file_name: message.title for message in MESSAGES}


@pytest.mark.parametrize("name", ["alert", "recommendation", "deadLetter"])
def test_headers_are_those_that_are_sent(name: str) -> None:
    outcomes = Outcomes(
        [msgspec.convert(EXAMPLES["Alert"][0], Alert)],
        [msgspec.convert(EXAMPLES["Recommendation"][0], Recommendation)],
        [msgspec.convert(EXAMPLES["Rejected"][0], Rejected)],
    )
    kind = {"deadLetter": "dead_letter"}.get(name, name)
    [message] = [each.message for each in messages_of(outcomes, NATIVE, 0) if each.kind == kind]
    headers = DOCUMENT["components"]["messages"][name]["headers"]["properties"]
    assert set(headers) == {header for header, _ in message.headers}


def test_the_recommendations_are_compacted_and_nothing_else() -> None:
    policies = {
        each["address"]: each["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"]
        for each in DOCUMENT["channels"].values()
    }
    assert {address for address, policy in policies.items() if policy == ["compact"]} == {
        Outputs().recommendations
    }
    for channel in DOCUMENT["channels"].values():
        assert channel["bindings"]["kafka"]["topic"] == channel["address"]


def test_the_document_is_of_this_version() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"]["version"] == __version__
