"""What a search says of a campaign: its members, and what ties them."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from copycatch.campaigns.fold import LinkColumns
from copycatch.campaigns.sharing import KIND_NAMES, Sharing, kind_of
from copycatch.campaigns.state import Campaign

COMMON_SHARE: Final = 0.2  # of the members have an attribute that links a newcomer
COMMON_OUTSIDE_MAX: Final = 0.1  # of all others have it, at most


@dataclass(frozen=True, slots=True)
class Link:
    """What ties members together: `n_members` of them have it, and `n_others` accounts beside them."""

    kind: str
    n_members: int
    n_others: int
    weight: float  # information in nats: -ln of the share of accounts that have it, times the members' share


@dataclass(frozen=True, slots=True)
class Member:
    """An account of a campaign: since when it is named, its share of the queries, and its links."""

    row: int
    since_ms: int
    queries: int
    share: float
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A campaign as a search left it; `change` is "found", "joined", "seen" or "ended"."""

    id: str
    change: str
    time_ms: int
    found_ms: int
    first_ms: int
    last_ms: int
    reason: str
    weight: float
    parts: dict[str, float]
    statistics: dict[str, float]
    queries: int
    members: tuple[Member, ...]
    joined: tuple[int, ...]  # rows named in this search
    links: tuple[Link, ...]


def held_by(campaign: Campaign, sharing: Sharing) -> dict[int, int]:
    """Attributes that a fifth of the members have: code -> members who have it."""
    rows = np.array(sorted(campaign.members), dtype=np.int64)
    codes, counts = np.unique(sharing.codes[np.isin(sharing.rows, rows)], return_counts=True)
    is_held = counts >= np.maximum(2, COMMON_SHARE * len(rows))
    return dict(zip(codes[is_held].tolist(), counts[is_held].tolist(), strict=True))


def common_attributes(campaign: Campaign, sharing: Sharing, n_active: int) -> dict[int, tuple[int, int]]:
    """Those of them that few others have: code -> members and others who have it."""
    found = {code: (n, len(sharing.holders(code)) - n) for code, n in held_by(campaign, sharing).items()}
    return {code: both for code, both in found.items() if both[1] <= COMMON_OUTSIDE_MAX * n_active}


def ending_of(campaign_id: str, now_ms: int, why: str) -> Finding:
    return Finding(campaign_id, "ended", now_ms, now_ms, now_ms, now_ms, why, 0.0, {}, {}, 0, (), (), ())


def finding_of(
    campaign: Campaign, columns: LinkColumns, sharing: Sharing, before: dict[str, set[int]], now_ms: int
) -> Finding:
    rows = np.array(sorted(campaign.members), dtype=np.int64)
    queries = columns.queries[rows].astype(np.int64)
    total = int(queries.sum())
    n_active = len(np.unique(sharing.rows))
    common = common_attributes(campaign, sharing, n_active)
    kinds_by_row: dict[int, set[str]] = {row: set() for row in rows.tolist()}
    links = []
    for code, (n, others) in common.items():
        kind = KIND_NAMES[kind_of(code)]
        for row in set(sharing.holders(code).tolist()) & kinds_by_row.keys():
            kinds_by_row[row].add(kind)
        rarity = -float(np.log(max(n + others, 1) / max(n_active, 1)))
        links.append(Link(kind, n, others, round(rarity * n / len(rows), 3)))
    members = tuple(
        Member(row, campaign.members[row], int(n), round(n / total, 4), tuple(sorted(kinds_by_row[row])))
        for row, n in zip(rows.tolist(), queries.tolist(), strict=True)
    )
    old = before.get(campaign.id)
    return Finding(
        campaign.id,
        "found" if old is None else "seen" if set(campaign.members) <= old else "joined",
        now_ms,
        campaign.found_ms,
        int(columns.first_ms[rows].min()),
        int(columns.last_ms[rows].max()),
        campaign.reason,
        round(campaign.weight, 3),
        campaign.parts,
        campaign.statistics,
        total,
        members,
        tuple(sorted(campaign.members.keys() - (old or set()))),
        tuple(sorted(links, key=lambda link: -link.weight)),
    )
