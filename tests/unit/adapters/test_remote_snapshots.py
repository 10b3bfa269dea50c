"""Snapshots at a URL, beyond what every store promises: outages, refusals, what is not made."""

import subprocess
import sys
from pathlib import Path

import pytest

from copycatch.adapters.remote_snapshots import RemoteSnapshots
from copycatch.adapters.snapshots import DirectorySnapshots
from copycatch.errors import ConfigError, RecoverableError
from copycatch.ports import SnapshotInfo
from copycatch.service.bootstrap import Endpoints, Instance
from copycatch.settings.service import Service
from tests.support.bucket import S3Server
from tests.unit.adapters.test_snapshots import KEY, SHARD, only_file, save


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


@pytest.fixture
def let_in(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3


def test_a_bucket_that_is_not_there_is_not_made(let_in: S3Server) -> None:
    with pytest.raises(
        ConfigError, match=r"snapshots.directory: s3://mistyped/state: .*no bucket 'mistyped'.*make"
    ):
        RemoteSnapshots("s3://mistyped/state", KEY)
    assert not (let_in.folder / "mistyped").exists()


def test_a_bucket_that_goes_is_not_made_again(let_in: S3Server) -> None:
    bucket = let_in.make_bucket("going")
    store = RemoteSnapshots("s3://going/state", KEY)
    bucket.rmdir()
    with pytest.raises(OSError, match="bucket does not exist"):
        save(store, 1)
    assert not bucket.exists()


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
@pytest.mark.parametrize("value", ["of another store", None])
def test_credentials_that_do_not_let_in_are_named(
    let_in: S3Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    (let_in.folder / "closed").mkdir(exist_ok=True)
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(
        ConfigError, match=r"snapshots.directory: s3://closed.*refuses us.*AWS_ACCESS_KEY_ID"
    ) as caught:
        RemoteSnapshots("s3://closed/state", KEY)
    assert let_in.secret not in str(caught.value)


def test_credentials_taken_away_later_are_worth_another_try(
    let_in: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_in.make_bucket("rotated")
    store = RemoteSnapshots("s3://rotated/state", KEY)
    save(store, 1)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "being rotated")
    store._opened = None  # as in the next process
    with pytest.raises(RecoverableError, match="refuses us"):
        store.candidates(SHARD)
    with pytest.raises(OSError, match="signature"):
        save(store, 2)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", let_in.secret)
    store._opened = None
    assert [each.generation for each in store.candidates(SHARD)] == [1]


def test_a_store_that_is_away_at_the_start_is_asked_again(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = RemoteSnapshots("s3://late/state", KEY)
    with pytest.raises(RecoverableError, match="snapshots at late/state"):
        store.candidates(SHARD)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.environment["AWS_ENDPOINT_URL"])
    store._opened = None
    with pytest.raises(ConfigError, match="no bucket 'late'"):  # not an empty store
        store.candidates(SHARD)
    s3.make_bucket("late")
    assert store.candidates(SHARD) == []


def test_a_password_in_the_url_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match=r"nosuch://\*\*\*@host/x cannot be opened") as caught:
        RemoteSnapshots("nosuch://me:hidden@host/x", KEY)
    assert "hidden" not in str(caught.value)


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nosuch://x cannot be opened"):
        RemoteSnapshots("nosuch://x", KEY)
    settings = Service.model_validate({"snapshots": {"directory": "memory://x"}, "http": {"is_on": False}})
    with pytest.raises(ConfigError, match="with snapshots at a URL it has to be given"):
        Instance(settings, Endpoints(), {})
    keyed = settings.model_copy(
        update={"snapshots": settings.snapshots.model_copy(update={"key_file": tmp_path / "key"})}
    )
    (tmp_path / "key").write_bytes(KEY)
    with pytest.raises(ConfigError, match="name a local directory"):
        Instance(keyed, Endpoints(sources=["log.jsonl"]), {})
