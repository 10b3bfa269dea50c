"""Campaigns in the engine: links folded segment by segment, searched every half hour of event time."""

from dataclasses import replace
from typing import Any

import numpy as np

from copycatch.campaigns.find import SEARCH_MS, search
from copycatch.campaigns.finding import Finding
from copycatch.campaigns.fold import LinkEvents, fold
from copycatch.campaigns.state import Campaign
from copycatch.decisions.campaigns import ALL_MODELS, judge_campaigns
from copycatch.decisions.case import Membership
from copycatch.decisions.judge import SAMPLE_EVENT_IDS_MAX, Verdicts
from copycatch.decisions.members import fold_members, own_findings, standing_campaigns, standing_over_models
from copycatch.engine.correlator import SAVED, home_of, sighting_of
from copycatch.engine.span import BatchSpan
from copycatch.engine.state import EngineState
from copycatch.records.campaign import CampaignSighting
from copycatch.records.columns import Charge, IntArray
from copycatch.records.policy import Policy
from copycatch.windows.slots import NO_ROW, Key
from copycatch.windows.state import SAMPLE_IDS

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
    names = list(state.shard_numbers)
    by_shard: dict[str, list[CampaignSighting]] = {}
    for finding in search(state.links, time_ms):
        if (shard := home_of(finding, state.campaign_homes, state.slots, names)) is not None:
            by_shard.setdefault(shard, []).append(_sighting(state, finding))
    verdicts = {
        shard: judge_campaigns(sightings, policy, state.decision(shard))
        for shard, sightings in by_shard.items()
    }
    for shard, folded in _fold_members(state, time_ms, policy).items():
        told = verdicts.setdefault(shard, Verdicts())
        told.alerts += folded.alerts
        told.recommendations += folded.recommendations
    return verdicts


def _fold_members(state: EngineState, time_ms: int, policy: Policy) -> dict[str, Verdicts]:
    """What follows from campaigns for the cases of their members, by the shard of each member."""
    names = list(state.shard_numbers)
    uids_by_shard: dict[str, dict[Key, str]] = {name: {} for name in state.decisions}
    standing = {name: standing_campaigns(decisions) for name, decisions in state.decisions.items()}
    for name, decisions in state.decisions.items():
        for (tenant_id, account_id), uid in standing_over_models(decisions).items():
            for model_id in state.heads:
                key = tenant_id, account_id, model_id
                if state.slots.row_of(key) != NO_ROW:
                    uids_by_shard[name][key] = uid
    for campaign in state.links.campaigns:
        uid = standing.get(state.campaign_homes.get(campaign.id, ""), {}).get(campaign.id, "")
        for row in campaign.members if uid else ():
            tenant_id, account_id, model_id = state.slots.key_of(row)
            uids = uids_by_shard.setdefault(names[state.slots.shards[row]], {})
            uids[tenant_id, account_id, model_id] = uid
            uids[tenant_id, account_id, ALL_MODELS] = uid
    return {
        shard: fold_members(state.decision(shard), uids, policy, time_ms)
        for shard, uids in uids_by_shard.items()
        if uids or state.decision(shard).table.memberships
    }


def _sighting(state: EngineState, finding: Finding) -> CampaignSighting:
    """What a search has found, with what its members were found to do by themselves."""
    sighting = sighting_of(state.slots, finding)
    if sighting.is_ended:
        return sighting
    own = Membership("")
    names = list(state.shard_numbers)
    for member, key in zip(finding.members, sighting.accounts, strict=True):
        found = own_findings(state.decision(names[state.slots.shards[member.row]]), [key])
        own.take(found.severity, found.action)
    return replace(
        sighting,
        sample_event_ids=_samples(state, finding),
        own_severity=own.severity,
        own_action=own.action,
    )


def _samples(state: EngineState, finding: Finding) -> tuple[str, ...]:
    """Ids of the latest queries of its busiest members, one of each; ids too long to be kept are left out."""
    busiest = sorted(finding.members, key=lambda member: (-member.queries, member.row))
    rows = np.array([member.row for member in busiest[:SAMPLE_EVENT_IDS_MAX]], dtype=np.int64)
    history, counters = state.windows.history, state.windows.counters
    newest = (counters["sample_at"][rows].astype(np.int64) - 1) % SAMPLE_IDS
    ids = history["sample_ids"][rows, newest].tolist()
    return tuple(text.decode(errors="replace") for text in ids if text)


def judge_sightings(state: EngineState, policy: Policy) -> dict[str, Verdicts]:
    """Verdicts on what the learner saw of campaigns that belong to shards of this worker, once each."""
    by_shard: dict[str, list[CampaignSighting]] = {}
    sightings = state.learned.correlator.sightings
    for shard, sighting in sightings:
        if sighting.time_ms > state.sighted_ms and shard in state.shards:
            by_shard.setdefault(shard, []).append(sighting)
    state.sighted_ms = max([state.sighted_ms, *(sighting.time_ms for _, sighting in sightings)])
    return {shard: judge_campaigns(own, policy, state.decision(shard)) for shard, own in by_shard.items()}


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
