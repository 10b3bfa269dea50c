"""The compiled lane for plain records gives what the validating decoder gives, or leaves the record to it."""

# ruff: noqa: E501 - tables of samples

import dataclasses
import json
import random
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copycatch.formats.decimals import FAILED, read_number
from copycatch.formats.native import NativeDecoder
from copycatch.formats.plain import scan
from copycatch.intake.decode import Intake
from copycatch.records.columns import RawBatch, RecordBatch, VectorBlock
from copycatch.records.merging import merge
from copycatch.records.wire import Rejected

KEY = b"a key of no consequence"
REQUIRED = {
    "event_id": "e-1",
    "event_time": "2026-01-05T07:08:09.010Z",
    "account_id": "acct-7",
    "model_id": "m",
}


def columns_both_ways(lines: list[bytes]) -> tuple[tuple[RecordBatch, list[Rejected]], ...]:
    raw = RawBatch("logs", 0, list(range(10, 10 + len(lines))), lines)
    decoder = NativeDecoder()
    slow = Intake(KEY, None).columns(raw, decoder.decode(raw))
    intake = Intake(KEY, None)
    plain, others = decoder.read_plain(raw)
    more, rejects = intake.columns(raw, decoder.decode(others))
    return slow, (merge(intake.plain_columns(raw, plain), more), rejects)


def vectors_by_row(blocks: list[VectorBlock]) -> dict[int, tuple[str, bytes]]:
    return {
        row: (block.model_id, values.tobytes())
        for block in blocks
        for row, values in zip(block.rows.tolist(), block.values + np.float32(0), strict=True)
    }


def assert_same(first: RecordBatch, second: RecordBatch) -> None:
    for field in dataclasses.fields(RecordBatch):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if field.name == "raw":
            continue
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype, field.name
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        elif field.name in {"inputs", "embeddings", "probabilities"}:
            assert vectors_by_row(one) == vectors_by_row(other), field.name
        else:
            assert one == other, field.name


def check(lines: list[bytes]) -> int:
    """Both ways agree; gives how many records were plain."""
    (slow, slow_rejects), (fast, fast_rejects) = columns_both_ways(lines)
    assert_same(slow, fast)
    assert sorted(slow_rejects, key=lambda each: each.offset) == sorted(
        fast_rejects, key=lambda each: each.offset
    )
    return len(scan(RawBatch("logs", 0, list(range(len(lines))), lines))[0])


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
def test_any_records_read_alike(lines: list[bytes]) -> None:
    check(lines)


@settings(max_examples=100, deadline=None)
@given(lines=lines_of_records(), data=st.data())
def test_damaged_records_read_alike(lines: list[bytes], data: st.DataObject) -> None:
    damaged = []
    for line in lines:
        at = data.draw(st.integers(0, len(line)))
        put = data.draw(
            st.one_of(st.binary(max_size=2), st.sampled_from([b'"', b",", b"}", b"[", b"\\", b"0", b"e"]))
        )
        cut = data.draw(st.integers(0, 3))
        damaged.append(line[:at] + put + line[at + cut :])
    check(damaged)


def full_record(**fields: Any) -> bytes:
    return json.dumps(REQUIRED | fields).encode()


@pytest.mark.parametrize(
    ("fields", "n_plain"),
    [
        ({}, 1),
        ({"input": "where is my card?", "predicted_label": "card", "params": {}}, 1),
        ({"input": [1, 2.5, -3e-4], "embedding": [0.1234567890123456789], "probabilities": [0.25, 0.75]}, 1),
        ({"embedding": {"b64": "AACAPwAAAEA=", "dtype": "f4"}, "input": {"b64": "AQID", "dtype": "u1"}}, 1),
        ({"top_scores": [0.9, 0.05], "status": 429, "latency_ms": 3.5, "tenant_id": "t"}, 1),
        ({"params": {"logprobs": True, "top_logprobs": 5, "logit_bias": 3, "n": 2, "temperature": 0.5}}, 1),
        (
            {
                "input": 'a "quoted" line\n, \u20ac and \U0001f600',
                "output_text": "a\\b",
                "event_id": "\u00e9",
            },
            1,
        ),
        ({"user_agent": 'a "quoted" one'}, 0),
        ({"extra": {"nested": 1}}, 0),
        ({"embedding": [1e300]}, 0),
        ({"embedding": []}, 0),
        ({"account_id": ""}, 0),
    ],
)
def test_ordinary_records_are_plain_and_odd_ones_are_not(fields: dict[str, Any], n_plain: int) -> None:
    assert check([full_record(**fields)]) == n_plain


def test_text_that_is_no_utf8_is_left_to_the_decoder() -> None:
    good = full_record(user_agent="\u00e9t\u00e9").replace(b"\\u00e9t\\u00e9", "\u00e9t\u00e9".encode())
    assert check([good, good.replace("\u00e9".encode(), b"\xe9")]) == 1


def test_a_wrong_escape_is_left_to_the_decoder() -> None:
    line = full_record(input="here")
    assert (
        check([line.replace(b"here", b"he\\xre"), line.replace(b"here", b"\\ud800"), line[:-6] + b'\\"']) == 0
    )


def test_a_repeated_field_is_left_to_the_decoder() -> None:
    line = full_record()
    assert check([line[:-1] + b',"account_id":"other"}']) == 0


def test_empty_poll_and_empty_messages() -> None:
    assert check([]) == 0
    assert check([b"", b" ", b"{}", full_record()]) == 1


def test_numbers_are_read_to_the_nearest_float() -> None:
    rng = random.Random(7)
    bits = np.zeros(1, dtype=np.uint64)
    texts = [repr(rng.gauss(0, 1)) for _ in range(3_000)]
    texts += [repr(rng.random() * 10 ** rng.randint(-60, 40)) for _ in range(3_000)]
    texts += [f"{rng.randint(0, 10 ** rng.randint(1, 19) - 1)}e{rng.randint(-70, 40)}" for _ in range(3_000)]
    texts += [repr(float(np.float32(rng.gauss(0, 1)))) for _ in range(2_000)]
    texts += ["0", "-0", "9007199254740993", "1e23", "8.5e22", "1.7976931348623157e308", "5e-324", "0.1e-7"]
    n_read = 0
    for text in texts:
        end, value, _ = read_number(np.frombuffer(text.encode(), dtype=np.uint8), 0, len(text), bits)
        if end == FAILED:
            continue
        n_read += 1
        assert (end, struct.pack("d", value)) == (len(text), struct.pack("d", float(text))), text
    assert n_read > 0.99 * len(texts)
