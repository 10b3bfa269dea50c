"""Shards in lockstep: accounts dealt over several engines, one learner, and a version for every tick.

What several workers and a learner come to where nobody lags; `alone` is one worker on the same records.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from copycatch.engine import advance, learn, new_state, settle_at, step, tell_at
from copycatch.engine.inputs import LearningInputs, inputs_from_plain, inputs_to_plain
from copycatch.engine.learned import TICK_MS, Learned
from copycatch.records.columns import IntArray, Outcomes, RecordBatch
from copycatch.records.packing import pack, unpack
from copycatch.records.policy import Policy
from copycatch.records.selection import select
from copycatch.records.wire import Alert
from copycatch.units import UNIX_MS_MIN, UnixMs

BATCH_MAX = 5_000


@dataclass(slots=True)
class Cost:
    """What learning took. Bytes are of inputs as they would travel, by kind."""

    learner_s: float = 0.0
    worker_s: float = 0.0
    take_s: float = 0.0
    ticks: int = 0
    told_bytes: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)


def alone(batches: Iterator[RecordBatch], now_ms: UnixMs, policy: Policy, link_key: int = 0) -> list[Alert]:
    """Alerts of one worker with the learner in its tick."""
    state, alerts, newest_ms = new_state(policy, link_key=link_key), [], UNIX_MS_MIN
    for batch in batches:
        alerts += step(state, batch, now_ms, policy).alerts
        newest_ms = max(newest_ms, int(batch.event_times_ms.max()))
    return alerts + advance(state, UnixMs(newest_ms), policy).alerts


def in_lockstep(
    batches: Iterator[RecordBatch],
    n_shards: int,
    now_ms: UnixMs,
    policy: Policy,
    *,
    link_key: int = 0,
    is_wired: bool = True,
    may_learn: Callable[[int], bool] = lambda _ms: True,
    on_told: Callable[[int, list[LearningInputs]], None] = lambda _ms, _told: None,
) -> tuple[list[Alert], Cost]:
    """Alerts of several workers and one learner.

    Parameters
    ----------
    is_wired : bool
        Inputs go through bytes, as on a topic.
    may_learn : callable
        Whether the learner is there at the tick of this event time; what it misses it learns later.
    on_told : callable
        Given the time of each tick and what was told.
    """
    run = _Lockstep(n_shards, now_ms, policy, link_key)
    run.is_wired, run.may_learn, run.on_told = is_wired, may_learn, on_told
    for batch in batches:
        for start, stop in _runs_of_tick(batch, run.clock_ms):
            run.take(select(batch, np.arange(start, stop, dtype=np.int64)))
    return run.end(), run.cost


def _runs_of_tick(batch: RecordBatch, clock_ms: int) -> Iterator[tuple[int, int]]:
    """Stretches of records between two ticks."""
    clocks = np.maximum(np.maximum.accumulate(batch.event_times_ms), clock_ms) // TICK_MS
    edges = [0, *(np.flatnonzero(np.diff(clocks)) + 1).tolist(), len(batch)]
    yield from pairwise(edges)


class _Lockstep:
    is_wired: bool
    may_learn: Callable[[int], bool]
    on_told: Callable[[int, list[LearningInputs]], None]

    def __init__(self, n_shards: int, now_ms: UnixMs, policy: Policy, link_key: int) -> None:
        self._now_ms, self._policy = now_ms, policy
        self._states = [new_state(policy, link_key=link_key) for _ in range(n_shards)]
        for state in self._states:
            state.is_remote = True
        self._learned = Learned()
        self._missed: list[LearningInputs] = []
        self._alerts: list[Alert] = []
        self.cost = Cost()
        self.clock_ms = UNIX_MS_MIN

    def take(self, batch: RecordBatch) -> None:
        """Records of one tick."""
        newest_ms = int(batch.event_times_ms.max())
        if newest_ms // TICK_MS > self.clock_ms // TICK_MS:
            self._tick(newest_ms // TICK_MS * TICK_MS)
        self.clock_ms = max(self.clock_ms, newest_ms)
        for number, members in _dealt(batch, len(self._states)):
            part = select(batch, members)
            part.raw = replace(part.raw, partition=number)
            began_s = time.process_time()
            self._keep(step(self._states[number], part, self._now_ms, self._policy))
            self.cost.worker_s += time.process_time() - began_s

    def _tick(self, now_ms: int) -> None:
        told = [each for state in self._states for each in tell_at(state, UnixMs(now_ms))]
        if self.is_wired:
            told = [self._wired(each) for each in told]
        self.on_told(now_ms, told)
        self._missed += told
        self.cost.ticks += 1
        if self.may_learn(now_ms):
            began_s = time.process_time()
            learn(self._learned, self._missed, now_ms)
            self._missed = []
            self.cost.learner_s += time.process_time() - began_s
        for state in self._states:
            began_s = time.process_time()
            self._keep(settle_at(state, self._learned, UnixMs(now_ms), self._policy, {}))
            self.cost.take_s += time.process_time() - began_s

    def _wired(self, inputs: LearningInputs) -> LearningInputs:
        plain = inputs_to_plain(inputs)
        self.cost.told_bytes += len(pack(plain))
        for model in plain["models"].values():
            for kind in ("samples", "votes", "lifetime", "recent", "inputs", "accounts", "family_max"):
                self.cost.by_kind[kind] += len(pack(model[kind]))
        return inputs_from_plain(unpack(pack(plain)))

    def end(self) -> list[Alert]:
        for state in self._states:
            self._keep(advance(state, UnixMs(self.clock_ms), self._policy))
        return self._alerts

    def _keep(self, outcomes: Outcomes) -> None:
        self._alerts += outcomes.alerts


def _dealt(batch: RecordBatch, n_shards: int) -> Iterator[tuple[int, IntArray]]:
    """Records by the shard of their account, in order of arrival."""
    numbers = np.array([sum(account.encode()) % n_shards for account in batch.account_ids])
    for number in range(n_shards):
        members = np.flatnonzero(numbers == number)
        if len(members):
            yield number, members


def said(alerts: Sequence[Alert]) -> list[tuple[str, str, str, str]]:
    """Uid, op, severity and time of each, in one order."""
    return sorted((alert.time, alert.uid, alert.op, alert.severity) for alert in alerts)
