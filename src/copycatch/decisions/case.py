"""What is open: episodes, active recommendations, and when each is due for attention.

A *case* is all that is remembered of one entity (tenant, account, model). It has one *episode* per rule
that fired, and at most one *active* recommendation, the strongest that its open episodes ask for.

Silence is no proof of innocence: an account that we had blocked cannot show that it has changed. So an
episode is released early only when the account is judged again and looks normal for `clear_after`;
otherwise it ends when its recommendation runs out.
"""

import heapq
from collections.abc import Iterator

import msgspec

from copycatch.decisions.budget import severity_rank
from copycatch.decisions.plan import EntityKey
from copycatch.records.wire import (
    ACTION_RANKS,
    Action,
    ActionParams,
    Entity,
    Mode,
    Reason,
    Score,
    Severity,
)
from copycatch.units import MS_PER_DAY

# A relapse within this time after a release doubles the next time to live.
RELAPSE_MEMORY_MS = 7 * MS_PER_DAY
# An open episode without a recommendation that could run out (silenced, or a person decides) ends after this.
IDLE_MS = 7 * MS_PER_DAY
# Renewal in the last quarter: late enough not to chatter, early enough for a consumer that lags.
RENEW_SHARE = 0.25
# A decade of doublings is past every cap; the counter must not grow without bound.
STRIKES_MAX = 20


class Episode(msgspec.Struct):
    """One rule's finding about one entity, from raise to release."""

    rule: str
    uid: str
    start_ms: int
    severity: Severity
    action: Action
    clear_after_ms: int
    last_over_ms: int
    first_seen_ms: int
    last_seen_ms: int
    queries: int
    score: Score
    reasons: list[Reason]
    sample_event_ids: list[str] = []
    client_ips: list[str] = []
    looks_like: list[str] = []
    traceparent: str = ""  # of the query that was last told of
    sent_ms: int = -1  # -1: no alert has gone out (silenced or held back)
    sent_severity: Severity = "low"
    words: str = ""  # of a campaign; those of an account follow from its reasons
    part_of: str = ""  # uid of the campaign's alert that it has become part of
    closed_ms: int = -1  # -1: open
    is_close_sent: bool = False  # the last alert of it said close: the next one says reopen

    def __post_init__(self) -> None:
        # Snapshots from before say it by the rest: what was announced and is closed was announced as closed.
        self.is_close_sent = self.is_close_sent or (self.closed_ms >= 0 and self.sent_ms >= 0)

    @property
    def is_open(self) -> bool:
        return self.closed_ms < 0

    @property
    def is_announced(self) -> bool:
        return self.sent_ms >= 0

    @property
    def is_seen_open(self) -> bool:
        """Whether analysts have seen it and not seen it closed."""
        return self.is_announced and not self.is_close_sent


class Membership(msgspec.Struct):
    """An account of an announced campaign, and the gravest that its own findings ask for."""

    campaign_uid: str  # of the campaign's alert
    severity: Severity = "low"
    action: Action = "observe"

    def take(self, severity: Severity, action: Action) -> None:
        """One of its own findings.

        Examples
        --------
        >>> member = Membership("c", "high", "throttle")
        >>> member.take("medium", "block")
        >>> member.severity, member.action
        ('high', 'block')
        """
        self.severity = max(self.severity, severity, key=severity_rank)
        self.action = max(self.action, action, key=ACTION_RANKS.__getitem__)


class ActiveRecommendation(msgspec.Struct):
    """The recommendation that the enforcement point has of us now."""

    action: Action
    params: ActionParams
    mode: Mode
    issued_ms: int
    ttl_ms: int  # -1: none
    rule: str

    @property
    def expires_ms(self) -> int:
        return self.issued_ms + self.ttl_ms if self.ttl_ms >= 0 else -1

    @property
    def renew_ms(self) -> int:
        return self.expires_ms - int(self.ttl_ms * RENEW_SHARE) if self.ttl_ms >= 0 else -1


class Timer(msgspec.Struct):
    """Since when a feature has been above its limit, and when it was last seen so."""

    since_ms: int
    last_ms: int
    gap_ms_max: int


class Case(msgspec.Struct):
    """All that is remembered of one entity: an account, or a campaign, which has accounts."""

    tenant_id: str | None
    account_id: str  # or the campaign's id
    model_id: str
    accounts: list[str] = []  # of a campaign; bounded, see accounts_total
    accounts_total: int = 0
    has_new_accounts: bool = False  # since its recommendation was issued
    episodes: dict[str, Episode] = msgspec.field(default_factory=dict)
    timers: dict[str, Timer] = msgspec.field(default_factory=dict)
    active: ActiveRecommendation | None = None
    rates_per_s: dict[str, float] = msgspec.field(default_factory=dict)  # normal top of queries and tokens
    revision: int = 0
    epoch: int = 0  # time of the latest revision, in ms; never falls
    strikes: int = 0
    released_ms: int = -1  # last time that nothing was open any more
    was_revoked: bool = False  # the next upsert is a relapse
    is_renewal_tried: bool = False
    queued_ms: int = -1  # when the deadline queue will come to it; -1: not queued

    @property
    def key(self) -> EntityKey:
        return (self.tenant_id, self.account_id, self.model_id)

    @property
    def entity(self) -> Entity:
        if not self.accounts:
            return Entity(kind="account", id=self.account_id, accounts=[self.account_id], accounts_total=1)
        total = self.accounts_total
        return Entity(kind="campaign", id=self.account_id, accounts=self.accounts, accounts_total=total)

    def revise(self, time_ms: int) -> None:
        """Number the next recommendation: above every earlier one, also of a judge that lost its state."""
        self.revision += 1
        self.epoch = max(self.epoch, time_ms)

    @property
    def tail_prob(self) -> float | None:
        """The least of its open episodes; None where none has a score."""
        probs = [e.score.tail_prob for e in self.open_episodes if e.score.tail_prob is not None]
        return min(probs, default=None)

    @property
    def open_episodes(self) -> list[Episode]:
        return [e for e in self.episodes.values() if e.is_open]

    @property
    def is_watched(self) -> bool:
        """Whether the entity's every evaluation has to be looked at."""
        return bool(self.timers) or any(e.closed_ms < 0 for e in self.episodes.values())

    @property
    def deadline_ms(self) -> int:
        """When time alone will change something; past it, `expire_due` has work."""
        dues = [timer.last_ms + timer.gap_ms_max for timer in self.timers.values()]
        if self.active is not None and self.active.ttl_ms >= 0:
            dues.append(self.active.expires_ms if self.is_renewal_tried else self.active.renew_ms)
        elif self.active is not None or self.is_watched:
            dues.extend(e.last_over_ms + max(IDLE_MS, e.clear_after_ms) for e in self.open_episodes)
        if not dues:
            dues.append(self.released_ms + RELAPSE_MEMORY_MS)
        return min(dues)

    @property
    def worth(self) -> tuple[bool, bool, int, int]:
        """What eviction goes by, least first: open, announced, severity, how recent."""
        episodes = self.open_episodes
        severity = max((severity_rank(e.severity) for e in episodes), default=-1)
        recent_ms = max((e.last_over_ms for e in self.episodes.values()), default=self.released_ms)
        return (bool(episodes), self.active is not None, severity, recent_ms)


class CaseTable:
    """Every case of one shard, bounded, with a queue of deadlines.

    When full, one in 64 (at least one) is evicted, the least worth first, so that a flood costs little per
    newcomer. `revision_floor` and `epoch_floor` keep both rising for a key that was forgotten:
    a new case starts above all that were ever forgotten.
    """

    def __init__(self, cases_max: int) -> None:
        assert cases_max >= 1
        self.cases_max = cases_max
        self.case_by_key: dict[EntityKey, Case] = {}
        self.watches_by_account: dict[str, int] = {}
        self.memberships: dict[EntityKey, Membership] = {}  # of accounts of announced campaigns
        self.revision_floor = 0
        self.epoch_floor = 0
        self._queue: list[tuple[int, tuple[str, str, str], EntityKey]] = []

    def __len__(self) -> int:
        return len(self.case_by_key)

    def get(self, key: EntityKey) -> Case | None:
        return self.case_by_key.get(key)

    def add(self, case: Case) -> None:
        """Remember an entity; the caller has made room with `surplus` before."""
        assert case.key not in self.case_by_key
        case.revision = max(case.revision, self.revision_floor)
        case.epoch = max(case.epoch, self.epoch_floor)
        self.case_by_key[case.key] = case

    def surplus(self) -> list[Case]:
        """Whom to evict before one more can be added; least worth first."""
        if len(self.case_by_key) < self.cases_max:
            return []
        n_evicted = max(1, self.cases_max // 64)
        return heapq.nsmallest(n_evicted, self.case_by_key.values(), key=lambda h: (h.worth, _ordered(h.key)))

    def forget(self, case: Case) -> None:
        self.revision_floor = max(self.revision_floor, case.revision)
        self.epoch_floor = max(self.epoch_floor, case.epoch)
        del self.case_by_key[case.key]

    def watch(self, case: Case, was_watched: bool) -> None:
        """Keep the account index and the queue true after a case changed."""
        is_watched = case.is_watched and case.key in self.case_by_key
        if is_watched != was_watched:
            count = self.watches_by_account.get(case.account_id, 0) + (1 if is_watched else -1)
            if count:
                self.watches_by_account[case.account_id] = count
            else:
                del self.watches_by_account[case.account_id]
        if case.key in self.case_by_key:
            deadline_ms = case.deadline_ms
            if case.queued_ms < 0 or deadline_ms < case.queued_ms:
                self._push(case, deadline_ms)

    def due(self, watermark_ms: int) -> Iterator[Case]:
        """Holds whose deadline has passed, in the order of their deadlines."""
        while (case := self._first()) is not None and case.queued_ms <= watermark_ms:
            yield case

    @property
    def next_deadline_ms(self) -> int | None:
        case = self._first()
        return None if case is None else case.queued_ms

    def _first(self) -> Case | None:
        """The case with the earliest deadline; drops and moves stale entries of the queue on the way."""
        while self._queue:
            queued_ms, _, key = self._queue[0]
            case = self.case_by_key.get(key)
            if case is not None and case.queued_ms == queued_ms:
                deadline_ms = case.deadline_ms
                if deadline_ms <= queued_ms:
                    return case
                heapq.heappop(self._queue)
                self._push(case, deadline_ms)
            else:
                heapq.heappop(self._queue)
        return None

    def _push(self, case: Case, deadline_ms: int) -> None:
        case.queued_ms = deadline_ms
        heapq.heappush(self._queue, (deadline_ms, _ordered(case.key), case.key))
        if len(self._queue) > 64 + 4 * len(self.case_by_key):  # mostly stale entries: build it anew
            self.requeue()

    def requeue(self) -> None:
        """Build the queue and the account index from the cases."""
        self._queue = []
        self.watches_by_account = {}
        for key, case in self.case_by_key.items():
            case.queued_ms = case.deadline_ms
            self._queue.append((case.queued_ms, _ordered(key), key))
            if case.is_watched:
                self.watches_by_account[case.account_id] = self.watches_by_account.get(case.account_id, 0) + 1
        heapq.heapify(self._queue)


def _ordered(key: EntityKey) -> tuple[str, str, str]:
    """A key that sorts: tenants may be None."""
    return (key[0] or "", key[1], key[2])
