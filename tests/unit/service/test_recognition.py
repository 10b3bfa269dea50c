"""Each file has the format of most of its first messages; a snapshot does not grow with files."""

import json
from typing import Any

import pytest

from copycatch.errors import StateError
from copycatch.records.columns import RawBatch
from copycatch.service.recognition import recognising_maker

NATIVE = {"event_id": "e", "event_time": 1784000000000, "account_id": "a", "model_id": "m"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
OPENAI = {"time": "2026-07-01T10:00:00Z", "account_id": "b", "request": CHAT, "response": {}}
SPANS: dict[str, Any] = {"resourceSpans": []}


def batch(topic: str, *documents: Any) -> RawBatch:
    values = [json.dumps(each).encode() for each in documents]
    return RawBatch(topic, 0, list(range(len(values))), values)


def test_files_keep_their_formats_over_restarts() -> None:
    told: list[tuple[str, str]] = []
    make = recognising_maker({}, lambda topic, name: told.append((topic, name)))
    decoder = make()
    for n in range(1_000):
        assert len(decoder.decode(batch(f"native-{n}.jsonl", NATIVE)).records) == 1
    decoder.see(batch("b.jsonl", NATIVE, OPENAI, OPENAI))
    assert len(decoder.decode(batch("b.jsonl", NATIVE)).rejects) == 1, (
        "most of the first are of another format"
    )
    decoder.decode(batch("c.jsonl", SPANS, SPANS))
    assert told[0] == ("native-0.jsonl", "native")
    assert told[-2:] == [("b.jsonl", "openai"), ("c.jsonl", "otel")]
    state = decoder.snapshot()
    assert len(state) < 1_000
    again = make()
    again.restore(state)
    assert [each.reason for each in again.decode(batch("b.jsonl", NATIVE)).rejects] == ["wrong_format"]
    assert len(again.decode(batch("b.jsonl", OPENAI)).records) == 1
    assert len(again.decode(batch("native-7.jsonl", NATIVE)).records) == 1
    assert len(told) == 1_002, "each file once"


def test_a_snapshot_that_is_damaged_is_refused() -> None:
    with pytest.raises(StateError, match="cannot be read"):
        recognising_maker({})().restore(b"{no")
