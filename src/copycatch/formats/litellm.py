"""LiteLLM's standard logging payload, alone, in an array, or within a callback's keyword arguments."""

from typing import Any

from copycatch.formats.shared.chat import (
    embeddings_of,
    params_of,
    prompt_of,
    response_fields,
    split_embeddings,
)
from copycatch.formats.shared.contents import messages_text
from copycatch.formats.shared.context import CONTEXT_SOURCES, request_context
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
    name_of,
    nested_or_text,
)
from copycatch.formats.shared.plain_chat import plain_request_fields
from copycatch.formats.shared.predictions import numbered
from copycatch.formats.shared.recognise import Recognise
from copycatch.formats.shared.times import in_utc

NAME = "litellm"
SOURCES = {
    "event_id": "id; request_id; litellm_call_id",
    "event_time": "startTime",
    "account_id": "metadata.user_api_key_user_id, user_api_key_hash; of the master key the end user",
    "tenant_id": "metadata.user_api_key_org_id, user_api_key_team_id; the tenant headers, where named",
    "api_key_id": "metadata.user_api_key_hash",
    "user_agent": "user_agent; metadata.user_agent",
    "client_ip": "requester_ip_address",
    "model_id": "model_group; model",
    "model_version": "response.model",
    "input": "messages (last of a user)",
    "embedding": "response.data[0].embedding",
    "output_text": "response.choices[].message.content",
    "params": "model_parameters",
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "latency_ms": "response_time, in seconds; endTime - startTime",
    "status": "status (success is 200); error_information.error_code",
    **CONTEXT_SOURCES,
    "conversation_id": "metadata.requester_metadata.session_id; litellm_session_id; session_id",
}


def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, recognise, is_batched=True)


FORMAT = Format(
    name=NAME,
    sentence="LiteLLM proxy: the StandardLoggingPayload that its callbacks get, or rows of SpendLogs",
    sources=SOURCES,
    make_decoder=make_decoder,
    marks=(
        ("litellm_call_id|litellm_params|standard_logging_object",),
        ("call_type", "model_group|response_cost|spend|metadata.user_api_key_hash|custom_llm_provider"),
    ),
)


def read(message: LogMessage) -> list[Reading]:
    """One call."""
    payload = message.document.get("standard_logging_object", message.document)
    if not isinstance(payload, dict) or ("litellm_call_id" not in payload and "call_type" not in payload):
        raise MessageFault(
            "schema", "litellm_call_id", "no standard logging payload: litellm_call_id is missing"
        )
    metadata = nested_or_text(payload.get("metadata"))  # text in rows of SpendLogs
    response = message.body(payload.get("response"))
    answered = response_fields(response)
    client_ip = message.client_ip(
        first(payload.get("requester_ip_address"), dig(metadata, "requester_ip_address"))
    )
    custom = dig(metadata, "requester_custom_headers")
    headers = {str(name).lower(): value for name, value in custom.items()} if isinstance(custom, dict) else {}
    user = first(dig(metadata, "user_api_key_user_id"), payload.get("user"))
    end_users = (dig(metadata, "user_api_key_end_user_id"), payload.get("end_user"))
    key_hash = first_name(dig(metadata, "user_api_key_hash"), payload.get("api_key"))
    started, ended = payload.get("startTime"), payload.get("endTime")
    vectors = embeddings_of(response)
    asked = _request_of(payload)
    plain = plain_request_fields(asked)
    context = request_context(asked) if plain is None else plain
    fields: Fields = {
        **context,
        **answered,
        # litellm_call_id comes from a header that clients may set, so a repeat of it proves no repeat.
        "event_id": first_name(
            payload.get("id"), payload.get("request_id"), payload.get("litellm_call_id"), message.origin
        ),
        "event_time": message.time_ms(in_utc(started)),
        "account_id": message.account(
            payload,
            user,
            # The master key stands for the proxy itself: it pays for nobody, so the end user counts.
            *(end_users if name_of(user) is not None else ()),
            key_hash,
            *end_users,
            client_ip=client_ip,
        ),
        "tenant_id": message.tenant(
            dig(metadata, "user_api_key_org_id"),
            dig(metadata, "user_api_key_team_id"),
            payload.get("team_id"),
            *(headers.get(name) for name in message.options.tenant_headers),
        ),
        "api_key_id": key_hash,
        "user_agent": agent_of(first(payload.get("user_agent"), dig(metadata, "user_agent"))),
        "client_ip": client_ip,
        "model_id": message.model(payload.get("model_group"), payload.get("model")),
        "input": _asked(nested_or_text(payload.get("messages"))) if plain is None else plain["input"],
        "conversation_id": first_name(
            dig(metadata, "requester_metadata", "session_id"),
            payload.get("litellm_session_id"),
            context.get("conversation_id"),
            payload.get("session_id"),
        ),
        "output_text": None if vectors else answered.get("output_text"),
        "params": plain["params"] if plain else _params_of(payload.get("model_parameters")),
        "input_tokens": count_of(first(payload.get("prompt_tokens"), answered.get("input_tokens"))),
        "output_tokens": count_of(first(payload.get("completion_tokens"), answered.get("output_tokens"))),
        "latency_ms": _latency_ms(payload.get("response_time"), started, ended),
        "status": _status(payload),
    }
    return list(numbered(split_embeddings(fields, payload.get("messages"), vectors)))


def _params_of(parameters: Any) -> Fields | None:
    return params_of(parameters) if isinstance(parameters, dict) else None


def _request_of(payload: dict[str, Any]) -> dict[str, Any]:
    """The request's body, put together from where the payload holds its parts."""
    messages, parameters = nested_or_text(payload.get("messages")), payload.get("model_parameters")
    body = messages if isinstance(messages, dict) else {"messages": messages}
    return {**(parameters if isinstance(parameters, dict) else {}), **body}


def _asked(messages: Any) -> Any:
    if isinstance(messages, dict):  # some call types log the request's body here
        messages = first(messages.get("messages"), messages.get("input"), messages.get("prompt"))
    text = messages_text(messages)
    return text if text is not None or isinstance(messages, str) else prompt_of(messages)


def _latency_ms(response_s: Any, started: Any, ended: Any) -> float | None:
    seconds = response_s
    if not isinstance(seconds, int | float) and isinstance(started, float) and isinstance(ended, float):
        seconds = ended - started
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return round(1000.0 * seconds, 3) if is_number and abs(seconds) < 1e9 else None


def _status(payload: dict[str, Any]) -> int | None:
    if payload.get("status") != "failure":
        return 200 if payload.get("status") == "success" else None
    code = count_of(dig(payload, "error_information", "error_code"))
    return code if isinstance(code, int) and 0 <= code <= 999 else 500
