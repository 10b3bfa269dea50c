"""Campaigns over all shards: their accounts' links in one table, searched by the learner.

Shards tell every half hour of event time of the link rows that have changed, whole: a row told twice, or
again after a loss, does no harm. Rows of accounts that are new are taken in order of their first record, so
that the table is the same however accounts are spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from copycatch.campaigns.find import SEARCH_MS, search
from copycatch.campaigns.finding import Finding
from copycatch.campaigns.layout import SLOTS_BY_KIND
from copycatch.campaigns.state import Campaign, CampaignState, aligned_links
from copycatch.campaigns.words import describe, reasons_of
from copycatch.engine.inputs import LearningInputs, hash_of
from copycatch.records.campaign import CampaignSighting
from copycatch.units import MS_PER_DAY, UNIX_MS_MIN
from copycatch.windows.slots import NO_ROW, Slots

ACCOUNTS_MAX: Final = 1_000_000  # at about 1.2 KB each
ENDED_MS: Final = MS_PER_DAY  # so long a campaign that has ended is told of, for shards that lag
SAVED: Final = ("id", "found_ms", "reason", "weight", "parts", "statistics", "queries_checked")


@dataclass(slots=True)
class Correlator:
    """Links of the accounts of all shards, the campaigns among them, and the shard that each belongs to."""

    slots: Slots = field(default_factory=lambda: Slots(ACCOUNTS_MAX))
    links: CampaignState = field(default_factory=CampaignState)
    numbers: dict[str, int] = field(default_factory=dict)  # of the shards ever heard
    homes: dict[str, str] = field(default_factory=dict)  # campaign id -> shard
    searched_ms: int = UNIX_MS_MIN
    sightings: list[tuple[str, CampaignSighting]] = field(default_factory=list)  # of the last search

    def learn(self, inputs: Sequence[LearningInputs], now_ms: int) -> None:
        """Take what has changed, and search where a half hour is over."""
        self._take(inputs)
        if now_ms // SEARCH_MS <= self.searched_ms // SEARCH_MS:
            return
        self.searched_ms = now_ms // SEARCH_MS * SEARCH_MS
        if not len(self.slots):
            return
        names = list(self.numbers)
        kept = [
            each
            for each in self.sightings
            if each[1].is_ended and each[1].time_ms > self.searched_ms - ENDED_MS
        ]
        self.sightings = kept + [
            (home, sighting_of(self.slots, finding))
            for finding in search(self.links, self.searched_ms)
            if (home := home_of(finding, self.homes, self.slots, names)) is not None
        ]

    def _take(self, inputs: Sequence[LearningInputs]) -> None:
        gone = [
            row for each in inputs for key in each.links_gone if (row := self.slots.row_of(key)) != NO_ROW
        ]
        if gone:
            self.slots.release(gone)
            self.links.clear(np.array(gone, dtype=np.int64))
        told = sorted((each for each in inputs if each.link_keys), key=lambda each: each.source)
        fresh = [
            (int(each.links["first_ms"][at]), hash_of(key), each.source, key)
            for each in told
            for at, key in enumerate(each.link_keys)
            if self.slots.row_of(key) == NO_ROW
        ]
        for _, _, source, key in sorted(fresh, key=lambda each: each[:3]):
            self.slots.rows_for([key], self.numbers.setdefault(source, len(self.numbers)))
        self.links.grow(self.slots.n_rows)
        self.slots.new_rows.clear()
        for each in told:
            start_ms = each.log_start_ms
            self.links.log_start_ms = min(self.links.log_start_ms or start_ms, start_ms)
            rows = np.array([self.slots.row_of(key) for key in each.link_keys], dtype=np.int64)
            known = np.flatnonzero(rows != NO_ROW)
            columns = {name: column[known] for name, column in each.links.items()}
            columns["queries_seen"] = self.links.links["queries_seen"][rows[known]]
            self.links.put(rows[known], columns)

    def to_plain(self) -> dict[str, Any]:
        """Plain values; `correlator_of` gives an equal one."""
        rows = np.array(sorted(self.slots.rows_in_use()), dtype=np.int64)
        place = {row: at for at, row in enumerate(rows.tolist())}
        return {
            "keys": [list(self.slots.key_of(row)) for row in rows.tolist()],
            "shards": [self.slots.shards[row] for row in rows.tolist()],
            "links": self.links.take(rows),
            "link_kinds": SLOTS_BY_KIND,
            "numbers": list(self.numbers),
            "homes": self.homes,
            "searched_ms": self.searched_ms,
            "log_start_ms": self.links.log_start_ms,
            "campaigns": [
                {name: getattr(each, name) for name in SAVED}
                | {"members": [[place[row], ms] for row, ms in each.members.items()]}
                for each in self.links.campaigns
            ],
        }


def correlator_of(plain: dict[str, Any]) -> Correlator:
    """What `Correlator.to_plain` described; what the last search saw is seen again at the next."""
    found = Correlator(searched_ms=plain["searched_ms"], homes=dict(plain["homes"]))
    found.numbers = {name: number for number, name in enumerate(plain["numbers"])}
    for (tenant, account, model), shard in zip(plain["keys"], plain["shards"], strict=True):
        found.slots.rows_for([(tenant, account, model)], shard)
    found.slots.new_rows.clear()
    found.links.grow(found.slots.n_rows)
    links = aligned_links(plain["links"], plain.get("link_kinds"))
    found.links.put(np.arange(found.slots.n_rows, dtype=np.int64), links)
    found.links.log_start_ms = plain["log_start_ms"]
    for each in plain["campaigns"]:
        members = dict(each["members"])
        found.links.campaigns.append(Campaign(**{name: each[name] for name in SAVED}, members=members))
    return found


def home_of(finding: Finding, homes: dict[str, str], slots: Slots, names: Sequence[str]) -> str | None:
    """The shard that a campaign belongs to, that of its first member when it was found; changes `homes`.

    None for one that ended and was never told of. `names` are the shards by number.
    """
    if finding.change == "ended":
        return homes.pop(finding.id, None)
    return homes.setdefault(finding.id, names[slots.shards[finding.members[0].row]])


def sighting_of(slots: Slots, finding: Finding) -> CampaignSighting:
    """What a search has found, with the names of its accounts.

    What members were found to do by themselves, and samples of their queries, are with their shards: none
    of it is here.
    """
    if finding.change == "ended":
        return CampaignSighting(
            id=finding.id, time_ms=finding.time_ms, is_ended=True, is_changed=True, accounts=(),
            first_ms=finding.first_ms, last_ms=finding.last_ms, queries=0, weight=0.0, reasons=(),
            words=describe(finding),
        )  # fmt: skip
    return CampaignSighting(
        id=finding.id,
        time_ms=finding.time_ms,
        is_ended=False,
        is_changed=finding.change != "seen",
        accounts=tuple(slots.key_of(member.row) for member in finding.members),
        first_ms=finding.first_ms,
        last_ms=finding.last_ms,
        queries=finding.queries,
        weight=finding.weight,
        reasons=tuple(reasons_of(finding)),
        words=describe(finding),
    )
