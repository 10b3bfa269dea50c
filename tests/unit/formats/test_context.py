"""What stands around a question is read from every chat API alike, in every envelope."""

# ruff: noqa: E501 - tables of samples, one a line

import json
from typing import Any

import pytest
from tests.unit.formats.support import batch_of, decode

from copycatch.formats.shared.context import hash_of
from copycatch.records.wire import InferenceRecord

TIME = "2026-03-01T10:00:00Z"
SYSTEM = hash_of("be terse")
TOOL = {"name": "look", "description": "looks", "parameters": {"type": "object"}}

OPENAI = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "be terse"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning_details": [{"type": "reasoning.encrypted", "data": "X1"}]},
        {"role": "tool", "content": "found"},
        {"role": "user", "content": [{"type": "text", "text": "c"}]},
    ],
    "tools": [{"type": "function", "function": TOOL}],
}  # fmt: skip
ANTHROPIC = {
    "model": "m",
    "system": [{"type": "text", "text": "be terse"}],
    "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "X1"},
                                          {"type": "redacted_thinking", "data": "X2"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": [{"type": "tool_result", "content": "found"}]},
        {"role": "user", "content": "c"},
    ],
    "tools": [TOOL],
}  # fmt: skip
CONVERSE = {
    "system": [{"text": "be terse"}],
    "messages": [
        {"role": "user", "content": [{"text": "a"}]},
        {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "hm", "signature": "X1"}}},
                                          {"text": "b"}]},
        {"role": "user", "content": [{"toolResult": {"content": []}}]},
        {"role": "user", "content": [{"text": "c"}]},
    ],
    "toolConfig": {"tools": [TOOL]},
}  # fmt: skip
GEMINI = {
    "model": "m",
    "systemInstruction": {"parts": [{"text": "be terse"}]},
    "contents": [
        {"role": "user", "parts": [{"text": "a"}]},
        {"role": "model", "parts": [{"text": "b", "thoughtSignature": "X1"}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {}}}]},
        {"role": "user", "parts": [{"text": "c"}]},
    ],
    "tools": [{"functionDeclarations": [TOOL]}],
}  # fmt: skip
RESPONSES = {
    "model": "m",
    "instructions": "be terse",
    "previous_response_id": "resp_0",
    "input": [
        {"role": "user", "content": "a"},
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "X1"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        {"type": "function_call_output", "output": "found"},
        {"role": "user", "content": [{"type": "input_text", "text": "c"}]},
    ],
    "tools": [TOOL],
}  # fmt: skip
X1, X2 = hash_of("X1"), hash_of("X2")


def logged(format_name: str, request: Any, response: Any = None) -> dict[str, Any]:
    """A call as a gateway of that format logs it."""
    if format_name == "openai":
        return {
            "id": "e",
            "time": TIME,
            "account_id": "a1",
            "model": "m",
            "request": request,
            "response": response,
        }
    if format_name == "litellm":
        keys = ("tools", "instructions", "previous_response_id", "system", "systemInstruction", "toolConfig")
        return {
            "id": "e", "litellm_call_id": "c", "call_type": "acompletion", "startTime": 1772359200.0,
            "model_group": "m", "metadata": {"user_api_key_user_id": "a1"}, "response": response,
            "messages": request.get("messages") or request.get("input") or request.get("contents"),
            "model_parameters": {key: request[key] for key in keys if key in request},
        }  # fmt: skip
    if format_name == "bedrock":
        return {
            "requestId": "e", "timestamp": TIME, "modelId": "m", "operation": "InvokeModel", "schemaType": "x",
            "identity": {"arn": "a1"}, "input": {"inputBodyJson": request}, "output": {"outputBodyJson": response},
        }  # fmt: skip
    if format_name == "databricks":
        return {
            "databricks_request_id": "e", "request_time": TIME, "requester": "a1",
            "request": json.dumps({**request, "model": "m"}), "response": json.dumps(response or {}),
        }  # fmt: skip
    assert format_name == "kong"
    payload = {"request": json.dumps(request), "response": json.dumps(response or {})}
    return {
        "request": {"id": "e"}, "started_at": 1772359200000, "latencies": {}, "client_ip": "203.0.113.1",
        "consumer": {"custom_id": "a1", "created_at": 1750000000},
        "ai": {"proxy": {"meta": {"request_model": "m"}, "payload": payload}},
    }  # fmt: skip


def record(format_name: str, *sides: Any) -> InferenceRecord:
    decoded = decode(format_name, batch_of([logged(format_name, *sides)]))
    assert decoded.rejects == []
    [found] = decoded.records
    return found


@pytest.mark.parametrize("format_name", ["openai", "litellm", "bedrock", "databricks", "kong"])
@pytest.mark.parametrize(
    ("request_body", "references"),
    [
        (OPENAI, [X1]),
        (ANTHROPIC, [X1, X2]),
        (CONVERSE, [X1]),
        (GEMINI, [X1]),
        (RESPONSES, ["resp_0", X1, "rs_1"]),
    ],
    ids=["openai", "anthropic", "converse", "gemini", "responses"],
)
def test_what_stands_around_a_question(
    format_name: str, request_body: dict[str, Any], references: list[str]
) -> None:
    found = record(format_name, request_body)
    assert (found.input, found.turn, found.system_hash) == ("c", 2, SYSTEM)
    assert found.tools_hash is not None
    assert found.conversation_id is not None
    assert found.reasoning_refs == references


ANSWERS: dict[str, tuple[Any, str, list[str] | None]] = {
    "openai": ({"choices": [{"finish_reason": "length", "message": {"content": "y"}}]}, "length", None),
    "anthropic": (
        {"id": "msg_1", "type": "message", "stop_reason": "end_turn",
         "content": [{"type": "thinking", "thinking": "", "signature": "X1"}, {"type": "text", "text": "y"}]},
        "end_turn", [X1],
    ),
    "converse": (
        {"output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "", "signature": "X1"}}}, {"text": "y"}]}},
         "stopReason": "end_turn"},
        "end_turn", [X1],
    ),
    "gemini": (
        {"candidates": [{"finishReason": "STOP", "content": {"role": "model", "parts": [
            {"text": "y", "thoughtSignature": "X1"}]}}]},
        "stop", [X1],
    ),
    "responses": (
        {"id": "resp_1", "object": "response", "status": "completed", "output": [
            {"type": "reasoning", "id": "rs_1", "encrypted_content": "X1"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "y"}]}]},
        "completed", ["resp_1", X1, "rs_1"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("format_name", ["openai", "litellm", "bedrock", "databricks", "kong"])
@pytest.mark.parametrize("api", ANSWERS)
def test_what_an_answer_issues(format_name: str, api: str) -> None:
    response, reason, issued = ANSWERS[api]
    found = record(format_name, OPENAI, response)
    assert (found.output_text, found.finish_reason, found.reasoning_issued) == ("y", reason, issued)


def test_who_sends_a_block_back_names_what_another_was_issued() -> None:
    issued = record("openai", OPENAI, ANSWERS["anthropic"][0]).reasoning_issued
    assert issued == record("bedrock", CONVERSE).reasoning_refs == [X1]


def test_a_conversation_is_known_by_its_beginning() -> None:
    longer = {**OPENAI, "messages": [*OPENAI["messages"], {"role": "user", "content": "more"}]}
    other = {**OPENAI, "messages": [{"role": "user", "content": "z"}, *OPENAI["messages"][2:]]}
    first = {"model": "m", "messages": OPENAI["messages"][:2]}
    found = [record("openai", each) for each in (OPENAI, longer, other, first)]
    assert found[0].conversation_id == found[1].conversation_id != found[2].conversation_id
    assert [each.turn for each in found] == [2, 3, 2, 1]
    assert found[3].conversation_id is None, "nothing was answered yet: a greeting is no conversation"


def test_what_a_log_says_of_the_conversation_and_the_account() -> None:
    given = {"conversation_id": "conv-1", "asn": 64500, "plan": "free", "account_created": "2026-01-01"}
    document = {**logged("openai", OPENAI), **given}
    decoded = decode("openai", batch_of([document]))
    [found] = decoded.records
    assert (found.conversation_id, found.asn, found.plan, found.account_created) == (
        "conv-1",
        64500,
        "free",
        None,
    )
    assert decoded.notes["unread"] == 1, "a time without a zone, and none was named"
    assert record("kong", OPENAI).account_created == 1750000000000
    payload = logged("litellm", OPENAI)
    payload["metadata"]["requester_metadata"] = {"session_id": "s-9"}
    assert decode("litellm", batch_of([payload])).records[0].conversation_id == "s-9"


def test_prompts_of_one_request_are_numbered() -> None:
    response = {"choices": [{"text": "1", "index": 0}, {"text": "2", "index": 1}]}
    document = logged("openai", {"model": "m", "prompt": ["a", "b"]}, response)
    assert [each.prompt_index for each in decode("openai", batch_of([document])).records] == [0, 1]
