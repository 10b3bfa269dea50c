"""Verdicts on campaigns: one episode and one recommendation for all accounts that act as one."""

from collections.abc import Sequence

from copycatch.decisions.budget import severity_rank
from copycatch.decisions.case import Case
from copycatch.decisions.episodes import (
    Finding,
    JudgingContext,
    Observation,
    expire_due,
    raise_or_keep,
    release_all,
    settle,
    work_off,
)
from copycatch.decisions.judge import Verdicts, make_room
from copycatch.decisions.plan import EntityKey, EntitySettings, exemption_at
from copycatch.decisions.recommend import CAMPAIGN_RULE
from copycatch.decisions.state import DecisionState
from copycatch.records.campaign import AccountKey, CampaignSighting
from copycatch.records.policy import Policy
from copycatch.records.wire import ACTION_RANKS, Score, Severity

ALL_MODELS = "*"
ACCOUNTS_NAMED_MAX = 500  # in an alert and a recommendation: 60 KB at usual ids
ACCOUNTS_MIN = 2  # left when those on the allow-list are taken out
WEIGHTS: tuple[tuple[Severity, float], ...] = (("critical", 3.0), ("high", 1.25))  # less is medium


def judge_campaigns(sightings: Sequence[CampaignSighting], policy: Policy, state: DecisionState) -> Verdicts:
    """Judge what a search saw; changes `state` and nothing else.

    Accounts on the allow-list are left out; a campaign of them alone is nobody's alert. Without a rule for
    extraction in the policy there are none.

    Parameters
    ----------
    sightings : sequence of CampaignSighting
        In the order of time.
    policy : Policy
    state : DecisionState
        Of the shard that the campaigns belong to.
    """
    context = state.sit(policy, None)
    known: dict[str, list[Case]] = {}
    for case in context.table.case_by_key.values():
        if case.accounts:
            known.setdefault(case.account_id, []).append(case)
    for sighting in sightings:
        state.clock_ms = max(state.clock_ms, sighting.time_ms)
        context.turn_minute(sighting.time_ms)
        accounts = () if policy.extraction is None else _judged(sighting, context)
        key = _key_of(sighting.id, accounts)
        for case in known.get(sighting.id, ()):
            if case.key != key:
                _end(context, case, sighting)
        if len(accounts) >= ACCOUNTS_MIN:
            _raise(context, key, accounts, sighting)
    return Verdicts(context.alerts, context.recommendations)


def hand_over_campaigns(state: DecisionState, policy: Policy, time_ms: int) -> Verdicts:
    """Another judge has campaigns from here on: close what is open about those of this shard."""
    context = state.sit(policy, None)
    for case in list(context.table.case_by_key.values()):
        if case.accounts and case.open_episodes:
            was_watched = case.is_watched
            release_all(context, case, time_ms, "campaigns are judged over all workers from here on")
            context.table.watch(case, was_watched)
    return Verdicts(context.alerts, context.recommendations)


def _judged(sighting: CampaignSighting, context: JudgingContext) -> tuple[AccountKey, ...]:
    """Its accounts but those on the allow-list; none where it has ended."""
    if sighting.is_ended:
        return ()
    plan = context.plan
    judged = tuple(
        key
        for key in sighting.accounts
        if exemption_at(plan.settings_for(key).allow, sighting.time_ms) is None
    )
    context.tally.exempted += len(judged) < len(sighting.accounts)
    return judged


def _key_of(campaign_id: str, accounts: Sequence[AccountKey]) -> EntityKey:
    """One tenant's and one model's, or all tenants' and models'."""
    tenants, models = {key[0] for key in accounts}, {key[2] for key in accounts}
    tenant_id = next(iter(tenants)) if len(tenants) == 1 else None
    return tenant_id, campaign_id, next(iter(models)) if len(models) == 1 else ALL_MODELS


def _raise(
    context: JudgingContext, key: EntityKey, accounts: Sequence[AccountKey], sighting: CampaignSighting
) -> None:
    settings = context.plan.settings_for(key)
    case = context.table.get(key)
    was_watched = case is not None and case.is_watched
    if case is not None:
        expire_due(context, case, sighting.time_ms)
        case = context.table.get(key)
    if exemption_at(settings.allow, sighting.time_ms) is not None:
        if case is not None:
            release_all(context, case, sighting.time_ms, "the campaign is on the allow-list")
            context.table.watch(case, was_watched)
        return
    if case is None:
        work_off(context, sighting.time_ms)
        make_room(context, sighting.time_ms)
        case, was_watched = Case(*key), False
        context.table.add(case)
    names = sorted({account_id for _, account_id, _ in accounts})
    is_changed = names[:ACCOUNTS_NAMED_MAX] != case.accounts
    case.has_new_accounts |= is_changed and bool(case.accounts)
    case.accounts, case.accounts_total = names[:ACCOUNTS_NAMED_MAX], len(names)
    raise_or_keep(context, case, _finding(sighting, settings, is_changed), _observation(sighting), settings)
    settle(context, case, settings, sighting.time_ms)
    context.table.watch(case, was_watched)


def _end(context: JudgingContext, case: Case, sighting: CampaignSighting) -> None:
    was_watched = case.is_watched
    expire_due(context, case, sighting.time_ms)
    if context.table.get(case.key) is not None:
        why = (
            sighting.words if sighting.is_ended else "it is judged over other models or tenants from here on"
        )
        release_all(context, case, sighting.time_ms, why)
    context.table.watch(case, was_watched)


def _finding(sighting: CampaignSighting, settings: EntitySettings, is_changed: bool) -> Finding:
    by_weight: Severity = next((each for each, least in WEIGHTS if sighting.weight >= least), "medium")
    severity = max(by_weight, sighting.own_severity, key=severity_rank)
    action = settings.actions.get(severity, "observe")
    rank = f"evidence of acting as one {sighting.weight:.1f} times what suffices"
    return Finding(
        rule=CAMPAIGN_RULE,
        severity=severity,
        action=max(action, sighting.own_action, key=ACTION_RANKS.__getitem__),
        clear_after_ms=settings.clear_after_ms,
        repeat_after_ms=settings.repeat_after_ms,
        score=Score(tail_prob=None, rank=rank),
        reasons=lambda: list(sighting.reasons),
        is_changed=is_changed,
        words=sighting.words,
    )


def _observation(sighting: CampaignSighting) -> Observation:
    return Observation(
        time_ms=sighting.time_ms,
        first_seen_ms=sighting.first_ms,
        queries=sighting.queries,
        sample_event_ids=list(sighting.sample_event_ids),
        client_ips=[],
        looks_like=[],
    )
