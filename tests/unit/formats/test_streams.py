"""A streamed answer is the answer that it makes, in every dialect, however a log holds the stream."""

# ruff: noqa: E501 - tables of samples
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.formats.support import batch_of, decode
from tests.unit.formats.test_context import OPENAI, X1, logged

from copycatch.records.wire import InferenceRecord

Stream = tuple[list[dict[str, Any]], str | None, list[str] | None]

CHUNKS: dict[str, Stream] = {
    "chat": (
        [{"model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
         {"choices": [{"index": 0, "delta": {"content": "Co"}}]}, {"choices": [{"index": 0, "delta": {"content": "mo"}}]},
         {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": {"completion_tokens": 2}}],
        "stop", None,
    ),
    "completions": ([{"choices": [{"text": "Co"}]}, {"choices": [{"text": "mo", "finish_reason": "length"}]}], "length", None),
    "responses": (
        [{"type": "response.created", "response": {"id": "resp_1", "object": "response"}},
         {"type": "response.output_item.done", "item": {"type": "reasoning", "id": "rs_1", "encrypted_content": "X1"}},
         {"type": "response.output_text.delta", "delta": "Co"}, {"type": "response.output_text.delta", "delta": "mo"},
         {"type": "response.output_text.done", "text": "Como"}],
        None, ["resp_1", X1, "rs_1"],
    ),
    "responses, whole": (
        [{"type": "response.output_text.delta", "delta": "Co"},
         {"type": "response.completed", "response": {"id": "resp_1", "object": "response", "status": "completed", "output": [
             {"type": "message", "content": [{"type": "output_text", "text": "Como"}]}]}}],
        "completed", ["resp_1"],
    ),
    "anthropic": (
        [{"type": "message_start", "message": {"id": "msg", "model": "m", "content": [], "usage": {"input_tokens": 3}}},
         {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
         {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
         {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "X1"}},
         {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
         {"type": "ping"},
         {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Co"}},
         {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "mo"}},
         {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
         {"type": "message_stop"}],
        "end_turn", [X1],
    ),
    "converse": (
        [{"messageStart": {"role": "assistant"}},
         {"contentBlockDelta": {"delta": {"reasoningContent": {"signature": "X1"}}}},
         {"contentBlockDelta": {"delta": {"text": "Co"}}}, {"contentBlockDelta": {"delta": {"text": "mo"}}},
         {"messageStop": {"stopReason": "end_turn"}}, {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 2}}}],
        "end_turn", [X1],
    ),
    "gemini": (
        [{"candidates": [{"content": {"parts": [{"text": "Co", "thoughtSignature": "X1"}], "role": "model"}}]},
         {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}, {"text": "mo"}]}, "finishReason": "STOP"}],
          "usageMetadata": {"candidatesTokenCount": 2}, "modelVersion": "m"}],
        "stop", [X1],
    ),
    "text-generation-inference": (
        [{"token": {"text": "Co"}, "generated_text": None}, {"token": {"text": "mo"}, "generated_text": None},
         {"token": {"text": "</s>", "special": True}, "generated_text": "Como", "details": {"finish_reason": "eos_token"}}],
        "eos_token", None,
    ),
    "generate_stream of Triton": ([{"model_name": "m", "text_output": "Co"}, {"model_name": "m", "text_output": "mo"}], None, None),
    "generate_stream of tensors": (
        [{"model_name": "m", "outputs": [{"name": "text_output", "shape": [1], "datatype": "BYTES", "data": [part]}]} for part in ("Co", "mo")],
        None, None,
    ),
    "titan": ([{"outputText": "Co"}, {"outputText": "mo", "completionReason": "FINISH"}], "finish", None),
    "llama": ([{"generation": "Co"}, {"generation": "mo", "stop_reason": "stop"}], "stop", None),
    "mistral on bedrock": ([{"outputs": [{"text": "Co"}]}, {"outputs": [{"text": "mo", "stop_reason": "stop"}]}], None, None),
    "cohere": ([{"text": "Co", "is_finished": False}, {"text": "mo", "is_finished": False},
                {"is_finished": True, "finish_reason": "COMPLETE"}], "complete", None),
    "cohere v2": (
        [{"type": "message-start"}, {"type": "content-start", "delta": {"message": {"content": {"text": ""}}}},
         *({"type": "content-delta", "delta": {"message": {"content": {"text": part}}}} for part in ("Co", "mo")),
         {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}],
        "complete", None,
    ),
    "ollama": ([{"model": "m", "message": {"role": "assistant", "content": "Co"}, "done": False},
                {"model": "m", "message": {"role": "assistant", "content": "mo"}, "done": True, "done_reason": "stop"}], "stop", None),
}  # fmt: skip


def as_events(chunks: list[dict[str, Any]], end: str = "\n") -> str:
    lines = [
        f"event: {each.get('type', 'message')}{end}data: {json.dumps(each)}{end}{end}" for each in chunks
    ]
    return "".join([f": comment{end}{end}", *lines, f"data: [DONE]{end}{end}"])


CARRIERS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "events": as_events,
    "events with CRLF": lambda chunks: as_events(chunks, "\r\n"),
    "data only": lambda chunks: "".join(f"data:{json.dumps(each)}\n\n" for each in chunks),
    "events behind a byte order mark": lambda chunks: "\ufeff" + as_events(chunks),
    "events one by one": lambda chunks: [f"data: {json.dumps(each)}" for each in chunks],
    "cut off": lambda chunks: as_events(chunks).rpartition("data: [DONE]")[0] + 'data: {"cut',
    "lines of JSON": lambda chunks: "\n".join(map(json.dumps, chunks)),
    "a list": lambda chunks: chunks,
    "a list as text": json.dumps,
    "chunks of base64": lambda chunks: [
        {"chunk": {"bytes": base64.b64encode(json.dumps(each).encode()).decode()}} for each in chunks
    ],
}


def answered(format_name: str, response: Any) -> InferenceRecord:
    if format_name in ("databricks", "kong") and not isinstance(response, str):
        response = json.dumps(response)
    document = logged(format_name, OPENAI)
    if format_name == "kong":
        document["ai"]["proxy"]["payload"]["response"] = response
    elif format_name == "bedrock":
        document["output"]["outputBodyJson"] = response
    else:
        document["response"] = response
    decoded = decode(format_name, batch_of([document]))
    assert decoded.rejects == []
    [found] = decoded.records
    return found


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("dialect", CHUNKS)
def test_every_dialect_however_it_is_carried(dialect: str, carrier: str) -> None:
    chunks, reason, issued = CHUNKS[dialect]
    found = answered("openai", CARRIERS[carrier](chunks))
    assert (found.output_text, found.reasoning_issued, found.input) == ("Como", issued, "c")
    if reason is not None:
        assert found.finish_reason == reason


@pytest.mark.parametrize("format_name", ["litellm", "bedrock", "databricks", "kong"])
@pytest.mark.parametrize("dialect", CHUNKS)
def test_every_dialect_in_every_format(dialect: str, format_name: str) -> None:
    chunks, _, issued = CHUNKS[dialect]
    for carried in (as_events(chunks), chunks):
        found = answered(format_name, carried)
        assert (found.output_text, found.reasoning_issued) == ("Como", issued)


@pytest.mark.parametrize("dialect", CHUNKS)
@pytest.mark.parametrize("is_binary", [True, False])
def test_streams_of_a_model_server(dialect: str, is_binary: bool) -> None:
    chunks, _, _ = CHUNKS[dialect]
    common = {"specversion": "1.0", "source": "s", "id": "e", "time": "2026-03-01T10:00:00Z", "inferenceservicename": "m",
              "metadata": json.dumps({"x-account-id": ["a1"]})}  # fmt: skip
    kinds = [f"org.kubeflow.serving.inference.{kind}" for kind in ("request", "response")]
    bodies: list[Any] = [OPENAI, as_events(chunks)]
    if is_binary:
        headers = [{f"ce_{key}": text for key, text in {**common, "type": kind}.items()} for kind in kinds]
        batch = batch_of([body.encode() if isinstance(body, str) else body for body in bodies], headers)
    else:
        batch = batch_of(
            [{**common, "type": kind, "data": body} for kind, body in zip(kinds, bodies, strict=True)]
        )
    decoded = decode("kserve", batch)
    assert decoded.rejects == []
    [found] = decoded.records
    assert (found.account_id, found.input, found.output_text) == ("a1", "c", "Como")


def test_several_choices_stay_apart() -> None:
    chunks = [
        {"choices": [{"index": index, "delta": {"content": text}}]}
        for index, text in ((0, "a"), (1, "b"), (0, "a"), (1, "b"))
    ]
    assert answered("openai", as_events(chunks)).output_text == "aa\nbb"


def test_lines_of_rows_are_rows() -> None:
    sides = {
        "endpointInput": {"data": '{"features": [1, 2]}\n{"features": [3, 4]}\n', "encoding": "JSON"},
        "endpointOutput": {
            "data": '{"probabilities": [0.9, 0.1]}\n{"probabilities": [0.2, 0.8]}',
            "encoding": "JSON",
        },
    }
    metadata = {
        "eventId": "e",
        "inferenceTime": "2026-03-01T10:00:00Z",
        "customAttributes": ["account=a1", "model=m"],
    }
    records = decode("sagemaker", batch_of([{"captureData": sides, "eventMetadata": metadata}])).records
    assert [(each.event_id, each.input, each.probabilities) for each in records] == [
        ("e:0", [1, 2], [0.9, 0.1]), ("e:1", [3, 4], [0.2, 0.8]),
    ]  # fmt: skip
