"""`detect`: a table at once, or a stream as it grows."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.memory import MemoryMetrics
from copycatch.errors import ConfigError
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Policy
from copycatch.service.replay import REPLAY_KEY
from copycatch.settings.formats import format_options
from copycatch.settings.service import Input
from copycatch.spark.frames import ARRIVAL, TIE, VALUE, as_messages
from copycatch.spark.judging import Reading, ShardJudge
from copycatch.spark.learning import learn
from copycatch.spark.processor import DEALT, IDLE_MS, NOW_MS, SHARD, ShardProcessor, dealer
from copycatch.spark.rows import OUTPUT, TABLE, TABLES, TOLD, Row, rows_of, write_tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming import StreamingQuery

SHARDS_MAX: Final = 1_024
_ENDING: Final = frozenset({"availableNow", "once"})
_PROVIDER: Final = "spark.sql.streaming.stateStore.providerClass"
_ROCKSDB: Final = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
_OUTPUT: Final = pa.schema(
    [
        ("kind", pa.string()),
        ("shard", pa.int32()),
        ("at", pa.int64()),
        ("key", pa.string()),
        ("value", pa.binary()),
    ]
)


class Detection(NamedTuple):
    """Frames with columns `key`, `value` (JSON, as on the topics), `shard`, `batch` and `at`.

    Of a table they are tables, in order of `at`. Of a stream they are streams over what `query` writes.
    """

    alerts: "DataFrame"  # key: uid
    recommendations: "DataFrame"  # key: decision_key
    rejects: "DataFrame"  # what could not be taken; key: reason
    counts: "DataFrame"  # records accepted, late, repeated, rejected, and parts that were not read
    query: "StreamingQuery | None" = None


def detect(
    df: "DataFrame",
    policy: Policy,
    *,
    folder: str | None = None,
    log: Input | None = None,
    arrival: str | None = None,
    shards: int = 1,
    hmac_key: bytes | None = None,
    trigger: Mapping[str, Any] | None = None,
) -> Detection:
    """Judge an inference table, or a stream of one.

    With one shard, the outcomes are those of `copycatch replay` on the same records in the same order, for a
    table and for a stream, however that is cut into micro-batches. With more, accounts are dealt over shards
    that share one learner: what they teach in a micro-batch judges the next one.

    Parameters
    ----------
    df : DataFrame
        Columns of the native format or of a Databricks inference table; or messages of any format in `value`.
    folder : str
        Of a stream: a folder that the driver and all executors see under this path. It holds the checkpoint,
        what was learned, and the outcomes. Who may write there can blind the detector.
    log : Input
        Format of the records and its options, as of a topic in the settings; native when left out.
    arrival : str
        Column that orders the records as they came; the event time when left out.
    shards : int
        Of a stream; fixed by its folder. A shard's state is 1 to 4 KB an account, read and written each time.
    hmac_key : bytes
        Secret of pseudonyms and link hashes, the same over restarts; needed for a stream.
    trigger : mapping
        Of `DataStreamWriter.trigger`; `{"processingTime": "1 minute"}` when left out. With one that ends
        (`availableNow`), nothing is closed while no record comes; keep a folder to one of the two kinds.

    Raises
    ------
    ConfigError
        If a column is missing or of another type, or an argument is not as it must be.
    """
    log = Input() if log is None else log
    format_options(log.format, log.options, file="log")
    if not 1 <= shards <= SHARDS_MAX:
        message = f"shards: {shards} is not within 1 to {SHARDS_MAX}"
        raise ConfigError(message)
    messages = as_messages(df, log.format, arrival, shards)
    if not df.isStreaming:
        return _table(messages, Reading(policy, log, hmac_key or REPLAY_KEY), folder, shards)
    return _stream(messages, Reading(policy, log, _secret(hmac_key)), _checked(df, folder), shards, trigger)


def _secret(hmac_key: bytes | None) -> bytes:
    if not hmac_key:
        message = "hmac_key: a stream needs a secret for pseudonyms, the same at each start"
        raise ConfigError(message)
    return hmac_key


def _checked(df: "DataFrame", folder: str | None) -> Path:
    if folder is None or "://" in folder:
        message = (
            f"folder: {folder!r} is no path; a stream needs a folder that the driver and all executors "
            "see under the same path, such as /mnt/security/copycatch"
        )
        raise ConfigError(message)
    provider = df.sparkSession.conf.get(_PROVIDER, None)
    if "RocksDB" not in str(provider):
        message = f"{_PROVIDER} is {provider}: state in Python needs {_ROCKSDB}; set it in the session"
        raise ConfigError(message)
    return Path(folder).absolute()


def _table(messages: "DataFrame", reading: Reading, folder: str | None, shards: int) -> Detection:
    from pyspark.sql import functions as sql

    if folder is not None or shards > 1:
        message = (
            "folder and shards are for streams; a table is judged by one task, and its outcomes are returned"
        )
        raise ConfigError(message)
    now_ms = SystemClock().now_ms()

    def judge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        own, at = ShardJudge(reading, 0, MemoryMetrics()), 0
        for batch in batches:
            found = _rows(own.step(batch.column(VALUE).to_pylist(), now_ms), at)
            at += found.num_rows
            yield found
        last = own.judge.end(now_ms)
        if own.judge.newest_event_ms is not None:
            last.add(own.judge.idle(own.judge.newest_event_ms))
        yield _rows(last, at, own.notes())

    in_order = messages.repartition(1).sortWithinPartitions(ARRIVAL, TIE).select(VALUE)
    out = in_order.mapInArrow(judge, OUTPUT).persist()
    columns = (
        "key",
        sql.col(VALUE).cast("string").alias(VALUE),
        SHARD,
        sql.lit(0).cast("bigint").alias("batch"),
        "at",
    )
    return Detection(*(out.filter(sql.col("kind") == kind).select(*columns) for kind in TABLES))


def _rows(outcomes: Outcomes, start: int, notes: dict[str, float] | None = None) -> pa.RecordBatch:
    rows = [row._replace(at=start + at)._asdict() for at, row in enumerate(rows_of(outcomes, 0, notes))]
    return pa.RecordBatch.from_pylist(rows, schema=_OUTPUT)


def _stream(
    messages: "DataFrame", reading: Reading, folder: Path, shards: int, trigger: Mapping[str, Any] | None
) -> Detection:
    from pyspark.sql import functions as sql

    for kind in TABLES:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    dealt = messages.withColumn(SHARD, sql.lit(0))
    if shards > 1:
        dealt = messages.mapInArrow(dealer(shards), DEALT)
    dealt = dealt.withColumn(NOW_MS, sql.unix_millis(sql.current_timestamp()))
    when = dict(trigger or {"processingTime": "1 minute"})
    # With timers Spark runs micro-batches for ever, and such a trigger would never end.
    is_ending = bool(_ENDING & when.keys())
    processor: Any = ShardProcessor(reading, shards, str(folder), None if is_ending else IDLE_MS)
    mode = "None" if is_ending else "ProcessingTime"
    judged = dealt.groupBy(SHARD).transformWithStateInPandas(processor, OUTPUT, "Append", mode)

    def finish(out: "DataFrame", batch_id: int) -> None:
        rows = sorted(Row(row.kind, row.shard, row.at, row.key, bytes(row.value)) for row in out.collect())
        if shards > 1:
            told = [row.value for row in rows if row.kind == TOLD]
            said = learn(folder, batch_id, told, reading.policy, reading.hmac_key)
            rows += [row for row in rows_of(said, shards) if row.kind != "counts"]
        write_tables(folder, batch_id, (row for row in rows if row.kind in TABLES))

    writer = judged.writeStream.outputMode("append").foreachBatch(finish)
    writer = writer.option("checkpointLocation", str(folder / "checkpoint"))
    query = writer.trigger(**when).start()
    read = messages.sparkSession.readStream.schema(TABLE)
    return Detection(*(read.parquet((folder / kind).as_uri()) for kind in TABLES))._replace(query=query)
