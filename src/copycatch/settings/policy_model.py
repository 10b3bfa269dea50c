"""The policy file as analysts write it: its keys, their bounds, and what must fit together."""

from typing import Annotated, Any, Literal

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

from copycatch.records.policy import Enforcement, ExtractionRule, Policy, WindowLengths
from copycatch.records.wire import SEVERITIES, Action, Severity
from copycatch.settings.faults import unknown_remedy
from copycatch.settings.policy_values import (
    Duration,
    ExactId,
    Expiry,
    PositiveDuration,
    Sensitivity,
    refuse,
)

TimedAction = Literal["observe", "throttle", "reduce_output", "perturb", "challenge", "block"]
Share = Annotated[float, Field(gt=0, le=1)]
SHORT_S_MIN = 60.0  # the shortest window that is worth cutting into parts
_POLICY = Policy()
_WINDOWS = WindowLengths()
_RULE = ExtractionRule()
_ENFORCEMENT = Enforcement()


class Strict(BaseModel):
    """Unknown keys are refused; a number is a number and a text a text."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        validate_by_alias=True,
        validate_default=False,
    )


class MatchModel(Strict):
    """Which records this is about: every id named here must be equal. Ids are compared whole."""

    tenant_id: ExactId | None = None
    model_id: ExactId | None = None
    account_id: ExactId | None = None

    @model_validator(mode="after")
    def _names_something(self) -> "MatchModel":
        if self.tenant_id is None and self.model_id is None and self.account_id is None:
            refuse("an empty match is about everybody", "name tenant_id, model_id or account_id")
        return self


class BudgetModel(Strict):
    """How many false alarms the team can live with; every threshold follows from it."""

    alerts_per_1000_accounts_per_day: float = Field(
        default=_POLICY.alerts_per_1000_accounts_per_day,
        gt=0,
        le=1000,
        description="Of a thousand normal accounts, how many may be alerted in a day.",
    )
    recommendations_per_1000_accounts_per_day: float = Field(
        default=_POLICY.recommendations_per_1000_accounts_per_day,
        gt=0,
        le=1000,
        description="The same for actions that take something away (reduce_output on).",
    )
    alerts_per_minute_max: int = Field(
        default=_POLICY.alerts_per_minute_max, ge=1, le=1_000_000,
        description="Flood cap of one shard: more are held back, counted and summarised in one alert.",
    )  # fmt: skip

    @field_validator("recommendations_per_1000_accounts_per_day")
    @classmethod
    def _not_above_alerts(cls, value: float, info: ValidationInfo) -> float:
        alerts = info.data.get("alerts_per_1000_accounts_per_day")
        if alerts is not None and value > alerts:
            refuse(f"{value:g} recommendations out of {alerts:g} alerts", "at most as many as alerts")
        return value


class WindowsModel(Strict):
    """Event-time windows. Changing them starts the windows anew."""

    short_s: PositiveDuration = Field(default=_WINDOWS.short_s, alias="short")
    long_s: PositiveDuration = Field(default=_WINDOWS.long_s, alias="long")
    memory_s: PositiveDuration = Field(default=_WINDOWS.memory_s, alias="memory")
    late_s_max: Duration = Field(default=_WINDOWS.late_s_max, alias="late_max")

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


def _of_severities(actions: dict[Severity, Action], info: ValidationInfo) -> dict[Severity, Action]:
    shares = info.data.get("severity_shares")
    for severity, action in actions.items():
        if shares is not None and severity not in shares:
            refuse(
                f"{severity} has an action but no share in severity", f"add severity.{severity}, or drop it"
            )
        _check_perturb(action, info)
    return actions


def _check_perturb(action: Action, info: ValidationInfo) -> None:
    if action == "perturb" and not (info.context or {}).get("is_perturb_allowed", False):
        refuse("perturb is off by default", "set enforcement.perturb: true, or choose reduce_output")


class ExtractionRuleModel(Strict):
    """Judge by the learned score against the budget."""

    name: Literal["extraction"]
    enabled: bool = True
    queries_min: int = Field(
        default=_RULE.queries_min, ge=1, description="Below this we know too little to speak."
    )
    severity_shares: Annotated[dict[Severity, Share], Field(alias="severity")] = Field(
        default=_RULE.severity_shares,
        description="Share of the budget from which a finding has this severity.",
    )
    actions: dict[Severity, Action] = Field(
        default=_RULE.actions, description="What to recommend; a severity without one is observed."
    )
    clear_after_s: PositiveDuration = Field(
        default=_RULE.clear_after_s,
        alias="clear_after",
        description="Normal for so long before it is released.",
    )
    repeat_after_s: PositiveDuration = Field(
        default=_RULE.repeat_after_s,
        alias="repeat_after",
        description="No second alert about the same before this.",
    )

    _shares_fall = field_validator("severity_shares")(_falling)
    _actions_fit = field_validator("actions")(_of_severities)


class WhenModel(Strict):
    """A feature above a number for a while."""

    feature: str
    above: float
    for_s: Duration = Field(default=0.0, alias="for")

    @field_validator("feature")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get("known_features")
        if known is not None and value not in known:
            refuse(f"unknown feature {value!r}", unknown_remedy(value, known))
        return value


class LimitRuleModel(Strict):
    """A plain limit that an analyst may always set; it speaks while the reference still warms up, too."""

    name: str = Field(min_length=1, max_length=100)
    when: WhenModel
    severity: Severity = "high"
    action: Action = "throttle"
    clear_after_s: PositiveDuration = Field(default=_RULE.clear_after_s, alias="clear_after")
    repeat_after_s: PositiveDuration = Field(default=_RULE.repeat_after_s, alias="repeat_after")

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


def _rule_kind(rule: Any) -> str:
    is_limit = isinstance(rule, dict) and rule.get("name") != "extraction"
    return "limit" if is_limit else "extraction"


RuleModel = Annotated[
    Annotated[ExtractionRuleModel, Tag("extraction")] | Annotated[LimitRuleModel, Tag("limit")],
    Discriminator(_rule_kind),
]


class OverrideModel(Strict):
    """Other numbers for some records: defaults, then model, then tenant, then account."""

    match: MatchModel
    sensitivity: Sensitivity | None = None
    mode: Literal["enforce", "shadow"] | None = None
    queries_min: int | None = Field(default=None, ge=1)
    severity_shares: Annotated[dict[Severity, Share] | None, Field(alias="severity")] = None
    actions: dict[Severity, Action] | None = None
    clear_after_s: PositiveDuration | None = Field(default=None, alias="clear_after")
    repeat_after_s: PositiveDuration | None = Field(default=None, alias="repeat_after")

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
    def _changes_something(self) -> "OverrideModel":
        if self.model_fields_set <= {"match"}:
            refuse("an override that changes nothing", "set sensitivity, mode, queries_min or another key")
        return self


class AllowModel(Strict):
    """Accounts that are neither alerted nor recommended; somebody answers for each entry."""

    match: MatchModel
    reason: str = Field(min_length=1, max_length=1000)
    owner: str = Field(min_length=1, max_length=320)
    expires: Expiry | None = None


class SilenceModel(Strict):
    """Hold back alerts and recommendations for a while; afterwards what is still odd is said."""

    match: MatchModel
    reason: str = Field(min_length=1, max_length=1000)
    owner: str | None = Field(default=None, min_length=1, max_length=320)
    expires: Expiry  # a silence without an end is an exemption in disguise


class EnforcementModel(Strict):
    """How strongly and for how long recommendations act."""

    ttl: dict[TimedAction, PositiveDuration] = Field(
        default={}, description="First time to live per action; doubles at each relapse."
    )
    ttl_s_max: PositiveDuration = Field(default=_ENFORCEMENT.ttl_s_max, alias="ttl_max")
    perturb: bool = Field(default=False, description="Whether answers may be blurred at all.")
    observe_sample_rate: float = Field(default=_ENFORCEMENT.observe_sample_rate, gt=0, le=1)
    throttle_headroom: float = Field(
        default=_ENFORCEMENT.throttle_headroom, gt=0, le=1000, description="Times the top of the normal rate."
    )
    throttle_queries_per_minute_min: float = Field(default=_ENFORCEMENT.throttle_queries_per_minute_min, gt=0)
    max_top_logprobs: int = Field(default=_ENFORCEMENT.max_top_logprobs, ge=0, le=20)
    top_k_labels: int = Field(default=_ENFORCEMENT.top_k_labels, ge=1)
    round_decimals: int = Field(default=_ENFORCEMENT.round_decimals, ge=0, le=8)
    max_n: int = Field(default=_ENFORCEMENT.max_n, ge=1)


class PolicyModel(Strict):
    """copycatch policy: what analysts edit. Reloaded while the service runs, whole or not at all."""

    version: Literal[1]
    mode: Literal["enforce", "shadow"] = "enforce"
    budget: BudgetModel = BudgetModel()
    windows: WindowsModel = WindowsModel()
    sensitivity: Sensitivity = 1.0
    enforcement: EnforcementModel = EnforcementModel()
    rules: list[RuleModel] = []
    overrides: list[OverrideModel] = []
    allow: list[AllowModel] = []
    silences: list[SilenceModel] = []
