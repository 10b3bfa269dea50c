"""Kong gateway logs of its AI plugins (http-log, kafka-log, tcp-log and file-log write the same)."""

from typing import Any

from copycatch.formats.shared.chat import request_fields, response_fields, split_asked
from copycatch.formats.shared.context import CONTEXT_SOURCES
from copycatch.formats.shared.documents import DocumentDecoder
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.messages import (
    Fields,
    LogMessage,
    Reading,
    agent_of,
    count_of,
    dig,
    first,
    first_name,
    nested_or_text,
)
from copycatch.formats.shared.predictions import numbered
from copycatch.formats.shared.recognise import Recognise

NAME = "kong"
SOURCES = {
    "event_id": "request.id",
    "event_time": "started_at",
    "account_id": "consumer.custom_id, consumer.username, consumer.id; authenticated_entity.id",
    "tenant_id": "workspace_name, except default",
    "api_key_id": "authenticated_entity.id",
    "user_agent": "request.headers.user-agent",
    "client_ip": "client_ip",
    "model_id": "ai.*.meta.request_model; the logged request's model",
    "model_version": "ai.*.meta.response_model",
    "embedding": "ai.*.payload.response.data[].embedding; needs log_payloads",
    "input": "ai.*.payload.request: messages (last of a user) or prompt; needs log_payloads",
    "output_text": "ai.*.payload.response; needs log_payloads",
    "params": "ai.*.payload.request: logprobs, top_logprobs, logit_bias, n, temperature, max_tokens",
    "input_tokens": "ai.*.usage.prompt_tokens (prompt_token before 3.10)",
    "output_tokens": "ai.*.usage.completion_tokens (completion_token before 3.10)",
    "latency_ms": "latencies.request",
    "status": "response.status",
    **{name: f"{source}; needs log_payloads" for name, source in CONTEXT_SOURCES.items()},
    "account_created": "consumer.created_at",
}


def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, recognise, is_batched=True)


FORMAT = Format(
    name=NAME,
    sentence="Kong gateway log with the ai object of its AI proxy",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        (
            "ai",
            "request",
            "latencies|started_at|client_ip|consumer",
        ),
        (
            "started_at",
            "latencies",
            "request",
        ),
    ),
)


def read(message: LogMessage) -> list[Reading]:
    """One request; requests that went through no AI plugin are skipped."""
    log = message.document
    if "request" not in log or not ("started_at" in log or "latencies" in log):
        raise MessageFault("schema", "request", "no log of the gateway: request and started_at are needed")
    plugin = plugin_of(log.get("ai"))
    if plugin is None:
        return []
    request = nested_or_text(dig(plugin, "payload", "request"))
    response = message.body(dig(plugin, "payload", "response"))
    asked, answered = request_fields(request), response_fields(response)
    usage, meta = plugin.get("usage"), plugin.get("meta")
    client_ip = message.client_ip(None, log.get("client_ip"))
    workspace = log.get("workspace_name")
    credential = first_name(dig(log, "authenticated_entity", "id"))
    fields: Fields = {
        **asked,
        **answered,
        "event_id": first_name(dig(log, "request", "id"), message.origin),
        "event_time": message.time_ms(log.get("started_at")),
        "account_id": message.account(
            log,
            *(dig(log, "consumer", key) for key in ("custom_id", "username", "id")),
            credential,
            client_ip=client_ip,
        ),
        "tenant_id": message.tenant(None if workspace == "default" else workspace),
        "api_key_id": credential,
        "user_agent": agent_of(dig(log, "request", "headers", "user-agent")),
        "client_ip": client_ip,
        "model_id": message.model(
            dig(meta, "request_model"), asked.get("model_id"), dig(meta, "response_model")
        ),
        "model_version": first_name(dig(meta, "response_model"), answered.get("model_version")),
        "input_tokens": _tally(usage, "prompt_tokens", "prompt_token", answered.get("input_tokens")),
        "output_tokens": _tally(
            usage, "completion_tokens", "completion_token", answered.get("output_tokens")
        ),
        "latency_ms": dig(log, "latencies", "request"),
        "status": count_of(dig(log, "response", "status")),
        "account_created": message.optional_time_ms(dig(log, "consumer", "created_at")),
    }
    return list(numbered(split_asked(fields, request, response)))


def plugin_of(ai: Any) -> dict[str, Any] | None:
    """The part of `ai` that an AI proxy wrote; its key is the name of the plugin.

    Examples
    --------
    >>> plugin_of({"proxy": {"meta": {"request_model": "m"}}})
    {'meta': {'request_model': 'm'}}
    """
    if not isinstance(ai, dict):
        return None
    marks = ("meta", "usage", "payload")
    parts = [ai, *(part for part in ai.values() if isinstance(part, dict))]
    return next((part for part in parts if any(isinstance(part.get(mark), dict) for mark in marks)), None)


def _tally(usage: Any, name: str, old_name: str, otherwise: Any) -> Any:
    return count_of(first(dig(usage, name), dig(usage, old_name), otherwise))
