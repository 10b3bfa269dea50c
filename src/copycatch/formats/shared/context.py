"""What stands around a question: system prompt, tools, turns, reasoning that goes back and forth."""

import hashlib
from collections.abc import Iterator
from typing import Any

from copycatch.formats.shared.contents import PARTS_MAX, content_text
from copycatch.formats.shared.messages import Fields, compact_text, dig, first, first_name

CONTEXT_SOURCES = {
    "conversation_id": "conversation or session id; else system prompt to first answer of earlier turns",
    "turn": "user turns in messages, input or contents of the request",
    "prompt_index": "place in a request of several prompts, rows or texts to embed",
    "system_hash": "system and developer messages, system, instructions, systemInstruction of the request",
    "tools_hash": "tools, functions or toolConfig of the request",
    "reasoning_refs": "signature, encrypted_content, thoughtSignature sent back; previous_response_id",
    "reasoning_issued": "the same of the answer; id of a response",
    "finish_reason": "finish_reason, stop_reason, finishReason, stopReason of the answer",
}
REFERENCES_MAX = 64  # of one request; the latest count
WORD_CHARS_MAX = 64
_SYSTEM_ROLES = frozenset({"system", "developer"})
_USER_ROLES = frozenset({"user", "human"})
_SYSTEM_KEYS = (
    "system",
    "system_prompt",
    "instructions",
    "systemInstruction",
    "system_instruction",
    "preamble",
)
_TOOL_KEYS = ("tools", "functions", "toolConfig", "tool_config")
_MESSAGE_KEYS = ("messages", "input", "contents", "chat_history")
_TOOL_PARTS = frozenset({"tool_result", "function_call_output", "tool_call_response", "tool"})
_TOOL_PART_KEYS = ("toolResult", "functionResponse", "function_response")
_ANSWER_KEYS = ("choices", "candidates", "output", "outputs", "content")


def request_context(request: Any) -> Fields:
    """Canonical fields of what a request carries beside its question.

    Examples
    --------
    >>> found = request_context({"system": "Be brief.", "messages": [
    ...     {"role": "user", "content": "a"},
    ...     {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "EqQB"}]},
    ...     {"role": "user", "content": "b"}]})
    >>> sorted(found), found["turn"], found["reasoning_refs"] == [hash_of("EqQB")]
    (['conversation_id', 'reasoning_refs', 'system_hash', 'turn'], 2, True)
    >>> request_context({"model": "m", "prompt": "a"})
    {}
    """
    if not isinstance(request, dict):
        return {}
    listed = first(*(given for key in _MESSAGE_KEYS if isinstance(given := request.get(key), list)))
    messages = [each for each in (listed or [])[-PARTS_MAX:] if isinstance(each, dict)]
    found = conversation_fields(
        messages,
        first(*(request.get(key) for key in _SYSTEM_KEYS)),
        first(*(request.get(key) for key in _TOOL_KEYS)),
    )
    previous = first_name(request.get("previous_response_id"))
    if previous is not None:
        found["reasoning_refs"] = [previous, *found.get("reasoning_refs", [])][-REFERENCES_MAX:]
    conversation = request.get("conversation")
    given = first_name(dig(conversation, "id"), conversation, request.get("conversation_id"),
                       request.get("session_id"), request.get("sessionId"))  # fmt: skip
    return found if given is None else {**found, "conversation_id": given}


def conversation_fields(messages: list[dict[str, Any]], system: Any, tools: Any) -> Fields:
    """Fields of a list of messages, a system prompt and tools, each None or empty where it is missing.

    `conversation_id` is made of the system prompt and all that was said up to the first answer, where the
    messages hold an answer: who goes on with a conversation sends its beginning again.
    """
    found: Fields = {}
    said = [text for each in messages if _role_of(each) in _SYSTEM_ROLES and (text := _text_of(each))]
    instructed = system if isinstance(system, str) else system_text(system)
    spoken = "\n".join([*([instructed] if instructed else []), *said])
    if spoken:
        found["system_hash"] = hash_of(spoken)
    if isinstance(tools, list | dict) and tools:
        found["tools_hash"] = hash_of(compact_text(tools) or "")
    turns = sum(map(_is_turn, messages))
    if turns:
        found["turn"] = turns
        beginning = _beginning_of(messages)
        if beginning:
            found["conversation_id"] = hash_of("\n".join([spoken, *beginning]))
    references = list(_references_in(messages))[-REFERENCES_MAX:]
    if references:
        found["reasoning_refs"] = references
    return found


def response_context(response: Any) -> Fields:
    """Why an answer ended, and the reasoning blocks that it issued.

    Examples
    --------
    >>> response_context({"choices": [{"finish_reason": "STOP", "message": {"content": "a"}}]})
    {'finish_reason': 'stop'}
    >>> response_context({"id": "resp_1", "object": "response", "status": "completed", "output": []})
    {'finish_reason': 'completed', 'reasoning_issued': ['resp_1']}
    """
    if not isinstance(response, dict):
        return {}
    found: Fields = {}
    reason = _reason_of(response)
    if reason is not None:
        found["finish_reason"] = reason
    issued = list(_references_in(list(_answers_of(response))))[:REFERENCES_MAX]
    if response.get("object") == "response" and (own := first_name(response.get("id"))) is not None:
        issued = [own, *issued][:REFERENCES_MAX]  # what a later request names as previous_response_id
    if issued:
        found["reasoning_issued"] = issued
    return found


def hash_of(text: str) -> str:
    """A hash of a text, 32 hexadecimal digits; intake replaces it by a keyed one."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def word_of(value: Any) -> str | None:
    """A word of an API in small letters, as `stop`; of several the first."""
    if isinstance(value, list):
        value = value[0] if value else None
    return value[:WORD_CHARS_MAX].lower() if isinstance(value, str) and value else None


def _role_of(message: dict[str, Any]) -> str:
    role = message.get("role")
    return role.lower() if isinstance(role, str) else ""


def _text_of(message: dict[str, Any]) -> str | None:
    return content_text(
        first(message.get("content"), message.get("parts"), message.get("text"), message.get("message"))
    )


def system_text(system: Any) -> str | None:
    """Text of a system prompt in any of its forms."""
    if isinstance(system, dict):
        system = first(system.get("parts"), system.get("content"), system.get("text"))
    return content_text(system)


def _parts_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    parts = first(message.get("content"), message.get("parts"))
    return [part for part in parts[:PARTS_MAX] if isinstance(part, dict)] if isinstance(parts, list) else []


def _is_turn(message: dict[str, Any]) -> bool:
    """Whether a user speaks; results of tools come in the user's name, too."""
    if _role_of(message) not in _USER_ROLES:
        return False
    parts = _parts_of(message)
    return not parts or not all(
        str(part.get("type")) in _TOOL_PARTS or any(key in part for key in _TOOL_PART_KEYS) for part in parts
    )


def _beginning_of(messages: list[dict[str, Any]]) -> list[str]:
    """Texts up to the first answer; empty where nothing was answered yet."""
    texts: list[str] = []
    for message in messages:
        role = _role_of(message)
        if role in _SYSTEM_ROLES:
            continue
        texts.append(f"{role}: {_text_of(message) or ''}")
        if role in ("assistant", "model", "chatbot", "ai"):
            return texts
    return []


def _references_in(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Hashes of the signed or encrypted reasoning in messages of any of the APIs, in their order."""
    for message in messages:
        parts = [message, *_parts_of(message)]
        for key in ("thinking_blocks", "reasoning_details"):  # of LiteLLM and OpenRouter
            more = message.get(key)
            parts += (
                [part for part in more[:PARTS_MAX] if isinstance(part, dict)]
                if isinstance(more, list)
                else []
            )
        for part in parts:
            yield from _references_of(part)


def _references_of(part: dict[str, Any]) -> list[str]:
    """What makes a reasoning block unique: its signature, its encrypted content, or its id."""
    kind = part.get("type")
    reasoning = part.get("reasoningContent")
    candidates = (
        part.get("encrypted_content"),
        part.get("thoughtSignature"),
        part.get("thought_signature"),
        part.get("signature")
        if isinstance(kind, str) and ("thinking" in kind or "reasoning" in kind)
        else None,
        part.get("data") if kind in ("redacted_thinking", "reasoning.encrypted") else None,
        dig(reasoning, "reasoningText", "signature"),
        dig(reasoning, "redactedContent"),
    )
    found = [hash_of(each) for each in candidates if isinstance(each, str) and each]
    own = first_name(part.get("id")) if kind in ("reasoning", "item_reference") else None
    return found if own is None else [*found, own]


def _answers_of(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Messages of an answer."""
    for key in _ANSWER_KEYS:
        given = response.get(key)
        if isinstance(given, dict):  # Converse: output.message
            given = [given]
        for entry in given[:PARTS_MAX] if isinstance(given, list) else ():
            if isinstance(entry, dict):
                inner = first(entry.get("message"), entry.get("content") if key == "candidates" else None)
                yield inner if isinstance(inner, dict) else entry


def _reason_of(response: dict[str, Any]) -> str | None:
    names = ("finish_reason", "finishReason", "stop_reason", "stopReason", "completionReason")
    for key in ("choices", "candidates", "results", "outputs", "generations"):
        entries = response.get(key)
        entry = entries[0] if isinstance(entries, list) and entries else None
        if isinstance(entry, dict):
            reason = word_of(first(*(entry.get(name) for name in names)))
            if reason is not None:
                return reason
    reason = first(*(response.get(name) for name in names), dig(response, "incomplete_details", "reason"))
    if reason is None and response.get("object") == "response":
        reason = response.get("status")
    return word_of(reason)
