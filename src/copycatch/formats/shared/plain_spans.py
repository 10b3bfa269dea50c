"""Spans of a chat of text as types: what most exporters of GenAI spans send, read in one look.

Whatever is of another kind raises `NotPlain`, and the message goes the long way of `formats.otel`; tests hold
the two ways to the same records.
"""

from itertools import chain
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from copycatch.formats.shared.contents import REDACTIONS
from copycatch.formats.shared.context import WORD_CHARS_MAX, hash_of, system_text, word_of
from copycatch.formats.shared.dialects import PARAMETERS, TEXTS, TOLD_ROOTS, VECTORS, is_about, roots_of
from copycatch.formats.shared.messages import (
    LogMessage,
    compact_text,
    count_of,
    first_name,
    nested_or_text,
    text_of,
)
from copycatch.formats.shared.otlp import Attributes, latency_ms_of, status_of
from copycatch.formats.shared.typed_chat import MESSAGES_MAX, are_ids
from copycatch.records.wire import TEXT_CHARS_MAX, InferenceRecord, Params

_ITEMS_MAX = 20_000
_COUNT_MAX = 1 << 53
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
        *("agent", "tool", "workflow", "task", "chain", "retriever", "retrieval", "rerank", "reranker"),
        *("guardrail", "evaluator", "prompt", "session"),
    }
)
ACCOUNT_NAMES = ("user.id", "enduser.id", "gen_ai.user.id", "gen_ai.user", "gen_ai.request.user")
# Attributes that change what the others mean, or that few exporters send.
_RARE = frozenset(
    {
        *(PARAMETERS, TEXTS, VECTORS, "gen_ai.request.previous_response.id", "enduser.plan", "user.plan"),
        "client.as.number",
    }
)


class NotPlain(Exception):  # noqa: N818 - a finding about data, caught where messages are read
    """A message that must go the long way."""


class _Scalar(Struct, forbid_unknown_fields=True, gc=False):
    stringValue: str | UnsetType = UNSET  # noqa: N815 - as OTLP names them
    intValue: int | str | UnsetType = UNSET  # noqa: N815
    doubleValue: int | float | UnsetType = UNSET  # noqa: N815
    boolValue: bool | UnsetType = UNSET  # noqa: N815

    def plain(self) -> Any:
        whole, number, flag = self.intValue, self.doubleValue, self.boolValue
        if self.stringValue is not UNSET:
            if whole is UNSET and number is UNSET and flag is UNSET:
                return self.stringValue
        elif whole is not UNSET:
            if number is UNSET and flag is UNSET:
                return count_of(whole)
        elif number is not UNSET:
            if flag is UNSET:
                return number
        elif flag is not UNSET:
            return flag
        raise NotPlain


class _Array(Struct, forbid_unknown_fields=True, gc=False):
    values: list[_Scalar]


class _Value(_Scalar, forbid_unknown_fields=True, gc=False):
    arrayValue: _Array | UnsetType = UNSET  # noqa: N815

    def plain(self) -> Any:
        if self.arrayValue is UNSET:
            return _Scalar.plain(self)
        if any(each is not UNSET for each in (self.intValue, self.doubleValue, self.boolValue)):
            raise NotPlain
        if self.stringValue is not UNSET:
            raise NotPlain
        return [each.plain() for each in self.arrayValue.values]


class _Attribute(Struct, gc=False):
    key: str
    value: _Value


class Span(Struct, gc=False, kw_only=True):
    """A span; one with a key behind `rare` goes the long way."""

    traceId: str  # noqa: N815
    spanId: str  # noqa: N815
    startTimeUnixNano: str | int | None = None  # noqa: N815
    endTimeUnixNano: str | int | None = None  # noqa: N815
    attributes: list[_Attribute] = []
    events: list[Raw] = []
    status: Any = None
    start_time_unix_nano: Any = None
    end_time_unix_nano: Any = None
    timeUnixNano: Any = None  # noqa: N815
    time_unix_nano: Any = None
    observedTimeUnixNano: Any = None  # noqa: N815
    observed_time_unix_nano: Any = None
    eventName: Any = None  # noqa: N815
    event_name: Any = None
    body: Any = None

    def has_rare(self) -> bool:
        return not (
            self.start_time_unix_nano is None
            and self.end_time_unix_nano is None
            and self.timeUnixNano is None
            and self.time_unix_nano is None
            and self.observedTimeUnixNano is None
            and self.observed_time_unix_nano is None
            and self.eventName is None
            and self.event_name is None
            and self.body is None
        )


class _Scope(Struct, gc=False):
    spans: list[Span]


class _Resource(Struct, gc=False):
    attributes: list[_Attribute] = []


class _Group(Struct, gc=False):
    scopeSpans: list[_Scope]  # noqa: N815
    resource: _Resource | None = None


class _Export(Struct, gc=False):
    resourceSpans: list[_Group]  # noqa: N815
    resourceLogs: Any = None  # noqa: N815
    resource_spans: Any = None
    resource_logs: Any = None


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
        text = self.content
        if text is None:
            texts = [part.content if part.text is None else part.text for part in self.parts or ()]
            text = "\n".join([each for each in texts if each is not None])
        if not 0 < len(text) <= TEXT_CHARS_MAX:
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


_decode_export = msgspec.json.Decoder(_Export).decode
_decode_turns = msgspec.json.Decoder(
    Annotated[list[_Turn], Meta(min_length=1, max_length=MESSAGES_MAX)]
).decode


def spans_of(value: bytes) -> list[tuple[Span, Attributes]]:
    """Spans of an export with their attributes, those of the resource below their own.

    Raises
    ------
    NotPlain
        If the message holds anything else.
    """
    try:
        export = _decode_export(value)
    except (ValueError, RecursionError):
        raise NotPlain from None
    others = (export.resourceLogs, export.resource_spans, export.resource_logs)
    if any(each is not None for each in others):
        raise NotPlain
    found: list[tuple[Span, Attributes]] = []
    for group in export.resourceSpans:
        shared = group.resource.attributes if group.resource is not None else []
        for scope in group.scopeSpans:
            for span in scope.spans:
                if span.has_rare() or len(found) == _ITEMS_MAX:
                    raise NotPlain
                found.append((span, _plain_attributes(shared, span.attributes)))
    return found


def _plain_attributes(shared: list[_Attribute], own: list[_Attribute]) -> Attributes:
    attributes: Attributes = {}
    for each in chain(shared, own):
        value = each.value
        text = value.stringValue
        attributes[each.key] = value.plain() if text is UNSET else text
    return attributes


def is_chat(attributes: Attributes) -> bool:
    """Whether the attributes are those of a language model, told by OpenTelemetry's names alone.

    Raises
    ------
    NotPlain
        If they are told by another convention, or say something that few do.
    """
    if "event.name" in attributes:
        raise NotPlain
    roots = roots_of(attributes)
    if not is_about(roots):
        return False
    if not (TOLD_ROOTS.isdisjoint(roots) and _RARE.isdisjoint(attributes)):
        raise NotPlain
    return True


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
    system, tools = get("gen_ai.system_instructions"), get("gen_ai.tool.definitions")
    system = None if system is None else nested_or_text(system)
    tools = None if tools is None else nested_or_text(tools)
    instructed = system if isinstance(system, str) else system_text(system)
    systems = [instructed] if instructed else []
    beginning: list[str] = []
    question, n_turns, is_answered = "", 0, False
    for each in turns:
        text = each.said()
        if each.role == "user":
            question = text
            n_turns += 1
        elif each.role != "assistant":
            systems.append(text)
            continue
        if not is_answered:
            beginning.append(f"{each.role}: {text}")
            is_answered = each.role == "assistant"
    answered = answer.said()
    reason = word_of(nested_or_text(get("gen_ai.response.finish_reasons"))) or word_of(answer.finish_reason)
    is_word = reason is None or (reason.isascii() and len(reason) <= WORD_CHARS_MAX)
    if not n_turns or question in REDACTIONS or answered in REDACTIONS or not is_word:
        raise NotPlain
    spoken = "\n".join(systems)
    return Talk(
        question,
        answered,
        n_turns,
        reason,
        hash_of(spoken) if spoken else None,
        hash_of(compact_text(tools) or "") if isinstance(tools, list | dict) and tools else None,
        hash_of("\n".join([spoken, *beginning])) if is_answered else None,
    )


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


def event_id_of(span: Span) -> str:
    """Both ids of a span; see `talk_of`."""
    ids = first_name(span.traceId), first_name(span.spanId)
    if None in ids:
        raise NotPlain
    return f"{ids[0]}-{ids[1]}"


def plain_record(message: LogMessage, span: Span, attributes: Attributes) -> InferenceRecord | None:
    """The record of a span; None where it encloses those that ask; see `talk_of`."""
    get = attributes.get
    if str(get("gen_ai.operation.name")).lower() in ENCLOSING:
        return None
    version = first_name(get("gen_ai.response.model"))
    model = message.model(first_name(get("gen_ai.request.model")) or version)
    if span.events or (version is None and first_name(get("gen_ai.request.model")) is None):
        raise NotPlain
    talk = talk_of(attributes)
    started = time_of(span.startTimeUnixNano)
    client_ip = message.client_ip(None, get("client.address"), get("net.peer.ip"))
    account = message.account(None, *map(get, ACCOUNT_NAMES), client_ip=client_ip)
    tenant = message.tenant(get("tenant.id"), get("organization.id"))
    event_id, event_time = event_id_of(span), message.time_ms(started)
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
        latency_ms=latency_ms_of(started, time_of(span.endTimeUnixNano)),
        status=status_of({"status": span.status}, attributes),
        conversation_id=conversation,
        turn=talk.turn,
        system_hash=talk.system_hash,
        tools_hash=talk.tools_hash,
        finish_reason=talk.reason,
    )
