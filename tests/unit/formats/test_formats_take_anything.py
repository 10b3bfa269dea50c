"""Any bytes give records and rejects, never an exception; and every message is accounted for."""

# ruff: noqa: E501 - tables of samples, one a line
import json
import os
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.log_shapes import CHAT, TABULAR, Query, responses

from copycatch.formats.catalog import FORMATS, make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.columns import RawBatch
from copycatch.records.wire import InferenceRecord, Rejected
from copycatch.settings.mapping import parse_mapping

QUERY = Query("e-1", "acct-1", "What is 'it'? ", 'An "answer".', 3, [0.5, 1.5], [0.9, 0.1])
SHAPES_BESIDE = {"responses": responses}
MAPPING = """
version: 1
fields:
  event_id: [/id, /event_id]
  event_time: {at: [/ts, /event_time]}
  account_id: {at: /account_id, key: true}
  model_id: {always: m}
  input: {at: [/input, /messages, /instances], as: input}
  output_text: {at: /response, as: last_message}
  probabilities: {at: /probabilities, as: values}
  latency_ms: {at: /latency, as: s_to_ms}
"""
OPTIONS = {
    name: FormatOptions(
        model_id="m",
        account_fallback="key",
        pending_max=4,
        mapping=parse_mapping(MAPPING, "m.yaml") if name == "mapping" else None,
    )
    for name in FORMATS
}

# Keys that the readers look at, so that made-up documents get past the first look.
KEYS = st.sampled_from(
    [
        "event_id",
        "event_time",
        "account_id",
        "model_id",
        "input",
        "embedding",
        "probabilities",
        "params",
        "top_scores",
        "request",
        "response",
        "messages",
        "role",
        "content",
        "text",
        "choices",
        "message",
        "delta",
        "usage",
        "prompt_tokens",
        "data",
        "object",
        "model",
        "id",
        "created",
        "inputs",
        "outputs",
        "name",
        "shape",
        "datatype",
        "contents",
        "instances",
        "predictions",
        "parameters",
        "litellm_call_id",
        "call_type",
        "metadata",
        "startTime",
        "endTime",
        "resourceSpans",
        "resourceLogs",
        "scopeSpans",
        "scopeLogs",
        "spans",
        "logRecords",
        "attributes",
        "key",
        "value",
        "stringValue",
        "intValue",
        "arrayValue",
        "values",
        "traceId",
        "spanId",
        "startTimeUnixNano",
        "captureData",
        "eventMetadata",
        "encoding",
        "endpointInput",
        "endpointOutput",
        "customAttributes",
        "inferenceTime",
        "eventId",
        "modelId",
        "requestId",
        "operation",
        "identity",
        "arn",
        "inputBodyJson",
        "outputBodyJson",
        "output",
        "timestamp",
        "databricks_request_id",
        "request_time",
        "sampling_fraction",
        "dataframe_records",
        "dataframe_split",
        "x-request-id",
        "start_time",
        "gen_ai.request.model",
        "x-forwarded-for",
        "ai",
        "proxy",
        "meta",
        "payload",
        "request_model",
        "consumer",
        "started_at",
        "latencies",
        "specversion",
        "type",
        "source",
        "time",
        "inferenceservicename",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "n",
        "temperature",
        "max_tokens",
        "status",
        "schema_version",
        "b64",
        "dtype",
    ]
)
WORDS = st.sampled_from(
    ["chat.completion", "list", "user", "CSV", "JSON", "BASE64", "2026-01-01T00:00:00Z", "1.0", "FP32", "f4",
     "org.kubeflow.serving.inference.request", "org.kubeflow.serving.inference.response", "chat", "1,2\n3,nan", "{}",
     '{"messages": [{"role": "user", "content": "x"}]}', "[[1,2],[3]]", "\ud800", "\x00", "", "AAAA", "failure"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    WORDS,
    st.text(max_size=8),
    st.sampled_from([0, 1, 1772359200, 1772359200000, 10**30, 1e308]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=10)


def seeds() -> dict[str, Any]:
    """A good message of each format, for mutation."""
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    answer = {
        "id": "r",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"message": {}}],
    }
    kserve = {
        "specversion": "1.0", "id": "e", "source": "s", "type": "org.kubeflow.serving.inference.request",
        "inferenceservicename": "m", "time": "2026-01-01T00:00:00Z", "metadata": "{}",
        "data": {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]},
    }  # fmt: skip
    span = {
        "traceId": "t",
        "spanId": "s",
        "attributes": [{"key": "gen_ai.request.model", "value": {"stringValue": "m"}}],
    }
    side = {"data": "1,2\n", "encoding": "CSV"}
    return {
        "native": {"event_id": "e", "event_time": 1, "account_id": "a", "model_id": "m", "probabilities": [0.5, 0.5]},
        "kserve": kserve,
        "oip": {"id": "e", "model_name": "m", "outputs": [{"name": "y", "shape": [2], "data": [1, 0]}]},
        "openai": {"request": chat, "response": answer, "event_id": "e", "time": 1},
        "litellm": {"litellm_call_id": "e", "messages": chat["messages"], "response": answer, "startTime": 1.5},
        "otel": {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]},
        "sagemaker": {"captureData": {"endpointInput": side, "endpointOutput": side}, "eventMetadata": {"eventId": "e"}},
        "bedrock": {"modelId": "m", "requestId": "e", "operation": "Converse", "schemaType": "ModelInvocationLog",
                    "input": {"inputBodyJson": chat}, "output": {"outputBodyJson": [{"delta": {"text": "x"}}]}},
        "databricks": {"databricks_request_id": "e", "request": '{"instances": [[1]]}', "response": '{"predictions": [1]}'},
        "envoy_ai_gateway": {"x-request-id": "e", "start_time": "2026-01-01T00:00:00Z", "gen_ai.request.model": "m"},
        "kong": {"request": {"id": "e"}, "started_at": 1, "ai": {"proxy": {"meta": {"request_model": "m"}, "usage": {}}}},
        "langfuse": {"id": "e", "trace_id": "t", "type": "GENERATION", "start_time": "2026-01-01 00:00:00.5", "user_id": "a",
                     "provided_model_name": "m", "input": json.dumps(chat["messages"]), "output": "x", "latency": 0.5,
                     "usage_details": {"input": 1, "output": 2}, "model_parameters": '{"temperature": 1}'},
        "helicone": {"request_id": "e", "request_created_at": "2026-01-01T00:00:00Z", "request_user_id": "a",
                     "request_body": chat, "response_body": answer, "response_status": 200},
        "portkey": {"id": "e", "ai_model": "m", "created_at": "2026-01-01T00:00:00Z", "metadata": {"_user": "a"},
                    "request": {"body": chat}, "response": {"body": answer, "status": 200}, "req_units": 1},
        "anthropic": {"request_id": "e", "time": 1, "account_id": "a", "request": {**chat, "max_tokens": 1},
                      "response": {"type": "message", "content": [{"type": "text", "text": "x"}], "usage": {}}},
        "azure_apim": {"CorrelationId": "e", "Type": "ApiManagementGatewayLlmLog", "SequenceNumber": 1,
                       "RequestMessages": json.dumps(chat["messages"]), "TimeGenerated": "2026-01-01T00:00:00Z"},
        "vllm": {"message": "Received request e: prompt: 'hi', params: SamplingParams(n=1, logprobs=2), "
                            "prompt_token_ids: [1, 2].", "timestamp": "2026-01-01 00:00:00,123", "account_id": "a"},
        "triton": {"id": 1, "activity": "TENSOR_QUEUE_INPUT",
                   "tensor": {"name": "x", "data": "1,2", "shape": "1,2", "dtype": "FP32"}},
        "otlp_proto": {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]},
        "mapping": {"id": "e", "ts": 1, "account_id": "a", "input": [1, 2], "latency": 0.5},
    }  # fmt: skip


SEEDS = seeds()


@st.composite
def mutants(draw: st.DrawFn, seed: Any) -> Any:
    """The seed with some values anywhere in it replaced, removed or moved."""
    document = json.loads(json.dumps(seed))
    for _ in range(draw(st.integers(1, 3))):
        node = document
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = node[key]
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                node = inner
                continue
            if isinstance(node, dict) and draw(st.booleans()):
                del node[key]
            else:
                node[key] = deepcopy(draw(VALUES))  # its own: it may be changed next
            break
    return document


def check(name: str, values: list[bytes], headers: list[list[tuple[str, bytes]]] | None = None) -> None:
    decoder = make_decoder(name, OPTIONS[name])
    batch = RawBatch(
        "logs", 0, list(range(len(values))), values,
        timestamps_ms=[1772359200000] * len(values), headers=headers or [], keys=[b"k"] * len(values),
    )  # fmt: skip
    found = [decoder.decode(batch)]
    state = decoder.snapshot()
    if state:  # what waits is given up by another process
        restored = make_decoder(name, OPTIONS[name])
        restored.restore(state)
        restored.flush(0)
        found.append(restored.flush(10**9))
    n_found = n_split = 0
    for decoded in found:
        assert len(decoded.positions) == len(decoded.records)
        assert set(decoded.positions) <= set(batch.positions)
        for record in decoded.records:
            # Whatever comes out is a valid record by the contract, also once it is written and read again.
            msgspec.convert(msgspec.to_builtins(record), InferenceRecord)
        for reject in decoded.rejects:
            msgspec.json.decode(msgspec.json.encode(reject), type=Rejected)
            assert len(reject.excerpt) <= 256
            assert len(reject.message) <= 1024
            assert reject.excerpt.isprintable()
        notes = decoded.notes
        n_found += len(decoded.records) + len(decoded.rejects) + notes["skipped"] + notes["joined"]
        n_found += notes["unknown"]
        n_split += notes["split"]
    assert n_found == len(values) + n_split


@st.composite
def damaged(draw: st.DrawFn, name: str) -> list[bytes]:
    """Messages of a whole query in its real shape, cut, doubled, out of order, or with bytes changed."""
    shape = {**CHAT, **TABULAR, **SHAPES_BESIDE}[name]
    values = [each.value for each in shape(QUERY)]
    values = draw(st.permutations(values + draw(st.lists(st.sampled_from(values), max_size=2))))
    found = []
    for value in values:
        at, length = draw(st.integers(0, len(value))), draw(st.integers(0, 8))
        change = draw(st.sampled_from(["none", "none", "cut", "insert", "replace"]))
        new = draw(st.binary(max_size=8))
        found.append(
            value if change == "none" else value[:at] if change == "cut"
            else value[:at] + new + value[at + (length if change == "replace" else 0) :]
        )  # fmt: skip
    return found


def as_bytes(document: Any) -> bytes:
    return json.dumps(document).encode()


# A longer run by hand: COPYCATCH_TEST_FUZZ_EXAMPLES=2000; the figure here keeps the suite short.
EXAMPLES = int(os.environ.get("COPYCATCH_TEST_FUZZ_EXAMPLES", "25"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", sorted(FORMATS))
@given(values=st.lists(st.binary(max_size=200) | DOCUMENTS.map(as_bytes) | VALUES.map(as_bytes), max_size=4))
@FUZZ
def test_any_bytes(name: str, values: list[bytes]) -> None:
    check(name, values)


@pytest.mark.parametrize("name", sorted(FORMATS))
@given(data=st.data())
@FUZZ
def test_good_messages_gone_wrong(name: str, data: st.DataObject) -> None:
    documents = data.draw(st.lists(mutants(SEEDS[name]), min_size=1, max_size=3))
    check(name, [as_bytes(document) for document in documents])


@pytest.mark.parametrize("name", sorted({**CHAT, **TABULAR, **SHAPES_BESIDE}))
@given(data=st.data())
@FUZZ
def test_whole_queries_damaged(name: str, data: st.DataObject) -> None:
    check({"responses": "openai"}.get(name, name), data.draw(damaged(name)))


@given(
    names=st.lists(st.sampled_from(["ce_id", "ce_type", "ce_source", "ce_specversion", "ce_metadata", "X"])),
    texts=st.lists(
        st.binary(max_size=20) | st.sampled_from([b"1.0", b"org.kubeflow.serving.inference.request"])
    ),
    body=DOCUMENTS,
)
@FUZZ
def test_any_headers(names: list[str], texts: list[bytes], body: Any) -> None:
    check("kserve", [as_bytes(body)], [list(zip(names, texts, strict=False))])


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_monsters(name: str) -> None:
    """Depth, digits and width that exhaust careless readers."""
    deep = b"[" * 100_000, b'{"a":' * 100_000, b"[" * 900 + b"]" * 900
    seed = as_bytes(SEEDS[name])[:-1]
    nested = b'{"request":' * 600 + b"1" + b"}" * 600
    more = [
        *deep,
        nested,
        seed + b',"x":' + b"9" * 4000 + b"}",
        seed + b',"input":' + b"[" * 500 + b"1" + b"]" * 500 + b"}",
        seed + b',"data":[' + b"1," * 100_000 + b"1]}",
        seed + b',"messages":[' + b'{"role":"user"},' * 20_000 + b"{}]}",
        seed + b',"n":1e400}',
        seed + b',"n":NaN}',
        b"\xff\xfe" + seed,
        b"x" * 2_000_000,
        b"",
        b"null",
    ]
    check(name, more)
