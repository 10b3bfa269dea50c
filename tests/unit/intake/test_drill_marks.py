"""Marks of drills: only the operator's key makes them, for the drill's account, for ten minutes."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.traffic import HMAC_KEY, NOW_MS, record

from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake.drill_marks import STALE_MS, DrillMarks
from copycatch.intake.read import Intake, Read
from copycatch.records.columns import RawBatch
from copycatch.records.drill import QUERIES, account_of
from copycatch.units import UnixMs

MARKS = DrillMarks(HMAC_KEY)
NOW = UnixMs(NOW_MS)
ID = "3fa2"


def read(
    records: list[dict[str, Any]], timestamps_ms: list[int] | None = None, *, now_ms: int = NOW_MS
) -> Read:
    intake = Intake(HMAC_KEY, None, {"*": lambda: make_decoder("native", FormatOptions())}, MARKS)
    values = [json.dumps(each).encode() for each in records]
    return intake.read(RawBatch("logs", 0, list(range(len(values))), values, timestamps_ms or []), now_ms)


def marked(number: int = 1, marks: DrillMarks = MARKS, **fields: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "event_id": marks.event_id(ID, number, NOW), "event_time": NOW_MS, "account_id": account_of(ID)
    }  # fmt: skip
    return record(number, **(given | fields))


def test_marked_records_are_set_apart_from_the_others() -> None:
    found = read([record(1), marked(1), record(2), marked(QUERIES + 1)])
    assert found.batch.event_ids == ["e000001", "e000002"]
    assert [(each.drill_id, each.number) for each in found.drills] == [(ID, 1), (ID, QUERIES + 1)]
    assert [block.rows.tolist() for block in found.batch.inputs] == [[0, 1]]
    assert not found.notes


@pytest.mark.parametrize(
    "forged",
    [
        marked(marks=DrillMarks(b"a thief's key")),
        marked(account_id="acct-1"),
        marked(account_id=account_of("other")),
        marked(event_time=NOW_MS + 1000),
        marked(event_id="copycatch-drill."),
        marked(event_id="copycatch-drill.3fa2.1.\udc80"),
        marked(event_id=MARKS.event_id(ID, 1, NOW) + "0"),
        marked(event_id=MARKS.event_id(ID, 1, NOW).replace(".1.", ".2.")),
        marked(event_id=MARKS.event_id(ID, 1, NOW).replace(".1.", ".01.")),
        marked(number=0),
        marked(number=QUERIES + 2),
    ],
)
def test_a_mark_that_does_not_hold_hides_nobody(forged: dict[str, Any]) -> None:
    found = read([forged])
    assert len(found.batch) == 1
    assert not found.drills
    assert found.notes == Counter(drill_forged=1)


@pytest.mark.parametrize("late_ms", [STALE_MS + 1000, -STALE_MS - 1000])
def test_a_mark_that_is_replayed_hides_nobody(late_ms: int) -> None:
    found = read([marked()], now_ms=NOW_MS + late_ms)
    assert (len(found.batch), len(found.drills), found.notes) == (1, 0, Counter(drill_stale=1))
    # Where the broker dates messages, that counts: a worker that is behind, or starts again, takes the drill.
    assert len(read([marked()], [NOW_MS + 60_000], now_ms=NOW_MS + late_ms).drills) == 1
    assert not read([marked()], [NOW_MS + late_ms], now_ms=NOW_MS).drills


def test_without_a_secret_nothing_is_a_drill() -> None:
    """Replays of files use a key that everybody knows."""
    intake = Intake(HMAC_KEY, None, {"*": lambda: make_decoder("native", FormatOptions())})
    found = intake.read(RawBatch("logs", 0, [0], [json.dumps(marked()).encode()]), NOW_MS)
    assert (len(found.batch), len(found.drills)) == (1, 0)


@given(st.text(max_size=80), st.text(max_size=40), st.integers(0, 2**53))
def test_no_other_text_is_a_mark(event_id: str, account_id: str, time_ms: int) -> None:
    assert MARKS.number_of(event_id, account_id, time_ms) is None
    assert MARKS.number_of("copycatch-drill." + event_id, account_id, time_ms) is None
