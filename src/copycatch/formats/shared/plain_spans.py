"""Records of spans that hold a chat of text: what most exporters of GenAI spans send.

Whatever is of another kind raises `NotPlain`, and the message goes the long way of `formats.otel`; tests hold
the two ways to the same records.
"""

from typing import Annotated, Any, Literal, TypeGuard

import msgspec
from msgspec import Meta, Struct

from copycatch.formats.shared.contents import is_redacted
from copycatch.formats.shared.context import WORD_CHARS_MAX, hash_of, system_text, word_of
from copycatch.formats.shared.messages import LogMessage, compact_text, first_name, nested_or_text, text_of
from copycatch.formats.shared.otlp import Attributes, latency_ms_of, status_of
from copycatch.formats.shared.typed_chat import MESSAGES_MAX, are_ids
from copycatch.formats.shared.typed_spans import ACCOUNT_NAMES, NotPlain, Span
from copycatch.records.wire import TEXT_CHARS_MAX, InferenceRecord, Params

_COUNT_MAX = 1 << 53
_NANOS_CHARS = 19
_UNKNOWN_TIMES = (None, 0, "0", "")
# Spans of these enclose spans that ask a model, and would count them twice; any other operation asks one.
ENCLOSING = frozenset(
    {
        *(
            "create_agent",
            "invoke_agent",
            "execute_tool",
            "invoke_workflow",
            "execute_task",
            "plan",
            "handoff",
        ),
        *("agent", "tool", "workflow", "task", "chain", "retriever", "retrieval"),
        *("guardrail", "evaluator", "prompt", "session"),
    }
)


class _Part(Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text"]
    content: str | None = None
    text: str | None = None


class _Turn(Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["system", "developer", "user", "assistant"]
    parts: list[_Part] | None = None
    content: Annotated[str, Meta(min_length=1)] | None = None
    finish_reason: str | None = None

    def said(self) -> str:
        text, parts = self.content, self.parts
        if text is None:
            if parts is not None and len(parts) == 1:  # as most are
                text = parts[0].content if parts[0].text is None else parts[0].text
            else:
                texts = [part.content if part.text is None else part.text for part in parts or ()]
                text = "\n".join([each for each in texts if each is not None])
        if not text or len(text) > TEXT_CHARS_MAX:
            raise NotPlain
        return text


class Talk(Struct, gc=False):
    """What was asked and answered, and what stands around it."""

    asked: str
    told: str
    turn: int
    reason: str | None
    system_hash: str | None
    tools_hash: str | None
    conversation_id: str | None


_decode_turns = msgspec.json.Decoder(
    Annotated[list[_Turn], Meta(min_length=1, max_length=MESSAGES_MAX)]
).decode


def talk_of(attributes: Attributes) -> Talk:
    """What was said, of a span that holds all of it.

    Raises
    ------
    NotPlain
        If it does not, or holds more than texts.
    """
    get = attributes.get
    asked, told = get("gen_ai.input.messages"), get("gen_ai.output.messages")
    if type(asked) is not str or type(told) is not str:
        raise NotPlain
    try:
        turns, answers = _decode_turns(asked), _decode_turns(told)
    except (ValueError, RecursionError):
        raise NotPlain from None
    answer = answers[0]
    if len(answers) != 1 or answer.role != "assistant":
        raise NotPlain
    systems = _instructions(get("gen_ai.system_instructions"))
    beginning: list[tuple[str, str]] = []
    question, n_turns, is_answered = "", 0, False
    for each in turns:
        text, role = each.said(), each.role
        if role == "user":
            question = text
            n_turns += 1
        elif role != "assistant":
            systems.append(text)
            continue
        if not is_answered:
            beginning.append((role, text))
            is_answered = role == "assistant"
    answered, reason = answer.said(), _reason(get("gen_ai.response.finish_reasons"), answer)
    if not n_turns or is_redacted(question) or is_redacted(answered):
        raise NotPlain
    spoken = "\n".join(systems)
    return Talk(
        question,
        answered,
        n_turns,
        reason,
        hash_of(spoken) if spoken else None,
        _tools_hash(get("gen_ai.tool.definitions")),
        hash_of("\n".join([spoken, *map(": ".join, beginning)])) if is_answered else None,
    )


def _instructions(given: Any) -> list[str]:
    system = None if given is None else nested_or_text(given)
    instructed = system if isinstance(system, str) else system_text(system)
    return [instructed] if instructed else []


def _tools_hash(given: Any) -> str | None:
    tools = None if given is None else nested_or_text(given)
    return hash_of(compact_text(tools) or "") if isinstance(tools, list | dict) and tools else None


def _reason(given: Any, answer: _Turn) -> str | None:
    reason = word_of(given if isinstance(given, list) else nested_or_text(given))
    reason = reason or word_of(answer.finish_reason)
    if reason is not None and not (reason.isascii() and len(reason) <= WORD_CHARS_MAX):
        raise NotPlain
    return reason


def params_of_span(attributes: Attributes) -> Params | None:
    """Options of a request; see `talk_of`."""
    get = attributes.get
    temperature = get("gen_ai.request.temperature")
    if temperature is not None and type(temperature) not in (int, float):
        raise NotPlain
    n, limit = tally(get("gen_ai.request.choice.count")), tally(get("gen_ai.request.max_tokens"))
    top = tally(get("gen_ai.request.top_logprobs"))
    if temperature is None and n is None and limit is None and top is None:
        return None
    return Params(
        n=n,
        max_tokens=limit,
        top_logprobs=top,
        temperature=None if temperature is None else float(temperature),
    )


def tally(*found: Any) -> int | None:
    """The first tally that is there; see `talk_of`."""
    for each in found:
        if each is not None:
            if type(each) is not int or not 0 <= each <= _COUNT_MAX:
                raise NotPlain
            return each
    return None


def time_of(given: str | int | None) -> str | int | None:
    """A time of a span; 0 is how OTLP writes that it is unknown."""
    return None if given in _UNKNOWN_TIMES else given


def _times_of(message: LogMessage, span: Span) -> tuple[int | None, float | None]:
    """When a span began, as `LogMessage.time_ms`, and its milliseconds."""
    started, ended = span.startTimeUnixNano, span.endTimeUnixNano
    if _is_nanos(started) and _is_nanos(ended):
        started_ns = int(started)
        return started_ns // 1_000_000, (int(ended) - started_ns) / 1e6
    started, ended = time_of(started), time_of(ended)
    return message.time_ms(started, ended), latency_ms_of(started, ended)


def _is_nanos(time: str | int | None) -> TypeGuard[str]:
    """Whether a time is in nanoseconds of today, which need no look at their unit."""
    return (
        type(time) is str
        and len(time) == _NANOS_CHARS
        and time[0] >= "1"
        and time.isascii()
        and time.isdigit()
    )


def event_id_of(span: Span) -> str:
    """Both ids of a span; see `talk_of`."""
    trace, own = span.traceId.strip(), span.spanId.strip()
    if not trace or not own:
        raise NotPlain
    return f"{trace}-{own}"


def _status(span: Span, attributes: Attributes) -> Any:
    if not span.status and "error.type" not in attributes and "http.response.status_code" not in attributes:
        return None
    return status_of({"status": span.status}, attributes)


def plain_record(message: LogMessage, span: Span, attributes: Attributes) -> InferenceRecord | None:
    """The record of a span; None where it encloses those that ask; see `talk_of`."""
    get = attributes.get
    if str(get("gen_ai.operation.name")).lower() in ENCLOSING:
        return None
    version, asked = first_name(get("gen_ai.response.model")), first_name(get("gen_ai.request.model"))
    model = message.model(asked or version)
    if span.events or (version is None and asked is None):
        raise NotPlain
    talk = talk_of(attributes)
    client_ip = message.client_ip(None, get("client.address"), get("net.peer.ip"))
    account = message.account(None, *map(get, ACCOUNT_NAMES), client_ip=client_ip)
    tenant = message.tenant(get("tenant.id"), get("organization.id"))
    event_id = event_id_of(span)
    event_time, latency_ms = _times_of(message, span)
    conversation = first_name(get("gen_ai.conversation.id"), get("session.id")) or talk.conversation_id
    if account is None or model is None or event_time is None:
        raise NotPlain
    if not are_ids(event_id, account, model, tenant, version, conversation):
        raise NotPlain
    return InferenceRecord(
        event_id=event_id,
        event_time=event_time,
        account_id=account,
        model_id=model,
        tenant_id=tenant,
        user_agent=text_of(get("user_agent.original")),
        client_ip=client_ip,
        model_version=version,
        input=talk.asked,
        output_text=talk.told,
        params=params_of_span(attributes),
        input_tokens=tally(get("gen_ai.usage.input_tokens"), get("gen_ai.usage.prompt_tokens")),
        output_tokens=tally(get("gen_ai.usage.output_tokens"), get("gen_ai.usage.completion_tokens")),
        latency_ms=latency_ms,
        status=_status(span, attributes),
        conversation_id=conversation,
        turn=talk.turn,
        system_hash=talk.system_hash,
        tools_hash=talk.tools_hash,
        finish_reason=talk.reason,
    )
