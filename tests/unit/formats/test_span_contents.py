"""Content in log records and its span are joined, whichever comes first; what waits is bounded."""

import itertools
import json
from typing import Any

import pytest

from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.columns import Charge, RawBatch
from copycatch.records.decoding import Decoded, Decoder

SERVICE = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}


def attributes(**given: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in given.items()]


def span(number: int = 0, trace: str = "t", **more: Any) -> bytes:
    item = {
        "traceId": trace,
        "spanId": f"s{number}",
        "startTimeUnixNano": "1772323200000000000",
        "endTimeUnixNano": "1772323201000000000",
        "attributes": attributes(
            gen_ai__operation__name="chat", gen_ai__request__model="m", user__id="a", **more
        ),
    }
    return json.dumps({"resourceSpans": [{"resource": SERVICE, "scopeSpans": [{"spans": [item]}]}]}).encode()


def event(name: str, said: str, number: int = 0, trace: str = "t") -> bytes:
    content = {"message": {"content": said}} if name == "choice" else {"content": said}
    item = {
        "traceId": trace,
        "spanId": f"s{number}",
        "timeUnixNano": "1772323200500000000",
        "eventName": f"gen_ai.{name}" if name == "choice" else f"gen_ai.{name}.message",
        "attributes": attributes(gen_ai__event__content=json.dumps(content)),
    }
    return json.dumps(
        {"resourceLogs": [{"resource": SERVICE, "scopeLogs": [{"logRecords": [item]}]}]}
    ).encode()


def details(number: int = 0, **more: Any) -> bytes:
    asked, told = [{"role": "user", "content": "ask"}], [{"role": "assistant", "content": "told"}]
    item = {
        "traceId": "t",
        "spanId": f"s{number}",
        "timeUnixNano": "1772323200500000000",
        "eventName": "gen_ai.client.inference.operation.details",
        "attributes": attributes(
            gen_ai__operation__name="chat",
            gen_ai__request__model="m",
            gen_ai__input__messages=json.dumps(asked),
            gen_ai__output__messages=json.dumps(told),
            **more,
        ),
    }
    return json.dumps(
        {"resourceLogs": [{"resource": SERVICE, "scopeLogs": [{"logRecords": [item]}]}]}
    ).encode()


WARM = [event("user", "first", 99, "w"), event("choice", "one", 99, "w"), span(99, "w")]
"""The service is known to send its content in log records."""


def take(decoder: Decoder, values: list[bytes], at: int = 0) -> Decoded:
    return decoder.decode_lazily(RawBatch("logs", 0, list(range(at, at + len(values))), values))


def read(values: list[bytes], cut: int = 1, options: FormatOptions | None = None) -> Decoded:
    """All records of messages that come `cut` at a time, what waits at the end among them."""
    decoder = make_decoder("otel", options or FormatOptions())
    found = Decoded()
    for first in range(0, len(values), cut):
        found.add(take(decoder, values[first : first + cut], first))
    found.add(decoder.flush(0))
    found.add(decoder.flush(1 << 60))
    return found


def said(found: Decoded) -> list[tuple[Any, Any]]:
    return [(record.input, record.output_text) for record in found.records]


def is_counted(found: Decoded, n_messages: int) -> bool:
    notes = found.notes
    ends = len(found.records) + len(found.rejects) + notes["skipped"] + notes["unknown"] + notes["joined"]
    return n_messages + notes["split"] == ends


@pytest.mark.parametrize("cut", [1, 2, 10])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_span_has_its_content_in_any_order(order: tuple[int, ...], cut: int) -> None:
    parts = [event("user", "ask"), event("choice", "told"), span()]
    values = [*WARM, *(parts[place] for place in order)]
    found = read(values, cut)
    assert said(found) == [("first", "one"), ("ask", "told")]
    assert is_counted(found, len(values))
    assert not found.charges


def test_spans_of_one_trace_do_not_take_the_content_of_each_other() -> None:
    parts = [span(1), event("user", "two", 2), event("choice", "2", 2), span(2), event("user", "one", 1)]
    found = read([*WARM, *parts, event("choice", "1", 1)])
    assert said(found)[1:] == [("two", "2"), ("one", "1")]


def test_a_span_whose_content_never_comes_is_judged_as_half() -> None:
    found = read([*WARM, span(1)])
    assert said(found)[1:] == [(None, None)]
    assert (list(found.charges.values()), found.notes["unpaired"]) == ([Charge.UNJOINED], 1)
    assert is_counted(found, 4)


def test_spans_do_not_wait_where_their_service_sends_no_content() -> None:
    decoder = make_decoder("otel", FormatOptions())
    found = take(decoder, [span(1), span(2)])
    assert len(found.records) == 2
    assert not found.charges


def test_a_failed_call_waits_for_no_answer() -> None:
    decoder = make_decoder("otel", FormatOptions())
    take(decoder, WARM)
    assert said(take(decoder, [event("user", "ask"), span(error__type="429")])) == [("ask", None)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_event_with_all_of_a_call_takes_the_account_of_its_span(order: tuple[int, int]) -> None:
    parts = [details(1), span(1)]
    known = [details(0), span(0)]
    values = [*known, *(parts[place] for place in order)]
    found = read(values)
    assert [(each.account_id, each.input, each.output_text) for each in found.records] == [
        ("a", "ask", "told")
    ] * 2
    assert not found.rejects
    assert is_counted(found, len(values))


def test_an_event_with_all_of_a_call_and_no_span_says_what_is_missing() -> None:
    found = read([details()])
    assert [each.field for each in found.rejects] == ["account_id"]
    assert is_counted(found, 1)
    found = read([details(user__id="a")])
    assert [each.account_id for each in found.records] == ["a"]


def test_what_waits_is_bounded() -> None:
    options = FormatOptions(pending_max=5)
    decoder = make_decoder("otel", options)
    take(decoder, WARM)
    found = take(decoder, [span(number) for number in range(20)], 3)
    assert len(found.records) == 15  # given up, the longest wait first
    assert set(found.charges.values()) == {Charge.UNJOINED}
    asked = [event("user", f"{number}", number, f"t{number}") for number in range(20)]
    found = read([*WARM, *asked, span(0, "t0"), span(19, "t19")], options=options)
    assert said(found)[1:] == [(None, None), ("19", None)]
    short = FormatOptions(pending_bytes_max=2_000)
    assert len(read([*WARM, *(span(number) for number in range(20))], options=short).records) == 21


def test_a_snapshot_keeps_what_waits() -> None:
    decoder = make_decoder("otel", FormatOptions())
    take(decoder, [*WARM, span(1), event("user", "ask", 2, "u")])
    restored = make_decoder("otel", FormatOptions())
    restored.restore(decoder.snapshot())
    late = [event("user", "one", 1), event("choice", "1", 1), span(2, "u"), event("choice", "2", 2, "u")]
    assert said(take(restored, late, 5)) == said(take(decoder, late, 5)) == [("one", "1"), ("ask", "2")]
    assert make_decoder("otel", FormatOptions()).snapshot() == b""


def test_what_came_too_early_is_forgotten() -> None:
    decoder = make_decoder("otel", FormatOptions(join_timeout_s=1.0))
    take(decoder, [*WARM, event("user", "ask")])
    for now_ms in (0, 20_000):
        decoder.flush(now_ms)
    take(decoder, [span()], 4)
    decoder.flush(30_000)
    assert said(decoder.flush(40_000)) == [(None, None)]


@pytest.mark.parametrize("name", [{"a": 1}, ["gen_ai.user.message"], 7, True])
def test_an_event_whose_name_is_no_text_is_skipped(name: object) -> None:
    event = {"traceId": "t1", "spanId": "s1", "eventName": name, "body": {"stringValue": "x"}}
    document = {"resourceLogs": [{"scopeLogs": [{"logRecords": [event]}]}]}
    decoded = make_decoder("otel", FormatOptions()).decode(
        RawBatch("logs", 0, [0], [json.dumps(document).encode()])
    )
    assert decoded.notes["skipped"] == 1


@pytest.mark.parametrize("same_trace", [False, True])
def test_what_has_been_joined_takes_no_room(same_trace: bool) -> None:
    """Clients choose trace ids: one for all of their requests, the next asked before the last is answered."""
    options = FormatOptions(pending_bytes_max=3_000)
    values = [*WARM]
    for number in range(100):
        trace = "t" if same_trace else f"t{number}"
        values += [event("user", f"q{number}", number, trace), event("choice", f"a{number}", number, trace)]
        values += [span(number, trace)] if not same_trace else []
        values += [span(number - 1, trace)] if same_trace and number else []
    found = read(values, options=options)
    joined = [(f"q{number}", f"a{number}") for number in range(100 - same_trace)]
    assert said(found)[1:] == joined
