"""What executors and the driver do in a micro-batch, without Spark."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from copycatch.adapters.memory import MemoryMetrics
from copycatch.errors import StateError
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Policy
from copycatch.settings.service import Input
from copycatch.spark.judging import Reading, ShardJudge
from copycatch.spark.learning import LEARNED, FolderLink, learn, remote_of
from copycatch.spark.processor import dealer, shard_of
from copycatch.spark.rows import REJECTS_MAX, rows_of, write_tables
from copycatch.units import UnixMs
from tests.support.telling import hunted
from tests.support.traffic import NOW_MS

KEY = b"tests: a secret"
SHARDS = 2
LINES = [(account, json.dumps(record).encode()) for account, record in hunted(600, seed=4, hours=12)]
CUT = 300


def micro_batch(folder: Path, batch_id: int, key: bytes = KEY) -> list[bytes]:
    """What shards that begin anew tell of their records, by the version of the micro-batch before."""
    told = []
    for shard in range(SHARDS):
        link, metrics = FolderLink(folder, batch_id, SHARDS), MemoryMetrics()
        judge = ShardJudge(Reading(Policy(), Input(), key), shard, metrics, remote_of(link, key, metrics))
        own = LINES[batch_id * CUT : (batch_id + 1) * CUT]
        judge.step([line for account, line in own if shard_of(account, SHARDS) == shard], UnixMs(NOW_MS))
        told += [value for _, value in link.told]
    return told


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / LEARNED).iterdir()}


def test_a_micro_batch_that_runs_again_leaves_what_it_left(tmp_path: Path) -> None:
    learn(tmp_path, 0, micro_batch(tmp_path, 0), Policy(), KEY)
    first = contents(tmp_path)
    assert set(first) == {"learner-0000000000000000000", "versions-0000000000000000000"}
    told = micro_batch(tmp_path, 1)
    learn(tmp_path, 1, told, Policy(), KEY)
    once = contents(tmp_path)
    assert len(once) == 4
    assert micro_batch(tmp_path, 1) == told
    for name in set(once) - set(first):
        (tmp_path / LEARNED / name).unlink()
    learn(tmp_path, 1, told, Policy(), KEY)
    assert contents(tmp_path) == once


def test_what_was_learned_is_refused_where_another_wrote_it(tmp_path: Path) -> None:
    learn(tmp_path, 0, micro_batch(tmp_path, 0), Policy(), KEY)
    with pytest.raises(StateError, match=r"learner-0+ is damaged, or made with another hmac_key"):
        learn(tmp_path, 1, [], Policy(), b"another")
    (path,) = (tmp_path / LEARNED).glob("learner-*")
    path.rename(path.with_name("learner-0000000000000000009"))
    with pytest.raises(StateError, match="what was learned before micro-batch 3 is missing"):
        learn(tmp_path, 3, [], Policy(), KEY)


def test_an_account_has_one_shard_however_it_is_spelt_and_all_shards_hear_of_the_time() -> None:
    names, times_ms = ["Acme", "ＡＣＭＥ", " acme", None, "b"], [5, 9, None, 7, 1]
    batch = pa.RecordBatch.from_pydict(
        {"value": [b"x"] * 5, "arrival": [1] * 5, "tie": ["t"] * 5, "account": names, "time_ms": times_ms}
    )
    dealt, clock = dealer(4)(iter([batch]))
    shards = dealt.column("shard").to_pylist()
    assert shards[0] == shards[1] == shards[2] == shard_of("acme", 4)
    assert clock.column("shard").to_pylist() == [0, 1, 2, 3]
    assert clock.column("time_ms").to_pylist() == [9] * 4
    assert clock.column("value").null_count == 4


def test_a_shard_goes_on_from_its_bytes_and_counts_on() -> None:
    reading = Reading(Policy(), Input(), KEY)
    whole, first, second = (ShardJudge(reading, 0, MemoryMetrics()) for _ in range(3))
    lines = [line for _, line in LINES]
    whole.step(lines, UnixMs(NOW_MS))
    first.step(lines[:CUT], UnixMs(NOW_MS))
    second.unpack(first.pack())
    second.step(lines[CUT:], UnixMs(NOW_MS))
    assert second.position == whole.position == len(lines)
    assert second.judge.clock_ms(second.shard) == whole.judge.clock_ms(whole.shard)


def test_tables_are_written_once_and_rejects_are_bounded_and_counted(tmp_path: Path) -> None:
    judge = ShardJudge(Reading(Policy(), Input(), KEY), 0, MemoryMetrics())
    rows = list(rows_of(judge.step([b"no json"] * (REJECTS_MAX + 5), UnixMs(NOW_MS)), 0, judge.notes()))
    write_tables(tmp_path, 7, rows)
    write_tables(tmp_path, 7, rows[:2])
    rejects = pyarrow.parquet.read_table(tmp_path / "rejects" / "batch-000000000007.parquet")
    assert rejects.num_rows == REJECTS_MAX
    assert set(rejects["key"].to_pylist()) == {"not_json"}
    counts = pyarrow.parquet.read_table(tmp_path / "counts" / "batch-000000000007.parquet")
    assert json.loads(counts["value"][0].as_py())["rejected"] == REJECTS_MAX + 5
    assert list(rows_of(Outcomes(), 0)) == []
