"""The compiled reader of record batches beside the library's own."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords, MemoryRecordsBuilder

from copycatch.adapters.kafka.batches import CompiledRecords, Records
from kafka import TopicPartition

PLACE = TopicPartition("logs", 0)
CODECS = {"none": 0, "gzip": 1, "lz4": 3, "zstd": 4}
Headers = list[tuple[str, bytes]]
Plain = tuple[int, int, bytes | None, bytes, Headers]
Row = tuple[int, bytes | None, bytes | None, Headers]
TIMES_MS = st.integers(0, 1 << 42)
TEXTS = st.one_of(st.none(), st.binary(max_size=200))
HEADERS = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=9)), max_size=3)
ROWS = st.lists(st.tuples(TIMES_MS, TEXTS, TEXTS, HEADERS), min_size=1, max_size=12)


def batch_of(
    rows: list[Row], first: int = 0, codec: str = "none", producer: int = -1, gaps: int = 0
) -> bytes:
    builder = MemoryRecordsBuilder(
        2, CODECS[codec], 1 << 20, 0, producer >= 0, producer, 0 if producer >= 0 else -1,
        0 if producer >= 0 else -1,
    )  # fmt: skip
    for time_ms, key, value, headers in rows:
        builder.append(time_ms, key, value, headers)
        builder.skip(gaps)
    builder.close()
    return first.to_bytes(8, "big") + bytes(builder.buffer())[8:]  # as the broker puts it


def taken(kind: Any, data: bytes, n: int, first: int, **options: Any) -> tuple[list[Plain], int]:
    """All records that it gives out, `n` at a time, and where it would go on."""
    options = {"isolation_level": 1} | options
    fetched = kind(first, PLACE, MemoryRecords(data), **options)
    found: list[Any] = []
    while fetched:
        part = fetched.take(n)
        assert len(part) <= n
        found += part
    return plain(found), fetched.next_fetch_offset


def agree(data: bytes, n: int = 5, first: int = 0, **options: Any) -> list[Plain]:
    ours, our_next = taken(CompiledRecords, data, n, first, **options)
    theirs, their_next = taken(Fetcher.PartitionRecords, data, n, first, **options)
    assert ours == theirs
    assert our_next == their_next
    return ours


@settings(deadline=None)  # the first call compiles
@given(rows=ROWS, more=ROWS, codec=st.sampled_from(sorted(CODECS)), n=st.integers(1, 30), data=st.data())
def test_gives_what_the_library_gives(
    rows: list[Row], more: list[Row], codec: str, n: int, data: Any
) -> None:
    first = data.draw(st.integers(0, len(rows) + len(more)))
    assert agree(batch_of(rows, 0, codec) + batch_of(more, len(rows), codec), n, first) is not None


def test_records_that_compaction_took_leave_their_offsets() -> None:
    assert [each[0] for each in agree(batch_of([(1, b"k", b"v", [])] * 3, gaps=4))] == [0, 5, 10]


class Aborted:
    """As a fetch response tells it."""

    producer_id = 7
    first_offset = 0


def test_aborted_transactions_are_left_out() -> None:
    rows: list[Row] = [(1, None, b"v", [])] * 3
    data = batch_of(rows, 0, producer=7) + batch_of(rows, 3, producer=8)
    assert [each[0] for each in agree(data, aborted_transactions=[Aborted()])] == [3, 4, 5]


def test_a_damaged_batch_is_refused_after_what_came_before_it() -> None:
    good = batch_of([(1, None, b"v", [])] * 3)
    bad = bytearray(batch_of([(1, None, b"v", [])] * 3, 3))
    bad[-2] ^= 0xFF
    fetched = CompiledRecords(0, PLACE, MemoryRecords(good + bytes(bad)), isolation_level=1)
    assert fetched.take(10).offsets == [0, 1, 2]
    with pytest.raises(CorruptRecordError, match="batch at offset 3"):
        fetched.take(10)
    assert not fetched  # what is left is fetched again, from where the good ones end
    assert fetched.next_fetch_offset == 3


@settings(deadline=None)  # the first call compiles
@given(at=st.integers(61, 140), byte=st.integers(0, 255))
@example(at=81, byte=129)  # a header without a value
@example(at=76, byte=31)  # a header's name of a length below 0
@example(at=87, byte=1)  # an offset below that of the record before
def test_garbage_with_a_right_checksum_is_refused_or_read_alike(at: int, byte: int) -> None:
    """Without the checksum, as a producer could send it: no garbage gets past one reader alone."""
    data = bytearray(batch_of([(5, b"key", b"value", [("name", b"x")]), (6, None, b"y" * 90, [])]))
    data[min(at, len(data) - 1)] = byte
    ours, theirs = (taken_or_none(kind, bytes(data)) for kind in (CompiledRecords, Fetcher.PartitionRecords))
    assert ours is None or ours == theirs


def plain(parts: list[Any]) -> list[Plain]:
    """Of either reader's, in the same form."""
    found: list[Plain] = []
    for each in parts:
        if isinstance(each, Records):
            headers = each.headers or [[] for _ in each.offsets]
            found += zip(each.offsets, each.times_ms, each.keys, each.values, headers, strict=True)
        else:
            known = [(name, value or b"") for name, value in each.headers]
            found.append((each.offset, each.timestamp, each.key, each.value or b"", known))
    return found


def taken_or_none(kind: Any, data: bytes) -> list[Plain] | None:
    """None where it refuses."""
    try:
        return taken(kind, data, 9, 0, check_crcs=False)[0]
    except (CorruptRecordError, UnicodeDecodeError):
        return None
