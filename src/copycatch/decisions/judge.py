"""From scores to verdicts: who is over, what is announced, what is recommended.

The common case (nobody over, no open case) costs a handful of array operations; Python looks only at the
few that are over a threshold or have something open.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from copycatch.decisions.budget import severity_of
from copycatch.decisions.case import Case, Timer
from copycatch.decisions.episodes import (
    Finding,
    JudgingContext,
    Observation,
    expire_due,
    raise_or_keep,
    release,
    release_all,
    settle,
    work_off,
)
from copycatch.decisions.explain import LOOKS_LIKE_MAX, limit_reason, reasons_of, score_of
from copycatch.decisions.plan import EntityKey, EntitySettings, Plan, exemption_at, make_plan
from copycatch.decisions.recommend import action_for, normal_rates
from copycatch.decisions.state import DecisionState
from copycatch.records.columns import BoolArray, Evaluations, FeatureSpec, Scores
from copycatch.records.policy import LimitRule, Policy
from copycatch.records.wire import Alert, Recommendation, Score
from copycatch.safe_text import printable
from copycatch.units import to_ms

# While an episode is open, evidence counts up to twice the threshold: an account that wavers around it is
# one episode, not many.
HYSTERESIS_FACTOR = 2.0
SAMPLE_EVENT_IDS_MAX = 10
CLIENT_IPS_MAX = 10


@dataclass(slots=True)
class Verdicts:
    """What should happen because of some evaluations, or because event time went on."""

    alerts: list[Alert] = field(default_factory=list)
    recommendations: list[Recommendation] = field(default_factory=list)
    is_over: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))


def judge(
    evaluations: Evaluations,
    scores: Scores,
    policy: Policy,
    catalog: Sequence[FeatureSpec],
    state: DecisionState,
    *,
    is_counted: bool = True,
) -> Verdicts:
    """Judge evaluations in their order; changes `state` and nothing else.

    Parameters
    ----------
    evaluations, scores
        Along each other, in event order; `scores.tail_probs` is NaN while the reference warms up: then only
        the plain limits speak.
    policy
        May be another one than at the last call; what it exempts now is released at once.
    catalog
        The features, one per column of `scores.values`.
    state
        Open episodes and active recommendations of this shard.
    is_counted
        Whether these are accounts by model; over several models an account is not counted once more.

    Returns
    -------
    Verdicts
        `is_over` (bool, along evaluations) marks what must not be learned: over a threshold, allowed or not,
        or part of an open episode.
    """
    n_evaluations = len(evaluations)
    assert scores.tail_probs.shape == (n_evaluations,)
    assert scores.values.shape == (n_evaluations, len(catalog))
    context = state.sit(policy, catalog)
    is_over = np.zeros(n_evaluations, dtype=np.bool_)
    if n_evaluations == 0:
        return Verdicts(context.alerts, context.recommendations, is_over)
    state.clock_ms = max(state.clock_ms, int(evaluations.event_times_ms.max()))
    if is_counted:
        state.last_days = context.guard.add(evaluations, state.last_days)
    needs_judging = _needs_judging(evaluations, scores, context)
    due: list[int] = np.flatnonzero(needs_judging).tolist()  # ascending, and so a heap
    later = _LaterRows(evaluations.account_ids)
    while due:
        index = heapq.heappop(due)
        is_over[index] = _judge_one(_Evaluation(evaluations, scores, catalog, index), context)
        account_id = evaluations.account_ids[index]
        if account_id in context.table.watches_by_account:
            # From here on its every evaluation counts, also those that looked harmless when the batch began.
            for row in later.take(account_id, index):
                if not needs_judging[row]:
                    heapq.heappush(due, row)
    if policy.attacks:
        is_over |= _are_known_attacks(evaluations, context.plan)
    return Verdicts(context.alerts, context.recommendations, is_over)


def may_be_announced(
    evaluations: Evaluations, scores: Scores, policy: Policy, catalog: Sequence[FeatureSpec]
) -> BoolArray:
    """EvaluationBatch that a finding may be about, whatever is open: only these need reasons, bool (n,).

    Everybody else is over no threshold, not even the wider one of an open episode, and below every limit.
    """
    plan = make_plan(policy, catalog)
    relevant: BoolArray = scores.tail_probs <= HYSTERESIS_FACTOR * plan.alert_threshold_max
    if len(plan.limits):
        relevant |= (scores.values[:, plan.limit_columns] > plan.limit_values).any(axis=1)
    return relevant


def advance(state: DecisionState, watermark_ms: int, policy: Policy) -> Verdicts:
    """Work off every deadline that event time has passed: renewals, expiries, what is to be forgotten."""
    state.clock_ms = max(state.clock_ms, watermark_ms)
    context = state.sit(policy, None)
    context.turn_minute(watermark_ms)
    work_off(context, watermark_ms)
    return Verdicts(context.alerts, context.recommendations)


class _LaterRows:
    """Rows of an account further down the batch; indexed once, and only when somebody asks."""

    def __init__(self, account_ids: Sequence[str]) -> None:
        self._account_ids = account_ids
        self._rows_by_account: dict[str, list[int]] | None = None

    def take(self, account_id: str, after: int) -> list[int]:
        """The rows after that one; each account's are given once."""
        if self._rows_by_account is None:
            self._rows_by_account = {}
            for row, other in enumerate(self._account_ids):
                self._rows_by_account.setdefault(other, []).append(row)
        return [row for row in self._rows_by_account.pop(account_id, ()) if row > after]


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """One evaluation of a batch."""

    evaluations: Evaluations
    scores: Scores
    catalog: Sequence[FeatureSpec]
    index: int

    @property
    def key(self) -> tuple[str | None, str, str]:
        e, i = self.evaluations, self.index
        return (e.tenant_ids[i], e.account_ids[i], e.model_ids[i])

    @property
    def tail_prob(self) -> float:
        return float(self.scores.tail_probs[self.index])

    def observation(self) -> Observation:
        e, i = self.evaluations, self.index
        return Observation(
            time_ms=int(e.event_times_ms[i]),
            first_seen_ms=int(e.first_seen_ms[i]),
            queries=int(e.queries[i]),
            sample_event_ids=list(e.sample_event_ids[i][:SAMPLE_EVENT_IDS_MAX]),
            client_ips=list(e.client_ips[i][:CLIENT_IPS_MAX]),
            looks_like=[printable(name) for name in self.scores.looks_like[i][:LOOKS_LIKE_MAX]],
            traceparent=e.traceparents[i],
        )


def _are_known_attacks(evaluations: Evaluations, plan: Plan) -> BoolArray:
    """Whom a person found to attack: never to be taken for normal, bool (n,)."""
    e = evaluations
    keys = zip(e.tenant_ids, e.account_ids, e.model_ids, e.event_times_ms.tolist(), strict=True)
    return np.fromiter(
        (
            exemption_at(plan.settings_for((tenant, account, model)).attacks, time_ms) is not None
            for tenant, account, model, time_ms in keys
        ),
        np.bool_,
        len(e),
    )


def _needs_judging(evaluations: Evaluations, scores: Scores, context: JudgingContext) -> BoolArray:
    """Who needs more than arithmetic: over the loosest threshold, above a limit, or watched."""
    plan = context.plan
    # NaN compares false: who is not scored yet is over nothing.
    needs_judging: BoolArray = (scores.tail_probs <= plan.alert_threshold_max) & (
        evaluations.queries >= plan.queries_min_least
    )
    if len(plan.limits):
        needs_judging |= (scores.values[:, plan.limit_columns] > plan.limit_values).any(axis=1)
    watched = context.table.watches_by_account
    if watched:
        needs_judging |= np.fromiter(
            map(watched.__contains__, evaluations.account_ids), np.bool_, len(evaluations)
        )
    return needs_judging


def _judge_one(evaluation: _Evaluation, context: JudgingContext) -> bool:
    table, plan, key = context.table, context.plan, evaluation.key
    settings = plan.settings_for(key)
    time_ms = int(evaluation.evaluations.event_times_ms[evaluation.index])
    context.turn_minute(time_ms)
    case = table.get(key)
    was_watched = case is not None and case.is_watched
    if case is not None:
        expire_due(context, case, time_ms)
        if table.get(key) is None:  # forgotten by its own deadline
            table.watch(case, was_watched)
            case, was_watched = None, False
    candidate = case if case is not None else Case(*key)
    findings, clean = _findings(evaluation, plan, settings, candidate, time_ms)
    is_over = bool(findings) or bool(candidate.open_episodes)
    tail_prob = None if math.isnan(evaluation.tail_prob) else evaluation.tail_prob
    if exemption_at(settings.allow, time_ms, tail_prob) is not None:
        context.tally.exempted += bool(findings)
        candidate.timers.clear()
        if case is not None:
            release_all(context, case, time_ms, "the account is on the allow-list")
            table.watch(case, was_watched)
        return is_over
    findings = _not_its_campaigns(context, key, findings)
    if case is None:
        if not findings and not candidate.timers:
            return is_over
        # Where a newcomer's revisions begin, and who makes room, depends on who is still remembered; that may
        # not depend on how long ago the engine happened to advance.
        work_off(context, time_ms)
        make_room(context, time_ms)
        case = candidate
        table.add(case)
    if findings:
        case.rates_per_s = _rates(evaluation, plan, findings)
        observation = evaluation.observation()
        for finding in findings:
            raise_or_keep(context, case, finding, observation, settings)
    for episode in case.open_episodes:
        if episode.rule in clean and time_ms - episode.last_over_ms >= episode.clear_after_ms:
            release(context, case, episode, time_ms, "it has looked normal again for long enough")
    settle(context, case, settings, time_ms)
    if not case.episodes and not case.timers:
        table.forget(case)
    table.watch(case, was_watched)
    return is_over


def _not_its_campaigns(context: JudgingContext, key: EntityKey, findings: list[Finding]) -> list[Finding]:
    """None where the account is one of an announced campaign: its findings are told there, not once more."""
    membership = context.table.memberships.get(key)
    if membership is None:
        return findings
    for finding in findings:
        membership.take(finding.severity, finding.action)
    return []


def _findings(
    evaluation: _Evaluation, plan: Plan, settings: EntitySettings, case: Case, time_ms: int
) -> tuple[list[Finding], set[str]]:
    """What the rules say, and which rules see nothing amiss (missing is neither)."""
    findings: list[Finding] = []
    clean: set[str] = set()
    rule = plan.policy.extraction
    if rule is not None and not math.isnan(evaluation.tail_prob):
        finding = _extraction(evaluation, rule.name, settings, case)
        if finding is not None:
            findings.append(finding)
        else:
            clean.add(rule.name)
    for limit, column in zip(plan.limits, plan.limit_columns.tolist(), strict=True):
        value = float(evaluation.scores.values[evaluation.index, column])
        if value > limit.when.above:
            if _has_lasted(limit, plan, case, time_ms):
                findings.append(_limit(evaluation, limit, column, value))
        elif value <= limit.when.above:
            case.timers.pop(limit.name, None)
            clean.add(limit.name)
    return findings, clean


def _extraction(
    evaluation: _Evaluation, rule_name: str, settings: EntitySettings, case: Case
) -> Finding | None:
    if (
        int(evaluation.evaluations.queries[evaluation.index]) < settings.queries_min
        or not settings.thresholds
    ):
        return None
    severity = severity_of(evaluation.tail_prob, settings.thresholds)
    if severity is None:
        episode = case.episodes.get(rule_name)
        is_kept = episode is not None and episode.is_open
        if not is_kept or evaluation.tail_prob > HYSTERESIS_FACTOR * settings.alert_threshold:
            return None
        severity = settings.thresholds[-1][0]
    return Finding(
        rule=rule_name,
        severity=severity,
        action=action_for(evaluation.tail_prob, severity, settings),
        clear_after_ms=settings.clear_after_ms,
        repeat_after_ms=settings.repeat_after_ms,
        score=score_of(evaluation.tail_prob, float(evaluation.scores.attack_probs[evaluation.index])),
        reasons=lambda: reasons_of(
            evaluation.scores.values[evaluation.index],
            evaluation.scores,
            evaluation.index,
            evaluation.catalog,
        ),
    )


def _limit(evaluation: _Evaluation, limit: LimitRule, column: int, value: float) -> Finding:
    return Finding(
        rule=limit.name,
        severity=limit.severity,
        action=limit.action,
        clear_after_ms=to_ms(limit.clear_after_s),
        repeat_after_ms=to_ms(limit.repeat_after_s),
        score=Score(tail_prob=None, rank="over a fixed limit"),
        reasons=lambda: [
            limit_reason(limit, column, value, evaluation.scores, evaluation.index, evaluation.catalog)
        ],
    )


def _has_lasted(limit: LimitRule, plan: Plan, case: Case, time_ms: int) -> bool:
    """Whether the feature has been above its limit for as long as the rule says.

    Two evaluations further apart than the short window (or the rule's own length) share no record, so nothing
    is known in between: the count starts again.
    """
    episode = case.episodes.get(limit.name)
    if limit.when.for_s <= 0 or (episode is not None and episode.is_open):
        return True
    gap_ms_max = to_ms(max(limit.when.for_s, plan.policy.windows.short_s))
    timer = case.timers.get(limit.name)
    if timer is None or time_ms - timer.last_ms > gap_ms_max:
        timer = case.timers[limit.name] = Timer(time_ms, time_ms, gap_ms_max)
    timer.last_ms = max(timer.last_ms, time_ms)
    if time_ms - timer.since_ms < to_ms(limit.when.for_s):
        return False
    del case.timers[limit.name]
    return True


def _rates(evaluation: _Evaluation, plan: Plan, findings: Sequence[Finding]) -> dict[str, float]:
    """Rates that a throttle limits the account to: normal ones, or the policy's own limit on that rate."""
    rates = normal_rates(
        evaluation.catalog,
        evaluation.scores.values[evaluation.index],
        evaluation.scores.normal_highs[evaluation.index],
    )
    rules = {finding.rule for finding in findings}
    for limit in plan.limits:
        for kind in ("queries", "tokens"):
            if limit.name in rules and limit.when.feature.startswith(f"{kind}_per_s"):
                rates[kind] = min(limit.when.above, rates.get(kind, limit.when.above))
    return rates


def make_room(context: JudgingContext, time_ms: int) -> None:
    """Evict when full: an alert says so, and the active recommendation runs out by itself."""
    table = context.table
    for victim in table.surplus():
        was_watched = victim.is_watched
        if victim.open_episodes:
            context.tally.evicted_open += 1
        else:
            context.tally.evicted_closed += 1
        for episode in victim.open_episodes:
            release(
                context,
                victim,
                episode,
                time_ms,
                "too many are open (holds_max); what was recommended runs out",
            )
        table.forget(victim)
        table.watch(victim, was_watched)
