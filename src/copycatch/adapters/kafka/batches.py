"""Records of fetched batches as tuples, found in one compiled pass instead of a Python object each.

The library reads a batch number by number in Python, which costs more than the network, the checksum and the
decompression together. What is read here, and in which order, is what the library would have given:
`tests/unit/adapters/test_kafka_batches.py` holds the two together.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final

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
FetchedRecord = tuple[int, int, bytes | None, bytes | None, Headers]
"""offset, timestamp in ms, key, value, headers"""

CURRENT_FORMAT: Final = 2  # of record batches, since Kafka 0.11
_TIME, _OFFSET, _KEY, _KEY_END, _VALUE, _VALUE_END, _HEADERS, _END = range(8)
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
def _find_records(data, at, places):  # type: ignore[no-untyped-def]  # noqa: PLR0911 - one pass, in order
    """Fill one row of places a record; where the last one ends, `_DAMAGED` if they are no records."""
    for i in range(len(places)):
        length, at = _read_varint(data, at, len(data))
        if at < 0 or length < 1 or length > len(data) - at:
            return _DAMAGED
        stop = at + length
        _, at = _read_varint(data, at, stop)  # attributes, of which there are none
        if at < 0:
            return _DAMAGED
        places[i, _TIME], at = _read_varint(data, at, stop)
        if at < 0:
            return _DAMAGED
        places[i, _OFFSET], at = _read_varint(data, at, stop)
        if at < 0:
            return _DAMAGED
        places[i, _KEY], places[i, _KEY_END], at = _read_bytes(data, at, stop)
        if at < 0:
            return _DAMAGED
        places[i, _VALUE], places[i, _VALUE_END], at = _read_bytes(data, at, stop)
        if at < 0:
            return _DAMAGED
        n_headers, first = _read_varint(data, at, stop)
        if first < 0 or n_headers < 0 or (n_headers == 0 and first != stop):
            return _DAMAGED
        places[i, _HEADERS] = at if n_headers else _MISSING
        places[i, _END] = stop
        at = stop
    return at


def _slices(data: bytes, starts: IntArray, stops: IntArray) -> list[bytes | None]:
    if starts.min(initial=0) >= 0:
        return [data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    pairs = zip(starts.tolist(), stops.tolist(), strict=True)
    return [None if start < 0 else data[start:stop] for start, stop in pairs]


def _headers_of(data: bytes, at: int, stop: int) -> Headers:
    """Names and values of the headers that begin at `at` and must end at `stop`."""
    headers: Headers = []
    try:
        n, at = decode_varint(data, at)
        for _ in range(n):
            length, at = decode_varint(data, at)
            name = data[at : at + length].decode()  # a length below 0 leaves a wrong end
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


def records_of(batch: Any) -> list[FetchedRecord]:
    """All records of a batch of the current format (2), as the library's own iteration would give them.

    Parameters
    ----------
    batch : kafka.record.default_records.DefaultRecordBatch
        Nothing of it may have been read yet.

    Raises
    ------
    CorruptRecordError
        If it holds anything else than as many records as it says.
    """
    iter(batch)  # decompresses it
    data = bytes(memoryview(batch._buffer)[batch._pos :])  # noqa: SLF001 (nothing public gives the bytes)
    places: npt.NDArray[np.int64] = np.empty((batch.records_count, _END + 1), dtype=np.int64)
    if _find_records(np.frombuffer(data, dtype=np.uint8), 0, places) != len(data):
        msg = f"the batch at offset {batch.base_offset} does not hold {batch.records_count} whole records"
        raise CorruptRecordError(msg)
    if batch.timestamp_type == batch.LOG_APPEND_TIME:
        times_ms = [batch.max_timestamp] * len(places)
    else:
        times_ms = (places[:, _TIME] + batch.first_timestamp).tolist()
    headers: list[Headers] = [
        [] if at < 0 else _headers_of(data, at, stop)
        for at, stop in zip(places[:, _HEADERS].tolist(), places[:, _END].tolist(), strict=True)
    ]
    return list(
        zip(
            (places[:, _OFFSET] + batch.base_offset).tolist(),
            times_ms,
            _slices(data, places[:, _KEY], places[:, _KEY_END]),
            _slices(data, places[:, _VALUE], places[:, _VALUE_END]),
            headers,
            strict=True,
        )
    )


class CompiledRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What one fetch brought of a partition, given out as `FetchedRecord`.

    Checks and their order are the library's: the checksum, then whether the batch is of an aborted
    transaction or only a mark, then its records.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._ready: list[FetchedRecord] = []  # of the batch under way
        super().__init__(*args, **options)

    def _maybe_skip_record(self, _record: object) -> bool:
        """What lies before the position that was asked for is left out where its batch is read."""
        return False

    def take(self, n: int) -> list[FetchedRecord]:
        """The next records, at most `n`; an error comes after what was good before it.

        What is left of the fetch is given up then: the next one may bring it whole.
        """
        taken: list[FetchedRecord] = []
        failed: Exception | None = self._next_inline_exception  # type: ignore[has-type]
        batches = self.record_iterator
        while failed is None and len(taken) < n:
            if not self._ready:
                try:
                    self._ready = next(batches, [])
                except (KafkaError, ValueError, IndexError) as error:
                    failed = error
                if not self._ready:
                    break
            part = self._ready[: n - len(taken)]
            del self._ready[: len(part)]
            taken += part
            self.next_fetch_offset = part[-1][0] + 1
        self.records_read += len(taken)
        if failed is not None and not taken:
            self.drain()
            raise failed
        self._next_inline_exception = failed
        return taken

    def _unpack_records(
        self, partition: Any, records: Any, *_deserializers: object
    ) -> Iterator[list[FetchedRecord]]:
        """Of each batch what is asked for, if it is any."""
        last = None
        while (batch := records.next_batch()) is not None:
            last = batch
            if self.check_crcs and not batch.validate_crc():
                msg = f"the checksum of the batch at offset {batch.base_offset} of {partition} is wrong"
                raise CorruptRecordError(msg)
            self.bytes_read += batch.size_in_bytes
            if batch.magic == CURRENT_FORMAT and self._is_void(batch):
                self.next_fetch_offset = batch.next_offset
                continue
            found = records_of(batch) if batch.magic == CURRENT_FORMAT else self._old_records_of(batch)
            # A batch comes whole, also when the position that was asked for lies within it.
            found = found[bisect_left(found, (self.fetch_offset,)) :]
            if found:
                yield found
        if last is not None and last.magic == CURRENT_FORMAT:
            # Offsets of records that compaction has taken from the end of a batch count as well.
            self.next_fetch_offset = last.next_offset
        self.drain()

    def _is_void(self, batch: Any) -> bool:
        """Whether it holds nothing for us: a mark of a transaction's end, or records of an aborted one."""
        self.leader_epoch = batch.leader_epoch
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)

    def _old_records_of(self, batch: Any) -> list[FetchedRecord]:
        """Of formats 0 and 1, whose records have checksums of their own and no headers."""
        found: list[FetchedRecord] = []
        for record in batch:
            if self.check_crcs and not record.validate_crc():
                msg = f"the checksum of the record at offset {record.offset} is wrong"
                raise CorruptRecordError(msg)
            found.append((record.offset, record.timestamp or -1, record.key, record.value, []))
        return found


def read_compiled(consumer: KafkaConsumer) -> None:
    """Let a consumer's polls give `FetchedRecord` in place of the library's records."""
    records_of(_smallest_batch())  # compiled before any record waits for it
    consumer._fetcher.PartitionRecords = CompiledRecords  # noqa: SLF001 (there is no public place for it)


def _smallest_batch() -> DefaultRecordBatch:
    builder = DefaultRecordBatchBuilder(
        magic=CURRENT_FORMAT, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1,
        base_sequence=-1, batch_size=1 << 10,
    )  # fmt: skip
    builder.append(0, timestamp=0, key=b"", value=b"", headers=[])
    return DefaultRecordBatch(builder.build())
