"""Members of an announced campaign: their own findings become part of its alert.

Once a campaign has been announced its members have no alerts of their own: an open one is closed with a
reference to the campaign's (`Alert.part_of`), and what a member does later makes the campaign graver where it
asks for more than the campaign does. When a campaign ends its accounts are judged alone again.
"""

from collections.abc import Iterable, Mapping

from copycatch.decisions.campaigns import ALL_MODELS
from copycatch.decisions.case import Case, Membership
from copycatch.decisions.episodes import expire_due, release, settle
from copycatch.decisions.judge import Verdicts
from copycatch.decisions.plan import EntityKey
from copycatch.decisions.recommend import CAMPAIGN_RULE
from copycatch.decisions.state import DecisionState
from copycatch.records.policy import Policy
from copycatch.records.wire import Action, Severity

OwnFinding = tuple[EntityKey, Severity, Action]
"""An account, and the gravest that it was found to do by itself."""

WHY = "it is judged with others, by models or accounts, in an alert that goes on"


def standing_campaigns(state: DecisionState) -> dict[str, str]:
    """Uid of the alert of each campaign of the shard that has been announced and is open, by campaign id."""
    found = {}
    for case in state.table.case_by_key.values():
        episode = case.episodes.get(CAMPAIGN_RULE) if case.accounts else None
        if episode is not None and episode.is_open and episode.is_seen_open:
            found[case.account_id] = episode.uid
    return found


def standing_over_models(state: DecisionState) -> dict[tuple[str | None, str], str]:
    """Uid of the alert of each account that has been announced over its models, by tenant and account."""
    return {
        (case.tenant_id, case.account_id): episode.uid
        for case in state.table.case_by_key.values()
        if case.model_id == ALL_MODELS and not case.accounts
        for episode in case.open_episodes
        if episode.is_seen_open
    }


def own_findings(state: DecisionState, keys: Iterable[EntityKey]) -> Membership:
    """The gravest that accounts of a campaign were found to do by themselves, announced or folded."""
    found = Membership("")
    for key in keys:
        case, known = state.table.get(key), state.table.memberships.get(key)
        if known is not None:
            found.take(known.severity, known.action)
        for episode in [] if case is None else case.open_episodes:
            if episode.is_seen_open:
                found.take(episode.severity, episode.action)
    return found


def all_findings(state: DecisionState) -> list[OwnFinding]:
    """What `own_findings` gives of each account of the shard, where it is anything."""
    cases = state.table.case_by_key
    keys = [key for key, case in cases.items() if not case.accounts]
    keys += [key for key in state.table.memberships if key not in cases]
    found = [(key, own_findings(state, [key])) for key in keys if key[2] != ALL_MODELS]
    nothing = Membership("")
    return [(key, own.severity, own.action) for key, own in found if own != nothing]


def fold_members(
    state: DecisionState, campaign_uids: Mapping[EntityKey, str], policy: Policy, time_ms: int
) -> Verdicts:
    """Close what is open about members of announced campaigns, with a reference to the campaign's alert.

    Parameters
    ----------
    state : DecisionState
        Of the shard that the accounts belong to; from here on it knows these members and no others.
    campaign_uids : mapping of EntityKey to str
        Uid of the campaign's alert, by member.
    policy : Policy
    time_ms : int
        Event time.
    """
    known, state.table.memberships = state.table.memberships, {}
    context = state.sit(policy, None)
    for key, uid in campaign_uids.items():
        before = known.get(key)
        member = state.table.memberships[key] = Membership(uid)
        if before is not None:
            member.take(before.severity, before.action)
        case = state.table.get(key)
        if case is None or not case.open_episodes:
            continue
        was_watched = case.is_watched
        expire_due(context, case, time_ms)
        if state.table.get(key) is not None:
            _fold(case, member)
            for episode in case.open_episodes:
                release(context, case, episode, time_ms, WHY)
            settle(context, case, context.plan.settings_for(key), time_ms)
        state.table.watch(case, was_watched)
    return Verdicts(context.alerts, context.recommendations)


def _fold(case: Case, member: Membership) -> None:
    for episode in case.open_episodes:
        episode.part_of = member.campaign_uid
        if episode.is_seen_open:
            member.take(episode.severity, episode.action)
