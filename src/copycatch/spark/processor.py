"""A shard as a stateful processor of Structured Streaming, and how records are dealt over shards.

A shard's state is read once a micro-batch, and written once. A micro-batch that runs again, after a crash,
meets the state from before it: Spark keeps state by micro-batch.
"""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from copycatch.adapters.memory import MemoryMetrics
from copycatch.errors import ConfigError
from copycatch.intake.accounts import CanonicalAccounts
from copycatch.spark.frames import ACCOUNT, ARRIVAL, TIE, TIME_MS, VALUE
from copycatch.spark.judging import Reading, ShardJudge
from copycatch.spark.learning import FolderLink, remote_of
from copycatch.spark.rows import TOLD, Row, rows_of
from copycatch.units import UnixMs

SHARD: Final = "shard"
NOW_MS: Final = "now_ms"  # when the micro-batch began: the same when it runs again
IDLE_MS: Final = 900_000  # as of the service: a shard so far behind the others has fallen silent
DEALT: Final = f"{SHARD} int, {ARRIVAL} bigint, {TIE} string, {TIME_MS} bigint, {VALUE} binary"
_DEALT: Final = pa.schema(
    [
        (SHARD, pa.int32()),
        (ARRIVAL, pa.int64()),
        (TIE, pa.string()),
        (TIME_MS, pa.int64()),
        (VALUE, pa.binary()),
    ]
)
_BATCH_ID: Final = "streaming.sql.batchId"  # Spark names a task's micro-batch by it


def dealer(shards: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow`: deals messages over shards by account, however its name is spelt.

    To each shard it adds a row without `value`, with the latest event time: others may have fallen silent.
    """

    def deal(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        accounts, newest_ms = CanonicalAccounts(), None
        for batch in batches:
            names = [name or "" for name in batch.column(ACCOUNT).to_pylist()]
            numbers = [shard_of(name, shards) for name in accounts.canonical_many(names)]
            columns = [
                pa.array(numbers, pa.int32()),
                *(batch.column(name) for name in (ARRIVAL, TIE, TIME_MS, VALUE)),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=_DEALT)
            times_ms = [each for each in batch.column(TIME_MS).to_pylist() if each is not None]
            newest_ms = max([*times_ms, *([] if newest_ms is None else [newest_ms])], default=None)
        if newest_ms is not None:
            clock = {
                SHARD: range(shards),
                ARRIVAL: [0] * shards,
                TIE: [""] * shards,
                TIME_MS: [newest_ms] * shards,
            }
            yield pa.RecordBatch.from_pydict(clock | {VALUE: [None] * shards}, schema=_DEALT)

    return deal


def shard_of(account: str, shards: int) -> int:
    """By the canonical name of the account.

    Examples
    --------
    >>> shard_of("acct-1", 4)
    1
    """
    return zlib.crc32(account.encode(errors="surrogatepass")) % shards


class ShardProcessor:
    """For `transformWithStateInPandas`: judges what has come of a shard; by name a `StatefulProcessor`.

    With `idle_ms` a shard without a record for so long works off what is due by then, as a worker does.
    """

    def __init__(self, reading: Reading, shards: int, folder: str, idle_ms: int | None) -> None:
        self._reading, self._shards, self._folder, self._idle_ms = reading, shards, folder, idle_ms

    def init(self, handle: Any) -> None:
        self._handle = handle
        self._parts = handle.getListState("parts", "part binary")

    def handleInputRows(  # noqa: N802 - Spark's name
        self,
        key: Any,
        rows: Iterator[pd.DataFrame],
        timerValues: Any,
    ) -> Iterator[pd.DataFrame]:
        frame = pd.concat(list(rows)).sort_values([ARRIVAL, TIE], kind="stable")
        values = [bytes(value) for value in frame[VALUE] if isinstance(value, bytes | bytearray)]
        shard, (judge, link) = int(key[0]), self._judge(int(key[0]))
        outcomes = judge.step(values, UnixMs(int(frame[NOW_MS].iloc[0])))
        if link is not None and frame[TIME_MS].notna().any():
            outcomes.add(judge.judge.idle(UnixMs(int(frame[TIME_MS].max()) - IDLE_MS)))
        self._keep(judge)
        self._wait(timerValues)
        found = list(rows_of(outcomes, shard, judge.notes()))
        if link is not None:
            found += [
                Row(TOLD, shard, at, name.decode(), value) for at, (name, value) in enumerate(link.told)
            ]
        if found:
            yield pd.DataFrame(found, columns=Row._fields)

    def handleExpiredTimer(  # noqa: N802 - Spark's name
        self,
        key: Any,
        timerValues: Any,
        expiredTimerInfo: Any,
    ) -> Iterator[pd.DataFrame]:
        """No record has come for long, and event time stands still: the clock goes on instead."""
        judge, _ = self._judge(int(key[0]))
        outcomes = judge.judge.idle(UnixMs(timerValues.getCurrentProcessingTimeInMs() - (self._idle_ms or 0)))
        found = list(rows_of(outcomes, int(key[0])))
        if found:
            self._keep(judge)
            yield pd.DataFrame(found, columns=Row._fields)
        self._wait(timerValues)

    def _judge(self, shard: int) -> tuple[ShardJudge, FolderLink | None]:
        """As the micro-batch before left it; several shards have a link to the learner."""
        metrics, link = MemoryMetrics(), None
        if self._shards > 1:
            link = FolderLink(Path(self._folder), _batch_id(), self._shards)
        remote = None if link is None else remote_of(link, self._reading.hmac_key, metrics)
        judge = ShardJudge(self._reading, shard, metrics, remote)
        if self._parts.exists():
            judge.unpack([bytes(part) for (part,) in self._parts.get()])
        return judge, link

    def _keep(self, judge: ShardJudge) -> None:
        self._parts.clear()
        for part in judge.pack():
            self._parts.appendValue((part,))

    def _wait(self, timers: Any) -> None:
        if self._idle_ms is None:
            return
        for timer_ms in list(self._handle.listTimers()):
            self._handle.deleteTimer(timer_ms)
        self._handle.registerTimer(timers.getCurrentProcessingTimeInMs() + self._idle_ms)

    def close(self) -> None:
        """Nothing is open."""


def _batch_id() -> int:
    from pyspark import TaskContext

    context = TaskContext.get()
    number = None if context is None else context.getLocalProperty(_BATCH_ID)
    if number is None:
        message = (
            f"Spark does not say which micro-batch a task is of ({_BATCH_ID}); "
            "use classic PySpark (not Connect), or one shard"
        )
        raise ConfigError(message)
    return int(number)
