"""Requests to delete an account: done once a shard, in snapshots too, with an audit that names nobody."""

import json
from pathlib import Path

import pytest

from copycatch.adapters.clock import ManualClock
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySink, MemorySource
from copycatch.adapters.snapshots import DirectorySnapshots
from copycatch.ports import Shard
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.erasure import AUDIT, Erasures, Request, account_hash
from copycatch.service.runner import Pace, Runner, RunnerParts
from copycatch.units import UnixMs
from tests.support.counting import CountingJudge
from tests.support.records import START_MS, traffic

LEFT, RIGHT = Shard("records", 0), Shard("records", 1)
KEY = b"tests: no secret at all"
GONE = Request("r1", "acct-1", None, "kim", "asked to", "2026-01-01T00:00:00.000Z")


def erasures(folder: Path, clock: ManualClock) -> Erasures:
    return Erasures(folder / "erasures-g", folder / "group-g", clock, KEY)


class Worker:
    """A process with these shards; its state is in the folder."""

    def __init__(self, log: MemoryLog, folder: Path, shards: list[Shard]) -> None:
        self.judge, self.clock, self.metrics = CountingJudge(), ManualClock(UnixMs(START_MS)), MemoryMetrics()
        self.erasures = erasures(folder, self.clock)
        store, sink = DirectorySnapshots(folder / "group-g", KEY), MemorySink(log)
        checkpoint = Checkpoint(self.judge, sink, store, self.clock, self.metrics, 0.0, is_forking=False)
        self.turns = 0
        self.runner = Runner(
            RunnerParts(
                MemorySource(log, shards, is_endless=True), sink, self.judge, self.clock, self.metrics
            ),
            checkpoint,
            pace=Pace(records_max=50),
            erasures=self.erasures,
            on_turn=self.on_turn,
        )

    def on_turn(self) -> None:
        self.clock.sleep(1.0)
        self.turns += 1
        if self.turns == 12:
            self.runner.stop()

    def run(self) -> "Worker":
        self.runner.run()
        return self


def full_log() -> MemoryLog:
    log = MemoryLog()
    for n, (_, value) in enumerate(traffic(400)):
        log.append(LEFT if n % 2 else RIGHT, [value])
    return log


def snapshots(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in sorted((folder / "group-g").rglob("*")) if path.is_file()
    }


def test_it_is_deleted_from_state_and_every_snapshot(tmp_path: Path) -> None:
    log = full_log()
    Worker(log, tmp_path, [LEFT, RIGHT]).run()
    assert all(b'acct-1"' in content for content in snapshots(tmp_path).values())
    erasures(tmp_path, ManualClock(UnixMs(START_MS))).ask(GONE)
    worker = Worker(log, tmp_path, [LEFT, RIGHT]).run()
    kept = snapshots(tmp_path)
    assert kept
    assert not any(b'acct-1"' in content for content in kept.values())
    assert all(b'acct-2"' in content for content in kept.values())
    assert not worker.erasures.is_open(GONE)
    left = {path.name: path.read_text() for path in (tmp_path / "erasures-g").iterdir()}
    assert list(left) == [AUDIT], "the request named it"
    (line,) = left[AUDIT].splitlines()
    done = json.loads(line)
    assert (done["by"], done["reason"], done["rows"]) == ("kim", "asked to", 2)
    assert done["account_hash"] == account_hash(None, "acct-1", KEY)
    assert "acct-1" not in line


def test_a_request_waits_for_every_worker_with_snapshots(tmp_path: Path) -> None:
    log = full_log()
    Worker(log, tmp_path, [LEFT, RIGHT]).run()
    asking = erasures(tmp_path, ManualClock(UnixMs(START_MS)))
    asking.ask(GONE)
    Worker(log, tmp_path, [LEFT]).run()
    assert asking.waits_for(GONE) == [str(RIGHT)]
    first = Worker(log, tmp_path, [LEFT]).run()
    assert len((tmp_path / "erasures-g" / AUDIT).read_text().splitlines()) == 1, (
        "done once, not at each start"
    )
    assert first.erasures.is_open(GONE)
    Worker(log, tmp_path, [RIGHT]).run()
    assert not asking.is_open(GONE)
    assert [path.name for path in (tmp_path / "erasures-g").iterdir()] == [AUDIT]


def test_a_full_disk_leaves_the_request_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = full_log()
    Worker(log, tmp_path, [LEFT]).run()
    worker = Worker(log, tmp_path, [LEFT])
    worker.erasures.ask(GONE)
    rewrite, left = worker.runner._checkpoint.rewrite, iter(range(3))

    def full() -> None:
        if next(left, None) is not None:
            raise OSError(28, "No space left on device")
        rewrite()

    monkeypatch.setattr(worker.runner._checkpoint, "rewrite", full)
    worker.run()
    assert not worker.erasures.is_open(GONE), "done when there was room"
    assert next(left, None) is None
    assert not any(b'acct-1"' in content for content in snapshots(tmp_path).values())


def test_what_is_no_request_is_said_and_harms_none(tmp_path: Path) -> None:
    asking = erasures(tmp_path, ManualClock(UnixMs(START_MS)))
    asking.ask(GONE)
    (tmp_path / "erasures-g" / "x.json").write_text("{")
    assert asking.open() == [GONE]
