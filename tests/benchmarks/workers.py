"""Workers: accounts over 1 to 16 shards with one learner, in lockstep, beside one worker on the same log.

Inputs travel as bytes, as on a topic. Traces of classifiers and of a language model lie beside the checkout,
or are skipped; the first log is made here.
"""

import gzip
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

SHARDS = (1, 4, 16)
TRACES = ("letter", "fashion", "banking", "llm-1")
MADE = "made here"
HOURS = 72
BATCH = 5_000
AWAY = (2.0, 3.0)  # days of event time between which the learner is away
MB = 1e6


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


def _days(log: str, records: int) -> tuple[int, float]:
    """When the log begins, and how many days it has."""
    edges = [
        (int(batch.event_times_ms.min()), int(batch.event_times_ms.max())) for batch in _batches(log, records)
    ]
    begin_ms = min(first for first, _ in edges)
    return begin_ms, (max(last for _, last in edges) - begin_ms) / MS_PER_DAY


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


def measure(log: str, records: int, shards: int, is_away: bool = False) -> dict[str, Any]:
    """One run in lockstep, beside one worker; in a child."""
    policy, now_ms = Policy(), UnixMs(NOW_MS)
    begin_ms, days = _days(log, records)
    away_ms = [begin_ms + round(day * MS_PER_DAY) for day in AWAY]
    alerts, cost = in_lockstep(
        _batches(log, records),
        shards,
        now_ms,
        policy,
        may_learn=lambda ms: not (is_away and away_ms[0] <= ms < away_ms[1]),
    )
    one = alone(_batches(log, records), now_ms, policy)
    return _verdicts(log, alerts) | _costs(cost, shards, days) | {"is_same": said(alerts) == said(one)}


def _costs(cost: Cost, shards: int, days: float) -> dict[str, Any]:
    return {
        "told_mb": cost.told_bytes / days / MB,
        "learner_ms": 1e3 * cost.learner_s / cost.ticks,
        "take_share": cost.take_s / (cost.take_s + cost.worker_s),
        "by_kind": {kind: n / days / MB for kind, n in cost.by_kind.items()},
        "shards": shards,
    }


def run(scale: Scale) -> Part:
    part = Part("workers", "Workers: shards with one learner, beside one worker", axis="shards")
    traces = found_traces([DEVELOPMENT / name for name in TRACES]) if scale.with_traces else []
    part.skipped += [
        f"{name}: no such trace beside the checkout"
        for name in TRACES
        if name not in {each.name for each in traces}
    ]
    for log in (MADE, *map(str, traces)):
        for shards, is_away in (*((each, False) for each in SHARDS), (4, True)):
            arguments = {"log": log, "records": scale.warm_records // 5, "shards": shards, "is_away": is_away}
            name = f"{Path(log).name}, {shards} shards" + (", learner away for a day" if is_away else "")
            try:
                found = run_isolated("tests.benchmarks.workers:measure", arguments)
            except MeasurementFailed as failure:
                part.skipped.append(f"{name}: {failure}")
                continue
            part.figures += _figures(name, shards, found, is_away=is_away)
    return part


def _figures(name: str, shards: int, found: dict[str, Any], *, is_away: bool) -> list[Figure]:
    def figure(what: str, unit: str, value: float, target: Target | None = None) -> Figure:
        return Figure("workers", f"{what}, {name}", unit, [value], target=target)

    same = (
        []
        if is_away
        else [figure("alerts of one worker", "1 for yes", found["is_same"], Target("at least", 1))]
    )
    fidelity = [figure("fidelity share at alert", "", found["fidelity"])] if "fidelity" in found else []
    return [
        *same,
        figure("recall", "", found["recall"]),
        *fidelity,
        figure("honest accounts alerted", "", found["honest"]),
        Figure("workers", f"learning inputs, {name}", "MB a day", [found["told_mb"]], at=shards),
        figure("learner", "ms of CPU a tick", found["learner_ms"]),
        figure("ticks and versions taken", "share of the workers' CPU", found["take_share"]),
    ]
