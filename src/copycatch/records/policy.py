"""The policy as the core reads it: plain, checked, immutable values.

`settings/policy.py` reads and checks the analysts' YAML and builds this.
"""

from dataclasses import dataclass, field

from copycatch.records.wire import Action, Mode, Severity


@dataclass(frozen=True, slots=True)
class Match:
    """Which records a part of the policy is about; None matches all."""

    tenant_id: str | None = None
    model_id: str | None = None
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class WindowLengths:
    short_s: float = 15 * 60.0
    long_s: float = 6 * 3600.0
    memory_s: float = 7 * 86400.0
    late_s_max: float = 120.0


@dataclass(frozen=True, slots=True)
class ExtractionRule:
    """Judge by the learned score against the budget."""

    name: str = "extraction"
    queries_min: int = 12
    severity_shares: dict[Severity, float] = field(
        default_factory=lambda: {"medium": 1.0, "high": 0.1, "critical": 0.01}
    )
    actions: dict[Severity, Action] = field(
        default_factory=lambda: {"medium": "observe", "high": "reduce_output", "critical": "block"}
    )
    clear_after_s: float = 30 * 60.0
    repeat_after_s: float = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class LimitRule:
    """A plain limit that an analyst may always set: `feature > above` for `for_s`."""

    name: str
    feature: str
    above: float
    for_s: float
    severity: Severity
    action: Action
    clear_after_s: float = 30 * 60.0
    repeat_after_s: float = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Override:
    """Other numbers for some records; what is None stays as the layer below has it.

    Layers apply defaults -> model -> tenant -> account; within a layer, later ones win.
    """

    match: Match
    sensitivity_factor: float | None = None  # from the sensitivity preset or set outright
    mode: Mode | None = None
    queries_min: int | None = None
    severity_shares: dict[Severity, float] | None = None
    actions: dict[Severity, Action] | None = None
    clear_after_s: float | None = None
    repeat_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Exemption:
    """An entry of `allow` or `silences`, in force until `expires_ms` (None: for ever)."""

    match: Match
    reason: str
    owner: str | None
    expires_ms: int | None


@dataclass(frozen=True, slots=True)
class Enforcement:
    """How strongly and for how long a recommendation acts.

    `ttl_s` is each action's first time to live; it doubles each time the account relapses, up to
    `ttl_s_max`. `revoke_key` has none: a person decides.
    """

    ttl_s: dict[Action, float] = field(
        default_factory=lambda: {
            "observe": 24 * 3600.0,
            "throttle": 3600.0,
            "reduce_output": 6 * 3600.0,
            "perturb": 6 * 3600.0,
            "challenge": 24 * 3600.0,
            "block": 4 * 3600.0,
        }
    )
    ttl_s_max: float = 7 * 86400.0
    is_perturb_allowed: bool = False  # false answers are a promise broken to whoever is wrongly accused
    observe_sample_rate: float = 1.0
    throttle_headroom: float = 1.0  # times the top of the normal range
    throttle_queries_per_minute_min: float = 1.0
    max_top_logprobs: int = 0
    top_k_labels: int = 1
    round_decimals: int = 1
    max_n: int = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """All of it; `version` is the content hash that goes on everything sent."""

    version: str = "default"
    mode: Mode = "enforce"
    alerts_per_1000_accounts_per_day: float = 2.0
    recommendations_per_1000_accounts_per_day: float = 0.2
    sensitivity_factor: float = 1.0
    alerts_per_minute_max: int = 60  # of one shard; more are held back, counted and summarised
    windows: WindowLengths = field(default_factory=WindowLengths)
    extraction: ExtractionRule | None = field(default_factory=ExtractionRule)
    enforcement: Enforcement = field(default_factory=Enforcement)
    limits: tuple[LimitRule, ...] = ()
    overrides: tuple[Override, ...] = ()
    allow: tuple[Exemption, ...] = ()  # neither alerts nor recommendations
    silences: tuple[Exemption, ...] = ()  # alerts and recommendations are held back for a while
