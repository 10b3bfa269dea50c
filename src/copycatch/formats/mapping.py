"""The format `mapping`: one JSON pointer for each canonical field, for logs that no other format knows.

`settings/mapping.py` reads and checks the file and builds a `MappingSpec`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from copycatch.formats.conversions import CONVERSIONS
from copycatch.formats.documents import DocumentDecoder
from copycatch.formats.faults import Fault
from copycatch.formats.joining import Identity, JoiningDecoder
from copycatch.formats.messages import Fields, Message, Reading, first_name, nested_or_text
from copycatch.formats.predictions import numbered
from copycatch.formats.protocol import FormatOptions
from copycatch.records.decoding import Decoder

NAME = "mapping"
SENTENCE = "any JSON log, by a file with one JSON pointer for each canonical field"
ENTRIES_MAX = 10_000  # of `each`


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value may be; a pointer passes through JSON that is logged as a string."""

    kind: Literal["pointer", "list", "header", "key", "constant"]
    steps: tuple[str, ...] = ()  # of a pointer
    items: tuple[tuple[str, ...], ...] = ()  # pointers of a list's entries
    name: str = ""  # of a header, in lower case
    constant: str | int | float | bool | None = None

    def words(self) -> str:
        """As the mapping file says it."""
        if self.kind == "pointer":
            return pointer_words(self.steps)
        if self.kind == "list":
            return "list of " + ", ".join(pointer_words(steps) for steps in self.items)
        if self.kind == "header":
            return f"header {self.name}"
        return "the Kafka key" if self.kind == "key" else f"always {self.constant!r}"


def pointer_words(steps: tuple[str, ...]) -> str:
    """A JSON pointer as it is written.

    Examples
    --------
    >>> pointer_words(("a/b", "0"))
    '/a~1b/0'
    """
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps) or "/"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one canonical field is found: the first place that has a value, then conversions in order."""

    field: str  # canonical name, `params.` and its name, or `sampling_fraction`
    places: tuple[Place, ...]
    conversions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds where the value at a pointer is one of the words."""

    steps: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JoinRule:
    """How a request and its response, logged as two messages, are told apart and brought together."""

    by: tuple[str, ...]
    request: Condition
    response: Condition


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """A mapping file, checked."""

    name: str  # of the file, for messages
    rules: tuple[FieldRule, ...]
    each: tuple[str, ...] | None = None  # pointer to a list whose entries are the records
    only: Condition | None = None  # other messages are skipped
    join: JoinRule | None = None

    def sources(self) -> dict[str, str]:
        """Where each canonical field comes from, in words."""
        found: dict[str, str] = {}
        for rule in self.rules:
            root = rule.field.partition(".")[0]
            words = ", else ".join(place.words() for place in rule.places)
            found[root] = f"{found[root]}; {words}" if root in found else words
        return found


def make_decoder(options: FormatOptions) -> Decoder:
    """A decoder for the mapping in the options."""
    spec = options.mapping
    assert spec is not None, "settings refuse the format mapping without a mapping"
    sources = spec.sources()
    if spec.join is None:
        return DocumentDecoder(NAME, lambda message: read(spec, message), sources, options, is_batched=True)
    join = spec.join
    return JoiningDecoder(
        NAME,
        lambda message: _identify(join, message),
        lambda request, response: _read_pair(spec, request, response),
        sources,
        options,
    )


def read(spec: MappingSpec, message: Message) -> list[Reading]:
    """One query, or one for each entry of the list that `each` points to."""
    if spec.only is not None and not _holds(spec.only, message.document):
        return []
    if spec.each is None:
        return [fields_of(spec, message, message.document)]
    entries = seek(message.document, spec.each)
    if not isinstance(entries, list):
        pointer = pointer_words(spec.each)
        raise Fault(
            "schema", None, f"each: {pointer} of mapping {spec.name!r} points to no list in this message"
        )
    rows: list[Fields] = []
    for entry in entries[:ENTRIES_MAX]:
        row = fields_of(spec, message, entry)
        if row.get("event_id") is None:
            row["event_id"] = message.place
        rows.append(row)
    # Entries with an id of their own keep it; those that share one, or have none, are numbered.
    has_own = len({row["event_id"] for row in rows}) == len(rows)
    return list(rows if has_own else numbered(rows))


def fields_of(spec: MappingSpec, message: Message, document: Any) -> Fields:
    """Canonical fields of a document by the rules."""
    fields: Fields = {}
    params: Fields = {}
    for rule in spec.rules:
        value = value_of(rule, message, document)
        if value is None:
            continue
        root, _, name = rule.field.partition(".")
        if name:
            params[name] = value
        elif root == "sampling_fraction":
            message.notes["sampled"] += isinstance(value, int | float) and value < 1
        else:
            fields[root] = value
    if params:
        fields["params"] = params
    if "account_id" not in fields:
        fields["account_id"] = message.account(document, client_ip=fields.get("client_ip"))
    if "model_id" not in fields:
        fields["model_id"] = message.model()
    if fields.get("event_time") is None or not isinstance(fields["event_time"], int):
        fields["event_time"] = message.time_ms(fields.get("event_time"))
    return fields


def value_of(rule: FieldRule, message: Message, document: Any) -> Any:
    """The value of one rule, converted; None where no place has one."""
    for place in rule.places:
        value = _value_at(place, message, document)
        if value is None or value == "":
            continue
        for name in rule.conversions:
            value = CONVERSIONS[name].convert(value, rule.field)
        if value is not None:
            # Ids that are logged as numbers are ids all the same.
            is_id = rule.field in (
                "event_id",
                "account_id",
                "model_id",
                "tenant_id",
                "api_key_id",
                "model_version",
            )
            return first_name(value) or value if is_id else value
    return None


def _value_at(place: Place, message: Message, document: Any) -> Any:
    if place.kind == "pointer":
        value = seek(document, place.steps)
        is_entry = document is not message.document
        # What the entries of `each` share stands next to their list.
        return seek(message.document, place.steps) if value is None and is_entry else value
    if place.kind == "list":
        values = [seek(document, steps) for steps in place.items]
        return None if None in values else values
    if place.kind == "header":
        return message.headers.get(place.name)
    return message.key if place.kind == "key" else place.constant


def seek(document: Any, steps: tuple[str, ...]) -> Any:
    """The value at a pointer, passing through strings that hold JSON.

    Examples
    --------
    >>> seek({"payload": '{"user": {"id": "u1"}}'}, ("payload", "user", "id"))
    'u1'
    >>> seek({"rows": [{"a": 1}]}, ("rows", "0", "a")), seek({"rows": []}, ("rows", "0"))
    (1, None)
    """
    for step in steps:
        if isinstance(document, str):
            document = nested_or_text(document)
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isascii() and step.isdecimal() and len(step) < 7:
            document = document[int(step)] if int(step) < len(document) else None
        else:
            return None
    return document


def _holds(condition: Condition, document: Any) -> bool:
    return first_name(seek(document, condition.steps)) in condition.words


def _identify(join: JoinRule, message: Message) -> Identity:
    key = first_name(seek(message.document, join.by))
    pointer = pointer_words(join.by)
    if key is None:
        raise Fault(
            "schema", None, f"join: {pointer} is missing; without it request and response cannot be joined"
        )
    if _holds(join.request, message.document):
        return Identity(key, "request")
    if _holds(join.response, message.document):
        return Identity(key, "response")
    pointer = pointer_words(join.request.steps)
    found = str(seek(message.document, join.request.steps))[:64]
    raise Fault("schema", None, f"join: {pointer} is {found!r}, neither a request nor a response")


def _read_pair(spec: MappingSpec, request: Message | None, response: Message | None) -> list[Reading]:
    """Fields of both; where both have one, the request's counts."""
    fields: Fields = {}
    for message in (response, request):
        if message is not None:
            found = fields_of(spec, message, message.document)
            fields |= {name: value for name, value in found.items() if value is not None}
    return [fields]
