"""Shards are judged side by side in event time, however far one of them was read ahead.

What is normal is learned from all shards. A broker gives the backlog of one partition first, days of it, and
then that of the next: judged in that order, most accounts would be compared with what others did days later,
or with nothing. So records of a shard that is ahead wait here until those behind have come as far; a shard
that gives nothing for long is not waited for.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import structlog

from copycatch.ports import Clock, Metrics, RecordSource, Shard
from copycatch.records.columns import RawBatch
from copycatch.service.quarantine import cut

log = structlog.get_logger(__name__)

SLACK_MS = 1_800_000  # shards this close go in the order in which they come
PATIENCE_S = 5.0  # of polls without a record of a shard that should have some
HELD_RECORDS = 50_000  # as much is held in all before shards that are ahead are paused
HELD_BYTES = 64 << 20
ENDS_READ = (1, 64)  # messages at either end of a poll's to find out its times
RESUME_SHARE = 0.5  # of what may be held
UNKNOWN = float("-inf")  # a time: whoever has none is not held back


class Times(NamedTuple):
    """How event time is read."""

    of_shard: Callable[[Shard], int | None]
    """The latest event time, ms, that was judged of a shard; None as long as there is none."""
    of_messages: Callable[[RawBatch], Sequence[int | None]]
    """Event times of messages, ms, read without any effect; None of those that tell none."""
    see: Callable[[RawBatch], None] = lambda _raw: None
    """Told of messages as they come, before parts of them are read."""


@dataclass(slots=True)
class _Held:
    """Messages of one poll."""

    raw: RawBatch
    first_ms: float
    last_ms: float
    times_ms: list[float] | None = None  # of all messages, once they are needed


class Alignment:
    """Stands between the source and the runner; asked by the runner alone."""

    def __init__(self, source: RecordSource, clock: Clock, metrics: Metrics, times: Times) -> None:
        self._source, self._clock, self._metrics, self._times = source, clock, metrics, times
        self._held: dict[Shard, deque[_Held]] = {}
        self._lags: dict[Shard, int] = {}
        self._waited_s: dict[Shard, float] = {}  # of all shards
        self._paused: set[Shard] = set()
        self._n_held = self._bytes_held = 0
        metrics.count("copycatch_shards_not_waited_for_total", 0)  # there from the start, for rules

    # ---- in

    def poll(self, records_max: int, timeout_s: float) -> bool:
        """Take the next records of the source; True if any came.

        Raises
        ------
        RecoverableError, TransportError, FencedError
            As the source does.
        """
        self._pause_or_resume()
        if self._held:
            records_max = self._room(records_max)
            timeout_s = 0.0 if self._first_to_go() is not None else timeout_s
        began_s = self._clock.monotonic_s()
        batches = self._source.poll(records_max, timeout_s)
        took_s = self._clock.monotonic_s() - began_s
        self._lags = self._source.lags()
        for raw in batches:
            self._hold(raw)
        for shard in self._expected():
            self._wait_for(shard, took_s)
        return bool(batches)

    def _hold(self, raw: RawBatch) -> None:
        shard, n = Shard(raw.topic, raw.partition), len(raw.values)
        self._times.see(raw)
        first_ms, last_ms = self._ends_of(raw) if len(self._waited_s) > 1 else (UNKNOWN, UNKNOWN)
        self._waited_s[shard] = 0.0
        self._held.setdefault(shard, deque()).append(_Held(raw, first_ms, last_ms))
        self._n_held += n
        self._bytes_held += sum(map(len, raw.values))

    def _ends_of(self, raw: RawBatch) -> tuple[float, float]:
        """Times of the first and of the last message; a request that waits for its answer tells none."""
        n = len(raw.values)
        for n_read in ENDS_READ:
            first_ms = self._read(cut(raw, 0, min(n_read, n)))[0]
            last_ms = self._read(cut(raw, max(n - n_read, 0), n))[-1]
            if first_ms > UNKNOWN and last_ms > UNKNOWN:
                return first_ms, max(first_ms, last_ms)
        return UNKNOWN, UNKNOWN

    def _read(self, raw: RawBatch) -> list[float]:
        """Times of messages as running maxima, so that they never go back."""
        times_ms = self._times.of_messages(raw)
        known = next((time_ms for time_ms in times_ms if time_ms is not None), UNKNOWN)
        return list(accumulate((known if each is None else each for each in times_ms), max))

    def _wait_for(self, shard: Shard, took_s: float) -> None:
        self._waited_s[shard] += took_s
        if self._held and self._waited_s[shard] > PATIENCE_S:
            self._metrics.count("copycatch_shards_not_waited_for_total")
            log.warning(
                "has records to come and gives none; others go on without it",
                shard=str(shard), lag=self._lags.get(shard), waited_s=PATIENCE_S,
            )  # fmt: skip

    def _room(self, records_max: int) -> int:
        """Records to ask for: where several are waited for, they share half of what may be held."""
        n_expected = max(1, len(self._expected()))
        room = HELD_RECORDS * (RESUME_SHARE if n_expected > 1 else 1.0) - self._n_held
        return max(1, records_max // 16, min(records_max, int(room / n_expected)))

    def _pause_or_resume(self) -> None:
        """Bound what is held; who is furthest behind is never paused."""
        share = max(self._n_held / HELD_RECORDS, self._bytes_held / HELD_BYTES)
        due = self._paused - self._held.keys() if share > RESUME_SHARE else set(self._paused)
        if due:
            self._source.resume(sorted(due))
            self._paused -= due
        ahead = self._held.keys() - self._paused - {self._first_to_go()} if share >= 1.0 else set()
        if ahead:
            self._source.pause(sorted(ahead))
            self._paused |= ahead

    # ---- out

    def next(self) -> RawBatch | None:
        """Records of the shard that is furthest behind; None when nothing is held that may go."""
        found = self._first_and_limit()
        if found is None:
            return None
        shard, limit_ms = found
        held = self._held[shard]
        part = held.popleft()
        n = self._n_until(part, limit_ms)
        piece = cut(part.raw, 0, n)
        if n < len(part.raw.values):
            assert part.times_ms is not None, "a batch is cut by its times"
            rest = cut(part.raw, n, len(part.raw.values))
            held.appendleft(_Held(rest, part.times_ms[n], part.times_ms[-1], part.times_ms[n:]))
        if not held:
            del self._held[shard]
        self._n_held -= n
        self._bytes_held -= sum(map(len, piece.values))
        return piece

    def _first_to_go(self) -> Shard | None:
        found = self._first_and_limit()
        return None if found is None else found[0]

    def _first_and_limit(self) -> tuple[Shard, float] | None:
        """Who is furthest behind, and how far it may go: all others are that far, but for the slack."""
        if not self._held:
            return None
        first = min(self._held, key=self._time_of)
        others = [*self._held.keys() - {first}, *self._expected()]
        limit_ms = min(map(self._time_of, others), default=float("inf")) + SLACK_MS
        return (first, limit_ms) if self._time_of(first) <= limit_ms else None

    def _n_until(self, part: _Held, limit_ms: float) -> int:
        if part.last_ms <= limit_ms:
            return len(part.raw.values)
        if part.times_ms is None:
            part.times_ms = self._read(part.raw)
        n = next((i for i, time_ms in enumerate(part.times_ms) if time_ms > limit_ms), len(part.times_ms))
        return max(n, 1)  # its shard may go: something has to

    def _time_of(self, shard: Shard) -> float:
        """Of what comes next of it, or what was judged last."""
        judged_ms = self._times.of_shard(shard)
        held = self._held.get(shard)
        return max(UNKNOWN if judged_ms is None else judged_ms, held[0].first_ms if held else UNKNOWN)

    def _expected(self) -> list[Shard]:
        """Shards of which nothing is at hand, and something should come."""
        return [
            shard
            for shard, waited_s in self._waited_s.items()
            if shard not in self._held and self._lags.get(shard, 1) and waited_s <= PATIENCE_S
        ]

    # ---- shards

    def add(self, shards: list[Shard]) -> None:
        """They have come: what they hold is waited for."""
        self._waited_s.update(dict.fromkeys(shards, 0.0))

    def drop(self, shards: list[Shard]) -> None:
        """They have gone: what is held of them is read anew by whoever has them next."""
        for shard in shards:
            for part in self._held.pop(shard, ()):
                self._n_held -= len(part.raw.values)
                self._bytes_held -= sum(map(len, part.raw.values))
            self._waited_s.pop(shard, None)
            self._paused.discard(shard)

    # ---- what there is

    def lags(self) -> dict[Shard, int]:
        """Records not yet judged, by shard, of shards where that is known."""
        held = {shard: sum(len(part.raw.values) for part in parts) for shard, parts in self._held.items()}
        return {shard: lag + held.get(shard, 0) for shard, lag in self._source.lags().items()}

    def behind(self) -> set[Shard]:
        """Shards of which records are still to be judged, as far as is known."""
        return {shard for shard in self._waited_s if shard in self._held or self._lags.get(shard, 1)}

    @property
    def is_over(self) -> bool:
        """Whether no record can come any more."""
        return self._source.is_exhausted and not self._held
