"""Each topic has its own decoder; what waits survives a restart and is given up when the source ends."""

import pytest
from tests.support.traffic import HMAC_KEY, NOW_MS, raw_batch, record
from tests.unit.formats.test_joining import request, response

from copycatch.errors import StateError
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake.read import ANY_TOPIC, Intake, Read
from copycatch.records.columns import Charge, RawBatch

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
