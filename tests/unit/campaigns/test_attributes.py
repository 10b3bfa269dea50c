"""What accounts may share is read from records: by value, keyed, the same in every batch."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from copycatch.campaigns.attributes import Attributes, contexts_of, network_of
from copycatch.campaigns.fold import ISSUED_AT, SENT_AT
from copycatch.campaigns.layout import KINDS
from copycatch.intake.columns import ColumnBuilder
from copycatch.records.columns import RawBatch, RecordBatch
from copycatch.records.decoding import Decoded
from copycatch.records.selection import select
from copycatch.records.wire import InferenceRecord, Params

FIRST_MS = 1_772_409_600_000


def batch_of(*records: dict[str, Any]) -> RecordBatch:
    made = [
        InferenceRecord(event_id=str(index), event_time=FIRST_MS, account_id="a", model_id="m", **each)
        for index, each in enumerate(records)
    ]  # fmt: skip
    raw = RawBatch("t", 0, list(range(len(made))), [b""] * len(made))
    batch, rejects = ColumnBuilder(b"k" * 32, None).build(raw, Decoded(made, list(range(len(made)))))
    assert not rejects
    return batch


def kinds_of(batch: RecordBatch, kind: str, key: int = 5) -> list[int]:
    events = Attributes(key).events(batch, np.zeros(len(batch), dtype=np.int64))
    found: list[int] = events.attributes[:, KINDS.index(kind)].tolist()
    return found


def test_addresses_of_one_network_are_one() -> None:
    ips = [
        "198.51.100.7",
        "198.51.100.9",
        "198.51.101.7",
        "2001:db8:1:2::3",
        "2001:db8:1:9::4",
        "no address",
        None,
    ]
    a, b, c, d, e, f, g = kinds_of(batch_of(*({"client_ip": ip} for ip in ips)), "network")
    assert a == b != c
    assert d == e != a
    assert (f, g) == (0, 0)
    assert network_of("::ffff:198.51.100.7") is not None


def test_texts_that_begin_or_end_alike_share_a_skeleton() -> None:
    batch = batch_of(
        {"input": "Explain step by step how " + "water boils"},
        {"input": "Explain step by step how " + "bread rises"},
        {"input": "Something else entirely, that ends with bread rises"},
        {"input": "short"}, {"input": ""}, {"input": [1.0, 2.0]}, {},
    )  # fmt: skip
    opening, ending = kinds_of(batch, "opening"), kinds_of(batch, "ending")
    assert opening[0] == opening[1] != opening[2]
    assert ending[0] != ending[1]
    assert opening[3] != 0
    assert opening[4:] == ending[4:] == [0, 0, 0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=2, max_size=8))
def test_a_skeleton_depends_on_its_characters_alone(texts: list[str]) -> None:
    batch = batch_of(*({"input": text} for text in texts))
    both = kinds_of(batch, "opening")
    for index, text in enumerate(texts):
        alone = kinds_of(batch_of({"input": text}), "opening")
        assert alone == [both[index]]
        for other, hash_ in zip(texts, both, strict=True):
            if text[:24].rstrip("\0") == other[:24].rstrip("\0"):
                assert hash_ == both[index]


def test_parameters_are_one_signature_and_none_is_none() -> None:
    params = [
        Params(max_tokens=256, temperature=0.2), Params(max_tokens=256, temperature=0.2),
        Params(max_tokens=256, temperature=0.7), Params(max_tokens=256, temperature=0.2, n=2), Params(),
    ]  # fmt: skip
    found = kinds_of(batch_of(*({"params": each} for each in params), {}), "parameters")
    assert found[0] == found[1]
    assert len(set(found[1:5])) == 4
    assert found[5] == 0


def test_hashes_are_keyed() -> None:
    batch = batch_of({"user_agent": "curl/8", "input": "hello"})
    for kind in ("agent", "opening"):
        assert kinds_of(batch, kind, key=1) != kinds_of(batch, kind, key=2)


def test_vectors_are_short_of_unit_length_and_the_embedding_stands() -> None:
    rng = np.random.default_rng(1)
    vector = rng.normal(size=64).tolist()
    batch = batch_of({"input": [1.0, 2.0], "embedding": vector}, {"input": [1.0, 2.0]}, {"input": "text"})
    events = Attributes(5).events(batch, np.zeros(3, dtype=np.int64))
    assert np.allclose(np.linalg.norm(events.vectors, axis=1), [1, 1, 0], atol=1e-6)
    only = batch_of({"embedding": vector})
    assert (Attributes(5).events(only, np.zeros(1, dtype=np.int64)).vectors[0] == events.vectors[0]).all()


def test_cuts_of_batches_do_not_matter() -> None:
    batch = batch_of(*({"input": f"text {index}", "client_ip": f"10.0.{index}.1"} for index in range(20)))
    whole = Attributes(5).events(batch, np.arange(20))
    reader = Attributes(5)
    for begin in range(0, 20, 7):
        part = select(batch, np.arange(begin, min(begin + 7, 20)))
        events = reader.events(part, np.arange(begin, min(begin + 7, 20)))
        for name in ("attributes", "contents", "panes"):
            assert (getattr(events, name) == getattr(whole, name)[begin : begin + 7]).all()


def test_what_stands_around_a_question_is_read() -> None:
    batch = batch_of(
        {
            "asn": 64_500,
            "system_hash": "s",
            "tools_hash": "t",
            "conversation_id": "c1",
            "reasoning_issued": ["b1"],
        },
        {"asn": 64_500, "system_hash": "s2", "reasoning_refs": ["b1", "b0"]},
        {},
    )
    events = Attributes(5).events(batch, np.zeros(3, dtype=np.int64))
    asn, system, tools = (
        events.attributes[:, KINDS.index(kind)].tolist() for kind in ("asn", "system", "tools")
    )
    assert asn[0] == asn[1] != 0
    assert system[0] != system[1]
    assert [asn[2], system[2], tools[1], tools[2]] == [0] * 4
    contexts = events.contexts
    assert contexts[0, ISSUED_AT] in contexts[1, SENT_AT:]
    assert contexts[0, 0] != 0
    assert contexts[1, 0] == contexts[0, ISSUED_AT], "its first block stands for the conversation"
    assert not contexts[2].any()
    plain = Attributes(5).events(batch_of({"input": "hello"}), np.zeros(1, dtype=np.int64))
    assert plain.contexts.shape == (1, 0)


def test_of_many_blocks_the_same_few_are_taken_whatever_their_order() -> None:
    blocks = [f"block {number}" for number in range(50)]
    one, other = batch_of({"reasoning_refs": blocks}), batch_of({"reasoning_refs": blocks[::-1]})
    assert (contexts_of(one)[0, SENT_AT:] == contexts_of(other)[0, SENT_AT:]).all()
    assert (contexts_of(one)[0, SENT_AT:] > 0).all()
