"""The life of an episode: raise, keep, release; and the recommendation that follows from those open.

Every change happens at the event time of a record or at a deadline that event time has passed. Deadlines
of an entity are worked off, at their own times, before its next evaluation is looked at: so the outcome
does not depend on how often the engine happened to advance.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from copycatch.decisions.alert_text import closing_text, finding_text, flood_text, ran_out_text
from copycatch.decisions.budget import BudgetGuard, FloodCap, FloodGroup, severity_rank
from copycatch.decisions.case import (
    IDLE_MS,
    RELAPSE_MEMORY_MS,
    STRIKES_MAX,
    ActiveRecommendation,
    Case,
    CaseTable,
    Episode,
)
from copycatch.decisions.plan import EntitySettings, Plan, exemption_at
from copycatch.decisions.recommend import (
    allowed,
    decision_key_of,
    params_for,
    revoke_of,
    scope_of,
    strongest,
    techniques_of,
    ttl_ms_of,
    upsert_of,
)
from copycatch.records.wire import (
    ACTION_RANKS,
    Action,
    Alert,
    Entity,
    Op,
    Reason,
    Recommendation,
    Score,
    Severity,
)
from copycatch.units import format_rfc3339

MS_PER_MINUTE = 60_000
FLOOD_RULE = "flood_cap"


class Tally(msgspec.Struct):
    """What was done over the life of the shard; becomes metrics."""

    opened: int = 0
    updated: int = 0  # or reopened
    closed: int = 0
    upserts: int = 0
    revokes: int = 0
    silenced: int = 0
    held_back: int = 0
    exempted: int = 0
    evicted_open: int = 0
    evicted_closed: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says about one evaluation."""

    rule: str
    severity: Severity
    action: Action
    clear_after_ms: int
    repeat_after_ms: int
    score: Score
    reasons: Callable[[], list[Reason]]  # as text only when somebody will read them
    is_changed: bool = False  # whom it is about, so that it is news
    words: str = ""  # of a campaign


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of an entity at one evaluation."""

    time_ms: int
    first_seen_ms: int
    queries: int
    sample_event_ids: list[str]
    client_ips: list[str]
    looks_like: list[str]
    traceparent: str = ""


@dataclass(slots=True)
class JudgingContext:
    """One call of `judge` or `advance`: what it may change and what it gives."""

    plan: Plan
    table: CaseTable
    cap: FloodCap
    guard: BudgetGuard
    tally: Tally
    detector_version: str
    alerts: list[Alert] = field(default_factory=list)
    recommendations: list[Recommendation] = field(default_factory=list)

    def turn_minute(self, time_ms: int) -> None:
        """Summarise what the flood cap held back in the minute that is over."""
        if self.cap.minute < 0 or self.cap.is_minute_over(time_ms):
            minute = self.cap.minute
            for group in self.cap.turn(time_ms):
                self.alerts.append(_flood_alert(self, group, minute))


def uid_of(rule: str, case: Case, start_ms: int) -> str:
    """The same for the same rule, entity and start, on every run and machine.

    Examples
    --------
    >>> uid_of("extraction", Case(None, "a", "m"), 0) == uid_of("extraction", Case("", "a", "m"), 0)
    False
    """
    parts = msgspec.json.encode([rule, case.tenant_id, case.account_id, case.model_id, start_ms])
    return hashlib.blake2b(parts, digest_size=16).hexdigest()


def raise_or_keep(
    context: JudgingContext, case: Case, finding: Finding, observation: Observation, settings: EntitySettings
) -> None:
    """Evidence: open an episode, reopen a recent one, or keep the open one and say so now and then."""
    time_ms = observation.time_ms
    episode = case.episodes.get(finding.rule)
    if episode is None or (not episode.is_open and time_ms - episode.closed_ms >= finding.repeat_after_ms):
        episode = _new_episode(case, finding, observation)
        case.episodes[finding.rule] = episode
    episode.closed_ms, episode.part_of = -1, ""
    episode.last_over_ms = max(episode.last_over_ms, time_ms)
    episode.last_seen_ms = max(episode.last_seen_ms, time_ms)
    episode.queries = observation.queries
    episode.clear_after_ms = finding.clear_after_ms
    # It may only get worse while it is open; what was not announced yet is what it is now.
    if not episode.is_announced or severity_rank(finding.severity) > severity_rank(episode.severity):
        episode.severity = finding.severity
    is_stronger = ACTION_RANKS[finding.action] > ACTION_RANKS[episode.action]
    if not episode.is_announced or is_stronger:
        episode.action = finding.action
    is_news = (
        not episode.is_announced
        or episode.is_close_sent
        or severity_rank(episode.severity) > severity_rank(episode.sent_severity)
        or time_ms - episode.sent_ms >= finding.repeat_after_ms
        or finding.is_changed
    )
    if is_news or is_stronger:
        episode.score = finding.score
        episode.reasons = finding.reasons()
        episode.words = finding.words
        episode.sample_event_ids = observation.sample_event_ids
        episode.client_ips = observation.client_ips
        episode.looks_like = observation.looks_like
        episode.traceparent = observation.traceparent
    if is_news:
        _announce(context, case, episode, settings, time_ms)


def release(context: JudgingContext, case: Case, episode: Episode, time_ms: int, why: str) -> None:
    """End an episode. What was never announced ends without an alert."""
    assert episode.is_open
    episode.closed_ms = time_ms
    if episode.is_seen_open:
        context.tally.closed += 1
        episode.is_close_sent = True
        words = closing_text(case.key, episode.rule, why)
        context.alerts.append(_alert(context, case, episode, "close", time_ms, words))
    if not case.open_episodes:
        case.released_ms = time_ms


def settle(context: JudgingContext, case: Case, settings: EntitySettings, time_ms: int) -> None:
    """Make the active recommendation what the open episodes ask for.

    Only announced episodes count: what analysts have not seen must not act on anybody.
    """
    episodes = [e for e in case.open_episodes if e.is_seen_open]
    lead = strongest(episodes)
    if lead is None:
        _revoke(context, case, time_ms)
        return
    active = case.active
    enforcement = context.plan.policy.enforcement
    action = allowed(lead.action, enforcement)
    is_same = active is not None and active.action == action and active.mode == settings.mode
    is_fresh = any(time_ms - e.last_over_ms < max(1, e.clear_after_ms) for e in episodes)
    is_due = active is not None and active.ttl_ms >= 0 and time_ms >= active.renew_ms
    if is_same and not (is_due and is_fresh) and not case.has_new_accounts:
        return
    if exemption_at(settings.silences, time_ms) is not None:
        context.tally.silenced += 1
        return
    if case.was_revoked:
        case.was_revoked = False
        case.strikes = min(case.strikes + 1, STRIKES_MAX)
    params = active.params if is_same and active is not None else None
    case.active = ActiveRecommendation(
        action=action,
        params=params if params is not None else params_for(action, enforcement, case.rates_per_s),
        mode=settings.mode,
        issued_ms=time_ms,
        ttl_ms=ttl_ms_of(action, case.strikes, enforcement),
        rule=lead.rule,
    )
    case.is_renewal_tried = False
    case.has_new_accounts = False
    case.revise(time_ms)
    context.tally.upserts += 1
    context.recommendations.append(
        upsert_of(case, episodes, case.active, context.plan.policy.content_version)
    )


def release_all(context: JudgingContext, case: Case, time_ms: int, why: str) -> None:
    """The allow-list, or a rule that is no more: everything about the entity ends now."""
    case.timers.clear()
    for episode in case.open_episodes:
        release(context, case, episode, time_ms, why)
    _revoke(context, case, time_ms)


def expire_due(context: JudgingContext, case: Case, until_ms: int) -> None:
    """Work off what time alone has brought about, each at its own time; forgets the case at the end of it."""
    while (due_ms := case.deadline_ms) <= until_ms:
        settings = context.plan.settings_for(case.key)
        case.timers = {r: t for r, t in case.timers.items() if t.last_ms + t.gap_ms_max > due_ms}
        active = case.active
        if active is not None and active.ttl_ms >= 0:
            if due_ms < active.expires_ms:
                if due_ms >= active.renew_ms and not case.is_renewal_tried:
                    case.is_renewal_tried = True
                    settle(context, case, settings, due_ms)
                continue
            _expire(context, case, due_ms)
        elif case.open_episodes:
            for episode in case.open_episodes:
                if episode.last_over_ms + max(IDLE_MS, episode.clear_after_ms) <= due_ms:
                    release(context, case, episode, due_ms, "nothing more was seen of it for long")
            settle(context, case, settings, due_ms)
        elif due_ms >= case.released_ms + RELAPSE_MEMORY_MS:
            context.table.forget(case)
            return


def work_off(context: JudgingContext, until_ms: int) -> None:
    """Every deadline of the shard up to that time, in the order of the deadlines."""
    for case in context.table.due(until_ms):
        was_watched = case.is_watched
        expire_due(context, case, until_ms)
        context.table.watch(case, was_watched)


def _expire(context: JudgingContext, case: Case, time_ms: int) -> None:
    """The recommendation has run out and was not renewed: the evidence is old, or it is silenced."""
    for episode in case.open_episodes:
        if time_ms - episode.last_over_ms >= episode.clear_after_ms:
            release(context, case, episode, time_ms, ran_out_text(episode.last_seen_ms, case.active))
    _revoke(context, case, time_ms)


def _revoke(context: JudgingContext, case: Case, time_ms: int) -> None:
    active, case.active = case.active, None
    if active is None:
        return
    case.revise(time_ms)
    case.was_revoked = True
    case.released_ms = max(case.released_ms, time_ms)
    context.tally.revokes += 1
    episodes = [e for e in case.episodes.values() if e.is_announced]
    context.recommendations.append(
        revoke_of(case, episodes, active, context.plan.policy.content_version, time_ms)
    )


def _new_episode(case: Case, finding: Finding, observation: Observation) -> Episode:
    return Episode(
        rule=finding.rule,
        uid=uid_of(finding.rule, case, observation.time_ms),
        start_ms=observation.time_ms,
        severity=finding.severity,
        action=finding.action,
        clear_after_ms=finding.clear_after_ms,
        last_over_ms=observation.time_ms,
        first_seen_ms=observation.first_seen_ms,
        last_seen_ms=observation.time_ms,
        queries=observation.queries,
        score=finding.score,
        reasons=[],
    )


def _announce(
    context: JudgingContext, case: Case, episode: Episode, settings: EntitySettings, time_ms: int
) -> None:
    """Send an alert, unless a silence or the flood cap keeps it back; what is kept back is tried again."""
    if exemption_at(settings.silences, time_ms) is not None:
        context.tally.silenced += 1
        return
    if not context.cap.admit(episode.severity, context.plan.policy.budget.alerts_per_minute_max):
        context.tally.held_back += 1
        context.cap.withhold(case.key, episode.severity, episode.queries, episode.first_seen_ms)
        return
    op: Op = "reopen" if episode.is_close_sent else "update" if episode.is_announced else "open"
    episode.is_close_sent = False
    episode.sent_ms = time_ms
    episode.sent_severity = episode.severity
    if op == "open":
        context.tally.opened += 1
        context.guard.opened(case.model_id, time_ms)
    else:
        context.tally.updated += 1
    words = episode.words or finding_text(
        case.key,
        episode.score,
        episode.queries,
        (episode.last_seen_ms - episode.first_seen_ms) / 1000,
        episode.reasons,
        episode.looks_like,
        allowed(episode.action, context.plan.policy.enforcement),
    )
    context.alerts.append(_alert(context, case, episode, op, time_ms, words))


def _alert(context: JudgingContext, case: Case, episode: Episode, op: Op, time_ms: int, words: str) -> Alert:
    return Alert(
        uid=episode.uid,
        op=op,
        time=format_rfc3339(time_ms),
        first_seen=format_rfc3339(episode.first_seen_ms),
        last_seen=format_rfc3339(episode.last_seen_ms),
        severity=episode.severity,
        mode=context.plan.settings_for(case.key).mode,
        tenant_id=case.tenant_id,
        model_id=case.model_id,
        entity=case.entity,
        score=episode.score,
        rule=episode.rule,
        policy_version=context.plan.policy.content_version,
        detector_version=context.detector_version,
        window_s=(episode.last_seen_ms - episode.first_seen_ms) / 1000,
        queries=episode.queries,
        reasons=episode.reasons,
        sample_event_ids=episode.sample_event_ids,
        techniques=techniques_of(episode),
        recommendation=decision_key_of(case.key, scope_of(case)),
        words=words,
        client_ips=episode.client_ips,
        looks_like=episode.looks_like,
        part_of=episode.part_of or None,
        traceparent=episode.traceparent or None,
    )


def _flood_alert(context: JudgingContext, group: FloodGroup, minute: int) -> Alert:
    start = format_rfc3339(minute * MS_PER_MINUTE)
    end = format_rfc3339((minute + 1) * MS_PER_MINUTE)
    # Each partition has a cap of its own: the account tells their summaries of the same minute apart.
    entity_case = Case(group.tenant_id, group.accounts[0], group.model_id)
    return Alert(
        uid=uid_of(FLOOD_RULE, entity_case, minute * MS_PER_MINUTE),
        op="open",
        time=end,
        first_seen=format_rfc3339(group.first_seen_ms),
        last_seen=end,
        severity=group.severity,
        mode=context.plan.policy.mode,
        tenant_id=group.tenant_id,
        model_id=group.model_id,
        entity=Entity(
            kind="campaign",
            id=f"{FLOOD_RULE}:{group.model_id}:{start}",
            accounts=group.accounts,
            accounts_total=group.accounts_total,
        ),
        score=Score(tail_prob=None, rank="many accounts at once"),
        rule=FLOOD_RULE,
        policy_version=context.plan.policy.content_version,
        detector_version=context.detector_version,
        window_s=MS_PER_MINUTE / 1000,
        queries=group.queries,
        reasons=[],
        sample_event_ids=[],
        techniques=["AML.T0024"],
        recommendation=None,
        words=flood_text(
            group.model_id, group.accounts_total, start, context.plan.policy.budget.alerts_per_minute_max
        ),
    )
