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
    pane_s: float = 60.0
    short_s: float = 15 * 60.0
    long_s: float = 6 * 3600.0
    memory_s: float = 7 * 86400.0
    late_s_max: float = 120.0


@dataclass(frozen=True, slots=True)
class ExtractionRule:
    """Judge by the learned score against the budget."""

    name: str = "extraction"
    queries_min: int = 15
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
    match: Match
    alert_budget_factor: float = 1.0  # from the sensitivity preset or set outright
    mode: Mode | None = None
    queries_min: int | None = None


@dataclass(frozen=True, slots=True)
class Exemption:
    """An entry of `allow` or `silences`, in force until `expires_ms` (None: for ever)."""

    match: Match
    reason: str
    owner: str | None
    expires_ms: int | None


@dataclass(frozen=True, slots=True)
class Policy:
    """All of it; `version` is the content hash that goes on everything sent."""

    version: str = "default"
    mode: Mode = "enforce"
    alerts_per_1000_accounts_per_day: float = 1.0
    recommendations_per_1000_accounts_per_day: float = 0.2
    sensitivity_factor: float = 1.0
    windows: WindowLengths = field(default_factory=WindowLengths)
    extraction: ExtractionRule | None = field(default_factory=ExtractionRule)
    limits: tuple[LimitRule, ...] = ()
    overrides: tuple[Override, ...] = ()
    allow: tuple[Exemption, ...] = ()  # neither alerts nor recommendations
    silences: tuple[Exemption, ...] = ()  # alerts and recommendations are held back for a while
