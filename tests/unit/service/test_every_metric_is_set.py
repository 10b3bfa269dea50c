"""The table of metrics against a run: what nothing sets would show a constant 0 to an operator."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

from copycatch.adapters.clock import ManualClock
from copycatch.adapters.evaluation_store import KeepingSink
from copycatch.adapters.fan_out import FanOutSink
from copycatch.adapters.memory import MemoryLog, MemorySink, MemorySnapshots, MemorySource
from copycatch.adapters.prometheus import PrometheusMetrics
from copycatch.desk.drill_records import NATIVE, Drill
from copycatch.engine.learned import MODELS_MAX
from copycatch.errors import RecoverableError
from copycatch.features.catalog import NAMES
from copycatch.intake.drill_marks import DrillMarks
from copycatch.metric_names import METRICS
from copycatch.ports import Delivery, Shard
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.policy import Policy
from copycatch.service.bootstrap import decoder_maker, make_judge
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.policy_watch import PolicyWatch
from copycatch.service.quarantine import Quarantine
from copycatch.service.runner import Pace, Runner, RunnerParts
from copycatch.service.verdict_watch import VerdictWatch
from copycatch.settings.service import Input
from copycatch.sinks.catalog import make_sinks
from copycatch.sinks.syslog import SyslogSettings
from copycatch.units import UnixMs
from tests.support.evaluations import Seen, columns
from tests.support.traffic import NOW_MS, START_MS, record

# Only where the learner is another process: tests/unit/service/test_learner.py has their values.
OF_LEARNER = {
    "copycatch_version",
    "copycatch_version_lag_seconds",
    "copycatch_learning_messages_total",
    "copycatch_ticks_without_version_total",
}
TRACED = {"copycatch_spans_total"}  # with a collector: tests/unit/adapters/test_otlp.py has its values
PLAIN, SPLIT = Shard("logs", 0), Shard("arrays", 0)
POLICY = """\
version: 1
rules:
  - name: hard
    when: {feature: queries_per_s, above: 0.0001}
    action: throttle
"""


class Recording(PrometheusMetrics):
    """The real metrics, and which of them something touched."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: set[str] = set()

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        super().count(name, amount, **labels)
        self.touched.add(name)

    def set(self, name: str, value: float, **labels: str) -> None:
        super().set(name, value, **labels)
        self.touched.add(name)

    def observe(self, name: str, value: float, **labels: str) -> None:
        super().observe(name, value, **labels)
        self.touched.add(name)

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


class Shaky(MemorySource):
    """A broker that is away at first, and whose retention takes records that nobody has read."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self._polls = 0

    def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
        self._polls += 1
        if self._polls == 1:
            msg = "the broker is away"
            raise RecoverableError(msg)
        if self._polls == 4:
            self._log.trim(PLAIN, self._position_by_shard[PLAIN] + 7)
        return super().poll(records_max, timeout_s)


class Dies(Exception):  # noqa: N818 (a kill, not an error)
    """Stands for kill -9."""


def full_log() -> MemoryLog:
    log = MemoryLog()
    lines: list[dict[str, Any] | bytes] = [
        record(
            n,
            account_id=f"a{n % 90}",
            event_time=START_MS + 30_000 * n,
            input=[0.1] * (4 if n < 900 else 2),
        )
        for n in range(1500)
    ]
    lines[700:700] = [
        record(1500 + n, model_id=f"m{n}", event_time=START_MS + 30_000 * 700) for n in range(MODELS_MAX + 9)
    ]
    lines += [b"{", record(1)]
    log.append(PLAIN, [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines])
    event = {"id": "p1", "account": "a1", "ts": START_MS}
    drill = Drill("3fa2", "m1", NATIVE, DrillMarks(b"k"))
    log.append(PLAIN, [drill.record(n, UnixMs(NOW_MS)).value or b"" for n in range(1, 14)])
    log.append(SPLIT, [json.dumps({"all": [event, event | {"id": "p2"}]}).encode()] * 3)
    return log


def run(log: MemoryLog, snapshots: MemorySnapshots, metrics: Recording, folder: Path, turns: int) -> None:
    """One process: killed after so many turns, or to the end."""
    clock = ManualClock(UnixMs(NOW_MS))
    mapping = folder / "mapping.yaml"
    mapping.write_text(
        "version: 1\neach: /all\nfields: {event_id: /id, event_time: {at: /ts, as: epoch_ms}, "
        "account_id: /account, model_id: {always: m1}}\n"
    )
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    watch = PolicyWatch(policy, clock, metrics)
    VerdictWatch(folder / "verdicts.jsonl", clock, metrics).look()
    decoders = {
        PLAIN.topic: decoder_maker(Input(topic=PLAIN.topic)),
        SPLIT.topic: decoder_maker(
            Input(topic=SPLIT.topic, format="mapping", options={"mapping": str(mapping)})
        ),
    }
    judge = make_judge(watch.policy, 60, b"k", decoders, metrics, has_drills=True)
    source, main = Shaky(log), MemorySink(log)
    nobody = SyslogSettings(name="siem", type="syslog", host="127.0.0.1", port=1)
    sink = FanOutSink(main, make_sinks([nobody], clock.now_ms), clock, metrics)
    checkpoint = Checkpoint(judge, sink, snapshots, clock, metrics, interval_s=5.0, is_forking=False)
    done = iter(range(1, 10_000))

    def on_turn() -> None:
        turn = next(done)
        if turn == 3:
            MemorySink(log)  # another worker fences this one
            policy.write_text(POLICY + "mode: shadow\n")
            watch.look_now()
        if turn == turns:
            raise Dies

    runner = Runner(
            RunnerParts(source, sink, judge, clock, metrics),
            checkpoint,
        pace=Pace(records_max=100), next_policy=watch.next_policy, on_turn=on_turn,
        quarantine=Quarantine(folder / "crashes", metrics),
    )  # fmt: skip
    if turns:
        runner._close = lambda: None  # type: ignore[method-assign]
    try:
        runner.run()
    except Dies:
        return


def score(metrics: Recording, folder: Path, *tail_probs: float) -> None:
    """One delivered unit with these scores, and one evaluation without; kept, and where it cannot be."""
    log, clock = MemoryLog(), ManualClock(UnixMs(NOW_MS))
    judge = make_judge(Policy(), 60, b"k", {}, metrics)
    keeping = KeepingSink(MemorySink(log), folder, NAMES, 3, 1 << 20, clock, metrics)
    checkpoint = Checkpoint(judge, keeping, None, clock, metrics)
    seen = [Seen(f"a{n}", START_MS, tail_prob) for n, tail_prob in enumerate((*tail_probs, math.nan))]
    evaluated = Outcomes(evaluations=[columns(seen)])
    checkpoint.deliver(evaluated, {})
    keeping.close()
    shutil.rmtree(folder)
    keeping.deliver(Delivery(evaluated, {}))


def test_a_run_sets_every_metric(tmp_path: Path) -> None:
    log, snapshots, metrics = full_log(), MemorySnapshots(), Recording()
    for _ in range(2):  # processes that have died at it
        next(iter(Quarantine(tmp_path / "crashes", metrics).pieces(RawBatch(*PLAIN, [3], [b"x"]))))
    run(log, snapshots, metrics, tmp_path, turns=9)
    run(log, snapshots, metrics, tmp_path, turns=0)
    score(
        metrics, tmp_path / "kept", 0.004, 0.5
    )  # a model is scored after two days, and this run is of half a day
    assert metrics.value("copycatch_tail_probability_bucket", le="0.01") == 1
    assert metrics.value("copycatch_tail_probability_count") == 2
    unset = {spec.name for spec in METRICS} - metrics.touched
    assert unset == OF_LEARNER | TRACED, "nothing sets these: drop them"
    assert metrics.value("copycatch_gaps_total") >= 2
    assert metrics.value("copycatch_records_lost_total") >= 14
    assert metrics.value("copycatch_accounts_evicted_total") > 0
    assert metrics.value("copycatch_records_beyond_models_total") >= 9
    assert metrics.value("copycatch_populations_evicted_total") > 0
    assert metrics.value("copycatch_populations_restarted_total") > 0
    assert metrics.value("copycatch_vectors_left_out_total") > 0
    assert metrics.value("copycatch_records_set_aside_total") == 1
    assert b"process_resident_memory_bytes" in metrics.text()
