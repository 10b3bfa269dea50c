"""The policy made ready for judging: layered per entity, exemptions indexed, limits as columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from copycatch.decisions.verdicts import held
from copycatch.records.columns import FeatureSpec, FloatArray, IntArray
from copycatch.records.policy import (
    Allow,
    Exemption,
    ExtractionRule,
    KnownAttack,
    LimitRule,
    Match,
    Override,
    Policy,
)
from copycatch.records.wire import SEVERITIES, Action, Mode, Severity
from copycatch.units import to_ms

# Settings are kept for this many entities; a flood of new ones empties the cache, which costs time only.
SETTINGS_CACHED_MAX = 16_384

EntityKey = tuple[str | None, str, str]
"""Tenant, account, model."""


@dataclass(frozen=True, slots=True)
class EntitySettings:
    """The policy as it stands for one account on one model."""

    mode: Mode
    queries_min: int
    thresholds: tuple[tuple[Severity, float], ...]  # strongest first, as tail probabilities
    recommendation_threshold: float  # actions of rank >= 2 only below this
    actions: dict[Severity, Action]
    clear_after_ms: int
    repeat_after_ms: int
    allow: tuple[Exemption, ...]
    silences: tuple[Exemption, ...]
    attacks: tuple[Exemption, ...] = ()

    @property
    def alert_threshold(self) -> float:
        return self.thresholds[-1][1] if self.thresholds else 0.0


@dataclass(slots=True)
class Plan:
    """One policy against one catalogue of features."""

    policy: Policy
    column_by_feature: dict[str, int]
    alert_threshold_max: float  # the loosest of all layers: what is above is nobody's alert
    queries_min_least: int
    limit_columns: IntArray
    limit_values: FloatArray
    limits: tuple[LimitRule, ...]  # those whose feature the catalogue knows
    settings_by_entity: dict[EntityKey, EntitySettings]
    allow: list[Allow]  # those that hold, as `attacks`: verdicts are bounded
    attacks: list[KnownAttack]

    def settings_for(self, key: EntityKey) -> EntitySettings:
        settings = self.settings_by_entity.get(key)
        if settings is None:
            if len(self.settings_by_entity) >= SETTINGS_CACHED_MAX:
                self.settings_by_entity.clear()
            settings = self.settings_by_entity[key] = _layered(self, key)
        return settings


def make_plan(policy: Policy, catalog: Sequence[FeatureSpec]) -> Plan:
    """Compile a policy once; judging then compares arrays with two numbers.

    Examples
    --------
    >>> make_plan(Policy(), []).alert_threshold_max
    0.002
    """
    column_by_feature = {spec.name: column for column, spec in enumerate(catalog)}
    limits = tuple(limit for limit in policy.limits if limit.when.feature in column_by_feature)
    threshold, queries_min = 0.0, 0
    if policy.extraction is not None:
        rule = policy.extraction
        factors = [o.sensitivity for o in policy.overrides if o.sensitivity is not None]
        shares = [o.severity_shares for o in policy.overrides if o.severity_shares is not None]
        # Layers mix (factor of one, shares of another), so the bound takes the loosest of each.
        factor = max(policy.sensitivity, *factors, 0.0)
        budgets = [o.budget.alerts_per_1000_accounts_per_day or 0.0 for o in policy.overrides if o.budget]
        budget = max(policy.budget.alerts_per_1000_accounts_per_day, *budgets, 0.0)
        share = max(
            (s for by_severity in (rule.severity_shares, *shares) for s in by_severity.values()), default=0.0
        )
        threshold = budget / 1000 * factor * share
        queries_min = min(
            rule.queries_min, *(o.queries_min for o in policy.overrides if o.queries_min is not None), 2**62
        )
    return Plan(
        policy=policy,
        column_by_feature=column_by_feature,
        alert_threshold_max=threshold,
        queries_min_least=queries_min,
        limit_columns=np.array([column_by_feature[limit.when.feature] for limit in limits], dtype=np.int64),
        limit_values=np.array([limit.when.above for limit in limits], dtype=np.float64),
        limits=limits,
        settings_by_entity={},
        allow=held(policy.allow)[0],
        attacks=held(policy.attacks)[0],
    )


def exemption_at(
    exemptions: tuple[Exemption, ...], time_ms: int, tail_prob: float | None = None
) -> Exemption | None:
    """The first one in force at that time, for a score of that chance (None: no score, or a limit).

    Examples
    --------
    >>> until = Exemption(match=Match(account_id="ci"), reason="tests", owner=None, expires_ms=1000)
    >>> exemption_at((until,), 999) is until, exemption_at((until,), 1000)
    (True, None)
    >>> seen = Allow(match=Match(account_id="ci"), reason="tests", owner="qa", unless_below=1e-4)
    >>> exemption_at((seen,), 0, 1e-3) is seen, exemption_at((seen,), 0, 1e-5)
    (True, None)
    """
    for exemption in exemptions:
        if exemption.expires_ms is not None and time_ms >= exemption.expires_ms:
            continue
        least = exemption.unless_below if isinstance(exemption, Allow) else None
        if least is None or tail_prob is None or not tail_prob < least:
            return exemption
    return None


def is_match(match: Match, key: EntityKey) -> bool:
    """Whether a part of the policy is about this entity; ids are compared whole, never as patterns.

    A pattern would let whoever chooses their own account name step onto the allow-list.

    Examples
    --------
    >>> is_match(Match(model_id="m"), ("t", "a", "m")), is_match(Match(account_id="a"), ("t", "ab", "m"))
    (True, False)
    """
    tenant_id, account_id, model_id = key
    return (
        (match.account_id is None or match.account_id == account_id)
        and (match.tenant_id is None or match.tenant_id == tenant_id)
        and (match.model_id is None or match.model_id == model_id)
    )


def is_exempt(match: Match, key: EntityKey) -> bool:
    """Whether an entry of `allow` or `silences` is about this entity.

    One that names an account and no tenant is about the account without a tenant: the same name in a tenant
    is somebody else's choice.

    Examples
    --------
    >>> match = Match(account_id="ci")
    >>> is_exempt(match, (None, "ci", "m")), is_exempt(match, ("t", "ci", "m"))
    (True, False)
    """
    is_elsewhere = match.account_id is not None and match.tenant_id is None and key[0] is not None
    return is_match(match, key) and not is_elsewhere


def _layer(match: Match) -> int:
    """Model below tenant below account; a match that names several stands with its narrowest."""
    weights = (match.account_id is not None, match.tenant_id is not None, match.model_id is not None)
    return 4 * weights[0] + 2 * weights[1] + weights[2]


def _layers(policy: Policy, key: EntityKey) -> list[Override]:
    """What overrides the policy for an entity, the narrowest last."""
    return sorted((o for o in policy.overrides if is_match(o.match, key)), key=lambda o: _layer(o.match))


def _budgets(policy: Policy, layers: Sequence[Override]) -> tuple[float, float]:
    """Alerts and restrictions per 1,000 accounts and day, before sensitivity."""
    alerts = policy.budget.alerts_per_1000_accounts_per_day
    few = policy.budget.recommendations_per_1000_accounts_per_day
    for budget in (layer.budget for layer in layers if layer.budget is not None):
        alerts = budget.alerts_per_1000_accounts_per_day or alerts
        few = budget.recommendations_per_1000_accounts_per_day or few
    return alerts, min(few, alerts)


def alerts_per_1000(policy: Policy, key: EntityKey) -> float:
    """Alerts per 1,000 accounts and day that the policy allows of accounts like this one.

    Examples
    --------
    >>> alerts_per_1000(Policy(sensitivity=0.25), (None, "a", "m"))
    0.5
    """
    layers = _layers(policy, key)
    factors = [layer.sensitivity for layer in layers if layer.sensitivity is not None]
    return _budgets(policy, layers)[0] * (factors[-1] if factors else policy.sensitivity)


def _layered(plan: Plan, key: EntityKey) -> EntitySettings:
    policy = plan.policy
    rule = policy.extraction if policy.extraction is not None else ExtractionRule()
    layers = _layers(policy, key)
    values: dict[str, Any] = {"mode": policy.mode, "sensitivity": policy.sensitivity}
    values |= {name: getattr(rule, name) for name in ExtractionRule.model_fields}
    for layer in layers:
        own = {name: getattr(layer, name) for name in layer.model_fields_set}
        values |= {name: value for name, value in own.items() if value is not None}
    alerts, recommendations = _budgets(policy, layers)
    budget = alerts / 1000 * values["sensitivity"]
    shares = values["severity_shares"]
    strongest_first = [s for s in reversed(SEVERITIES) if s in shares] if policy.extraction else []
    return EntitySettings(
        mode=values["mode"],
        queries_min=values["queries_min"],
        thresholds=tuple((severity, budget * shares[severity]) for severity in strongest_first),
        recommendation_threshold=recommendations / 1000 * values["sensitivity"],
        actions=values["actions"],
        clear_after_ms=to_ms(values["clear_after_s"]),
        repeat_after_ms=to_ms(values["repeat_after_s"]),
        allow=tuple(e for e in plan.allow if is_exempt(e.match, key)),
        silences=tuple(e for e in policy.silences if is_exempt(e.match, key)),
        attacks=tuple(e for e in plan.attacks if is_match(e.match, key)),
    )
