"""Formats of observability tools, gateways and servers: what a query in its real shape becomes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.log_shapes import CHAT, TABULAR, Headers, Logged, Query, logged, responses
from tests.unit.formats.support import batch_of, decode, fields_of

from copycatch.adapters.peek import peek_file
from copycatch.formats.catalog import FORMATS, make_decoder, recognise
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.columns import RawBatch
from copycatch.records.decoding import Decoded
from copycatch.service.recognition import recognise_all

PROMPT, ANSWER = "Who said 'no', \"yes\" or prompt: 'x'?\nAnd why?", "Nobody, output_token_ids: [1]."
QUERY = Query("e-7", "acct-7f3a", PROMPT, ANSWER, 36_000, [0.5, 1.5], [0.9, 0.1])
TIME_MS = 1772359200000
SHAPES: dict[str, Callable[[Query], list[Logged]]] = {**CHAT, **TABULAR, "responses": responses}
CHATS = {
    "account_id": "acct-7f3a",
    "model_id": "acme-chat-1",
    "input": PROMPT,
    "output_text": ANSWER,
    "input_tokens": 240,
    "output_tokens": 160,
    "event_time": TIME_MS,
}
SYSTEM = "f15f95c26e6455ca062a14fc206897fe"  # blake2b of "You are terse."
EXPECTED: dict[str, dict[str, Any]] = {
    "langfuse": {
        **CHATS,
        "event_id": "e-7", "event_time": TIME_MS + 963, "latency_ms": 812.0, "turn": 1,
        "conversation_id": "conv-1", "system_hash": SYSTEM, "params": {"temperature": 0.0, "n": 1},
    },
    "helicone": {
        **CHATS,
        "event_id": "e-7", "status": 200, "latency_ms": 812.0, "conversation_id": "conv-1", "turn": 1,
        "system_hash": SYSTEM, "finish_reason": "stop", "model_version": "acme-chat-1-2026-10-01",
    },
    "portkey": {**CHATS, "event_id": "e-7", "status": 200, "latency_ms": 812.0, "system_hash": SYSTEM},
    "azure_apim": {
        **CHATS,
        "event_id": "e-7", "api_key_id": "acct-7f3a", "client_ip": "203.0.113.7", "status": 200,
        "latency_ms": 812.0, "model_version": "acme-chat-1-2026-10-01", "system_hash": SYSTEM, "turn": 1,
    },
    "anthropic": {
        **CHATS,
        "event_id": "e-7", "status": 200, "finish_reason": "end_turn", "turn": 2, "system_hash": SYSTEM,
        "reasoning_refs": ["de9a71f5894750a02dce797143617b73"], "input": PROMPT,
    },
    "responses": {**CHATS, "event_id": "e-7", "finish_reason": "completed", "system_hash": SYSTEM},
    "otlp_proto": {
        **CHATS,
        "conversation_id": "conv-1", "latency_ms": 812.0, "finish_reason": "stop", "client_ip": "203.0.113.7",
        "params": {"temperature": 0.0, "n": 1, "max_tokens": 640},
    },
    "vllm": {
        **CHATS,
        "event_id": "chatcmpl-e-7", "input_tokens": 3, "output_tokens": 2, "finish_reason": "stop",
        "input": f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n",
        "params": {"n": 1, "temperature": 0.7, "max_tokens": 640, "logprobs": True, "top_logprobs": 5},
    },
    "triton": {
        "event_id": "e-7", "event_time": TIME_MS, "account_id": "acct-7f3a", "model_id": "acme-chat-1",
        "model_version": "1", "input": [0.5, 1.5], "probabilities": [0.9, 0.1], "latency_ms": 812.0,
    },
}  # fmt: skip


def batch(messages: list[Logged]) -> RawBatch:
    headers: list[Headers] = [each.headers for each in messages]
    at = list(range(len(messages)))
    return RawBatch("logs", 0, at, [each.value for each in messages], headers=headers)


REJECT = FormatOptions(unpaired="reject")


def all_of(name: str, messages: list[Logged], options: FormatOptions | None = None) -> Decoded:
    """What messages come to, those included that waited in vain."""
    decoder = make_decoder(name, options or FormatOptions())
    decoded = decoder.decode(batch(messages))
    decoder.flush(0)
    decoded.add(decoder.flush(10**9))
    return decoded


@pytest.mark.parametrize("name", EXPECTED)
def test_a_query_in_its_real_shape(name: str) -> None:
    decoded = all_of({"responses": "openai"}.get(name, name), SHAPES[name](QUERY))
    assert decoded.rejects == []
    [record] = decoded.records
    found = fields_of(record)
    assert {key: found.get(key) for key in EXPECTED[name]} == EXPECTED[name]
    assert not decoded.notes["unread"]


@pytest.mark.parametrize("name", SHAPES)
def test_each_is_recognised_as_itself(name: str) -> None:
    found = recognise_all(batch(SHAPES[name](QUERY)))
    known = {format_name for format_name in found if format_name in FORMATS}
    assert known == {{"responses": "openai"}.get(name, name)}


def test_no_new_format_claims_a_sample_of_another() -> None:
    folder = Path(__file__).parents[4] / "shared" / "samples"
    if not folder.is_dir():
        pytest.skip("no ../shared/samples beside the checkout")
    headers = {"ce_type": "org.kubeflow.serving.inference.request"}
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_bytes())
        for each in (document, document.get("body", document)) if isinstance(document, dict) else [document]:
            named = recognise(each, headers if "kserve" in path.name else {})
            assert named not in EXPECTED, path.name


@pytest.mark.parametrize("name", SHAPES)
def test_a_topic_set_to_another_format_says_so(name: str) -> None:
    decoded = decode("native" if name != "native" else "kong", batch(SHAPES[name](QUERY)[-1:]))
    assert decoded.records == []
    [reject] = decoded.rejects
    assert (reject.reason, repr({"responses": "openai"}.get(name, name)) in reject.message) == (
        "wrong_format",
        True,
    )


@pytest.mark.parametrize("name", ["azure_apim", "vllm", "triton"])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_parts_may_come_in_any_order_over_restarts(name: str, is_reversed: bool) -> None:
    other = QUERY._replace(id="e-8", account="acct-8")
    messages = [each for pair in zip(SHAPES[name](QUERY), SHAPES[name](other), strict=True) for each in pair]
    found = Decoded()
    decoder = make_decoder(name, FormatOptions())
    for each in reversed(messages) if is_reversed else messages:
        state = decoder.snapshot()
        decoder = make_decoder(name, FormatOptions())
        decoder.restore(state)
        found.add(decoder.decode(batch([each])))
    assert found.rejects == []
    assert {record.account_id for record in found.records} == {"acct-7f3a", "acct-8"}
    found.records.sort(key=lambda record: record.account_id)
    fields = fields_of(found.records[0])
    assert {key: fields.get(key) for key in EXPECTED[name]} == EXPECTED[name]


def test_azure_resource_logs_in_the_envelope_of_event_hubs() -> None:
    def record(category: str, properties: dict[str, Any]) -> dict[str, Any]:
        shared = {"time": "2026-03-01T10:00:00Z", "correlationId": "c-1", "callerIpAddress": "203.0.113.7"}
        return {**shared, "category": category, "resourceId": "/r", "properties": properties}

    asked = [{"role": "user", "content": PROMPT}]
    tokens = {"promptTokens": 240, "completionTokens": 160, "modelName": "m-1", "deploymentName": "m"}
    documents = [
        {"records": [record("GatewayLlmLogs", {"sequenceNumber": 0, **tokens})]},
        {"records": [record("GatewayLlmLogs", {"sequenceNumber": 1, "requestMessages": asked}),
                     record("GatewayLlmLogs", {"sequenceNumber": 2, "responseMessages": json.dumps(
                         [{"role": "assistant", "content": ANSWER}])})]},
        {"records": [record("GatewayLogs", {"apimSubscriptionId": "partner-7", "responseCode": 200}),
                     record("WebSocketConnectionLogs", {"eventName": "x"})]},
    ]  # fmt: skip
    decoded = decode("azure_apim", batch_of(documents))
    assert decoded.rejects == []
    [found] = decoded.records
    assert (found.account_id, found.model_id, found.input, found.output_text) == (
        "partner-7",
        "m",
        PROMPT,
        ANSWER,
    )
    assert (found.input_tokens, found.client_ip, decoded.notes["skipped"]) == (240, "203.0.113.7", 1)


def test_azure_logs_without_texts_count_and_without_gateway_name_nobody() -> None:
    tokens, asked, _, half, gateway = CHAT["azure_apim"](QUERY)
    [record] = all_of("azure_apim", [tokens, gateway]).records
    assert (record.input, record.input_tokens) == (None, 240)
    [reject] = all_of("azure_apim", [tokens, asked], REJECT).rejects
    assert reject.reason == "unjoined"
    other = all_of("azure_apim", [gateway])  # a request of the gateway to no model
    assert (other.records, other.rejects, other.notes["skipped"]) == ([], [], 1)
    torn = all_of("azure_apim", [tokens, asked, half, gateway])  # a part of the answer never came
    assert (torn.records[0].input, torn.records[0].output_text, torn.notes["unread"]) == (PROMPT, None, 1)


def test_an_id_sent_twice_hides_no_query() -> None:
    asked, told = CHAT["vllm"](QUERY)
    again = Logged(asked.value.replace(b"Who said", b"Who else said"))
    decoded = all_of("vllm", [asked, again, told], FormatOptions(unpaired="keep"))
    assert ["Who else said" in str(record.input) for record in decoded.records] == [False, True]
    assert len(all_of("vllm", [asked, asked, told]).records) == 1


LINE = (
    '(APIServer pid=1) INFO 03-01 10:00:00 [logger.py:43] Received request cmpl-1: prompt: "it\'s", params: '
    "SamplingParams(n=2, temperature=0.0, stop=['max_tokens=1'], max_tokens=16, logprobs=None), "
    "prompt_token_ids: [1, 2], prompt_embeds shape: None, lora_request: None."
)
NEWER = (
    (
        'DEBUG 03-01 10:00:00 [request_logger.py:40] Request cmpl-1 details: prompt: "it\'s", '
        "prompt_token_ids: [1, 2], prompt_embeds shape: None."
    ),
    (
        "INFO 03-01 10:00:00 [request_logger.py:50] Received request cmpl-1: params: SamplingParams(n=2, "
        "temperature=0.0, max_tokens=16), lora_request: None."
    ),
)
OTHERS = (
    "INFO 03-01 10:00:01 [loggers.py:117] Engine 000: Avg prompt throughput: 4.7 tokens/s",
    'INFO:     127.0.0.1:39040 - "POST /v1/completions HTTP/1.1" 200 OK',
    (
        "INFO 03-01 10:00:01 [logger.py:90] Generated response cmpl-1 (streaming delta): output: 'Y', "
        "output_token_ids: [7], finish_reason: None"
    ),
)


@pytest.mark.parametrize("asked", [(LINE,), NEWER])
def test_vllm_lines(asked: tuple[str, ...]) -> None:
    told = (
        "INFO 03-01 10:00:02 [logger.py:90] Generated response cmpl-1 (streaming complete): "
        "output: 'Y\\'es', output_token_ids: [7, 8, 9], finish_reason: length"
    )
    lines = [line.encode() for line in (*asked, *OTHERS, told)]
    times = [TIME_MS] * len(lines)
    options = FormatOptions(model_id="m", account_fallback="key")
    decoded = decode("vllm", batch_of(lines, arrivals_ms=times, keys=[b"acct-1"] * len(lines)), options)
    assert decoded.rejects == []
    [record] = decoded.records
    assert (record.input, record.output_text, record.account_id) == ("it's", "Y'es", "acct-1")
    assert (record.input_tokens, record.output_tokens, record.finish_reason) == (2, 3, "length")
    assert fields_of(record)["params"] == {"n": 2, "temperature": 0.0, "max_tokens": 16}
    assert decoded.notes["skipped"] == len(OTHERS)
    assert recognise_all(batch_of(lines)).most_common(1)[0][0] == "vllm"


def test_vllm_without_outputs_is_kept_if_the_options_say_so() -> None:
    asked, _ = CHAT["vllm"](QUERY)
    assert [each.reason for each in all_of("vllm", [asked], REJECT).rejects] == ["unjoined"]
    kept = all_of("vllm", [asked])
    assert (len(kept.records), kept.notes["unpaired"]) == (1, 1)


def test_otlp_logs_as_protobuf_read_as_their_json(tmp_path: Path) -> None:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

    def entry(key: str, text: str) -> KeyValue:
        return KeyValue(key=key, value=AnyValue(string_value=text))

    logs = LogsData()
    scope = logs.resource_logs.add().scope_logs.add()
    record = scope.log_records.add(time_unix_nano=TIME_MS * 10**6, trace_id=b"t" * 16, span_id=b"s" * 8)
    record.event_name = "gen_ai.client.inference.operation.details"
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}])
    texts = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "user.id": "acct-1"}
    record.attributes.extend(
        entry(key, text) for key, text in {**texts, "gen_ai.input.messages": said}.items()
    )
    [found] = decode("otlp_proto", batch_of([logs.SerializeToString()])).records
    assert (found.input, found.account_id, found.event_time) == (PROMPT, "acct-1", TIME_MS)


def test_otlp_metrics_are_no_log_and_json_is_taken() -> None:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

    metrics = MetricsData()
    metrics.resource_metrics.add().scope_metrics.add().metrics.add(
        name="gen_ai.client.token.usage", unit="{token}"
    )
    [reject] = decode("otlp_proto", batch_of([metrics.SerializeToString()])).rejects
    assert "otlp_proto" in reject.message
    [record] = decode("otlp_proto", batch([*CHAT["otel"](QUERY)])).records
    assert record.input == PROMPT
    [reject] = decode("otlp_proto", batch([*CHAT["kong"](QUERY)])).rejects
    assert (reject.reason, "'kong'" in reject.message) == ("wrong_format", True)


def test_langfuse_parquet(tmp_path: Path) -> None:
    import datetime as dt

    import pyarrow as pa
    import pyarrow.parquet as pq

    row = json.loads(CHAT["langfuse"](QUERY)[0].value)
    row |= {
        "start_time": dt.datetime(2026, 3, 1, 10, 0, 0, 963000),  # noqa: DTZ001 - as the export has them
        "usage_details": list(row["usage_details"].items()),
        "metadata": list(row["metadata"].items()),
    }
    kept = ("id", "trace_id", "type", "start_time", "input", "output", "provided_model_name", "usage_details",
            "model_parameters", "user_id", "session_id", "latency", "metadata")  # fmt: skip
    schema = {
        "usage_details": pa.map_(pa.string(), pa.int64()),
        "metadata": pa.map_(pa.string(), pa.string()),
    }
    columns = {name: pa.array([row[name]], schema.get(name)) for name in kept}
    pq.write_table(pa.table(columns), tmp_path / "20260301.parquet")
    found = peek_file(str(tmp_path / "20260301.parquet"), 10)
    assert recognise_all(found) == {"langfuse": 1}
    decoded = decode("langfuse", found)
    assert decoded.rejects == []
    fields = fields_of(decoded.records[0])
    assert {key: fields.get(key) for key in EXPECTED["langfuse"]} == EXPECTED["langfuse"]


def test_langfuse_rows_of_the_api_and_those_that_ask_no_model() -> None:
    row = {
        "id": "o-1",
        "traceId": "t",
        "type": "GENERATION",
        "startTime": "2026-03-01T10:00:00.000Z",
        "model": "m",
        "modelParameters": {"temperature": 0.5},
        "userId": "u-1",
        "level": "ERROR",
        "input": {"messages": [{"role": "user", "content": PROMPT}]},
        "output": ANSWER,
        "usage": {"input": 7, "output": 2, "unit": "TOKENS"},
    }
    embedded = {**row, "id": "o-2", "type": "EMBEDDING", "input": ["a", "b"], "output": [[0.5], [1.0]]}
    decoded = decode("langfuse", batch_of([[row, {**row, "type": "SPAN"}, embedded]]))
    assert decoded.rejects == []
    assert [(each.event_id, each.input, each.status) for each in decoded.records] == [
        ("o-1", PROMPT, 500),
        ("o-2:0", "a", 500),
        ("o-2:1", "b", 500),
    ]
    assert (decoded.records[0].output_text, decoded.records[0].input_tokens) == (ANSWER, 7)
    assert decoded.records[1].embedding == [0.5]
    assert decoded.notes["skipped"] == 1
    bare = {name: value for name, value in row.items() if name not in ("userId", "traceId")}
    trace = {"id": "t", "timestamp": row["startTime"], "userId": "u-2", "sessionId": "c", "observations": [
        bare, {**bare, "type": "SPAN", "userId": None}]}  # fmt: skip
    assert recognise_all(batch_of([trace])) == {"langfuse": 1}
    whole = decode("langfuse", batch_of([trace, {**trace, "observations": ["o-1"]}]))
    assert [(each.account_id, each.conversation_id, each.input) for each in whole.records] == [
        ("u-2", "c", PROMPT)
    ]
    assert [each.field for each in whole.rejects] == ["observations"]


def test_helicone_streams_and_bodies_that_are_not_there() -> None:
    row = json.loads(CHAT["helicone"](QUERY)[0].value)
    stream = (
        'data: {"choices":[{"delta":{"content":"Co"}}]}\n\ndata: {"choices":[{"delta":{"content":"mo"}}]}\n\n'
    )
    bare = {name: value for name, value in row.items() if name not in ("request_body", "response_body")}
    decoded = decode("helicone", batch_of([{**row, "response_body": {"streamed_data": stream}}, bare]))
    assert decoded.rejects == []
    assert [(each.input, each.output_text) for each in decoded.records] == [(PROMPT, "Como"), (None, None)]


def test_portkey_log_objects_and_the_older_export() -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}
    told = {"id": "r-1", "created": 1772359200, "choices": [{"message": {"content": ANSWER}}]}
    sides: dict[str, Any] = {
        "request": {"url": "https://x", "provider": "openai", "headers": {}, "method": "POST", "body": asked}
    }
    sides["response"] = {"status": 200, "headers": {}, "body": told, "response_time": 123}
    documents: list[dict[str, Any]] = [
        {**sides, "metadata": {"user": "u-1", "traceId": "t"}},
        {"ai_model": "m", "created_at": "2026-03-01T10:00:00", "request.body": json.dumps(asked),
         "is_success": 0, "response.body": told, "metadata.key": ["_user"], "metadata.value": ["u-1"]},
        {**sides, "ai_model": "m", "metadata": {"_user": "u-1"},
         "created_at": "Sun Mar 01 2026 11:00:00 GMT+0100 (Central European Standard Time)"},
    ]  # fmt: skip
    assert recognise_all(batch_of(documents)) == {"portkey": 3}
    decoded = decode("portkey", batch_of(documents))
    assert decoded.rejects == []
    for record, status in zip(decoded.records, (200, 500, 200), strict=True):
        assert (record.account_id, record.input, record.output_text) == ("u-1", PROMPT, ANSWER)
        assert (record.event_time, record.status) == (TIME_MS, status)


def test_anthropic_answers_alone_errors_and_batches() -> None:
    answer = json.loads(CHAT["anthropic"](QUERY)[0].value)["response"]
    envelope = {
        "request_id": "e",
        "timestamp": TIME_MS,
        "account_id": "a",
        "request": {"model": "m", "messages": []},
    }
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    documents = [
        answer,
        {**envelope, "response": error},
        {"custom_id": "q-1", "result": {"type": "succeeded", "message": answer}},
        {"custom_id": "q-2", "result": {"type": "errored", "error": {"type": "invalid_request_error"}}},
    ]
    assert recognise_all(batch_of(documents)) == {"anthropic": 4}
    options = FormatOptions(model_id="m")
    times = [TIME_MS] * 4
    decoded = decode("anthropic", batch_of(documents, {"x-account-id": "a"}, times), options)
    assert decoded.rejects == []
    found = [(each.event_id, each.output_text, each.status) for each in decoded.records]
    assert found == [("msg_e-7", ANSWER, None), ("e", None, 529), ("q-1", ANSWER, None), ("q-2", None, 400)]


def test_triton_steps_of_ensembles_and_late_stamps_are_no_queries() -> None:
    messages = TABULAR["triton"](QUERY)
    step = logged({"id": 8, "model_name": "step", "model_version": 1, "parent_id": 7})
    late = logged({"id": 7, "timestamps": [{"name": "HTTP_SEND_END", "ns": 2356425866785863}]})
    decoded = all_of("triton", [*messages, step, late])
    assert (len(decoded.records), decoded.rejects, decoded.notes["skipped"]) == (1, [], 2)


def test_parts_that_wait_are_bounded_and_given_up_in_order() -> None:
    queries = [QUERY._replace(id=f"e-{index}") for index in range(50)]
    asked = [CHAT["vllm"](each)[0] for each in queries]
    decoder = make_decoder("vllm", FormatOptions(pending_max=10, unpaired="reject"))
    decoded = decoder.decode(batch(asked))
    assert [reject.offset for reject in decoded.rejects] == list(range(40))
    assert decoded.notes["held"] == 50
