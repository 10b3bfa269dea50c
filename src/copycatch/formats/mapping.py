"""The format `mapping`: one JSON pointer for each canonical field, for logs that no other format knows.

`settings/mapping.py` reads and checks the file and builds a `MappingSpec`.
"""

from typing import Any

from copycatch.formats.shared.documents import DocumentDecoder
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import CANONICAL_FIELDS, Format, FormatOptions
from copycatch.formats.shared.joining import Identity, JoiningDecoder
from copycatch.formats.shared.mapped_rows import ENTRIES_MAX, Side, rows_in
from copycatch.formats.shared.mapping_spec import (
    Condition,
    JoinRule,
    Location,
    MappingSpec,
    pointer_text,
)
from copycatch.formats.shared.messages import Fields, LogMessage, Reading, first_name, seek
from copycatch.formats.shared.predictions import numbered
from copycatch.formats.shared.recognise import Recognise, recognise_nothing
from copycatch.records.decoding import Decoder

NAME = "mapping"


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


def is_mapped(spec: MappingSpec, document: Any) -> bool:
    """Whether the mapping finds who asked in a document as it stands: then it is no envelope.

    So it is where it finds two of the query's id, model and input, though it names nobody.
    """
    if spec.each is not None and isinstance(seek(document, spec.each), list):
        return True
    found = {rule.field for rule in spec.rules if any(_is_there(each, document) for each in rule.locations)}
    bodies = () if spec.bodies is None else (spec.bodies.request, spec.bodies.response)
    if any(steps is not None and seek(document, steps) is not None for steps in bodies):
        found.add("input")
    return "account_id" in found or len(found & {"event_id", "model_id", "input"}) > 1


def _is_there(location: Location, document: Any) -> bool:
    return location.kind == "pointer" and seek(document, location.steps) is not None


def read(spec: MappingSpec, message: LogMessage) -> list[Reading]:
    """The queries of a message, or of each entry of the list that `each` points to."""
    if spec.only is not None and not _holds(spec.only, message.document):
        return []
    if spec.each is None:
        side = Side(message, message.document)
        return list(_told_apart(rows_in(spec, side, side), message))
    entries = seek(message.document, spec.each)
    if not isinstance(entries, list):
        pointer = pointer_text(spec.each)
        raise MessageFault(
            "schema", None, f"each: {pointer} of mapping {spec.name!r} points to no list in this message"
        )
    message.notes["unread"] += max(len(entries) - ENTRIES_MAX, 0)
    sides = [Side(message, entry) for entry in entries[:ENTRIES_MAX]]
    return list(_told_apart([row for side in sides for row in rows_in(spec, side, side)], message))


def _told_apart(rows: list[Fields], message: LogMessage) -> list[Fields]:
    """Rows with ids of their own keep them; those that share one, or have none, are numbered."""
    if len(rows) > 1:
        for row in rows:
            row["event_id"] = row.get("event_id") or message.origin
    has_own = len({str(row.get("event_id")) for row in rows}) == len(rows)
    return rows if has_own else numbered(rows)


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
    """The queries of both; where both have a field, the request's counts."""
    sides = [None if message is None else Side(message, message.document) for message in (request, response)]
    message = request or response
    assert message is not None
    return list(_told_apart(rows_in(spec, *sides), message))
