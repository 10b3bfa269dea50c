"""Columns of good records, rejects of bad ones, and no harm between neighbours."""

import base64
import json
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


BAD: list[tuple[dict[str, Any], str]] = [
    ({"event_time": "yesterday"}, "event_time"),
    ({"event_time": "2026-01-05T00:00:00"}, "event_time"),
    ({"event_time": 10**18}, "event_time"),
    ({"account_id": ""}, "account_id"),
]
UNREAD: list[dict[str, Any]] = [
    {"input": []},
    {"input": [1e39, 0, 0, 0]},
    {"input": [float("nan"), 0, 0, 0]},
    {"input": {"b64": "!!!", "dtype": "u1"}},
    {"input": {"b64": "AAA=", "dtype": "f4"}},
    {"input": [0.5] * 70_000},
    {"embedding": b64([np.nan, 1], "f4")},
    {"embedding": "no vector"},
    {"probabilities": [0.5, 1.7]},
    {"top_scores": [0.1, 0.9]},
    {"status": "ok"},
    {"client_ip": "1" * 500},
    {"params": {"n": "two", "temperature": 0.5}},
]


@pytest.mark.parametrize(("fields", "field"), BAD)
def test_one_bad_record_harms_no_neighbour(fields: dict[str, Any], field: str) -> None:
    batch, rejects = columns(raw_batch([record(0), record(1, **fields), record(2)], start=40))
    assert batch.event_ids == ["e000000", "e000002"]
    assert batch.positions.tolist() == [40, 42]
    (reject,) = rejects
    assert (reject.reason, reject.field, reject.offset, reject.topic) == ("schema", field, 41, "logs")
    assert reject.message


@pytest.mark.parametrize("fields", UNREAD)
def test_a_part_that_cannot_be_read_is_missing_and_the_query_counts(fields: dict[str, Any]) -> None:
    read = native_intake().read(raw_batch([record(0), record(1, **fields)]), 0)
    assert (len(read.batch), read.rejects, read.notes["unread"]) == (2, [], 1)
    for blocks in (read.batch.inputs, read.batch.embeddings, read.batch.probabilities):
        assert all(np.isfinite(block.values).all() for block in blocks)


def test_values_beyond_any_measure_stay_within_what_can_be_summed() -> None:
    batch, rejects = columns(
        raw_batch(
            [record(0, input=[3e38, -3e38, 1.0], embedding=[3e38, 1e38]), record(1, input=[0.0, 1.0, 2.0])]
        )
    )
    assert not rejects
    assert batch.inputs[0].values.tolist() == [[np.float32(1e30), np.float32(-1e30), 1.0], [0.0, 1.0, 2.0]]


@pytest.mark.filterwarnings("error")
def test_a_client_that_shouts_beside_a_huge_embedding_is_no_overflow() -> None:
    shouting = record(0, input="WHERE IS MY CARD AND WHEN WILL IT COME", embedding=[3e38] * 64)
    batch, rejects = columns(raw_batch([shouting]), native_intake(embedder=TextEmbedder()))
    assert (len(batch), rejects) == (1, [])


def test_every_kind_of_bad_record_at_once_is_counted_once() -> None:
    records = [record(index, **fields) for index, (fields, _) in enumerate(BAD)]
    batch, rejects = columns(raw_batch([*records, b"not json", record(99)]))
    assert len(batch) == 1
    assert sorted(reject.offset for reject in rejects) == list(range(len(BAD) + 1))


def test_rejects_show_no_input_and_no_key() -> None:
    secret = record(0, event_time="x", input="my PIN is 4711", api_key_id="sk-secret")
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


@pytest.mark.parametrize("field", ["account_id", "event_id", "model_id", "tenant_id"])
def test_long_ids_are_hashed_and_stay_apart(field: str) -> None:
    raw = raw_batch([record(index, **{field: "x" * (4_000 + index % 2)}) for index in range(3)])
    batch, rejects = columns(raw)
    ids = getattr(batch, field + "s")
    assert not rejects
    assert ids[0] == ids[2] != ids[1]
    assert max(map(len, ids)) < 128


def test_long_texts_are_cut_and_count() -> None:
    batch, rejects = columns(
        raw_batch([record(0, input="t" * 500_000), record(1, output_text="t" * 3_000_000)])
    )
    assert (len(batch), rejects) == (2, [])
    assert len(batch.texts[0] or "") == len(batch.output_texts[1] or "") == 1 << 18


def test_spellings_of_one_account_are_one_account() -> None:
    spellings = ["Acct-A\u00e9 1", " acct-a\u00e9  1", "acct-ae\u0301 1", "\uff21CCT-A\u00c9 1"]
    batch, _ = columns(raw_batch([record(i, account_id=each) for i, each in enumerate(spellings)]))
    assert set(batch.account_ids) == {"acct-a\u00e9 1"}


def test_a_message_beyond_any_bound_is_a_reject() -> None:
    long = json.dumps(record(0)).encode() + b" " * (16 << 20)
    batch, (reject,) = columns(raw_batch([long, record(1)]))
    assert (len(batch), reject.reason) == (1, "too_large")
    assert len(reject.excerpt) < 1_000


def test_what_stands_around_a_question_leaves_as_keyed_hashes() -> None:
    given = {
        "conversation_id": "conv-1", "system_hash": "s", "tools_hash": "t", "turn": 2, "prompt_index": 0,
        "reasoning_refs": ["r1", "r2"], "reasoning_issued": ["r2"], "finish_reason": "stop", "asn": 64500,
        "account_created": "2026-01-01T00:00:00Z", "plan": "free",
    }  # fmt: skip
    batch, rejects = columns(raw_batch([record(0), record(1, **given)]))
    assert not rejects
    assert batch.conversation_hashes is not None
    assert batch.reasoning_refs is not None
    assert batch.reasoning_issued is not None
    assert batch.turns is not None
    assert batch.asns is not None
    assert batch.accounts_created_ms is not None
    assert batch.conversation_hashes[0] is None
    assert len({*batch.conversation_hashes, "conv-1"}) == 3, "neither missing nor the id itself"
    assert batch.reasoning_refs[1] is not None
    assert batch.reasoning_issued == [None, (batch.reasoning_refs[1][1],)]
    assert (batch.turns.tolist(), batch.asns.tolist()) == ([-1, 2], [-1, 64500])
    assert batch.accounts_created_ms.tolist() == [-1, 1767225600000]
    assert (batch.finish_reasons, batch.plans) == ([None, "stop"], [None, "free"])
    again, _ = columns(raw_batch([record(1, **given)]))
    assert again.conversation_hashes == batch.conversation_hashes[1:]


def test_a_batch_without_such_fields_has_no_such_columns() -> None:
    batch, _ = columns(raw_batch([record(0)]))
    assert (batch.conversation_hashes, batch.turns, batch.reasoning_refs, batch.plans) == (None,) * 4
