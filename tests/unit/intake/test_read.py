"""Each topic has its own decoder; what waits survives a restart and is given up when the source ends."""

from collections import Counter

import pytest
from tests.support.traffic import HMAC_KEY, NOW_MS, raw_batch, record
from tests.unit.formats.test_joining import event, request, response

from copycatch.adapters.memory import MemoryMetrics
from copycatch.errors import StateError
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake import read as read_module
from copycatch.intake.read import ANY_TOPIC, Intake, Read
from copycatch.records.columns import Charge, RawBatch
from copycatch.records.policy import Policy
from copycatch.service.judging import EngineJudge
from copycatch.units import UnixMs

TIMEOUT_MS = round(1000 * FormatOptions().join_timeout_s)


def intake() -> Intake:
    makers = {
        "pairs": lambda: make_decoder("kserve", FormatOptions()),
        ANY_TOPIC: lambda: make_decoder("native", FormatOptions()),
    }
    return Intake(HMAC_KEY, None, makers)


def pairs(*documents: dict[str, object], start: int = 0) -> RawBatch:
    return raw_batch(list(documents), start, topic="pairs")


def test_each_topic_has_its_decoder_and_records_keep_their_order() -> None:
    reader = intake()
    read = reader.read(raw_batch([record(0), b"junk", record(2)], start=7, topic="any"), NOW_MS)
    assert read.batch.positions.tolist() == [7, 9]
    assert [reject.offset for reject in read.rejects] == [8]
    paired = reader.read(pairs(request(), response()), NOW_MS)
    assert (len(paired.batch), paired.rejects, paired.notes["joined"]) == (1, [], 1)


def test_what_waits_is_joined_after_a_restart() -> None:
    before, after = intake(), intake()
    assert not len(before.read(pairs(request()), NOW_MS).batch)
    after.restore("pairs", before.snapshot("pairs"))
    assert len(after.read(pairs(response(), start=1), NOW_MS).batch) == 1
    assert before.snapshot("any") == b""


def test_damaged_state_is_refused() -> None:
    with pytest.raises(StateError):
        intake().restore("pairs", b"junk")


@pytest.mark.parametrize("how", ["next poll", "quiet topic", "end of the source"])
def test_what_waits_too_long_is_given_up(how: str) -> None:
    reader = intake()
    reader.read(pairs(request()), NOW_MS)
    late_ms = NOW_MS + TIMEOUT_MS
    given_up: list[Read]
    if how == "next poll":
        given_up = [reader.read(pairs(start=1), late_ms)]
    elif how == "quiet topic":
        assert list(reader.give_up(NOW_MS + 1)) == []
        given_up = list(reader.give_up(late_ms))
    else:
        given_up = list(reader.end())
    (charge,) = given_up[0].batch.charges.tolist()
    assert charge == Charge.UNJOINED
    assert given_up[0].batch.positions.tolist() == [0]
    assert not given_up[0].rejects
    assert list(reader.end()) == []


def test_reset_forgets_what_waits() -> None:
    reader = intake()
    reader.read(pairs(request()), NOW_MS)
    reader.reset()
    assert list(reader.end()) == []


def test_messages_of_many_rows_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll of small messages may hold millions of rows: no more than a piece of them is held at once."""
    monkeypatch.setattr(read_module, "PIECE_RECORDS", 1_000)
    monkeypatch.setattr(read_module, "SPAN_BYTES", 4_000)
    documents = []
    for number in range(12):
        rows = {"instances": [[number, row] for row in range(500)]}
        documents += [
            event(f"e{number}", "request", rows),
            event(f"e{number}", "response", {"predictions": [1] * 500}),
        ]
    pieces = list(intake().read_in_pieces(pairs(*documents), NOW_MS))
    sizes = [len(piece.batch) for piece in pieces]
    assert sum(sizes) == 6_000
    assert max(sizes) <= 1_500, "a piece and at most one more message's rows"
    assert sum((piece.notes for piece in pieces), Counter()) == intake().read(pairs(*documents), NOW_MS).notes
    whole = intake().read(pairs(*documents), NOW_MS).batch
    assert [each for piece in pieces for each in piece.batch.event_ids] == whole.event_ids
    metrics = MemoryMetrics()
    outcomes = EngineJudge(Policy(), 100, intake(), metrics).step(pairs(*documents), UnixMs(NOW_MS + 10**10))
    assert outcomes.counts.accepted == 6_000


def test_a_poll_without_messages_is_one_empty_piece() -> None:
    assert [len(piece.batch) for piece in intake().read_in_pieces(pairs(), NOW_MS)] == [0]
