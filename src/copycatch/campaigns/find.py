"""Search for campaigns among all accounts: every half hour of event time.

Groups that share something rare are weighed when their queries have grown by a quarter since they were last
weighed; so an account is weighed a few dozen times in its life, however long it lives.
"""

import hashlib
from collections.abc import Set
from typing import Final

import numpy as np

from copycatch.campaigns.activity import STEP_SHIFTS, common_profile, own_parts, residuals
from copycatch.campaigns.deck import measure_deck, own_spreads, usual_alike
from copycatch.campaigns.evidence import (
    NEAREST_MAX,
    OWN_PART_MIN,
    OWN_SPREAD_MAX,
    REPEATED_MAX,
    SPREAD_MAX,
    Evidence,
    Population,
    is_older,
    turns_of,
    weigh,
)
from copycatch.campaigns.finding import (
    COMMON_OUTSIDE_MAX,
    Finding,
    common_attributes,
    ending_of,
    finding_of,
    held_by,
)
from copycatch.campaigns.fold import LinkColumns
from copycatch.campaigns.layout import KINDS, PANE_MS, PANES
from copycatch.campaigns.sharing import (
    GROUP_MIN,
    GROUPS_MAX,
    KIND_NAMES,
    TWICE,
    Group,
    attributes_of,
    context_codes,
    flat,
    groups_of,
    kind_of,
    skeletons_of,
    starts_of,
)
from copycatch.campaigns.state import CAMPAIGNS_MAX, MEMBERS_MAX, Campaign, CampaignState
from copycatch.campaigns.ties import CONVERSATIONS_MIN, groups_of_ties, handed_of, moves_of, replays_of
from copycatch.records.columns import BoolArray, FloatArray, IntArray
from copycatch.units import MS_PER_DAY

SEARCH_MS: Final = 1_800_000
WARM_UP_MS: Final = MS_PER_DAY  # a day: what is common must have been seen
QUERIES_MIN: Final = 4  # of an account
GROUP_QUERIES_MIN: Final = 60
GROWTH: Final = 1.25
LOOKS_MAX: Final = 32  # groups of one account that are weighed in a search, those with most queries first
MEMBER_LOOKS_MAX: Final = 200_000  # members of all groups weighed in a search: some seconds at worst
OVERLAP_MIN: Final = 1 / 3  # of the smaller: two groups are one campaign
JOIN_PART_MIN: Final = 5.5
JOIN_ALONE_MIN: Final = 11.0  # of who shares nothing with the members
JOIN_STEP_MIN: Final = 3.0
JOIN_ALONE_QUERIES: Final = 12
JOINERS_MAX: Final = 2_048  # newcomers that one campaign looks at in a search,
JOIN_LOOKS_MAX: Final = 16_384  # and all of them together: three seconds at worst
JOINERS_MIN: Final = 64  # of each, however many campaigns there are
JOIN_KIT_MIN: Final = 2
JOIN_KINDS_MIN: Final = 2
IDLE_MS: Final = PANES * PANE_MS
RECHECK_FACTOR: Final = 2.0  # what named a campaign must have gone wrong by so much to end it
KIT_KINDS: Final = frozenset(KINDS.index(name) for name in TWICE)


def search(state: CampaignState, now_ms: int) -> list[Finding]:
    """Name new campaigns, let new members join, end what has ended.

    Parameters
    ----------
    state : CampaignState
        Changed in place.
    now_ms : int
        Event time; a multiple of `SEARCH_MS`, so that how batches are cut does not matter.

    Returns
    -------
    list of Finding
        Of campaigns that have ended, are new, have new members or were active, in the order they were found.
    """
    columns = state.columns
    before = {campaign.id: set(campaign.members) for campaign in state.campaigns}
    ended = _retire(state, columns, now_ms)
    active = np.flatnonzero((columns.queries >= QUERIES_MIN) & (columns.last_ms > now_ms - IDLE_MS))
    found: list[Finding] = []
    if len(active) >= GROUP_MIN and now_ms >= state.log_start_ms + WARM_UP_MS:
        population, groups = _population(state, columns, active, now_ms)
        for group in groups:
            evidence = weigh(population, group)
            if evidence is not None and evidence.weight >= 1:
                _name(state, group, evidence, columns, now_ms)
        for campaign in state.campaigns:
            _let_join(state, campaign, population, now_ms)
        _unite(state, population, before)
        found = [
            finding_of(campaign, population.columns, population.sharing, before, now_ms)
            for campaign in state.campaigns
            if set(campaign.members) != before.get(campaign.id) or _is_awake(campaign, columns)
        ]
    columns.queries_seen[:] = columns.queries
    merged = before.keys() - {campaign.id for campaign in state.campaigns} - {each.id for each in ended}
    ended += [ending_of(campaign_id, now_ms, "merged") for campaign_id in sorted(merged)]
    return ended + found


def _is_awake(campaign: Campaign, columns: LinkColumns) -> bool:
    """Whether any member has asked since the last search."""
    rows = np.array(sorted(campaign.members), dtype=np.int64)
    return bool((columns.queries[rows] > columns.queries_seen[rows]).any())


def _population(
    state: CampaignState, columns: LinkColumns, active: IntArray, now_ms: int
) -> tuple[Population, list[Group]]:
    """All active accounts, and the groups among them that are due."""
    now_pane = now_ms // PANE_MS - 1
    codes = attributes_of(columns, active) + context_codes(columns, active)
    sharing = flat(codes, active)
    seen_from_ms = state.log_start_ms + WARM_UP_MS
    starts = starts_of(columns, active, seen_from_ms)
    groups = groups_of(codes, starts, active, sharing)
    replays, handed = replays_of(columns, active), handed_of(columns, active)
    for ties in (replays, handed):
        groups.groups += [Group((), rows) for rows in groups_of_ties(columns, ties)]
        groups.dropped += ties.dropped
    is_named = np.zeros(state.n_rows, dtype=np.bool_)
    is_named[[row for campaign in state.campaigns for row in campaign.members]] = True
    due = [_one_row_an_account(columns, group) for group in groups.groups if _is_due(columns, group.rows)]
    due = [group for group in due if len(group.rows) >= GROUP_MIN and not is_named[group.rows].all()]
    due.sort(key=lambda group: -int(columns.queries[group.rows].sum()))
    kept = within_looks(due[:GROUPS_MAX], state.n_rows)
    state.groups_dropped += groups.dropped + len(due) - len(kept)
    population = Population(
        columns,
        active,
        now_pane,
        common_profile(columns, active, now_pane),
        sharing,
        skeletons_of(columns, active),
        seen_from_ms,
        now_ms,
        usual_alike(columns, active),
        replays,
        handed,
        moves_of(columns, active, seen_from_ms),
        is_named,
    )
    return population, kept


def within_looks(due: list[Group], n_rows: int) -> list[Group]:
    """Leave out groups of accounts that are in many: nobody's sharing keeps others from being looked at."""
    looks = np.zeros(n_rows, dtype=np.int64)
    kept, n_left = [], MEMBER_LOOKS_MAX
    for group in due:
        if len(group.rows) > n_left or 2 * (looks[group.rows] >= LOOKS_MAX).sum() > len(group.rows):
            continue
        looks[group.rows] += 1
        n_left -= len(group.rows)
        kept.append(group)
    return kept


def _is_due(columns: LinkColumns, rows: IntArray) -> bool:
    """Whether a group's queries have grown by a quarter, counted in steps from one."""
    queries, seen = int(columns.queries[rows].sum()), int(columns.queries_seen[rows].sum())
    if queries < GROUP_QUERIES_MIN:
        return False
    return seen < GROUP_QUERIES_MIN or _step(queries) > _step(seen)


def _step(queries: int) -> int:
    return int(np.log(queries) / np.log(GROWTH))


def _one_row_an_account(columns: LinkColumns, group: Group) -> Group:
    """An account with a row a model is one member: its busiest row stands for it."""
    rows = group.rows
    order = np.lexsort((rows, -columns.queries[rows].astype(np.int64)))
    _, firsts = np.unique(columns.account[rows][order], return_index=True)
    return (
        group if len(firsts) == len(rows) else Group(group.codes, np.sort(rows[order[firsts]]), group.start)
    )


def _name(state: CampaignState, group: Group, evidence: Evidence, columns: LinkColumns, now_ms: int) -> None:
    """Found a campaign, or add to the one that the group is part of."""
    rows = set(group.rows[evidence.is_member].tolist())
    if len(rows) < GROUP_MIN:
        return
    of_it = [campaign for campaign in state.campaigns if _overlaps(rows, campaign.members.keys())]
    campaign = of_it[0] if of_it else None
    for other in of_it[1:]:
        if campaign is not None and _is_one_deck(columns, campaign.members.keys() | other.members.keys()):
            campaign.members = other.members | campaign.members
            state.campaigns.remove(other)
    rows -= {row for other in state.campaigns if other is not campaign for row in other.members}
    if campaign is None:
        if len(rows) < GROUP_MIN:
            return
        if len(state.campaigns) >= CAMPAIGNS_MAX:
            state.campaigns_dropped += 1
            return
        campaign = Campaign(_id_of(columns, rows, now_ms), now_ms, *_told(evidence))
        state.campaigns.append(campaign)
    elif not _is_one_deck(columns, campaign.members.keys() | rows):
        return
    if evidence.weight > campaign.weight:
        campaign.reason, campaign.weight, campaign.parts, campaign.statistics = _told(evidence)
    _add(state, campaign, sorted(rows), now_ms)


def _overlaps(rows: set[int], members: Set[int]) -> bool:
    shared = len(rows & members)
    return shared > 0 and shared >= OVERLAP_MIN * min(len(rows), len(members))


def _is_one_deck(columns: LinkColumns, rows: Set[int]) -> bool:
    """Whether accounts of two groups are still one by what they ask."""
    deck = measure_deck(columns, np.array(sorted(rows), dtype=np.int64))
    return deck is not None and deck.spread < SPREAD_MAX


def _add(state: CampaignState, campaign: Campaign, rows: list[int], now_ms: int) -> None:
    for row in rows:
        if row in campaign.members:
            continue
        if len(campaign.members) >= MEMBERS_MAX:
            state.members_dropped += 1
            continue
        campaign.members[row] = now_ms


def _id_of(columns: LinkColumns, rows: set[int], now_ms: int) -> str:
    """The same in every run and worker: of the founders and the time."""
    accounts = sorted(int(columns.account[row]) for row in rows)
    text = f"{now_ms}:{accounts}".encode()
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _told(evidence: Evidence) -> tuple[str, float, dict[str, float], dict[str, float]]:
    """The reason, the weight and its parts, and all statistics."""
    statistics = {
        "spread": evidence.deck.spread,
        "alike": evidence.deck.alike,
        "repeated": evidence.deck.repeated,
        "together": evidence.together.together,
        "in_step": evidence.together.in_step,
        "started": evidence.started,
        "succession": evidence.succession,
        "kit": float(evidence.kit),
        "replayed": evidence.replayed,
        "handed": evidence.handed,
        "moved": evidence.moved,
        "turns": turns_of(evidence.together),
    }
    statistics = {name: round(value, 3) for name, value in statistics.items()}
    return evidence.reason, evidence.weight, evidence.parts, statistics


def _let_join(state: CampaignState, campaign: Campaign, population: Population, now_ms: int) -> None:
    """Add accounts that ask cards of the members' deck, and act with them or use their kit.

    Who shares nothing with them must act with them the more clearly, and be no older than they are; who goes
    on with several conversations of theirs, reasoning and all, needs the deck only.
    """
    columns = population.columns
    group = np.array(sorted(campaign.members), dtype=np.int64)
    if len(group) < GROUP_MIN:
        return
    rows = population.rows[columns.queries[population.rows] > columns.queries_seen[population.rows]]
    rows = np.setdiff1d(rows, group)
    common = common_attributes(campaign, population.sharing, len(population.rows))
    n_kit, kinds = np.zeros(len(rows), dtype=np.int64), np.zeros((len(rows), len(KIND_NAMES)), dtype=np.bool_)
    for code in common:
        has = np.isin(rows, population.sharing.holders(code))
        n_kit += has & (kind_of(code) in KIT_KINDS)
        kinds[:, kind_of(code)] |= has
    n_kinds = kinds.sum(axis=1)
    is_young = ~is_older(columns, rows, float(np.quantile(columns.first_ms[group], 0.25)))
    own = own_spreads(columns, rows, group)
    is_replaying = population.replays.taken_from(columns, group)[rows] >= CONVERSATIONS_MIN
    is_near = (own < OWN_SPREAD_MAX) & ((n_kinds > 0) | is_replaying | (is_young & (own < SPREAD_MAX)))
    near = _nearest(state, np.flatnonzero(is_near), np.where(is_replaying, -1.0, own))
    if not len(near):
        return
    total = residuals(columns, group, population.now_pane, population.profile).sum(axis=0, dtype=np.float64)
    activity = residuals(columns, rows[near], population.now_pane, population.profile)
    parts = own_parts(activity, total, is_member=False)
    is_kin = (n_kit >= JOIN_KIT_MIN) | ((n_kinds >= JOIN_KINDS_MIN) & (campaign.reason != "together"))
    in_step = own_parts(activity, total, is_member=False, shifts=STEP_SHIFTS)
    is_alike = (parts >= JOIN_PART_MIN) & (n_kinds[near] > 0) & (own[near] < SPREAD_MAX)
    is_alone = (
        (parts >= JOIN_ALONE_MIN)
        & (in_step >= JOIN_STEP_MIN)
        & (columns.queries[rows[near]] >= JOIN_ALONE_QUERIES)
    )
    joins: BoolArray = is_alike | is_alone | is_replaying[near] | (is_young & is_kin)[near]
    _add(state, campaign, rows[near][joins].tolist(), now_ms)


def _nearest(state: CampaignState, near: IntArray, own: FloatArray) -> IntArray:
    """As many as this campaign may look at, those first whose deck is most like the members'; others are
    counted. Many campaigns share what one search may cost, so that decoys cannot hold the service up.
    """
    n_max = min(JOINERS_MAX, max(JOINERS_MIN, JOIN_LOOKS_MAX // max(len(state.campaigns), 1)))
    if len(near) <= n_max:
        return near
    state.joiners_skipped += len(near) - n_max
    return np.sort(near[np.argsort(own[near], kind="stable")[:n_max]])


def _unite(state: CampaignState, population: Population, before: dict[str, set[int]]) -> None:
    """One campaign of two that share two kinds of rare attributes and ask one deck: who was blocked and who
    goes on in their place need not overlap. Looked at where one of them is new or has new members.
    """
    sharing, few = population.sharing, COMMON_OUTSIDE_MAX * len(population.rows)
    held = [held_by(each, sharing) for each in state.campaigns]
    gone: set[int] = set()
    for later, campaign in enumerate(state.campaigns):
        for earlier, other in enumerate(state.campaigns[:later]):
            is_known = all(set(each.members) == before.get(each.id) for each in (campaign, other))
            if earlier in gone or later in gone or is_known:
                continue
            codes = held[earlier].keys() & held[later].keys()
            n_others = {c: len(sharing.holders(c)) - held[earlier][c] - held[later][c] for c in codes}
            if len({kind_of(code) for code, n in n_others.items() if n <= few}) < JOIN_KINDS_MIN:
                continue
            if _is_one_deck(population.columns, campaign.members.keys() | other.members.keys()):
                other.members = campaign.members | other.members
                gone.add(later)
    state.campaigns = [each for index, each in enumerate(state.campaigns) if index not in gone]


def _retire(state: CampaignState, columns: LinkColumns, now_ms: int) -> list[Finding]:
    """Let idle members go, and end campaigns that are gone or turn out to be innocent sharing."""
    ended = []
    for campaign in list(state.campaigns):
        for row in [row for row in campaign.members if columns.last_ms[row] <= now_ms - IDLE_MS]:
            del campaign.members[row]
        rows = np.array(sorted(campaign.members), dtype=np.int64)
        queries = int(columns.queries[rows].sum())
        why = "idle" if len(rows) < 2 else ""
        if not why and queries >= GROWTH * campaign.queries_checked:
            campaign.queries_checked = queries
            deck = measure_deck(columns, rows)
            if deck is not None and (
                deck.spread > RECHECK_FACTOR * SPREAD_MAX
                or deck.repeated > RECHECK_FACTOR * REPEATED_MAX
                or deck.nearest > NEAREST_MAX + REPEATED_MAX
            ):
                why = "innocent"
        if why:
            state.campaigns.remove(campaign)
            ended.append(ending_of(campaign.id, now_ms, why))
    return ended


assert OWN_PART_MIN <= JOIN_PART_MIN
