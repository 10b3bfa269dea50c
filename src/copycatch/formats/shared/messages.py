"""One message as the readers of formats see it, and how they take values out of it."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec

from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import FormatOptions
from copycatch.formats.shared.json_text import lost_parts, read_json
from copycatch.formats.shared.streams import is_deltas, is_stream, joined_answer, json_lines, stream_events
from copycatch.formats.shared.times import time_ms_of
from copycatch.records.columns import RawBatch
from copycatch.records.decoding import Note
from copycatch.records.wire import TEXT_CHARS_MAX

Fields = dict[str, Any]
"""Canonical fields by name, not yet validated; None where missing."""

Reading = Fields | MessageFault
"""What a reader finds: a record's fields, or what is wrong with this one of several."""

# What gateways write where they know nobody: not one account, but all of those whom nothing names.
PLACEHOLDERS = frozenset(
    {
        *("default_user_id", "default_user", "default", "anonymous", "anon", "guest", "unknown"),
        *("none", "null", "undefined", "nil", "n/a", "na", "-"),
    }
)
_ROLE_SESSION = re.compile(r"(?P<role>arn:aws[\w-]*:sts::\d*:assumed-role/[^/]+)/.+")
_MODEL_ARN = re.compile(r"^arn:aws[\w-]*:bedrock:[^/]*:(?:inference-profile|foundation-model)/(?=.)")
HEADERS_MAX = 64
HEADER_CHARS_MAX = 4096
CLIENT_IP_CHARS_MAX = 64
USER_AGENT_CHARS_MAX = 1024


@dataclass(slots=True)
class LogMessage:
    """A document with what came along; header names are in lower case."""

    document: Any
    headers: dict[str, str]
    key: str | None
    arrival_ms: int | None
    origin: str  # topic:partition:position
    options: FormatOptions
    notes: Counter[Note]
    batch: RawBatch
    row: int  # in the batch

    def account(self, scope: Any, *candidates: Any, client_ip: str | None = None) -> str | None:
        """Who pays: by the pointer of the options, what the log authenticated, headers, then the fallback.

        Placeholders such as `default_user_id` name nobody, and sessions of a role are folded to the role.
        """
        options = self.options
        if options.account_pointer is not None:
            pointed = payer_of(seek(scope, split_pointer(options.account_pointer)))
            if pointed is not None:
                return pointed
        for candidate in (*candidates, self.header(options.account_headers)):
            name = payer_of(candidate)
            if name is not None:
                return name
        if options.account_fallback == "key":
            return name_of(self.key)
        return client_ip if options.account_fallback == "client_ip" else None

    def body(self, value: Any) -> Any:
        """A request or answer as it was logged: a document, JSON or a stream of events as text, or text."""
        body = self._nested(value)
        if isinstance(body, list) and body and all(isinstance(each, str) for each in body):
            body = "\n\n".join(body)  # the events of a stream, one by one
            body = body if is_stream(body) else value
        if isinstance(body, str):
            if is_stream(body):
                return joined_answer(self._noted(stream_events(body)))
            body = first(self._noted(json_lines(body)), body)
        return joined_answer(body) if is_deltas(body) else body

    def asked(self, value: Any) -> Any:
        """A request's body; None and a note where it cannot be read."""
        body = self._nested(value)
        if isinstance(body, str):
            body = first(self._noted(json_lines(body)), body)
        if isinstance(body, str):
            self.notes["unread"] += 1
            return None
        return body

    def _nested(self, value: Any) -> Any:
        """A nested document; of what came as text, notes what was lost."""
        body = nested_or_text(value)
        if isinstance(value, str):
            self.notes["unread"] += lost_parts(body)
        return body

    def _noted(self, documents: list[Any] | None) -> Any:
        self.notes["unread"] += sum(map(lost_parts, documents or ()))
        return documents

    def header(self, names: tuple[str, ...]) -> str | None:
        """The first of the headers `names` that is there."""
        for name in names:
            found = self.headers.get(name.lower())
            if found:
                return found
        return None

    def tenant(self, *candidates: Any) -> str | None:
        """The tenant as the log authenticated it, else by a header that the options name."""
        return first_name(*candidates) or self.header(self.options.tenant_headers)

    def model(self, *candidates: Any) -> str | None:
        """The model as the log says, else as the options say; an inference profile's ARN is the profile."""
        name = first_name(*candidates) or self.options.model_id
        return name if name is None or not name.startswith("arn:") else _MODEL_ARN.sub("", name)

    def time_ms(self, *candidates: Any) -> int | None:
        """Epoch milliseconds of the first candidate that is there, else of the arrival if the options allow.

        Raises
        ------
        MessageFault
            If the candidate is no time.
        """
        for candidate in candidates:
            if candidate not in _NO_TIMES:
                return time_ms_of(candidate, zone=self.options.times)
        return self.arrival_ms if self.options.event_time == "log_or_arrival" else None

    def optional_time_ms(self, value: Any) -> int | None:
        """Epoch milliseconds of a time that no record needs; None and a note where it is no time."""
        if value in _NO_TIMES:
            return None
        try:
            return time_ms_of(value, zone=self.options.times)
        except MessageFault:
            self.notes["unread"] += 1
            return None

    def client_ip(self, forwarded_for: Any, *candidates: Any) -> str | None:
        """The client's address: the entry of x-forwarded-for that the own front wrote, else a candidate."""
        if isinstance(forwarded_for, list):
            forwarded_for = ",".join(entry for entry in forwarded_for if isinstance(entry, str))
        if isinstance(forwarded_for, str) and forwarded_for:
            entries = [entry.strip() for entry in forwarded_for.split(",") if entry.strip()]
            if entries:
                address = entries[max(len(entries) - 1 - self.options.proxies_trusted, 0)]
                return address if len(address) <= CLIENT_IP_CHARS_MAX else None
        for candidate in candidates:
            if isinstance(candidate, str) and 0 < len(candidate) <= CLIENT_IP_CHARS_MAX:
                return candidate
        return None


_NO_TIMES = (None, "", 0, "0")  # a time of 0 is one that nobody set: so OTLP defines it


def lower_headers(headers: list[tuple[str, bytes]]) -> dict[str, str]:
    """Headers by name in lower case; bounded, and broken bytes replaced.

    Of several of one name the last counts: a gateway that adds its own does so behind the client's.

    Examples
    --------
    >>> lower_headers([("X-Account-Id", b"forged"), ("x-account-id", b"acct-1")])
    {'x-account-id': 'acct-1'}
    """
    found: dict[str, str] = {}
    for name, value in headers[-HEADERS_MAX:]:
        if isinstance(value, bytes):
            text = value[:HEADER_CHARS_MAX].decode("utf-8", errors="replace")
            found[name.lower()] = text
    return found


def dig(document: Any, *keys: str) -> Any:
    """The value below `keys`, or None where a step is missing.

    Examples
    --------
    >>> dig({"a": {"b": 1}}, "a", "b"), dig({"a": [1]}, "a", "b")
    (1, None)
    """
    for key in keys:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def split_pointer(pointer: str) -> tuple[str, ...]:
    """The steps of a JSON pointer (RFC 6901).

    Examples
    --------
    >>> split_pointer("/a~1b/0/m~0n")
    ('a/b', '0', 'm~n')
    """
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def point(document: Any, steps: tuple[str, ...]) -> Any:
    """The value at a pointer, through strings that hold JSON; None where it points nowhere.

    Examples
    --------
    >>> point({"a": [{"b": 2}]}, ("a", "0", "b")), point({"a": []}, ("a", "0"))
    (2, None)
    """
    for step in steps:
        if isinstance(document, str):
            document = nested_or_text(document)
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list):
            # isdecimal alone takes digits of other scripts, and int() of a long one is slow
            is_index = step.isascii() and step.isdecimal() and len(step) < 7
            if not is_index or int(step) >= len(document):
                return None
            document = document[int(step)]
        else:
            return None
    return document


def seek(document: Any, steps: tuple[str, ...]) -> Any:
    """The value at a pointer, passing through strings that hold JSON; None where it points nowhere.

    Examples
    --------
    >>> seek({"payload": '{"user": {"id": "u1"}}'}, ("payload", "user", "id"))
    'u1'
    >>> seek({"rows": [{"a": 1}]}, ("rows", "0", "a")), seek({"rows": []}, ("rows", "0"))
    (1, None)
    """
    for step in steps:
        document = point(nested_or_text(document), (step,))
    return document


def payer_of(value: Any) -> str | None:
    """The account behind an id: None for placeholders that gateways write, the role for a session of it.

    Examples
    --------
    >>> payer_of("default_user_id"), payer_of("arn:aws:sts::111122223333:assumed-role/Agent/session-7")
    (None, 'arn:aws:sts::111122223333:assumed-role/Agent')
    """
    name = name_of(value)
    if name is None or name.casefold() in PLACEHOLDERS:
        return None
    session = _ROLE_SESSION.match(name) if name.startswith("arn:") else None
    return session["role"] if session else name


def name_of(value: Any) -> str | None:
    """An id as text: strings, and integers that some logs use; anything else is none.

    Examples
    --------
    >>> name_of("acct-1"), name_of(17), name_of(""), name_of(True), name_of({"id": 1})
    ('acct-1', '17', None, None, None)
    """
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
        return str(value)
    return None


def first_name(*candidates: Any) -> str | None:
    """The first candidate that is an id."""
    for candidate in candidates:
        name = None if candidate is None else name_of(candidate)
        if name is not None:
            return name
    return None


def first(*candidates: Any) -> Any:
    """The first candidate that is not None."""
    for candidate in candidates:  # the most called of all: a loop costs half of a generator
        if candidate is not None:
            return candidate
    return None


def text_of(value: Any) -> str | None:
    """Text, cut to what a record may hold: a prompt that is too long must not hide its sender."""
    return value[:TEXT_CHARS_MAX] if isinstance(value, str) else None


def agent_of(value: Any) -> str | None:
    """A user agent, cut."""
    return value[:USER_AGENT_CHARS_MAX] if isinstance(value, str) and value else None


def count_of(value: Any) -> Any:
    """A tally; integral floats and digits are taken, and what is none is left for validation to name.

    Examples
    --------
    >>> count_of(3.0), count_of("12"), count_of(None), count_of("many")
    (3, 12, None, 'many')
    """
    if isinstance(value, str):
        return int(value) if len(value) < 17 and value.isascii() and value.isdecimal() else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def nested(value: Any, field: str) -> Any:
    """A document within a document: some logs hold JSON as a string.

    Raises
    ------
    MessageFault
        If the string is no JSON; `field` names it.
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return read_json(value.encode("utf-8", errors="replace"))
    except MessageFault as fault:
        raise MessageFault(
            "schema", field, f"{field} should hold JSON as a string: {fault.message}"
        ) from None


def nested_or_text(value: Any) -> Any:
    """A nested document, or the string itself where it is none."""
    try:
        return nested(value, "")
    except MessageFault:
        return value


def parts_or_text(value: Any) -> Any:
    """The content of a message: parts, which some logs hold as JSON in text, or the text as it stands.

    Examples
    --------
    >>> parts_or_text('[{"type": "text", "text": "a"}]'), parts_or_text("42"), parts_or_text('{"a": 1}')
    ([{'type': 'text', 'text': 'a'}], '42', '{"a": 1}')
    """
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    found = nested_or_text(value)
    are_parts = isinstance(found, list) and all(
        isinstance(each, dict) and ("type" in each or "text" in each) for each in found
    )
    return found if found and are_parts else value


def compact_text(value: Any) -> str | None:
    """Any document as one line of JSON, so that inputs without a canonical form can still be compared."""
    try:
        return text_of(msgspec.json.encode(value, order="deterministic").decode())
    except (ValueError, RecursionError, OverflowError):
        return None
