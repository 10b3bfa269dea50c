"""Take one account out of everything that is kept of accounts, as if it had never come.

What stays is sums over many accounts, which name nobody and hold no query of it alone: geometries,
calibrations, counts of half-space trees, words that several accounts use.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from copycatch.campaigns.attributes import Attributes
from copycatch.campaigns.state import CampaignState
from copycatch.decisions.episodes import release_all
from copycatch.decisions.state import DecisionState
from copycatch.engine.inputs import LearningInputs, hash_of
from copycatch.engine.learned import Learned
from copycatch.engine.state import EngineState
from copycatch.records.columns import IntArray
from copycatch.records.policy import Policy
from copycatch.records.wire import Recommendation
from copycatch.windows.seen import SeenRecords
from copycatch.windows.slots import Slots

Owner = tuple[str | None, str]
"""Tenant and account, as records name them."""
WHY = "its data were deleted on request"


@dataclass(slots=True)
class Erased:
    """What there was of an account: rows, cases, places in campaigns, queries or votes among the learned."""

    rows: int = 0
    cases: int = 0
    campaigns: int = 0
    learned: int = 0
    revokes: list[Recommendation] = field(default_factory=list)


def erase(state: EngineState, owner: Owner, policy: Policy, link_key: int) -> Erased:
    """Take an account out of rows, cases, campaigns and what was learned.

    What was in force for it is revoked; no alert is made, which would only name it again. The memory of which
    records were seen lately is dropped for all accounts: its hashes do not tell whose they are.
    """
    found = Erased()
    erase_inputs(state.inputs.values(), owner)
    for part in (state, state.over):
        if part is None:
            continue
        rows = _release(part.slots, owner)
        part.windows.clear(rows)
        part.rows.clear(rows)
        part.usage.clear(rows)
        if part is state:
            state.changed -= set(rows.tolist())
            found.campaigns += _leave(state.links, rows)
            state.links_told[rows[rows < len(state.links_told)]] = 0
        found.rows += len(rows)
    state.attributes = Attributes(link_key)
    for shard in state.shards.values():
        shard.seen = SeenRecords()
    for decisions in state.decisions.values():
        _erase_decisions(decisions, owner, policy, found)
    erase_learned(state.learned, owner, policy, found)
    return found


def _release(slots: Slots, owner: Owner) -> IntArray:
    rows = [row for row in slots.rows_in_use() if slots.key_of(row)[:2] == owner]
    slots.release(rows)
    return np.array(rows, dtype=np.int64)


def _leave(links: CampaignState, rows: IntArray) -> int:
    """Clear link rows; gives how many places in campaigns there were."""
    gone = set(rows.tolist())
    n = sum(len(gone & campaign.members.keys()) for campaign in links.campaigns)
    if gone:
        links.clear(rows)
    return n


def _erase_decisions(decisions: DecisionState, owner: Owner, policy: Policy, found: Erased) -> None:
    table = decisions.table
    context = decisions.sit(policy, None)
    told = len(context.alerts), len(context.recommendations)
    for case in list(table.case_by_key.values()):
        was_watched = case.is_watched
        if case.key[:2] == owner and not case.accounts:
            found.cases += 1
            release_all(context, case, decisions.clock_ms, WHY)
            table.forget(case)
        elif owner[1] in case.accounts and case.tenant_id in (None, owner[0]):
            found.campaigns += 1
            case.accounts = [account for account in case.accounts if account != owner[1]]
            case.accounts_total = max(case.accounts_total - 1, len(case.accounts))
            case.has_new_accounts = case.active is not None  # its row is written again without it
            for episode in case.episodes.values():
                episode.sample_event_ids, episode.traceparent = [], ""
            if not case.accounts:
                release_all(context, case, decisions.clock_ms, WHY)
                table.forget(case)
        table.watch(case, was_watched)
    for key in [key for key in table.memberships if key[:2] == owner]:
        del table.memberships[key]
    for group in decisions.cap.groups:
        if group.tenant_id == owner[0]:
            group.accounts = [account for account in group.accounts if account != owner[1]]
    table.requeue()
    found.revokes += context.recommendations[told[1] :]


def erase_inputs(waiting: Iterable[LearningInputs], owner: Owner) -> None:
    """Take an account out of what waits to be learned."""
    for inputs in waiting:
        for model_id, told in inputs.models.items():
            account = hash_of((*owner, model_id))
            told.votes.pop(account, None)
            told.samples = [each for each in told.samples if each.account_hash != account]
            told.evaluations = [each for each in told.evaluations if each.account_hash != account]
            told.accounts = [each for each in told.accounts if each.account_hash != account]
            told.gone = [each for each in told.gone if each != account]
        kept = [at for at, key in enumerate(inputs.link_keys) if key[:2] != owner]
        if len(kept) < len(inputs.link_keys):
            inputs.link_keys = [inputs.link_keys[at] for at in kept]
            inputs.links = {name: column[kept] for name, column in inputs.links.items()}
            inputs.link_samples = inputs.link_samples[kept]
        if inputs.findings is not None:
            inputs.findings = [each for each in inputs.findings if each[0][:2] != owner]
        inputs.links_gone = [key for key in inputs.links_gone if key[:2] != owner]


def erase_learned(learned: Learned, owner: Owner, policy: Policy, found: Erased) -> None:
    """Take an account out of all that was learned, and out of the campaigns that are judged on it."""
    for model_id, population in learned.populations.items():
        account = hash_of((*owner, model_id))
        found.learned += population.forget_account(account)
        if model_id in learned.ensembles:
            learned.ensembles[model_id].forget_account(account)
        table = learned.table(model_id)
        table.remove([account])
        table.flagged_ms.pop(account, None)
    correlator = learned.correlator
    _erase_decisions(correlator.decisions, owner, policy, found)
    rows = _release(correlator.slots, owner)
    found.campaigns += _leave(correlator.links, rows)
    correlator.samples[rows[rows < len(correlator.samples)]] = b""
    for shard, findings in correlator.findings.items():
        correlator.findings[shard] = {key: each for key, each in findings.items() if key[:2] != owner}
    correlator.standing = [
        (uid, [key for key in keys if key[:2] != owner]) for uid, keys in correlator.standing
    ]
    correlator.sightings = correlator.sightings and [
        replace(seen, accounts=tuple(key for key in seen.accounts if key[:2] != owner), sample_event_ids=())
        if owner in {key[:2] for key in seen.accounts}
        else seen
        for seen in correlator.sightings
    ]
