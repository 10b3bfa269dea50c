"""What to do about an entity: graded actions, how strong, how long."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from copycatch.decisions.budget import severity_rank
from copycatch.decisions.case import ActiveRecommendation, Case, Episode
from copycatch.decisions.plan import EntityKey, EntitySettings
from copycatch.records.columns import FeatureSpec, FloatArray
from copycatch.records.policy import Enforcement
from copycatch.records.wire import ACTION_RANKS, Action, ActionParams, Recommendation, Severity
from copycatch.units import format_rfc3339, to_ms

# From this rank on an action takes something from the account; below, it only watches or slows down.
RANK_LIMITED_MIN = 2

# What an enforcement point that lacks the action should do instead; each weaker and more widely built.
FALLBACKS: dict[Action, Action | None] = {
    "observe": None,
    "throttle": "observe",
    "reduce_output": "throttle",
    "perturb": "reduce_output",
    "challenge": "throttle",
    "block": "throttle",
    "revoke_key": "block",
}

# MITRE ATLAS: M0002 Passive AI Output Obfuscation, M0004 Restrict Number of AI Model Queries,
# M0024 AI Telemetry Logging.
MITIGATIONS: dict[Action, tuple[str, ...]] = {
    "observe": ("AML.M0024",),
    "throttle": ("AML.M0004",),
    "reduce_output": ("AML.M0002",),
    "perturb": ("AML.M0002",),
    "challenge": ("AML.M0004",),
    "block": ("AML.M0004",),
    "revoke_key": ("AML.M0004",),
}

EXTRACTION_TECHNIQUES = ("AML.T0024.002",)  # Exfiltration via AI Inference API: Extract AI Model
CAMPAIGN_RULE = "campaign"
LIMIT_TECHNIQUES = ("AML.T0024",)  # a limit says that much left, not that it was a model


def action_for(tail_prob: float, severity: Severity, settings: EntitySettings) -> Action:
    """The policy's action for a severity, or the strongest one that the recommendation budget allows.

    Alerts and recommendations have budgets of their own. Where the second is the smaller one, what
    deviates enough to alert may not deviate enough to act upon: then it is the action of the strongest lower
    severity that takes nothing from the account, or `observe`.

    Examples
    --------
    >>> from copycatch.decisions.plan import make_plan
    >>> from copycatch.records.policy import Budget, Policy
    >>> budget = Budget(recommendations_per_1000_accounts_per_day=0.02)
    >>> settings = make_plan(Policy(budget=budget), []).settings_for(
    ...     (None, "a", "m"))
    >>> action_for(5e-5, "high", settings), action_for(5e-6, "critical", settings)
    ('observe', 'block')
    """
    action = settings.actions.get(severity, "observe")
    if ACTION_RANKS[action] < RANK_LIMITED_MIN or tail_prob <= settings.recommendation_threshold:
        return action
    milder = [
        a
        for s, a in settings.actions.items()
        if severity_rank(s) < severity_rank(severity) and ACTION_RANKS[a] < RANK_LIMITED_MIN
    ]
    return max(milder, key=ACTION_RANKS.__getitem__, default="observe")


def strongest(episodes: Sequence[Episode]) -> Episode | None:
    """The episode whose action prevails; among equals the more severe, then the older."""
    if not episodes:
        return None
    return max(
        episodes, key=lambda e: (ACTION_RANKS[e.action], severity_rank(e.severity), -e.start_ms, e.rule)
    )


def allowed(action: Action, enforcement: Enforcement) -> Action:
    """Perturbing answers is off unless the policy turns it on: wrong answers on purpose are a last resort."""
    return "reduce_output" if action == "perturb" and not enforcement.perturb else action


def ttl_ms_of(action: Action, strikes: int, enforcement: Enforcement) -> int:
    """Time to live, doubled per relapse up to the cap; -1 for what only a person may end.

    Examples
    --------
    >>> [ttl_ms_of("block", strikes, Enforcement()) // 3_600_000 for strikes in (0, 1, 2, 30)]
    [4, 8, 16, 168]
    """
    first_s = None if action == "revoke_key" else enforcement.ttl_s.get(action)
    if first_s is None:
        return -1
    return to_ms(min(first_s * 2.0 ** min(strikes, 32), max(first_s, enforcement.ttl_s_max)))


def params_for(action: Action, enforcement: Enforcement, rates_per_s: dict[str, float]) -> ActionParams:
    """What the action means in numbers.

    Parameters
    ----------
    rates_per_s : dict
        Top of the normal range of `queries` and `tokens`, per second; absent where unknown.

    Examples
    --------
    >>> params_for("throttle", Enforcement(), {"queries": 0.1})
    {'queries_per_minute': 6, 'tokens_per_minute': None}
    """
    if action == "observe":
        return {"sample_rate": enforcement.observe_sample_rate}
    if action == "throttle":
        headroom = 60 * enforcement.throttle_headroom
        queries, tokens = rates_per_s.get("queries"), rates_per_s.get("tokens")
        least = enforcement.throttle_queries_per_minute_min
        return {
            "queries_per_minute": max(math.ceil(least), math.ceil(headroom * (queries or 0.0))),
            "tokens_per_minute": None if tokens is None else max(1, math.ceil(headroom * tokens)),
        }
    if action in {"reduce_output", "perturb"}:
        params: ActionParams = {
            "max_top_logprobs": enforcement.max_top_logprobs,
            "top_k_labels": enforcement.top_k_labels,
            "round_decimals": enforcement.round_decimals,
            "max_n": enforcement.max_n,
        }
        # The label stays true: noise goes into the probabilities only, never across the decision.
        return params if action == "reduce_output" else {**params, "noise": "label_preserving"}
    return {}


def normal_rates(
    catalog: Sequence[FeatureSpec], values: FloatArray, normal_highs: FloatArray
) -> dict[str, float]:
    """Top of the normal range of queries and tokens per second, of one evaluation.

    Where the reference knows none, what the account itself does now is what it is held to: a throttle may
    then stop growth, never cut below present use.
    """
    rates: dict[str, float] = {}
    for kind in ("queries", "tokens"):
        for column, spec in enumerate(catalog):
            if kind in rates or not spec.name.startswith(f"{kind}_per_s"):
                continue
            rate = normal_highs[column] if np.isfinite(normal_highs[column]) else values[column]
            if np.isfinite(rate) and rate > 0:
                rates[kind] = float(rate)
    return rates


def decision_key_of(key: EntityKey, scope: str = "account") -> str:
    """The row of the enforcement point's table; bars, per cents and controls in ids are escaped.

    Examples
    --------
    >>> decision_key_of(("eu-1", "a|b", "m"))
    'eu-1|account|a%7Cb|m'
    """
    tenant_id, account_id, model_id = key
    return "|".join((_escaped(tenant_id or ""), scope, _escaped(account_id), _escaped(model_id)))


def _escaped(text: str) -> str:
    return "".join(f"%{ord(c):02X}" if c in "%|" or ord(c) < 0x20 or ord(c) == 0x7F else c for c in text)


def upsert_of(
    case: Case, episodes: Sequence[Episode], active: ActiveRecommendation, policy_version: str
) -> Recommendation:
    return _recommendation(case, episodes, active, policy_version, "upsert", active.issued_ms)


def revoke_of(
    case: Case, episodes: Sequence[Episode], active: ActiveRecommendation, policy_version: str, time_ms: int
) -> Recommendation:
    return _recommendation(case, episodes, active, policy_version, "revoke", time_ms)


def _recommendation(
    case: Case,
    episodes: Sequence[Episode],
    active: ActiveRecommendation,
    policy_version: str,
    op: str,
    time_ms: int,
) -> Recommendation:
    lead = next((e for e in episodes if e.rule == active.rule), episodes[0])
    is_upsert = op == "upsert"
    expires_ms = active.expires_ms if is_upsert else time_ms
    return Recommendation(
        decision_key=decision_key_of(case.key, scope_of(case)),
        revision=case.revision,
        op="upsert" if is_upsert else "revoke",
        mode=active.mode,
        action=active.action,
        action_rank=ACTION_RANKS[active.action],
        action_params=active.params,
        fallback_action=FALLBACKS[active.action],
        requires_human=active.action == "revoke_key",
        scope=scope_of(case),
        value=case.account_id,
        tenant_id=case.tenant_id,
        model_id=case.model_id,
        issued_at=format_rfc3339(time_ms),
        expires_at=format_rfc3339(expires_ms) if expires_ms >= 0 else None,
        ttl_s=active.ttl_ms / 1000 if is_upsert and active.ttl_ms >= 0 else None,
        severity=lead.severity,
        score=lead.score,
        alert_uids=[e.uid for e in episodes],
        reasons=lead.reasons,
        techniques=techniques_of(lead),
        policy_version=policy_version,
        mitigations=list(MITIGATIONS[active.action]),
        accounts=case.accounts,
        epoch=case.epoch,
    )


def techniques_of(episode: Episode) -> list[str]:
    """A score that compares with normal accounts speaks of extraction; a plain limit only of volume."""
    is_limit = episode.score.tail_prob is None and episode.rule != CAMPAIGN_RULE
    return list(LIMIT_TECHNIQUES if is_limit else EXTRACTION_TECHNIQUES)


def scope_of(case: Case) -> Literal["account", "campaign"]:
    return "campaign" if case.accounts else "account"
