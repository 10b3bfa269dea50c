"""Campaigns in the engine: links folded segment by segment, searched every half hour of event time."""

from typing import Any

import numpy as np

from copycatch.campaigns.find import SEARCH_MS, search
from copycatch.campaigns.finding import Finding
from copycatch.campaigns.fold import LinkEvents, fold
from copycatch.campaigns.state import Campaign
from copycatch.decisions.campaigns import ALL_MODELS, hand_over_campaigns, judge_campaigns
from copycatch.decisions.case import Membership
from copycatch.decisions.judge import Verdicts
from copycatch.decisions.members import fold_members, own_findings, standing_campaigns, standing_over_models
from copycatch.engine.correlator import SAVED, Standing, sighting_of
from copycatch.engine.gathering import newest_samples
from copycatch.engine.inputs import SAMPLE_ID
from copycatch.engine.span import BatchSpan
from copycatch.engine.state import EngineState
from copycatch.records.campaign import CampaignSighting
from copycatch.records.columns import Charge, IntArray
from copycatch.records.policy import Policy
from copycatch.windows.slots import NO_ROW, Key

NOT_QUERIES = (Charge.REJECTED, Charge.LATE, Charge.REPEATED)


def fold_links(state: EngineState, span: BatchSpan, first: int, stop: int) -> None:
    """Add records `first` to `stop` of the span to the link rows of their accounts."""
    if stop <= first:
        return
    kept = np.flatnonzero(~np.isin(span.batch.charges[first:stop], NOT_QUERIES)) + first
    if not len(kept):
        return
    if not state.links.log_start_ms:
        state.links.log_start_ms = int(span.batch.event_times_ms[kept[0]])
    fold(state.links.links, LinkEvents._make(column[kept] for column in span.links))


def search_campaigns(state: EngineState, now_ms: int, policy: Policy) -> dict[str, Verdicts]:
    """Verdicts on campaigns by the shard they belong to, where a half hour of event time is over."""
    if now_ms // SEARCH_MS <= state.clock_ms // SEARCH_MS:
        return {}
    time_ms = now_ms // SEARCH_MS * SEARCH_MS
    by_shard: dict[str, list[CampaignSighting]] = {}
    for finding in search(state.links, time_ms):
        if (shard := _home_of(state, finding)) is not None:
            by_shard.setdefault(shard, []).append(_sighting(state, finding))
    verdicts = {
        shard: judge_campaigns(sightings, policy, state.decision(shard))
        for shard, sightings in by_shard.items()
    }
    _add(verdicts, _fold_members(state, time_ms, policy))
    return verdicts


def follow_campaigns(state: EngineState, now_ms: int, policy: Policy) -> dict[str, Verdicts]:
    """Where the learner searches: fold members, by shard, every half hour and when it has searched anew."""
    searched_ms = state.learned.correlator.searched_ms
    is_due = now_ms // SEARCH_MS > state.clock_ms // SEARCH_MS or searched_ms > state.sighted_ms
    if not (is_due and state.learned.version):
        return {}
    state.sighted_ms = max(state.sighted_ms, searched_ms)
    time_ms = now_ms // SEARCH_MS * SEARCH_MS
    verdicts = {
        name: hand_over_campaigns(decisions, policy, time_ms) for name, decisions in state.decisions.items()
    }
    _add(verdicts, _fold_members(state, time_ms, policy))
    return verdicts


def _add(verdicts: dict[str, Verdicts], more: dict[str, Verdicts]) -> None:
    for shard, each in more.items():
        told = verdicts.setdefault(shard, Verdicts())
        told.alerts += each.alerts
        told.recommendations += each.recommendations


def _fold_members(state: EngineState, time_ms: int, policy: Policy) -> dict[str, Verdicts]:
    """What follows from campaigns for the cases of their members, by the shard of each member."""
    names = list(state.shard_numbers)
    uids_by_shard: dict[str, dict[Key, str]] = {name: {} for name in state.decisions}
    for name, decisions in state.decisions.items():
        for (tenant_id, account_id), uid in standing_over_models(decisions).items():
            for model_id in state.heads:
                key = tenant_id, account_id, model_id
                if state.slots.row_of(key) != NO_ROW:
                    uids_by_shard[name][key] = uid
    for uid, keys in state.learned.correlator.standing if state.is_remote else _standing(state):
        for key in keys:
            if (row := state.slots.row_of(key)) == NO_ROW:
                continue  # of another worker
            uids = uids_by_shard.setdefault(names[state.slots.shards[row]], {})
            uids[key] = uids[key[0], key[1], ALL_MODELS] = uid
    return {
        shard: fold_members(state.decision(shard), uids, policy, time_ms)
        for shard, uids in uids_by_shard.items()
        if uids or state.decision(shard).table.memberships
    }


def _standing(state: EngineState) -> Standing:
    standing = {name: standing_campaigns(decisions) for name, decisions in state.decisions.items()}
    found = []
    for campaign in state.links.campaigns:
        uid = standing.get(state.campaign_homes.get(campaign.id, ""), {}).get(campaign.id, "")
        if uid:
            found.append((uid, [state.slots.key_of(row) for row in campaign.members]))
    return found


def _home_of(state: EngineState, finding: Finding) -> str | None:
    """The shard that a campaign belongs to, that of its first member when it was found.

    None for one that ended and was never told of.
    """
    if finding.change == "ended":
        return state.campaign_homes.pop(finding.id, None)
    names = list(state.shard_numbers)
    first = finding.members[0].row
    return state.campaign_homes.setdefault(finding.id, names[state.slots.shards[first]])


def _sighting(state: EngineState, finding: Finding) -> CampaignSighting:
    """What a search has found, with what its members were found to do by themselves."""
    own, names = Membership(""), list(state.shard_numbers)
    rows = np.array([member.row for member in finding.members], dtype=np.int64)
    for row in rows.tolist():
        found = own_findings(state.decision(names[state.slots.shards[row]]), [state.slots.key_of(row)])
        own.take(found.severity, found.action)
    samples = np.zeros(state.slots.n_rows, dtype=SAMPLE_ID)
    samples[rows] = newest_samples(state, rows)
    return sighting_of(state.slots, samples, finding, own)


def campaigns_of(state: EngineState, shard: str) -> dict[str, Any]:
    """The campaigns that belong to a shard, as plain values; members by their keys."""
    saved = []
    for each in state.links.campaigns:
        if state.campaign_homes.get(each.id) == shard:
            plain = {name: getattr(each, name) for name in SAVED}
            members = [[*state.slots.key_of(row), since_ms] for row, since_ms in each.members.items()]
            saved.append({**plain, "members": members})
    return {"log_start_ms": state.links.log_start_ms, "campaigns": saved}


def put_campaigns(state: EngineState, shard: str, saved: dict[str, Any]) -> None:
    """Take over a shard's campaigns; members that this worker does not have are left out."""
    links = state.links
    links.log_start_ms = min(links.log_start_ms or saved["log_start_ms"], saved["log_start_ms"])
    for each in saved["campaigns"]:
        members = {
            row: since_ms
            for tenant, account, model, since_ms in each["members"]
            if (row := state.slots.row_of((tenant, account, model))) != NO_ROW
        }
        links.campaigns = [other for other in links.campaigns if other.id != each["id"]]
        links.campaigns.append(Campaign(**{name: each[name] for name in SAVED}, members=members))
        state.campaign_homes[each["id"]] = shard


def forget_campaigns(state: EngineState, shard: str, rows: IntArray) -> None:
    """Another worker has the shard now."""
    state.links.clear(rows)
    gone = {campaign_id for campaign_id, home in state.campaign_homes.items() if home == shard}
    state.links.campaigns = [each for each in state.links.campaigns if each.id not in gone]
    for campaign_id in gone:
        del state.campaign_homes[campaign_id]
