"""State: bytes an account, snapshots and the pause they cost, restart, and whether memory stays flat."""

import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySink
from copycatch.adapters.snapshots import DirectorySnapshots
from copycatch.engine.state import BYTES_PER_ACCOUNT
from copycatch.ports import Shard, SnapshotInfo, SnapshotStore, SnapshotWriter
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Policy
from copycatch.service.bootstrap import decoder_maker, make_judge
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.judging import EngineJudge
from copycatch.settings.service import Input
from tests.benchmarks.engine import Bench
from tests.benchmarks.isolated import MeasurementFailed, run_isolated
from tests.benchmarks.machine import resident_bytes
from tests.benchmarks.measure import Figure, Part, Target, spend
from tests.benchmarks.scale import Scale
from tests.benchmarks.traffic import BATCH, Draw, Shape

SHARD = Shard("bench", 0)
KEY = b"benchmark key, 32 bytes of nothing"
FLAT_LOOKS = 6


def _judge(policy: Policy, accounts_max: int) -> EngineJudge:
    return make_judge(policy, accounts_max, KEY, {"*": decoder_maker(Input(topic="bench"))}, MemoryMetrics())


def _filled(accounts: int, records: int, warm_records: int, size: int) -> tuple[Bench, int]:
    """A bench with all accounts in place, and by how much the process grew for them."""
    bench = Bench(accounts, Shape(), Policy(), warm_records, size)
    before_bytes = resident_bytes()
    bench.introduce(accounts)
    bench.feed(Draw(accounts, "zipf", seed=3), records)
    return bench, resident_bytes() - before_bytes


def measure_writing(
    accounts: int, records: int, warm_records: int, size: int, folder: str, rounds: int, n_pauses: int
) -> dict[str, Any]:
    """Fill, snapshot as the service does it (in a forked child), go on, watch memory; runs in a child."""
    bench, grown_bytes = _filled(accounts, records, warm_records, size)
    judge = _judge(bench.policy, accounts)
    judge._state = bench.state
    store = DirectorySnapshots(Path(folder), KEY, keep=1)
    written_s, size_bytes = [], 0
    for generation in range(1, rounds + 1):
        info = SnapshotInfo(SHARD, generation, generation, generation, "bench")
        began_s = time.perf_counter()
        size_bytes = store.save(info, partial(judge.snapshot, SHARD))
        written_s.append(time.perf_counter() - began_s)
        store.prune(SHARD)
    pauses = _pauses(bench, judge, n_pauses)
    resident = []
    draw = Draw(accounts, "zipf", seed=4)
    for _ in range(FLAT_LOOKS):
        bench.feed(draw, records)
        resident.append(resident_bytes())
    return {
        "grown_bytes": grown_bytes,
        "row_bytes": BYTES_PER_ACCOUNT,
        "rows": len(bench.state.slots),
        "snapshot_bytes": size_bytes,
        "written_s": written_s,
        **pauses,
        "resident_bytes": resident,
    }


class _Held:
    """A store whose writer lives as long as the benchmark wants it to."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()

    def save(self, _info: SnapshotInfo, _content: SnapshotWriter) -> int:
        os.read(self._read_end, 1)
        return 0

    def prune(self, _shard: Shard) -> None:
        """Nothing is kept."""

    def let_go(self) -> None:
        os.write(self._write_end, b"x")


def _pauses(bench: Bench, judge: EngineJudge, n_pauses: int) -> dict[str, list[float]]:
    """How long judging stands still for a snapshot, and what the copying of pages costs the next batch.

    Through the service's own checkpoint. A batch is judged beside each living child, one when it has gone;
    so the tables of pages are as worn as those of a service that runs for long.
    """
    held, sink, clock, metrics = _Held(), MemorySink(MemoryLog()), SystemClock(), MemoryMetrics()
    store = cast("SnapshotStore", held)
    checkpoint = Checkpoint(judge, sink, store, clock, metrics, interval_s=0.0)
    checkpoint._position_by_shard[SHARD] = 0
    draw = Draw(len(bench.state.slots), "zipf", seed=5)
    found: dict[str, list[float]] = {"pause_s": [], "pause_cpu_s": [], "after_s": [], "usual_s": []}

    def batch_s() -> float:
        return spend(lambda: bench.feed(draw, BATCH), 1).wall_s

    for turn in range(n_pauses):
        checkpoint.deliver(Outcomes(), {SHARD: turn})
        pause = spend(checkpoint.snapshot_if_due, 1)
        found["pause_s"].append(pause.wall_s)
        found["pause_cpu_s"].append(pause.cpu_s)
        found["after_s"].append(batch_s())
        held.let_go()
        checkpoint.close()
        found["usual_s"].append(batch_s())
    return found


def measure_restart(accounts: int, folder: str) -> dict[str, Any]:
    """Read, verify and restore the newest snapshot, in a fresh process."""
    judge = _judge(Policy(), accounts)
    store = DirectorySnapshots(Path(folder), KEY, keep=1)
    began_s = time.perf_counter()
    found, content = store.load(store.candidates(SHARD)[0])
    judge.restore(SHARD, content)
    restored_s = time.perf_counter() - began_s
    return {"restored_s": restored_s, "rows": len(judge._state.slots), "position": found.position}


def _pause_figures(found: dict[str, Any]) -> list[Figure]:
    pauses_ms, cpu_ms, after_ms, usual_ms = (
        [1000 * each for each in found[name]] for name in ("pause_s", "pause_cpu_s", "after_s", "usual_s")
    )
    n = f"of {len(pauses_ms)}"
    usual = float(np.median(usual_ms))
    return [
        Figure("state", "pause of judging for it", "ms", pauses_ms, note=f"median {n}; a fork, all of it"),
        Figure("state", "the same, on a core", "ms", cpu_ms, note=f"worst {n}: {max(cpu_ms):.0f} ms"),
        Figure(
            "state", "the same, 99 in 100", "ms", [float(np.quantile(pauses_ms, 0.99))],
            target=Target("at most", 100.0), note=f"worst {n}: {max(pauses_ms):.0f} ms",
        ),
        Figure(
            "state", "batch of 5,000 right after it", "ms", after_ms, "usual batch",
            [each / usual for each in after_ms], note="pages are copied as they are written",
        ),
        Figure(
            "state", "slowest batch after it", "ms", [max(after_ms)], "usual batch", [max(after_ms) / usual]
        ),
    ]  # fmt: skip


def run(scale: Scale) -> Part:
    """Part (e)."""
    accounts = scale.state_accounts
    part = Part("state", f"State of {accounts:,} accounts")
    with tempfile.TemporaryDirectory(prefix="copycatch-bench-") as folder:
        try:
            found = run_isolated(
                "tests.benchmarks.state:measure_writing",
                {
                    "accounts": accounts,
                    "records": scale.records,
                    "warm_records": scale.warm_records,
                    "size": scale.batch,
                    "folder": folder,
                    "rounds": scale.rounds,
                    "n_pauses": scale.pauses,
                },
            )
            restarts = [
                run_isolated(
                    "tests.benchmarks.state:measure_restart", {"accounts": accounts, "folder": folder}
                )
                for _ in range(scale.rounds)
            ]
        except MeasurementFailed as error:
            part.skipped.append(str(error))
            return part
    rows = found["rows"]
    per_100k = 100_000 / rows
    resident = found["resident_bytes"]
    half = len(resident) // 2
    add = part.figures.append
    add(
        Figure(
            "state", "window row", "bytes an account", [found["row_bytes"]], target=Target("at most", 4096)
        )
    )
    add(
        Figure(
            "state",
            "process growth, all in",
            "bytes an account",
            [found["grown_bytes"] / rows],
            "window row",
            [found["grown_bytes"] / rows / found["row_bytes"]],
            Target("at most", 4096),
            "rows, names, ids seen lately; room for accounts to come takes no memory yet",
        )
    )
    add(
        Figure(
            "state",
            "memory after as much traffic again",
            "MiB",
            [resident[-1] / 2**20],
            "half way",
            [resident[-1] / resident[half]],
            Target("at most", 1.05, "ratio"),
            "flat over time",
        )
    )
    snapshot_mib = found["snapshot_bytes"] / 2**20 * per_100k
    add(
        Figure(
            "state",
            "snapshot of 100k accounts",
            "MiB",
            [snapshot_mib],
            "rows in memory",
            [found["snapshot_bytes"] / rows / found["row_bytes"]],
        )
    )
    add(Figure("state", "writing it, signed and synced", "s", [s * per_100k for s in found["written_s"]]))
    part.figures += _pause_figures(found)
    add(
        Figure(
            "state",
            "restart from it",
            "s",
            [each["restored_s"] * per_100k for each in restarts],
            target=Target("at most", 5.0),
            note="read, verify, restore in a fresh process",
        )
    )
    assert all(each["rows"] == rows for each in restarts), "a restart must bring every account back"
    return part
