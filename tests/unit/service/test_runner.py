"""The loop and the checkpoint over memory: every failure has a stated end, and nothing is judged twice."""

import json
from collections.abc import Callable, Collection

import pytest

from copycatch.adapters.clock import ManualClock
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySink, MemorySnapshots, MemorySource
from copycatch.errors import FencedError, RecoverableError, TransportError
from copycatch.ports import Delivery, Shard, SnapshotInfo, SnapshotWriter
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.runner import Pace, Runner, RunnerParts
from copycatch.units import UnixMs
from tests.support.counting import CountingJudge, expected_uids
from tests.support.records import START_MS, traffic

LEFT, RIGHT = Shard("records", 0), Shard("records", 1)


class Parts:
    """A service over memory; `again()` is the next process over the same log and snapshots."""

    def __init__(
        self, log: MemoryLog, snapshots: MemorySnapshots | None = None, interval_s: float = 0.0
    ) -> None:
        self.log = log
        self.snapshots = snapshots or MemorySnapshots()
        self.judge = CountingJudge()
        self.metrics = MemoryMetrics()
        self.clock = ManualClock(UnixMs(START_MS))
        self.source = MemorySource(log)
        self.sink = MemorySink(log)
        self.checkpoint = Checkpoint(
            self.judge, self.sink, self.snapshots, self.clock, self.metrics, interval_s, is_forking=False
        )
        self.runner = Runner(
            RunnerParts(self.source, self.sink, self.judge, self.clock, self.metrics),
            self.checkpoint,
            pace=Pace(records_max=50),
        )

    def again(self, interval_s: float = 0.0) -> "Parts":
        return Parts(self.log, self.snapshots, interval_s)

    def uids(self) -> list[str]:
        return sorted(
            json.loads(each.message.value)["uid"] for each in self.log.written if each.message.value
        )


def full_log(n_records: int = 1000) -> MemoryLog:
    log = MemoryLog()
    for n, (_, value) in enumerate(traffic(n_records)):
        log.append(LEFT if n % 3 else RIGHT, [value])
    return log


class Dies(Exception):  # noqa: N818 (a kill, not an error)
    """Stands for kill -9: nothing after it runs."""


def die_after(times: int, at: Callable[[Delivery], None]) -> Callable[[Delivery], None]:
    left = times

    def deliver(delivery: Delivery) -> None:
        nonlocal left
        at(delivery)
        left -= 1
        if left == 0:
            raise Dies

    return deliver


@pytest.mark.parametrize("units", [1, 2, 5, 11])
def test_a_restart_judges_in_silence_what_is_committed(units: int, monkeypatch: pytest.MonkeyPatch) -> None:
    log = full_log()
    first = Parts(log, interval_s=10.0)  # never due: only the empty snapshots of the start stand
    monkeypatch.setattr(first.sink, "deliver", die_after(units, first.sink.deliver))
    monkeypatch.setattr(first.runner, "_close", lambda: None)
    with pytest.raises(Dies):
        first.runner.run()
    second = first.again()
    second.runner.run()
    assert second.runner.summary.replayed > 0
    assert second.uids() == expected_uids(log.records_by_shard)


def test_a_failure_that_passes_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(full_log())
    deliver, failures = parts.sink.deliver, iter(range(12))

    def flaky(delivery: Delivery) -> None:
        if next(failures, None) is not None:
            msg = "the broker is away"
            raise RecoverableError(msg)
        deliver(delivery)

    monkeypatch.setattr(parts.sink, "deliver", flaky)
    parts.runner.run()
    assert parts.uids() == expected_uids(parts.log.records_by_shard)
    assert parts.metrics.get("copycatch_failures_total", doing="deliver") == 12
    assert parts.clock.monotonic_s() > 30, "pauses grow"


def test_an_open_fate_rebuilds_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """The unit did happen, but the answer was lost: nothing is written twice."""
    parts = Parts(full_log())
    deliver, calls = parts.sink.deliver, iter(range(5))

    def answer_is_lost(delivery: Delivery) -> None:
        deliver(delivery)
        if next(calls, None) == 3:
            msg = "no answer to the commit"
            raise FencedError(msg)

    monkeypatch.setattr(parts.sink, "deliver", answer_is_lost)
    parts.runner.run()
    assert parts.metrics.get("copycatch_rebuilds_total") == 1
    assert parts.uids() == expected_uids(parts.log.records_by_shard)


def test_two_writers_that_fence_each_other_write_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(full_log())
    reopen, turns = parts.sink.reopen, iter(range(20))

    def fought_over() -> None:
        reopen()
        MemorySink(parts.log)  # the other one, once more

    def next_policy() -> None:
        if next(turns, None) is None:
            parts.runner.stop()

    MemorySink(parts.log)
    monkeypatch.setattr(parts.sink, "reopen", fought_over)
    monkeypatch.setattr(parts.runner, "_next_policy", next_policy)
    parts.runner.run()
    assert parts.uids() == []
    assert parts.metrics.get("copycatch_rebuilds_total") > 1


def test_a_batch_that_raises_commits_nothing_of_itself() -> None:
    log = MemoryLog()
    values = [value for _, value in traffic(300)]
    values[200] = values[200].replace(b"acct-", b"poison-")
    log.append(LEFT, values)
    parts = Parts(log)
    parts.judge.fail_on = b"poison-"
    with pytest.raises(ZeroDivisionError):
        parts.runner.run()
    assert log.committed_by_shard[LEFT].position == 200
    newest = parts.snapshots.candidates(LEFT)[0]
    assert newest.position == 200, "the half-judged batch is in no snapshot"
    # The version that can judge it goes on where this one stopped.
    mended = parts.again()
    mended.runner.run()
    assert mended.uids() == expected_uids(log.records_by_shard)


def test_a_moved_shard_takes_its_memory_along() -> None:
    log = full_log()
    first = Parts(log)
    turns = 0

    def after_a_while() -> None:
        nonlocal turns
        turns += 1
        if turns == 5:
            first.source.revoke([LEFT])

    first.runner._on_turn = after_a_while
    first.runner.run()
    assert str(LEFT) not in first.judge.counts
    second = first.again()
    second.runner.run()
    assert second.uids() == expected_uids(log.records_by_shard)
    assert second.runner.summary.replayed == 0, "the snapshot stands at the committed position"


def test_a_clock_that_is_set_back_rejects_nobody() -> None:
    seen: list[int] = []
    parts = Parts(full_log(500))
    step = parts.judge.step

    def watched(
        raw: RawBatch,
        now_ms: UnixMs,
        silent: Collection[Shard] = (),
        behind: Collection[Shard] = (),
    ) -> Outcomes:
        seen.append(now_ms)
        return step(raw, now_ms, silent, behind)

    parts.judge.step = watched  # type: ignore[method-assign]

    def set_back() -> None:
        parts.clock._now_ms = UnixMs(START_MS - 3_600_000)

    parts.runner._on_turn = set_back
    parts.runner.run()
    assert seen == sorted(seen)


def test_a_stop_in_an_outage_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(full_log())

    def away(_delivery: Delivery) -> None:
        parts.runner.stop()
        msg = "the broker is away"
        raise RecoverableError(msg)

    monkeypatch.setattr(parts.sink, "deliver", away)
    with pytest.raises(TransportError, match="drain time"):
        parts.runner.run()
    assert parts.clock.monotonic_s() <= 31
    restarted = parts.again()
    restarted.runner.run()
    assert restarted.uids() == expected_uids(parts.log.records_by_shard)


def test_every_record_is_counted_once() -> None:
    parts = Parts(full_log(777))
    assert parts.runner.run().counts.total == 777
    assert parts.metrics.get("copycatch_records_total", outcome="accepted") == 777


def test_a_full_disk_delays_snapshots_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(full_log())
    save, failed = parts.snapshots.save, []

    def full(info: SnapshotInfo, content: SnapshotWriter) -> int:
        if info.generation < 5:
            failed.append(info)
            raise OSError(28, "No space left on device")
        return save(info, content)

    monkeypatch.setattr(parts.snapshots, "save", full)
    parts.runner.run()
    assert parts.uids() == expected_uids(parts.log.records_by_shard)
    assert failed
    assert parts.metrics.get("copycatch_snapshots_total", result="failed") >= 2
    for shard in (LEFT, RIGHT):  # tried again until there was room
        assert parts.snapshots.candidates(shard)[0].position == len(parts.log.records_by_shard[shard])


def test_a_snapshot_that_failed_is_tried_again_without_a_new_record(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(full_log(), interval_s=1e9)
    parts.checkpoint.begin(LEFT, None, 0)
    parts.checkpoint.replayed(LEFT, 50)
    save = parts.snapshots.save
    monkeypatch.setattr(parts.snapshots, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    parts.checkpoint.snapshot_soon()
    parts.checkpoint.snapshot_if_due()
    monkeypatch.setattr(parts.snapshots, "save", save)
    parts.checkpoint.snapshot_soon()
    parts.checkpoint.snapshot_if_due()
    assert parts.snapshots.candidates(LEFT)[0].position == 50
