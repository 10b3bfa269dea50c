"""LiteLLM's standard logging payload, alone, in an array, or within a callback's keyword arguments."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct

from copycatch.formats.shared.chat import (
    asked_of,
    embeddings_of,
    params_of,
    prompt_of,
    response_fields,
    split_embeddings,
    split_prompts,
)
from copycatch.formats.shared.contents import UNREAD, is_without_text, messages_text
from copycatch.formats.shared.context import CONTEXT_SOURCES, request_context
from copycatch.formats.shared.documents import DocumentDecoder
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import Format, FormatOptions
from copycatch.formats.shared.messages import (
    CLIENT_IP_CHARS_MAX,
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
from copycatch.formats.shared.typed_chat import (
    MESSAGES_MAX,
    Message,
    Name,
    Options,
    Response,
    are_ids,
    asked_in,
    first_of,
    stripped,
)
from copycatch.records.wire import Count, InferenceRecord

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
    "input": "messages (last of a user); proxy_server_request, where rows of SpendLogs keep it",
    "embedding": "response.data[0].embedding",
    "output_text": "response.choices[].message.content",
    "params": "model_parameters; proxy_server_request",
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "latency_ms": "response_time, in seconds; endTime - startTime",
    "status": "status (success is 200); error_information.error_code",
    **CONTEXT_SOURCES,
    "conversation_id": "metadata.requester_metadata.session_id; litellm_session_id; session_id",
}


def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
    """A decoder of this format."""
    return DocumentDecoder(NAME, read, SOURCES, options, recognise, is_batched=True, plain=read_plain)


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


_Address = Annotated[str, Meta(max_length=CLIENT_IP_CHARS_MAX)] | None


class _Session(Struct, gc=False):
    session_id: Name = None


class _Metadata(Struct, gc=False, kw_only=True):
    user_api_key_hash: Name = None
    user_api_key_org_id: Name = None
    user_api_key_team_id: Name = None
    user_api_key_user_id: Name = None
    user_api_key_end_user_id: Name = None
    requester_ip_address: _Address = None
    user_agent: str | None = None
    requester_metadata: _Session | None = None


class _Payload(Struct, gc=False, kw_only=True):
    """What callbacks of the proxy get for a chat."""

    id: Name = None
    session_id: Name = None
    litellm_call_id: Name = None
    call_type: str
    status: str | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    startTime: str | int | float | None = None  # noqa: N815 - as LiteLLM names them
    endTime: str | int | float | None = None  # noqa: N815
    response_time: float | None = None
    model: Name = None
    model_group: Name = None
    metadata: _Metadata
    end_user: Name = None
    requester_ip_address: _Address = None
    user_agent: str | None = None
    messages: Annotated[list[Message], Meta(min_length=1, max_length=MESSAGES_MAX)]
    response: Response
    model_parameters: Options | None = None
    request_id: Name = None
    api_key: Name = None
    user: Name = None
    team_id: Name = None
    litellm_session_id: Name = None
    standard_logging_object: Any = UNSET


_decode_payload = msgspec.json.Decoder(_Payload).decode


def read_plain(value: bytes, message: LogMessage) -> list[InferenceRecord] | None:
    """The record of a chat of text that was answered, as `read` reads it; None for all else."""
    if message.options.tenant_headers:  # they lie among keys that are not read here
        return None
    try:
        payload = _decode_payload(value)
        event_time = message.time_ms(in_utc(payload.startTime))
    except (ValueError, RecursionError, MessageFault):
        return None
    asked, response, metadata = asked_in(payload.messages), payload.response, payload.metadata
    is_plain = asked is not None and response.is_plain() and payload.status != "failure"
    is_known = payload.litellm_call_id or payload.model_group or metadata.user_api_key_hash
    if asked is None or not (is_plain and is_known) or payload.standard_logging_object is not UNSET:
        return None
    client_ip = message.client_ip(first(payload.requester_ip_address, metadata.requester_ip_address))
    user = first(metadata.user_api_key_user_id, payload.user)
    end_users = (metadata.user_api_key_end_user_id, payload.end_user)
    key_hash = first_of(metadata.user_api_key_hash, payload.api_key)
    payers = (user, *end_users, key_hash) if stripped(user) is not None else (user, key_hash, *end_users)
    account = message.account(None, *payers, client_ip=client_ip)
    tenant = first_of(metadata.user_api_key_org_id, metadata.user_api_key_team_id, payload.team_id)
    event_id = first_of(payload.id, payload.request_id, payload.litellm_call_id, message.origin)
    model = message.model(payload.model_group, payload.model)
    if event_id is None or event_time is None or account is None or model is None:
        return None
    if not are_ids(event_id, account, model):
        return None
    session = metadata.requester_metadata
    usage = response.usage
    parameters = payload.model_parameters
    return [
        InferenceRecord(
            event_id=event_id,
            event_time=event_time,
            account_id=account,
            model_id=model,
            tenant_id=tenant,
            api_key_id=key_hash,
            user_agent=agent_of(first(payload.user_agent, metadata.user_agent)),
            client_ip=client_ip,
            model_version=stripped(response.model),
            input=asked.text,
            output_text=response.choices[0].message.content,
            params=None if parameters is None else parameters.params(),
            input_tokens=first(payload.prompt_tokens, usage.prompt_tokens),
            output_tokens=first(payload.completion_tokens, usage.completion_tokens),
            latency_ms=_latency_ms(payload.response_time, payload.startTime, payload.endTime),
            status=200 if payload.status == "success" else None,
            conversation_id=first_of(
                None if session is None else session.session_id,
                payload.litellm_session_id,
                asked.conversation_id,
                payload.session_id,
            ),
            turn=asked.turn,
            system_hash=asked.system_hash,
            finish_reason=response.reason,
        )
    ]


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
        "input": _asked(_said(payload)) if plain is None else plain["input"],
        "conversation_id": first_name(
            dig(metadata, "requester_metadata", "session_id"),
            payload.get("litellm_session_id"),
            context.get("conversation_id"),
            payload.get("session_id"),
        ),
        "output_text": None if vectors else answered.get("output_text"),
        "params": plain["params"] if plain else params_of(asked),
        "input_tokens": count_of(first(payload.get("prompt_tokens"), answered.get("input_tokens"))),
        "output_tokens": count_of(first(payload.get("completion_tokens"), answered.get("output_tokens"))),
        "latency_ms": _latency_ms(payload.get("response_time"), started, ended),
        "status": _status(payload),
    }
    said = _said(payload)
    if vectors:
        return list(numbered(split_embeddings(fields, said, vectors)))
    return list(
        numbered(split_prompts(fields, said if isinstance(said, dict) else {"prompt": said}, response))
    )


def _said(payload: dict[str, Any]) -> Any:
    """The messages, or the request's body: some call types log it as messages, SpendLogs apart from them."""
    messages = nested_or_text(payload.get("messages"))
    if messages not in (None, "", {}, []):
        return messages
    request = nested_or_text(payload.get("proxy_server_request"))
    body = nested_or_text(dig(request, "body"))  # of callbacks: with URL and headers
    return first(body, request if isinstance(request, dict) else None, messages)


def _request_of(payload: dict[str, Any]) -> dict[str, Any]:
    """The request's body, put together from where the payload holds its parts."""
    messages, parameters = _said(payload), nested_or_text(payload.get("model_parameters"))
    body = messages if isinstance(messages, dict) else {"messages": messages}
    return {**(parameters if isinstance(parameters, dict) else {}), **body}


def _asked(messages: Any) -> Any:
    if isinstance(messages, dict):
        messages = first(messages.get("messages"), messages.get("input"), asked_of(messages))
    text = messages_text(messages)
    if text is None and is_without_text(messages):
        return UNREAD
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
