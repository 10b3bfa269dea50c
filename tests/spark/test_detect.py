"""`copycatch.spark.detect` on a real Spark, beside `replay`."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from copycatch.errors import ConfigError
from copycatch.records.policy import Policy
from copycatch.service.replay import REPLAY_KEY
from copycatch.spark import Detection, Input, detect
from copycatch.spark import run as spark_run
from copycatch.spark.learning import LEARNED
from copycatch.spark.rows import Row, write_tables
from tests.spark.records import COLUMNS, RECORDS, in_one_process, replayed, write_table, written

pytestmark = [
    pytest.mark.xdist_group("spark"),
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of py4j
]
SHARDS = 2
KINDS = ("alerts", "recommendations")
FATAL, FAULTY = 5, 6  # micro-batches
CHILD = """
import os, signal, sys
from pyspark.sql import SparkSession
import copycatch.spark.run as spark_run
from tests.spark.records import settings
from tests.spark.test_detect import FATAL, SHARDS, stream
write = spark_run.write_tables
def written_or_killed(to, batch_id, rows):
    if batch_id == FATAL:
        os.killpg(0, signal.SIGKILL)
    write(to, batch_id, rows)
spark_run.write_tables = written_or_killed
stream(settings(SparkSession.builder).master("local[1]").getOrCreate(), *sys.argv[1:], SHARDS)
"""


@pytest.fixture(scope="module")
def table(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tables") / "inference"
    write_table(folder)
    return str(folder)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    found = replayed(tmp_path_factory.mktemp("replayed"))
    assert len(found["alerts"]) >= 3
    return found


def stream(spark: Any, table: str, folder: str, shards: int, files: int = 1) -> Detection:
    """All files, so many in a micro-batch."""
    df = spark.readStream.schema(COLUMNS).option("maxFilesPerTrigger", files).parquet(table)
    found = detect(
        df,
        Policy(),
        folder=folder,
        arrival="line",
        shards=shards,
        hmac_key=REPLAY_KEY,
        trigger={"availableNow": True},
    )
    assert found.query is not None
    found.query.awaitTermination()
    return found


def _written_at_fault(folder: Path, batch_id: int, rows: Iterable[Row]) -> None:
    write_tables(folder, batch_id, rows)
    if batch_id == FAULTY:
        message = "no space"
        raise OSError(message)


def test_a_table_is_judged_as_replay_judges_a_file(
    spark: Any, table: str, expected: dict[str, list[str]]
) -> None:
    found = detect(spark.read.parquet(table), Policy(), arrival="line")
    for kind in KINDS:
        rows = getattr(found, kind).orderBy("at").collect()
        assert [row.value for row in rows] == expected[kind]
    assert [row.key for row in found.alerts.orderBy("at").collect()] == [
        json.loads(each)["uid"] for each in expected["alerts"]
    ]
    counts = [json.loads(row.value) for row in found.counts.collect()]
    assert sum(each["accepted"] for each in counts) == len(RECORDS)
    assert found.query is None


def test_messages_of_a_topic_are_judged_in_order_of_their_offsets(
    spark: Any, expected: dict[str, list[str]]
) -> None:
    lines = [(offset, json.dumps(record)) for offset, record in reversed(list(enumerate(RECORDS)))]
    found = detect(spark.createDataFrame(lines, "offset bigint, value string"), Policy(), arrival="offset")
    assert [row.value for row in found.alerts.orderBy("at").collect()] == expected["alerts"]


def test_an_inference_table_of_databricks_is_read_whole(spark: Any) -> None:
    from pyspark.sql import functions as sql

    asked, answer = json.dumps({"inputs": [[0.5, 1.5, 2.5]]}), json.dumps({"predictions": [1]})
    columns = "databricks_request_id string, request_time timestamp, requester string, status_code int, "
    columns += (
        "execution_duration_ms bigint, request string, response string, served_entity_id string, extra int"
    )
    began = datetime(2026, 1, 5, tzinfo=UTC)
    rows = [(f"r{at}", began + timedelta(seconds=at), "u", 200, 9, asked, answer, "m", 1) for at in range(20)]
    frame = spark.createDataFrame(rows, columns)
    found = detect(frame, Policy(), log=Input(format="databricks"))
    said = [json.loads(row.value) for row in found.counts.collect()]
    assert sum(each["accepted"] for each in said) == len(rows)
    assert not any(each["rejected"] or "copycatch_notes_total,note=unread" in each for each in said)
    broken = detect(frame.withColumn("request", sql.lit("{")), Policy(), log=Input(format="databricks"))
    said = [json.loads(row.value) for row in broken.counts.collect()]
    assert any("copycatch_notes_total,note=unread" in each for each in said), said


def test_a_stream_says_what_a_table_says(
    spark: Any, table: str, expected: dict[str, list[str]], tmp_path: Path
) -> None:
    found = stream(spark, table, str(tmp_path), 1, files=3)
    for kind in KINDS:
        assert written(tmp_path, kind) == expected[kind]
    assert len(written(tmp_path, "counts")) == 3
    assert sum(json.loads(each)["accepted"] for each in written(tmp_path, "counts")) == len(RECORDS)
    assert found.alerts.isStreaming


def test_shards_share_one_learner_through_a_kill_of_the_driver_and_a_fault(
    spark: Any, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between learning and writing, then failing between writing and Spark's commit."""
    command = [sys.executable, "-W", "ignore", "-c", CHILD, table, str(tmp_path)]
    done = subprocess.run(command, start_new_session=True, capture_output=True, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2_000:]
    counted = tmp_path / "counts" / f"batch-{FATAL:012d}.parquet"
    assert (tmp_path / LEARNED / f"learner-{FATAL:019d}").exists()
    assert not counted.exists()
    monkeypatch.setattr(spark_run, "write_tables", _written_at_fault)
    with pytest.raises(Exception, match="no space"):
        stream(spark, table, str(tmp_path), SHARDS)
    assert counted.exists()
    assert (tmp_path / "counts" / f"batch-{FAULTY:012d}.parquet").exists()
    monkeypatch.undo()
    stream(spark, table, str(tmp_path), SHARDS)
    beside = in_one_process(SHARDS)
    assert len(beside["alerts"]) >= 3
    for kind in KINDS:
        assert sorted(written(tmp_path, kind)) == sorted(beside[kind])
    opened = [each["uid"] for each in map(json.loads, written(tmp_path, "alerts")) if each["op"] == "open"]
    assert len(set(opened)) == len(opened) >= 3
    assert sum(json.loads(each)["accepted"] for each in written(tmp_path, "counts")) == len(RECORDS)


def test_cases_close_when_no_record_comes_any_more(
    spark: Any, table: str, expected: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copycatch.spark.run.IDLE_MS", 2_000)
    df = spark.readStream.schema(COLUMNS).parquet(table)
    when = {"processingTime": "1 second"}
    found = detect(df, Policy(), folder=str(tmp_path), arrival="line", hmac_key=REPLAY_KEY, trigger=when)
    assert found.query is not None
    n, said = len(expected["alerts"]), list[str]()
    last = {each["uid"]: each["op"] for each in map(json.loads, expected["alerts"])}
    still_open = {uid for uid, op in last.items() if op != "close"}
    deadline_s = time.monotonic() + 120
    while len(said) < n + len(still_open) and time.monotonic() < deadline_s:
        assert found.query.isActive, found.query.exception()
        time.sleep(0.5)
        said = written(tmp_path, "alerts")
    found.query.stop()
    assert said[:n] == expected["alerts"]
    closed = [(each["uid"], each["op"]) for each in map(json.loads, said[n:])]
    assert sorted(closed) == sorted((uid, "close") for uid in still_open)
    assert closed


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            COLUMNS.replace("account_id string", "account_id bigint"),
            "column 'account_id' is bigint, .* string; cast it",
        ),
        (
            COLUMNS.replace("input array<double>", "input map<string,int>"),
            "column 'input' is map<string,int>, .*array",
        ),
        (
            COLUMNS.replace("model_id string, ", ""),
            "column 'model_id' is missing.*has to be string.*select it",
        ),
        (
            COLUMNS.replace("probabilities", "probs"),
            "column 'probs' is none that format 'native' has; rename",
        ),
        (COLUMNS.replace("event_time bigint, ", ""), "column 'event_time' is missing"),
        (
            COLUMNS.replace("line bigint", "line string"),
            "column 'line' is string, .*another column as arrival",
        ),
    ],
)
def test_a_schema_that_does_not_fit_is_refused_by_name(spark: Any, columns: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        detect(spark.createDataFrame([], columns), Policy(), arrival="line")


def test_arguments_that_do_not_fit_are_refused_by_name(spark: Any, table: str, tmp_path: Path) -> None:
    df, messages = (
        spark.readStream.schema(COLUMNS).parquet(table).drop("line"),
        spark.createDataFrame([], "value string"),
    )
    with pytest.raises(ConfigError, match="hmac_key: a stream needs a secret"):
        detect(df, Policy(), folder=str(tmp_path))
    with pytest.raises(ConfigError, match="folder: 's3://x' is no path"):
        detect(df, Policy(), folder="s3://x", hmac_key=REPLAY_KEY)
    with pytest.raises(ConfigError, match="folder and shards are for streams"):
        detect(spark.read.parquet(table).drop("line"), Policy(), shards=2)
    with pytest.raises(ConfigError, match="arrival: name the column"):
        detect(messages, Policy(), log=Input(format="kserve"))
    with pytest.raises(ConfigError, match=r"column 'value' is missing.*format 'kserve'"):
        detect(spark.read.parquet(table), Policy(), log=Input(format="kserve"))
