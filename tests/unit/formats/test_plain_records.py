"""Messages of the usual shape are read in one look; the records are those of the long way."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.log_shapes import CHAT, Query, as_protobuf, chat_request, otlp_value
from tests.unit.formats.support import batch_of
from tests.unit.formats.test_formats_take_anything import mutants

from copycatch.formats import litellm, openai, otel, otlp_proto
from copycatch.formats.catalog import FORMATS, make_decoder, recognise
from copycatch.formats.shared.documents import DocumentDecoder
from copycatch.formats.shared.envelopes import UnwrappingDecoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.formats.shared.span_contents import SpanContents
from copycatch.records.columns import RawBatch
from copycatch.records.decoding import Decoded, Decoder
from copycatch.records.wire import TEXT_CHARS_MAX

QUERY = Query("e-1", "acct-1", "What is it?", "That.", 3, [], [])


def otel_long_way(options: FormatOptions) -> Decoder:
    contents = SpanContents(options)
    return DocumentDecoder(
        "otel",
        lambda message: otel.read(message, contents),
        otel.SOURCES,
        options,
        recognise,
        is_batched=True,
    )


def otlp_proto_long_way(options: FormatOptions) -> Decoder:
    contents = SpanContents(options)
    return DocumentDecoder(
        "otlp_proto",
        lambda message: otel.read(message, contents),
        otel.SOURCES,
        options,
        recognise,
        parse=otlp_proto.parse,
    )


LONG_WAYS: dict[str, Callable[[FormatOptions], Decoder]] = {
    "openai": lambda options: DocumentDecoder(
        "openai", openai.read, openai.SOURCES, options, recognise, is_batched=True
    ),
    "otel": otel_long_way,
    "otlp_proto": otlp_proto_long_way,
    "litellm": lambda options: DocumentDecoder(
        "litellm", litellm.read, litellm.SOURCES, options, recognise, is_batched=True
    ),
}
OPTIONS = st.sampled_from(
    [
        FormatOptions(),
        FormatOptions(account_fallback="client_ip", model_id="m", tenant_headers=("x-tenant",)),
        FormatOptions(account_fallback="key", event_time="log", proxies_trusted=1),
    ]
)
HEADERS = st.sampled_from([[], [("X-Tenant", b"t-1"), ("x-user-id", b"u-9"), ("user-agent", b"curl")]])
VALUES = st.sampled_from(
    [None, "", " x ", "default_user", "[REDACTED]", "assistant", "User", "arn:aws:sts::1:assumed-role/a/b",
     "x" * 600, "Length", "\u0130", "7", "2026-03-01 10:00:00", "2026-03-01T10:00:00Z", 0, -1, 7, 1e3, 2**60,
     2**70, True, 0.5, [], ["x"], {}, [{"text": "x"}], {"text": "x"}, {"x-forwarded-for": "1.1.1.1, 2.2.2.2"},
     {"X-Account-Id": ["a"]}, [{"type": "image_url"}], [{"type": "text", "text": "x"}]]
)  # fmt: skip


ATTRIBUTES = st.sampled_from(
    ["gen_ai.operation.name", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions",
     "gen_ai.tool.definitions", "gen_ai.response.finish_reasons", "gen_ai.request.model", "user.id",
     "event.name",
     "gen_ai.response.model", "gen_ai.request.max_tokens", "gen_ai.usage.input_tokens", "session.id", "plan",
     "gen_ai.conversation.id", "llm.model_name", "ai.model.id", "client.as.number", "user.plan", "error.type",
     "gen_ai.request.previous_response.id", "gen_ai.prompt", "http.response.status_code", "tenant.id", "x"]
)  # fmt: skip
TURNS = st.sampled_from(
    [{"role": "user", "content": "x"}, {"role": "user", "parts": [{"type": "text", "content": "y"}]},
     {"role": "assistant", "content": "b", "finish_reason": "Stop"}, {"role": "system", "content": "s"},
     {"role": "user", "parts": [{"type": "tool_call_response", "result": "r"}]},
     {"role": "User", "content": "U"},
     {"role": "user", "content": "[REDACTED]"},
     {"role": "assistant", "parts": [{"type": "text", "text": "z"}]},
     {"role": "user", "parts": []}, {"role": "user", "content": ""}]
)  # fmt: skip
ATTRIBUTE_VALUES = st.one_of(
    st.lists(TURNS, max_size=4).map(json.dumps),
    st.sampled_from(
        ["chat", "invoke_agent", "Chat", " m ", "", "x" * 600, "7", '["stop"]', '[{"type": "f"}]', 7, -1, 0.5,
         2**60, True, "gen_ai.user.message", "429", 500]
    ),
)  # fmt: skip


EARLIER = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": "a"},
    {"role": "assistant", "parts": [{"type": "text", "text": "b"}, {"type": "text", "content": "c"}]},
    {"role": "user", "content": "d"},
]
# What changes a span's record, and leaves it a chat of text.
HARMLESS = st.sampled_from(
    [("user.id", "u-2"), ("enduser.id", "u-3"), ("gen_ai.operation.name", "text_completion"), ("x", "y"),
     ("gen_ai.request.model", " m "), ("gen_ai.response.model", "m-2"), ("gen_ai.request.max_tokens", 7),
     ("gen_ai.system_instructions", '[{"type": "text", "content": "Be brief."}]'), ("error.type", "429"),
     ("gen_ai.system_instructions", "Be brief."), ("gen_ai.tool.definitions", '[{"type": "f"}]'),
     ("gen_ai.response.finish_reasons", '["Length"]'), ("gen_ai.response.finish_reasons", []),
     ("gen_ai.request.temperature", 0.5), ("gen_ai.usage.input_tokens", 9), ("tenant.id", "t-2"),
     ("gen_ai.usage.completion_tokens", 3), ("session.id", "s-1"), ("gen_ai.conversation.id", ""),
     ("http.response.status_code", 429), ("user_agent.original", "curl"), ("client.address", "203.0.113.9"),
     ("gen_ai.input.messages", json.dumps(EARLIER))]
)  # fmt: skip


def bodies_of(name: str) -> list[Any]:
    """What the format logs, and the same of a longer conversation; of protobuf as its JSON."""
    body = json.loads(CHAT["otel" if name == "otlp_proto" else name](QUERY)[0].value)
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    longer = json.loads(json.dumps(body))
    holder = longer.get("request", longer)
    if "messages" in holder:
        holder["messages"] = [*chat_request(QUERY)["messages"][:1], *said, *said, holder["messages"][-1]]
    return [body, longer]


def nodes_of(body: Any) -> Iterator[dict[str, Any]]:
    nodes = [body]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            yield node
        nodes += [
            each for each in (node.values() if isinstance(node, dict) else node)
            if isinstance(each, dict | list)
        ]  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, name: str, keys: list[str]) -> bytes:
    """A message with keys added, taken away, or of another value anywhere in it."""
    body = json.loads(json.dumps(draw(st.sampled_from(bodies_of(name)))))
    spans = [each for each in nodes_of(body) if isinstance(each.get("attributes"), list)]
    if draw(st.booleans()):  # such as goes the plain way
        for span in spans:
            added = draw(st.lists(HARMLESS, max_size=4))
            span["attributes"] += [{"key": key, "value": otlp_value(value)} for key, value in added]
        return encoded(name, body)
    for _ in range(draw(st.integers(0, 3))):
        node = draw(st.sampled_from(list(nodes_of(body))))
        key = draw(st.sampled_from(keys) | st.sampled_from(sorted(node) or ["x"]))
        if key in node and draw(st.booleans()):
            del node[key]
        else:
            node[key] = json.loads(json.dumps(draw(VALUES)))  # its own: it may be changed next
    for node in [each for each in nodes_of(body) if isinstance(each.get("attributes"), list)]:
        for _ in range(draw(st.integers(0, 2))):
            value = otlp_value(draw(ATTRIBUTE_VALUES))
            node["attributes"].append({"key": draw(ATTRIBUTES), "value": value})
    if not draw(st.integers(0, 4)):
        body = draw(mutants(body))
    return encoded(name, body)


def encoded(name: str, body: Any) -> bytes:
    """The body as the format writes it; what protobuf cannot hold stays JSON, which its reader takes, too."""
    if name == "otlp_proto":
        try:
            return as_protobuf(json.loads(json.dumps(body)))
        except (ParseError, ValueError, KeyError, IndexError, TypeError, AttributeError):
            pass
    return json.dumps(body).encode()


KEYS: dict[str, list[str]] = {
    "otel": ["stringValue", "intValue", "doubleValue", "boolValue", "arrayValue", "kvlistValue", "key",
             "value",
             "events", "status", "body", "eventName", "timeUnixNano", "resourceLogs", "attributes", "spanId",
             "startTimeUnixNano", "code", "resource_spans"],
    "openai": ["id", "ip", "user_id", "api_key_id", "status", "event_time", "time", "headers", "user_agent",
               "client_ip", "tenant_id", "session_id", "plan", "asn", "logprobs", "tools", "system", "prompt",
               "input", "type", "signature", "embedding", "data", "duration_ms", "account_created",
               "created"],
    "litellm": ["id", "request_id", "api_key", "user", "team_id", "litellm_session_id", "session_id",
                "status", "standard_logging_object", "metadata", "requester_metadata",
                "requester_custom_headers",
                "requester_ip_address", "model_parameters", "tools", "logprobs", "logit_bias", "max_tokens",
                "startTime", "endTime", "response_time", "error_information", "user_api_key_user_id", "input",
                "user_api_key_hash", "user_agent", "prompt_tokens", "signature", "embedding", "data"],
}  # fmt: skip
KEYS["otlp_proto"] = KEYS["otel"]


def decoded(decoder: Decoder, values: list[bytes], headers: list[tuple[str, bytes]]) -> Decoded:
    at = list(range(len(values)))
    keys: list[bytes | None] = [b"key-1" for _ in values]
    times = [1_772_359_200_000 for _ in values]
    return decoder.decode(
        RawBatch("logs", 0, at, values, timestamps_ms=times, headers=[headers for _ in values], keys=keys)
    )


def outcome(found: Decoded) -> tuple[Any, ...]:
    return found.records, found.positions, found.rejects, +found.notes


@pytest.mark.parametrize("name", LONG_WAYS)
def test_usual_messages_are_plain(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual shape never goes the long way."""
    values = [encoded(name, each) for each in bodies_of(name)]
    expected = outcome(decoded(LONG_WAYS[name](FormatOptions()), values, []))
    assert len(expected[0]) == len(values)
    monkeypatch.setattr(DocumentDecoder, "_readings_of", None)
    decoder = FORMATS[name].make_decoder(FormatOptions(), recognise)
    assert outcome(decoded(decoder, values, [])) == expected


@pytest.mark.parametrize("name", LONG_WAYS)
def test_both_ways_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    are_plain: list[bool] = []
    asked = DocumentDecoder._decode_plain

    def counted(*arguments: Any) -> bool:
        are_plain.append(asked(*arguments))
        return are_plain[-1]

    monkeypatch.setattr(DocumentDecoder, "_decode_plain", counted)

    @given(data=st.data())
    @settings(max_examples=150, deadline=None)
    def check(data: st.DataObject) -> None:
        values = data.draw(st.lists(changed(name, KEYS[name]), min_size=1, max_size=3))
        options, headers = data.draw(OPTIONS), data.draw(HEADERS)
        plain = decoded(FORMATS[name].make_decoder(options, recognise), values, headers)
        assert outcome(plain) == outcome(decoded(LONG_WAYS[name](options), values, headers))

    check()
    # litellm never goes the plain way where a tenant header is named, as in more than a third of the draws
    assert sum(are_plain) >= (0.3 if name == "litellm" else 0.4) * len(are_plain)


def test_notes_of_either_way_are_kept() -> None:
    """Plain messages that are about no inference, beside others that go the long way."""
    unknown = [{"key": "gen_ai.agent.name", "value": {"stringValue": "x"}}]

    def export(span: str, attributes: list[Any]) -> dict[str, Any]:
        spans = [{"traceId": "t", "spanId": span, "attributes": attributes}]
        return {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}

    batch = batch_of([export("a", []), export("b", unknown), export("c", [])])
    notes = make_decoder("otel", FormatOptions()).decode_lazily(batch).notes
    assert (notes["skipped"], notes["unknown"]) == (2, 1)


@pytest.mark.parametrize("name", LONG_WAYS)
def test_what_is_plain_is_looked_for_before_envelopes(name: str) -> None:
    """The intake's way, of messages plain, wrapped and of no format, gives what the long way gives."""
    plain = CHAT[name](QUERY)[0].value
    inner = [b"{}"] if name == "otlp_proto" else [plain, b"{}"]
    wrapped = [json.dumps({"log": each.decode(), "stream": "stdout"}).encode() for each in inner]
    values = [*wrapped, plain, b"{}", b"no json", *wrapped, plain]
    batch = RawBatch("logs", 0, list(range(len(values))), values)
    lazily = make_decoder(name, FormatOptions()).decode_lazily(batch)
    long = UnwrappingDecoder(LONG_WAYS[name](FormatOptions()), recognise).decode(batch)
    assert outcome(lazily) == outcome(long)
    assert lazily.positions == sorted(lazily.positions)


@pytest.mark.parametrize("name", LONG_WAYS)
def test_long_texts_are_cut_as_before(name: str) -> None:
    long = QUERY._replace(prompt="x" * (TEXT_CHARS_MAX + 1), answer="y" * (TEXT_CHARS_MAX + 1))
    values = [each.value for each in CHAT[name](long)]
    plain = decoded(FORMATS[name].make_decoder(FormatOptions(), recognise), values, [])
    assert outcome(plain) == outcome(decoded(LONG_WAYS[name](FormatOptions()), values, []))
    record = plain.records[0]
    assert (record.input, record.output_text) == ("x" * TEXT_CHARS_MAX, "y" * TEXT_CHARS_MAX)


@pytest.mark.parametrize("prompt", ["[REDACTED]", "redacted-by-litellm", " "])
@pytest.mark.parametrize("name", LONG_WAYS)
def test_blacked_out_and_failed_messages_are_the_same(name: str, prompt: str) -> None:
    """What a drawn change seldom hits: blacked out texts, and calls that failed."""
    values = [CHAT[name](QUERY._replace(prompt=prompt))[0].value, CHAT[name](QUERY)[0].value]
    values[1] = values[1].replace(b'"status":"success"', b'"status":"failure"')
    plain = decoded(FORMATS[name].make_decoder(FormatOptions(), recognise), values, [])
    assert outcome(plain) == outcome(decoded(LONG_WAYS[name](FormatOptions()), values, []))
