"""Workers and a learner that talk by signed messages, without a broker."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from copycatch.adapters.clock import ManualClock
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySource
from copycatch.engine.learned import Learned
from copycatch.engine.version_parts import VersionReader, version_parts
from copycatch.errors import RecoverableError, StateError
from copycatch.ports import Shard
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.policy import Policy
from copycatch.records.wire import Alert
from copycatch.service.alignment import Alignment, Times
from copycatch.service.findings import Summary
from copycatch.service.gauges import Gauges
from copycatch.service.health import Health
from copycatch.service.judging import EngineJudge
from copycatch.service.learner import LearnerJudge
from copycatch.service.learning_messages import PART_BYTES, Joiner, to_messages
from copycatch.service.remote_learning import RemoteLearning
from copycatch.units import UnixMs
from tests.support.telling import hunted
from tests.support.traffic import NOW_MS, native_intake

KEY = b"tests: the learner's key"
INPUTS = Shard("learning", 0)
WORKERS = 3
RECORDS = list(hunted(4_500, seed=4, hours=48, n_accounts=45, n_thieves=6))
CUT = 40


class Topics:
    """Both topics; `is_away`: no broker."""

    def __init__(self) -> None:
        self.versions: list[bytes] = []
        self.inputs: list[bytes] = []
        self.is_away = False


class Link:
    """A worker's end: all versions from the beginning, then what is new."""

    n_shards = WORKERS

    def __init__(self, topics: Topics) -> None:
        self._topics, self._at = topics, 0

    def tell(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        self._check()
        self._topics.inputs += [value for _, value in messages]

    def read(self, timeout_s: float = 0.0) -> list[bytes]:
        self._check()
        found, self._at = self._topics.versions[self._at :], len(self._topics.versions)
        return found

    def _check(self) -> None:
        if self._topics.is_away:
            message = "no broker"
            raise RecoverableError(message)

    def close(self) -> None:
        """Nothing is open."""


class Fleet:
    """Workers on partitions of their own, and a learner that reads what they tell."""

    def __init__(self) -> None:
        self.topics, self.read = Topics(), 0
        self.metrics = MemoryMetrics()
        self.workers = [self.worker() for _ in range(WORKERS)]
        self.learner = LearnerJudge(Policy(), KEY, self.metrics)
        self.alerts: list[Alert] = []
        self.positions = [0] * WORKERS
        self.is_learning = True

    def worker(self) -> EngineJudge:
        remote = RemoteLearning(Link(self.topics), KEY, self.metrics, ManualClock(), hold_s=0)
        return EngineJudge(Policy(), 1_000, native_intake(), self.metrics, remote)

    def feed(self, records: list[tuple[str, dict[str, Any]]]) -> Iterator[Outcomes]:
        for number in range(WORKERS):
            own = [
                json.dumps(each).encode()
                for account, each in records
                if sum(account.encode()) % WORKERS == number
            ]
            start = self.positions[number]
            raw = RawBatch("logs", number, list(range(start, start + len(own))), own)
            self.positions[number] += len(own)
            if own:
                outcomes = self.workers[number].step(raw, UnixMs(NOW_MS))
                self.alerts += outcomes.alerts
                yield outcomes
        if self.is_learning:
            self.learn()

    def unread(self) -> RawBatch:
        values = self.topics.inputs[self.read :]
        return RawBatch(INPUTS.topic, 0, list(range(self.read, self.read + len(values))), values)

    def learn(self) -> Outcomes:
        raw = self.unread()
        self.read += len(raw.values)
        outcomes = self.learner.step(raw, UnixMs(NOW_MS))
        self.topics.versions += [value for _, value in outcomes.learning]
        return outcomes

    def run(self, begin: int, end: int) -> list[Outcomes]:
        return [each for at in range(begin, end, CUT) for each in self.feed(RECORDS[at : min(at + CUT, end)])]

    @property
    def opened(self) -> set[str]:
        return {alert.entity.id for alert in self.alerts if alert.op == "open"}


def scored(outcomes: list[Outcomes]) -> int:
    return sum(int(scores.is_warm.sum()) for each in outcomes for _, scores in each.evaluations)


def test_three_workers_find_what_none_could_find_alone() -> None:
    fleet = Fleet()
    fleet.run(0, len(RECORDS))
    thieves = {name for name in fleet.opened if name.startswith("thief")}
    assert len(thieves) >= 3
    assert fleet.metrics.get("copycatch_version_lag_seconds") < 3_600
    assert fleet.metrics.get("copycatch_version") > 100


def test_a_new_worker_judges_at_once_and_goes_on_without_a_learner() -> None:
    fleet = Fleet()
    fleet.run(0, 3_600)
    fleet.workers[0] = fleet.worker()  # it has lost all its accounts, and knows what is normal
    fleet.is_learning = False
    assert fleet.workers[1].learning().warning == ""
    assert scored(fleet.run(3_600, 4_000)) > 0
    fleet.topics.is_away = True
    assert scored(fleet.run(4_000, len(RECORDS))) > 0
    assert fleet.metrics.get("copycatch_version_lag_seconds") > 3_600
    health = Health()
    worker, clock = fleet.workers[1], ManualClock()
    times = Times(worker.clock_ms, lambda raw: worker.times_ms(raw, clock.now_ms()))
    source = Alignment(MemorySource(MemoryLog({})), clock, fleet.metrics, times)
    Gauges(source, worker, clock, fleet.metrics).tell(health, Summary(), n_shards=1, n_replaying=0)
    assert health.ready()["is_ready"]
    assert "is a learner running?" in str(health.ready()["words"])


def test_a_learner_goes_on_from_its_snapshot_with_the_same_versions() -> None:
    fleet = Fleet()
    fleet.run(0, 2_000)
    kept: list[bytes] = []
    fleet.learner.snapshot(INPUTS, lambda data: kept.append(bytes(data)))
    second = LearnerJudge(Policy(), KEY, MemoryMetrics())
    second.restore(INPUTS, memoryview(b"".join(kept)))
    fleet.is_learning = False
    fleet.run(2_000, 2_400)
    assert second.step(fleet.unread(), UnixMs(NOW_MS), silent=[INPUTS]).learning == []
    fleet.learn()
    ours, theirs = (version_parts(each._learned) for each in (fleet.learner, second))
    assert ours == theirs
    assert len(ours["model/m1"]) > 1_000


def test_a_version_without_all_its_parts_is_not_taken() -> None:
    fleet = Fleet()
    fleet.run(0, 1_000)
    whole = list(fleet.topics.versions)
    fleet.topics.versions = [each for each in whole if b"part/model/m1" not in each[:30]]
    late, record = fleet.worker(), json.dumps(RECORDS[1_000][1]).encode()
    late.step(RawBatch("logs", 9, [0], [record]), UnixMs(NOW_MS))
    assert late._state.learned.version == 0
    fleet.topics.versions += whole
    late.step(RawBatch("logs", 9, [1], [record]), UnixMs(NOW_MS))
    assert late._state.learned.version == fleet.learner._learned.version > 0


def test_messages_are_refused_that_another_key_has_signed_or_that_are_damaged() -> None:
    content = bytes(range(256)) * 20_000
    messages = to_messages("a", content, KEY)
    joiner = Joiner(KEY)
    assert [whole.content for _, value in messages if (whole := joiner.add(value))] == [content]
    for value in (to_messages("a", b"x", b"another key")[0][1], messages[0][1][:-1] + b"x", b"", b"x" * 40):
        with pytest.raises(StateError, match=r"signed with another learner\.key"):
            joiner.add(value)
    learner = LearnerJudge(Policy(), KEY, metrics := MemoryMetrics())
    outcomes = learner.step(RawBatch(INPUTS.topic, 0, [0], [b"\x00" * 99]), UnixMs(NOW_MS))
    assert (outcomes.counts.rejected, outcomes.learning) == (1, [])
    assert metrics.get("copycatch_learning_messages_total", outcome="refused") == 1


def test_what_is_large_travels_in_parts_in_any_order() -> None:
    content = b"".join(index.to_bytes(4, "big") for index in range(PART_BYTES))
    messages = to_messages("big", content, KEY)
    assert len(messages) > 1
    assert all(len(value) < 1_000_000 for _, value in messages)
    joiner = Joiner(KEY)
    found = [whole for _, value in reversed(messages) if (whole := joiner.add(value))]
    assert [whole.content for whole in found] == [content]


def test_a_version_of_another_format_is_refused_by_name() -> None:
    with pytest.raises(StateError, match="lacks or garbles a part"):
        VersionReader().read({})
    assert VersionReader().read(version_parts(Learned(version=3))).version == 3


def test_what_is_told_twice_is_learned_once() -> None:
    fleet = Fleet()
    fleet.run(0, 600)
    once, twice = (LearnerJudge(Policy(), KEY, MemoryMetrics()) for _ in range(2))
    for learner, times in ((once, 1), (twice, 2)):
        values = [value for value in fleet.topics.inputs for _ in range(times)]
        learner.step(RawBatch(INPUTS.topic, 0, list(range(len(values))), values), UnixMs(NOW_MS))
    assert once._learned.version > 20
    assert version_parts(once._learned) == version_parts(twice._learned)


def test_what_no_broker_took_is_told_when_one_is_back() -> None:
    fleet, other = Fleet(), Fleet()
    fleet.run(0, 400)
    before = len(fleet.topics.inputs)
    fleet.topics.is_away = True
    fleet.run(400, 600)
    assert len(fleet.topics.inputs) == before
    fleet.topics.is_away = False
    fleet.run(600, 700)
    other.run(0, 700)
    assert len(fleet.topics.inputs) == len(other.topics.inputs) > before
    assert fleet.metrics.get("copycatch_ticks_without_version_total") > 0


def test_a_worker_that_lags_judges_by_the_version_of_its_own_time() -> None:
    fleet = Fleet()
    fleet.run(0, 2_500)
    behind = fleet.worker()
    times = [int(each["event_time"]) for _, each in RECORDS]
    old = [json.dumps(each).encode() for _, each in RECORDS[2_400:2_440]]
    behind.step(RawBatch("logs", 0, list(range(len(old))), old), UnixMs(NOW_MS))
    newest_ms = fleet.learner._learned.tick_ms
    assert behind._state.learned.version < fleet.learner._learned.version
    assert times[2_400] - 600_000 < behind._state.learned.tick_ms <= times[2_439] < newest_ms
    for at in range(2_440, 2_500):
        line = [json.dumps(RECORDS[at][1]).encode()]
        behind.step(RawBatch("logs", 0, [at], line), UnixMs(NOW_MS))
    assert behind._state.learned.tick_ms == newest_ms


def test_a_learner_that_begins_again_is_told_of_everybody() -> None:
    fleet = Fleet()
    fleet.run(0, 2_000)
    known = len(fleet.learner._learned.table("m1").rows)
    fleet.learner = LearnerJudge(Policy(), KEY, fleet.metrics)
    fleet.run(2_000, 2_300)
    assert len(fleet.learner._learned.table("m1").rows) >= known - 5 > 10
