"""Records as real gateways write them (../shared/samples, where they are) give the expected fields."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.unit.formats.support import batch_of, decode, fields_of

from copycatch.formats.catalog import recognise
from copycatch.formats.shared.context import hash_of
from copycatch.formats.shared.format import FormatOptions
from copycatch.settings.mapping import load_mapping

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT.parent / "shared" / "samples"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples folder is not next to the project")

SYSTEM = hash_of("You are terse.")
QUESTION, VECTOR = "Solve 17*23 step by step.", [6.8, 2.8, 4.8, 1.4]
CHAT_PARAMS = {
    "logprobs": True, "top_logprobs": 2, "logit_bias": 1, "n": 1, "temperature": 0.0, "max_tokens": 64,
}  # fmt: skip
CHAT = {
    "input": QUESTION,
    "output_text": "391",
    "params": CHAT_PARAMS,
    "input_tokens": 24,
    "output_tokens": 1,
    "model_version": "acme-chat-1-2026-10-01",
    "turn": 1,
    "system_hash": SYSTEM,
    "finish_reason": "stop",
}
ACCOUNT = {"account_id": "acct-7f3a"}
BARE_CHAT = {
    name: value for name, value in CHAT.items() if name not in ("turn", "system_hash", "finish_reason")
}
OTEL = {
    **BARE_CHAT,
    "turn": 1,
    "finish_reason": "stop",
    "conversation_id": "conv-1",
    **ACCOUNT,
    "event_id": "5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174",
    "model_id": "acme-chat-1",
    "client_ip": "203.0.113.7",
    "params": {"n": 2, "temperature": 0.0, "max_tokens": 64},
}
ENVOY = {
    "event_id": "83b63da3-45a9-4196-98b8-1a7f697d6d8d",
    "event_time": 1795308224101,
    "account_id": "203.0.113.7",
    "model_id": "acme-chat-1",
    "user_agent": "curl/8.7.1",
    "client_ip": "203.0.113.7",
    "input_tokens": 15,
    "output_tokens": 7,
    "latency_ms": 1526.0,
    "status": 200,
}
KSERVE_ID = "defb5816-35f7-4947-a2b1-b9e5d7764ad2"
KSERVE_V1 = {
    **ACCOUNT,
    "event_time": 1795310536499,
    "model_id": "sklearn-iris",
    "tenant_id": "default",
    "client_ip": "203.0.113.7",
    "predicted_label": 1,
    "latency_ms": 1.0,
}


class Case(NamedTuple):
    format_name: str
    samples: tuple[str, ...]
    expected: list[dict[str, Any]]
    options: FormatOptions = FormatOptions()
    headers: dict[str, str] | None = None
    mapping: str = ""


CASES: dict[str, Case] = {
    "kserve v1 binary": Case(
        "kserve",
        ("kserve_v1_request_binary", "kserve_v1_response_binary"),
        [
            {**KSERVE_V1, "event_id": f"{KSERVE_ID}:0", "input": VECTOR, "prompt_index": 0},
            {**KSERVE_V1, "event_id": f"{KSERVE_ID}:1", "input": [6.0, 3.4, 4.5, 1.6], "prompt_index": 1},
        ],
    ),
    "kserve v2 structured": Case(
        "kserve",
        ("kserve_v2_request_structured", "kserve_v2_response_structured"),
        [
            {
                **ACCOUNT,
                "event_id": KSERVE_ID,
                "event_time": 1795310536499,
                "model_id": "fraud-clf",
                "tenant_id": "prod",
                "model_version": "v1",
                "input": VECTOR,
                "predicted_label": 1,
                "probabilities": [0.02, 0.91, 0.07],
                "latency_ms": 1.0,
            }
        ],
    ),
    "oip": Case(
        "oip",
        ("oip_v2_request", "oip_v2_response"),
        [
            {
                **ACCOUNT,
                "event_id": "req-1",
                "event_time": 1000,
                "model_id": "fraud-clf",
                "model_version": "1",
                "input": VECTOR,
                "probabilities": [0.02, 0.91, 0.07],
                "latency_ms": 7.0,
            }
        ],
        headers={"X-Account-Id": "acct-7f3a"},
    ),
    "openai request alone": Case(
        "openai",
        ("openai_chat_request",),
        [
            {
                **ACCOUNT,
                "event_id": "logs:2:100",
                "event_time": 1000,
                "model_id": "acme-chat-1",
                "input": QUESTION,
                "params": CHAT_PARAMS,
                "turn": 1,
                "system_hash": SYSTEM,
            }
        ],
        headers={"X-Account-Id": "acct-7f3a"},
    ),
    "openai response alone": Case(
        "openai",
        ("openai_chat_response",),
        [
            {
                **ACCOUNT,
                "event_id": "chatcmpl-9f2a",
                "event_time": 1795303424000,
                "model_id": "acme-chat-1-2026-10-01",
                "model_version": "acme-chat-1-2026-10-01",
                "output_text": "391",
                "params": {"logprobs": True, "top_logprobs": 2},
                "input_tokens": 24,
                "output_tokens": 1,
                "finish_reason": "stop",
            }
        ],
        headers={"X-Account-Id": "acct-7f3a"},
    ),
    "openai embeddings": Case(
        "openai",
        ("openai_embeddings_response",),
        [
            {
                **ACCOUNT,
                "event_id": "logs:2:100",
                "event_time": 1000,
                "model_id": "acme-embed-1",
                "model_version": "acme-embed-1",
                "embedding": [0.0023, -0.0093, 0.0157, 0.0041],
                "input_tokens": 8,
            }
        ],
        headers={"X-Account-Id": "acct-7f3a"},
    ),
    "litellm": Case(
        "litellm",
        ("litellm_standard_logging_payload",),
        [
            {
                **CHAT,
                **ACCOUNT,
                "event_id": "chatcmpl-9f2a",
                "event_time": 1795303424101,
                "conversation_id": "b980db26-9512-45cc-b1da-c511a363b83f",
                "model_id": "acme-chat",
                "tenant_id": "org-1",
                "api_key_id": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
                "user_agent": "OpenAI/Python 2.3.0",
                "client_ip": "203.0.113.7",
                "latency_ms": 812.0,
                "status": 200,
            }
        ],
    ),
    "otel span": Case(
        "otel",
        ("otel_genai_span_otlp",),
        [{**OTEL, "event_time": 1795303424101, "latency_ms": 812.0}],
    ),
    "otel log event": Case("otel", ("otel_genai_log_event_otlp",), [{**OTEL, "event_time": 1795303424913}]),
    "sagemaker": Case(
        "sagemaker",
        ("sagemaker_data_capture",),
        [
            {
                **ACCOUNT,
                "event_id": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
                "event_time": 1795308224000,
                "model_id": "churn",
                "input": [69.0, 0.0, 153.7, 109.0, 194.0, 105.0, 256.1, 114.0, 14.1, 6.0, 1.0, 0.0],
                "probabilities": [0.0254181120544672],
            }
        ],
        options=FormatOptions(model_id="churn"),
    ),
    "bedrock": Case(
        "bedrock",
        ("bedrock_model_invocation_log",),
        [
            {
                **ACCOUNT,
                "event_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
                "event_time": 1795308224000,
                "tenant_id": "123456789012",
                "model_id": "meta.llama3-70b-instruct-v1:0",
                "input": "What is the capital of Sudan?",
                "output_text": "Khartoum.",
                "params": {"temperature": 0.1, "max_tokens": 2048},
                "input_tokens": 15,
                "output_tokens": 12,
                "finish_reason": "stop",
            }
        ],
    ),
    "databricks gateway": Case(
        "databricks",
        ("databricks_ai_gateway_inference_table",),
        [
            {
                **CHAT,
                "event_id": "f3a1b2c4-5d6e-7f80-91a2-b3c4d5e6f708",
                "event_time": 1795308224101,
                "account_id": "5712345678901234",
                "model_id": "acme-chat-1",
                "latency_ms": 812.0,
                "status": 200,
            }
        ],
    ),
    "databricks custom model": Case(
        "databricks",
        ("databricks_custom_model_inference_table",),
        [
            {
                "event_id": "f3a1b2c4-5d6e-7f80-91a2-b3c4d5e6f709",
                "event_time": 1795308224101,
                "account_id": "5712345678901234",
                "model_id": "entity-1",
                "input": VECTOR,
                "predicted_label": 1,
                "probabilities": [0.02, 0.91, 0.07],
                "latency_ms": 12.0,
                "status": 200,
            }
        ],
    ),
    "envoy": Case(
        "envoy_ai_gateway",
        ("envoy_ai_gateway_access_log",),
        [{**ENVOY, "model_version": "acme-chat-1-2026-10-01"}],
        options=FormatOptions(account_fallback="client_ip"),
    ),
    "envoy 0.4": Case(
        "envoy_ai_gateway",
        ("envoy_ai_gateway_access_log_v0_4_legacy_names",),
        [ENVOY],
        options=FormatOptions(account_fallback="client_ip"),
    ),
    "kong": Case(
        "kong",
        ("kong_ai_log",),
        [
            {
                **CHAT,
                **ACCOUNT,
                "event_id": "9ec9264afbbbad5fe5c64877d92eeb04",
                "event_time": 1795303424101,
                "model_id": "acme-chat-1",
                "api_key_id": "key-cred-id",
                "user_agent": "OpenAI/Python 2.3.0",
                "client_ip": "203.0.113.7",
                "latency_ms": 812.0,
                "status": 200,
            }
        ],
    ),
    "azureml": Case(
        "mapping",
        ("azureml_data_collector_inputs", "azureml_data_collector_outputs"),
        [
            {
                **ACCOUNT,
                "event_id": "aaaaaaaa-0b0b-1c1c-2d2d-333333333333",
                "event_time": 1795308224000,
                "model_id": "/subscriptions/bbbb1b1b-cc2c-dd3d-ee4e-ffffff5f5f5f/resourceGroups/rg/providers/"
                "Microsoft.MachineLearningServices/workspaces/ws/onlineEndpoints/fraud/deployments/blue",
                "model_version": "default",
                "input": VECTOR,
                "predicted_label": 1,
                "probabilities": [0.02, 0.91, 0.07],
            }
        ],
        mapping="azureml",
    ),
    "azure openai": Case(
        "mapping",
        ("azure_openai_request_response",),
        [
            {
                "event_id": "9d3a6e98-fc11-48d0-82cf-4de065c1a1f8",
                "event_time": 1795308224101,
                "account_id": "203.0.113.***",
                "model_id": "/SUBSCRIPTIONS/0/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COGNITIVESERVICES/"
                "ACCOUNTS/AOAI-01",
                "latency_ms": 812.0,
                "status": 200,
            }
        ],
        mapping="azure_openai",
    ),
    "cloudflare": Case(
        "mapping",
        ("cloudflare_ai_gateway_log",),
        [
            {
                **ACCOUNT,
                "event_id": "01JADCZ9",
                "event_time": 1795308224000,
                "model_id": "acme-chat-1",
                "input_tokens": 24,
                "output_tokens": 1,
                "latency_ms": 812.0,
                "status": 200,
            }
        ],
        mapping="cloudflare_ai_gateway",
    ),
    "mlflow": Case(
        "mapping",
        ("mlflow_gateway_trace_span",),
        [
            {
                **BARE_CHAT,
                **ACCOUNT,
                "event_id": "eee19b7ec3c1b174",
                "event_time": 1795303424101,
                "model_id": "acme-chat-1",
                "params": {name: value for name, value in CHAT_PARAMS.items() if name != "logit_bias"},
            }
        ],
        mapping="mlflow_gateway",
    ),
    "vertex custom model": Case(
        "mapping",
        ("vertex_custom_model_bigquery_row",),
        [
            {
                **ACCOUNT,
                "event_id": "1234567890123456789",
                "event_time": 1795308224101,
                "model_id": "projects/123/locations/us-central1/endpoints/456",
                "model_version": "7896541230",
                "input": VECTOR,
                "probabilities": [0.02, 0.91, 0.07],
            }
        ],
        mapping="vertex_custom_model",
    ),
    "vertex gemini": Case(
        "mapping",
        ("vertex_gemini_bigquery_row",),
        [
            {
                **ACCOUNT,
                "event_id": "1234567890123456789",
                "event_time": 1795308224101,
                "model_id": "publishers/google/models/gemini-2.5-flash",
                "model_version": "gemini-2.5-flash",
                "input": "Solve 17*23",
                "output_text": "391",
                "params": {"logprobs": True, "top_logprobs": 5, "n": 1, "temperature": 0.0},
                "input_tokens": 8,
                "output_tokens": 1,
            }
        ],
        mapping="vertex_gemini",
    ),
}
SEPARATE = {"seldon_core2_kafka_model_output"}  # half of a pair, with a test of its own


def load(name: str) -> Any:
    return json.loads((SAMPLES / f"in_{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_sample(case: Case) -> None:
    documents, headers = [], []
    for name in case.samples:
        document = load(name)
        is_binary = "binary" in name
        documents.append(document["value"] if is_binary else document)
        headers.append(document["headers"] if is_binary else case.headers or {})
    options = case.options
    if case.mapping:
        options = FormatOptions(mapping=load_mapping(ROOT / "deploy" / "mappings" / f"{case.mapping}.yaml"))
    keys = [b"acct-7f3a"] * len(documents)
    batch = batch_of(documents, headers, [1000 + 7 * row for row in range(len(documents))], keys)
    decoded = decode(case.format_name, batch, options)
    assert decoded.rejects == []
    assert [fields_of(record) for record in decoded.records] == case.expected
    assert decoded.positions == [batch.positions[-1]] * len(case.expected)
    if not case.mapping:
        assert recognise(documents[0], headers[0]) == case.format_name


def test_seldon_output_is_an_answer_without_its_question() -> None:
    sample = load("seldon_core2_kafka_model_output")
    batch = batch_of([sample["value"]], {"x-account-id": "acct-7f3a"}, [1000], [sample["key"].encode()])
    request = {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": ["1", "2"], "contents": {"fp32Contents": [1, 2]}}
        ]
    }
    asked = batch_of([request], {"x-account-id": "acct-7f3a"}, [990], [sample["key"].encode()])
    asked.values += batch.values
    asked.headers += batch.headers
    asked.timestamps_ms += batch.timestamps_ms
    asked.keys += batch.keys
    asked.positions = [100, 101]
    [record] = decode("oip", asked).records
    fields = fields_of(record)
    assert fields["model_id"] == "cifar10_1"
    assert fields["event_id"] == sample["key"]
    assert fields["input"] == [1.0, 2.0]
    assert max(fields["probabilities"]) == 0.8846994
    assert fields["latency_ms"] == 10.0


def test_no_sample_is_forgotten() -> None:
    used = {name for case in CASES.values() for name in case.samples} | SEPARATE
    there = {path.stem.removeprefix("in_") for path in SAMPLES.glob("in_*.json")}
    assert there == used
