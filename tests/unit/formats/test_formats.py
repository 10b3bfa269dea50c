"""Own small samples of every format, in the variants that their producers have."""

import base64
import json
from typing import Any

import pytest
from tests.unit.formats.support import batch_of, decode, fields_of

from copycatch.formats.catalog import FORMATS, recognise
from copycatch.formats.shared.format import CANONICAL_FIELDS, REQUIRED_FIELDS, FormatOptions

HEADERS = {"x-account-id": "a1", "x-tenant-id": "t1"}
TIME, TIME_MS = "2026-03-01T10:00:00Z", 1772359200000
CHAT_REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CHAT_RESPONSE = {"id": "r1", "model": "m-1", "choices": [{"message": {"content": "yo"}}], "usage": {}}


def only(
    format_name: str, document: Any, options: FormatOptions | None = None, **more: Any
) -> dict[str, Any]:
    """Fields of the one record that a document gives."""
    decoded = decode(format_name, batch_of([document], **more), options)
    assert decoded.rejects == []
    [record] = decoded.records
    return fields_of(record)


def test_the_catalogue_says_what_is_never_given() -> None:
    for row in FORMATS.values():
        assert set(row.sources) <= set(CANONICAL_FIELDS), row.name
        assert not row.never_gives() & set(REQUIRED_FIELDS), row.name
    assert FORMATS["native"].never_gives() == frozenset()
    assert {"input", "output_text", "probabilities"} <= FORMATS["envoy_ai_gateway"].never_gives()


# --- openai -----------------------------------------------------------------------------------------------


def test_openai_envelope_with_identity_and_headers() -> None:
    envelope = {
        "request": json.dumps({**CHAT_REQUEST, "logprobs": True, "user": "claimed"}),
        "response": CHAT_RESPONSE,
        "request_id": "e1",
        "timestamp": TIME,
        "headers": {
            "X-Account-Id": "a1",
            "User-Agent": ["curl/8"],
            "X-Forwarded-For": "6.6.6.6, 203.0.113.9",
        },
        "duration_ms": 5,
        "status_code": "429",
    }
    assert only("openai", envelope) == {
        "event_id": "e1",
        "event_time": TIME_MS,
        "account_id": "a1",
        "model_id": "m",
        "model_version": "m-1",
        "user_agent": "curl/8",
        "client_ip": "203.0.113.9",
        "input": "hi",
        "output_text": "yo",
        "params": {"logprobs": True},
        "turn": 1,
        "latency_ms": 5.0,
        "status": 429,
    }


def test_openai_embeddings_of_several_texts_are_several_records() -> None:
    vectors = [{"embedding": [0.1, 0.2]}, {"embedding": [0.3, 0.4]}]
    document = {
        "request": {"model": "emb", "input": ["first", "second"]},
        "response": {"object": "list", "data": vectors},
        "id": "e",
        "time": 1772359200,
        "account_id": "a1",
    }
    decoded = decode("openai", batch_of([document]))
    found = [(each.event_id, each.input, each.embedding) for each in decoded.records]
    assert found == [("e:0", "first", [0.1, 0.2]), ("e:1", "second", [0.3, 0.4])]
    assert decoded.notes["split"] == 1


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        ({"model": "m", "input": "ask"}, "ask"),
        (
            {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "ask"}]}]},
            "ask",
        ),
        ({"model": "m", "prompt": ["ask"]}, "ask"),
        ({"model": "m", "prompt": [1, 2, 3]}, [1.0, 2.0, 3.0]),
        (
            {
                "model": "m",
                "messages": [{"role": "user", "content": "ask"}, {"role": "tool", "content": "x"}],
            },
            "ask",
        ),
        ({"model": "m", "messages": [{"role": "system", "content": "alone"}]}, "alone"),
        ({"model": "m", "messages": []}, None),
    ],
)
def test_what_was_asked(request_body: dict[str, Any], expected: Any) -> None:
    fields = only("openai", {"request": request_body, "id": "e", "time": TIME, "account_id": "a1"})
    assert fields.get("input") == expected


def test_a_prompt_that_is_too_long_is_cut_not_lost() -> None:
    request = {**CHAT_REQUEST, "messages": [{"role": "user", "content": "x" * 400_000}]}
    fields = only("openai", {"request": request, "id": "e", "time": TIME, "account_id": "a1"})
    assert len(fields["input"]) == 1 << 18


# --- litellm ----------------------------------------------------------------------------------------------

LITELLM = {
    "id": "call-1",
    "litellm_call_id": "forged",
    "call_type": "completion",
    "startTime": 1772359200.25,
    "endTime": 1772359201.0,
    "model": "openai/m",
    "metadata": {"user_api_key_user_id": "a1", "user_api_key_hash": "h1"},
    "messages": [{"role": "user", "content": "hi"}],
    "response": CHAT_RESPONSE,
    "model_parameters": {"max_tokens": 5},
    "status": "success",
}


def test_litellm_batches_and_wrappers() -> None:
    failed = {**LITELLM, "id": "call-2", "status": "failure", "error_information": {"error_code": "429"}}
    decoded = decode("litellm", batch_of([[LITELLM, failed], {"standard_logging_object": LITELLM}, []]))
    found = [(each.event_id, each.status, each.latency_ms) for each in decoded.records]
    assert found == [("call-1", 200, 750.0), ("call-2", 429, 750.0), ("call-1", 200, 750.0)]
    assert decoded.positions == [100, 100, 101]
    assert decoded.notes["split"] == 1
    assert decoded.notes["skipped"] == 1


def test_litellm_with_messages_turned_off() -> None:
    fields = only("litellm", {**LITELLM, "messages": [{"role": "user", "content": "redacted-by-litellm"}]})
    assert "input" not in fields


def test_litellm_without_user_judges_the_key() -> None:
    fields = only("litellm", {**LITELLM, "metadata": {"user_api_key_hash": "h1"}})
    assert fields["account_id"] == "h1"


# --- otel -------------------------------------------------------------------------------------------------


def attribute(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def spans(*each: dict[str, Any], resource: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {
        "resourceSpans": [{"resource": {"attributes": list(resource)}, "scopeSpans": [{"spans": list(each)}]}]
    }


SPAN = {"traceId": "t", "spanId": "s", "startTimeUnixNano": "1772359200000000000"}


def test_otel_old_names_and_indexed_prompts() -> None:
    attributes = [
        attribute("gen_ai.system", stringValue="openai"),
        attribute("gen_ai.request.model", stringValue="m"),
        attribute("gen_ai.usage.prompt_tokens", intValue="7"),
        attribute("gen_ai.usage.completion_tokens", intValue=3),
        attribute("gen_ai.prompt.0.role", stringValue="user"),
        attribute("gen_ai.prompt.0.content", stringValue="hi"),
        attribute("gen_ai.completion.0.content", stringValue="yo"),
        attribute("enduser.id", stringValue="a1"),
    ]
    fields = only("otel", spans({**SPAN, "attributes": attributes, "status": {"code": 2}}))
    assert fields == {
        "event_id": "t-s",
        "event_time": TIME_MS,
        "account_id": "a1",
        "model_id": "m",
        "input": "hi",
        "output_text": "yo",
        "input_tokens": 7,
        "output_tokens": 3,
        "turn": 1,
        "status": 500,
    }


def test_otel_skips_what_asked_no_model_and_takes_the_rest() -> None:
    chat = [
        attribute("gen_ai.operation.name", stringValue="chat"),
        attribute("gen_ai.request.model", stringValue="m"),
    ]
    agent = [attribute("gen_ai.operation.name", stringValue="invoke_agent")]
    export = spans(
        {**SPAN, "attributes": [attribute("http.route", stringValue="/")]},
        {**SPAN, "attributes": agent},
        {**SPAN, "attributes": chat},
        {**SPAN, "attributes": [*chat, attribute("user.id", stringValue="a2")], "spanId": "s2"},
        resource=(attribute("user.id", stringValue="a1"),),
    )
    other = spans({**SPAN, "attributes": []})
    decoded = decode("otel", batch_of([export, other]))
    assert [(each.account_id, each.event_id) for each in decoded.records] == [("a1", "t-s"), ("a2", "t-s2")]
    assert decoded.rejects == []
    assert decoded.notes["skipped"] == 1


def test_otel_account_by_pointer() -> None:
    attributes = [
        attribute("gen_ai.request.model", stringValue="m"),
        attribute("app.customer", kvlistValue={"values": [attribute("id", stringValue="c9")]}),
    ]
    options = FormatOptions(account_pointer="/app.customer/id")
    assert only("otel", spans({**SPAN, "attributes": attributes}), options)["account_id"] == "c9"


# --- sagemaker --------------------------------------------------------------------------------------------


def capture(given: str, answered: str, encoding: str = "CSV", **metadata: Any) -> dict[str, Any]:
    return {
        "captureData": {
            "endpointInput": {"data": given, "encoding": encoding},
            "endpointOutput": {"data": answered, "encoding": encoding},
        },
        "eventMetadata": {"eventId": "e", "inferenceTime": TIME, **metadata},
    }


def test_sagemaker_rows_of_csv_are_records() -> None:
    document = capture("1,2\n3,4\n", "0.25\n7\n", customAttributes="user=a1, model=m")
    decoded = decode("sagemaker", batch_of([document]))
    found = [
        (each.event_id, each.input, each.probabilities, each.predicted_label) for each in decoded.records
    ]
    assert found == [("e:0", [1.0, 2.0], [0.25], None), ("e:1", [3.0, 4.0], None, 7)]


def test_sagemaker_base64_json_and_text_cells() -> None:
    body = base64.b64encode(json.dumps({"instances": [{"age": 31, "city": "Oslo"}]}).encode()).decode()
    answer = base64.b64encode(b'{"predictions": [{"label": "yes", "score": 0.8}]}').decode()
    fields = only(
        "sagemaker",
        capture(body, answer, "BASE64", customAttributes=["account=a1"]),
        FormatOptions(model_id="m"),
    )
    assert fields["input"] == '{"age":31,"city":"Oslo"}'
    assert fields["predicted_label"] == "yes"
    assert fields["top_scores"] == [0.8]
    text = only("sagemaker", capture("a,1\n", "yes\n", customAttributes=["account=a1", "model=m"]))
    assert (text["input"], text["predicted_label"]) == ("a,1", "yes")


def test_sagemaker_needs_a_model_and_says_how() -> None:
    [reject] = decode("sagemaker", batch_of([capture("1", "2", customAttributes=["account=a1"])])).rejects
    assert reject.field == "model_id"
    assert "set model_id in the settings" in reject.message


@pytest.mark.parametrize("row", ["1,nan", "1,,2", "inf,1"])
def test_sagemaker_cells_that_are_no_numbers_cost_the_input_only(row: str) -> None:
    decoded = decode("sagemaker", batch_of([capture(row, "2", customAttributes=["account=a1", "model=m"])]))
    assert (decoded.rejects, decoded.notes["unread"]) == ([], 1)
    assert (decoded.records[0].input, decoded.records[0].predicted_label) == (None, 2)


# --- bedrock ----------------------------------------------------------------------------------------------


def invocation(asked: Any, answered: Any, **more: Any) -> dict[str, Any]:
    return {
        "timestamp": TIME,
        "accountId": "123",
        "identity": {"arn": "arn:aws:iam::123:user/a1"},
        "requestId": "e",
        "operation": "InvokeModel",
        "modelId": "m",
        "schemaType": "ModelInvocationLog",
        "input": {"inputBodyJson": asked},
        "output": {"outputBodyJson": answered},
        **more,
    }


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ({"prompt": "hi"}, {"generation": "yo"}),
        ({"inputText": "hi"}, {"results": [{"outputText": "yo"}]}),
        (
            {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
            {"output": {"message": {"content": [{"text": "yo"}]}}},
        ),
        ({"messages": [{"role": "user", "content": "hi"}]}, {"content": [{"type": "text", "text": "yo"}]}),
        ({"prompt": "hi"}, {"outputs": [{"text": "yo"}]}),
        ({"prompt": "hi"}, {"completion": "yo"}),
        ({"prompt": "hi"}, [{"type": "message_start"}, {"delta": {"text": "y"}}, {"delta": {"text": "o"}}]),
        ({"messages": [{"role": "user", "content": "hi"}]}, {"choices": [{"message": {"content": "yo"}}]}),
    ],
)  # fmt: skip
def test_bedrock_bodies_of_model_families(asked: Any, answered: Any) -> None:
    fields = only("bedrock", invocation(asked, answered))
    assert (fields["input"], fields["output_text"]) == ("hi", "yo")
    assert fields["account_id"] == "arn:aws:iam::123:user/a1"
    assert fields["tenant_id"] == "123"


def test_bedrock_converse_options_errors_and_embeddings() -> None:
    asked = {"messages": [], "inferenceConfig": {"maxTokens": 9, "temperature": 1}}
    fields = only("bedrock", invocation(asked, None, errorCode="ThrottlingException"))
    assert fields["params"] == {"max_tokens": 9, "temperature": 1.0}
    assert fields["status"] == 429
    embedded = only(
        "bedrock", invocation({"inputText": "hi"}, {"embedding": [0.5, 1], "inputTextTokenCount": 2})
    )
    assert (embedded["embedding"], embedded["input_tokens"]) == ([0.5, 1.0], 2)


# --- databricks -------------------------------------------------------------------------------------------


def test_databricks_frames_legacy_columns_and_sampling() -> None:
    row = {
        "databricks_request_id": "e",
        "timestamp_ms": TIME_MS,
        "execution_time_ms": 4,
        "status_code": 200,
        "sampling_fraction": 0.1,
        "request": json.dumps({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}}),
        "response": json.dumps({"predictions": [0, 1]}),
        "served_entity_id": "m",
        "requester": "a1",
    }
    decoded = decode("databricks", batch_of([row]))
    found = [(each.event_id, each.input, each.predicted_label) for each in decoded.records]
    assert found == [("e:0", [1.0, 2.0], 0), ("e:1", [3.0, 4.0], 1)]
    assert decoded.notes["sampled"] == 1


def test_databricks_broken_inner_json_counts_without_it() -> None:
    row = {"databricks_request_id": "e", "request_time": TIME, "request": "{broken", "requester": "a1"}
    decoded = decode("databricks", batch_of([{**row, "served_entity_id": "m"}]))
    assert (decoded.rejects, decoded.notes["unread"]) == ([], 1)
    assert decoded.records[0].input is None


# --- envoy and kong ---------------------------------------------------------------------------------------

ENVOY = {
    "x-request-id": "e",
    "start_time": TIME,
    "gen_ai.request.model": "m",
    "duration": 3,
    "response_code": 200,
}


def test_envoy_account_from_a_logged_header_and_dashes_are_missing() -> None:
    log = {
        **ENVOY,
        "x-account-id": "a1",
        "x-tenant-id": "t1",
        "user-agent": "-",
        "gen_ai.usage.input_tokens": "-",
    }
    options = FormatOptions(tenant_headers=("x-tenant-id",))
    assert only("envoy_ai_gateway", {**log, "downstream_remote_address": "[2001:db8::1]:443"}, options) == {
        "event_id": "e",
        "event_time": TIME_MS,
        "account_id": "a1",
        "tenant_id": "t1",
        "model_id": "m",
        "client_ip": "2001:db8::1",
        "latency_ms": 3.0,
        "status": 200,
    }


def test_envoy_requests_to_no_model_are_skipped() -> None:
    decoded = decode("envoy_ai_gateway", batch_of([{**ENVOY, "gen_ai.request.model": "-"}]))
    assert (decoded.records, decoded.rejects, decoded.notes["skipped"]) == ([], [], 1)


@pytest.mark.parametrize(
    ("proxies_trusted", "expected"), [(0, "10.0.0.1"), (1, "203.0.113.9"), (5, "6.6.6.6")]
)
def test_forwarded_for_counts_from_the_right(proxies_trusted: int, expected: str) -> None:
    log = {**ENVOY, "x-forwarded-for": "6.6.6.6, 203.0.113.9, 10.0.0.1", "x-account-id": "a1"}
    options = FormatOptions(proxies_trusted=proxies_trusted)
    assert only("envoy_ai_gateway", log, options)["client_ip"] == expected


def test_kong_plugin_names_old_token_names_and_missing_consumer() -> None:
    log = {
        "request": {"id": "e", "headers": {"user-agent": "x"}},
        "started_at": TIME_MS,
        "latencies": {"request": 9},
        "response": {"status": 200},
        "workspace_name": "blue",
        "authenticated_entity": {"id": "k1"},
        "ai": {
            "ai-proxy": {"meta": {"request_model": "m"}, "usage": {"prompt_token": 2, "completion_token": 1}}
        },
    }
    fields = only("kong", log)
    assert (fields["account_id"], fields["tenant_id"], fields["api_key_id"]) == ("k1", "blue", "k1")
    assert (fields["input_tokens"], fields["output_tokens"]) == (2, 1)
    decoded = decode("kong", batch_of([{**log, "ai": None}]))
    assert decoded.notes["skipped"] == 1


# --- what all share ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format_name", "document"),
    [
        ("openai", {"request": CHAT_REQUEST, "response": CHAT_RESPONSE}),
        ("litellm", LITELLM),
        ("otel", spans(SPAN)),
        ("sagemaker", capture("1", "2")),
        ("bedrock", invocation({}, {})),
        ("databricks", {"databricks_request_id": "e", "request": "{}", "response": "{}"}),
        ("envoy_ai_gateway", ENVOY),
        ("kong", {"request": {}, "latencies": {}, "started_at": 1}),
        ("oip", {"inputs": []}),
        ("native", {"event_id": "e", "event_time": TIME, "account_id": "a", "model_id": "m"}),
    ],
)
def test_every_format_is_recognised_and_refused_by_the_others(format_name: str, document: Any) -> None:
    assert recognise(document, {}) == format_name
    either = {"otlp_proto"} if format_name == "otel" else set()  # it takes OTLP/JSON as well
    for other in set(FORMATS) - {format_name, "mapping"} - either:
        decoded = decode(other, batch_of([document], arrivals_ms=[1]))
        assert decoded.records == [], other
        [reject] = decoded.rejects
        assert reject.reason == "wrong_format", (other, reject.message)
        assert f"format {format_name!r}" in reject.message
        assert f"set to {other!r}" in reject.message


def test_mixed_formats_on_one_topic_lose_nothing() -> None:
    good = {"event_id": "e", "event_time": TIME, "account_id": "a", "model_id": "m"}
    decoded = decode("native", batch_of([good, LITELLM, b"junk", {**good, "event_id": "f"}, {"x": 1}]))
    assert [each.event_id for each in decoded.records] == ["e", "f"]
    assert [each.reason for each in decoded.rejects] == ["wrong_format", "not_json", "schema"]
    assert [each.offset for each in decoded.rejects] == [101, 102, 104]


@pytest.mark.parametrize("fallback", ["reject", "key", "client_ip"])
def test_missing_account(fallback: Any) -> None:
    document = {"request": CHAT_REQUEST, "response": CHAT_RESPONSE, "time": TIME, "client_ip": "203.0.113.9"}
    batch = batch_of([document], keys=[b"key-account"])
    decoded = decode("openai", batch, FormatOptions(account_fallback=fallback))
    if fallback == "reject":
        [reject] = decoded.rejects
        assert (reject.reason, reject.field) == ("schema", "account_id")
        assert "account_headers" in reject.message
    else:
        expected = {"key": "key-account", "client_ip": "203.0.113.9"}[fallback]
        assert decoded.records[0].account_id == expected


def test_arrival_stands_in_for_a_missing_time_only_if_allowed() -> None:
    document = {"request": CHAT_REQUEST, "account_id": "a1"}
    batch = batch_of([document], arrivals_ms=[TIME_MS])
    assert decode("openai", batch).records[0].event_time == TIME_MS
    [reject] = decode("openai", batch, FormatOptions(event_time="log")).rejects
    assert reject.field == "event_time"


@pytest.mark.parametrize("time", ["yesterday", "2026-03-01T10:00:00", True, 1e30, "9" * 60, [1]])
def test_times_that_are_none(time: Any) -> None:
    [reject] = decode(
        "openai", batch_of([{"request": CHAT_REQUEST, "time": time, "account_id": "a1"}])
    ).rejects
    assert (reject.reason, reject.field) == ("schema", "event_time")


def test_a_part_of_a_wrong_type_is_missing_and_counted() -> None:
    decoded = decode("litellm", batch_of([{**LITELLM, "prompt_tokens": "many", "id": "x" * 600}]))
    assert (decoded.rejects, decoded.notes["unread"]) == ([], 1)
    assert decoded.records[0].input_tokens is None
    assert len(decoded.records[0].event_id) < 128


def test_excerpts_hold_no_prompt() -> None:
    log = {**LITELLM, "startTime": "never", "messages": [{"role": "user", "content": "my secret"}]}
    [reject] = decode("litellm", batch_of([log])).rejects
    assert "secret" not in reject.excerpt
    assert "litellm_call_id" in reject.excerpt
