"""A field of the policy is written once: file, schema, example and summary follow from the model."""

from pathlib import Path

import pytest
from pydantic import Field

from copycatch.cli.render_policy import policy_lines
from copycatch.contracts.example_policy import SAMPLE, example_policy
from copycatch.contracts.schemas import policy_json_schema
from copycatch.features.catalog import NAMES
from copycatch.records.policy import Enforcement, ExtractionRule, Policy
from copycatch.settings.policy import check_policy, parse_policy

EXAMPLE = Path(__file__).parents[3] / "deploy" / "policy.example.yaml"


def test_the_example_is_the_generated_one() -> None:
    assert EXAMPLE.read_text("utf-8") == example_policy(), (
        "run `copycatch check --example > deploy/policy.example.yaml`"
    )


def test_the_example_means_what_it_was_made_from() -> None:
    policy = parse_policy(example_policy(), "example.yaml", set(NAMES))
    assert policy.model_dump() == SAMPLE.model_dump()
    assert policy.extraction == ExtractionRule()
    assert (policy.budget, policy.windows, policy.enforcement) == (
        Policy().budget,
        Policy().windows,
        Policy().enforcement,
    )


# What a newcomer writes for a new number, beside the place that acts on it.


class WiderEnforcement(Enforcement):
    max_tokens: int = Field(default=512, ge=1, description="Reduce output: tokens an answer.")


class WiderPolicy(Policy):
    enforcement: WiderEnforcement = WiderEnforcement()


def test_a_new_field_needs_the_model_alone() -> None:
    schema = policy_json_schema(model=WiderPolicy)
    assert schema["$defs"]["WiderEnforcement"]["properties"]["max_tokens"]["default"] == 512
    whole = WiderPolicy(rules=SAMPLE.rules)
    assert "max_tokens: 512  # Reduce output: tokens an answer." in example_policy(whole)
    changed = WiderPolicy.read({"version": 1, "enforcement": {"max_tokens": 9}}, {})
    assert changed.content_version != WiderPolicy.read({"version": 1}, {}).content_version
    assert "Changed: enforcement.max_tokens is 9. Reduce output: tokens an answer." in policy_lines(changed)


@pytest.mark.parametrize("key", ["max_tokens", "ttl_s"])
def test_a_file_knows_keys_by_their_alias_only(key: str) -> None:
    policy, faults = check_policy(f"version: 1\nenforcement: {{{key}: 1}}\n", "p.yaml")
    assert policy is None
    assert [fault.message for fault in faults] == [f"unknown key {key!r}"]
