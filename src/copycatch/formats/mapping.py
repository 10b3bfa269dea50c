"""The format `mapping`: one JSON pointer for each canonical field, for logs that no other format knows.

`settings/mapping.py` reads and checks the file and builds a `MappingSpec`.
"""

from typing import Any

from copycatch.formats.shared.conversions import CONVERSIONS
from copycatch.formats.shared.documents import DocumentDecoder
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import CANONICAL_FIELDS, Format, FormatOptions
from copycatch.formats.shared.joining import Identity, JoiningDecoder
from copycatch.formats.shared.mapping_spec import (
    Condition,
    FieldRule,
    JoinRule,
    Location,
    MappingSpec,
    pointer_text,
)
from copycatch.formats.shared.messages import Fields, LogMessage, Reading, first_name, payer_of, seek
from copycatch.formats.shared.predictions import numbered
from copycatch.formats.shared.recognise import Recognise, recognise_nothing
from copycatch.records.decoding import Decoder

NAME = "mapping"
ENTRIES_MAX = 10_000  # of `each`


def make_decoder(options: FormatOptions, _recognise: Recognise) -> Decoder:
    """A decoder for the mapping in the options."""
    spec = options.mapping
    assert spec is not None, "settings refuse the format mapping without a mapping"
    sources = spec.sources()
    if spec.join is None:
        return DocumentDecoder(
            NAME, lambda message: read(spec, message), sources, options, recognise_nothing, is_batched=True
        )
    join = spec.join
    return JoiningDecoder(
        NAME,
        lambda message: _identify(join, message),
        lambda request, response: _read_pair(spec, request, response),
        sources,
        options,
        recognise_nothing,  # a mapping reads whatever its file says, known formats included
    )


FORMAT = Format(
    name=NAME,
    sentence="any JSON log, by a file with one JSON pointer for each canonical field",
    sources=dict.fromkeys(CANONICAL_FIELDS, "the pointer that the mapping names"),
    make_decoder=make_decoder,
)


def read(spec: MappingSpec, message: LogMessage) -> list[Reading]:
    """One query, or one for each entry of the list that `each` points to."""
    if spec.only is not None and not _holds(spec.only, message.document):
        return []
    if spec.each is None:
        return [fields_of(spec, message, message.document)]
    entries = seek(message.document, spec.each)
    if not isinstance(entries, list):
        pointer = pointer_text(spec.each)
        raise MessageFault(
            "schema", None, f"each: {pointer} of mapping {spec.name!r} points to no list in this message"
        )
    rows: list[Fields] = []
    for entry in entries[:ENTRIES_MAX]:
        row = fields_of(spec, message, entry)
        if row.get("event_id") is None:
            row["event_id"] = message.origin
        rows.append(row)
    # Entries with an id of their own keep it; those that share one, or have none, are numbered.
    has_own = len({row["event_id"] for row in rows}) == len(rows)
    return list(rows if has_own else numbered(rows))


def fields_of(spec: MappingSpec, message: LogMessage, document: Any) -> Fields:
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
    fields["account_id"] = payer_of(fields.get("account_id"))
    if fields["account_id"] is None:
        fields["account_id"] = message.account(document, client_ip=fields.get("client_ip"))
    if "model_id" not in fields:
        fields["model_id"] = message.model()
    if fields.get("event_time") is None or not isinstance(fields["event_time"], int):
        fields["event_time"] = message.time_ms(fields.get("event_time"))
    return fields


def value_of(rule: FieldRule, message: LogMessage, document: Any) -> Any:
    """The value of one rule, converted; None where no location has one."""
    for location in rule.locations:
        value = _value_at(location, message, document)
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


def _value_at(location: Location, message: LogMessage, document: Any) -> Any:
    if location.kind == "pointer":
        value = seek(document, location.steps)
        is_entry = document is not message.document
        # What the entries of `each` share is logged next to their list.
        return seek(message.document, location.steps) if value is None and is_entry else value
    if location.kind == "list":
        values = [seek(document, steps) for steps in location.items]
        return None if None in values else values
    if location.kind == "header":
        return message.headers.get(location.name)
    return message.key if location.kind == "key" else location.constant


def _holds(condition: Condition, document: Any) -> bool:
    return first_name(seek(document, condition.steps)) in condition.values


def _identify(join: JoinRule, message: LogMessage) -> Identity:
    key = first_name(seek(message.document, join.by))
    pointer = pointer_text(join.by)
    if key is None:
        raise MessageFault(
            "schema", None, f"join: {pointer} is missing; without it request and response cannot be joined"
        )
    if _holds(join.request, message.document):
        return Identity(key, "request")
    if _holds(join.response, message.document):
        return Identity(key, "response")
    pointer = pointer_text(join.request.steps)
    found = str(seek(message.document, join.request.steps))[:64]
    raise MessageFault("schema", None, f"join: {pointer} is {found!r}, neither a request nor a response")


def _read_pair(spec: MappingSpec, request: LogMessage | None, response: LogMessage | None) -> list[Reading]:
    """Fields of both; where both have one, the request's counts."""
    fields: Fields = {}
    for message in (response, request):
        if message is not None:
            found = fields_of(spec, message, message.document)
            fields |= {name: value for name, value in found.items() if value is not None}
    return [fields]
