"""Records of fetched batches as columns, found in one compiled pass instead of a Python object each.

The library reads a batch number by number in Python, which costs more than the network, the checksum and the
decompression together. What is read here, and in which order, is what the library would have given:
`tests/unit/adapters/test_kafka_batches.py` holds the two together.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, KafkaError
from kafka.protocol.consumer import IsolationLevel
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.util import decode_varint
from numba import njit

from copycatch.records.columns import IntArray
from kafka import KafkaConsumer

Headers = list[tuple[str, bytes]]

CURRENT_FORMAT: Final = 2  # of record batches, since Kafka 0.11
_TIME, _OFFSET, _KEY, _KEY_END, _VALUE, _VALUE_END, _HEADERS, _END = range(8)
_START, _COUNT, _FIRST_OFFSET, _FIRST_TIME, _APPEND_TIME = range(5)
_VARINT_BITS_MAX: Final = 64
_MISSING: Final = -1
_DAMAGED: Final = -1


@njit(cache=True)
def _read_varint(data, at, stop):  # type: ignore[no-untyped-def]
    """A zigzag number of variable length and the place behind it; `_DAMAGED` where it has no end."""
    bits, shift = np.uint64(0), np.uint64(0)
    while at < stop and shift < _VARINT_BITS_MAX:
        byte = np.uint64(data[at])
        at += 1
        bits |= (byte & np.uint64(0x7F)) << shift
        if byte < 0x80:
            half = np.int64(bits >> np.uint64(1))
            return -half - 1 if bits & np.uint64(1) else half, at
        shift += np.uint64(7)
    return 0, _DAMAGED


@njit(cache=True)
def _read_bytes(data, at, stop):  # type: ignore[no-untyped-def]
    """Where bytes with their length before them begin and end; `_MISSING` twice where there are none."""
    length, at = _read_varint(data, at, stop)
    if at < 0 or length > stop - at:
        return _MISSING, _MISSING, _DAMAGED
    if length < 0:
        return _MISSING, _MISSING, at
    return at, at + length, at + length


@njit(cache=True)
def _find_record(data, at, end, place):  # type: ignore[no-untyped-def]  # noqa: PLR0911 - one pass, in order
    """Where the parts of a record lie, and where it ends; `_DAMAGED` if it is none."""
    length, at = _read_varint(data, at, end)
    if at < 0 or length < 1 or length > end - at:
        return _DAMAGED
    stop = at + length
    _, at = _read_varint(data, at, stop)  # attributes, of which there are none
    if at < 0:
        return _DAMAGED
    place[_TIME], at = _read_varint(data, at, stop)
    if at < 0:
        return _DAMAGED
    place[_OFFSET], at = _read_varint(data, at, stop)
    if at < 0:
        return _DAMAGED
    place[_KEY], place[_KEY_END], at = _read_bytes(data, at, stop)
    if at < 0:
        return _DAMAGED
    place[_VALUE], place[_VALUE_END], at = _read_bytes(data, at, stop)
    if at < 0:
        return _DAMAGED
    n_headers, first = _read_varint(data, at, stop)
    if first < 0 or n_headers < 0 or (n_headers == 0 and first != stop):
        return _DAMAGED
    place[_HEADERS] = at if n_headers else _MISSING
    place[_END] = stop
    return stop


@njit(cache=True)
def _find_records(data, batches, places):  # type: ignore[no-untyped-def]
    """Fill one row of places a record, batch by batch; how many batches were whole."""
    row = 0
    for b in range(len(batches) - 1):
        at, end = batches[b, _START], batches[b + 1, _START]
        before = -1
        for _ in range(batches[b, _COUNT]):
            at = _find_record(data, at, end, places[row])
            place = places[row]
            if at < 0 or place[_OFFSET] <= before:
                return b  # offsets rise: whoever looks one up may halve
            before = place[_OFFSET]
            place[_OFFSET] += batches[b, _FIRST_OFFSET]
            place[_TIME] += batches[b, _FIRST_TIME]
            if batches[b, _APPEND_TIME] >= 0:
                place[_TIME] = batches[b, _APPEND_TIME]
            row += 1
        if at != end:
            return b
    return len(batches) - 1


@dataclass(slots=True)
class Records:
    """Fetched records of one partition as columns; `headers` is empty where no record has any.

    The library counts what a poll gives by its length and puts its items into the poll's list: so its length
    is that of its columns, and its only item is itself.
    """

    offsets: list[int] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offsets)

    def __iter__(self) -> Iterator["Records"]:
        return iter((self,))

    def cut(self, first: int, stop: int) -> "Records":
        """Some of them, in order."""
        if first == 0 and stop >= len(self):
            return self
        part = slice(first, stop)
        return Records(
            self.offsets[part], self.times_ms[part], self.keys[part], self.values[part], self.headers[part]
        )

    def add(self, other: "Records") -> None:
        """Put others behind these."""
        if self.headers or other.headers:
            self.headers = (self.headers or [[] for _ in self.offsets]) + (
                other.headers or [[] for _ in other.offsets]
            )
        self.offsets += other.offsets
        self.times_ms += other.times_ms
        self.keys += other.keys
        self.values += other.values


class Batch(NamedTuple):
    """A batch whose records have not been looked at; `append_ms` is the broker's time of all, or -1."""

    data: bytearray | memoryview
    n: int
    first_offset: int
    first_ms: int
    append_ms: int
    epoch: int


def _slices(data: bytes, starts: IntArray, stops: IntArray) -> list[bytes]:
    return [data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]


def _headers_of(data: bytes, at: int, stop: int) -> Headers:
    """Names and values of the headers that begin at `at` and must end at `stop`."""
    headers: Headers = []
    try:
        n, at = decode_varint(data, at)
        for _ in range(n):
            length, at = decode_varint(data, at)
            if length < 0:
                raise ValueError(length)  # noqa: TRY301 (told below with the others)
            name = data[at : at + length].decode()
            at += length
            length, at = decode_varint(data, at)
            headers.append((name, b"" if length < 0 else data[at : at + length]))
            at += max(length, 0)
    except (ValueError, IndexError) as error:
        msg = f"headers of a record cannot be read: {error!r}"
        raise CorruptRecordError(msg) from error
    if at != stop:
        msg = f"headers of a record end {stop - at} bytes before it"
        raise CorruptRecordError(msg)
    return headers


def records_of(batches: list[Batch]) -> Records:
    """All records of some batches, in order.

    Raises
    ------
    CorruptRecordError
        If one of them holds anything else than as many records as it says.
    """
    table = np.zeros((len(batches) + 1, _APPEND_TIME + 1), dtype=np.int64)
    table[:-1, _COUNT:] = [each[1:-1] for each in batches]
    np.cumsum([len(each.data) for each in batches], out=table[1:, _START])
    data = b"".join([each.data for each in batches])
    places: npt.NDArray[np.int64] = np.empty((int(table[:, _COUNT].sum()), _END + 1), dtype=np.int64)
    n_whole = _find_records(np.frombuffer(data, dtype=np.uint8), table, places)
    if n_whole < len(batches):
        bad = batches[n_whole]
        msg = f"the batch at offset {bad.first_offset} does not hold {bad.n} whole records"
        raise CorruptRecordError(msg)
    found = Records(
        offsets=places[:, _OFFSET].tolist(),
        times_ms=places[:, _TIME].tolist(),
        keys=list(_slices(data, places[:, _KEY], places[:, _KEY_END])),
        values=_slices(data, places[:, _VALUE], places[:, _VALUE_END]),  # a tombstone becomes b""
    )
    for row in np.flatnonzero(places[:, _KEY] < 0).tolist():
        found.keys[row] = None
    with_headers = np.flatnonzero(places[:, _HEADERS] >= 0).tolist()
    if with_headers:
        found.headers = [[] for _ in found.offsets]
        for row in with_headers:
            found.headers[row] = _headers_of(data, int(places[row, _HEADERS]), int(places[row, _END]))
    return found


class CompiledRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What one fetch brought of a partition, given out as `Records`.

    Checks and their order are the library's: the checksum, then whether the batch is of an aborted
    transaction or only a mark, then its records.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._ready = Records()
        self._given = 0  # of those that are ready
        self._next_batch: Batch | None = None  # of another leader's epoch than those that are ready
        self._passed = -1  # the offset behind the last batch
        self._failed: Exception | None = None
        super().__init__(*args, **options)

    def _maybe_skip_record(self, _record: object) -> bool:
        """What lies before the position that was asked for is left out where its batch is read."""
        return False

    def take(self, n: int) -> Records:
        """The next records, at most `n`; none when the fetch is through.

        An error comes after what was good before it. What is left of the fetch is given up then: the next one
        may bring it whole.
        """
        if self._given == len(self._ready):
            self._given, self._ready = 0, self._read(n)
        part = self._ready.cut(self._given, self._given + n)
        if part:
            self._given += len(part)
            self.records_read += len(part)
            self.next_fetch_offset = part.offsets[-1] + 1
            return part
        failed = self._failed
        if failed is None:
            # Offsets of records that compaction has taken, and of marks, count as well.
            self.next_fetch_offset = max(self.next_fetch_offset, self._passed)
        self.drain()
        if failed is not None:
            raise failed
        return part

    def _read(self, n: int) -> Records:
        """About as many of the next records as that, of whole batches; notes an error for later."""
        batches: list[Batch] = []
        n_found = 0
        try:
            while self._failed is None and n_found < n:
                batch = self._next_batch or next(self.record_iterator, None)
                if batch is None:
                    break
                self._next_batch = batch if batches and batch.epoch != batches[0].epoch else None
                if self._next_batch:
                    break
                batches.append(batch)
                n_found += batch.n
        except (KafkaError, ValueError, IndexError) as error:
            self._failed = error
        if not batches:
            return Records()
        self.leader_epoch = batches[0].epoch
        found = self._whole(batches)
        # A batch comes whole, also when the position that was asked for lies within it.
        return found.cut(bisect_left(found.offsets, self.fetch_offset), len(found)) or self._read(n)

    def _whole(self, batches: list[Batch]) -> Records:
        """Their records up to the first damaged batch."""
        try:
            return records_of(batches)
        except CorruptRecordError as error:
            if len(batches) == 1:
                self._failed = self._failed or error
                return Records()
        found = Records()
        for batch in batches:
            found.add(self._whole([batch]))
            if self._failed is not None:
                break
        return found

    def _unpack_records(self, partition: Any, records: Any, *_deserializers: object) -> Iterator[Batch]:
        """Each batch that holds records for us."""
        while (batch := records.next_batch()) is not None:
            if self.check_crcs and not batch.validate_crc():
                msg = f"the checksum of the batch at offset {batch.base_offset} of {partition} is wrong"
                raise CorruptRecordError(msg)
            self.bytes_read += batch.size_in_bytes
            if batch.magic < CURRENT_FORMAT:
                yield from self._renewed(batch)
                continue
            if not self._is_void(batch):
                iter(batch)  # decompresses it
                data = memoryview(batch._buffer)[batch._pos :]  # noqa: SLF001 (nothing public gives the bytes)
                is_append_time = batch.timestamp_type == batch.LOG_APPEND_TIME
                append_ms = batch.max_timestamp if is_append_time else -1
                yield Batch(
                    data, batch.records_count, batch.base_offset, batch.first_timestamp, append_ms,
                    batch.leader_epoch,
                )  # fmt: skip
            self._passed = batch.next_offset

    def _is_void(self, batch: Any) -> bool:
        """Whether it holds nothing for us: a mark of a transaction's end, or records of an aborted one."""
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)

    def _renewed(self, batch: Any) -> Iterator[Batch]:
        """Records of formats 0 and 1, which have checksums of their own, as batches of the current one."""
        for record in batch:
            if self.check_crcs and not record.validate_crc():
                msg = f"the checksum of the record at offset {record.offset} is wrong"
                raise CorruptRecordError(msg)
            yield batch_of_one(record.offset, record.timestamp or 0, record.key, record.value)
            self._passed = record.offset + 1


def batch_of_one(offset: int, time_ms: int, key: bytes | None, value: bytes | None) -> Batch:
    """A record as a batch of its own.

    Examples
    --------
    >>> records_of([batch_of_one(7, 1000, b"key", b"value")]).values
    [b'value']
    """
    builder = DefaultRecordBatchBuilder(
        magic=CURRENT_FORMAT, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1,
        base_sequence=-1, batch_size=1 << 10,
    )  # fmt: skip
    builder.append(0, timestamp=time_ms, key=key, value=value, headers=[])
    data = memoryview(builder.build())[DefaultRecordBatch.HEADER_STRUCT.size :]
    return Batch(data, 1, offset, time_ms, -1, -1)


def read_compiled(consumer: KafkaConsumer) -> None:
    """Let a consumer's polls give `Records` in place of the library's own."""
    records_of([batch_of_one(0, 0, None, b"")])  # compiled before any record waits for it
    consumer._fetcher.PartitionRecords = CompiledRecords  # noqa: SLF001 (there is no public place for it)
