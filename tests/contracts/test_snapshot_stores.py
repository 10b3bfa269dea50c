"""What every store of snapshots promises: a local directory, fsspec's file systems, and a real S3 API."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

from copycatch.adapters.clock import ManualClock
from copycatch.adapters.memory import MemoryLog, MemoryMetrics, MemorySink
from copycatch.adapters.remote_snapshots import RemoteSnapshots
from copycatch.adapters.snapshots import DirectorySnapshots, entry_name, named
from copycatch.errors import StateError
from copycatch.ports import Committed, Shard, SnapshotInfo, SnapshotStore
from copycatch.service.checkpoint import Checkpoint
from copycatch.units import UnixMs
from tests.support.bucket import S3Server
from tests.support.counting import CountingJudge

KEY = b"0123456789abcdef"
SHARD = Shard("../odd/topic", 3)
FOLDER = "shard-..%2Fodd%2Ftopic%3A3"


@dataclass
class StoreCase:
    """A place for snapshots: opened as each new process would, and spoilt as a disk or a stranger does it."""

    opened: Callable[..., SnapshotStore]
    overwrite: Callable[[str, bytes], object]


@pytest.fixture(params=["directory", "file", "memory", "s3"])
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreCase:
    if request.param == "directory":
        return StoreCase(
            lambda key=KEY, keep=3: DirectorySnapshots(tmp_path, key, keep),
            lambda name, data: (tmp_path / FOLDER / name).write_bytes(data),
        )
    url = f"file://{tmp_path}/state" if request.param == "file" else f"memory://{uuid.uuid4().hex}"
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        bucket = f"state-{uuid.uuid4().hex[:8]}"
        server.make_bucket(bucket)
        url = f"s3://{bucket}/copycatch/group-one"

    def overwrite(name: str, data: bytes) -> None:
        with fsspec.open(f"{url}/{FOLDER}/{name}", "wb", skip_instance_cache=True) as file:
            file.write(data)

    return StoreCase(lambda key=KEY, keep=3: RemoteSnapshots(url, key, keep), overwrite)


def save(store: SnapshotStore, generation: int, content: bytes = b"state" * 1000) -> SnapshotInfo:
    info = SnapshotInfo(SHARD, generation, generation * 10, generation, "run")

    def write_all(write: Callable[[bytes | memoryview], object]) -> None:
        write(content)

    assert store.save(info, write_all) > len(content)
    return info


def test_what_is_saved_is_loaded_by_the_next_process(case: StoreCase) -> None:
    store = case.opened()
    assert store.candidates(SHARD) == []
    info = save(store, 1)
    again = case.opened()
    (candidate,) = again.candidates(SHARD)
    found, content = again.load(candidate)
    assert (found, bytes(content)) == (info, b"state" * 1000)
    assert again.candidates(Shard("another", 3)) == []


def test_a_large_state_comes_back_whole(case: StoreCase) -> None:
    """Larger than one part of an upload in many."""
    pieces = [bytes([n]) * 1_000_003 for n in range(64)]
    info = SnapshotInfo(SHARD, 1, 10, 1, "run")

    def write_all(write: Callable[[bytes | memoryview], object]) -> None:
        for piece in pieces:
            write(memoryview(piece))

    case.opened().save(info, write_all)
    assert case.opened().load(info)[1] == b"".join(pieces)


def test_the_last_few_stay_and_the_entries_since(case: StoreCase) -> None:
    store = case.opened(keep=2)
    for generation in range(1, 6):
        info = save(store, generation, b"x")
        store.append_entry(info, b"alert %d" % generation)
        store.prune(SHARD)
    again = case.opened()
    assert [each.generation for each in again.candidates(SHARD)] == [5, 4]
    assert [content for _, content in again.entries(SHARD)] == [b"alert 4", b"alert 5"]
    again.drop_entry(info)
    again.drop_entry(info)  # it may be gone already
    assert [content for _, content in case.opened().entries(SHARD)] == [b"alert 4"]


def test_damaged_and_foreign_ones_are_refused(case: StoreCase) -> None:
    store = case.opened()
    info = save(store, 1)
    with pytest.raises(StateError, match=r"another key.*key_file"):
        case.opened(key=KEY[::-1]).load(info)
    with pytest.raises(StateError):
        store.load(info._replace(generation=2))
    store.append_entry(info, b"alert")
    case.overwrite(entry_name(info), b"junk")
    assert store.entries(SHARD) == []
    case.overwrite(named(info), b"junk")
    with pytest.raises(StateError, match="no snapshot of this version"):
        store.load(info)


def test_a_write_that_fails_leaves_nothing(case: StoreCase) -> None:
    store = case.opened()

    def fail(write: Any) -> None:
        write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store.save(SnapshotInfo(SHARD, 1, 10, 1, "run"), fail)
    assert case.opened().candidates(SHARD) == []


def test_in_the_place_of_a_damaged_one_the_one_before_is_used(case: StoreCase) -> None:
    store = case.opened()
    save(store, 1, b'{"one": 1}')
    newest = save(store, 2, b'{"two": 2}')
    case.overwrite(named(newest), b"junk")
    judge, metrics = CountingJudge(), MemoryMetrics()
    sink = MemorySink(MemoryLog())
    checkpoint = Checkpoint(judge, sink, case.opened(), ManualClock(UnixMs(0)), metrics, is_forking=False)
    assert checkpoint.begin(SHARD, Committed(25), 0) == (10, 25), "read from the one before, silent to here"
    assert judge.counts[str(SHARD)] == {"one": 1}
    assert metrics.get("copycatch_snapshots_total", result="refused") == 1
