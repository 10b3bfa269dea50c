"""The usual chat bodies as types: JSON is read straight into them, and what they refuse goes the long way.

A type refuses each key beyond those that it names, so that nothing which the long way reads is passed over;
tests hold the two ways to the same records.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct

from copycatch.formats.shared.contents import is_redacted
from copycatch.formats.shared.context import WORD_CHARS_MAX, hash_of
from copycatch.records.wire import ID_CHARS_MAX, TEXT_CHARS_MAX, Count, Params

MESSAGES_MAX = 1_000
Name = Annotated[str, Meta(max_length=ID_CHARS_MAX)] | None
"""What names somebody or something, with spaces around it still; may be empty."""
Said = Annotated[str, Meta(min_length=1, max_length=TEXT_CHARS_MAX)]
_NOTHING: Any = None  # keys of this default and type are known, and nothing is read from them


class Message(Struct, forbid_unknown_fields=True, gc=False):
    """One turn that is text."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Said
    name: Raw = _NOTHING
    refusal: Raw = _NOTHING
    annotations: Raw = _NOTHING


class Options(Struct, forbid_unknown_fields=True, gc=False, kw_only=True):
    """Options of a request: those that a record holds, then those that nothing is read from."""

    model: Name = None
    temperature: float | None = None
    n: Count | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    top_p: Raw = _NOTHING
    top_k: Raw = _NOTHING
    seed: Raw = _NOTHING
    user: Raw = _NOTHING
    stream: Raw = _NOTHING
    stream_options: Raw = _NOTHING
    stop: Raw = _NOTHING
    presence_penalty: Raw = _NOTHING
    frequency_penalty: Raw = _NOTHING
    response_format: Raw = _NOTHING
    service_tier: Raw = _NOTHING
    safety_identifier: Raw = _NOTHING
    store: Raw = _NOTHING
    metadata: Raw = _NOTHING

    def params(self) -> Params | None:
        """Those that matter to extraction; None where there is none of them."""
        limit = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        if limit is None and self.n is None and self.temperature is None:
            return None
        return Params(n=self.n, temperature=self.temperature, max_tokens=limit)


class Request(Options, forbid_unknown_fields=True, gc=False, kw_only=True):
    """A request of messages."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=MESSAGES_MAX)]


class _Answer(Struct, forbid_unknown_fields=True, gc=False):
    content: Said
    role: Raw = _NOTHING
    name: Raw = _NOTHING
    refusal: Raw = _NOTHING
    annotations: Raw = _NOTHING


class _Choice(Struct, forbid_unknown_fields=True, gc=False):
    message: _Answer
    finish_reason: Annotated[str, Meta(max_length=WORD_CHARS_MAX)] | None = None
    logprobs: Any = None
    index: Raw = _NOTHING
    content_filter_results: Raw = _NOTHING


class _Usage(Struct, gc=False):
    prompt_tokens: Count
    completion_tokens: Count


class Response(Struct, forbid_unknown_fields=True, gc=False, kw_only=True):
    """An answer that is one text."""

    choices: Annotated[list[_Choice], Meta(min_length=1, max_length=1)]
    usage: _Usage
    id: Any = None
    object: Any = None
    model: Name = None
    created: Any = None
    system_fingerprint: Raw = _NOTHING
    service_tier: Raw = _NOTHING

    def is_plain(self) -> bool:
        """Whether it is an answer of the chat API whose reason is a word as records hold it."""
        reason = self.choices[0].finish_reason
        return self.object != "response" and (reason is None or reason.isascii())

    @property
    def reason(self) -> str | None:
        """Why it ended, in small letters."""
        reason = self.choices[0].finish_reason
        return reason.lower() if reason else None


class Asked(Struct, gc=False):
    """What was asked last, and what stands around it."""

    text: str
    turn: int
    system_hash: str | None
    conversation_id: str | None


def asked_in(messages: list[Message]) -> Asked | None:
    """What messages ask; None where the last is no user's, or a text was blacked out."""
    last = messages[-1]
    if last.role != "user":
        return None
    systems: list[str] = []
    beginning: list[str] = []
    turns = 0
    is_answered = False
    for message in messages:
        role, content = message.role, message.content
        if is_redacted(content):
            return None
        if role == "user":
            turns += 1
        elif role != "assistant":
            systems.append(content)
            continue
        if not is_answered:
            beginning.append(f"{role}: {content}")
            is_answered = role == "assistant"
    spoken = "\n".join(systems)
    return Asked(
        last.content,
        turns,
        hash_of(spoken) if spoken else None,
        hash_of("\n".join([spoken, *beginning])) if is_answered else None,
    )


def stripped(name: str | None) -> str | None:
    """A name without spaces around it; None where nothing is left."""
    return None if name is None else name.strip() or None


def first_of(*names: str | None) -> str | None:
    """The first name that is more than spaces, without those around it."""
    for name in names:
        if name is not None and (found := name.strip()):
            return found
    return None


def are_ids(*names: str | None) -> bool:
    """Whether all are short enough for a record; headers, options and file names need not be."""
    for name in names:  # noqa: SIM110 - asked for each record, and a loop costs half of a generator
        if name is not None and len(name) > ID_CHARS_MAX:
            return False
    return True
