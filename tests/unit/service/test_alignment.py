"""Shards are brought in line by event time: what is ahead waits, and nothing waits for ever."""

import json
import random
from collections.abc import Iterable, Mapping
from itertools import pairwise

import pytest

from copycatch.adapters.clock import ManualClock
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySnapshots, MemorySource
from copycatch.ports import Shard
from copycatch.records.columns import RawBatch
from copycatch.service import alignment
from copycatch.service.alignment import PATIENCE_S, SLACK_MS, Alignment, Times
from copycatch.units import UnixMs
from tests.support.records import START_MS
from tests.unit.service.test_several_shards import TOPIC, full_log, run

HOUR_MS = 3_600_000


def message(time_ms: int | None) -> bytes:
    return json.dumps(time_ms).encode()


class Loop:
    """A source, the alignment, and a judge that keeps nothing but clocks."""

    def __init__(
        self, times_by_shard: Mapping[int, Iterable[int | None]], source: type[MemorySource]
    ) -> None:
        self.log = MemoryLog()
        for partition, each in times_by_shard.items():
            self.log.append(Shard(TOPIC, partition), map(message, each))
        self.clock, self.metrics = ManualClock(UnixMs(START_MS)), MemoryMetrics()
        self.source = source(self.log, is_endless=True)
        self.clocks: dict[Shard, int] = {}
        self.judged: list[tuple[int, int | None]] = []
        self.polled_max = 0
        times = Times(self.clocks.get, lambda raw: [json.loads(value) for value in raw.values])
        self.aligned = Alignment(self.source, self.clock, self.metrics, times)
        self.source.start(self)

    def on_assigned(self, shards: list[Shard]) -> None:
        self.aligned.add(shards)

    def on_revoked(self, shards: list[Shard]) -> None:
        self.aligned.drop(shards)

    on_lost = on_revoked

    def turn(self, records_max: int = 50) -> None:
        self.aligned.poll(records_max, 0.25)
        held = sum(self.aligned.lags().values()) - sum(self.source.lags().values())
        self.polled_max = max(self.polled_max, held)
        while (raw := self.aligned.next()) is not None:
            self.take(raw)

    def take(self, raw: RawBatch) -> None:
        shard = Shard(raw.topic, raw.partition)
        for value in raw.values:
            time_ms = json.loads(value)
            self.judged.append((raw.partition, time_ms))
            if time_ms is not None:
                self.clocks[shard] = max(time_ms, self.clocks.get(shard, time_ms))

    def run(self, turns: int, records_max: int = 50) -> None:
        for _ in range(turns):
            self.turn(records_max)


def days_of(seed: int, n: int, days: float = 5.0, start_ms: int = START_MS) -> list[int]:
    drawn = random.Random(seed)
    return sorted(start_ms + int(drawn.random() * days * 24 * HOUR_MS) for _ in range(n))


def worst_skew_ms(judged: list[tuple[int, int | None]]) -> int:
    """How far a record was behind the latest that was judged before it."""
    latest, worst = START_MS, 0
    for _, time_ms in judged:
        assert time_ms is not None
        latest = max(latest, time_ms)
        worst = max(worst, latest - time_ms)
    return worst


@pytest.mark.parametrize("records_max", [50, 5000])
def test_a_backlog_of_days_is_judged_in_the_order_of_event_time(records_max: int) -> None:
    logs = {0: days_of(1, 900), 1: days_of(2, 300), 2: days_of(3, 1500), 3: days_of(4, 40)}
    loop = Loop(logs, MemorySource)
    loop.run(400, records_max)
    assert len(loop.judged) == 2740
    assert worst_skew_ms(loop.judged) <= SLACK_MS
    for partition, times in logs.items():
        assert [time_ms for at, time_ms in loop.judged if at == partition] == times, "each in its own order"


def test_a_partition_that_begins_later_does_not_move_the_clock_ahead() -> None:
    loop = Loop({0: days_of(1, 500), 1: days_of(2, 500, 1.0, START_MS + 4 * 24 * HOUR_MS)}, MemorySource)
    loop.run(200)
    assert len(loop.judged) == 1000
    assert worst_skew_ms(loop.judged) <= SLACK_MS


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is five days ahead of the other with all it has: it is paused."""
    monkeypatch.setattr(alignment, "HELD_RECORDS", 200)
    late = [START_MS + 5 * 24 * HOUR_MS + i for i in range(20_000)]
    loop = Loop({0: late, 1: days_of(2, 3000)}, MemorySource)
    loop.run(1500)
    assert len(loop.judged) == 23_000
    assert worst_skew_ms(loop.judged) <= SLACK_MS
    assert loop.polled_max <= 300


class Stuck(MemorySource):
    """Partition 1 has records to come and gives none, as one whose leader is away."""

    clock: ManualClock

    def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
        batches = [raw for raw in super().poll(records_max, timeout_s) if raw.partition != 1]
        if not batches:
            self.clock.sleep(timeout_s)
        return batches

    def lags(self) -> dict[Shard, int]:
        return super().lags() | {Shard(TOPIC, 1): 7}


def test_a_partition_that_gives_nothing_is_waited_for_no_longer_than_said() -> None:
    loop = Loop({0: days_of(1, 300), 1: days_of(2, 300)}, Stuck)
    loop.source.clock = loop.clock  # type: ignore[attr-defined]
    loop.run(3)
    assert not loop.judged, "the other's first record is waited for"
    loop.run(200)
    assert len(loop.judged) == 300
    assert loop.clock.monotonic_s() >= PATIENCE_S
    assert loop.metrics.get("copycatch_shards_not_waited_for_total") == 1


def test_partitions_that_are_in_line_are_not_cut() -> None:
    loop = Loop({0: [START_MS + i for i in range(100)], 1: [START_MS + i for i in range(100)]}, MemorySource)
    loop.aligned.poll(50, 0.25)
    loop.aligned.poll(50, 0.25)
    sizes = []
    while (raw := loop.aligned.next()) is not None:
        sizes.append(len(raw.values))
        loop.take(raw)
    assert sizes == [50, 50]


def test_messages_that_tell_no_time_hold_nobody_up() -> None:
    loop = Loop({0: [None] * 300, 1: days_of(2, 300)}, MemorySource)
    loop.run(100)
    assert len(loop.judged) == 600
    timed = [time_ms for _, time_ms in loop.judged if time_ms is not None]
    assert all(a <= b for a, b in pairwise(timed))


def test_what_is_held_of_a_partition_that_goes_is_forgotten() -> None:
    loop = Loop({0: days_of(1, 300), 1: days_of(2, 300, 1.0, START_MS + 9 * 24 * HOUR_MS)}, MemorySource)
    loop.run(4)
    assert loop.aligned.lags()[Shard(TOPIC, 1)] == 300, "held counts as not judged"
    loop.source.revoke([Shard(TOPIC, 1)])
    loop.run(20)
    assert {partition for partition, _ in loop.judged} == {0}
    assert len(loop.judged) == 300


def test_six_partitions_read_one_after_the_other_show_the_thieves_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not in line, they were compared with what one partition's accounts did."""

    class OneAfterTheOther(MemorySource):
        def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
            self._turn = 0
            return super().poll(records_max, timeout_s)

    def thieves(partitions: int) -> set[str]:
        log = full_log(partitions)
        run(log, MemorySnapshots(), 1, make_source=lambda made, _seed: OneAfterTheOther(made))
        alerts = [json.loads(each.message.value or b"") for each in log.written if each.kind == "alert"]
        return {alert["entity"]["id"] for alert in alerts if alert["entity"]["id"].startswith("thief")}

    of_one = thieves(1)
    assert len(of_one) > 5
    assert of_one <= thieves(6)
    monkeypatch.setattr(alignment, "SLACK_MS", float("inf"))
    assert not thieves(6)
