"""Streamed answers, as events, lines of JSON or a list of deltas: the answer that they make together."""

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any

import sseclient

from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.json_text import read_json

EVENTS_MAX = 20_000
LINES_MAX = 10_000
_PART_KEYS = frozenset(
    {
        *("choices", "delta", "contentBlockDelta", "messageStart", "generation", "outputText", "completion"),
        *("candidates", "token", "text_output", "is_finished", "event_type", "done", "chunk", "bytes"),
    }
)
_TEXT_KEYS = ("text", "generation", "outputText", "completion", "content", "text_output", "response")
_REASON_KEYS = (
    "finish_reason",
    "finishReason",
    "stop_reason",
    "stopReason",
    "completionReason",
    "done_reason",
)
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
# These repeat what other events bring, or begin it.
_REPEATS = frozenset(
    {*_ENDS, "response.output_text.done", "message_start", "content-start", "content_block_start"}
)


def is_stream(text: str) -> bool:
    """Whether text is a stream of server-sent events."""
    return (
        text.lstrip("\ufeff \t\r\n")[:6].startswith(("data:", "event:", ":", "id:", "retry:"))
        and "data:" in text
    )


def stream_events(text: str) -> list[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events; what is none, as `[DONE]`, is left out."""
    found = []
    for event in sseclient.SSEClient(iter([text.strip("\ufeff \t\r\n").encode(errors="replace")])).events():
        for data in (event.data, *(event.data.split("\n") if "\n" in event.data else ())):
            try:
                document = read_json(data.encode())
            except MessageFault:
                continue
            if isinstance(document, dict):
                found.append(document)
                if len(found) == EVENTS_MAX:
                    return found
            break
    return found


def json_lines(text: str) -> list[Any] | None:
    r"""The documents of text that holds one in each line; None where it does not.

    Examples
    --------
    >>> json_lines('{"a": 1}\n{"a": 2}\n'), json_lines("{no}\n{json}")
    ([{'a': 1}, {'a': 2}], None)
    """
    if text.lstrip()[:1] not in ("{", "["):
        return None
    lines = [line for line in text.splitlines()[:LINES_MAX] if line.strip()]
    try:
        return [read_json(line.encode(errors="replace")) for line in lines]
    except MessageFault:
        return None


def is_deltas(body: Any) -> bool:
    """Whether a body is a list of parts of one streamed answer."""
    return isinstance(body, list) and any(
        isinstance(each, dict) and (not _PART_KEYS.isdisjoint(each) or _dicts(each.get("outputs")))
        for each in body[:100]
    )


def joined_answer(events: Iterable[Any]) -> dict[str, Any]:
    """One answer, in the form of the chat API, out of the parts of any of the streaming APIs.

    Reasoning blocks are kept as `thinking_blocks` of the message.

    Examples
    --------
    >>> joined_answer([{"model": "m", "choices": [{"delta": {"content": "Khar"}}]},
    ...                {"choices": [{"delta": {"content": "toum"}, "finish_reason": "stop"}]}])["choices"]
    [{'message': {'content': 'Khartoum'}, 'finish_reason': 'stop'}]
    """
    parts = [_opened(event) for event in list(events)[:EVENTS_MAX] if isinstance(event, dict)]
    for event in reversed(parts):
        whole = event.get("response")
        if str(event.get("type")) in _ENDS and isinstance(whole, dict) and whole.get("output"):
            return whole
    answer: dict[str, Any] = {}
    usage: dict[str, Any] = {}
    texts: dict[int, list[str]] = {}
    reasons: dict[int, str] = {}
    blocks: list[Any] = []
    for event in parts:
        for holder in (event, *(event.get(key) for key in ("response", "message", "metadata", "delta"))):
            if isinstance(holder, dict):
                names = ("id", "model", "created", "object", "modelVersion")
                answer |= {key: holder[key] for key in names if key in holder}
                for key in ("usage", "usageMetadata"):
                    usage |= holder[key] if isinstance(holder.get(key), dict) else {}
        for index, text in _texts_of(event):
            texts.setdefault(index, []).append(text)
        reasons |= dict(_reasons_of(event))
        blocks += _blocks_of(event)
    choices = []
    for index in sorted({*texts, *reasons, *([0] if blocks else [])}):
        message: dict[str, Any] = {"content": "".join(texts[index])} if index in texts else {}
        if blocks and index == 0:
            message["thinking_blocks"] = blocks
        choice: dict[str, Any] = {"message": message} if message else {}
        choices.append({**choice, **({"finish_reason": reasons[index]} if index in reasons else {})})
    return {**answer, **({"usage": usage} if usage else {}), "choices": choices}


def _opened(event: dict[str, Any]) -> dict[str, Any]:
    """The event itself, or what a chunk of Bedrock's event stream holds as base64."""
    chunk = event.get("chunk")
    packed = chunk.get("bytes") if isinstance(chunk, dict) else event.get("bytes")
    if isinstance(packed, str):
        try:
            document = read_json(base64.b64decode(packed, validate=True))
        except (binascii.Error, MessageFault):
            return event
        return document if isinstance(document, dict) else event
    return event


def _texts_of(event: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """The texts that one event adds, each with the place of its choice."""
    kind = event.get("type")
    if str(kind) in _REPEATS:
        return
    delta = event.get("delta")
    if isinstance(delta, str):
        if kind is None or "output_text" in str(kind):
            yield 0, delta
        return
    choices = _dicts(event.get("choices"))
    for place, choice in enumerate(choices):
        index = choice.get("index")
        text = _first_text(choice.get("delta"), choice, choice.get("message"))
        if text is not None:
            yield index if isinstance(index, int) else place, text
    if choices:
        return
    for place, candidate in enumerate(_dicts(event.get("candidates"))):
        texts = [
            part["text"]
            for part in _parts_of(candidate)
            if isinstance(part.get("text"), str) and not part.get("thought")
        ]
        if texts:
            index = candidate.get("index")
            yield index if isinstance(index, int) else place, "".join(texts)
            return
    text = _first_text(*_holders_of(event))
    if text is not None:
        yield 0, text


def _holders_of(event: dict[str, Any]) -> Iterator[Any]:
    """Where events of other APIs keep their text."""
    block, delta, token = event.get("contentBlockDelta"), event.get("delta"), event.get("token")
    yield block.get("delta") if isinstance(block, dict) else None
    if isinstance(delta, dict):
        message = delta.get("message")
        yield delta
        yield message.get("content") if isinstance(message, dict) else None  # Cohere
        return
    if isinstance(token, dict):  # text-generation-inference
        yield None if token.get("special") else token
        return
    for output in _dicts(event.get("outputs"))[:1]:
        data = output.get("data")  # a tensor of text
        yield {"text": data[0]} if isinstance(data, list) and data else output
    if "done" in event:  # Ollama
        yield event.get("message")
    yield event


def _first_text(*holders: Any) -> str | None:
    for holder in holders:
        if isinstance(holder, dict):
            for key in _TEXT_KEYS:
                if isinstance(holder.get(key), str):
                    return str(holder[key])
    return None


def _reasons_of(event: dict[str, Any]) -> Iterator[tuple[int, str]]:
    for key in ("choices", "candidates"):
        for place, choice in enumerate(_dicts(event.get(key))):
            index = choice.get("index")
            for name in _REASON_KEYS:
                if isinstance(choice.get(name), str):
                    yield index if isinstance(index, int) else place, choice[name]
    details = event.get("details")
    for holder in (event, event.get("delta"), event.get("messageStop"), details):
        for name in _REASON_KEYS:
            if isinstance(holder, dict) and isinstance(holder.get(name), str):
                yield 0, holder[name]


def _blocks_of(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Signed or encrypted reasoning, as parts of a message hold it."""
    delta, block, item = event.get("delta"), event.get("content_block"), event.get("item")
    if isinstance(delta, dict) and isinstance(delta.get("signature"), str):
        yield {"type": "thinking", "signature": delta["signature"]}
    if isinstance(block, dict) and block.get("type") == "redacted_thinking":
        yield block
    if isinstance(item, dict) and event.get("type") == "response.output_item.done":
        yield item
    converse = event.get("contentBlockDelta")
    inner = converse.get("delta") if isinstance(converse, dict) else None
    reasoning = inner.get("reasoningContent") if isinstance(inner, dict) else None
    if isinstance(reasoning, dict) and isinstance(reasoning.get("signature"), str):
        yield {"type": "thinking", "signature": reasoning["signature"]}
    for choice in _dicts(event.get("choices")):
        holder = choice.get("delta")
        for key in ("thinking_blocks", "reasoning_details"):
            yield from _dicts(holder.get(key)) if isinstance(holder, dict) else ()
    for candidate in _dicts(event.get("candidates")):
        yield from (part for part in _parts_of(candidate) if "thoughtSignature" in part)


def _parts_of(candidate: dict[str, Any]) -> list[dict[str, Any]]:
    content = candidate.get("content")
    return _dicts(content.get("parts")) if isinstance(content, dict) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
