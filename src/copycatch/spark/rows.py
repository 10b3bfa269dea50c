"""What comes out of judging as rows of a frame, and the files of a micro-batch."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from copycatch.records.columns import Outcomes
from copycatch.records.wire import ENCODER

TABLES: Final = ("alerts", "recommendations", "rejects", "counts")
TOLD: Final = "told"  # of the learner: in no table
OUTPUT: Final = "kind string, shard int, at bigint, key string, value binary"
TABLE: Final = "key string, value string, shard int, batch bigint, at bigint"
REJECTS_MAX: Final = 1_000  # of one shard and micro-batch; `counts` has them all


class Row(NamedTuple):
    """One of `OUTPUT`; `at` numbers the rows of a kind, shard and micro-batch."""

    kind: str
    shard: int
    at: int
    key: str
    value: bytes


def rows_of(outcomes: Outcomes, shard: int, notes: dict[str, float] | None = None) -> Iterator[Row]:
    """Alerts by uid, recommendations by what they decide about, the first rejects, and counts of all."""
    for at, alert in enumerate(outcomes.alerts):
        yield Row("alerts", shard, at, alert.uid, ENCODER.encode(alert))
    for at, row in enumerate(outcomes.recommendations):
        yield Row("recommendations", shard, at, row.decision_key, ENCODER.encode(row))
    for at, rejected in enumerate(outcomes.rejects[:REJECTS_MAX]):
        yield Row("rejects", shard, at, rejected.reason, ENCODER.encode(rejected))
    counts = outcomes.counts
    if counts.total or notes:
        told = {name: getattr(counts, name) for name in ("accepted", "duplicates", "late", "rejected")} | (
            notes or {}
        )
        yield Row("counts", shard, 0, "", json.dumps(told).encode())


def write_once(path: Path, content: bytes) -> None:
    """All of it or nothing; a file that is there already is left: it was written for the same micro-batch."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.half")
    with half.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def write_tables(folder: Path, batch_id: int, rows: Iterable[Row]) -> None:
    """One file a table with rows, named by the micro-batch: again, after a crash, it changes nothing."""
    by_kind: dict[str, list[Row]] = {}
    for row in rows:
        by_kind.setdefault(row.kind, []).append(row)
    for kind, own in by_kind.items():
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(_table_of(own, batch_id), sink)
        write_once(folder / kind / f"batch-{batch_id:012d}.parquet", sink.getvalue().to_pybytes())


def _table_of(rows: list[Row], batch_id: int) -> Any:
    return pa.table(
        {
            "key": pa.array([row.key for row in rows], pa.string()),
            "value": pa.array([row.value.decode() for row in rows], pa.string()),
            "shard": pa.array([row.shard for row in rows], pa.int32()),
            "batch": pa.array([batch_id] * len(rows), pa.int64()),
            "at": pa.array([row.at for row in rows], pa.int64()),
        }
    )
