"""One query as each gateway logs it, in the shape and length of real logs: for benchmarks and mutations."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

Headers = list[tuple[str, bytes]]


class Query(NamedTuple):
    """What was asked and answered; of tabular models `features` and `probabilities`."""

    id: str
    account: str
    prompt: str
    answer: str
    time_s: int
    features: list[float]
    probabilities: list[float]

    @property
    def rfc3339(self) -> str:
        return f"2026-03-01T{self.time_s // 3600 % 24:02}:{self.time_s // 60 % 60:02}:{self.time_s % 60:02}Z"


class Logged(NamedTuple):
    """One message; a query may be several."""

    value: bytes
    headers: Headers = []  # noqa: RUF012 - nobody adds to it


MODEL = "acme-chat-1"
USAGE = {
    "prompt_tokens": 240,
    "completion_tokens": 160,
    "total_tokens": 400,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0},
}


def chat_request(query: Query) -> dict[str, Any]:
    return {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You are terse."},
            {"role": "user", "content": query.prompt},
        ],
        "temperature": 0,
        "top_p": 1,
        "n": 1,
        "max_completion_tokens": 640,
        "seed": 7,
        "user": "u-991",
        "stream": False,
    }


def chat_response(query: Query) -> dict[str, Any]:
    message = {"role": "assistant", "content": query.answer, "refusal": None}
    return {
        "id": f"chatcmpl-{query.id}",
        "object": "chat.completion",
        "created": 1772359200 + query.time_s,
        "model": "acme-chat-1-2026-10-01",
        "system_fingerprint": "fp_44709d6fcb",
        "service_tier": "default",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": USAGE,
    }


def logged(document: Any, headers: Headers | None = None) -> Logged:
    return Logged(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), headers or [])


def native(query: Query) -> list[Logged]:
    return [
        logged(
            {
                "event_id": query.id,
                "event_time": query.rfc3339,
                "account_id": query.account,
                "model_id": MODEL,
                "input": query.prompt,
                "output_text": query.answer,
                "user_agent": "OpenAI/Python 2.3.0",
                "client_ip": "203.0.113.7",
                "input_tokens": 240,
                "params": {"temperature": 0, "n": 1, "max_tokens": 640},
                "output_tokens": 160,
                "latency_ms": 812.0,
                "status": 200,
            }
        )
    ]


def native_tabular(query: Query) -> list[Logged]:
    return [
        logged(
            {
                "event_id": query.id,
                "event_time": query.rfc3339,
                "account_id": query.account,
                "model_id": MODEL,
                "input": query.features,
                "probabilities": query.probabilities,
                "client_ip": "203.0.113.7",
                "latency_ms": 812.0,
                "status": 200,
            }
        )
    ]


def openai(query: Query) -> list[Logged]:
    return [
        logged(
            {
                "request_id": query.id,
                "timestamp": query.rfc3339,
                "account_id": query.account,
                "client_ip": "203.0.113.7",
                "status_code": 200,
                "latency_ms": 812.0,
                "headers": {"user-agent": "OpenAI/Python 2.3.0", "content-type": "application/json"},
                "request": chat_request(query),
                "response": chat_response(query),
            }
        )
    ]


def litellm(query: Query) -> list[Logged]:
    metadata = {
        "user_api_key_hash": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
        "user_api_key_alias": "partner-7",
        "user_api_key_spend": 12.4,
        "user_api_key_max_budget": 100.0,
        "user_api_key_org_id": "org-1",
        "user_api_key_team_id": "team-9",
        "user_api_key_user_id": query.account,
        "user_api_key_user_email": None,
        "user_api_key_team_alias": "partners",
        "user_api_key_end_user_id": "u-991",
        "user_api_key_request_route": "/v1/chat/completions",
        "requester_ip_address": "203.0.113.7",
        "user_agent": "OpenAI/Python 2.3.0",
        "requester_metadata": {},
        "requester_custom_headers": {},
        "prompt_management_metadata": None,
        "applied_guardrails": [],
        "usage_object": USAGE,
    }
    started_s = 1772359200.101 + query.time_s
    request = chat_request(query)
    return [
        logged(
            {
                "id": query.id,
                "trace_id": query.id,
                "session_id": query.id,
                "litellm_call_id": query.id,
                "call_type": "acompletion",
                "stream": None,
                "response_cost": 0.00031,
                "cost_breakdown": {"input_cost": 0.00024, "output_cost": 7e-05, "total_cost": 0.00031},
                "status": "success",
                "status_fields": {"llm_api_status": "success"},
                "custom_llm_provider": "openai",
                "total_tokens": 400,
                "prompt_tokens": 240,
                "completion_tokens": 160,
                "startTime": started_s,
                "endTime": started_s + 0.812,
                "completionStartTime": started_s + 0.2,
                "response_time": 0.812,
                "model_map_information": {"model_map_key": MODEL, "model_map_value": None},
                "model": f"openai/{MODEL}",
                "model_id": "cb41bc03f4c33d31",
                "model_group": MODEL,
                "api_base": "https://llm.internal/v1",
                "metadata": metadata,
                "cache_hit": False,
                "cache_key": None,
                "saved_cache_cost": 0.0,
                "request_tags": ["User-Agent: OpenAI/Python"],
                "end_user": "u-991",
                "requester_ip_address": "203.0.113.7",
                "user_agent": "OpenAI/Python 2.3.0",
                "messages": request["messages"],
                "response": chat_response(query),
                "model_parameters": {"temperature": 0, "n": 1, "max_tokens": 640, "stream": False},
                "hidden_params": {"model_id": "cb41bc03f4c33d31", "cache_key": None, "api_base": None},
            }
        )
    ]


def otlp_attributes(query: Query) -> dict[str, Any]:
    said = [{"role": "user", "parts": [{"type": "text", "content": query.prompt}]}]
    told = [
        {"role": "assistant", "parts": [{"type": "text", "content": query.answer}], "finish_reason": "stop"}
    ]
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": "acme-chat-1-2026-10-01",
        "gen_ai.response.id": f"chatcmpl-{query.id}",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.choice.count": 1,
        "gen_ai.request.max_tokens": 640,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stream": False,
        "gen_ai.usage.input_tokens": 240,
        "gen_ai.usage.output_tokens": 160,
        "gen_ai.conversation.id": "conv-1",
        "server.address": "llm.internal",
        "server.port": 443,
        "client.address": "203.0.113.7",
        "user.id": query.account,
        "gen_ai.input.messages": json.dumps(said),
        "gen_ai.output.messages": json.dumps(told),
    }


def otlp_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [otlp_value(each) for each in value]}}
    return {"stringValue": value}


def otlp_document(query: Query) -> dict[str, Any]:
    started_ns = (1772359200 + query.time_s) * 10**9
    number = int.from_bytes(query.id.encode()[-8:], "big")
    span = {
        "traceId": f"{number:032x}",
        "spanId": f"{number % (1 << 64):016x}",
        "parentSpanId": "",
        "name": f"chat {MODEL}",
        "kind": 3,
        "startTimeUnixNano": str(started_ns),
        "endTimeUnixNano": str(started_ns + 812_000_000),
        "attributes": [{"key": k, "value": otlp_value(v)} for k, v in otlp_attributes(query).items()],
        "status": {},
    }
    shared = {"service.name": "llm-gateway", "deployment.environment.name": "prod"}
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": k, "value": otlp_value(v)} for k, v in shared.items()]},
                "scopeSpans": [
                    {"scope": {"name": "opentelemetry.instrumentation.openai_v2"}, "spans": [span]}
                ],
            }
        ]
    }


def otel(query: Query) -> list[Logged]:
    return [logged(otlp_document(query))]


def kong(query: Query) -> list[Logged]:
    payload = {"request": json.dumps(chat_request(query)), "response": json.dumps(chat_response(query))}
    proxy = {
        "payload": payload,
        "usage": {"prompt_tokens": 240, "completion_tokens": 160, "total_tokens": 400, "cost": 0.00031},
        "meta": {
            "provider_name": "openai",
            "request_model": MODEL,
            "response_model": "acme-chat-1-2026-10-01",
        },
    }
    return [
        logged(
            {
                "workspace_name": "default",
                "upstream_uri": "/v1/chat/completions",
                "upstream_status": 200,
                "client_ip": "203.0.113.7",
                "started_at": 1772359200101 + 1000 * query.time_s,
                "request": {
                    "id": query.id,
                    "uri": "/v1/chat/completions",
                    "method": "POST",
                    "size": 323,
                    "querystring": {},
                    "headers": {"user-agent": "OpenAI/Python 2.3.0"},
                },
                "response": {"status": 200, "size": 1201, "headers": {"content-type": "application/json"}},
                "latencies": {"request": 812, "kong": 6, "proxy": 806},
                "consumer": {"id": "5c0b2a10", "username": query.account, "custom_id": query.account},
                "authenticated_entity": {"id": "key-cred-id"},
                "ai": {"proxy": proxy},
            }
        )
    ]


def bedrock(query: Query) -> list[Logged]:
    asked = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 640,
        "temperature": 0.1,
        "system": "You are terse.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": query.prompt}]}],
    }
    answered = {
        "id": f"msg_{query.id}",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [{"type": "text", "text": query.answer}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 240, "output_tokens": 160},
    }
    return [
        logged(
            {
                "schemaType": "ModelInvocationLog",
                "schemaVersion": "1.0",
                "timestamp": query.rfc3339,
                "accountId": "123456789012",
                "region": "us-east-1",
                "requestId": query.id,
                "identity": {"arn": f"arn:aws:iam::123456789012:user/{query.account}"},
                "operation": "InvokeModel",
                "modelId": "anthropic.claude-3-haiku-20240307-v1:0",
                "input": {
                    "inputContentType": "application/json",
                    "inputBodyJson": asked,
                    "inputTokenCount": 240,
                },
                "output": {
                    "outputContentType": "application/json",
                    "outputBodyJson": answered,
                    "outputTokenCount": 160,
                },
            }
        )
    ]


def databricks(query: Query) -> list[Logged]:
    return [
        logged(
            {
                "request_date": "2026-03-01",
                "databricks_request_id": query.id,
                "client_request_id": "a-1",
                "request_time": query.rfc3339,
                "status_code": 200,
                "sampling_fraction": 1.0,
                "execution_duration_ms": 812,
                "request": json.dumps(chat_request(query)),
                "response": json.dumps(chat_response(query)),
                "served_entity_id": "b7c1e0a9",
                "logging_error_codes": [],
                "requester": query.account,
            }
        )
    ]


def envoy_ai_gateway(query: Query) -> list[Logged]:
    return [
        logged(
            {
                ":authority": "api.example.com",
                "bytes_received": 105,
                "bytes_sent": 432,
                "downstream_remote_address": "127.0.0.1:64484",
                "duration": 1526,
                "x-request-id": query.id,
                "gen_ai.request.model": MODEL,
                "gen_ai.response.model": "acme-chat-1-2026-10-01",
                "gen_ai.usage.input_tokens": 240,
                "gen_ai.usage.output_tokens": 160,
                "method": "POST",
                "protocol": "HTTP/1.1",
                "response_code": 200,
                "response_flags": "-",
                "route_name": "r/0",
                "start_time": query.rfc3339,
                "upstream_cluster": "c/0",
                "user-agent": "curl/8.7.1",
                "x-forwarded-for": "203.0.113.7",
                "x-account-id": query.account,
            }
        )
    ]


def sagemaker(query: Query) -> list[Logged]:
    def side(mode: str, values: list[float]) -> dict[str, Any]:
        data = ",".join(map(str, values)) + "\n"
        return {"observedContentType": "text/csv", "mode": mode, "data": data, "encoding": "CSV"}

    sides = {
        "endpointInput": side("INPUT", query.features),
        "endpointOutput": side("OUTPUT", query.probabilities),
    }
    attributes = [f"account={query.account}", f"model={MODEL}"]
    metadata = {"eventId": query.id, "customAttributes": attributes, "inferenceTime": query.rfc3339}
    return [logged({"captureData": sides, "eventMetadata": metadata, "eventVersion": "0"})]


def tensor(name: str, values: list[float]) -> dict[str, Any]:
    return {"name": name, "shape": [1, len(values)], "datatype": "FP64", "data": values}


def kserve(query: Query) -> list[Logged]:
    def event(kind: str, data: dict[str, Any]) -> Logged:
        return logged(
            {
                "specversion": "1.0",
                "id": query.id,
                "source": "http://localhost:9081/",
                "type": f"org.kubeflow.serving.inference.{kind}",
                "time": query.rfc3339,
                "inferenceservicename": MODEL,
                "namespace": "prod",
                "component": "predictor",
                "datacontenttype": "application/json",
                "data": data,
                "metadata": json.dumps({"X-Account-Id": [query.account]}),
            }
        )

    answer = {"model_name": MODEL, "model_version": "1", "id": query.id}
    return [
        event("request", {"inputs": [tensor("x", query.features)]}),
        event("response", {**answer, "outputs": [tensor("probabilities", query.probabilities)]}),
    ]


def oip(query: Query) -> list[Logged]:
    headers = [("X-Account-Id", query.account.encode())]
    answer = {"model_name": MODEL, "model_version": "1", "id": query.id}
    return [
        logged({"id": query.id, "inputs": [tensor("x", query.features)]}, headers),
        logged({**answer, "outputs": [tensor("probabilities", query.probabilities)]}, headers),
    ]


CHAT: dict[str, Callable[[Query], list[Logged]]] = {
    each.__name__: each
    for each in (native, openai, litellm, otel, kong, bedrock, databricks, envoy_ai_gateway)
}
TABULAR: dict[str, Callable[[Query], list[Logged]]] = {
    "native": native_tabular,
    **{each.__name__: each for each in (sagemaker, kserve, oip)},
}
