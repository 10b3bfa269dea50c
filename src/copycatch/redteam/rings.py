"""Rings of accounts that share out one theft, and honest accounts that merely share something.

Made for the search for campaigns alone: queries are short vectors and attributes are numbers, so that a
hundred rings take minutes. Honest accounts have a few topics, hours and an address of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import numpy as np

from copycatch.campaigns.find import SEARCH_MS, search
from copycatch.campaigns.finding import Finding
from copycatch.campaigns.fold import LinkEvents, fold
from copycatch.campaigns.layout import KINDS, PANE_MS, VECTOR
from copycatch.campaigns.state import CampaignState
from copycatch.records.columns import FloatArray, IntArray
from copycatch.units import MS_PER_DAY

START_MS: Final = 1_772_409_600_000  # a Monday, midnight
TOPICS: Final = 400
OWN_TOPICS: Final = 4
DAYS: Final = 6.0
ATTACK_DAY: Final = 2.0
QUERIES: Final = 60  # of an honest account
BURSTS: Final = 14
BURST_DAYS: Final = 0.03
HOURS: Final = (8.0, 18.0)


@dataclass(frozen=True)
class Ring:
    """One way to share out a theft."""

    description: str
    size: int
    per_account: int = 40
    is_network_shared: bool = False
    dealt: Literal["at random", "by topic", "one after the other"] = "at random"
    cover_share: float = 0.0  # of each account's queries, on topics of its own
    is_moving_on: bool = False  # half of the accounts are blocked midway, and fresh ones take over
    customers_share: float = 0.0  # of its queries, relayed for customers who ask about anything

    @property
    def queries(self) -> int:
        return self.size * self.per_account


RINGS: Final[dict[str, Ring]] = {
    "ring5": Ring("five accounts, one network", 5, is_network_shared=True),
    "ring10": Ring("ten accounts, one network", 10, is_network_shared=True),
    "ring10_scattered": Ring("ten accounts, scattered networks", 10),
    "ring20_scattered": Ring("twenty accounts, scattered networks", 20),
    "ring60_thin": Ring("sixty accounts, eleven queries each, scattered networks", 60, per_account=11),
    "ring200": Ring("two hundred accounts, scattered networks", 200, per_account=20),
    "ring20_topic": Ring("twenty accounts, each with topics of its own", 20, dealt="by topic"),
    "ring10_rotating": Ring("ten accounts, one after the other", 10, dealt="one after the other"),
    "ring20_cover50": Ring("twenty accounts, half of the queries are cover", 20, cover_share=0.5),
    "ring20_moving_on": Ring("half of twenty are blocked, ten fresh ones take over", 20, is_moving_on=True),
    "ring10_relay": Ring("ten accounts that relay customers' queries, too", 10, customers_share=0.5),
}


@dataclass
class Town:
    """Accounts and what they ask, account by account; `events()` puts it in the order of time."""

    seed: int
    n_accounts: int = 0
    parts: list[LinkEvents] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.topics = self.rng.normal(size=(TOPICS, VECTOR))
        self.n_values = 1_000

    def value(self) -> int:
        """An attribute that nobody else has, until somebody is given it."""
        self.n_values += 1
        return self.n_values

    def account(self) -> int:
        self.n_accounts += 1
        return self.n_accounts - 1

    def ask(
        self, account: int, days: FloatArray, topics: IntArray, shared: dict[str, int], texts: int = 0
    ) -> None:
        """Queries of an account at these days; `texts` > 0: of so many fixed ones."""
        n = len(days)
        vectors = self.topics[topics] + 0.5 * self.rng.normal(size=(n, VECTOR))
        contents = self.rng.integers(1, 1 << 32, n)
        if texts:
            contents = 7 + self.rng.integers(0, texts, n)
            vectors = np.random.default_rng(7).normal(size=(texts, VECTOR))[contents - 7]
        times_ms = (START_MS + days * MS_PER_DAY).astype(np.int64)
        attributes = np.tile([shared.get(kind, 0) for kind in KINDS], (n, 1)).astype(np.uint32)
        ending = KINDS.index("ending")
        if "ending" not in shared:
            attributes[:, ending] = self.rng.integers(1 << 20, 1 << 32, n)
        units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self.parts.append(
            LinkEvents(
                np.full(n, account), (times_ms // PANE_MS).astype(np.int32), times_ms, attributes,
                contents.astype(np.uint32), units.astype(np.float32), np.zeros((n, 0), dtype=np.uint32),
            )
        )  # fmt: skip

    def office_days(self, n: int, first: float = 0.0, zone_h: float = 0.0) -> FloatArray:
        """Times of day when people work, in a few sittings."""
        whole = np.arange(np.ceil(first), DAYS)
        sittings = self.rng.choice(whole, max(2, n // 8)) + self.rng.uniform(*HOURS, max(2, n // 8)) / 24
        found = self.rng.choice(sittings, n) + self.rng.exponential(0.02, n) + zone_h / 24
        return np.clip(found, first, DAYS)

    def person(self, shared: dict[str, int], topics: IntArray | None = None, queries: int = QUERIES) -> int:
        """An honest account with topics of its own, unless some are given."""
        account = self.account()
        own = self.rng.integers(0, TOPICS, OWN_TOPICS) if topics is None else topics
        first = float(self.rng.uniform(0, 3)) if self.rng.random() < 0.5 else 0.0
        n = max(4, int(self.rng.lognormal(np.log(queries), 0.5)))
        usual = {"network": self.value(), "agent": 1 + account % 7, "parameters": 20 + account % 5}
        days = self.office_days(n, first, float(self.rng.uniform(-4, 4)))
        self.ask(account, days, self.rng.choice(own, n), usual | shared)
        return account

    def crowd(self, n: int) -> list[int]:
        return [self.person({}) for _ in range(n)]

    def ring(self, spec: Ring) -> list[int]:
        """A ring; its accounts."""
        accounts = [self.account() for _ in range(spec.size + (spec.size // 2 if spec.is_moving_on else 0))]
        shared = {"agent": self.value(), "parameters": self.value()}
        network = self.value()
        bursts = self.rng.uniform(ATTACK_DAY, DAYS - BURST_DAYS, BURSTS)
        days = np.sort(self.rng.choice(bursts, spec.queries) + self.rng.uniform(0, BURST_DAYS, spec.queries))
        topics = self.rng.integers(0, TOPICS, spec.queries)
        owners = self._dealt(spec, topics, days)
        for place, account in enumerate(accounts):
            mine = owners == place
            own = shared | {"network": network if spec.is_network_shared else self.value()}
            if mine.any():
                self.ask(account, days[mine], topics[mine], own)
            n_cover = int(mine.sum() * spec.cover_share / (1 - spec.cover_share)) if mine.any() else 0
            if n_cover:
                chosen = self.rng.choice(self.rng.integers(0, TOPICS, OWN_TOPICS), n_cover)
                self.ask(account, self.office_days(n_cover, ATTACK_DAY), chosen, own)
            if spec.customers_share and mine.any():
                n = int(mine.sum() * spec.customers_share / (1 - spec.customers_share))
                self.ask(account, self.office_days(n, ATTACK_DAY), self.rng.integers(0, TOPICS, n), own)
        return accounts

    def _dealt(self, spec: Ring, topics: IntArray, days: FloatArray) -> IntArray:
        """Which account sends each query."""
        if spec.dealt == "by topic":
            return topics % spec.size
        if spec.dealt == "one after the other":
            share = (days - ATTACK_DAY) / (DAYS - ATTACK_DAY) * spec.size
            return np.minimum(share.astype(np.int64), spec.size - 1)
        owners = self.rng.integers(0, spec.size, len(days))
        if spec.is_moving_on:
            is_late = days > (ATTACK_DAY + DAYS) / 2
            is_blocked = is_late & (owners < spec.size // 2)
            owners[is_blocked] += spec.size  # who was blocked goes on as a fresh account within minutes
        return owners

    def events(self) -> LinkEvents:
        columns = [np.concatenate(column) for column in zip(*self.parts, strict=True)]
        order = np.argsort(columns[2], kind="stable")
        return LinkEvents._make(column[order] for column in columns)


def company(town: Town) -> list[int]:
    """The staff of a company behind one address."""
    network = town.value()
    return [town.person({"network": network}) for _ in range(25)]


def ci_fleet(town: Town) -> list[int]:
    """Keys of one build system, which ask the same questions again every night."""
    shared = {"network": town.value(), "agent": town.value(), "parameters": town.value()}
    accounts = [town.account() for _ in range(8)]
    for account in accounts:
        days = np.repeat(np.arange(DAYS) + 0.1, 12) + town.rng.uniform(0, 0.03, 12 * int(DAYS))
        town.ask(account, days, np.zeros(len(days), dtype=np.int64), shared, texts=30)
    return accounts


def school_class(town: Town) -> list[int]:
    """A class that does the same homework in the same lessons."""
    shared = {"network": town.value(), "agent": town.value()}
    accounts = [town.account() for _ in range(20)]
    lessons = np.array([0.4, 1.4, 3.45, 4.4])
    for account in accounts:
        days = town.rng.choice(lessons, 30) + town.rng.uniform(0, 0.04, 30)
        town.ask(account, days, np.zeros(30, dtype=np.int64), shared, texts=25)
    return accounts


def extension_users(town: Town) -> list[int]:
    """Users of one editor extension: one template, agent and parameter set, work of their own."""
    shared = {"opening": town.value(), "agent": town.value(), "parameters": town.value()}
    return [town.person(shared) for _ in range(24)]


def office_team(town: Town) -> list[int]:
    """A team behind one address, whose members work on three of a dozen common topics each."""
    network, topics = town.value(), town.rng.integers(0, TOPICS, 12)
    return [town.person({"network": network}, town.rng.choice(topics, 3)) for _ in range(12)]


def resellers(town: Town) -> list[int]:
    """Resellers with one client library: each relays customers who ask about anything, all day."""
    shared = {"agent": town.value(), "parameters": town.value()}
    return [town.person(shared, np.arange(TOPICS), queries=600) for _ in range(6)]


def nightly_job(town: Town) -> list[int]:
    """A company's own job that deals varied prompts to ten keys every night: the same thing as a ring."""
    shared = {"network": town.value(), "agent": town.value(), "parameters": town.value()}
    accounts = [town.account() for _ in range(10)]
    for account in accounts:
        days = np.repeat(np.arange(1, DAYS) + 0.08, 12) + town.rng.uniform(0, 0.05, 12 * int(DAYS - 1))
        town.ask(account, days, town.rng.integers(0, TOPICS, len(days)), shared)
    return accounts


SHARINGS: Final[dict[str, Callable[[Town], list[int]]]] = {
    "company": company,
    "ci_fleet": ci_fleet,
    "class": school_class,
    "extension": extension_users,
    "office_team": office_team,
    "resellers": resellers,
}


class Seen(NamedTuple):
    """What the search made of a town."""

    named_ms: dict[int, int]  # account -> when it was named
    findings: list[Finding]
    state: CampaignState


def search_town(town: Town) -> Seen:
    """Fold what a town asks and search each half hour of event time."""
    events, state = town.events(), CampaignState(log_start_ms=START_MS)
    state.grow(town.n_accounts)
    state.links["account"][: town.n_accounts] = np.arange(1, town.n_accounts + 1)
    findings: list[Finding] = []
    at, now_ms = 0, START_MS
    while at < len(events.rows):
        now_ms += SEARCH_MS
        stop = int(np.searchsorted(events.times_ms, now_ms))
        fold(state.links, LinkEvents._make(column[at:stop] for column in events))
        findings += search(state, now_ms)
        at = stop
    named_ms = {row: each.time_ms for each in reversed(findings) for row in each.joined}
    return Seen(named_ms, findings, state)


class RingSeen(NamedTuple):
    """How a ring fared."""

    is_found: bool
    named_share: float  # of its accounts
    kept_share: float  # of its queries, that it had asked when it was first named


def ring_seen(seen: Seen, events: LinkEvents, ring: list[int]) -> RingSeen:
    """How one ring fared in a search."""
    named = [seen.named_ms[account] for account in ring if account in seen.named_ms]
    times_ms = events.times_ms[np.isin(events.rows, ring)]
    kept = float((times_ms < min(named)).mean()) if named else 1.0
    return RingSeen(bool(named), len(named) / len(ring), kept)
