"""Envoy AI gateway access logs, with the attribute names of today and of version 0.4."""

from typing import Any

from copycatch.formats.shared.documents import DocumentDecoder
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.messages import LogMessage, Reading, agent_of, count_of, first, first_name
from copycatch.formats.shared.recognise import Recognise

NAME = "envoy_ai_gateway"
SOURCES = {
    "event_id": "x-request-id",
    "event_time": "start_time",
    "account_id": "x-account-id, x-user-id, user.id: add a header or JWT claim to the log's format",
    "tenant_id": "x-tenant-id, x-tenant",
    "user_agent": "user-agent",
    "client_ip": "x-forwarded-for; downstream_remote_address",
    "model_id": "gen_ai.request.model; genai_model_name",
    "model_version": "gen_ai.response.model",
    "input_tokens": "gen_ai.usage.input_tokens; genai_tokens_input",
    "output_tokens": "gen_ai.usage.output_tokens; genai_tokens_output",
    "latency_ms": "duration",
    "status": "response_code",
}


def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, recognise)


FORMAT = Format(
    name=NAME,
    sentence="Envoy AI gateway access log in JSON; its fields are those of the documented example",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        (
            "x-request-id",
            "gen_ai.request.model|genai_model_name",
        ),
        (
            "start_time",
            "response_code",
            "upstream_cluster|route_name|:authority",
        ),
    ),
)


def read(message: LogMessage) -> list[Reading]:
    """One request; requests to anything but a model are skipped."""
    log = message.document
    if "start_time" not in log or "x-request-id" not in log:
        raise MessageFault(
            "schema", "x-request-id", "no access log of the gateway: start_time and x-request-id are needed"
        )
    model = message.model(
        _given(log, "gen_ai.request.model"),
        _given(log, "genai_model_name"),
        _given(log, "gen_ai.response.model"),
    )
    if model is None:
        return []
    peer = log.get("downstream_remote_address")
    client_ip = message.client_ip(_given(log, "x-forwarded-for"), host_of(peer))
    account_names = (*message.options.account_headers, "user.id", "user_id")
    return [
        {
            "event_id": first_name(log.get("x-request-id")),
            "event_time": message.time_ms(log.get("start_time")),
            "account_id": message.account(
                log, *(_given(log, name) for name in account_names), client_ip=client_ip
            ),
            "tenant_id": message.tenant(*(_given(log, name) for name in message.options.tenant_headers)),
            "user_agent": agent_of(_given(log, "user-agent")),
            "client_ip": client_ip,
            "model_id": model,
            "model_version": first_name(_given(log, "gen_ai.response.model")),
            "input_tokens": _tally(log, "gen_ai.usage.input_tokens", "genai_tokens_input"),
            "output_tokens": _tally(log, "gen_ai.usage.output_tokens", "genai_tokens_output"),
            "latency_ms": count_of(_given(log, "duration")),
            "status": count_of(_given(log, "response_code")),
        }
    ]


def host_of(address: Any) -> str | None:
    """The host of `host:port`, also where it is IPv6.

    Examples
    --------
    >>> host_of("127.0.0.1:64484"), host_of("[2001:db8::1]:443")
    ('127.0.0.1', '2001:db8::1')
    """
    if not isinstance(address, str):
        return None
    return address.rpartition(":")[0].strip("[]") or None


def _given(log: dict[str, Any], name: str) -> Any:
    # Envoy writes a dash for what is not there.
    value = log.get(name)
    return None if value in ("-", "") else value


def _tally(log: dict[str, Any], *names: str) -> Any:
    return count_of(first(*(_given(log, name) for name in names)))
