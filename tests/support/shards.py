"""Shards in lockstep: accounts dealt over several engines, one learner, and a version for every tick.

What several workers and a learner come to where nobody lags; `alone` is one worker on the same records.
"""

import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from copycatch.engine import EngineState, advance, learn, new_state, settle_at, step, take, tell_at
from copycatch.engine.inputs import LearningInputs, inputs_from_plain, inputs_to_plain
from copycatch.engine.learned import TICK_MS, Learned
from copycatch.engine.version_parts import VersionReader, version_parts
from copycatch.records.columns import IntArray, Outcomes, RecordBatch
from copycatch.records.packing import pack, unpack
from copycatch.records.policy import Policy
from copycatch.records.selection import select
from copycatch.records.wire import Alert
from copycatch.service.learning_messages import ZLIB_LEVEL, digest_of
from copycatch.units import UNIX_MS_MIN, UnixMs

KINDS = ("samples", "votes", "lifetime", "recent", "inputs", "accounts", "family_max")


@dataclass(slots=True)
class Cost:
    """Seconds of CPU, and bytes as they travel, packed; `by_kind` before packing."""

    learner_s: float = 0.0  # learning, and making versions
    worker_s: float = 0.0  # judging, and what a tick brings about
    tell_s: float = 0.0
    take_s: float = 0.0
    ticks: int = 0
    told_bytes: int = 0
    version_bytes: int = 0  # parts that have changed, once for all workers
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
        self._readers = [VersionReader() for _ in range(n_shards)]
        self._sent: dict[str, tuple[bytes, bytes]] = {}  # digest and content, by part
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
        told = [each for state in self._states for each in self._told_by(state, now_ms)]
        self.on_told(now_ms, told)
        self._missed += told
        self.cost.ticks += 1
        parts = self._learn(now_ms) if self.may_learn(now_ms) else None
        for state, reader in zip(self._states, self._readers, strict=True):
            began_s = time.process_time()
            if parts is not None:
                take(state, reader.read(parts) if self.is_wired else self._learned)
            taken_s = time.process_time()
            self._keep(settle_at(state, None, UnixMs(now_ms), self._policy, {}))
            self.cost.take_s += taken_s - began_s
            self.cost.worker_s += time.process_time() - taken_s

    def _learn(self, now_ms: int) -> dict[str, bytes]:
        """The version's parts, where they travel."""
        began_s = time.process_time()
        learn(self._learned, self._missed, now_ms)
        self._missed = []
        self._alerts += self._learned.correlator.judge(now_ms, self._policy).alerts
        parts = version_parts(self._learned) if self.is_wired else {}
        for name, content in parts.items():
            digest, (known, sent) = digest_of(content), self._sent.get(name, (b"", b""))
            if digest == known:
                parts[name] = sent  # as on a topic: what a reader has is not sent again
            else:
                self._sent[name] = digest, content
                self.cost.version_bytes += len(zlib.compress(content, ZLIB_LEVEL))
        self.cost.learner_s += time.process_time() - began_s
        return parts

    def _told_by(self, state: EngineState, now_ms: int) -> list[LearningInputs]:
        began_s = time.process_time()
        told = tell_at(state, UnixMs(now_ms))
        if not self.is_wired:
            return told
        plain = [inputs_to_plain(each) for each in told]
        packed = [pack(each) for each in plain]
        self.cost.told_bytes += sum(len(zlib.compress(each, ZLIB_LEVEL)) for each in packed)
        self.cost.tell_s += time.process_time() - began_s
        for each in plain:
            self.cost.by_kind["links"] += len(pack(each["links"]))
            for model in each["models"].values():
                for kind in KINDS:
                    self.cost.by_kind[kind] += len(pack(model[kind]))
        return [inputs_from_plain(unpack(each)) for each in packed]

    def end(self) -> list[Alert]:
        now_ms = UnixMs(self.clock_ms)
        for state in self._states:
            self._keep(advance(state, now_ms, self._policy))
        return self._alerts + self._learned.correlator.judge(now_ms, self._policy).alerts

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
