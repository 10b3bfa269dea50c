"""The rules of a policy, and what overrides their numbers."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from copycatch.errors import unknown_remedy
from copycatch.records.policy_values import Duration, ExactId, PositiveDuration, Sensitivity, refuse
from copycatch.records.wire import SEVERITIES, Action, Mode, Severity

Share = Annotated[float, Field(gt=0, le=1)]


class Strict(BaseModel):
    """Unknown keys are refused; a number is a number and a text a text."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        validate_by_alias=True,
        validate_by_name=True,
        validate_default=False,
    )


def require_in_files(name: str) -> Callable[[dict[str, Any]], None]:
    """For the schema: files must have it, though code need not give it."""

    def require(schema: dict[str, Any]) -> None:
        del schema["properties"][name]["default"]
        schema["required"] = [name]

    return require


class Match(Strict):
    """Which records this is about: every id named here must be equal. Ids are compared whole."""

    tenant_id: ExactId | None = Field(
        default=None, description="The tenant; allow and silences need it beside an account that has one."
    )
    model_id: ExactId | None = Field(default=None, description="The model that is asked.")
    account_id: ExactId | None = Field(default=None, description="The account that asks.")

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.tenant_id is None and self.model_id is None and self.account_id is None:
            refuse("an empty match is about everybody", "name tenant_id, model_id or account_id")
        return self


def _falling(shares: dict[Severity, float]) -> dict[Severity, float]:
    if not shares:
        refuse("no severity at all", "name at least one, such as medium: 1.0")
    weaker: Severity | None = None
    for severity in SEVERITIES:
        if severity in shares:
            if weaker is not None and shares[severity] > shares[weaker]:
                refuse(
                    f"{severity} has a larger share of the budget than {weaker}",
                    "the more severe, the smaller the share",
                )
            weaker = severity
    return shares


def _check_perturb(action: Action, info: ValidationInfo) -> None:
    if action == "perturb" and info.context is not None and not info.context.get("is_perturb_allowed"):
        refuse("perturb is off by default", "set enforcement.perturb: true, or choose reduce_output")


ACTIONS_DEFAULT: dict[Severity, Action] = {"medium": "observe", "high": "reduce_output", "critical": "block"}
CLEAR_AFTER = "Normal for so long before the finding is closed."
REPEAT_AFTER = "No second alert about the same before this."


class ExtractionRule(Strict):
    """Judge by the learned score against the budget."""

    model_config = ConfigDict(json_schema_extra=require_in_files("name"))

    name: Literal["extraction"] = Field(default="extraction", description="Of the built-in rule.")
    enabled: bool = Field(default=True, description="False judges by limits only.")
    queries_min: int = Field(
        default=12, ge=1, description="Queries of an account below which too little is known to judge it."
    )
    severity_shares: dict[Severity, Share] = Field(
        default={"medium": 1.0, "high": 0.1, "critical": 0.01},
        validation_alias="severity",
        description="Share of the budget from which a finding has this severity.",
    )
    actions: dict[Severity, Action] = Field(
        default=ACTIONS_DEFAULT, description="What to recommend; a severity without one is observed."
    )
    clear_after_s: PositiveDuration = Field(
        default=30 * 60.0, validation_alias="clear_after", description=CLEAR_AFTER
    )
    repeat_after_s: PositiveDuration = Field(
        default=6 * 3600.0, validation_alias="repeat_after", description=REPEAT_AFTER
    )

    @model_validator(mode="before")
    @classmethod
    def _default_actions_of_what_is_named(cls, data: Any) -> Any:
        shares = data.get("severity") if isinstance(data, dict) else None
        if isinstance(shares, dict) and "actions" not in data:
            return {**data, "actions": {s: a for s, a in ACTIONS_DEFAULT.items() if s in shares}}
        return data

    _shares_fall = field_validator("severity_shares")(_falling)

    @field_validator("actions")
    @classmethod
    def _actions_fit(cls, actions: dict[Severity, Action], info: ValidationInfo) -> dict[Severity, Action]:
        shares = info.data.get("severity_shares")
        for severity, action in actions.items():
            if shares is not None and severity not in shares:
                refuse(
                    f"{severity} has an action but no share in severity",
                    f"add severity.{severity}, or drop it",
                )
            _check_perturb(action, info)
        return actions


class When(Strict):
    """A feature above a number for a while."""

    feature: str = Field(description="A feature of the catalogue.")
    above: float = Field(description="The limit, in the feature's unit.")
    for_s: Duration = Field(default=0.0, validation_alias="for", description="How long it must stay above.")

    @field_validator("feature")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get("known_features")
        if known is not None and value not in known:
            refuse(f"unknown feature {value!r}", unknown_remedy(value, known))
        return value


class LimitRule(Strict):
    """A plain limit that an analyst may always set; it holds while the reference still warms up, too."""

    name: str = Field(min_length=1, max_length=100, description="Goes on its alerts.")
    when: When
    severity: Severity = Field(default="high", description="Of its alerts.")
    action: Action = Field(default="throttle", description="What to recommend.")
    clear_after_s: PositiveDuration = Field(
        default=30 * 60.0, validation_alias="clear_after", description=CLEAR_AFTER
    )
    repeat_after_s: PositiveDuration = Field(
        default=6 * 3600.0, validation_alias="repeat_after", description=REPEAT_AFTER
    )

    @field_validator("name")
    @classmethod
    def _not_taken(cls, value: str) -> str:
        if value in {"extraction", "flood_cap"}:
            refuse(f"{value} is the name of a built-in rule", "give the limit another name")
        return value

    @field_validator("action")
    @classmethod
    def _allowed(cls, value: Action, info: ValidationInfo) -> Action:
        _check_perturb(value, info)
        return value


# No honest use of a language model that we know does either of the first two; on the development logs no
# honest account comes nearer than 0 and .52. Inputs that a model answers and nobody can measure say that the
# account is not judged, no more. A share is never above 1: that switches one of them off.
BUILT_IN_LIMITS: tuple[LimitRule, ...] = (
    LimitRule(
        name="changing_bias",
        when=When(feature="rebiased_share", above=0.25),
        action="reduce_output",
    ),
    LimitRule(
        name="many_completions",
        when=When(feature="new_completions", above=0.6),
        action="reduce_output",
    ),
    LimitRule(
        name="unfit_inputs",
        when=When(feature="unfit_share", above=0.3),
        severity="medium",
        action="observe",
    ),
)


def _rule_kind(rule: Any) -> str:
    name = rule.get("name") if isinstance(rule, dict) else getattr(rule, "name", None)
    return "extraction" if name == "extraction" or not isinstance(rule, dict | LimitRule) else "limit"


Rule = Annotated[
    Annotated[ExtractionRule, Tag("extraction")] | Annotated[LimitRule, Tag("limit")],
    Discriminator(_rule_kind),
]


class OverrideBudget(Strict):
    """Another false-alarm budget; what is left out stays."""

    alerts_per_1000_accounts_per_day: float | None = Field(
        default=None, gt=0, le=1000, description="Of 1,000 normal accounts, how many may be alerted in a day."
    )
    recommendations_per_1000_accounts_per_day: float | None = Field(
        default=None, gt=0, le=1000, description="The same for restrictions; never more than alerts."
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        alerts, few = self.alerts_per_1000_accounts_per_day, self.recommendations_per_1000_accounts_per_day
        if alerts is None and few is None:
            refuse("a budget that changes nothing", "set alerts_per_1000_accounts_per_day")
        if alerts is not None and few is not None and few > alerts:
            refuse(f"{few:g} recommendations out of {alerts:g} alerts", "at most as many as alerts")
        return self


class Override(Strict):
    """Other numbers for some records: defaults, then model, then tenant, then account; later ones win."""

    match: Match
    budget: OverrideBudget | None = Field(default=None, description="Another budget.")
    sensitivity: Sensitivity | None = Field(default=None, description="Another factor on the budget.")
    mode: Mode | None = Field(default=None, description="Another mode.")
    queries_min: int | None = Field(default=None, ge=1, description="Another least number of queries.")
    severity_shares: dict[Severity, Share] | None = Field(
        default=None, validation_alias="severity", description="Other shares of the budget."
    )
    actions: dict[Severity, Action] | None = Field(default=None, description="Other actions.")
    clear_after_s: PositiveDuration | None = Field(
        default=None, validation_alias="clear_after", description=CLEAR_AFTER
    )
    repeat_after_s: PositiveDuration | None = Field(
        default=None, validation_alias="repeat_after", description=REPEAT_AFTER
    )

    @field_validator("severity_shares")
    @classmethod
    def _shares_fall(cls, value: dict[Severity, float] | None) -> dict[Severity, float] | None:
        return value if value is None else _falling(value)

    @field_validator("actions")
    @classmethod
    def _actions_fit(cls, value: dict[Severity, Action] | None, info: ValidationInfo) -> Any:
        for action in (value or {}).values():
            _check_perturb(action, info)
        return value

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.model_fields_set <= {"match"}:
            refuse("an override that changes nothing", "set budget, sensitivity, mode or another key")
        return self
