"""Columns of good records, rejects of bad ones, and no harm between neighbours."""

import base64
from typing import Any

import numpy as np
import pytest
from tests.support.traffic import START_MS, columns, native_intake, raw_batch, record

from copycatch.embedding.embedder import TextEmbedder


def b64(values: list[float], dtype: str) -> dict[str, str]:
    return {"b64": base64.b64encode(np.array(values, dtype="<" + dtype).tobytes()).decode(), "dtype": dtype}


def test_columns_of_a_full_record() -> None:
    full = record(
        0,
        event_time="2026-01-05T00:00:00.250Z",
        tenant_id="t1",
        api_key_id="key-1",
        client_ip="198.51.100.7",
        params={"logprobs": True, "top_logprobs": 5, "logit_bias": {"17": -100}, "n": 2, "max_tokens": 1},
        input_tokens=12,
        output_tokens=3,
        latency_ms=8.5,
    )
    batch, rejects = columns(raw_batch([full]))
    assert not rejects
    assert batch.event_times_ms.tolist() == [START_MS + 250]
    assert batch.tenant_ids == ["t1"]
    assert batch.label_codes.tolist() == [1]
    assert batch.margins[0] == pytest.approx(0.5)
    probs = np.array([0.2, 0.7, 0.1])
    assert batch.entropies[0] == pytest.approx(-(probs * np.log(probs)).sum() / np.log(3), abs=1e-6)
    assert batch.has_logprobs[0] == 1
    assert (batch.logit_biases[0], batch.choices[0], batch.max_tokens[0]) == (1, 2, 1)
    assert (batch.input_tokens[0], batch.output_tokens[0]) == (12, 3)
    assert batch.inputs[0].values.shape == (1, 4)


def test_missing_is_nan_not_zero() -> None:
    bare = record(0, input=None, probabilities=None, predicted_label=None, status=None)
    batch, rejects = columns(raw_batch([bare]))
    assert not rejects
    for column in (batch.margins, batch.entropies, batch.has_logprobs, batch.input_tokens):
        assert np.isnan(column).all()
    assert batch.label_codes.tolist() == [-1]
    assert batch.input_hashes.tolist() == [0]
    assert batch.statuses.tolist() == [200]


def test_label_from_probabilities_where_none_is_logged() -> None:
    batch, _ = columns(raw_batch([record(0, predicted_label=None)]))
    assert batch.label_codes.tolist() == [1]


def test_top_scores_give_margin_but_no_entropy() -> None:
    batch, _ = columns(raw_batch([record(0, probabilities=None, top_scores=[0.6, 0.3]),
                                  record(1, probabilities=None, top_scores=[0.6])]))  # fmt: skip
    assert batch.margins[0] == pytest.approx(0.3)
    assert np.isnan(batch.margins[1])
    assert np.isnan(batch.entropies).all()


@pytest.mark.parametrize("dtype", ["u1", "f2", "f4"])
def test_base64_vectors_equal_plain_ones(dtype: str) -> None:
    plain = record(0, input=[1.0, 2.0, 3.0])
    packed = record(1, input=b64([1, 2, 3], dtype))
    batch, rejects = columns(raw_batch([plain, packed]))
    assert not rejects
    assert batch.inputs[0].values.tolist() == [[1, 2, 3], [1, 2, 3]]
    assert batch.input_hashes[0] == batch.input_hashes[1] != 0


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"event_time": "yesterday"}, "schema", "event_time"),
    ({"event_time": "2026-01-05T00:00:00"}, "schema", "event_time"),
    ({"event_time": 10**18}, "schema", "event_time"),
    ({"input": []}, "schema", "input"),
    ({"input": [1e39, 0, 0, 0]}, "not_finite", "input"),
    ({"input": {"b64": "!!!", "dtype": "u1"}}, "schema", "input"),
    ({"input": {"b64": "AAA=", "dtype": "f4"}}, "schema", "input"),
    ({"embedding": b64([np.nan, 1], "f4")}, "not_finite", "embedding"),
    ({"probabilities": [0.5, 1.7]}, "schema", "probabilities[1]"),
    ({"top_scores": [0.1, 0.9]}, "schema", "top_scores"),
    ({"account_id": ""}, "schema", "account_id"),
    ({"status": "ok"}, "schema", "status"),
]


@pytest.mark.parametrize(("fields", "reason", "field"), BAD)
def test_one_bad_record_harms_no_neighbour(fields: dict[str, Any], reason: str, field: str) -> None:
    batch, rejects = columns(raw_batch([record(0), record(1, **fields), record(2)], start=40))
    assert batch.event_ids == ["e000000", "e000002"]
    assert batch.positions.tolist() == [40, 42]
    (reject,) = rejects
    assert (reject.reason, reject.field, reject.offset, reject.topic) == (reason, field, 41, "logs")
    assert reject.message


def test_every_kind_of_bad_record_at_once_is_counted_once() -> None:
    records = [record(index, **fields) for index, (fields, _, _) in enumerate(BAD)]
    batch, rejects = columns(raw_batch([*records, b"not json", record(99)]))
    assert len(batch) == 1
    assert sorted(reject.offset for reject in rejects) == list(range(len(BAD) + 1))


def test_rejects_show_no_input_and_no_key() -> None:
    secret = record(0, status="x", input="my PIN is 4711", api_key_id="sk-secret")
    _, (reject,) = columns(raw_batch([secret]))
    assert "4711" not in reject.excerpt
    assert "sk-secret" not in reject.excerpt
    assert "account_id" in reject.excerpt


def test_keys_become_pseudonyms_that_depend_on_the_secret() -> None:
    raw = raw_batch(
        [record(0, api_key_id="sk-1"), record(1, api_key_id="sk-2"), record(2, api_key_id="sk-1")]
    )
    first, _ = columns(raw)
    again, _ = columns(raw, native_intake())
    other, _ = columns(raw, native_intake(b"another secret"))
    assert first.api_key_hashes == again.api_key_hashes
    assert first.api_key_hashes[0] == first.api_key_hashes[2] != first.api_key_hashes[1]
    assert first.api_key_hashes[0] != other.api_key_hashes[0]
    assert "sk-1" not in str(first.api_key_hashes)


def test_text_without_embedding_is_embedded_the_same_in_any_batch() -> None:
    texts = ["where is my card", "a", "", "please sing me a long song " * 30]
    records = [record(index, input=text) for index, text in enumerate(texts)]
    together, _ = columns(raw_batch(records), native_intake(embedder=TextEmbedder()))
    (block,) = together.embeddings
    assert block.values.shape == (4, TextEmbedder.length)
    for index, each in enumerate(records):
        alone, _ = columns(raw_batch([each]), native_intake(embedder=TextEmbedder()))
        assert (alone.embeddings[0].values[0] == block.values[index]).all()


def test_given_embedding_is_preferred() -> None:
    batch, _ = columns(
        raw_batch([record(0, input="hi", embedding=[1.0, 0.0])]), native_intake(embedder=TextEmbedder())
    )
    (block,) = batch.embeddings
    assert block.values.tolist() == [[1.0, 0.0]]


def test_strings_and_numbers_as_labels_differ() -> None:
    batch, _ = columns(raw_batch([record(0, predicted_label="3"), record(1, predicted_label=3)]))
    assert batch.label_codes[0] != batch.label_codes[1]


def test_a_client_that_shouts_lies_where_its_topic_lies() -> None:
    intake = native_intake(embedder=TextEmbedder())
    text = "Where is the card that I ordered last week?"
    as_logged = TextEmbedder().embed_many([text.upper(), text])
    shouted = record(0, input=text.upper(), embedding=[round(float(x), 3) for x in as_logged[0]])
    foreign = record(1, input=text.upper(), embedding=[1.0] * TextEmbedder.length)
    batch, _ = columns(raw_batch([shouted, foreign]), intake)
    (block,) = batch.embeddings
    folded = TextEmbedder().embed_many([text.lower()])[0]
    assert np.allclose(block.values[0], folded)
    assert (block.values[1] == 1).all(), "another embedder's vectors stay as they are"


@pytest.mark.parametrize("input_", ["some text", [0.1, 0.2, 0.3, 0.4]])
def test_inputs_that_collide_cannot_be_made_without_the_key(input_: Any) -> None:
    """Equal inputs have equal hashes for one installation, and others for the next."""
    raw = raw_batch([record(0, input=input_), record(1, input=input_), record(2, input=[0.5] * 4)])
    (first, again, other), *rest = (
        columns(raw, native_intake(key))[0].input_hashes.tolist() for key in (b"k" * 32, b"k" * 32, b"l" * 32)
    )
    assert first == again
    assert rest[0] == [first, again, other]
    assert rest[1][0] == rest[1][1] != first


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("account_id", "x" * 5_000, "account_id"),
        ("event_id", "x" * 5_000, "event_id"),
        ("model_id", "x" * 5_000, "model_id"),
        ("client_ip", "1" * 500, "client_ip"),
        ("input", "t" * 500_000, "input"),
        ("input", [0.5] * 70_000, "input"),
        ("embedding", [0.5] * 70_000, "embedding"),
        ("probabilities", [0.0001] * 200_000, None),
    ],
)
def test_nothing_is_longer_than_its_bound(field: str, value: object, named: str | None) -> None:
    batch, rejects = columns(raw_batch([record(0), record(1, **{field: value}), record(2)]))
    assert len(batch) == 2
    assert [(reject.reason, reject.field) for reject in rejects] == [
        ("schema" if named else "too_large", named)
    ]
    assert len(rejects[0].excerpt or "") < 1_000
