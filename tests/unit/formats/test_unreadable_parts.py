"""Whatever part of a message cannot be read is missing; the query counts, and the part is counted."""

# ruff: noqa: E501 - tables of samples, one a line
import base64
import json
import struct
from functools import partial
from typing import Any

import pytest
from tests.support.traffic import HMAC_KEY, NOW_MS, columns
from tests.unit.formats.support import batch_of, decode, fields_of
from tests.unit.formats.test_shared_cases import case

from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.intake.read import Intake

TIME = "2026-03-01T10:00:00Z"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "user": "@"}
SPACED = {"object": "chat.completion", "choices": [{"message": {"content": "yo"}}]}
ENVELOPE = {"request_id": "e", "timestamp": TIME, "account_id": "a1", "request": ASKED, "response": SPACED}
LITELLM = {
    "id": "e", "litellm_call_id": "c", "call_type": "acompletion", "startTime": 1772359200.0, "model_group": "m",
    "messages": ASKED["messages"], "response": SPACED, "metadata": {"user_api_key_user_id": "a1"}, "x": "@",
}  # fmt: skip
TABLE = {"databricks_request_id": "e", "request_time": TIME, "requester": "a1", "request": ASKED}
CLOUD_EVENT = {
    "specversion": "1.0", "source": "s", "id": "e", "time": TIME, "inferenceservicename": "m",
    "type": "org.kubeflow.serving.inference.request", "metadata": {"x-account-id": ["a1"]}, "data": ASKED,
}  # fmt: skip
ANSWERED = {**CLOUD_EVENT, "type": "org.kubeflow.serving.inference.response", "data": SPACED}
TENSOR = {"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1.0, "@"]}
RESULT = {"id": "e", "model_name": "m", "outputs": [{"name": "y", "shape": [1], "data": [1]}]}
CAPTURE = {
    "captureData": {"endpointInput": {"data": "1,2", "encoding": "CSV"}, "x": "@"},
    "eventMetadata": {"eventId": "e", "inferenceTime": TIME, "customAttributes": ["account=a1", "model=m"]},
}
SAMPLES: dict[str, list[Any]] = {
    "native": [{"event_id": "e", "event_time": TIME, "account_id": "a1", "model_id": "m", "input": [1, "@"]}],
    "openai": [ENVELOPE],
    "litellm": [LITELLM],
    "databricks": [TABLE],
    "kserve": [CLOUD_EVENT, ANSWERED],
    "oip": [{"id": "e", "inputs": [TENSOR]}, RESULT],
    "sagemaker": [CAPTURE],
}
HEADERS = {"x-account-id": "a1"}
PARTS = {
    "not a number": b"NaN",
    "infinite": b"-Infinity",
    "too large": b"1e400",
    "many digits": b"9" * 5_000,
    "half a character": b'"half \\ud83d"',
    "no Unicode": b'"caf\xe9"',
    "control character": b'"a\x01b"',
    "a photo": b'"' + b"A" * 3_000_000 + b'"',
    "deep": b"[" * 50_000 + b"]" * 50_000,
    "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
@pytest.mark.parametrize("name", SAMPLES)
def test_the_query_counts(name: str, part: bytes) -> None:
    values = [json.dumps(each).encode().replace(b'"@"', part) for each in SAMPLES[name]]
    intake = Intake(HMAC_KEY, None, {"*": lambda: make_decoder(name, FormatOptions())})
    read = intake.read(batch_of(values, HEADERS, [NOW_MS - 2, NOW_MS - 1]), NOW_MS)
    assert [reject.message for reject in read.rejects] == []
    assert (read.batch.account_ids, read.batch.model_ids) == (["a1"], ["m"])


@pytest.mark.parametrize("part", [b"NaN", b"-Infinity", b"1e400", b'"many"'])
@pytest.mark.parametrize("is_text", [False, True])
def test_numbers_that_are_none_are_missing_and_noted(part: bytes, is_text: bool) -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": "@"}
    response = {
        "choices": [{"message": {"content": "yo"}}],
        "usage": {"prompt_tokens": "@", "completion_tokens": 2},
    }
    bodies = {
        "request": json.dumps(request).encode().replace(b'"@"', part),
        "response": json.dumps(response).encode().replace(b'"@"', part),
    }
    value = json.dumps(
        {"request_id": "e", "timestamp": TIME, "account_id": "a1", "request": "@1", "response": "@2"}
    ).encode()
    for mark, body in zip((b'"@1"', b'"@2"'), bodies.values(), strict=True):
        value = value.replace(mark, json.dumps(body.decode()).encode() if is_text else body)
    decoded = decode("openai", batch_of([value]))
    [record] = decoded.records
    assert (record.input, record.output_text, record.input_tokens, record.output_tokens) == (
        "hi",
        "yo",
        None,
        2,
    )
    assert record.params is None or record.params.temperature is None
    assert decoded.notes["unread"] == 2


@pytest.mark.parametrize(
    ("request_", "response", "inputs", "n_unread"),
    [
        ({"messages": [{"role": "user", "content": 42}]}, SPACED, [None], 1),
        ({"messages": {"role": "user", "content": "hi"}}, SPACED, ["hi"], 0),
        ({"messages": [{"role": "user", "content": "redacted-by-litellm"}]}, SPACED, [None], 0),
        ({"prompt": "hi", "logit_bias": "some"}, SPACED, ["hi"], 1),
        ({"input": ["a", "b", "c"]}, {"data": [{"embedding": [1.0]}]}, ["a", "b", "c"], 3),
        (
            {"input": ["a", "b"]},
            {"data": [{"embedding": [[1.0], [2.0]]}, {"embedding": [1.0]}]},
            ["a", "b"],
            1,
        ),
    ],
)
def test_bodies_of_odd_shapes(request_: Any, response: Any, inputs: list[str | None], n_unread: int) -> None:
    document = {**ENVELOPE, "request": {"model": "m", **request_}, "response": response}
    decoded = decode("openai", batch_of([document]))
    assert [each.input for each in decoded.records] == inputs
    assert decoded.notes["unread"] == n_unread


def test_numbers_as_text_are_read() -> None:
    request = {**ASKED, "temperature": "0.5", "max_tokens": "7"}
    [record] = decode("openai", batch_of([{**ENVELOPE, "request": request}])).records
    assert record.params is not None
    assert (record.params.temperature, record.params.max_tokens) == (0.5, 7)


@pytest.mark.parametrize("name", SAMPLES)
def test_long_ids_count_and_stay_apart(name: str) -> None:
    ids = []
    for end in "ab":
        text = json.dumps(SAMPLES[name]).replace('"e"', json.dumps("x" * 600 + end)).replace('"@"', "0")
        decoded = decode(name, batch_of(json.loads(text), HEADERS, [NOW_MS - 2, NOW_MS - 1]))
        assert decoded.rejects == []
        ids.append(decoded.records[0].event_id)
    assert ids[0] != ids[1]
    assert max(map(len, ids)) < 128


def test_one_id_for_many_questions_is_many_questions() -> None:
    asked = [{**SAMPLES["native"][0], "input": [1, index % 3]} for index in range(6)]
    batch, _ = columns(batch_of(asked))
    assert len(set(batch.input_hashes.tolist())) == 3


STREAM = (
    'data: {"id":"c","choices":[{"delta":{"content":"Co"}}]}\n\n'
    'data: {"choices":[{"delta":{"content":"mo"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
ANTHROPIC = (
    'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":5}}}\n\n'
    'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Co"}}\n\n'
    ': ping\n\nevent: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"mo"}}\n\n'
)
RESPONSES = (
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Co"}\n\n'
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"mo"}\n\n'
    'event: response.output_text.done\ndata: {"type":"response.output_text.done","text":"Como"}\n\n'
)
CHUNK = 'data: {"candidates":[{"content":{"parts":[{"text":"@"}]}}]}\r\n\r\n'
GEMINI = "".join(CHUNK.replace("@", text) for text in ("Co", "mo"))
DELTAS = [{"choices": [{"delta": {"content": "Co"}}]}, {"choices": [{"delta": {"content": "mo"}}]}]


@pytest.mark.parametrize("answer", [STREAM, ANTHROPIC, RESPONSES, GEMINI, DELTAS])
@pytest.mark.parametrize("name", ["openai", "litellm", "databricks", "kserve"])
def test_streamed_answers_are_joined(name: str, answer: Any) -> None:
    if name == "kserve":
        documents = [CLOUD_EVENT, {**ANSWERED, "data": answer}]
    else:
        documents = [{**SAMPLES[name][0], "response": answer}]
    decoded = decode(name, batch_of(documents, HEADERS))
    assert [reject.message for reject in decoded.rejects] == []
    assert (decoded.records[0].input, decoded.records[0].output_text) == ("hi", "Como")


@pytest.mark.parametrize("answer", [STREAM, "upstream request timeout"])
def test_kserve_in_binary_mode_takes_any_answer(answer: str) -> None:
    def headers(kind: str) -> dict[str, str]:
        found = {"ce_specversion": "1.0", "ce_source": "s", "ce_id": "e", "ce_inferenceservicename": "m"}
        return {**found, **HEADERS, "ce_time": TIME, "ce_type": f"org.kubeflow.serving.inference.{kind}"}

    batch = batch_of([ASKED, answer.encode()], [headers("request"), headers("response")])
    decoded = decode("kserve", batch)
    assert decoded.rejects == []
    assert decoded.records[0].output_text == ("Como" if answer == STREAM else answer)


def test_embeddings_in_base64_and_batches() -> None:
    vector = base64.b64encode(struct.pack("<2f", 0.5, 0.25)).decode()
    answer = {"object": "list", "data": [{"embedding": vector, "index": i} for i in range(3)]}
    asked = {"model": "m", "input": ["a", "b", "c"]}
    documents: dict[str, Any] = {
        "openai": {**ENVELOPE, "request": asked, "response": answer},
        "litellm": {**LITELLM, "messages": asked["input"], "response": answer},
        "kong": {
            "request": {"id": "e"}, "started_at": 1772359200000, "latencies": {}, "consumer": {"username": "a1"},
            "ai": {"proxy": {"meta": {"request_model": "m"}, "payload": {
                "request": json.dumps(asked), "response": json.dumps(answer)}}},
        },
        "bedrock": {
            "modelId": "m", "requestId": "e", "operation": "InvokeModel", "schemaType": "ModelInvocationLog",
            "timestamp": TIME, "identity": {"arn": "a1"}, "input": {"inputBodyJson": {"texts": asked["input"]}},
            "output": {"outputBodyJson": {"embeddings": {"float": [[0.5, 0.25]] * 3}}},
        },
    }  # fmt: skip
    for name, document in documents.items():
        intake = Intake(HMAC_KEY, None, {"*": partial(make_decoder, name, FormatOptions())})
        read = intake.read(batch_of([document]), NOW_MS)
        assert read.rejects == [], name
        assert read.batch.texts == ["a", "b", "c"], name
        assert [block.values.tolist() for block in read.batch.embeddings] == [[[0.5, 0.25]] * 3], name


SCORES = [{"label": "NO", "score": 0.02}, {"label": "YES", "score": 0.98}]


@pytest.mark.parametrize("answer", [[SCORES], SCORES, {"predictions": [SCORES]}])
def test_scores_of_all_classes(answer: Any) -> None:
    capture = {
        **CAPTURE,
        "captureData": {
            "endpointInput": {"data": '{"inputs": "hi"}', "encoding": "JSON"},
            "endpointOutput": {"data": json.dumps(answer), "encoding": "JSON"},
        },
    }
    [record] = decode("sagemaker", batch_of([capture])).records
    assert (record.predicted_label, record.top_scores) == ("YES", [0.98, 0.02])


@pytest.mark.parametrize("row", [[True, "2", 3.0], [1, 2, "3"]])
def test_numbers_that_are_logged_otherwise_are_numbers(row: list[Any]) -> None:
    document = {**TABLE, "served_entity_id": "m", "request": {"instances": [row]}}
    [record] = decode("databricks", batch_of([document])).records
    assert record.input == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("asked", "answered", "expected"),
    [
        ("1,2\n3,4", "0.1,0.9", [[0.1], [0.9]]),
        ("1,2\n3,4", "0.1\n0.9", [[0.1], [0.9]]),
        ("1,2", "[0.02, 0.97, 0.01]", [[0.02, 0.97, 0.01]]),
    ],
)
def test_csv_answers(asked: str, answered: str, expected: list[list[float]]) -> None:
    sides = {"endpointInput": asked, "endpointOutput": answered}
    capture = {name: {"data": data, "encoding": "CSV"} for name, data in sides.items()}
    decoded = decode("sagemaker", batch_of([{**CAPTURE, "captureData": capture}]))
    assert [record.probabilities for record in decoded.records] == expected


@pytest.mark.parametrize(
    ("folder", "file", "name", "expected"),
    [
        ("lone-surrogate", "in.jsonl", "native", [{"input": "half an emoji \ufffd"}]),
        ("openai-streamed-answer", "in.jsonl", "openai", [{"output_text": "Como"}, {"status": 504}]),
        ("openai-embeddings-base64", "in.jsonl", "openai", [{"input": "a lake"}, {"input": "a river"}]),
        ("openai-embeddings-base64", "litellm.jsonl", "litellm", [{"input": "a lake"}]),
        ("kserve-streamed-answer", "in.jsonl", "kserve", [{"input": "name a lake", "output_text": "Como"}]),
        ("kserve-data-base64", "in.jsonl", "kserve", [{"input": [1.0, 2.0], "predicted_label": 1}]),
        ("hf-all-scores", "in.jsonl", "sagemaker", [{"predicted_label": "POSITIVE", "top_scores": [0.98, 0.02]}]),
        ("litellm-embedding-batch", "in.jsonl", "litellm", [{"input": f"text {i}"} for i in range(50)]),
        ("sagemaker-xgboost-one-line", "in.jsonl", "sagemaker",
         [{"probabilities": [0.1]}, {"probabilities": [0.9]}, {"probabilities": [0.02, 0.97, 0.01]}]),
    ],
)  # fmt: skip
def test_shared_case(folder: str, file: str, name: str, expected: list[dict[str, Any]]) -> None:
    batch = batch_of(case(folder, file))
    decoded = decode(name, batch, FormatOptions(model_id="m"))
    assert decoded.rejects == []
    found = [fields_of(record) for record in decoded.records]
    assert [{key: each[key] for key in want} for each, want in zip(found, expected, strict=True)] == expected


def test_several_prompts_are_several_queries() -> None:
    prompts = [f"question {index}" for index in range(20)]
    answer = {"object": "text_completion", "choices": [{"text": f"answer {index}"} for index in range(20)]}
    document = {**ENVELOPE, "request": {"model": "m", "prompt": prompts}, "response": answer}
    records = decode("openai", batch_of([document])).records
    assert [(each.input, each.output_text) for each in records] == [
        (f"question {index}", f"answer {index}") for index in range(20)
    ]
    assert len({each.event_id for each in records}) == 20
