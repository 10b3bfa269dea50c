"""What the checkpoint relies on in every sink."""

import json

from copycatch.ports import Committed, Delivery
from copycatch.records.columns import Outcomes
from copycatch.records.wire import Rejected
from tests.contracts.conftest import SinkCase
from tests.support.counting import alert


def unit(case: SinkCase, first: int, n: int, sequence: int) -> Delivery:
    reject = Rejected(
        reason="not_json",
        field=None,
        message="m",
        topic="records",
        partition=0,
        offset=first,
        excerpt="",
        value_bytes=1,
    )
    outcomes = Outcomes(alerts=[alert("a", number) for number in range(first, first + n)], rejects=[reject])
    return Delivery(outcomes, {case.shard: first + n}, sequence, "run")


def test_a_unit_is_written_and_committed_together(sink_case: SinkCase) -> None:
    assert sink_case.sink.committed([sink_case.shard]) == {}
    sink_case.sink.deliver(unit(sink_case, 0, 3, 1))
    assert sink_case.sink.committed([sink_case.shard]) == {sink_case.shard: Committed(3, 1, "run")}
    alerts = [json.loads(value)["uid"] for kind, value in sink_case.written() if kind == "alert" and value]
    assert alerts == ["a-0", "a-1", "a-2"]
    assert [kind for kind, _ in sink_case.written()].count("dead_letter") == 1


def test_positions_without_outcomes_are_committed(sink_case: SinkCase) -> None:
    sink_case.sink.deliver(Delivery(Outcomes(), {sink_case.shard: 77}, 5, "run"))
    assert sink_case.sink.committed([sink_case.shard]) == {sink_case.shard: Committed(77, 5, "run")}
    assert sink_case.written() == []


def test_a_successor_goes_on_where_the_units_end(sink_case: SinkCase) -> None:
    sink_case.sink.deliver(unit(sink_case, 0, 2, 1))
    successor = sink_case.reopened()
    assert successor.committed([sink_case.shard]) == {sink_case.shard: Committed(2, 1, "run")}
    successor.deliver(unit(sink_case, 2, 2, 2))
    alerts = [json.loads(value)["uid"] for kind, value in sink_case.written() if kind == "alert" and value]
    assert alerts == ["a-0", "a-1", "a-2", "a-3"]


def test_reopening_loses_nothing(sink_case: SinkCase) -> None:
    sink_case.sink.deliver(unit(sink_case, 0, 2, 1))
    sink_case.sink.reopen()
    sink_case.sink.deliver(unit(sink_case, 2, 1, 2))
    assert sink_case.sink.committed([sink_case.shard]) == {sink_case.shard: Committed(3, 2, "run")}
    assert [kind for kind, _ in sink_case.written()].count("alert") == 3
