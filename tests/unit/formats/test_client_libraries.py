"""The other end is the producers' own libraries: what they write today, our decoders read."""

import datetime as dt
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from cloudevents.core.bindings import kafka as kafka_binding
from cloudevents.core.v1.event import CloudEvent
from google.protobuf import json_format  # type: ignore[import-untyped]
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.unit.formats.support import batch_of, decode, fields_of

from copycatch.formats.shared.context import hash_of
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.columns import RawBatch

COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1772359200,
    "model": "m-1",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "391"},
            "logprobs": {
                "content": [
                    {
                        "token": "391",
                        "logprob": -0.01,
                        "bytes": None,
                        "top_logprobs": [{"token": "391", "logprob": -0.01, "bytes": None}],
                    }
                ],
                "refusal": None,
            },
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
}
EMBEDDINGS = {
    "object": "list",
    "model": "emb-1",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]},
        {"object": "embedding", "index": 1, "embedding": [0.0, 1.0]},
    ],
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
}


class Gateway(http.server.BaseHTTPRequestHandler):
    """A gateway that answers, and logs an envelope of request and response."""

    logged: list[dict[str, Any]]

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = EMBEDDINGS if self.path.endswith("/embeddings") else COMPLETION
        self.logged.append(
            {
                "request": request,
                "response": response,
                "headers": dict(self.headers.items()),
                "timestamp": "2026-03-01T10:00:00Z",
                "latency_ms": 12.5,
                "status": 200,
            }
        )
        body = json.dumps(response).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def gateway() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    logged: list[dict[str, Any]] = []
    handler = type("Handler", (Gateway,), {"logged": logged})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", logged
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_openai_client() -> None:
    ChatCompletion.model_validate(COMPLETION)
    CreateEmbeddingResponse.model_validate(EMBEDDINGS)
    headers = {"X-Account-Id": "a1", "X-Tenant-Id": "t1"}
    with (
        gateway() as (url, logged),
        openai.OpenAI(base_url=url, api_key="none", default_headers=headers) as client,
    ):
        answer = client.chat.completions.create(
            model="m",
            messages=[{"role": "system", "content": "be terse"}, {"role": "user", "content": "Solve 17*23"}],
            logprobs=True,
            top_logprobs=5,
            logit_bias={"1": -100, "2": 5},
            n=1,
            max_completion_tokens=9,
        )
        assert answer.choices[0].message.content == "391"
        client.embeddings.create(model="emb", input=["one", "two"], encoding_format="float")
    decoded = decode("openai", batch_of(logged), FormatOptions(tenant_headers=("x-tenant-id",)))
    assert decoded.rejects == []
    chat, *embedded = decoded.records
    fields = fields_of(chat)
    agent = fields.pop("user_agent")
    assert agent.startswith("OpenAI/Python")
    assert fields == {
        "event_id": "chatcmpl-1",
        "event_time": 1772359200000,
        "account_id": "a1",
        "tenant_id": "t1",
        "model_id": "m",
        "model_version": "m-1",
        "input": "Solve 17*23",
        "output_text": "391",
        "params": {"logprobs": True, "top_logprobs": 5, "logit_bias": 2, "n": 1, "max_tokens": 9},
        "input_tokens": 7,
        "output_tokens": 1,
        "latency_ms": 12.5,
        "status": 200,
        "turn": 1,
        "system_hash": hash_of("be terse"),
        "finish_reason": "stop",
    }
    assert [(each.input, each.embedding) for each in embedded] == [("one", [0.5, -0.25]), ("two", [0.0, 1.0])]


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_cloudevents_library(mode: str) -> None:
    messages = []
    for kind, body, second in (
        ("request", {"instances": [[1, 2]]}, 0),
        ("response", {"predictions": [3]}, 1),
    ):
        attributes = {
            "id": "e1",
            "source": "http://localhost:9081/",
            "type": f"org.kubeflow.serving.inference.{kind}",
            "specversion": "1.0",
            "datacontenttype": "application/json",
            "time": dt.datetime(2026, 3, 1, 10, 0, second, tzinfo=dt.UTC),
            "inferenceservicename": "m",
            "namespace": "ns",
            "component": "predictor",
            "metadata": json.dumps({"X-Account-Id": ["a1"]}),
            "partitionkey": "a1",
        }
        event = CloudEvent(attributes=attributes, data=body)
        write = kafka_binding.to_binary_event if mode == "binary" else kafka_binding.to_structured_event
        messages.append(write(event))
    batch = RawBatch(
        topic="logs",
        partition=0,
        positions=[0, 1],
        values=[message.value for message in messages],
        headers=[list(message.headers.items()) for message in messages],
        keys=[b"a1", b"a1"],
    )
    [record] = decode("kserve", batch).records
    assert fields_of(record) == {
        "event_id": "e1",
        "event_time": 1772359200000,
        "account_id": "a1",
        "tenant_id": "ns",
        "model_id": "m",
        "input": [1.0, 2.0],
        "predicted_label": 3,
        "latency_ms": 1000.0,
    }


ATTRIBUTES: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "m",
    "gen_ai.response.model": "m-1",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.choice.count": 2,
    "gen_ai.usage.input_tokens": 7,
    "gen_ai.usage.output_tokens": 1,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "yo"}]}]
    ),
    "user.id": "a1",
}
EXPECTED = {
    "turn": 1,
    "finish_reason": "stop",
    "account_id": "a1",
    "model_id": "m",
    "model_version": "m-1",
    "input": "hi",
    "output_text": "yo",
    "params": {"n": 2, "temperature": 0.5},
    "input_tokens": 7,
    "output_tokens": 1,
}


@pytest.mark.parametrize("keep_names", [False, True])
def test_opentelemetry_spans(keep_names: bool) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "gateway"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("gateway")
    with tracer.start_as_current_span("GET /"), tracer.start_as_current_span("chat m", attributes=ATTRIBUTES):
        pass
    provider.shutdown()
    export = encode_spans(exporter.get_finished_spans())
    document = json_format.MessageToDict(export, preserving_proto_field_name=keep_names)
    decoded = decode("otel", batch_of([document]))
    [record] = decoded.records
    assert decoded.rejects == []
    fields = fields_of(record)
    assert fields.pop("latency_ms") >= 0
    assert fields.pop("event_time") > 1_700_000_000_000
    assert len(fields.pop("event_id").split("-")) == 2
    assert fields == EXPECTED


def test_opentelemetry_log_events() -> None:
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(resource=Resource.create({"service.name": "gateway"}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("gateway").emit(
        LogRecord(
            timestamp=1772359200_000_000_000,
            event_name="gen_ai.client.inference.operation.details",
            attributes=ATTRIBUTES,
        )
    )
    document = json_format.MessageToDict(encode_logs(exporter.get_finished_logs()))
    provider.shutdown()
    options = FormatOptions(tenant_headers=("x-tenant",))
    [record] = decode("otel", batch_of([document], {"X-Tenant": "t1"}), options).records
    fields = fields_of(record)
    fields.pop("event_id")
    assert fields == {**EXPECTED, "event_time": 1772359200000, "tenant_id": "t1"}
