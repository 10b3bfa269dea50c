"""State: bytes an account, snapshots and the pause they cost, restart, and whether memory stays flat."""

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySink
from copycatch.adapters.snapshots import DirectorySnapshots
from copycatch.ports import Shard, SnapshotInfo
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Policy
from copycatch.service.bootstrap import decoder_maker, make_judge
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.judging import EngineJudge
from copycatch.settings.service import Input
from tests.benchmarks.engine import Bench
from tests.benchmarks.isolated import MeasurementFailed, run_isolated
from tests.benchmarks.machine import resident_bytes
from tests.benchmarks.measure import Figure, Part, Target
from tests.benchmarks.scale import Scale
from tests.benchmarks.traffic import Draw, Shape

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
    accounts: int, records: int, warm_records: int, size: int, folder: str, rounds: int
) -> dict[str, Any]:
    """Fill, snapshot as the service does it (in a forked child), go on, watch memory; runs in a child."""
    bench, grown_bytes = _filled(accounts, records, warm_records, size)
    judge = _judge(bench.policy, accounts)
    judge._state = bench.state
    store = DirectorySnapshots(Path(folder), KEY, keep=1)
    pauses_s, written_s, size_bytes = [], [], 0
    for generation in range(1, rounds + 1):
        info = SnapshotInfo(SHARD, generation, generation, generation, "bench")
        began_s = time.perf_counter()
        size_bytes = store.save(info, partial(judge.snapshot, SHARD))
        written_s.append(time.perf_counter() - began_s)
        store.prune(SHARD)
    pauses_s = _pauses(judge, store, rounds)
    resident = []
    draw = Draw(accounts, "zipf", seed=4)
    for _ in range(FLAT_LOOKS):
        bench.feed(draw, records)
        resident.append(resident_bytes())
    return {
        "grown_bytes": grown_bytes,
        "row_bytes": bench.state.bytes_per_account,
        "rows": len(bench.state.slots),
        "snapshot_bytes": size_bytes,
        "written_s": written_s,
        "pauses_s": pauses_s,
        "resident_bytes": resident,
    }


def _pauses(judge: EngineJudge, store: DirectorySnapshots, rounds: int) -> list[float]:
    """How long judging stands still for a snapshot: through the service's own checkpoint."""
    sink, clock, metrics = MemorySink(MemoryLog()), SystemClock(), MemoryMetrics()
    checkpoint = Checkpoint(judge, sink, store, clock, metrics, interval_s=0.0)
    checkpoint._position_by_shard[SHARD] = rounds
    pauses_s = []
    for turn in range(rounds):
        checkpoint.deliver(Outcomes(), {SHARD: rounds + turn})
        began_s = time.perf_counter()
        checkpoint.snapshot_if_due()
        pauses_s.append(time.perf_counter() - began_s)
        checkpoint.close()
    return pauses_s


def measure_restart(accounts: int, folder: str) -> dict[str, Any]:
    """Read, verify and restore the newest snapshot, in a fresh process."""
    judge = _judge(Policy(), accounts)
    store = DirectorySnapshots(Path(folder), KEY, keep=1)
    began_s = time.perf_counter()
    found, content = store.load(store.candidates(SHARD)[0])
    judge.restore(SHARD, content)
    restored_s = time.perf_counter() - began_s
    return {"restored_s": restored_s, "rows": len(judge._state.slots), "position": found.position}


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
    add(Figure("state", "pause of judging for it", "ms", [s * 1000 for s in found["pauses_s"]]))
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
