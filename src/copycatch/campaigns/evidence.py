"""What speaks for a group being one thief, and what for sharing that is innocent.

A group is named where its queries are cards of one deck (`F` small), broad and not the same again and again,
and where, beside what it shares, it acts as one: its activity rises and falls together, its members began
together, it uses a kit of rare skeletons, or one member begins as another stops. Sharing alone is no guilt.
Beside each limit stands the largest value seen of innocent groups that pass the other conditions.
"""

from typing import Final, NamedTuple

import numpy as np

from copycatch.campaigns.activity import Together, joint_activity, own_parts, residuals
from copycatch.campaigns.deck import Deck, measure_deck
from copycatch.campaigns.fold import LinkColumns
from copycatch.campaigns.lives import START_MS, common_start, succession
from copycatch.campaigns.sharing import (
    GROUP_MIN,
    HALF_START_MS,
    START,
    Group,
    Sharing,
    kind_of,
    skeleton_codes,
)
from copycatch.campaigns.ties import Ties, moved_together
from copycatch.records.columns import BoolArray, FloatArray, IntArray
from copycatch.units import MS_PER_DAY

SPREAD_MAX: Final = 1.5  # teams with business of their own: 2.6 and more
SPREAD_STARTED_MAX: Final = 1.25  # where only the beginning is common; chat users of one default: 1.0 to 1.5
REPEATED_MAX: Final = 0.15  # classes, fleets: .09 to .7; rings at most .08
NEAREST_MAX: Final = 0.85
ALIKE_MAX: Final = 0.45  # one template over own data: .5 to .7
TOGETHER_MIN: Final = 6.5  # a nightly job 5.8, all others 3.2
TOGETHER_STARTED_MIN: Final = 7.0  # groups found by their beginning act together at first by that alone
IN_STEP_MIN: Final = 2.0
STARTED_MIN: Final = 9.0  # 0 to 1
SUCCESSION_MIN: Final = 7.0  # 1.3
KIT_MIN: Final = 3  # 1
TURNS_MIN: Final = 4.0  # 1.0, below zero in both moves
TURNS_PART_MAX: Final = 0.5  # never enough by itself
KIT_SHARE: Final = 0.6  # of the members use each skeleton of a kit
KIT_OUTSIDE_SHARE: Final = 0.2  # others who use it, at most, per member who does
REPLAYED_MIN: Final = 0.5  # conversations per member whose reasoning blocks another account sends back
TIED_SHARE: Final = 0.6  # of the members took over several conversations
HANDED_MIN: Final = 0.5  # conversations per member that another account goes on with
MOVED_MIN: Final = 9.0
WEAK_PART_MAX: Final = 0.5  # never enough by itself: colleagues hand over, an update of one app moves many
MEMBERS_MIN: Final = 5  # of a group named by its beginning or kit alone
LIMITS: Final = {
    "together": TOGETHER_MIN,
    "started": STARTED_MIN,
    "succession": SUCCESSION_MIN,
    "kit": float(KIT_MIN),
    "turns": TURNS_MIN,
    "replayed": REPLAYED_MIN,
    "handed": HANDED_MIN,
    "moved": MOVED_MIN,
}
PART_MAX: Final = 2.0
OWN_SPREAD_MAX: Final = 2.0
OWN_PART_MIN: Final = 2.5
OLDER_MS: Final = 2 * 86_400_000
OWN_PART_SHARE: Final = 0.3  # of the median member's


class Evidence(NamedTuple):
    """What was measured of a group; `weight` is 1 where it just suffices."""

    deck: Deck
    together: Together
    started: float
    succession: float
    kit: int
    replayed: float  # conversations per member, as `handed`
    handed: float
    moved: float
    weight: float
    parts: dict[str, float]  # of the weight, each at most PART_MAX
    reason: str  # which part weighs most
    is_member: BoolArray


class Population(NamedTuple):
    """What groups are compared with: all active accounts at one time."""

    columns: LinkColumns
    rows: IntArray
    now_pane: int
    profile: FloatArray
    sharing: Sharing
    skeletons: Sharing
    seen_from_ms: int  # accounts that began before were there before the log was
    now_ms: int
    alike: float  # mean cosine of two queries of any two accounts
    replays: Ties
    handed: Ties
    moves_ms: IntArray  # by row of the state, 0 where the account did not move
    is_named: BoolArray  # by row of the state: members of campaigns are no part of what is usual


def is_innocent(deck: Deck, usual_alike: float) -> bool:
    """Whether the group asks the same again and again, or one narrow thing, beside how alike all are."""
    narrow = (deck.alike - usual_alike) / max(1 - usual_alike, 1e-9)
    return deck.repeated >= REPEATED_MAX or deck.nearest >= NEAREST_MAX or narrow >= ALIKE_MAX


def weigh(population: Population, group: Group) -> Evidence | None:
    """What speaks for the group being one; None where it is no deck, or innocent."""
    columns, rows = population.columns, group.rows
    deck = measure_deck(columns, rows)
    if deck is None or not deck.spread < SPREAD_MAX or is_innocent(deck, population.alike):
        return None
    is_started = any(kind_of(code) == START for code in group.codes)
    activity = residuals(columns, rows, population.now_pane, population.profile)
    together = joint_activity(activity)
    started = _started(population, group) if group.start else 0.0
    kit = len(kit_of(columns, population.skeletons, rows))
    chain = succession(columns, rows)
    by_time = together.together / (TOGETHER_STARTED_MIN if is_started else TOGETHER_MIN)
    parts = {
        "together": by_time if together.in_step >= IN_STEP_MIN else 0.0,
        "succession": chain / SUCCESSION_MIN,
    }
    if len(rows) >= MEMBERS_MIN or chain > 0:
        parts["kit"] = kit / KIT_MIN if kit > 1 else 0.0
    if len(rows) >= MEMBERS_MIN and deck.spread < SPREAD_STARTED_MAX:
        parts["started"] = started / STARTED_MIN
    parts["turns"] = min(turns_of(together) / TURNS_MIN, TURNS_PART_MAX)
    replayed, handed = (_passed(columns, each, rows) for each in (population.replays, population.handed))
    moved = _moved(population, rows)
    parts["replayed"] = replayed / REPLAYED_MIN
    parts["handed"] = min(handed / HANDED_MIN, WEAK_PART_MAX)
    parts["moved"] = min(moved / MOVED_MIN, WEAK_PART_MAX)
    parts = {name: min(max(part, 0.0), PART_MAX) for name, part in parts.items()}
    # Who takes over within minutes is active when the other is: that is one sign, not two.
    weight = sum(parts.values()) - min(parts["together"], parts["handed"])
    reason = max(parts, key=lambda name: parts[name])
    is_member: BoolArray = ~(deck.own > OWN_SPREAD_MAX)
    is_by_time = reason == "together"
    is_old = is_older(columns, rows)
    if weight >= 1 and (is_by_time or is_old.any()):
        own = own_parts(activity, activity.sum(axis=0, dtype=np.float64), is_member=True)
        acts_along = own >= max(OWN_PART_MIN, OWN_PART_SHARE * float(np.median(own)))
        is_member &= acts_along | ~(is_old | is_by_time)
    return Evidence(
        deck, together, started, chain, kit, replayed, handed, moved, weight, parts, reason, is_member
    )


def _passed(columns: LinkColumns, ties: Ties, rows: IntArray) -> float:
    """Conversations per member that passed between the members; 0 where few of them took any."""
    n, share = ties.within(columns, rows)
    return n / len(rows) if share >= TIED_SHARE else 0.0


def _moved(population: Population, rows: IntArray) -> float:
    """Surprise that so many members began with a model within one day."""
    if not population.moves_ms[rows].any():
        return 0.0
    accounts = population.columns.account
    others = population.rows[~population.is_named[population.rows]]
    others = others[~np.isin(accounts[others], accounts[rows])]
    _, firsts = np.unique(accounts[others], return_index=True)
    n_days = max(1, (population.now_ms - population.seen_from_ms) // MS_PER_DAY)
    return moved_together(population.moves_ms, rows, others[firsts], int(n_days))


def turns_of(together: Together) -> float:
    """How much less the members act together than chance has it, whichever way they are moved in time."""
    return max(0.0, -(together.together + together.in_step) / 2) if max(together) < 0 else 0.0


def is_older(columns: LinkColumns, rows: IntArray, than_ms: float | None = None) -> BoolArray:
    """Which accounts began days before the others: whoever copies what they do cannot make them members."""
    first = columns.first_ms[rows]
    if than_ms is None:
        than_ms = float(np.quantile(first, 0.25))
    found: BoolArray = first < than_ms - OLDER_MS
    return found


def kit_of(columns: LinkColumns, skeletons: Sharing, rows: IntArray) -> list[int]:
    """Codes of openings and endings that most members use and few others do."""
    codes = np.concatenate([each.ravel() for each in skeleton_codes(columns, rows)])
    codes, counts = np.unique(codes[codes > 0], return_counts=True)
    is_common = counts >= max(KIT_SHARE * len(rows), 2)
    codes, counts = codes[is_common], counts[is_common]
    outside = skeletons.counts_of(codes) - counts
    found: list[int] = codes[outside <= np.maximum(2, KIT_OUTSIDE_SHARE * counts)].tolist()
    return found


def _started(population: Population, group: Group) -> float:
    """Surprise at how many holders of the group's other attribute began in its hours."""
    code = next(code for code in group.codes if kind_of(code) != START)
    bucket = group.start & 0xFFFFFFFF
    first = population.columns.first_ms
    holders = population.sharing.holders(code)
    others = population.rows[~population.is_named[population.rows]]
    others = np.setdiff1d(others, holders, assume_unique=True)
    holders = holders[first[holders] >= population.seen_from_ms]
    others = others[first[others] >= population.seen_from_ms]

    def begun(rows: IntArray) -> int:
        moved = first[rows] + (HALF_START_MS if bucket % 2 else 0)
        return int((moved // START_MS == bucket // 2).sum())

    n_buckets = int(max(1, (population.now_ms - population.seen_from_ms) // START_MS))
    return common_start(begun(holders), len(holders), begun(others), len(others), n_buckets)


assert GROUP_MIN <= MEMBERS_MIN
