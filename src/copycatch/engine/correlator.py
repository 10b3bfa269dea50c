"""Campaigns over all shards: their accounts' links in one table, searched and judged by the learner.

Shards tell every half hour of event time of the link rows that have changed, whole, with an id of each
account's latest query; and all that they found of accounts by themselves. A row told twice, or again after a
loss, does no harm. Rows of accounts that are new are taken in order of their first record, so that the table
is the same however accounts are spread.

The cases of campaigns are here, too: what is announced of them is the learner's. Shards learn from the
version which of their accounts are members of an announced campaign, and fold what is open about them.
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
from copycatch.decisions.campaigns import judge_campaigns
from copycatch.decisions.case import Membership
from copycatch.decisions.judge import SAMPLE_EVENT_IDS_MAX, Verdicts, advance
from copycatch.decisions.members import standing_campaigns
from copycatch.decisions.state import DecisionState
from copycatch.engine.inputs import SAMPLE_ID, LearningInputs, SampleIds, hash_of
from copycatch.records.campaign import CampaignSighting
from copycatch.records.policy import Policy
from copycatch.records.wire import Action, Severity
from copycatch.units import UNIX_MS_MIN
from copycatch.windows.slots import NO_ROW, Key, Slots

ACCOUNTS_MAX: Final = 1_000_000  # at about 1.2 KB each
SAVED: Final = ("id", "found_ms", "reason", "weight", "parts", "statistics", "queries_checked")
Standing = list[tuple[str, list[Key]]]


@dataclass(slots=True)
class Correlator:
    """Links of the accounts of all shards, the campaigns among them, and what was decided about those.

    `standing` are the campaigns that have been announced and are open: uid of the alert, and members.
    """

    slots: Slots = field(default_factory=lambda: Slots(ACCOUNTS_MAX))
    links: CampaignState = field(default_factory=CampaignState)
    samples: SampleIds = field(default_factory=lambda: np.zeros(0, dtype=SAMPLE_ID))  # by row
    findings: dict[str, dict[Key, tuple[Severity, Action]]] = field(default_factory=dict)  # by shard
    numbers: dict[str, int] = field(default_factory=dict)  # of the shards ever heard
    searched_ms: int = UNIX_MS_MIN
    sightings: list[CampaignSighting] | None = None  # of the last search, until they are judged
    decisions: DecisionState = field(default_factory=DecisionState)
    standing: Standing = field(default_factory=list)

    def learn(self, inputs: Sequence[LearningInputs], now_ms: int) -> None:
        """Take what has changed, and search where a half hour is over."""
        self._take(inputs)
        if now_ms // SEARCH_MS <= self.searched_ms // SEARCH_MS:
            return
        self.searched_ms = now_ms // SEARCH_MS * SEARCH_MS
        if len(self.slots):
            self.sightings = [self._sighting(finding) for finding in search(self.links, self.searched_ms)]

    def judge(self, now_ms: int, policy: Policy) -> Verdicts:
        """Judge what the last search saw, once, and work off deadlines; call after every `learn`."""
        verdicts = Verdicts()
        if self.sightings is not None:
            verdicts = judge_campaigns(self.sightings, policy, self.decisions)
            self.sightings = None
            uids = standing_campaigns(self.decisions)
            self.standing = [
                (uids[each.id], [self.slots.key_of(row) for row in each.members])
                for each in self.links.campaigns
                if each.id in uids
            ]
        later = advance(self.decisions, now_ms, policy)
        return Verdicts(verdicts.alerts + later.alerts, verdicts.recommendations + later.recommendations)

    def _sighting(self, finding: Finding) -> CampaignSighting:
        own = Membership("")
        for member in finding.members:
            key = self.slots.key_of(member.row)
            for findings in self.findings.values():
                if key in findings:
                    own.take(*findings[key])
        return sighting_of(self.slots, self.samples, finding, own)

    def _take(self, inputs: Sequence[LearningInputs]) -> None:
        gone = [
            row for each in inputs for key in each.links_gone if (row := self.slots.row_of(key)) != NO_ROW
        ]
        if gone:
            self.slots.release(gone)
            self.links.clear(np.array(gone, dtype=np.int64))
        for each in inputs:
            if each.findings is not None:
                self.findings[each.source] = {
                    key: (severity, action) for key, severity, action in each.findings
                }
        told = sorted((each for each in inputs if each.link_keys), key=lambda each: each.source)
        self._add_rows(told)
        for each in told:
            start_ms = each.log_start_ms
            self.links.log_start_ms = min(self.links.log_start_ms or start_ms, start_ms)
            rows = np.array([self.slots.row_of(key) for key in each.link_keys], dtype=np.int64)
            known = np.flatnonzero(rows != NO_ROW)
            columns = {name: column[known] for name, column in each.links.items()}
            columns["queries_seen"] = self.links.links["queries_seen"][rows[known]]
            self.links.put(rows[known], columns)
            self.samples[rows[known]] = each.link_samples[known]

    def _add_rows(self, told: Sequence[LearningInputs]) -> None:
        fresh = [
            (int(each.links["first_ms"][at]), hash_of(key), each.source, key)
            for each in told
            for at, key in enumerate(each.link_keys)
            if self.slots.row_of(key) == NO_ROW
        ]
        for _, _, source, key in sorted(fresh, key=lambda each: each[:3]):
            self.slots.rows_for([key], self.numbers.setdefault(source, len(self.numbers)))
        self.slots.new_rows.clear()
        self.grow()

    def grow(self) -> None:
        """Make room for links and samples of every row."""
        self.links.grow(self.slots.n_rows)
        samples = np.zeros(self.links.n_rows, dtype=SAMPLE_ID)
        samples[: len(self.samples)] = self.samples
        self.samples = samples

    def to_plain(self) -> dict[str, Any]:
        """Plain values; `correlator_of` gives an equal one."""
        rows = np.array(sorted(self.slots.rows_in_use()), dtype=np.int64)
        place = {row: at for at, row in enumerate(rows.tolist())}
        return {
            "keys": [list(self.slots.key_of(row)) for row in rows.tolist()],
            "shards": [self.slots.shards[row] for row in rows.tolist()],
            "links": self.links.take(rows),
            "link_kinds": SLOTS_BY_KIND,
            "samples": self.samples[rows],
            "findings": {
                source: [[list(key), *own] for key, own in each.items()]
                for source, each in sorted(self.findings.items())
            },
            "numbers": list(self.numbers),
            "searched_ms": self.searched_ms,
            "log_start_ms": self.links.log_start_ms,
            "campaigns": [
                {name: getattr(each, name) for name in SAVED}
                | {"members": [[place[row], ms] for row, ms in each.members.items()]}
                for each in self.links.campaigns
            ],
            "decisions": self.decisions.snapshot(),
            "standing": standing_to_plain(self.standing),
        }


def correlator_of(plain: dict[str, Any]) -> Correlator:
    """What `Correlator.to_plain` described; a search was judged before it was saved.

    Raises
    ------
    KeyError, TypeError, ValueError, StateError
        If a part is missing or garbled.
    """
    found = Correlator(searched_ms=plain["searched_ms"])
    found.numbers = {name: number for number, name in enumerate(plain["numbers"])}
    for (tenant, account, model), shard in zip(plain["keys"], plain["shards"], strict=True):
        found.slots.rows_for([(tenant, account, model)], shard)
    found.slots.new_rows.clear()
    found.grow()
    links = aligned_links(plain["links"], plain.get("link_kinds"))
    rows = np.arange(found.slots.n_rows, dtype=np.int64)
    found.links.put(rows, links)
    found.samples[rows] = plain["samples"]
    found.findings = {
        source: {
            (tenant, account, model): (severity, action) for (tenant, account, model), severity, action in own
        }
        for source, own in plain["findings"].items()
    }
    found.links.log_start_ms = plain["log_start_ms"]
    for each in plain["campaigns"]:
        members = dict(each["members"])
        found.links.campaigns.append(Campaign(**{name: each[name] for name in SAVED}, members=members))
    found.decisions = DecisionState.restore(plain["decisions"])
    found.standing = standing_of(plain["standing"])
    return found


def standing_to_plain(standing: Standing) -> list[list[Any]]:
    return [[uid, [list(key) for key in keys]] for uid, keys in standing]


def standing_of(plain: list[list[Any]]) -> Standing:
    return [(uid, [(tenant, account, model) for tenant, account, model in keys]) for uid, keys in plain]


def sighting_of(slots: Slots, samples: SampleIds, finding: Finding, own: Membership) -> CampaignSighting:
    """What a search has found, with the names of its accounts.

    Parameters
    ----------
    samples : ndarray of bytes
        By row, an id of the account's latest query; empty where it is too long to be kept.
    own : Membership
        The gravest that the accounts were found to do by themselves.
    """
    if finding.change == "ended":
        return CampaignSighting(
            id=finding.id, time_ms=finding.time_ms, is_ended=True, is_changed=True, accounts=(),
            first_ms=finding.first_ms, last_ms=finding.last_ms, queries=0, weight=0.0, reasons=(),
            words=describe(finding),
        )  # fmt: skip
    accounts = tuple(slots.key_of(member.row) for member in finding.members)
    return CampaignSighting(
        id=finding.id,
        time_ms=finding.time_ms,
        is_ended=False,
        is_changed=finding.change != "seen",
        accounts=accounts,
        first_ms=finding.first_ms,
        last_ms=finding.last_ms,
        queries=finding.queries,
        weight=finding.weight,
        reasons=tuple(reasons_of(finding)),
        words=describe(finding),
        sample_event_ids=_sample_ids(slots, samples, finding),
        own_severity=own.severity,
        own_action=own.action,
    )


def _sample_ids(slots: Slots, samples: SampleIds, finding: Finding) -> tuple[str, ...]:
    """Of the latest queries of its busiest members, one of each."""
    busiest = sorted(finding.members, key=lambda member: (-member.queries, hash_of(slots.key_of(member.row))))
    ids = samples[[member.row for member in busiest[:SAMPLE_EVENT_IDS_MAX]]].tolist()
    return tuple(text.decode(errors="replace") for text in ids if text)
