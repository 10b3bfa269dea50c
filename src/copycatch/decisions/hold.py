"""What is open: episodes, standing recommendations, and when each is due for attention.

A *hold* is all that is remembered of one entity (tenant, account, model). It has one *episode* per rule
that spoke, and at most one *standing* recommendation, the strongest that its open episodes ask for.

Silence is no proof of innocence: an account that we had blocked cannot show that it has changed. So an
episode is released early only when the account is judged again and looks normal for `clear_after`;
otherwise it ends when its recommendation runs out.
"""

import heapq
from collections.abc import Iterator

import msgspec

from copycatch.decisions.budget import severity_rank
from copycatch.decisions.plan import EntityKey
from copycatch.records.wire import Action, ActionParams, Mode, Reason, Score, Severity
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
    sample_event_ids: list[str]
    client_ips: list[str]
    looks_like: list[str]
    sent_ms: int = -1  # -1: no alert has gone out (silenced or held back)
    sent_severity: Severity = "low"
    closed_ms: int = -1  # -1: open

    @property
    def is_open(self) -> bool:
        return self.closed_ms < 0

    @property
    def is_announced(self) -> bool:
        return self.sent_ms >= 0


class Standing(msgspec.Struct):
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


class Hold(msgspec.Struct):
    """All that is remembered of one entity."""

    tenant_id: str | None
    account_id: str
    model_id: str
    episodes: dict[str, Episode] = msgspec.field(default_factory=dict)
    timers: dict[str, Timer] = msgspec.field(default_factory=dict)
    standing: Standing | None = None
    rates_per_s: dict[str, float] = msgspec.field(default_factory=dict)  # normal top of queries and tokens
    revision: int = 0
    strikes: int = 0
    released_ms: int = -1  # last time that nothing was open any more
    was_revoked: bool = False  # the next upsert is a relapse
    is_renewal_tried: bool = False
    queued_ms: int = -1  # when the deadline queue will look at it; -1: not queued

    @property
    def key(self) -> EntityKey:
        return (self.tenant_id, self.account_id, self.model_id)

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
        if self.standing is not None and self.standing.ttl_ms >= 0:
            dues.append(self.standing.expires_ms if self.is_renewal_tried else self.standing.renew_ms)
        elif self.standing is not None or self.is_watched:
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
        return (bool(episodes), self.standing is not None, severity, recent_ms)


class HoldTable:
    """Every hold of one shard, bounded, with a queue of deadlines.

    When full, one in 64 (at least one) is evicted, the least worth first, so that a flood costs little per
    newcomer. `revision_floor` keeps revisions rising for a key that was forgotten:
    a new hold starts above every revision that was ever forgotten.
    """

    def __init__(self, holds_max: int) -> None:
        assert holds_max >= 1
        self.holds_max = holds_max
        self.hold_by_key: dict[EntityKey, Hold] = {}
        self.watches_by_account: dict[str, int] = {}
        self.revision_floor = 0
        self._queue: list[tuple[int, tuple[str, str, str], EntityKey]] = []

    def __len__(self) -> int:
        return len(self.hold_by_key)

    def get(self, key: EntityKey) -> Hold | None:
        return self.hold_by_key.get(key)

    def add(self, hold: Hold) -> None:
        """Remember an entity; the caller has made room with `surplus` before."""
        assert hold.key not in self.hold_by_key
        hold.revision = max(hold.revision, self.revision_floor)
        self.hold_by_key[hold.key] = hold

    def surplus(self) -> list[Hold]:
        """Whom to evict before one more can be added; least worth first."""
        if len(self.hold_by_key) < self.holds_max:
            return []
        n_evicted = max(1, self.holds_max // 64)
        return heapq.nsmallest(n_evicted, self.hold_by_key.values(), key=lambda h: (h.worth, _ordered(h.key)))

    def forget(self, hold: Hold) -> None:
        self.revision_floor = max(self.revision_floor, hold.revision)
        del self.hold_by_key[hold.key]

    def watch(self, hold: Hold, was_watched: bool) -> None:
        """Keep the account index and the queue true after a hold changed."""
        is_watched = hold.is_watched and hold.key in self.hold_by_key
        if is_watched != was_watched:
            count = self.watches_by_account.get(hold.account_id, 0) + (1 if is_watched else -1)
            if count:
                self.watches_by_account[hold.account_id] = count
            else:
                del self.watches_by_account[hold.account_id]
        if hold.key in self.hold_by_key:
            deadline_ms = hold.deadline_ms
            if hold.queued_ms < 0 or deadline_ms < hold.queued_ms:
                self._push(hold, deadline_ms)

    def due(self, watermark_ms: int) -> Iterator[Hold]:
        """Holds whose deadline has passed, in the order of their deadlines."""
        while (hold := self._first()) is not None and hold.queued_ms <= watermark_ms:
            yield hold

    @property
    def next_deadline_ms(self) -> int | None:
        hold = self._first()
        return None if hold is None else hold.queued_ms

    def _first(self) -> Hold | None:
        """The hold with the earliest deadline; drops and moves stale entries of the queue on the way."""
        while self._queue:
            queued_ms, _, key = self._queue[0]
            hold = self.hold_by_key.get(key)
            if hold is not None and hold.queued_ms == queued_ms:
                deadline_ms = hold.deadline_ms
                if deadline_ms <= queued_ms:
                    return hold
                heapq.heappop(self._queue)
                self._push(hold, deadline_ms)
            else:
                heapq.heappop(self._queue)
        return None

    def _push(self, hold: Hold, deadline_ms: int) -> None:
        hold.queued_ms = deadline_ms
        heapq.heappush(self._queue, (deadline_ms, _ordered(hold.key), hold.key))
        if len(self._queue) > 64 + 4 * len(self.hold_by_key):  # mostly stale entries: build it anew
            self.requeue()

    def requeue(self) -> None:
        """Build the queue and the account index from the holds."""
        self._queue = []
        self.watches_by_account = {}
        for key, hold in self.hold_by_key.items():
            hold.queued_ms = hold.deadline_ms
            self._queue.append((hold.queued_ms, _ordered(key), key))
            if hold.is_watched:
                self.watches_by_account[hold.account_id] = self.watches_by_account.get(hold.account_id, 0) + 1
        heapq.heapify(self._queue)


def _ordered(key: EntityKey) -> tuple[str, str, str]:
    """A key that sorts: tenants may be None."""
    return (key[0] or "", key[1], key[2])
