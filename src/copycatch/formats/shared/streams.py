"""Streamed answers, as server-sent events or as a list of deltas: the answer that they make together."""

from collections.abc import Iterable
from typing import Any

import sseclient

from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.json_text import read_json

EVENTS_MAX = 20_000
_PART_KEYS = {"choices", "delta", "contentBlockDelta", "generation", "outputText", "completion", "candidates"}
_TEXT_KEYS = ("text", "generation", "outputText", "completion", "content", "text_output")


def is_stream(text: str) -> bool:
    """Whether text is a stream of server-sent events."""
    return text.lstrip()[:6].startswith(("data:", "event:", ":", "id:", "retry:")) and "data:" in text


def stream_events(text: str) -> list[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events; what is none, as `[DONE]`, is left out."""
    found = []
    for event in sseclient.SSEClient(iter([text.strip().encode()])).events():
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


def is_deltas(body: Any) -> bool:
    """Whether a body is a list of parts of one streamed answer."""
    return isinstance(body, list) and any(
        isinstance(each, dict) and _PART_KEYS & each.keys() for each in body[:100]
    )


def joined_answer(events: Iterable[Any]) -> dict[str, Any]:
    """One answer, in the form of the chat API, out of the parts of any of the streaming APIs.

    Examples
    --------
    >>> joined_answer([{"model": "m", "choices": [{"delta": {"content": "Khar"}}]},
    ...                {"choices": [{"delta": {"content": "toum"}, "finish_reason": "stop"}]}])["choices"]
    [{'message': {'content': 'Khartoum'}, 'finish_reason': 'stop'}]
    """
    texts: list[str] = []
    usage: dict[str, Any] = {}
    answer: dict[str, Any] = {}
    choice: dict[str, Any] = {}
    for event in list(events)[:EVENTS_MAX]:
        if not isinstance(event, dict):
            continue
        for holder in (event, event.get("response"), event.get("message")):
            if isinstance(holder, dict):
                answer |= {key: holder[key] for key in ("id", "model", "created", "object") if key in holder}
                if isinstance(holder.get("usage"), dict):
                    usage |= holder["usage"]
        text = _text_of(event)
        if text is not None:
            texts.append(text)
        reason = _first_choice(event).get("finish_reason") or event.get("stop_reason")
        if isinstance(reason, str):
            choice["finish_reason"] = reason
    if texts:
        choice = {"message": {"content": "".join(texts)}, **choice}
    return {**answer, **({"usage": usage} if usage else {}), "choices": [choice] if choice else []}


def _first_choice(event: dict[str, Any]) -> dict[str, Any]:
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _text_of(event: Any) -> str | None:
    """The text that one event adds."""
    if not isinstance(event, dict):
        return None
    if event.get("type") in ("response.output_text.done", "response.completed", "message_start"):
        return None  # these repeat the whole, or begin it
    choice = _first_choice(event)
    block = event.get("contentBlockDelta")
    delta = event.get("delta")
    if isinstance(delta, str):
        return delta if "output_text" in str(event.get("type", "output_text")) else None
    for holder in (
        choice.get("delta"),
        choice,
        block.get("delta") if isinstance(block, dict) else None,
        delta,
        event,
    ):
        if isinstance(holder, dict):
            for key in _TEXT_KEYS:
                if isinstance(holder.get(key), str):
                    return str(holder[key])
    return _candidate_text(event)


def _candidate_text(event: dict[str, Any]) -> str | None:
    """The text of a chunk of Gemini: candidates[0].content.parts[].text."""
    candidates = event.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    content = first.get("content") if isinstance(first, dict) else None
    parts = content.get("parts") if isinstance(content, dict) else None
    texts = [
        part["text"] for part in parts or () if isinstance(part, dict) and isinstance(part.get("text"), str)
    ]
    return "".join(texts) if texts else None
