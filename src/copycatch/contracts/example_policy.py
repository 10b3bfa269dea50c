"""A policy file with every default and a comment for each key, derived from the model."""

import json
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from copycatch.records.policy import (
    Allow,
    ExtractionRule,
    KnownAttack,
    LimitRule,
    Match,
    Override,
    Policy,
    Silence,
    When,
)
from copycatch.records.policy_rules import BUILT_IN_LIMITS, OverrideBudget
from copycatch.records.policy_values import DURATION_PATTERN, SENSITIVITY_FACTORS, duration_text
from copycatch.units import format_rfc3339, parse_rfc3339

LINE_CHARS_MAX = 110
HEAD = """\
# yaml-language-server: $schema=../schemas/v1/policy.schema.json
# Every key of a policy with its default (rules, overrides, allow, attacks and silences are samples).
# Written by `copycatch check --example`; check your own with `copycatch check policy.yaml`.
#
# Reloaded while the service runs: checked whole, swapped between batches, refused as a whole when wrong (the
# old one stays in force). Its content hash goes on everything that is sent, as policy_version.
# Durations: 90s, 10m, 6h, 7d. Ids are compared whole: a pattern would let whoever chooses an account name
# step onto the allow-list.
"""
FRAUD, SEARCH = Match(tenant_id="acme", model_id="fraud-v3"), Match(tenant_id="acme", model_id="search-v2")
SAMPLE = Policy(
    rules=[
        ExtractionRule(),
        *BUILT_IN_LIMITS,
        LimitRule(name="hard_limits", when=When(feature="queries_per_s", above=50.0, for_s=60.0)),
    ],
    overrides=[
        Override(
            match=Match(model_id="fraud-v3"),
            budget=OverrideBudget(alerts_per_1000_accounts_per_day=3.0),
            queries_min=20,
        ),
        Override(match=FRAUD, sensitivity=SENSITIVITY_FACTORS["low"]),
        Override(match=Match(account_id="pilot-customer"), mode="shadow"),
    ],
    allow=[
        Allow(
            match=Match(account_id="nightly-eval"),
            reason="regression suite",
            owner="mlops@acme.example",
            expires_ms=parse_rfc3339("2027-03-01T00:00:00Z"),
        )
    ],
    attacks=[
        KnownAttack(
            match=Match(account_id="acct-7f3a"),
            reason="answers were found in a public data set",
            owner="soc@acme.example",
            expires_ms=parse_rfc3339("2027-11-01T00:00:00Z"),
        )
    ],
    silences=[
        Silence(
            match=SEARCH,
            reason="load test before the launch",
            owner="sre@acme.example",
            expires_ms=parse_rfc3339("2026-12-01T06:00:00Z"),
        )
    ],
)


def example_policy(sample: Policy = SAMPLE) -> str:
    """The file as text.

    Examples
    --------
    >>> [line for line in example_policy().splitlines() if "max_n" in line]
    ['  max_n: 1  # Reduce output: completions a request.']
    """
    return HEAD + policy_text(sample)


def policy_text(policy: Policy) -> str:
    """Every value of a policy as a file has it, with its description."""
    return "\n".join(_lines(policy, 0)) + "\n"


def key_of(name: str, field: FieldInfo) -> str:
    """What a field is called in a file."""
    return field.validation_alias if isinstance(field.validation_alias, str) else name


def value_text(model: type[BaseModel], name: str, value: Any) -> str:
    """A value as a file has it.

    Examples
    --------
    >>> from copycatch.records.policy import Enforcement, Windows
    >>> value_text(Windows, "short_s", 900.0), value_text(Enforcement, "ttl_s", {"block": 7200.0})
    ('15m', '{block: 2h}')
    """
    entry = model.model_json_schema()["properties"][key_of(name, model.model_fields[name])]
    ways = [entry, *entry.get("anyOf", []), entry.get("additionalProperties", {})]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {value_text(model, name, each)}" for key, each in value.items()) + "}"
    if any(way.get("pattern") == DURATION_PATTERN for way in ways if isinstance(way, dict)):
        return duration_text(value)
    if name == "sensitivity":
        return next((word for word, factor in SENSITIVITY_FACTORS.items() if factor == value), f"{value:g}")
    if name in ("expires_ms", "given_ms"):
        return format_rfc3339(value)
    if isinstance(value, str):
        return _scalar(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _scalar(text: str) -> str:
    """Text as YAML reads it back, quoted where it must be."""
    try:
        is_plain = yaml.safe_load(f"{{k: {text}}}") == {"k": text}
    except yaml.YAMLError:
        is_plain = False
    return text if is_plain else json.dumps(text)


def _lines(model: BaseModel, indent: int) -> Iterator[str]:
    pad = " " * indent
    for name, field in type(model).model_fields.items():
        value, key = getattr(model, name), key_of(name, field)
        if value is None:
            continue
        if isinstance(model, Policy):
            yield ""
        if isinstance(value, Match | When):
            yield f"{pad}{key}: {{{', '.join(_flow(value))}}}"
        elif isinstance(value, BaseModel):
            yield f"{pad}# {_sentence(type(value))}"
            yield f"{pad}{key}:"
            yield from _lines(value, indent + 2)
        elif isinstance(value, list) and not value:
            yield f"{pad}# {field.description}"
            yield f"{pad}{key}: []"
        elif isinstance(value, list):
            yield f"{pad}# {field.description}"
            yield f"{pad}{key}:"
            for item in value:
                first, *rest = _lines(item, indent + 4)
                yield f"{pad}  - {first.strip()}"
                yield from rest
        else:
            line = f"{pad}{key}: {value_text(type(model), name, value)}"
            whole = f"{line}  # {field.description}"
            if len(whole) > LINE_CHARS_MAX:
                yield f"{pad}# {field.description}"
            yield whole if len(whole) <= LINE_CHARS_MAX else line


def _flow(model: BaseModel) -> Iterator[str]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value is not None:
            yield f"{key_of(name, field)}: {value_text(type(model), name, value)}"


def _sentence(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())
