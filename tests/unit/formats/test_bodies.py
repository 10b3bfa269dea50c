"""Bodies of model servers and families of models, as SageMaker and Bedrock log them."""

# ruff: noqa: E501 - tables of samples
import base64
import json
from typing import Any

import pytest
from tests.unit.formats.support import batch_of, decode, fields_of

from copycatch.formats.catalog import recognise
from copycatch.formats.shared.format import FormatOptions

HI = [{"role": "user", "content": [{"text": "hi"}]}]
PICTURE = "QUJD" * 100
ANSWERED = [{"input": "hi", "output_text": "yo"}]
EMBEDDED = [{"input": "a", "embedding": [0.5, 0.25]}, {"input": "b", "embedding": [1.0, 0.0]}]
VECTORS = [[0.5, 0.25], [1.0, 0.0]]
BEDROCK: dict[str, tuple[Any, Any, list[dict[str, Any]]]] = {
    "cohere command": ({"prompt": "hi"}, {"generations": [{"text": "yo"}], "prompt": "hi"}, ANSWERED),
    "cohere chat": (
        {"message": "hi", "chat_history": [{"role": "USER", "message": "a"}], "preamble": "s"},
        {"text": "yo", "finish_reason": "COMPLETE", "generation_id": "g"},
        [{**ANSWERED[0], "finish_reason": "complete"}],
    ),
    "cohere chat, streamed": (
        {"message": "hi"},
        [{"event_type": "text-generation", "text": "y"}, {"event_type": "text-generation", "text": "o"},
         {"event_type": "stream-end", "finish_reason": "COMPLETE", "response": {"text": "yo"}}],
        ANSWERED,
    ),
    "cohere embeddings": ({"texts": ["a", "b"]}, {"embeddings": VECTORS}, EMBEDDED),
    "cohere embeddings by type": ({"texts": ["a", "b"]}, {"embeddings": {"float": VECTORS}}, EMBEDDED),
    "cohere embeddings of parts": (
        {"inputs": [{"content": [{"type": "text", "text": text}]} for text in "ab"]},
        {"embeddings": {"float": VECTORS}},
        EMBEDDED,
    ),
    "nova": (
        {"messages": HI, "inferenceConfig": {"maxTokens": 5}},
        {"output": {"message": {"content": [{"text": "yo"}]}}, "usage": {"inputTokens": 1}},
        [{**ANSWERED[0], "input_tokens": 1, "params": {"max_tokens": 5}}],
    ),
    "nova, streamed": (
        {"messages": HI},
        [{"messageStart": {"role": "assistant"}}, {"contentBlockDelta": {"delta": {"text": "y"}}},
         {"contentBlockDelta": {"delta": {"text": "o"}}}, {"messageStop": {"stopReason": "end_turn"}},
         {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2}}}],
        [{**ANSWERED[0], "output_tokens": 2, "finish_reason": "end_turn"}],
    ),
    "nova canvas": (
        {"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "hi"}},
        {"images": [PICTURE]},
        [{"input": "hi"}],
    ),
    "stability, older": (
        {"text_prompts": [{"text": "hi", "weight": 1}, {"text": "blurry", "weight": -1}], "steps": 30},
        {"artifacts": [{"base64": PICTURE}]},
        [{"input": "hi"}],
    ),
    "stability": ({"prompt": "hi", "mode": "text-to-image"}, {"images": [PICTURE]}, [{"input": "hi"}]),
    "titan": (
        {"inputText": "hi", "textGenerationConfig": {"maxTokenCount": 5}},
        {"inputTextTokenCount": 1, "results": [{"outputText": "yo", "completionReason": "FINISH"}]},
        [{**ANSWERED[0], "input_tokens": 1, "params": {"max_tokens": 5}}],
    ),
    "titan embeddings": (
        {"inputText": "a"}, {"embeddingsByType": {"float": VECTORS[0]}}, EMBEDDED[:1],
    ),
    "llama": ({"prompt": "hi"}, {"generation": "yo", "generation_token_count": 2},
              [{**ANSWERED[0], "output_tokens": 2}]),
    "llama, streamed": ({"prompt": "hi"}, [{"generation": "y"}, {"generation": "o"}], ANSWERED),
    "mistral": ({"prompt": "hi"}, {"outputs": [{"text": "yo", "stop_reason": "stop"}]}, ANSWERED),
    "mistral, streamed": ({"prompt": "hi"}, [{"outputs": [{"text": text}]} for text in "yo"], ANSWERED),
    "claude": (
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5},
        {"type": "message", "content": [{"type": "text", "text": "yo"}], "usage": {"output_tokens": 2}},
        [{**ANSWERED[0], "output_tokens": 2}],
    ),
    "claude, streamed": (
        {"messages": [{"role": "user", "content": "hi"}]},
        [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}} for text in "yo"],
        ANSWERED,
    ),
    "claude, older": ({"prompt": "hi"}, {"completion": "yo"}, ANSWERED),
}  # fmt: skip


def shown(records: list[Any], expected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The expected fields of the records."""
    found = [fields_of(record) for record in records]
    return [{key: each.get(key) for key in want} for each, want in zip(found, expected, strict=True)]


@pytest.mark.parametrize("name", BEDROCK)
def test_bedrock(name: str) -> None:
    asked, answered, expected = BEDROCK[name]
    document = {
        "modelId": "m",
        "requestId": "e",
        "operation": "InvokeModel",
        "schemaType": "ModelInvocationLog",
        "timestamp": "2026-03-01T10:00:00Z",
        "identity": {"arn": "a1"},
        "input": {"inputBodyJson": asked},
        "output": {"outputBodyJson": answered},
    }
    decoded = decode("bedrock", batch_of([document]))
    assert decoded.rejects == []
    assert shown(decoded.records, expected) == expected
    assert not decoded.notes["unread"]


ROWS = [{"input": [1.0, 2.0]}, {"input": [3.0, 4.0]}]
SCORED = [{**ROWS[0], "probabilities": [0.25]}, {**ROWS[1], "probabilities": [0.75]}]
SPREAD = [{**ROWS[0], "probabilities": [0.25, 0.75]}, {**ROWS[1], "probabilities": [1.0, 0.0]}]
LABELLED = [{**ROWS[0], "predicted_label": 0}, {**ROWS[1], "predicted_label": 1}]
LINES = '{"features": [1, 2]}\n{"features": [3, 4]}\n'
BEST = [{"label": "Y", "score": 0.75}, {"label": "N", "score": 0.5}]
BEST_ROWS = [
    {"input": text, "predicted_label": each["label"], "top_scores": [each["score"]]}
    for text, each in zip("ab", BEST, strict=True)
]
TOKENS = [
    json.dumps({"index": 1, "token": {"id": 1, "text": "Co", "special": False}, "generated_text": None}),
    json.dumps({"index": 2, "token": {"id": 2, "text": "mo", "special": False}, "generated_text": "Como"}),
]
TGI_EVENTS = "".join(f"data:{each}\n\n" for each in TOKENS)
CHAT_EVENTS = "".join(
    f"data: {each}\n\n"
    for each in (
        *(json.dumps({"choices": [{"delta": {"content": text}}]}) for text in ("Co", "mo")),
        "[DONE]",
    )
)
TGI_LINES = "\n".join(TOKENS) + "\n"
TGI_WHOLE = '[{"generated_text": "Como"}]'
GENERATED: list[dict[str, Any]] = [{"input": "a", "output_text": "Como"}]
SAGEMAKER: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    "csv to csv": ("1,2\n3,4", "0.25\n0.75", SCORED),
    "csv to one line": ("1,2\n3,4", "0.25,0.75", SCORED),
    "csv to lists": ("1,2\n3,4", "[0.25, 0.75]\n[1.0, 0.0]", SPREAD),
    "csv to json": ("1,2\n3,4", '{"predictions": [[0.25, 0.75], [1.0, 0.0]]}', SPREAD),
    "csv to json of labels": (
        "1,2\n3,4", '{"predictions": [{"score": 0.25, "predicted_label": 0}, {"predicted_label": 1}]}',
        LABELLED,
    ),
    "csv to json lines": ("1,2\n3,4", '{"predicted_label": 0}\n{"predicted_label": 1}\n', LABELLED),
    "json lines to json lines": (LINES, "[0.25, 0.75]\n[1.0, 0.0]\n", SPREAD),
    "json lines to csv": (LINES, "0.25\n0.75\n", SCORED),
    "all scores": (
        '{"inputs": ["a", "b"]}',
        json.dumps([[{"label": "N", "score": 0.25}, {"label": "Y", "score": 0.75}],
                    [{"label": "N", "score": 1.0}, {"label": "Y", "score": 0.0}]]),
        [{"input": "a", "predicted_label": "Y", "top_scores": [0.75, 0.25]},
         {"input": "b", "predicted_label": "N", "top_scores": [1.0, 0.0]}],
    ),
    "best labels": ('{"inputs": ["a", "b"]}', json.dumps(BEST), BEST_ROWS),
    "best labels, nested": ('{"inputs": ["a", "b"]}', json.dumps([[each] for each in BEST]), BEST_ROWS),
    "best labels in one list": ('{"inputs": ["a", "b"]}', json.dumps([BEST]), BEST_ROWS),
    "all scores of one": (
        '{"inputs": "a"}', json.dumps([{"label": "N", "score": 0.25}, {"label": "Y", "score": 0.75}]),
        [{"input": "a", "predicted_label": "Y", "top_scores": [0.75, 0.25]}],
    ),
    "a header of texts": ("review\na\nb", "0\n1", [
        {"input": "a", "predicted_label": 0}, {"input": "b", "predicted_label": 1}]),
    "a header": ("age,sex\n1,2\n3,4", "0.25\n0.75", SCORED),
    "events": ('{"inputs": "a", "parameters": {"max_new_tokens": 5}}', TGI_EVENTS, GENERATED),
    "lines of tokens": ('{"inputs": "a", "parameters": {"max_new_tokens": 5}}', TGI_LINES, GENERATED),
    "an answer": ('{"inputs": "a", "parameters": {"max_new_tokens": 5}}', TGI_WHOLE, GENERATED),
    "events of a chat": (
        '{"messages": [{"role": "user", "content": "a"}], "stream": true}',
        CHAT_EVENTS,
        [{"input": "a", "output_text": "Como"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("is_encoded", [False, True])
@pytest.mark.parametrize("name", SAGEMAKER)
def test_sagemaker(name: str, is_encoded: bool) -> None:
    asked, answered, expected = SAGEMAKER[name]

    def side(data: str) -> dict[str, str]:
        if is_encoded:
            return {"data": base64.b64encode(data.encode()).decode(), "encoding": "BASE64"}
        is_csv = data[0].isdecimal() or name == "csv to lists" or data.startswith(("age", "review"))
        return {"data": data, "encoding": "CSV" if is_csv else "JSON"}

    metadata = {
        "eventId": "e",
        "inferenceTime": "2026-03-01T10:00:00Z",
        "customAttributes": ["account=a1", "model=m"],
    }
    capture = {"endpointInput": side(asked), "endpointOutput": side(answered)}
    decoded = decode("sagemaker", batch_of([{"captureData": capture, "eventMetadata": metadata}]))
    assert decoded.rejects == []
    assert shown(decoded.records, expected) == expected
    assert not decoded.notes["unread"]
    if expected is GENERATED:
        assert decoded.records[0].params is not None
        assert decoded.records[0].params.max_tokens == 5


@pytest.mark.parametrize(
    "answered", ["0.25", '[{"label": "Y", "score": 0.5}, {"label": "N", "score": 0.5}]', "/w=="]
)
def test_sagemaker_answers_that_fit_no_input_are_missing_and_noted(answered: str) -> None:
    encoding = "BASE64" if answered == "/w==" else "CSV" if answered[0] == "0" else "JSON"
    document = {
        "captureData": {
            "endpointInput": {"data": "1,2\n3,4\n5,6", "encoding": "CSV"},
            "endpointOutput": {"data": answered, "encoding": encoding},
        },
        "eventMetadata": {"eventId": "e", "inferenceTime": 1784000000, "customAttributes": "user=u,model=m"},
    }
    decoded = decode("sagemaker", batch_of([document]))
    assert [(each.input, each.predicted_label, each.output_text) for each in decoded.records] == [
        ([1.0, 2.0], None, None), ([3.0, 4.0], None, None), ([5.0, 6.0], None, None),
    ]  # fmt: skip
    assert decoded.notes["unread"] == (1 if encoding == "BASE64" else 3)


CHOICES = [{"index": 1, "text": "2"}, {"index": 0, "text": "1"}]
ASKED: dict[str, tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]] = {
    "prompts, answered in any order": (
        {"prompt": ["a", "b"]}, {"choices": CHOICES},
        [{"input": "a", "output_text": "1", "prompt_index": 0}, {"input": "b", "output_text": "2"}],
    ),
    "prompts of tokens": (
        {"prompt": [[1, 2], [3]]}, {"choices": CHOICES},
        [{"input": [1.0, 2.0], "output_text": "1"}, {"input": [3.0], "output_text": "2"}],
    ),
    "vectors in any order": (
        {"input": ["a", "b"]},
        {"data": [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]},
        [{"input": "a", "embedding": [1.0]}, {"input": "b", "embedding": [2.0]}],
    ),
    "thoughts of Gemini": (
        {"contents": [{"role": "user", "parts": [{"text": "a"}]}]},
        {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}, {"text": "1"}]}}]},
        [{"input": "a", "output_text": "1"}],
    ),
    "ranking": ({"query": "lake", "documents": ["Como", {"text": "Po"}]}, {"results": []},
                [{"input": "lake\nComo\nPo"}]),
    "text beside an image": (
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image"}]}]},
        {"choices": []}, [{"input": "a"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_was_asked_is_paired_with_its_answer(name: str) -> None:
    request, response, expected = ASKED[name]
    envelope = {"time": "2026-03-01T10:00:00Z", "account_id": "a"}
    document = {**envelope, "request": {"model": "m", **request}, "response": response}
    decoded = decode("openai", batch_of([document]))
    assert (decoded.rejects, decoded.notes["unread"]) == ([], 0)
    assert shown(decoded.records, expected) == expected


PHOTO: dict[str, Any] = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("openai", {"time": "2026-03-01T10:00:00Z", "account_id": "a", "response": {},
                    "request": {"model": "m", "messages": [{"role": "user", "content": [PHOTO]}]}}),
        ("litellm", {"id": "e", "litellm_call_id": "c", "call_type": "acompletion", "startTime": 1772359200.0,
                     "model": "m", "messages": [{"role": "user", "content": [PHOTO]}], "end_user": "a"}),
        ("databricks", {"databricks_request_id": "e", "request_time": "2026-03-01T10:00:00Z", "requester": "a",
                        "request": {"inputs": [{"image": {"b64": "AAAA"}}]}, "response": {"predictions": [1]}}),
        ("databricks", {"databricks_request_id": "e", "request_time": "2026-03-01T10:00:00Z", "requester": "a",
                        "request": {"inputs": [PHOTO["image_url"]["url"]]}, "response": {"predictions": [1]}}),
        ("sagemaker", {"captureData": {"endpointInput": {"data": "/9j/4A==", "encoding": "BASE64"},
                                       "endpointOutput": {"data": "[0.25, 0.75]", "encoding": "JSON"}},
                       "eventMetadata": {"eventId": "e", "inferenceTime": 1784000000, "customAttributes": "user=a"}}),
    ],
)  # fmt: skip
def test_a_photo_alone_counts_and_is_noted(name: str, document: dict[str, Any]) -> None:
    decoded = decode(name, batch_of([document]), FormatOptions(model_id="m"))
    assert [(each.account_id, each.input) for each in decoded.records] == [("a", None)]
    assert decoded.notes["unread"] == 1
    if name == "sagemaker":
        assert decoded.records[0].probabilities == [0.25, 0.75]


SPEND = {
    "request_id": "s0", "call_type": "acompletion", "api_key": "h" * 64, "spend": 0.1, "prompt_tokens": 3,
    "startTime": "2026-07-01T10:00:00.847371Z", "endTime": "2026-07-01T10:00:01.85Z", "model": "m",
    "metadata": "{}", "response": "{}", "status": "success",
}  # fmt: skip


@pytest.mark.parametrize("messages", [{}, "{}", [], None, ""])
@pytest.mark.parametrize("is_text", [True, False])
@pytest.mark.parametrize("is_whole", [True, False])
def test_questions_of_spend_logs_in_the_request_of_the_proxy(
    messages: Any, is_text: bool, is_whole: bool
) -> None:
    body = {"model": "m", "temperature": 0.5, "messages": [
        {"role": "system", "content": "s"}, {"role": "user", "content": "name a lake"}]}  # fmt: skip
    request: Any = {"url": "http://x/chat/completions", "method": "POST", "body": body} if is_whole else body
    request = json.dumps(request) if is_text else request
    [record] = decode(
        "litellm", batch_of([{**SPEND, "messages": messages, "proxy_server_request": request}])
    ).records
    assert (record.input, record.turn, record.account_id) == ("name a lake", 1, "h" * 64)
    assert record.system_hash is not None
    assert record.params is not None
    assert record.params.temperature == 0.5


def test_texts_that_are_embedded_or_ranked_in_the_request_of_the_proxy() -> None:
    embedded = {**SPEND, "call_type": "aembedding", "messages": "{}",
                "proxy_server_request": {"input": ["a", "b"]},
                "response": {"data": [{"embedding": [1.0]}, {"embedding": [2.0]}]}}  # fmt: skip
    ranked = {**SPEND, "call_type": "arerank", "messages": {},
              "proxy_server_request": {"query": "lake", "documents": ["Como", {"text": "Po"}]}}  # fmt: skip
    decoded = decode("litellm", batch_of([embedded, ranked]))
    assert [each.input for each in decoded.records] == ["a", "b", "lake\nComo\nPo"]


def test_bodies_that_are_logged_as_text_are_recognised() -> None:
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    answer = {"model": "m", "choices": [{"message": {"role": "assistant", "content": "yo"}}]}
    envelope = {"time": "2026-03-01T10:00:00Z", "account_id": "a"}
    document = {**envelope, "request": json.dumps(chat), "response": json.dumps(answer)}
    assert recognise(document, {}) == "openai"
    assert recognise({**document, "request": "{no"}, {}) is None
    [record] = decode("openai", batch_of([document])).records
    assert (record.input, record.output_text) == ("hi", "yo")


def test_a_span_without_a_beginning_has_the_time_of_its_end() -> None:
    named = {"gen_ai.request.model": "m", "user.id": "u", "gen_ai.prompt": "hi"}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in named.items()]
    span = {"traceId": "t", "spanId": "s", "startTimeUnixNano": "0", "endTimeUnixNano": "1784000000000000000"}
    spans = [{"scopeSpans": [{"spans": [{**span, "attributes": attributes}]}]}]
    [record] = decode("otel", batch_of([{"resourceSpans": spans}])).records
    assert (record.event_time, record.latency_ms) == (1_784_000_000_000, None)
