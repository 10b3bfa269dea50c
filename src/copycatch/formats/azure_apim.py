"""Azure API Management: the language model log in its numbered parts, joined with the gateway log."""

from typing import Any

from copycatch.formats.shared.chat import request_fields, response_fields
from copycatch.formats.shared.collecting import CollectingDecoder, Gathering, Part
from copycatch.formats.shared.context import CONTEXT_SOURCES
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.messages import (
    LogMessage,
    Reading,
    count_of,
    first,
    first_name,
    nested_or_text,
)
from copycatch.formats.shared.recognise import Recognise

NAME = "azure_apim"
SOURCES = {
    "event_id": "CorrelationId",
    "event_time": "TimeGenerated (time) of the gateway log",
    "account_id": "ApimSubscriptionId, UserId of the gateway log; the account headers in RequestHeaders",
    "tenant_id": "the tenant headers in RequestHeaders, where named",
    "api_key_id": "ApimSubscriptionId",
    "user_agent": "user-agent in RequestHeaders, where they are logged",
    "client_ip": "CallerIpAddress",
    "model_id": "DeploymentName; ModelName",
    "model_version": "ModelName",
    "input": "RequestMessages (last of a user), joined over SequenceNumber",
    "output_text": "ResponseMessages, joined over SequenceNumber",
    "input_tokens": "PromptTokens",
    "output_tokens": "CompletionTokens",
    "latency_ms": "TotalTime; durationMs",
    "status": "ResponseCode",
    **{name: CONTEXT_SOURCES[name] for name in ("conversation_id", "turn", "system_hash")},
}
_SEQUENCES_MAX = 100_000
_LLM, _GATEWAY = "GatewayLlmLog", "GatewayLogs"


def make_decoder(options: FormatOptions, recognise: Recognise) -> CollectingDecoder:
    """A decoder of this format."""
    return CollectingDecoder(NAME, Gathering(identify, may_be_whole, read), SOURCES, options, recognise)


FORMAT = Format(
    name=NAME,
    sentence="Azure API Management: GatewayLlmLog joined with GatewayLogs, tables or resource logs",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        ("CorrelationId", "SequenceNumber|PromptTokens|RequestMessages|ResponseMessages|ApimSubscriptionId"),
        ("CorrelationId", "Type=ApiManagementGateway"),
        ("category=GatewayLlmLogs", "properties"),
        ("category=GatewayLogs", "properties"),
        ("Category=GatewayLlmLogs", "properties"),
        ("Category=GatewayLogs", "properties"),
    ),
)


def value_of(document: dict[str, Any], name: str) -> Any:
    """A column of the tables, which resource logs write in camel case, within or beside `properties`."""
    camel = name[0].lower() + name[1:]
    properties = nested_or_text(document.get("properties"))
    inner = properties if isinstance(properties, dict) else {}
    return first(document.get(name), document.get(camel), inner.get(name), inner.get(camel))


def identify(message: LogMessage) -> Part | None:
    """The request by its CorrelationId; other categories of the service are skipped."""
    document = message.document
    key = first_name(value_of(document, "CorrelationId"))
    kind = str(first(document.get("Type"), value_of(document, "Category"), ""))
    if key is None:
        raise MessageFault("schema", "CorrelationId", "no log of API Management: CorrelationId is missing")
    names = ("SequenceNumber", "PromptTokens", "RequestMessages", "ResponseMessages")
    if _LLM in kind or (not kind and any(value_of(document, name) is not None for name in names)):
        number = count_of(value_of(document, "SequenceNumber"))
        is_number = isinstance(number, int) and 0 <= number < _SEQUENCES_MAX
        return Part(key, f"llm:{number if is_number else 0:06d}")
    is_gateway = not kind and value_of(document, "ApimSubscriptionId") is not None
    return Part(key, "gateway") if _GATEWAY in kind or is_gateway else None


def may_be_whole(labels: list[str]) -> bool:
    """Whether the gateway's log is there and the numbers of the others have no gap."""
    numbers = sorted(int(label[4:]) for label in labels if label.startswith("llm:"))
    return "gateway" in labels and len(numbers) > 1 and numbers[-1] - numbers[0] + 1 == len(numbers)


def read(messages: list[LogMessage], labels: list[str], is_last: bool) -> list[Reading] | None:
    """One query; a request of the gateway that asked no language model is skipped."""
    parts = [each for _, each in sorted(zip(labels, messages, strict=True), key=lambda pair: pair[0])]
    gateway = next((each for each in parts if _is_gateway(each)), None)
    rows = [each for each in parts if each is not gateway]
    if not rows:
        return []
    asked, is_asked = _joined(rows, "RequestMessages")
    answered, is_answered = _joined(rows, "ResponseMessages")
    has_tokens = any(value_of(row.document, "PromptTokens") for row in rows)
    if not is_last and not (has_tokens and asked and answered and is_asked and is_answered):
        return None
    if gateway is None:
        return None  # nobody is named: only the gateway's log does
    gateway.notes["unread"] += (not is_asked) + (not is_answered)
    return [_fields_of(gateway, rows, asked if is_asked else None, answered if is_answered else None)]


def _is_gateway(message: LogMessage) -> bool:
    part = identify(message)
    return part is not None and part.label == "gateway"


def _joined(rows: list[LogMessage], name: str) -> tuple[Any, bool]:
    """Messages over all parts, and whether they can be read: lists are appended, pieces of JSON joined."""
    found = [value for row in rows if (value := value_of(row.document, name)) not in (None, "", [], "[]")]
    if not found:
        return None, True
    if all(isinstance(each, str) for each in found):
        pieces = [nested_or_text(each) for each in found]
        whole = nested_or_text("".join(found))
        if isinstance(whole, list | dict):
            return whole, True
        if not all(isinstance(each, list) for each in pieces):
            return None, False
        found = pieces
    listed = [each if isinstance(each, list) else [each] for each in found]
    return [entry for entries in listed for entry in entries], True


def _fields_of(gateway: LogMessage, rows: list[LogMessage], asked: Any, answered: Any) -> Reading:
    document = gateway.document
    headers = nested_or_text(value_of(document, "RequestHeaders"))
    for name, value in headers.items() if isinstance(headers, dict) else ():
        if isinstance(value, str):
            gateway.headers.setdefault(str(name).lower(), value)

    def of_rows(name: str) -> Any:
        # Parts beyond the first repeat the columns empty, or as 0.
        return next((value for row in rows if (value := value_of(row.document, name))), None)

    client_ip = gateway.client_ip(None, value_of(document, "CallerIpAddress"))
    subscription = first_name(value_of(document, "ApimSubscriptionId"))
    model = first_name(of_rows("ModelName"))
    said = answered if isinstance(answered, list) else [answered]
    choices = [{"message": each} for each in said if isinstance(each, dict)]
    times = (value_of(document, name) for name in ("TimeGenerated", "time", "timeStamp"))
    return {
        **(request_fields({"messages": asked}) if isinstance(asked, list) else {}),
        "output_text": response_fields({"choices": choices}).get("output_text"),
        "event_id": first_name(value_of(document, "CorrelationId")),
        "event_time": gateway.time_ms(*times),
        "account_id": gateway.account(
            document, subscription, value_of(document, "UserId"), client_ip=client_ip
        ),
        "tenant_id": gateway.tenant(),
        "api_key_id": subscription,
        "user_agent": gateway.headers.get("user-agent"),
        "client_ip": client_ip,
        "model_id": gateway.model(of_rows("DeploymentName"), model),
        "model_version": model,
        "input_tokens": count_of(of_rows("PromptTokens")),
        "output_tokens": count_of(of_rows("CompletionTokens")),
        "latency_ms": count_of(first(value_of(document, "TotalTime"), value_of(document, "DurationMs"))),
        "status": count_of(value_of(document, "ResponseCode")),
    }
