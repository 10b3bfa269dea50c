"""Spark: CPU per record of a stream by the size of its micro-batches, beside the engine in one process."""

import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from copycatch.adapters.memory import MemoryMetrics
from copycatch.records.policy import Policy
from copycatch.service.replay import REPLAY_KEY
from copycatch.settings.service import Input
from copycatch.spark import detect
from copycatch.spark.judging import Reading, ShardJudge
from copycatch.units import UnixMs
from tests.benchmarks.isolated import MeasurementFailed, run_isolated
from tests.benchmarks.measure import Figure, Part
from tests.benchmarks.scale import Scale
from tests.support.telling import hunted
from tests.support.traffic import NOW_MS

SIZES = (1_000, 5_000, 20_000, 50_000)
SCHEMA = "event_id string, event_time bigint, account_id string, model_id string, input array<double>, "
SCHEMA += "predicted_label bigint, probabilities array<double>, status bigint"
WARM = 1_000  # records of a micro-batch that is not counted: imports, and workers that start
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
TIMEOUT_S = 1_200.0


def _records(n: int) -> list[dict[str, Any]]:
    return [record for _, record in hunted(n, seed=1, hours=48, n_accounts=200)]


def session_cpu_s() -> float:
    """CPU of all processes of this session: the driver, the JVM and its Python workers."""
    ticks, own = 0, os.getsid(0)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile; its parent has its time
        if int(fields[3]) == own:
            ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS_PER_S


def measure_alone(n: int) -> dict[str, Any]:
    """The engine of a shard on the same messages, without Spark. In a child."""
    values = [json.dumps(record).encode() for record in _records(n)]
    judge = ShardJudge(Reading(Policy(), Input(), REPLAY_KEY), 0, MemoryMetrics())
    judge.step(values[:WARM], UnixMs(NOW_MS))
    began_s = time.process_time()
    judge.step(values[WARM:], UnixMs(NOW_MS))
    cpu_s = time.process_time() - began_s
    return {"us": 1e6 * cpu_s / (n - WARM), "state_mb": sum(map(len, judge.pack())) / 1e6}


def measure(n: int, size: int, shards: int) -> dict[str, Any]:
    """A stream over files of so many records, to its end. In a child with a session of its own."""
    from pyspark.sql import SparkSession

    from tests.spark.records import settings

    os.setsid()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    records = _records(n)
    with TemporaryDirectory() as folder:
        table = Path(folder, "table")
        table.mkdir()
        starts = [0, *range(WARM, n, size)]
        for at, (start, stop) in enumerate(zip(starts, [*starts[1:], n], strict=True)):
            path = table / f"{at:06d}.parquet"
            pyarrow.parquet.write_table(pa.Table.from_pylist(records[start:stop]), path)
            os.utime(path, (1_700_000_000 + at,) * 2)
        spark = settings(SparkSession.builder).getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
        df = spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1).parquet(str(table))
        out = Path(folder, "out")
        found = detect(
            df, Policy(), folder=str(out), shards=shards, hmac_key=REPLAY_KEY, trigger={"availableNow": True}
        )
        assert found.query is not None
        while not (out / "counts" / f"batch-{0:012d}.parquet").exists():
            time.sleep(0.05)
        cpu_s, began_s = session_cpu_s(), time.monotonic()
        found.query.awaitTermination()
        used_s, took_s = session_cpu_s() - cpu_s, time.monotonic() - began_s
        spark.stop()
    batches = len(starts) - 1
    return {"us": 1e6 * used_s / (n - WARM), "batch_s": took_s / batches}


def run(scale: Scale) -> Part:
    part = Part("spark", "Spark: a stream by the size of its micro-batches", axis="records a micro-batch")
    n = WARM + min(scale.warm_records, SIZES[-1])
    try:
        alone = run_isolated("tests.benchmarks.spark:measure_alone", {"n": n})
        part.figures.append(Figure("spark", "one process", "us of CPU a record", [alone["us"]]))
        part.figures.append(
            Figure("spark", "state of 212 accounts and what is learned", "MB", [alone["state_mb"]])
        )
        for shards in (1, 4):
            for size in [each for each in SIZES if each < n]:
                found = run_isolated(
                    "tests.benchmarks.spark:measure", {"n": n, "size": size, "shards": shards}, TIMEOUT_S
                )
                name = f"{shards} shard{'s' if shards > 1 else ''}"
                part.figures += [
                    Figure("spark", f"CPU, {name}", "us a record", [found["us"]], at=size),
                    Figure("spark", f"a micro-batch, {name}", "s", [found["batch_s"]], at=size),
                ]
    except (MeasurementFailed, ImportError) as failure:
        part.skipped.append(f"spark: {failure}")
    return part
