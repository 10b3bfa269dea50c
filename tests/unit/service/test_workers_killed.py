"""Three workers and a learner, killed at every step: what all say together is what one worker says.

They run in threads, on topics in memory. The accounts of a ring lie on all three partitions, and have alerts
of their own. Records come in bursts, two hours apart in event time, each within one tick and with some on
every partition. A killed one begins again from what it has committed, and the others hold for what it still
owes: so every worker keeps up.
"""

import json
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySink, MemorySnapshots, MemorySource
from copycatch.engine import compile_ahead
from copycatch.ports import Shard
from copycatch.records.columns import RawBatch
from copycatch.records.wire import Alert
from copycatch.service.bootstrap import decoder_maker, make_judge
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.failpoints import Hook
from copycatch.service.judging import Judge
from copycatch.service.learner import LearnerJudge
from copycatch.service.remote_learning import RemoteLearning
from copycatch.service.runner import Pace, Runner, RunnerParts
from copycatch.settings.policy import parse_policy
from copycatch.settings.service import Input
from tests.support.shards import alone, said
from tests.support.traffic import native_intake
from tests.unit.campaigns.rings import START_MS
from tests.unit.engine.test_campaigns import NOW_MS, POLICY, RING, lines

WORKERS = 3
INPUTS = Shard("inputs", 0)
KEY = b"tests: the learner's key"
PATIENCE_S = 900.0  # waited for conditions only
BURST_MS, WITHIN_MS = 7_200_000, 240_000
WORKER_STEPS = [
    "before telling:2",
    "after telling:2",
    "taking a version:2",
    "before deliver:2",
    "after deliver:2",
    "before snapshot:2",
    "after snapshot:2",
]
LEARNER_STEPS = ["before deliver:2", "after deliver:2", "before snapshot:2", "after snapshot:2"]


class Dies(BaseException):
    """Stands for kill -9: nothing after it runs."""


def hook_of(step: str) -> Hook:
    """Dies at a step the n-th time that it comes there, as "step:n" says; never, where it is empty."""
    name, _, times = step.partition(":")
    left = int(times or 0)

    def hook(at: str) -> None:
        nonlocal left
        left -= at == name
        if at == name and not left:
            raise Dies

    return hook


class Link:
    """A worker's end of the topics."""

    n_shards = WORKERS

    def __init__(self, learner_log: MemoryLog) -> None:
        self._log, self._at = learner_log, 0

    def tell(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        self._log.append(INPUTS, [value for _, value in messages])

    def read(self, timeout_s: float = 0.0) -> list[bytes]:
        written = self._log.written[self._at :]
        self._at += len(written)
        if not written:
            time.sleep(min(timeout_s, 0.01))
        return [each.message.value for each in written if each.kind == "learning" and each.message.value]

    def close(self) -> None:
        """Nothing is open."""


class Process:
    """One that dies at one step after the other, and begins again each time."""

    def __init__(
        self, shard: Shard, log: MemoryLog, steps: list[str], judge: Callable[[Hook], Judge]
    ) -> None:
        self.shard, self.log, self.left, self._judge = shard, log, list(steps), judge
        self.deaths, self._snapshots = 0, MemorySnapshots()
        self.start()

    def start(self) -> None:
        hook = hook_of(self.left[0] if self.left else "")
        clock, metrics, sink = SystemClock(), MemoryMetrics(), MemorySink(self.log)
        judge = self._judge(hook)
        source = MemorySource(self.log, [self.shard], is_endless=True)
        checkpoint = Checkpoint(
            judge, sink, self._snapshots, clock, metrics, 0.1, is_forking=False, hook=hook
        )
        self._runner = Runner(
            RunnerParts(source, sink, judge, clock, metrics), checkpoint,
            pace=Pace(), on_turn=lambda: time.sleep(0.005),
        )  # fmt: skip
        self._runner._close = lambda: None  # type: ignore[method-assign]
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._runner.run()
        except BaseException as failure:  # noqa: BLE001 (looked at by `look`)
            self.failure = failure

    def look(self) -> None:
        """Begin again where it has died."""
        if self.failure is not None:
            assert isinstance(self.failure, Dies), self.failure
            self.left.pop(0)
            self.deaths += 1
            self.start()

    @property
    def n_done(self) -> int:
        done = self.log.committed_by_shard.get(self.shard)
        return 0 if done is None else done.position

    def stop(self) -> None:
        self._runner.stop()
        self._thread.join(PATIENCE_S)

    def alerts(self) -> list[Alert]:
        values = [each.message.value for each in self.log.written if each.kind == "alert"]
        return [msgspec.json.decode(value or b"", type=Alert) for value in values]


def shard_of(account: str) -> int:
    return zlib.crc32(account.encode()) % WORKERS


def records() -> list[dict[str, Any]]:
    """The ring's log, and one steady account a partition."""
    own = [json.loads(line) for line in lines()]
    first_ms, n_bursts = START_MS, (own[-1]["event_time"] - START_MS) // BURST_MS + 1
    names = [f"steady-{n}" for n in range(20)]
    steady = [next(name for name in names if shard_of(name) == number) for number in range(WORKERS)]
    for burst in range(n_bursts):
        for number, name in enumerate(steady):
            told = {"event_id": f"{name}-{burst}", "event_time": first_ms + burst * BURST_MS + number}
            own.append(own[burst % 50] | told | {"account_id": name, "client_ip": f"172.16.{number}.1"})
    ordered = sorted(own, key=lambda each: each["event_time"])
    return [each | {"event_time": drawn_together(each["event_time"])} for each in ordered]


def drawn_together(time_ms: int) -> int:
    """What lies within two hours comes within four minutes."""
    burst, rest_ms = divmod(time_ms - START_MS, BURST_MS)
    return START_MS + burst * BURST_MS + rest_ms * WITHIN_MS // BURST_MS


def fleet() -> tuple[list[Process], Process]:
    policy, learner_log = parse_policy(POLICY, "policy"), MemoryLog()
    decoders = {"*": decoder_maker(Input(topic="logs"))}

    def worker(hook: Hook) -> Judge:
        link, metrics = Link(learner_log), MemoryMetrics()
        remote = RemoteLearning(link, KEY, metrics, SystemClock(), hold_s=PATIENCE_S, hook=hook)
        return make_judge(policy, 10_000, b"tests: no secret", decoders, metrics, remote)

    learner = Process(
        INPUTS, learner_log, LEARNER_STEPS, lambda _: LearnerJudge(policy, KEY, MemoryMetrics())
    )
    workers = [
        Process(Shard("logs", number), MemoryLog(), [] if number else WORKER_STEPS, worker)
        for number in range(WORKERS)
    ]
    return workers, learner


def feed(workers: list[Process], learner: Process, burst: list[dict[str, Any]]) -> None:
    for process in workers:
        number = process.shard.partition
        own = [json.dumps(each).encode() for each in burst if shard_of(each["account_id"]) == number]
        process.log.append(process.shard, own)
    give_up_s = time.monotonic() + PATIENCE_S
    while any(each.n_done < len(each.log.records_by_shard[each.shard]) for each in workers):
        assert time.monotonic() < give_up_s, "they do not come to the end of the burst"
        time.sleep(0.01)
        for process in (*workers, learner):
            process.look()


def test_killed_at_every_step_they_say_what_one_worker_says() -> None:
    compile_ahead()
    given = records()
    workers, learner = fleet()
    bursts: dict[int, list[dict[str, Any]]] = {}
    for each in given:
        bursts.setdefault((each["event_time"] - START_MS) // BURST_MS, []).append(each)
    for burst in bursts.values():
        feed(workers, learner, burst)
    for process in (*workers, learner):
        process.stop()
    assert workers[0].deaths == len(WORKER_STEPS)
    assert learner.deaths == len(LEARNER_STEPS)

    values = [json.dumps(each).encode() for each in given]
    raw = RawBatch("logs", 0, list(range(len(values))), values)
    batch = native_intake().read(raw, NOW_MS).batch
    of_one = alone(iter([batch]), NOW_MS, parse_policy(POLICY, "policy"))
    told = [alert for process in (*workers, learner) for alert in process.alerts()]
    # What falls due after the last tick one worker is asked for at the end, and these are not.
    until = datetime.fromtimestamp((START_MS + max(bursts) * BURST_MS) / 1_000, UTC).strftime("%Y-%m-%dT%H")
    told, of_one = ([each for each in alerts if each.time < until] for alerts in (told, of_one))
    assert said(told) == said(of_one)
    campaigns = [[each for each in alerts if each.rule == "campaign"] for alerts in (told, of_one)]
    assert campaigns[0] == campaigns[1]
    assert max(len(each.entity.accounts) for each in campaigns[0]) >= RING
    uids = {each.uid for each in campaigns[0]}
    assert {each.part_of for each in told if each.part_of} <= uids
    assert sum(bool(each.part_of) for each in told) > 1
