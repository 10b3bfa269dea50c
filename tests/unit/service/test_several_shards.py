"""The real engine on several shards, killed: what was told stays true, though a replay judges otherwise."""

import contextlib
import json
import random
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from copycatch.adapters.clock import ManualClock
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySink, MemorySnapshots, MemorySource
from copycatch.decisions.case import Case
from copycatch.ports import Delivery, Shard
from copycatch.records.columns import RawBatch
from copycatch.records.policy import Allow, LimitRule, Match, Policy, When
from copycatch.service.bootstrap import decoder_maker, make_judge
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.judging import EngineJudge
from copycatch.service.runner import Pace, Runner, RunnerParts
from copycatch.settings.service import Input
from copycatch.units import UnixMs
from tests.support.telling import faults, holds_of, hunted
from tests.support.traffic import NOW_MS

N_RECORDS = 10_000
TOPIC = "logs"


class Dies(Exception):  # noqa: N818 (a kill, not an error)
    """Stands for kill -9: nothing after it runs."""


class Shuffled(MemorySource):
    """As a broker does it: which partition comes next, and how much of it, is chance."""

    def __init__(self, log: MemoryLog, seed: int) -> None:
        super().__init__(log)
        self._choose = random.Random(seed)

    def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
        self._turn = self._choose.randrange(100)
        return super().poll(self._choose.randrange(50, records_max), timeout_s)


@cache
def lines() -> list[tuple[str, bytes]]:
    return [(account, json.dumps(record).encode()) for account, record in hunted(N_RECORDS, seed=5, hours=50)]


def full_log(partitions: int, n_records: int = N_RECORDS) -> MemoryLog:
    log = MemoryLog()
    for account, value in lines()[:n_records]:
        log.append(Shard(TOPIC, zlib.crc32(account.encode()) % partitions), [value])
    return log


def run(
    log: MemoryLog,
    snapshots: MemorySnapshots,
    seed: int,
    die_after: int | None = None,
    policy: Policy | None = None,
    make_source: Callable[[MemoryLog, int], MemorySource] = Shuffled,
) -> tuple[Runner, EngineJudge]:
    """One process from start to end; a killed one ends before or after a delivery, by `seed`."""
    clock, metrics, sink = ManualClock(UnixMs(NOW_MS)), MemoryMetrics(), MemorySink(log)
    decoders = {"*": decoder_maker(Input(topic=TOPIC))}
    judge = make_judge(policy or Policy(), 10_000, b"tests: no secret", decoders, metrics)
    checkpoint = Checkpoint(judge, sink, snapshots, clock, metrics, 15.0, is_forking=False)
    runner = Runner(
            RunnerParts(make_source(log, seed), sink, judge, clock, metrics),
            checkpoint,
        pace=Pace(records_max=400), on_turn=lambda: clock.sleep(1.0),
    )  # fmt: skip
    runner._close = lambda: None  # type: ignore[method-assign]
    runner._finish = lambda: None  # type: ignore[method-assign]
    if die_after is None:
        runner.run()
        return runner, judge
    deliver, left = sink.deliver, die_after

    def dying(delivery: Delivery) -> None:
        nonlocal left
        left -= 1
        if left <= 0 and not seed % 2 and delivery.outcomes.announced:
            raise Dies  # what it announces is in the journal, and never delivered
        deliver(delivery)
        if left <= 0 and seed % 2:
            raise Dies

    sink.deliver = dying  # type: ignore[method-assign]
    with contextlib.suppress(Dies):
        runner.run()
    return runner, judge


def found_in(log: MemoryLog, judge: EngineJudge) -> list[str]:
    written: dict[str, list[Any]] = {"alert": [], "recommendation": [], "dead_letter": []}
    for each in log.written:
        written[each.kind].append(each.message.value)
    assert written["alert"]
    return faults(written["alert"], written["recommendation"], holds_of(judge._state))


@pytest.mark.parametrize("seed", [10, 20])
def test_no_kill_makes_what_was_told_untrue(seed: int) -> None:
    """None lost, none twice, no revision twice; before, each of these runs had several of all three."""
    log, snapshots = full_log(3), MemorySnapshots()
    choose, replayed = random.Random(seed), 0
    for kill in range(4):
        runner, _ = run(log, snapshots, seed + kill, choose.randrange(8, 22))
        replayed += runner.summary.replayed
    runner, judge = run(log, snapshots, seed + 9)
    assert replayed + runner.summary.replayed > 1_000, "or nothing was tested"
    assert found_in(log, judge) == []
    assert sum(done.position for done in log.committed_by_shard.values()) == N_RECORDS


def test_with_one_shard_a_killed_run_tells_what_an_undisturbed_one_tells() -> None:
    logs = full_log(1), full_log(1)
    _, undisturbed = run(logs[0], MemorySnapshots(), 1)
    snapshots = MemorySnapshots()
    for kill in range(3):
        run(logs[1], snapshots, 30 + kill, 9 + 5 * kill)
    _, judge = run(logs[1], snapshots, 2)
    # Scores of other cuts may differ in their last digit; what is told, of whom and when may not.
    for kind in ("alert", "recommendation"):
        told = [
            [(m.key, m.timestamp_ms, m.value is None) for each, m in log.written if each == kind]
            for log in logs
        ]
        assert told[0] == told[1]
    assert found_in(logs[0], undisturbed) == found_in(logs[1], judge) == []


def exempt(case: Case) -> Allow:
    match = Match(account_id=case.account_id, tenant_id=case.tenant_id)
    return Allow(match=match, reason="ours", owner="us", expires_ms=None)


def test_a_policy_that_changed_while_it_was_down_is_told() -> None:
    """Whom the new policy exempts was closed in the silence of the replay, and nobody heard of it."""
    log, snapshots = full_log(1), MemorySnapshots()
    _, judge = run(log, snapshots, 31, die_after=36)
    suspects = [hold for hold in holds_of(judge._state) if hold.open_episodes and hold.active]
    exempting = Policy(allow=[exempt(each) for each in suspects])
    _, judge = run(log, snapshots, 32, policy=exempting)
    assert suspects
    assert found_in(log, judge) == []
    last = {each.message.key: each.message.value for each in log.written if each.kind == "recommendation"}
    for suspect in suspects:
        assert [value for key, value in last.items() if f"|{suspect.account_id}|".encode() in key] == [None]


class Skewed(MemorySource):
    """One partition after the other, as a worker reads what piled up: the last one lags by all there is."""

    def __init__(self, log: MemoryLog, seed: int) -> None:
        super().__init__(log)
        self._order = random.Random(seed).sample(range(len(self._shards)), len(self._shards))

    def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
        lags = self.lags()
        self._turn = next((each for each in self._order if lags.get(self._shards[each])), 0)
        return super().poll(60, timeout_s)


def test_who_lags_has_not_fallen_silent() -> None:
    """By another's clock its episodes would close while they go on, and its alerts all fall in one minute."""
    limit = LimitRule(
        name="busy",
        when=When(feature="queries_per_s", above=0.002, for_s=0.0),
        severity="high",
        action="throttle",
        repeat_after_s=30 * 86_400.0,
    )
    policy = Policy(rules=[limit])
    told = []
    for log, source in ((full_log(1, 4_000), Shuffled), (full_log(4, 4_000), Skewed)):
        _, judge = run(log, MemorySnapshots(), 3, policy=policy, make_source=source)
        alerts = [json.loads(m.value) for kind, m in log.written if kind == "alert" and m.value]
        told.append(
            [(a["entity"]["id"], a["uid"], a["op"], a["time"]) for a in alerts if a["rule"] == "busy"]
        )
        assert found_in(log, judge) == []
    assert len(told[0]) > 100
    assert sorted(told[0]) == sorted(told[1])
