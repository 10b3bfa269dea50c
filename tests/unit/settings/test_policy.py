"""A good policy file becomes the values that the core judges by."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from copycatch.contracts.schemas import policy_json_schema
from copycatch.errors import ConfigError
from copycatch.features.catalog import NAMES
from copycatch.records.policy import ExtractionRule, LimitRule, Match, Policy, When, Windows
from copycatch.records.policy_rules import BUILT_IN_LIMITS
from copycatch.settings.faults import FaultsError
from copycatch.settings.policy import load_policy, parse_policy
from copycatch.units import parse_rfc3339

DEPLOY = Path(__file__).parents[3] / "deploy"
EXAMPLES = sorted(DEPLOY.glob("policy.*.yaml"))


def test_the_example_says_all_that_is_the_default() -> None:
    policy = load_policy(DEPLOY / "policy.example.yaml", NAMES)
    default = Policy()
    assert (
        policy.budget.alerts_per_1000_accounts_per_day
        == default.budget.alerts_per_1000_accounts_per_day
        == 2.0
    )
    assert policy.budget.recommendations_per_1000_accounts_per_day == 0.2
    assert default.budget.recommendations_per_1000_accounts_per_day == 0.2
    assert policy.windows == Windows(short_s=900.0, long_s=21_600.0, memory_s=604_800.0, late_s_max=120.0)
    assert policy.extraction == ExtractionRule()
    assert policy.limits == [
        *BUILT_IN_LIMITS,
        LimitRule(
            name="hard_limits",
            when=When(feature="queries_per_s", above=50.0, for_s=60.0),
            severity="high",
            action="throttle",
        ),
    ]
    assert policy.overrides[1].match == Match(tenant_id="acme", model_id="fraud-v3")
    assert policy.overrides[1].sensitivity == 0.25
    assert policy.allow[0].expires_ms == parse_rfc3339("2027-03-01T00:00:00Z")
    assert policy.content_version == policy.content_hash() != Policy().content_version


def test_what_is_left_out_is_the_default() -> None:
    policy = parse_policy("version: 1", "p.yaml")
    default = Policy()
    assert policy.content_version == default.content_hash()
    assert (policy.mode, policy.extraction, policy.enforcement, policy.windows) == (
        default.mode,
        default.extraction,
        default.enforcement,
        default.windows,
    )


def test_a_limit_alone_does_not_switch_detection_off() -> None:
    text = "version: 1\nrules: [{name: x, when: {feature: f, above: 1}}]"
    policy = parse_policy(text, "p.yaml")
    assert policy.extraction == ExtractionRule()
    assert policy.limits[0].when.for_s == 0
    off = parse_policy("version: 1\nrules: [{name: extraction, enabled: false}]", "p.yaml")
    assert off.extraction is None


def test_perturb_is_possible_where_it_is_turned_on() -> None:
    text = "version: 1\nrules: [{name: extraction, actions: {high: perturb}}]\nenforcement: {perturb: true}"
    policy = parse_policy(text, "p.yaml")
    assert policy.extraction is not None
    assert policy.extraction.actions["high"] == "perturb"
    assert policy.enforcement.perturb


def test_fewer_severities_keep_only_their_actions() -> None:
    policy = parse_policy("version: 1\nrules: [{name: extraction, severity: {high: 0.5}}]", "p.yaml")
    assert policy.extraction is not None
    assert policy.extraction.actions == {"high": "reduce_output"}


@pytest.mark.parametrize(
    "change",
    [
        "mode: shadow",
        "sensitivity: high",
        "budget: {alerts_per_minute_max: 61}",
        "windows: {late_max: 3m}",
        "enforcement: {round_decimals: 2}",
        "rules: [{name: extraction, clear_after: 31m}]",
        "overrides: [{match: {model_id: m}, mode: shadow}]",
        "silences: [{match: {model_id: m}, reason: r, expires: 2027-01-01}]",
    ],
)
def test_the_version_changes_with_the_meaning_only(change: str) -> None:
    base = parse_policy("version: 1", "p.yaml").content_version
    assert parse_policy(f"# words\nversion: 1 # more\n{change}", "other.yaml").content_version != base
    assert parse_policy("{version: 1, mode: enforce, allow: []}", "q.yaml").content_version == base


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_good_and_fit_the_schema(path: Path) -> None:
    load_policy(path)
    validator = Draft202012Validator(policy_json_schema())
    # Dates are text in the schema, as editors see them.
    document = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)
    errors = [
        e.message for e in validator.iter_errors(_numbers(document)) if "is not of type" not in e.message
    ]
    assert errors == []


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    validator = Draft202012Validator(policy_json_schema())
    assert validator.is_valid({"version": 1, "windows": {"short": "15m"}})
    for wrong in (
        {"version": 1, "mood": "shadow"},
        {"version": 1, "windows": {"short": "15 minutes"}},
        {"version": 1, "rules": [{"name": "extraction", "actions": {"high": "explode"}}]},
        {"version": 1, "allow": [{"match": {"account_id": "a"}}]},
    ):
        assert not validator.is_valid(wrong), wrong


def test_defaults_in_the_schema_are_what_the_file_would_say() -> None:
    windows = policy_json_schema()["$defs"]["Windows"]["properties"]
    defaults = {name: entry["default"] for name, entry in windows.items()}
    assert defaults == {"short": "15m", "long": "6h", "memory": "7d", "late_max": "2m"}
    written = parse_policy(f"version: 1\nwindows: {defaults}", "p.yaml")
    assert written.windows == Windows()


def test_errors_carry_every_fault() -> None:
    with pytest.raises(FaultsError) as caught:
        parse_policy("version: 1\na: 1\nb: 1\n", "p.yaml")
    assert [fault.line for fault in caught.value.faults] == [2, 3]
    assert "p.yaml:2:1" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load_policy(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_policy(tmp_path)


def _numbers(value: object) -> object:
    """BaseLoader gives text only: numbers and booleans back to what they are."""
    if isinstance(value, dict):
        return {k: _numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    loaded = yaml.safe_load(str(value))
    return loaded if isinstance(loaded, int | float | bool) else value


def test_built_in_limits_stay_beside_own_ones_and_can_be_changed() -> None:
    own = "{name: changing_bias, when: {feature: rebiased_share, above: 1}}"
    policy = parse_policy(f"version: 1\nrules: [{own}]", "p.yaml")
    assert [(limit.name, limit.when.above) for limit in policy.limits] == [
        ("many_completions", 0.6),
        ("unfit_inputs", 0.3),
        ("changing_bias", 1.0),
    ]
    assert Policy().limits == list(BUILT_IN_LIMITS)
