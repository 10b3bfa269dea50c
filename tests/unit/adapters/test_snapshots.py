"""Snapshots on a disk: whole or not at all, ours or not at all."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycatch.adapters.snapshots import DirectorySnapshots, kept_key, read_snapshot
from copycatch.errors import ConfigError, StateError
from copycatch.ports import Shard, SnapshotInfo, SnapshotStore

KEY = b"0123456789abcdef"
SHARD = Shard("../odd/topic", 3)


def save(
    store: SnapshotStore, generation: int, content: bytes = b"state" * 1000, shard: Shard = SHARD
) -> SnapshotInfo:
    info = SnapshotInfo(shard, generation, generation * 10, generation, "run")

    def write_all(write: Callable[[bytes | memoryview], object]) -> None:
        write(content)

    store.save(info, write_all)
    return info


def only_file(folder: Path) -> Path:
    (path,) = folder.rglob("*.snapshot")
    return path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    store = DirectorySnapshots(tmp_path, KEY)
    info = save(store, 1, b"state" * 1000)
    (candidate,) = store.candidates(SHARD)
    found, content = store.load(candidate)
    assert found == info
    assert bytes(content) == b"state" * 1000
    assert stat.S_IMODE(only_file(tmp_path).stat().st_mode) == 0o600
    assert only_file(tmp_path).parent.parent == tmp_path, "no name leads out of the directory"


def test_the_last_few_stay(tmp_path: Path) -> None:
    store = DirectorySnapshots(tmp_path, KEY, keep=2)
    for generation in range(1, 6):
        save(store, generation, b"x")
        store.prune(SHARD)
    assert [each.generation for each in store.candidates(SHARD)] == [5, 4]


@given(at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    folder = tmp_path_factory.mktemp("snapshots")
    store = DirectorySnapshots(folder, KEY)
    info = save(store, 1, b"some content")
    path = only_file(folder)
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(bytes(data))
    with pytest.raises(StateError):
        store.load(info)


@given(n=st.integers(0, 200))
def test_any_truncation_is_refused(tmp_path_factory: pytest.TempPathFactory, n: int) -> None:
    folder = tmp_path_factory.mktemp("snapshots")
    store = DirectorySnapshots(folder, KEY)
    save(store, 1, b"some content")
    data = only_file(folder).read_bytes()
    with pytest.raises(StateError):
        read_snapshot(memoryview(data[: min(n, len(data) - 1)]), KEY, "cut")


def test_a_foreign_signature_is_told_from_damage(tmp_path: Path) -> None:
    info = save(DirectorySnapshots(tmp_path, b"another key, 16b+"), 1, b"pickled mischief")
    with pytest.raises(StateError, match=r"signed with another key.*key_file"):
        DirectorySnapshots(tmp_path, KEY).load(info)


def test_a_snapshot_of_another_shard_is_refused(tmp_path: Path) -> None:
    store = DirectorySnapshots(tmp_path, KEY)
    mine, other = save(store, 1, b"a"), save(store, 1, b"b", Shard("t", 1))
    files = {path.parent.name: path for path in tmp_path.rglob("*.snapshot")}
    assert len(files) == 2
    first, second = files.values()
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    for info in (mine, other):
        with pytest.raises(StateError, match="the snapshot is of"):
            store.load(info)


def test_an_old_snapshot_under_a_newer_name_is_refused(tmp_path: Path) -> None:
    store = DirectorySnapshots(tmp_path, KEY)
    save(store, 1, b"before the block")
    old = only_file(tmp_path)
    save(store, 2, b"after it")
    old.rename(old.with_name("000000000009-10.snapshot"))
    newest, second = store.candidates(SHARD)
    assert newest.generation == 9
    with pytest.raises(StateError, match="generation 1"):
        store.load(newest)
    assert bytes(store.load(second)[1]) == b"after it"


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    store = DirectorySnapshots(tmp_path, KEY)

    def breaks_off(write: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.save(SnapshotInfo(SHARD, 1, 1, 1, "run"), breaks_off)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_full_disk_leaves_no_half_key_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as while_full:
        while_full.setattr(os, "fsync", is_full)
        with pytest.raises(ConfigError, match=r"snapshots.directory: cannot use .*: No space left"):
            kept_key(tmp_path, "signing.key", None, "snapshots.key")
    assert list(tmp_path.iterdir()) == []
    assert len(kept_key(tmp_path, "signing.key", None, "snapshots.key")) == 32


def test_workers_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    for turn in range(20):
        gate = threading.Barrier(8)

        def start(_worker: int, name: str = f"{turn}.key", gate: threading.Barrier = gate) -> bytes:
            gate.wait()
            return kept_key(tmp_path, name, None, "snapshots.key")

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(start, range(8)))) == 1
    assert {path.suffix for path in tmp_path.iterdir()} == {".key"}


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    key = kept_key(tmp_path / "state", "signing.key", None, "snapshots.key")
    assert kept_key(tmp_path / "state", "signing.key", None, "snapshots.key") == key
    assert stat.S_IMODE((tmp_path / "state/signing.key").stat().st_mode) == 0o600
    assert kept_key(tmp_path, "x", b"operator's own key", "snapshots.key") == b"operator's own key"
    with pytest.raises(ConfigError, match=r"snapshots.key: 5 bytes are too short"):
        kept_key(tmp_path, "x", b"short", "snapshots.key")
