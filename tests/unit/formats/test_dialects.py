"""Spans of other conventions than OpenTelemetry's own say the same in other names."""

# ruff: noqa: E501 - tables of samples
import json
from typing import Any

import pytest
from tests.unit.formats.support import batch_of, decode

from copycatch.formats.shared.context import hash_of
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.decoding import Decoded
from copycatch.service.recognition import recognise_all

TIMES = {"startTimeUnixNano": "1784000000000000000", "endTimeUnixNano": "1784000000250000000", "traceId": "t"}
MESSAGES = [{"role": "system", "content": "be terse"}, {"role": "user", "content": "name a lake"}]
TOOL = {"type": "function", "function": {"name": "look"}}


def value_of(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [value_of(each) for each in value]}}
    return (
        {"intValue": str(value)}
        if isinstance(value, int)
        else {"doubleValue": value}
        if isinstance(value, float)
        else {"stringValue": value}
    )


def export(*spans: dict[str, Any]) -> dict[str, Any]:
    found = [
        {
            **TIMES,
            "spanId": f"s{index}",
            "attributes": [{"key": key, "value": value_of(value)} for key, value in span.items()],
        }
        for index, span in enumerate(spans)
    ]
    return {"resourceSpans": [{"scopeSpans": [{"spans": found}]}]}


def read(*spans: dict[str, Any], **options: Any) -> Decoded:
    decoded = decode("otel", batch_of([export(*spans)]), FormatOptions(**options))
    assert decoded.rejects == []
    return decoded


CHATS: dict[str, dict[str, Any]] = {
    "openinference": {
        "openinference.span.kind": "LLM", "llm.model_name": "m", "llm.provider": "openai", "user.id": "a1", "session.id": "c1",
        "llm.input_messages.0.message.role": "system", "llm.input_messages.0.message.content": "be terse",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.contents.0.message_content.type": "text",
        "llm.input_messages.1.message.contents.0.message_content.text": "name a lake",
        "llm.input_messages.1.message.contents.1.message_content.type": "image",
        "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "Como",
        "llm.invocation_parameters": json.dumps({"temperature": 0.5, "logprobs": True, "top_logprobs": 5}),
        "llm.token_count.prompt": 7, "llm.token_count.completion": 2, "llm.tools.0.tool.json_schema": json.dumps(TOOL),
    },
    "openinference, values only": {
        "openinference.span.kind": "LLM", "llm.model_name": "m", "user.id": "a1", "session.id": "c1",
        "input.value": json.dumps({"messages": MESSAGES, "tools": [TOOL]}), "input.mime_type": "application/json",
        "output.value": json.dumps({"choices": [{"message": {"role": "assistant", "content": "Como"}}]}),
        "llm.invocation_parameters": json.dumps({"temperature": 0.5, "logprobs": True, "top_logprobs": 5}),
        "llm.token_count.prompt": 7, "llm.token_count.completion": 2, "llm.tools.0.tool.json_schema": json.dumps(TOOL),
    },
    "ai sdk": {
        "operation.name": "ai.generateText.doGenerate app", "ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "m",
        "ai.prompt.messages": json.dumps([MESSAGES[0], {"role": "user", "content": [{"type": "text", "text": "name a lake"}]}]),
        "ai.prompt.tools": [json.dumps(TOOL)], "ai.response.text": "Como", "ai.response.finishReason": "stop",
        "ai.usage.promptTokens": 7, "ai.usage.completionTokens": 2, "ai.settings.temperature": 0.5,
        "ai.telemetry.metadata.userId": "a1", "ai.telemetry.metadata.sessionId": "c1",
    },
    "ai sdk 5": {
        "ai.operationId": "ai.streamText.doStream", "ai.model.id": "m", "gen_ai.request.model": "m", "gen_ai.system": "openai",
        "ai.prompt.messages": json.dumps(MESSAGES), "ai.prompt.tools": [json.dumps(TOOL)], "ai.response.text": "Como",
        "gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 2,
        "gen_ai.request.temperature": 0.5, "ai.telemetry.metadata.userId": "a1", "ai.telemetry.metadata.sessionId": "c1",
    },
    "openllmetry": {
        "llm.request.type": "chat", "gen_ai.request.model": "m", "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "be terse",
        "gen_ai.prompt.1.role": "user", "gen_ai.prompt.1.content": "name a lake", "gen_ai.completion.0.content": "Como",
        "gen_ai.completion.0.finish_reason": "stop", "llm.request.functions.0.name": "look", "gen_ai.request.temperature": 0.5,
        "gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 2,
        "traceloop.association.properties.user_id": "a1", "traceloop.association.properties.session_id": "c1",
    },
    "openllmetry, first names": {
        "llm.request.type": "chat", "llm.request.model": "m", "llm.prompts.0.role": "system", "llm.prompts.0.content": "be terse",
        "llm.prompts.1.role": "user", "llm.prompts.1.content": "name a lake", "llm.completions.0.content": "Como",
        "llm.usage.prompt_tokens": 7, "llm.usage.completion_tokens": 2, "llm.temperature": 0.5, "llm.request.functions.0.name": "look",
        "traceloop.association.properties.user_id": "a1", "traceloop.association.properties.session_id": "c1",
    },
    "logfire": {
        "request_data": json.dumps({"model": "m", "messages": MESSAGES, "temperature": 0.5, "tools": [TOOL]}),
        "response_data": json.dumps({"message": {"role": "assistant", "content": "Como"}, "usage": {"prompt_tokens": 7, "completion_tokens": 2}}),
        "user.id": "a1", "session.id": "c1",
    },
    "semantic conventions of 1.37": {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "x", "gen_ai.request.model": "m", "user.id": "a1", "gen_ai.conversation.id": "c1",
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "be terse"}]), "gen_ai.tool.definitions": json.dumps([TOOL]),
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "name a lake"}]}]),
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "Como"}], "finish_reason": "stop"}]),
        "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 2, "gen_ai.request.temperature": 0.5,
    },
}  # fmt: skip


@pytest.mark.parametrize("attributes", CHATS.values(), ids=CHATS.keys())
def test_one_chat_in_every_convention(attributes: dict[str, Any]) -> None:
    [record] = read(attributes).records
    assert (record.account_id, record.model_id, record.conversation_id) == ("a1", "m", "c1")
    assert (record.input, record.output_text, record.turn) == ("name a lake", "Como", 1)
    assert (record.input_tokens, record.output_tokens, record.latency_ms) == (7, 2, 250.0)
    assert record.system_hash == hash_of("be terse")
    assert record.tools_hash is not None
    assert record.params is not None
    assert record.params.temperature == 0.5
    if "llm.invocation_parameters" in attributes:
        assert (record.params.logprobs, record.params.top_logprobs) == (True, 5)


ENCLOSING: dict[str, dict[str, Any]] = {
    "openinference chain": {"openinference.span.kind": "CHAIN", "llm.model_name": "m", "input.value": "x", "user.id": "a1"},
    "openinference agent": {"openinference.span.kind": "AGENT", "user.id": "a1"},
    "ai sdk, the call around": {"ai.operationId": "ai.generateText", "ai.model.id": "m", "ai.prompt": json.dumps({"messages": MESSAGES})},
    "ai sdk, a tool": {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "look"},
    "traceloop workflow": {"traceloop.span.kind": "workflow", "traceloop.entity.name": "w", "gen_ai.request.model": "m"},
    "mlflow, a chain": {"mlflow.spanType": '"CHAIN"', "mlflow.spanInputs": '{"question": "x"}'},
    "langfuse, a span": {"langfuse.observation.type": "span", "langfuse.observation.input": "x"},
    "no model at all": {"http.route": "/", "airline.name": "x"},
}  # fmt: skip


@pytest.mark.parametrize("attributes", ENCLOSING.values(), ids=ENCLOSING.keys())
def test_what_encloses_questions_is_not_counted_twice(attributes: dict[str, Any]) -> None:
    decoded = read(attributes)
    assert (decoded.records, decoded.notes["skipped"], decoded.notes["unknown"]) == ([], 1, 0)


UNKNOWN: list[dict[str, Any]] = [
    {"gen_ai.agent.name": "x", "user.id": "a1"},
    {"openinference.span.kind": "UNKNOWN", "input.value": "x"},
    {"llm.vendor": "x", "llm.is_streaming": "true"},
]


@pytest.mark.parametrize("attributes", UNKNOWN)
def test_what_is_only_unknown_is_not_about_no_inference(attributes: dict[str, Any]) -> None:
    decoded = read(attributes)
    assert (decoded.records, decoded.notes["skipped"], decoded.notes["unknown"]) == ([], 0, 1)
    mixed = read(attributes, CHATS["openllmetry"])
    assert (len(mixed.records), mixed.notes["unknown"], mixed.notes["split"]) == (1, 1, 1)


EMBEDDINGS: dict[str, dict[str, Any]] = {
    "openinference": {
        "openinference.span.kind": "EMBEDDING", "embedding.model_name": "e", "user.id": "a1",
        "embedding.embeddings.0.embedding.text": "a", "embedding.embeddings.1.embedding.text": "b",
        "embedding.embeddings.0.embedding.vector": [0.5, 1.0], "embedding.embeddings.1.embedding.vector": [0.25, 2.0],
    },
    "ai sdk": {
        "ai.operationId": "ai.embedMany.doEmbed", "ai.model.id": "e", "ai.values": ['"a"', '"b"'],
        "ai.embeddings": ["[0.5, 1.0]", "[0.25, 2.0]"], "ai.telemetry.metadata.userId": "a1",
    },
}  # fmt: skip


@pytest.mark.parametrize("attributes", EMBEDDINGS.values(), ids=EMBEDDINGS.keys())
def test_texts_that_a_span_embeds_are_as_many_queries(attributes: dict[str, Any]) -> None:
    records = read(attributes).records
    assert [(each.event_id, each.input, each.embedding) for each in records] == [
        ("t-s0:0", "a", [0.5, 1.0]), ("t-s0:1", "b", [0.25, 2.0]),
    ]  # fmt: skip
    without = {
        name: value for name, value in attributes.items() if "vector" not in name and name != "ai.embeddings"
    }
    assert [each.input for each in read(without).records] == ["a", "b"]


GENAI = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "user.id": "a1"}
ANSWER = {"role": "assistant", "content": "Como"}
PLATFORMS: dict[str, dict[str, Any]] = {
    "langfuse": {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "m", "langfuse.user.id": "a1",
                 "langfuse.observation.input": json.dumps(MESSAGES), "langfuse.observation.output": json.dumps(ANSWER)},
    "mlflow": {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": json.dumps({"model": "m", "messages": MESSAGES}), "user.id": "a1",
               "mlflow.spanOutputs": json.dumps({"choices": [{"message": ANSWER}]})},
    "google's agents": {"gen_ai.system": "gcp.vertex.agent", "user.id": "a1", "gcp.vertex.agent.llm_request": json.dumps({"model": "m", "config": {
        "system_instruction": "be terse"}, "contents": [{"role": "user", "parts": [{"text": "name a lake"}]}]}),
        "gcp.vertex.agent.llm_response": json.dumps({"content": {"role": "model", "parts": [{"text": "Como"}]}})},
    "litellm": {"gen_ai.operation.name": "acompletion", "gen_ai.request.model": "m", "metadata.user_api_key_user_id": "a1",
                "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "be terse", "gen_ai.prompt.1.role": "user",
                "gen_ai.prompt.1.content": "name a lake", "gen_ai.completion.0.content": "Como"},
    "pydantic ai": {**GENAI, "events": json.dumps([{"event.name": f"gen_ai.{each['role']}.message", **each} for each in MESSAGES]
                                                  + [{"event.name": "gen_ai.choice", "index": 0, "message": ANSWER}])},
}  # fmt: skip


@pytest.mark.parametrize("attributes", PLATFORMS.values(), ids=PLATFORMS.keys())
def test_one_chat_as_platforms_trace_it(attributes: dict[str, Any]) -> None:
    [record] = read(attributes).records
    assert (record.account_id, record.model_id) == ("a1", "m")
    assert (record.input, record.output_text, record.turn) == ("name a lake", "Como", 1)
    assert record.system_hash == hash_of("be terse")


def test_an_image_alone_counts_and_is_noted() -> None:
    parts = [{"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"}]
    decoded = read({**GENAI, "gen_ai.input.messages": json.dumps([{"role": "user", "parts": parts}])})
    assert [each.input for each in decoded.records] == [None]
    assert decoded.notes["unread"] == 1


def test_prompts_of_older_completions_and_embeddings() -> None:
    base = {"gen_ai.request.model": "m", "traceloop.association.properties.user_id": "a1"}
    asked = read({**base, "llm.request.type": "completion", "gen_ai.prompt.0.user": "name a lake"}).records
    assert [each.input for each in asked] == ["name a lake"]
    texts = {f"gen_ai.prompt.{n}.content": text for n, text in enumerate("ab")}
    assert [each.input for each in read({**base, "llm.request.type": "embedding", **texts}).records] == [
        "a",
        "b",
    ]


RERANKS: dict[str, dict[str, Any]] = {
    "openinference": {
        "openinference.span.kind": "RERANKER", "reranker.model_name": "r", "user.id": "a1", "reranker.query": "a lake", "reranker.top_k": 1,
        "reranker.input_documents.0.document.content": "Como", "reranker.input_documents.1.document.content": "Po",
        "reranker.output_documents.0.document.content": "Como", "reranker.output_documents.0.document.score": 0.9,
    },
    "semantic conventions": {"gen_ai.operation.name": "rerank", "gen_ai.request.model": "r", "user.id": "a1", "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "a lake\nComo\nPo"}]}])},
}  # fmt: skip


@pytest.mark.parametrize("attributes", RERANKS.values(), ids=RERANKS.keys())
def test_ranking_documents_asks_a_model(attributes: dict[str, Any]) -> None:
    decoded = read(attributes)
    assert [(each.model_id, each.input) for each in decoded.records] == [("r", "a lake\nComo\nPo")]
    assert not decoded.notes["skipped"]


ASKED = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "name a lake"}]}])
TOLD = json.dumps(
    [{"role": "assistant", "parts": [{"type": "text", "content": "Como"}], "finish_reason": "stop"}]
)
EVENTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "all of a call": [("gen_ai.client.inference.operation.details", {"gen_ai.input.messages": ASKED, "gen_ai.output.messages": TOLD,
                       "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "be terse"}])})],
    "prompt and completion": [("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps(MESSAGES)}),
                              ("gen_ai.content.completion", {"gen_ai.completion": json.dumps([{"role": "assistant", "content": "Como"}])})],
    "a message each": [("gen_ai.system.message", {"content": "be terse"}), ("gen_ai.user.message", {"content": "name a lake"}),
                       ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": json.dumps({"content": "Como"})})],
    "a message each, of parts": [("gen_ai.system.message", {"content": json.dumps([{"text": "be terse"}])}), ("gen_ai.user.message", {
        "content": json.dumps([{"text": "name a lake"}])}), ("gen_ai.choice", {"finish_reason": "end_turn", "message": json.dumps([{"text": "Como"}])})],
    "a message each, as one attribute": [
        ("gen_ai.system.message", {"gen_ai.event.content": json.dumps({"role": "system", "content": "be terse"})}),
        ("gen_ai.user.message", {"gen_ai.event.content": json.dumps({"role": "user", "content": "name a lake"})}),
        ("gen_ai.choice", {"gen_ai.event.content": json.dumps({"message": {"content": "Como"}, "finish_reason": "stop"})})],
}  # fmt: skip


@pytest.mark.parametrize("is_snake", [False, True])
@pytest.mark.parametrize("events", EVENTS.values(), ids=EVENTS.keys())
def test_content_in_events_of_the_span(events: list[tuple[str, dict[str, Any]]], is_snake: bool) -> None:
    document = export({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "user.id": "a1"})
    [span] = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    span["events"] = [
        {"name": name, "timeUnixNano": "1784000000000000000",
         "attributes": [{"key": key, "value": value_of(value)} for key, value in attributes.items()]}
        for name, attributes in events
    ]  # fmt: skip
    if is_snake:
        document = {"resource_spans": [{"scope_spans": [{"spans": [span]}]}]}
    [record] = decode("otel", batch_of([document])).records
    assert (record.input, record.output_text, record.turn) == ("name a lake", "Como", 1)
    assert record.system_hash == hash_of("be terse")


def test_spans_and_log_records_as_the_sdk_writes_them_to_the_console() -> None:
    context = {
        "trace_id": "0x00000000000000000000000000000001",
        "span_id": "0x0000000000000001",
        "trace_state": "[]",
    }
    span = {"name": "chat m", "context": context, "kind": "SpanKind.CLIENT", "parent_id": None, "start_time": "2026-09-21T14:13:20.000000Z",
            "end_time": "2026-09-21T14:13:20.500000Z", "status": {"status_code": "ERROR", "description": "x"}, "links": [],
            "attributes": {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 3},
            "events": [{"name": "gen_ai.user.message", "timestamp": "2026-09-21T14:13:20.0Z", "attributes": {"content": "name a lake"}}],
            "resource": {"attributes": {"service.name": "s", "user.id": "a1"}, "schema_url": ""}}  # fmt: skip
    log = {"body": {"message": {"content": "Como"}, "finish_reason": "stop"}, "severity_number": None, "severity_text": None, "dropped_attributes": 0,
           "attributes": {"event.name": "gen_ai.choice"}, "timestamp": "2026-09-21T14:13:20.4Z", "trace_flags": 1,
           "trace_id": context["trace_id"], "span_id": context["span_id"], "resource": {"attributes": {"service.name": "s"}}}  # fmt: skip
    batch = batch_of([log, span])
    assert recognise_all(batch) == {"otel": 2}
    decoded = decode("otel", batch)
    [record] = decoded.records
    assert (record.event_id, record.event_time) == ("0" * 31 + "1-" + "0" * 15 + "1", 1_790_000_000_000)
    assert (record.input, record.output_text, record.account_id) == ("name a lake", "Como", "a1")
    assert (record.status, record.latency_ms, record.input_tokens) == (500, 500.0, 3)


def test_an_account_of_ones_own_by_pointer() -> None:
    attributes = {**CHATS["ai sdk"], "ai.telemetry.metadata.customer": "c-9"}
    assert [
        each.account_id
        for each in read(attributes, account_pointer="/ai.telemetry.metadata.customer").records
    ] == ["c-9"]
