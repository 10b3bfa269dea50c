"""Workers: accounts over 1 to 16 shards with one learner, in lockstep, beside one worker on the same log.

Inputs travel as bytes, as on a topic. Traces of classifiers and of a language model lie beside the checkout,
or are skipped; the first log is made here.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from copycatch.embedding.embedder import TextEmbedder
from copycatch.records.columns import RawBatch, RecordBatch
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER, Alert
from copycatch.redteam.trace import LOG_NAME
from copycatch.service.replay import REPLAY_KEY
from copycatch.units import MS_PER_DAY, UnixMs
from tests.benchmarks.detection.judging import judge
from tests.benchmarks.detection.traces import DEVELOPMENT, found_traces
from tests.benchmarks.engine import NOW_MS
from tests.benchmarks.isolated import MeasurementFailed, run_isolated
from tests.benchmarks.measure import Figure, Part, Target
from tests.benchmarks.scale import Scale
from tests.support.shards import Cost, alone, in_lockstep, said
from tests.support.telling import hunted
from tests.support.traffic import batches, native_intake

SHARDS = (1, 2, 4, 16)
TRACES = ("letter", "fashion", "banking", "llm-1")
MADE = "made here"
HOURS = 72
BATCH = 5_000
AWAY = (2.0, 3.0)  # days of event time between which the learner is away
MB = 1e6
LOST_MAX = 0.02  # of recall, by a learner that is away
TAKE_MAX = 0.05  # of the workers' CPU, for taking versions
TIMEOUT_S = 3_600.0  # sixteen shards on a busy machine


def _batches(log: str, records: int) -> Iterator[RecordBatch]:
    if log == MADE:
        yield from batches(
            [each for _, each in hunted(records, seed=1, hours=HOURS, n_accounts=120)], [BATCH]
        )
        return
    intake = native_intake(REPLAY_KEY, TextEmbedder())
    with gzip.open(Path(log) / LOG_NAME, "rb") as lines:
        start = 0
        while values := [line.rstrip(b"\n") for line in islice(lines, BATCH)]:
            raw = RawBatch("logs", 0, list(range(start, start + len(values))), values)
            yield intake.read(raw, UnixMs(NOW_MS)).batch
            start += len(values)


def _verdicts(log: str, alerts: list[Alert]) -> dict[str, float]:
    if log == MADE:
        accounts = {alert.entity.id for alert in alerts if alert.entity.kind == "account"}
        thieves = sum(name.startswith("thief") for name in accounts)
        return {"recall": thieves / 12, "honest": (len(accounts) - thieves) / 120}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "alerts.jsonl"
        path.write_bytes(b"".join(ENCODER.encode(alert) + b"\n" for alert in alerts))
        judged = judge(Path(log), "workers", path)
    return {"recall": judged.recall, "fidelity": judged.fidelity_share, "honest": judged.benign_alerted}


def measure_alone(log: str, records: int, kept: str) -> dict[str, Any]:
    """One worker that learns by itself; `kept` is a file for what it says. In a child."""
    times_ms: list[int] = []

    def read() -> Iterator[RecordBatch]:
        for batch in _batches(log, records):
            times_ms.extend((int(batch.event_times_ms.min()), int(batch.event_times_ms.max())))
            yield batch

    alerts = alone(read(), UnixMs(NOW_MS), Policy())
    Path(kept).write_text(
        json.dumps({"begin_ms": min(times_ms), "end_ms": max(times_ms), "said": said(alerts)})
    )
    return _verdicts(log, alerts)


def measure(log: str, records: int, shards: int, kept: str, is_away: bool = False) -> dict[str, Any]:
    """Workers in lockstep, beside what one said; in a child."""
    one = json.loads(Path(kept).read_text())
    days = (one["end_ms"] - one["begin_ms"]) / MS_PER_DAY
    away_ms = [one["begin_ms"] + round(day * MS_PER_DAY) for day in AWAY]
    alerts, cost = in_lockstep(
        _batches(log, records),
        shards,
        UnixMs(NOW_MS),
        Policy(),
        may_learn=lambda ms: not (is_away and away_ms[0] <= ms < away_ms[1]),
    )
    is_same = [list(each) for each in said(alerts)] == one["said"]
    return _verdicts(log, alerts) | _costs(cost, days) | {"is_same": is_same}


def _costs(cost: Cost, days: float) -> dict[str, Any]:
    workers_s = cost.take_s + cost.tell_s + cost.worker_s
    return {
        "told_mb": cost.told_bytes / days / MB,
        "versions_mb": cost.version_bytes / days / MB,
        "learner_ms": 1e3 * cost.learner_s / cost.ticks,
        "workers_s": workers_s,
        "take_share": cost.take_s / workers_s,
        "tell_share": cost.tell_s / workers_s,
        "by_kind": {kind: round(n / days / MB, 2) for kind, n in cost.by_kind.items()},
    }


def run(scale: Scale) -> Part:
    part = Part("workers", "Workers: shards with one learner, beside one worker", axis="shards")
    traces = found_traces([DEVELOPMENT / name for name in TRACES]) if scale.with_traces else []
    part.skipped += [
        f"{name}: no such trace beside the checkout"
        for name in TRACES
        if name not in {each.name for each in traces}
    ]
    with TemporaryDirectory() as folder:
        for log in (*map(str, traces), MADE):
            _run_log(part, log, scale.warm_records // 5, str(Path(folder) / f"{Path(log).name}.json"))
    return part


def _run_log(part: Part, log: str, records: int, kept: str) -> None:
    """Each result is told on stderr as it comes: the whole takes an hour."""
    arguments: dict[str, Any] = {"log": log, "records": records, "kept": kept}
    name = Path(log).name
    try:
        one = run_isolated("tests.benchmarks.workers:measure_alone", arguments)
        part.figures += _tell(_verdict_figures(f"{name}, one worker", one))
        for shards, is_away in (*((each, False) for each in SHARDS), (4, True)):
            words = f"{name}, {shards} shards" + (", learner away for a day" if is_away else "")
            more = {"shards": shards, "is_away": is_away}
            found = run_isolated("tests.benchmarks.workers:measure", arguments | more, TIMEOUT_S)
            part.figures += _tell(_figures(words, shards, found, None if not is_away else one["recall"]))
    except MeasurementFailed as failure:
        part.skipped.append(f"{name}: {failure}")


def _tell(figures: list[Figure]) -> list[Figure]:
    for each in figures:
        verdict = "" if each.is_met is None else "  met" if each.is_met else "  MISSED"
        print(f"  {each.name}: {each.value:.4g} {each.unit}{verdict}", file=sys.stderr, flush=True)
    return figures


def _verdict_figures(name: str, found: dict[str, Any], recall: Target | None = None) -> list[Figure]:
    figures = [Figure("workers", f"recall, {name}", "", [found["recall"]], target=recall)]
    if "fidelity" in found:
        figures.append(Figure("workers", f"fidelity share at alert, {name}", "", [found["fidelity"]]))
    return [*figures, Figure("workers", f"honest accounts alerted, {name}", "", [found["honest"]])]


def _figures(name: str, shards: int, found: dict[str, Any], recall_of_one: float | None) -> list[Figure]:
    """`recall_of_one` where the learner was away: then alerts need not be the same."""

    def figure(what: str, unit: str, value: float, target: Target | None = None) -> Figure:
        return Figure("workers", f"{what}, {name}", unit, [value], target=target)

    if recall_of_one is None:
        same, recall = (
            [figure("alerts of one worker", "1 for yes", found["is_same"], Target("at least", 1))],
            None,
        )
    else:
        same, recall = [], Target("at least", recall_of_one - LOST_MAX)
    return [
        *same,
        *_verdict_figures(name, found, recall),
        Figure("workers", f"learning inputs, {name}", "MB a day", [found["told_mb"]], at=shards),
        figure("versions", "MB a day", found["versions_mb"]),
        figure("learner", "ms of CPU a tick", found["learner_ms"]),
        figure(
            "versions taken", "share of the workers' CPU", found["take_share"], Target("at most", TAKE_MAX)
        ),
        figure("inputs told", "share of the workers' CPU", found["tell_share"]),
    ]
