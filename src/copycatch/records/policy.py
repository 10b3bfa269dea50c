"""The policy: what analysts write, and what the core judges by. One model, each field with its description,
bounds and checks; the JSON Schema, the commented example and the summary in words are derived from it.

In a file a field has its alias (`short: 15m`), in code its name, which tells the unit (`short_s=900.0`).
`settings/policy.py` reads files.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, cast

import msgspec
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticKnownError

from copycatch.records.policy_rules import (
    BUILT_IN_LIMITS,
    ExtractionRule,
    LimitRule,
    Match,
    Override,
    Rule,
    Strict,
    When,
    require_in_files,
)
from copycatch.records.policy_values import (
    Duration,
    Expiry,
    PositiveDuration,
    Sensitivity,
    refuse,
)
from copycatch.records.wire import Mode

__all__ = [
    "Allow",
    "Budget",
    "Enforcement",
    "Exemption",
    "ExtractionRule",
    "Judged",
    "KnownAttack",
    "LimitRule",
    "Match",
    "Override",
    "Policy",
    "Silence",
    "When",
    "Windows",
]

TimedAction = Literal["observe", "throttle", "reduce_output", "perturb", "challenge", "block"]
SHORT_S_MIN = 60.0  # the shortest window that is worth cutting into parts
VERSION_CHARS = 16


class Budget(Strict):
    """How many false alarms the team can live with; every threshold follows from it."""

    alerts_per_1000_accounts_per_day: float = Field(
        default=2.0, gt=0, le=1000, description="Of 1,000 normal accounts, how many may be alerted in a day."
    )
    recommendations_per_1000_accounts_per_day: float = Field(
        default=0.2,
        gt=0,
        le=1000,
        description="The same for actions that take something away (reduce_output on).",
    )
    alerts_per_minute_max: int = Field(
        default=60,
        ge=1,
        le=1_000_000,
        description="Flood cap of one shard: more are held back, counted and summarised in one alert.",
    )

    @field_validator("recommendations_per_1000_accounts_per_day")
    @classmethod
    def _not_above_alerts(cls, value: float, info: ValidationInfo) -> float:
        alerts = info.data.get("alerts_per_1000_accounts_per_day")
        if alerts is not None and value > alerts:
            refuse(f"{value:g} recommendations out of {alerts:g} alerts", "at most as many as alerts")
        return value


class Windows(Strict):
    """Event-time windows. Changing them starts the windows anew."""

    short_s: PositiveDuration = Field(
        default=15 * 60.0, validation_alias="short", description="For bursts; at least 60s."
    )
    long_s: PositiveDuration = Field(
        default=6 * 3600.0, validation_alias="long", description="For a working session; longer than short."
    )
    memory_s: PositiveDuration = Field(
        default=7 * 86_400.0, validation_alias="memory", description="For low and slow; longer than long."
    )
    late_s_max: Duration = Field(
        default=120.0, validation_alias="late_max", description="How late a record may come and still count."
    )

    @field_validator("short_s")
    @classmethod
    def _not_tiny(cls, value: float) -> float:
        if value < SHORT_S_MIN:
            refuse(f"{value:g}s holds too few queries to judge", f"at least {SHORT_S_MIN:g}s")
        return value

    @field_validator("long_s", "memory_s")
    @classmethod
    def _rising(cls, value: float, info: ValidationInfo) -> float:
        before = {"long_s": "short_s", "memory_s": "long_s"}[info.field_name or ""]
        shorter = info.data.get(before)
        if shorter is not None and value <= shorter:
            refuse(f"not longer than {before.removesuffix('_s')}", "the order is short < long < memory")
        return value


class Exemption(Strict):
    """An entry of `allow` or `silences`, in force until it expires."""

    match: Match
    reason: str = Field(min_length=1, max_length=1000, description="Why, for whoever reads it later.")
    owner: str | None = Field(
        default=None, min_length=1, max_length=320, description="Who answers for the entry."
    )
    expires_ms: Expiry | None = Field(
        default=None, validation_alias="expires", description="When it ends; without it, never."
    )


class Judged(Exemption):
    """What a person may have found out about somebody."""

    owner: str = Field(min_length=1, max_length=320, description="Who answers for the entry.")
    given_ms: Expiry | None = Field(
        default=None,
        validation_alias="given",
        description="When a verdict gave it; such entries are bounded: 20 a day, 100 at a time.",
    )


class Allow(Judged):
    """Accounts that are neither alerted nor recommended; somebody answers for each entry."""

    unless_below: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Alerted all the same once tail_prob is below this: it got worse since it was looked at.",
    )


class KnownAttack(Judged):
    """Accounts that a person found to attack: never learned from, whatever their score."""


class Silence(Exemption):
    """Hold back alerts and recommendations for a while; what still deviates afterwards is announced."""

    expires_ms: Expiry = Field(validation_alias="expires", description="When it ends; it must.")


class Enforcement(Strict):
    """How strongly and for how long recommendations act. `revoke_key` has no time: a person decides."""

    ttl_s: dict[TimedAction, PositiveDuration] = Field(
        default={
            "observe": 24 * 3600.0,
            "throttle": 3600.0,
            "reduce_output": 6 * 3600.0,
            "perturb": 6 * 3600.0,
            "challenge": 24 * 3600.0,
            "block": 4 * 3600.0,
        },
        validation_alias="ttl",
        description="First time to live per action; doubles at each relapse. Others keep their default.",
    )
    ttl_s_max: PositiveDuration = Field(
        default=7 * 86_400.0, validation_alias="ttl_max", description="The longest that it grows to."
    )
    perturb: bool = Field(
        default=False, description="Whether answers may be blurred: a promise broken to the wrongly accused."
    )
    observe_sample_rate: float = Field(
        default=1.0, gt=0, le=1, description="Observe: share of queries that is logged in full."
    )
    throttle_headroom: float = Field(
        default=1.0, gt=0, le=1000, description="Throttle: times the top of the normal rate."
    )
    throttle_queries_per_minute_min: float = Field(
        default=1.0, gt=0, description="Throttle: never to fewer queries a minute."
    )
    max_top_logprobs: int = Field(
        default=0, ge=0, le=20, description="Reduce output: log-probabilities a token."
    )
    top_k_labels: int = Field(default=1, ge=1, description="Reduce output: labels an answer.")
    round_decimals: int = Field(default=1, ge=0, le=8, description="Reduce output: decimals of scores.")
    max_n: int = Field(default=1, ge=1, description="Reduce output: completions a request.")

    @field_validator("ttl_s")
    @classmethod
    def _keeps_defaults(cls, value: dict[TimedAction, float]) -> dict[TimedAction, float]:
        return {**cls.model_fields["ttl_s"].default, **value}


def _format_of(given: Any, info: ValidationInfo) -> Any:
    """A file must say its format; the code need not."""
    if given is None and info.context is not None:
        raise PydanticKnownError("missing")
    return 1 if given is None else given


class Policy(Strict):
    """copycatch policy: what analysts edit. Reloaded while the service runs, whole or not at all."""

    model_config = ConfigDict(json_schema_extra=require_in_files("version"))

    version: Annotated[Literal[1], BeforeValidator(_format_of)] = Field(
        default=cast("Literal[1]", None), validate_default=True, description="Of this format."
    )
    mode: Mode = Field(
        default="enforce",
        description="shadow: everything is computed and sent, marked as such; nothing acts on it.",
    )
    budget: Budget = Budget()
    windows: Windows = Windows()
    sensitivity: Sensitivity = Field(
        default=1.0,
        description="low, medium, high: a quarter, all or four times the budget; or a factor of your own.",
    )
    enforcement: Enforcement = Enforcement()
    rules: list[Rule] = Field(
        default=[],
        validate_default=True,
        description="Limits, and built-in rules whose numbers are to change; left out, they stay.",
    )
    overrides: list[Override] = Field(default=[], description="Other numbers for some.")
    allow: list[Allow] = Field(default=[], description="Neither alerts nor recommendations.")
    attacks: list[KnownAttack] = Field(
        default=[], description="Found to be attacks by a person: what they send is never taken for normal."
    )
    silences: list[Silence] = Field(
        default=[], description="Alerts and recommendations held back for a while."
    )

    _content_version: str = PrivateAttr("default")

    @field_validator("rules")
    @classmethod
    def _extraction_first(cls, rules: list[ExtractionRule | LimitRule]) -> list[ExtractionRule | LimitRule]:
        """So that adding a limit never switches detection off: what is built in stays unless it is named."""
        own = [rule for rule in rules if isinstance(rule, ExtractionRule)] or [ExtractionRule()]
        limits = [rule for rule in rules if isinstance(rule, LimitRule)]
        names = {rule.name for rule in limits}
        return [*own, *(rule for rule in BUILT_IN_LIMITS if rule.name not in names), *limits]

    @classmethod
    def read(cls, data: Any, context: Mapping[str, Any]) -> Self:
        """The policy that a file says; its content version hashes what it means, not how it is written.

        Raises
        ------
        pydantic.ValidationError
            With every fault.
        """
        policy = cls.model_validate(data, context=dict(context), by_name=False)
        policy._content_version = policy.content_hash()  # noqa: SLF001 (its own class)
        return policy

    def with_verdicts(self, allow: Sequence[Allow], attacks: Sequence[KnownAttack]) -> Self:
        """The same with entries that verdicts gave; another content, and so another version."""
        policy = self.model_copy(
            update={"allow": [*self.allow, *allow], "attacks": [*self.attacks, *attacks]}
        )
        policy._content_version = policy.content_hash()  # noqa: SLF001 (its own class)
        return policy

    @property
    def content_version(self) -> str:
        """What goes on everything sent as `policy_version`."""
        return self._content_version

    def content_hash(self) -> str:
        encoded = msgspec.json.encode(self.model_dump(mode="json"), order="deterministic")
        return hashlib.sha256(encoded).hexdigest()[:VERSION_CHARS]

    @property
    def extraction(self) -> ExtractionRule | None:
        """The rule of the learned score, where it is on."""
        rule = self.rules[0]
        return rule if isinstance(rule, ExtractionRule) and rule.enabled else None

    @property
    def limits(self) -> list[LimitRule]:
        return [rule for rule in self.rules if isinstance(rule, LimitRule)]
