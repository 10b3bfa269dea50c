"""A log as an inference table in Parquet, what `replay` says of it, and what shards in one process say."""

import json
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from copycatch.adapters.clock import ManualClock
from copycatch.adapters.memory import MemoryMetrics
from copycatch.ports import Shard
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER
from copycatch.service.learner import LearnerJudge
from copycatch.service.remote_learning import RemoteLearning
from copycatch.service.replay import REPLAY_KEY, replay
from copycatch.settings.service import Input
from copycatch.spark.judging import Reading, ShardJudge
from copycatch.spark.processor import IDLE_MS, shard_of
from copycatch.units import UnixMs
from tests.support.telling import hunted
from tests.support.traffic import NOW_MS

RECORDS = [record for _, record in hunted(3_600, seed=4, hours=72, n_accounts=40, n_thieves=6)]
FILES = 8
PER_FILE = len(RECORDS) // FILES
COLUMNS = "event_id string, event_time bigint, account_id string, model_id string, input array<double>, "
COLUMNS += "predicted_label bigint, probabilities array<double>, status bigint, line bigint"
KEY = b"tests: the learner's key"


def settings(builder: Any) -> Any:
    options = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.driver.memory": "1g",
        # Small plans, run once: what would be saved by compiling them well is less than what it costs.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.streaming.stateStore.providerClass": (
            "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
        ),
    }
    for name, value in options.items():
        builder = builder.config(name, value)
    return builder


def write_table(folder: Path) -> None:
    """Files of a micro-batch each, and one more column: the line in the log."""
    folder.mkdir()
    for number in range(FILES):
        lines = range(number * PER_FILE, (number + 1) * PER_FILE)
        path = folder / f"part-{number}.parquet"
        pyarrow.parquet.write_table(
            pa.Table.from_pylist([RECORDS[line] | {"line": line} for line in lines]), path
        )
        os.utime(path, (1_700_000_000 + number,) * 2)  # streams take files by age


def replayed(folder: Path) -> dict[str, list[str]]:
    """What `replay` says of the same records in JSON lines."""
    path, said = folder / "log.jsonl", Outcomes()
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    replay([str(path)], Policy(), said.add)
    return texts_of(said)


def texts_of(outcomes: Outcomes) -> dict[str, list[str]]:
    return {
        "alerts": [ENCODER.encode(each).decode() for each in outcomes.alerts],
        "recommendations": [ENCODER.encode(each).decode() for each in outcomes.recommendations],
    }


def written(folder: Path, kind: str, column: str = "value") -> list[str]:
    """Of all micro-batches, in order; each file whole."""
    paths = sorted((folder / kind).glob("batch-*.parquet"))
    return [value for path in paths for value in pyarrow.parquet.read_table(path)[column].to_pylist()]


class _Link:
    """Gives versions once, when they are due, and keeps what is told."""

    def __init__(self, n_shards: int) -> None:
        self.n_shards, self.told, self.due = n_shards, list[bytes](), deque[bytes]()

    def tell(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        self.told += [value for _, value in messages]

    def read(self, timeout_s: float = 0.0) -> list[bytes]:
        found = list(self.due)
        self.due.clear()
        return found

    def close(self) -> None:
        """Nothing is open."""


def in_one_process(shards: int) -> dict[str, list[str]]:
    """The engine and the learner's role without Spark and without a restart, by the same version rule."""
    links = [_Link(shards) for _ in range(shards)]
    reading, metrics = Reading(Policy(), Input(), REPLAY_KEY), MemoryMetrics()
    judges = [
        ShardJudge(reading, at, metrics, RemoteLearning(link, KEY, metrics, ManualClock(), hold_s=0))
        for at, link in enumerate(links)
    ]
    learner, said, told = LearnerJudge(Policy(), KEY, metrics), Outcomes(), Shard("learning", 0)
    for start in range(0, len(RECORDS), PER_FILE):
        own = RECORDS[start : start + PER_FILE]
        for at, judge in enumerate(judges):
            mine = [json.dumps(each).encode() for each in own if shard_of(each["account_id"], shards) == at]
            said.add(judge.step(mine, UnixMs(NOW_MS)))
            said.add(judge.judge.idle(UnixMs(max(each["event_time"] for each in own) - IDLE_MS)))
        values = [value for link in links for value in link.told]
        found = learner.step(RawBatch(*told, list(range(len(values))), values), UnixMs(NOW_MS))
        for link in links:
            link.told.clear()
            link.due.extend(value for _, value in found.learning)
        found.learning.clear()
        said.add(found)
    return texts_of(said)
