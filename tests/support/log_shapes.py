"""One query as each gateway logs it, in the shape and length of real logs: for benchmarks and mutations."""

import base64
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
        "created": 1772323200 + query.time_s,
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
    started_s = 1772323200.101 + query.time_s
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
    started_ns = (1772323200 + query.time_s) * 10**9
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
                "started_at": 1772323200101 + 1000 * query.time_s,
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


def otlp_proto(query: Query) -> list[Logged]:
    """The same span as `otel`, as the collector's Kafka exporter writes it by default."""
    return [Logged(as_protobuf(otlp_document(query)))]


def as_protobuf(document: dict[str, Any]) -> bytes:
    """Spans of OTLP/JSON as protobuf.

    Raises
    ------
    google.protobuf.json_format.ParseError, ValueError
        If protobuf cannot hold the document.
    """
    from google.protobuf import json_format  # type: ignore[import-untyped]
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId"):  # protobuf's own JSON writes bytes as base64
            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    parsed = json_format.ParseDict(document, TracesData(), ignore_unknown_fields=True)
    return bytes(parsed.SerializeToString())


def langfuse(query: Query) -> list[Logged]:
    """An enriched observation of the blob export."""
    request, time = chat_request(query), query.rfc3339.replace("T", " ").replace("Z", ".963000")
    return [
        logged(
            {
                "id": query.id,
                "trace_id": f"t-{query.id}",
                "project_id": "p-1",
                "environment": "production",
                "type": "GENERATION",
                "parent_observation_id": "",
                "start_time": time,
                "end_time": time,
                "name": "chat",
                "metadata": {"app": "shop"},
                "level": "DEFAULT",
                "status_message": "",
                "version": "",
                "input": json.dumps(request["messages"]),
                "output": json.dumps({"role": "assistant", "content": query.answer}),
                "provided_model_name": MODEL,
                "model_parameters": json.dumps({"temperature": 0, "n": 1}),
                "usage_details": {"input": 240, "output": 160, "total": 400},
                "cost_details": {"input": 0.00024, "output": 7e-05},
                "completion_start_time": None,
                "prompt_name": "",
                "total_cost": 0.00031,
                "latency": 0.812,
                "time_to_first_token": None,
                "model_id": "",
                "tool_calls": [],
                "tool_call_names": [],
                "tool_definitions": {},
                "user_id": query.account,
                "session_id": "conv-1",
                "tags": [],
            }
        )
    ]


def helicone(query: Query) -> list[Logged]:
    """A request of the export tool, with bodies."""
    return [
        logged(
            {
                "response_id": f"r-{query.id}",
                "response_created_at": query.rfc3339,
                "response_status": 200,
                "response_body": chat_response(query),
                "response_model": "acme-chat-1-2026-10-01",
                "request_id": query.id,
                "request_created_at": query.rfc3339,
                "request_body": chat_request(query),
                "request_path": "https://api.openai.com/v1/chat",
                "request_user_id": query.account,
                "request_model": MODEL,
                "model_override": None,
                "request_properties": {"Helicone-Session-Id": "conv-1"},
                "helicone_user": "org-owner",
                "provider": "OPENAI",
                "delay_ms": 812,
                "total_tokens": 400,
                "time_to_first_token": None,
                "prompt_tokens": 240,
                "completion_tokens": 160,
                "prompt_id": None,
                "llmSchema": None,
                "country_code": "DE",
                "asset_ids": None,
                "scores": None,
                "costUSD": 0.00031,
                "properties": {},
                "assets": [],
                "target_url": "",
                "model": MODEL,
            }
        )
    ]


def portkey(query: Query) -> list[Logged]:
    """A row of the logs export."""
    return [
        logged(
            {
                "id": query.id,
                "trace_id": f"t-{query.id}",
                "created_at": query.rfc3339,
                "request": chat_request(query),
                "response": chat_response(query),
                "is_success": 1,
                "ai_org": "openai",
                "ai_model": MODEL,
                "req_units": 240,
                "res_units": 160,
                "total_units": 400,
                "cost": 0.031,
                "cost_currency": "USD",
                "response_time": 812,
                "request_url": "https://api.openai.com/v1/chat/completions",
                "response_status_code": 200,
                "mode": "single",
                "config": "",
                "prompt_slug": "",
                "metadata": {"_user": query.account},
            }
        )
    ]


def azure_apim(query: Query) -> list[Logged]:
    """Rows of the two tables: tokens, the question, the answer in two parts, and the gateway's own."""
    resource = "/subscriptions/s/providers/microsoft.apimanagement/service/contoso"
    common = {
        "TimeGenerated": query.rfc3339,
        "CorrelationId": query.id,
        "Region": "West Europe",
        "_ResourceId": resource,
        "TenantId": "w-1",
        "SourceSystem": "Azure",
    }
    llm = {**common, "Type": "ApiManagementGatewayLlmLog", "OperationName": "chat", "RequestId": query.id}
    answer = json.dumps([{"role": "assistant", "content": query.answer}])
    half = len(answer) // 2
    tokens = {"PromptTokens": 240, "CompletionTokens": 160, "TotalTokens": 400}
    models = {"ModelName": "acme-chat-1-2026-10-01", "DeploymentName": MODEL, "IsStreamCompletion": False}
    messages = json.dumps(chat_request(query)["messages"])
    gateway = {
        "Type": "ApiManagementGatewayLogs",
        "Category": "GatewayLogs",
        "Method": "POST",
        "ApiId": "openai",
        "Url": "https://contoso.azure-api.net/openai/chat",
        "CallerIpAddress": "203.0.113.7",
        "ResponseCode": 200,
        "TotalTime": 812,
        "ApimSubscriptionId": query.account,
        "UserId": "u-1",
        "IsRequestSuccess": True,
        "BackendTime": 806,
        "RequestSize": 323,
        "ResponseSize": 1201,
    }
    return [
        logged({**llm, "SequenceNumber": 0, **tokens, **models}),
        logged({**llm, "SequenceNumber": 1, "RequestMessages": messages}),
        logged({**llm, "SequenceNumber": 2, "ResponseMessages": answer[:half]}),
        logged({**llm, "SequenceNumber": 3, "ResponseMessages": answer[half:]}),
        logged({**common, **gateway}),
    ]


def anthropic(query: Query) -> list[Logged]:
    """A request with an earlier turn's reasoning, and an answer with its own."""
    signature = base64.b64encode(query.id.encode() * 8).decode()
    thought = {"type": "thinking", "thinking": "They want it briefly.", "signature": signature}
    request = {
        "model": MODEL,
        "max_tokens": 640,
        "temperature": 1,
        "system": "You are terse.",
        "thinking": {"type": "enabled", "budget_tokens": 512},
        "messages": [
            {"role": "user", "content": "Hello."},
            {
                "role": "assistant",
                "content": [{**thought, "signature": "RXE=" * 8}, {"type": "text", "text": "Hi."}],
            },
            {"role": "user", "content": [{"type": "text", "text": query.prompt}]},
        ],
    }
    response = {
        "id": f"msg_{query.id}",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [thought, {"type": "text", "text": query.answer}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 240, "output_tokens": 160, "cache_read_input_tokens": 0},
    }
    envelope = {"request_id": query.id, "timestamp": query.rfc3339, "account_id": query.account}
    return [logged({**envelope, "status_code": 200, "request": request, "response": response})]


def responses(query: Query) -> list[Logged]:
    """OpenAI's Responses API with reasoning: an envelope, which the format `openai` reads."""
    reasoning = {
        "id": f"rs_{query.id}",
        "type": "reasoning",
        "summary": [],
        "encrypted_content": "gAAAAB" * 20,
    }
    request = {
        "model": MODEL,
        "instructions": "You are terse.",
        "previous_response_id": "resp_before",
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 640,
        "store": False,
        "input": [
            {"type": "reasoning", "id": "rs_old", "summary": [], "encrypted_content": "gAAAAA=="},
            {"role": "user", "content": [{"type": "input_text", "text": query.prompt}]},
        ],
    }
    content = [{"type": "output_text", "text": query.answer, "annotations": []}]
    told = {"id": f"msg_{query.id}", "type": "message", "role": "assistant", "status": "completed"}
    response = {
        "id": f"resp_{query.id}",
        "object": "response",
        "created_at": 1772323200 + query.time_s,
        "status": "completed",
        "model": MODEL,
        "previous_response_id": "resp_before",
        "output": [reasoning, {**told, "content": content}],
        "usage": {
            "input_tokens": 240,
            "output_tokens": 160,
            "output_tokens_details": {"reasoning_tokens": 64},
        },
    }
    envelope = {"request_id": query.id, "timestamp": query.rfc3339, "account_id": query.account}
    return [logged({**envelope, "status_code": 200, "request": request, "response": response})]


def vllm(query: Query) -> list[Logged]:
    """The two messages of vLLM's request log, as a JSON formatter with the recipe's filter writes them."""
    params = (
        "SamplingParams(n=1, presence_penalty=0.0, frequency_penalty=0.0, repetition_penalty=1.0, "
        "temperature=0.7, top_p=1.0, top_k=0, min_p=0.0, seed=None, stop=[], stop_token_ids=[], "
        "include_stop_str_in_output=False, ignore_eos=False, max_tokens=640, min_tokens=0, logprobs=5, "
        "prompt_logprobs=None, skip_special_tokens=True, spaces_between_special_tokens=True, "
        "truncate_prompt_tokens=None, guided_decoding=None, extra_args=None)"
    )
    prompt = f"<|im_start|>user\n{query.prompt}<|im_end|>\n<|im_start|>assistant\n"
    asked = (
        f"Received request chatcmpl-{query.id}: prompt: {prompt!r}, params: {params}, "
        "prompt_token_ids: [1, 2, 3], prompt_embeds shape: None, lora_request: None."
    )
    told = (
        f"Generated response chatcmpl-{query.id}: output: {query.answer!r}, output_token_ids: [4, 5], "
        "finish_reason: stop"
    )
    common = {"levelname": "INFO", "name": "vllm.entrypoints.logger", "timestamp": query.rfc3339}
    more = {"account_id": query.account, "model": MODEL}
    return [logged({**common, "message": text, **more}) for text in (asked, told)]


def triton(query: Query) -> list[Logged]:
    """Entries of a trace file, as a shipper sends them with the account and the time."""
    number = int(query.id.rpartition("-")[2])
    shipped = {"account_id": query.account, "time": query.rfc3339}

    def stamp(name: str, ns: int) -> Logged:
        return logged({"id": number, "timestamps": [{"name": name, "ns": 2356425054785863 + ns}]})

    def traced(activity: str, name: str, values: list[float]) -> Logged:
        data = ",".join(map(str, values))
        found = {"name": name, "data": data, "shape": f"1,{len(values)}", "dtype": "FP32"}
        return logged({"id": number, "activity": activity, "tensor": found})

    return [
        logged({"id": number, "model_name": MODEL, "model_version": 1, "request_id": query.id, **shipped}),
        stamp("HTTP_RECV_START", 0),
        stamp("REQUEST_START", 1_000),
        traced("TENSOR_QUEUE_INPUT", "input", query.features),
        traced("TENSOR_BACKEND_OUTPUT", "probabilities", query.probabilities),
        stamp("REQUEST_END", 812_001_000),
    ]


CHAT |= {
    each.__name__: each for each in (otlp_proto, langfuse, helicone, portkey, azure_apim, anthropic, vllm)
}
TABULAR |= {"triton": triton}
