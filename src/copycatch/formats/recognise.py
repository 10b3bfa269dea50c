"""Tell formats apart by the fields that only they have."""

from collections.abc import Mapping
from typing import Any

# In order: the first whose marks are all there wins. A mark is a path of keys; "|" separates ways to say it.
MARKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("kserve", ("header:ce_type=org.kubeflow.serving",)),
    ("kserve", ("specversion", "type=org.kubeflow.serving")),
    ("otel", ("resourceSpans|resourceLogs|resource_spans|resource_logs",)),
    ("litellm", ("litellm_call_id|litellm_params|standard_logging_object",)),
    ("sagemaker", ("captureData", "eventMetadata")),
    ("bedrock", ("modelId", "operation", "requestId", "schemaType|schemaVersion")),
    ("databricks", ("databricks_request_id",)),
    ("databricks", ("requester", "served_entity_id", "request", "response")),
    ("kong", ("ai", "request", "latencies|started_at|client_ip|consumer")),
    ("kong", ("started_at", "latencies", "request")),
    ("envoy_ai_gateway", ("x-request-id", "gen_ai.request.model|genai_model_name")),
    ("envoy_ai_gateway", ("start_time", "response_code", "upstream_cluster|route_name|:authority")),
    ("openai", ("request.messages|request.input|request.prompt|request.model", "response")),
    ("openai", ("messages", "model")),
    ("openai", ("object=chat.completion|object=text_completion|object=list|object=response", "model")),
    ("oip", ("request.inputs|response.outputs",)),
    ("oip", ("inputs",)),
    ("oip", ("outputs", "model_name|modelName")),
    ("native", ("event_id", "event_time")),
    ("native", ("event_id", "account_id|model_id")),
    ("native", ("account_id", "model_id")),
)


def recognise(document: Any, headers: Mapping[str, str] | None = None) -> str | None:
    """Name of the format that a decoded JSON document is in, or None where none fits.

    Examples
    --------
    >>> recognise({"captureData": {}, "eventMetadata": {}, "eventVersion": "0"})
    'sagemaker'
    >>> recognise({"instances": [[1.0]]}, {"ce_type": "org.kubeflow.serving.inference.request"})
    'kserve'
    >>> recognise({"user": "u-1", "text": "hello"}) is None
    True
    """
    if not isinstance(document, dict):
        return None
    for name, marks in MARKS:
        if all(_has(document, headers or {}, mark) for mark in marks):
            return name
    return None


def _has(document: Mapping[str, Any], headers: Mapping[str, str], mark: str) -> bool:
    return any(_has_one(document, headers, way) for way in mark.split("|"))


def _has_one(document: Mapping[str, Any], headers: Mapping[str, str], way: str) -> bool:
    path, _, start = way.partition("=")
    if path.startswith("header:"):
        return headers.get(path.removeprefix("header:"), "").startswith(start)
    found: Any = document
    # Attribute names of OpenTelemetry hold dots themselves, so a whole key is tried before a path.
    if path in document:
        found = document[path]
    else:
        for key in path.split("."):
            if not isinstance(found, dict) or key not in found:
                return False
            found = found[key]
    return not start or (isinstance(found, str) and found.startswith(start))
