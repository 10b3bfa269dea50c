"""Requests joined with responses: either order, timeouts, bounds, snapshots; every half counted once."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.formats.support import batch_of, fields_of

from copycatch.errors import StateError
from copycatch.formats.catalog import FORMATS, recognise
from copycatch.formats.shared.format import FormatOptions
from copycatch.formats.shared.joining import SAME_ID_MAX, JoiningDecoder

TYPES = {kind: f"org.kubeflow.serving.inference.{kind}" for kind in ("request", "response")}


def event(
    event_id: str, kind: str, body: Any, time: str = "2026-03-01T10:00:00Z", **more: Any
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "type": TYPES[kind],
        "source": "x",
        "time": time,
        "inferenceservicename": "m",
        "namespace": "ns",
        "metadata": {"X-Account-Id": ["a1"]},
        "data": body,
        **more,
    }


def request(event_id: str = "e", **more: Any) -> dict[str, Any]:
    return event(event_id, "request", {"instances": [[1, 2]]}, **more)


def response(event_id: str = "e", **more: Any) -> dict[str, Any]:
    return event(event_id, "response", {"predictions": [1]}, time="2026-03-01T10:00:00.020Z", **more)


def decoder_of(format_name: str = "kserve", **options: Any) -> JoiningDecoder:
    options = {"unpaired": "reject"} | options  # what waits in vain is seen best among the rejects
    decoder = FORMATS[format_name].make_decoder(FormatOptions(**options), recognise)
    assert isinstance(decoder, JoiningDecoder)
    return decoder


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_either_half_may_come_first_and_in_another_batch(order: tuple[int, int]) -> None:
    halves = [request(), response()]
    decoder = decoder_of()
    first = decoder.decode(batch_of([halves[order[0]]]))
    assert (first.records, first.rejects, first.notes["held"]) == ([], [], 1)
    second = decoder.decode(batch_of([halves[order[1]]]))
    [record] = second.records
    assert fields_of(record) == {
        "event_id": "e",
        "event_time": 1772359200000,
        "account_id": "a1",
        "tenant_id": "ns",
        "model_id": "m",
        "input": [1.0, 2.0],
        "predicted_label": 1,
        "latency_ms": 20.0,
    }
    assert second.notes["joined"] == 1
    assert len(decoder) == 0


def test_components_that_a_request_passes_are_pairs_of_their_own() -> None:
    parts = [{"component": "transformer"}, {"component": "predictor"}]
    halves = [*(request(**part) for part in parts), *(response(**part) for part in reversed(parts))]
    decoded = decoder_of().decode(batch_of(halves))
    assert len(decoded.records) == 2
    assert decoded.rejects == []


def test_a_half_that_waits_too_long_is_rejected_with_its_place() -> None:
    decoder = decoder_of(join_timeout_s=10.0)
    decoder.decode(batch_of([request("e1"), response("e2")]))
    assert decoder.flush(1_000_000).rejects == []  # the clock of halves starts here
    assert decoder.flush(1_009_000).rejects == []
    given_up = decoder.flush(1_010_000).rejects
    assert [each.reason for each in given_up] == ["unjoined", "unjoined"]
    assert [each.offset for each in given_up] == [100, 101]
    assert "got no response within 10 s" in given_up[0].message
    assert "got no request within 10 s" in given_up[1].message
    assert "join_timeout" in given_up[0].message
    assert given_up[0].value_bytes > 0
    assert len(decoder) == 0


def test_at_the_end_of_a_log_no_time_is_named() -> None:
    decoder = decoder_of()
    decoder.decode(batch_of([response()]))
    for flush_ms in (0, 1 << 62):  # as the intake ends a source
        given_up = decoder.flush(flush_ms).rejects
    assert "got no request before the log ended" in given_up[0].message


def test_requests_without_response_may_be_kept() -> None:
    decoder = decoder_of(join_timeout_s=1.0, unpaired="keep")
    decoder.decode(batch_of([request("e1"), response("e2")]))
    decoder.flush(0)
    decoded = decoder.flush(2000)
    [record] = decoded.records
    assert (record.event_id, record.input, record.predicted_label) == ("e1", [1.0, 2.0], None)
    assert decoded.positions == [100]
    assert decoded.notes["unpaired"] == 1
    assert [each.reason for each in decoded.rejects] == ["unjoined"]


def test_the_table_is_bounded_by_number_and_by_bytes() -> None:
    decoder = decoder_of(pending_max=2)
    decoded = decoder.decode(batch_of([request("e1"), request("e2"), request("e3")]))
    assert len(decoder) == 2
    [reject] = decoded.rejects
    assert (reject.offset, reject.reason) == (100, "unjoined")
    assert "pending_max" in reject.message
    small = decoder_of(pending_bytes_max=5000)
    decoded = small.decode(batch_of([request(f"e{index}") for index in range(100)]))
    assert len(small) + len(decoded.rejects) == 100
    assert len(small) < 10


def test_requests_under_one_id_are_all_joined() -> None:
    """Clients choose ids: three requests at once under one id are three queries."""
    decoder = decoder_of()
    asked = [event("e", "request", {"instances": [[index, 2]]}) for index in range(3)]
    decoded = decoder.decode(batch_of([*asked, *[response("e")] * 3]))
    assert sorted(map(repr, (record.input for record in decoded.records))) == [
        "[0.0, 2.0]",
        "[1.0, 2.0]",
        "[2.0, 2.0]",
    ]
    assert (decoded.rejects, len(decoder)) == ([], 0)


def test_a_lost_answer_does_not_shift_those_that_follow() -> None:
    decoder = decoder_of()
    asked = [event("e", "request", {"instances": [[index, 2]]}) for index in range(4)]
    answers = [event("e", "response", {"predictions": [index]}) for index in range(4)]
    decoded = decoder.decode(batch_of([asked[0], asked[1], answers[1], asked[2], answers[2]]))
    assert [(record.input, record.predicted_label) for record in decoded.records] == [
        ([1, 2], 1),
        ([2, 2], 2),
    ]
    decoder.flush(0)
    [reject] = decoder.flush(10**9).rejects
    assert (reject.offset, reject.reason) == (100, "unjoined")


def test_requests_under_one_id_are_bounded_and_kept_in_snapshots() -> None:
    decoder = decoder_of()
    decoded = decoder.decode(batch_of([request("e")] * (SAME_ID_MAX + 2)))
    assert [reject.offset for reject in decoded.rejects] == [100, 101]
    other = decoder_of()
    other.restore(decoder.snapshot())
    assert other.snapshot() == decoder.snapshot()
    assert len(other.decode(batch_of([response("e")] * SAME_ID_MAX)).records) == SAME_ID_MAX


def test_snapshot_and_restore_go_on_where_they_were() -> None:
    decoder = decoder_of()
    decoder.decode(batch_of([request("e1"), response("e2")]))
    decoder.flush(5000)
    other = decoder_of()
    other.restore(decoder.snapshot())
    assert other.snapshot() == decoder.snapshot()
    decoded = other.decode(batch_of([response("e1"), request("e2")]))
    assert {each.event_id for each in decoded.records} == {"e1", "e2"}
    assert len(other) == 0


@pytest.mark.parametrize("state", [b"", b"junk", msgspec.msgpack.encode({"version": 9, "halves": []})])
def test_a_damaged_snapshot_is_refused(state: bytes) -> None:
    with pytest.raises(StateError):
        decoder_of().restore(state)


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"ce_specversion": "1.0", "ce_type": TYPES["request"], "ce_source": "x"}, "id"),
        ({"ce_specversion": "1.0", "ce_id": "e", "ce_source": "x"}, "type"),
        ({"ce_id": "e", "ce_type": TYPES["request"], "ce_source": "x"}, "specversion"),
        ({"ce_specversion": "1.0", "ce_id": "e", "ce_source": "x", "ce_type": "other.event"}, "type"),
    ],
)
def test_half_a_cloudevent_says_which_header_is_missing(headers: dict[str, str], field: str) -> None:
    [reject] = decoder_of().decode(batch_of([{"instances": [[1]]}], headers)).rejects
    assert (reject.reason, reject.field) == ("schema", field)
    assert "CloudEvent" in reject.message


def test_structured_without_attributes_is_no_cloudevent() -> None:
    [reject] = decoder_of().decode(batch_of([{"instances": [[1]]}])).rejects
    assert "no CloudEvent" in reject.message


def test_batched_events_are_told_apart() -> None:
    decoder = decoder_of()
    decoded = decoder.decode(batch_of([[request("e1"), request("e2"), response("e1")], []]))
    assert [each.event_id for each in decoded.records] == ["e1"]
    assert decoded.notes["split"] == 2
    assert decoded.notes["skipped"] == 1
    assert decoder.decode(batch_of([response("e2")])).records[0].input == [1.0, 2.0]


def test_kserve_passes_openai_bodies() -> None:
    asked = {"model": "llama", "messages": [{"role": "user", "content": "hi"}], "logprobs": True}
    answered = {"choices": [{"message": {"content": "yo"}}], "model": "llama"}
    batch = batch_of([event("e", "request", asked), event("e", "response", answered)])
    [record] = decoder_of().decode(batch).records
    assert (record.input, record.output_text, record.model_id) == ("hi", "yo", "m")
    assert record.params is not None
    assert record.params.logprobs is True


def test_oip_envelope_columns_and_text() -> None:
    tensors = [
        {"name": "age", "shape": [2, 1], "datatype": "INT64", "data": [31, 44]},
        {"name": "city", "shape": [2, 1], "datatype": "BYTES", "data": ["Oslo", "Rome"]},
    ]
    answer = {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["yes", "no"]}
    document = {
        "request": {"id": "e", "inputs": tensors},
        "response": {"model_name": "m", "outputs": [answer]},
        "account_id": "a1",
        "time": "2026-03-01T10:00:00Z",
    }
    decoded = decoder_of("oip").decode(batch_of([document]))
    found = [(each.event_id, each.input, each.predicted_label) for each in decoded.records]
    assert found == [("e:0", '[31,"Oslo"]', "yes"), ("e:1", '[44,"Rome"]', "no")]


@pytest.mark.parametrize("shape", [[3, 2], [-1, -2], ["x"], [0], [10**12]])
def test_tensors_whose_shape_lies(shape: list[Any]) -> None:
    tensor = {"name": "x", "shape": shape, "datatype": "FP32", "data": [1.0, 2.0]}
    asked = {"id": "e", "inputs": [tensor]}
    answered = {"id": "e", "model_name": "m", "outputs": [{"name": "y", "shape": [1], "data": [1]}]}
    decoded = decoder_of("oip").decode(batch_of([asked, answered], {"x-account-id": "a"}, [1, 2]))
    [record] = decoded.records
    assert (record.input, record.predicted_label, decoded.notes["unread"]) == (None, 1, 1)


EVENTS = st.lists(
    st.tuples(st.sampled_from(["e1", "e2", "e3"]), st.sampled_from(["request", "response", "other", "junk"]))
)


@given(events=EVENTS, cuts=st.lists(st.integers(1, 4)), pending_max=st.integers(1, 3))
def test_every_message_is_counted_once(
    events: list[tuple[str, str]], cuts: list[int], pending_max: int
) -> None:
    """messages + split == records + rejects + skipped + joined, however the stream is cut."""
    makers: dict[str, Callable[[str], Any]] = {
        "request": request,
        "response": response,
        "other": lambda key: {"x": key},
        "junk": lambda _: b"{",
    }
    messages = [makers[kind](key) for key, kind in events]
    decoder = decoder_of(pending_max=pending_max)
    n_done = n_joined = start = 0
    for size in [*cuts, len(messages) or 1]:
        decoded = decoder.decode(batch_of(messages[start : start + size]))
        n_done += len(decoded.records) + len(decoded.rejects)
        n_joined += decoded.notes["joined"]
        start += size
    assert n_done + n_joined + len(decoder) == min(start, len(messages))
    decoder.flush(0)
    n_done += len(decoder.flush(10**9).rejects)
    assert n_done + n_joined == min(start, len(messages))


def test_a_second_snapshot_adds_to_what_waits() -> None:
    first, second = decoder_of("kserve"), decoder_of("kserve")
    first.decode(batch_of([request("a")]))
    second.decode(batch_of([request("b")]))
    merged = decoder_of("kserve")
    merged.restore(first.snapshot())
    merged.restore(second.snapshot())
    answered = merged.decode(batch_of([response("a"), response("b")]))
    assert len(answered.records) == 2
