"""Whatever the bytes of native records: each record's columns are its own, and one bad line harms none."""

# ruff: noqa: E501 - tables of samples

import base64
import binascii
import dataclasses
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.traffic import columns, native_intake

from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake import read
from copycatch.intake.accounts import canonical_account
from copycatch.intake.columns import ColumnBuilder
from copycatch.records.columns import RawBatch, RecordBatch, VectorBlock
from copycatch.records.wire import VECTOR_LENGTH_MAX, Blob, InferenceRecord

CRASHES = Path(__file__).parents[4] / "shared" / "cases" / "hiding" / "01-heap-overflow"
FIRST = 10
BLOCKS = {"input": "inputs", "embedding": "embeddings", "probabilities": "probabilities"}
REQUIRED = {
    "event_id": "e-1",
    "event_time": "2026-01-05T07:08:09.010Z",
    "account_id": "acct-7",
    "model_id": "m",
}


@pytest.fixture(scope="module", autouse=True)
def _short_spans() -> Iterator[None]:
    """A few records are read in as many turns as thousands are."""
    before, read.SPAN_RECORDS = read.SPAN_RECORDS, 2
    yield
    read.SPAN_RECORDS = before


def vectors_by_row(blocks: list[VectorBlock]) -> dict[int, tuple[str, list[float]]]:
    return {
        row: (block.model_id, values.tolist())
        for block in blocks
        for row, values in zip(block.rows.tolist(), block.values, strict=True)
    }


def row_of(batch: RecordBatch, row: int) -> dict[str, Any]:
    """Everything that the columns say of one record; NaN as None."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(RecordBatch):
        column = getattr(batch, field.name)
        if field.name in BLOCKS.values():
            found[field.name] = vectors_by_row(column).get(row)
        elif field.name != "raw" and column is not None:
            value = column[row].item() if isinstance(column, np.ndarray) else column[row]
            found[field.name] = None if value != value else value
    return found


def values_of(vector: list[float] | Blob | None) -> list[float] | None:
    """A vector as float32, one value at a time; None where it is no base64 of whole values."""
    if isinstance(vector, Blob):
        code = {"u1": "B", "f2": "e", "f4": "f"}[vector.dtype]
        try:
            raw = binascii.a2b_base64(vector.b64, strict_mode=True)
            return [float(value) for (value,) in struct.iter_unpack("<" + code, raw)]
        except (binascii.Error, struct.error):
            return None
    with np.errstate(over="ignore"):
        return None if vector is None else [float(np.float32(value)) for value in vector]


def is_good(name: str, values: list[float] | None) -> bool:
    low, high = (-1e-3, 1 + 1e-3) if name == "probabilities" else (-math.inf, math.inf)
    return bool(values) and all(low <= value <= high and math.isfinite(value) for value in values or [])


def check(lines: list[bytes]) -> int:
    """Together as alone, and as the validating decoder says; gives how many records are good."""
    raw = RawBatch("logs", 0, list(range(FIRST, FIRST + len(lines))), lines)
    batch, rejects = columns(raw)
    positions = batch.positions.tolist()
    assert sorted([*positions, *(reject.offset for reject in rejects)]) == raw.positions
    assert positions == sorted(positions)
    reject_by_position = {reject.offset: reject for reject in rejects}
    for position, line in zip(raw.positions, lines, strict=True):
        alone, alone_rejects = columns(RawBatch("logs", 0, [position], [line]))
        if alone_rejects:
            assert alone_rejects == [reject_by_position[position]]
            continue
        said = row_of(batch, positions.index(position))
        assert said == row_of(alone, 0)
        try:
            record = msgspec.json.decode(line, type=InferenceRecord)
        except (ValueError, RecursionError):
            continue  # a part of it could not be read; what becomes of it is tested below
        assert said["account_ids"] == canonical_account(record.account_id)
        assert said["texts"] == (record.input if isinstance(record.input, str) else None)
        for name, column in BLOCKS.items():
            vector = getattr(record, name)
            values = None if isinstance(vector, str) else values_of(vector)
            expected = None if not is_good(name, values) else (record.model_id, values)
            assert said[column] == expected, name
    return len(batch)


numbers = st.one_of(
    st.floats(-10, 10),
    st.floats(-10, 10).map(lambda value: round(value, 3)),
    st.floats(allow_nan=False),
    st.integers(-(2**70), 2**70),
)
shares = st.one_of(st.floats(0, 1), st.floats(0, 1).map(lambda value: round(value, 4)), st.floats(-1, 2))
names = st.one_of(
    st.text(max_size=8), st.sampled_from(["", "a", "b" * 512, "b" * 513, "ünï", 'say "x"', None, 7])
)
optional_names = names
times = st.one_of(
    st.datetimes().map(lambda time: time.isoformat(timespec="milliseconds") + "Z"),
    st.datetimes().map(lambda time: time.isoformat(timespec="seconds") + "Z"),
    st.sampled_from(["2026-02-29T00:00:00Z", "2024-02-29T23:59:59.999Z", "2026-01-05T24:00:00Z", "yesterday",
                     "2026-01-05T00:00:60Z", "2026-13-01T00:00:00.000Z", "2026-01-05t00:00:00z",
                     "2026-01-05 00:00:00.000Z", "10000-01-05T00:00:00.00Z", "0000-01-05T00:00:00.000Z",
                     "2026-01-05T00:00:00.000+00:00", 1_767_571_200_000, 0, -1, 2**50, 1.5, None]),
)  # fmt: skip
blobs = st.fixed_dictionaries(
    {
        "b64": st.sampled_from(
            ["AQID", "AQI=", "AQ==", "AR==", "AAAAAA==", "AACAPwAAAEA=", "AACAfw==", "A", "", "A=B="]
        ),
        "dtype": st.sampled_from(["u1", "f4", "f2", "f8"]),
    }
)
vectors = st.one_of(
    st.lists(numbers, max_size=5), st.lists(numbers, min_size=3, max_size=3), blobs, st.none()
)
counts = st.one_of(st.integers(0, 500), st.sampled_from([None, -1, 2**53, 2**53 + 1, 1.0, True, "1"]))
params = st.one_of(
    st.none(),
    st.dictionaries(st.sampled_from(["logprobs", "other"]), st.sampled_from([True, False, None, 1]), max_size=2),
    st.fixed_dictionaries(
        {},
        optional={
            "logprobs": st.sampled_from([True, False, None]), "top_logprobs": counts, "n": counts,
            "logit_bias": st.one_of(counts, st.dictionaries(st.text(max_size=2), st.floats(-1, 1), max_size=2)),
            "temperature": st.one_of(st.floats(0, 2), st.none()), "max_tokens": counts,
        },
    ),
)  # fmt: skip
records = st.fixed_dictionaries(
    {
        "event_id": st.one_of(st.just("e"), names), "event_time": times, "model_id": st.sampled_from(["m", "n"]),
        "account_id": st.one_of(st.sampled_from(["a", "b"]), names),
    },
    optional={
        "tenant_id": names, "api_key_id": names, "user_agent": names, "client_ip": names, "model_version": names,
        "input": st.one_of(vectors, st.text(max_size=12)), "embedding": vectors,
        "predicted_label": st.one_of(st.integers(-3, 300), st.sampled_from([2**53, 2**62, 2**70, 1.0]), names),
        "probabilities": st.one_of(st.lists(shares, max_size=4), st.none()),
        "top_scores": st.one_of(st.lists(shares, max_size=3), st.lists(shares, max_size=3).map(
            lambda found: sorted(found, reverse=True)), st.none()),
        "output_text": st.one_of(st.text(max_size=9), st.none()), "params": params, "input_tokens": counts,
        "output_tokens": counts, "latency_ms": st.one_of(numbers, st.none()),
        "status": st.one_of(st.integers(-1, 1000), st.none()),
        "schema_version": st.sampled_from(["1.0", "1.7", "2.0", "1", "", None]),
        "unknown": st.one_of(numbers, st.lists(numbers, max_size=2)),
    },
)  # fmt: skip


@st.composite
def lines_of_records(draw: st.DrawFn) -> list[bytes]:
    found = draw(st.lists(records, min_size=1, max_size=6))
    is_ascii, separators = (
        draw(st.booleans()),
        draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:  ")])),
    )
    return [
        json.dumps(record, ensure_ascii=is_ascii, separators=separators).encode(errors="surrogatepass")
        for record in found
    ]


@settings(max_examples=100, deadline=None)
@given(lines=lines_of_records())
def test_any_records(lines: list[bytes]) -> None:
    check(lines)


@settings(max_examples=100, deadline=None)
@given(lines=lines_of_records(), data=st.data())
def test_damaged_records(lines: list[bytes], data: st.DataObject) -> None:
    damaged = []
    for line in lines:
        at = data.draw(st.integers(0, len(line)))
        put = data.draw(
            st.one_of(st.binary(max_size=2), st.sampled_from([b'"', b",", b"}", b"[", b"\\", b"0", b"e"]))
        )
        cut = data.draw(st.integers(0, 3))
        damaged.append(line[:at] + put + line[at + cut :])
    check(damaged)


OTLP = b',"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"{}"}}]}]}]}'


def check_lazily(lines: list[bytes]) -> None:
    """Read many at a time, and record by record: the same columns, rejects and notes."""
    raw = RawBatch("logs", 0, list(range(FIRST, FIRST + len(lines))), lines)
    decoder = make_decoder("native", FormatOptions())
    lazily, eagerly = decoder.decode_lazily(raw), decoder.decode(raw)
    found, expected = (ColumnBuilder(b"key", None).build(raw, each) for each in (lazily, eagerly))
    assert found[1] == expected[1]
    assert found[0].positions.tolist() == expected[0].positions.tolist()
    for row in range(len(expected[0])):
        assert row_of(found[0], row) == row_of(expected[0], row)
    if len(expected[1]) == len(eagerly.rejects):  # of records that the intake rejects no part is counted
        assert +lazily.notes == +eagerly.notes


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(lines_of_records(), min_size=1, max_size=8).map(
        lambda parts: [line for part in parts for line in part]
    ),
    data=st.data(),
)
def test_many_at_a_time_as_one_by_one(lines: list[bytes], data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        end = data.draw(st.integers(0, len(lines[at])))
        odd = [
            b"\0\0\0\0\1" + lines[at],
            lines[at][:-1] + OTLP,
            lines[at][:end],
            b'{"log":%s}' % json.dumps(lines[at].decode()).encode(),
        ]
        lines[at] = data.draw(st.sampled_from(odd))
    check_lazily(lines)


@pytest.mark.parametrize(
    "bad", ["[1, null]", "[[1], [2]]", "null", '{"b64":"AQID","dtype":"u1"}', '"x"', "7", "[]"]
)
def test_odd_vectors_among_many(bad: str) -> None:
    lines = [
        full_record(event_id=str(index), embedding=[index, 0.5], probabilities=[0.5]) for index in range(64)
    ]
    for field in ("input", "embedding", "probabilities"):
        for at in (0, 20, 63):
            lines[at] = full_record(event_id=str(at))[:-1] + f', "{field}": {bad}}}'.encode()
        check_lazily(lines)
        batch = columns(RawBatch("logs", 0, list(range(64)), lines))[0]
        assert len(batch) == 64
        assert sum(len(block.rows) for block in batch.embeddings) >= 61


def full_record(**fields: Any) -> bytes:
    return json.dumps(REQUIRED | fields).encode()


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "where is my card?", "predicted_label": "card", "params": {}},
        {"input": [1, 2.5, -3e-4], "embedding": [0.1234567890123456789], "probabilities": [0.25, 0.75]},
        {"input": 'a "quoted" line\n, \u20ac and \U0001f600', "output_text": "a\\b", "event_id": "\u00e9"},
        {"extra": {"nested": [{"deep": [1, "x"]}]}, "account_id": 'say "x"'},
        {"input": [2**70, 1e-400, 5e-324, -0.0], "embedding": [9007199254740993]},
    ],
)
def test_good_records(fields: dict[str, Any]) -> None:
    assert check([full_record(**fields)]) == 1


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "[NaN]",
        "[0.5,Infinity]",
        "[1e999]",
        "[1e39]",
        "[[1]]",
        "[true]",
        '["1"]',
        "[null]",
        "[]",
        "1" * 400,
    ],
)
@pytest.mark.parametrize("field", ["input", "embedding"])
def test_what_is_no_vector_is_missing_and_the_query_counts(field: str, value: str) -> None:
    bad = full_record()[:-1] + f', "{field}": {value}}}'.encode()
    good = [full_record(input=[1.0, 2.0]), full_record(input="text")]
    assert check([good[0], bad, good[1]]) == 3
    batch, rejects = columns(RawBatch("logs", 0, [0, 1, 2], [good[0], bad, good[1]]))
    assert not rejects
    assert row_of(batch, 1)[BLOCKS[field]] is None


@pytest.mark.parametrize("value", ["[1.]", "[01]", "[1,]", '"\\x"'])
def test_what_is_no_json_is_a_reject(value: str) -> None:
    bad = full_record()[:-1] + f', "input": {value}}}'.encode()
    assert check([full_record(), bad]) == 1
    _, (reject,) = columns(RawBatch("logs", 0, [0], [bad]))
    assert reject.reason == "not_json"


def test_text_that_is_no_unicode_counts_with_replacements() -> None:
    half = full_record(input="half \ud83d of it")
    bytes_ = full_record(input="?").replace(b"?", b"caf\xe9")
    batch, rejects = columns(RawBatch("logs", 0, [0, 1], [half, bytes_]))
    assert (batch.texts, rejects) == (["half \ufffd of it", "caf\ufffd"], [])


def test_of_a_repeated_field_the_last_counts() -> None:
    raw = RawBatch("logs", 0, [0], [full_record()[:-1] + b',"account_id":"other"}'])
    assert columns(raw)[0].account_ids == ["other"]


def test_empty_poll_and_empty_messages() -> None:
    assert check([]) == 0
    assert check([b"", b" ", b"{}", full_record()]) == 1


@pytest.mark.parametrize(("start", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting_costs_only_what_is_deep(start: bytes, end: bytes) -> None:
    deep = start * 100_000 + b"1" + end * 100_000
    bad = full_record(input="asked")[:-1] + b', "extra": ' + deep + b"}"
    batch, rejects = columns(RawBatch("logs", 0, [0], [bad]))
    assert (batch.texts, rejects) == (["asked"], [])


@pytest.mark.parametrize("dtype", ["u1", "f2", "f4"])
@pytest.mark.parametrize("n", [1, 2, 3, 64, 784, 3_072, VECTOR_LENGTH_MAX])
def test_base64_of_every_size(dtype: str, n: int) -> None:
    """Images of 784 and 3,072 bytes once wrote beyond a buffer that was sized by the text."""
    rng = np.random.default_rng(n)
    values = rng.integers(0, 256, n).astype("<" + dtype)
    blob = {"b64": base64.b64encode(values.tobytes()).decode(), "dtype": dtype}
    lines = [full_record(event_id=str(index), input=blob, embedding=blob) for index in range(4)]
    batch, rejects = columns(RawBatch("logs", 0, list(range(4)), lines), native_intake())
    assert not rejects
    for block in (*batch.inputs, *batch.embeddings):
        assert block.values.shape == (4, n)
        assert (block.values == values.astype(np.float32)).all()


@pytest.mark.skipif(not CRASHES.is_dir(), reason="no shared cases beside this checkout")
@pytest.mark.parametrize("name", ["one", "64", "784"])
def test_files_that_once_ended_the_process(name: str) -> None:
    assert check((CRASHES / f"{name}.jsonl").read_bytes().splitlines()) > 0
