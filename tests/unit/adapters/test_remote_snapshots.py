"""Snapshots at a URL: the same promises as in a directory, on real fsspec file systems."""

import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest

from copycatch.adapters.remote_snapshots import RemoteSnapshots
from copycatch.adapters.snapshots import DirectorySnapshots
from copycatch.errors import ConfigError, RecoverableError, StateError
from copycatch.ports import Shard, SnapshotInfo
from copycatch.service.bootstrap import Instance, Places
from copycatch.settings.service import Service
from tests.unit.adapters.test_snapshots import KEY, SHARD, only_file, save


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory://{uuid.uuid4().hex}" if request.param == "memory" else f"file://{tmp_path}/state"


def test_what_is_saved_is_loaded_and_the_last_few_stay(url: str) -> None:
    store = RemoteSnapshots(url, KEY, keep=2)
    assert store.candidates(SHARD) == []
    infos = [save(store, generation) for generation in range(1, 5)]
    store.prune(SHARD)
    other_worker = RemoteSnapshots(url, KEY)
    assert [each.generation for each in other_worker.candidates(SHARD)] == [4, 3]
    found, content = other_worker.load(other_worker.candidates(SHARD)[0])
    assert (found, bytes(content)) == (infos[-1], b"state" * 1000)
    assert other_worker.candidates(Shard("another", 3)) == []


def test_foreign_and_damaged_ones_are_refused(url: str) -> None:
    store = RemoteSnapshots(url, KEY)
    info = save(store, 1)
    with pytest.raises(StateError, match="another key"):
        RemoteSnapshots(url, KEY[::-1]).load(info)
    with fsspec.open(f"{url}/shard-..%2Fodd%2Ftopic%3A3/000000000001-10.snapshot", "wb") as file:
        file.write(b"junk")
    with pytest.raises(StateError, match="no snapshot of this version"):
        store.load(info)
    with pytest.raises(StateError, match="not there any more"):
        store.load(info._replace(generation=2))


def test_a_write_that_fails_leaves_nothing(url: str) -> None:
    store = RemoteSnapshots(url, KEY)

    def fail(write: Any) -> None:
        write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store.save(SnapshotInfo(SHARD, 1, 10, 1, "run"), fail)
    assert store.candidates(SHARD) == []


def test_a_forked_child_writes_with_connections_of_its_own(tmp_path: Path) -> None:
    store = RemoteSnapshots(f"file://{tmp_path}/state", KEY)
    script = (
        "import os, sys; from copycatch.ports import SnapshotInfo\n"
        "from copycatch.adapters.remote_snapshots import RemoteSnapshots, Shard\n"
        f"store = RemoteSnapshots(sys.argv[1], {KEY!r}); first = store._open()[0]\n"
        "child = os.fork()\n"
        "if child:\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        f"info = SnapshotInfo(Shard(*{tuple(SHARD)!r}), 1, 10, 1, 'run')\n"
        "store.save(info, lambda write: write(b'x'))\n"
        "os._exit(0 if store._open()[0] is not first else 1)\n"
    )
    subprocess.run([sys.executable, "-c", script, f"file://{tmp_path}/state"], check=True, timeout=300)
    assert [each.generation for each in store.candidates(SHARD)] == [1]
    assert DirectorySnapshots(tmp_path / "state", KEY).candidates(SHARD) == store.candidates(SHARD)
    assert only_file(tmp_path).name == "000000000001-10.snapshot"


def test_a_store_that_is_away_is_not_an_empty_one(tmp_path: Path) -> None:
    """Nobody listens there: worth another try, and never a start without memory."""
    store = RemoteSnapshots("http://127.0.0.1:9/state", KEY)
    with pytest.raises(RecoverableError, match="snapshots at http"):
        store.candidates(SHARD)
    with pytest.raises(RecoverableError, match="snapshots at http"):
        store.load(SnapshotInfo(SHARD, 1, 10, 1, "run"))


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nosuch://x cannot be opened"):
        RemoteSnapshots("nosuch://x", KEY)
    settings = Service.model_validate({"snapshots": {"directory": "memory://x"}, "http": {"is_on": False}})
    with pytest.raises(ConfigError, match="with snapshots at a URL it has to be given"):
        Instance(settings, Places(), {})
    keyed = settings.model_copy(
        update={"snapshots": settings.snapshots.model_copy(update={"key_file": tmp_path / "key"})}
    )
    (tmp_path / "key").write_bytes(KEY)
    with pytest.raises(ConfigError, match="name a local directory"):
        Instance(keyed, Places(sources=["log.jsonl"]), {})
