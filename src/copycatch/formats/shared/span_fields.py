"""Fields of spans and log events of GenAI, in all the ways in which conventions old and new write them."""

from typing import Any

from copycatch.formats.shared.chat import params_of, split_embeddings
from copycatch.formats.shared.contents import UNREAD, is_without_text, messages_text
from copycatch.formats.shared.context import conversation_fields, response_context, word_of
from copycatch.formats.shared.dialects import translated
from copycatch.formats.shared.messages import (
    Fields,
    LogMessage,
    count_of,
    dig,
    first,
    first_name,
    nested_or_text,
    parts_or_text,
    text_of,
)
from copycatch.formats.shared.otlp import (
    Attributes,
    attributes_of,
    dicts_of,
    known_time,
    latency_ms_of,
    plain_value,
    status_of,
)
from copycatch.formats.shared.plain_spans import ENCLOSING
from copycatch.formats.shared.platform_dialects import PARAMETERS, TEXTS, VECTORS
from copycatch.formats.shared.predictions import numbered
from copycatch.formats.shared.span_contents import SpanContents
from copycatch.formats.shared.typed_spans import ACCOUNT_NAMES

ROLE_BY_EVENT = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "choice",
}
_INDEXED_MAX = 200
_SIDES = ("gen_ai.input.messages", "gen_ai.output.messages")


def fields_there(
    message: LogMessage,
    item: dict[str, Any],
    attributes: Attributes,
    contents: SpanContents,
    *,
    is_last: bool,
) -> Fields | None:
    attributes = translated(attributes)
    operation = first(attributes.get("gen_ai.operation.name"), attributes.get("traceloop.span.kind"))
    model = first_name(attributes.get("gen_ai.request.model"), attributes.get("gen_ai.response.model"))
    if str(operation).lower() in ENCLOSING:
        return None
    if model is None and (operation is None or str(operation).lower() == "unknown"):
        message.notes["unknown"] += 1
        return None
    for side in _SIDES:  # once: the text and what stands around it are both read from it
        messages_given = nested_or_text(attributes.get(side))
        if isinstance(messages_given, list):
            attributes[side] = messages_given
    body = body_of(item)
    events = dicts_of(item.get("events"))
    said = [message_of_event(each.get("name"), attributes_of(each.get("attributes"))) for each in events]
    listed = dicts_of(nested_or_text(attributes.get("events")))  # of Pydantic AI, in an attribute
    said += [message_of_event(each.get("event.name"), each) for each in listed]
    trace, key = first_name(item.get("traceId"), item.get("trace_id")) or "", span_key(item) or ""
    kept = contents.messages_of(trace, key, is_last=is_last)
    messages = [each for each in said if each is not None] + kept
    asked = [each for each in messages if each["role"] != "choice"]
    answered = [each for each in messages if each["role"] == "choice"]
    started = known_time(item, "startTimeUnixNano", "start_time_unix_nano")
    ended = known_time(item, "endTimeUnixNano", "end_time_unix_nano")
    logged = known_time(
        item, "timeUnixNano", "time_unix_nano", "observedTimeUnixNano", "observed_time_unix_nano"
    )
    client_ip = message.client_ip(None, attributes.get("client.address"), attributes.get("net.peer.ip"))
    accounts = (attributes.get(name) for name in ACCOUNT_NAMES)
    return {
        **_context_of(attributes, body, asked, answered),
        "event_id": _event_id(message, item, attributes),
        "event_time": message.time_ms(started, logged, ended),
        "account_id": message.account(attributes, *accounts, client_ip=client_ip),
        "tenant_id": message.tenant(attributes.get("tenant.id"), attributes.get("organization.id")),
        "user_agent": text_of(attributes.get("user_agent.original")),
        "client_ip": client_ip,
        "model_id": message.model(model),
        "model_version": first_name(attributes.get("gen_ai.response.model")),
        "input": _said(attributes, body, "input", "prompt")
        or messages_text(asked)
        or (UNREAD if is_without_text(attributes.get(_SIDES[0])) else None),
        "output_text": _said(attributes, body, "output", "completion") or messages_text(answered),
        "params": _params_of(attributes),
        "input_tokens": _tally(attributes, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        "output_tokens": _tally(attributes, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        "latency_ms": latency_ms_of(started, ended),
        "status": status_of(item, attributes),
    }


def _context_of(
    attributes: Attributes, body: Any, asked: list[dict[str, Any]], answered: list[dict[str, Any]]
) -> Fields:
    """What stands around the question."""

    def found(name: str) -> Any:
        return nested_or_text(first(attributes.get(name), dig(body, name)))

    inputs, outputs = found("gen_ai.input.messages"), found("gen_ai.output.messages")
    inputs = dicts_of(inputs) or dicts_of(found("gen_ai.prompt"))
    inputs = inputs or _indexed_messages(attributes, "gen_ai.prompt") or asked
    outputs = dicts_of(outputs) or dicts_of(found("gen_ai.completion"))
    outputs = outputs or _indexed_messages(attributes, "gen_ai.completion") or answered
    context = conversation_fields(
        inputs, found("gen_ai.system_instructions"), found("gen_ai.tool.definitions")
    )
    answer = response_context({"choices": outputs})
    reason = word_of(found("gen_ai.response.finish_reasons"))
    conversation = first_name(attributes.get("gen_ai.conversation.id"), attributes.get("session.id"))
    previous = first_name(attributes.get("gen_ai.request.previous_response.id"))
    return {
        **context,
        **answer,
        "finish_reason": reason or answer.get("finish_reason"),
        "conversation_id": conversation or context.get("conversation_id"),
        "reasoning_refs": context.get("reasoning_refs") if previous is None else [previous],
        "plan": first(attributes.get("enduser.plan"), attributes.get("user.plan")),
        "asn": count_of(attributes.get("client.as.number")),
    }


def _event_id(message: LogMessage, item: dict[str, Any], attributes: Attributes) -> str | None:
    # A span and the log event about it have both ids in common: whoever logs both counts the query once.
    span = first_name(item.get("spanId"), item.get("span_id"))
    return span_key(item) or first_name(attributes.get("gen_ai.response.id"), span, message.origin)


def _said(attributes: Attributes, body: Any, side: str, old: str) -> str | None:
    """Text of the prompt or the answer, in whichever way it is logged."""
    whole = first(attributes.get(f"gen_ai.{side}.messages"), dig(body, f"gen_ai.{side}.messages"))
    if whole is None:
        whole = attributes.get(f"gen_ai.{old}")
    if whole is None:
        return _indexed(attributes, f"gen_ai.{old}")
    document = nested_or_text(whole)
    return messages_text(document) if isinstance(document, list) else text_of(whole)


def _indexed(attributes: Attributes, prefix: str) -> str | None:
    """The last message of a user among `prefix.N.role` and `prefix.N.content`."""
    return messages_text(_indexed_messages(attributes, prefix))


def _indexed_messages(attributes: Attributes, prefix: str) -> list[dict[str, Any]]:
    messages = []
    for index in range(_INDEXED_MAX):
        content = first(attributes.get(f"{prefix}.{index}.content"), attributes.get(f"{prefix}.{index}.user"))
        if content is None:
            break
        messages.append(
            {
                "role": attributes.get(f"{prefix}.{index}.role"),
                "content": parts_or_text(content),
                "finish_reason": attributes.get(f"{prefix}.{index}.finish_reason"),
            }
        )
    return messages


def _params_of(attributes: Attributes) -> Fields | None:
    params = {
        "temperature": attributes.get("gen_ai.request.temperature"),
        "n": count_of(attributes.get("gen_ai.request.choice.count")),
        "max_tokens": count_of(attributes.get("gen_ai.request.max_tokens")),
        "top_logprobs": count_of(attributes.get("gen_ai.request.top_logprobs")),
    }
    whole = attributes.get(PARAMETERS)
    given = {name: value for name, value in params.items() if value is not None}
    return {**((params_of(whole) or {}) if isinstance(whole, dict) else {}), **given} or None


def _tally(attributes: Attributes, *names: str) -> Any:
    return count_of(first(*(attributes.get(name) for name in names)))


def each_text(fields: Fields, attributes: Attributes) -> list[Fields]:
    """A query for each text of a span that embeds several."""
    told = translated(attributes)
    texts, vectors = told.get(TEXTS), told.get(VECTORS)
    if isinstance(vectors, list) and vectors:
        return numbered(split_embeddings(fields, texts, vectors))
    if isinstance(texts, list) and texts:
        return numbered([{**fields, "input": text} for text in texts])
    return [fields]


def message_of_event(name: Any, body: Any) -> dict[str, Any] | None:
    """A chat message out of an event `gen_ai.user.message` and the like; a choice has role `choice`."""
    role = ROLE_BY_EVENT.get(name) if isinstance(name, str) else None
    if role is None:
        return None
    body = nested_or_text(first(dig(body, "gen_ai.event.content"), body))
    message = nested_or_text(dig(body, "message"))
    content = first(dig(body, "content"), dig(message, "content"), message)
    return {"role": role, "content": parts_or_text(content), "finish_reason": dig(body, "finish_reason")}


def body_of(item: dict[str, Any]) -> Any:
    body = item.get("body")
    return plain_value(body) if isinstance(body, dict) else body


def span_key(item: dict[str, Any]) -> str | None:
    trace = first_name(item.get("traceId"), item.get("trace_id"))
    span = first_name(item.get("spanId"), item.get("span_id"))
    return f"{trace}-{span}" if trace and span else None
