"""Rows of a message, or of a request and its response, by the rules of a mapping."""

from typing import Any, NamedTuple

from copycatch.formats.shared import tensors
from copycatch.formats.shared.conversions import CONVERSIONS
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import REQUIRED_FIELDS
from copycatch.formats.shared.mapping_spec import EACH, BodiesRule, FieldRule, Location, MappingSpec, Rows
from copycatch.formats.shared.messages import Fields, LogMessage, first_name, nested_or_text, payer_of, seek
from copycatch.formats.shared.predictions import BODY_KEYS
from copycatch.formats.shared.readable import ID_FIELDS

ENTRIES_MAX = 10_000  # records of one message


class Side(NamedTuple):
    """A message, and the part of it that the pointers start from."""

    message: LogMessage
    document: Any


def rows_in(spec: MappingSpec, asked: Side | None, answered: Side | None) -> list[Fields]:
    """Canonical fields of each query.

    Parameters
    ----------
    spec : MappingSpec
    asked, answered : Side or None
        Where a message holds both, the same; else of a request and its response, of which one may be missing.

    Raises
    ------
    MessageFault
        If a conversion of a field that every record needs fails.
    """
    sides = [side for side in (answered, asked) if side is not None]
    if asked is answered:
        sides = sides[:1]
    values: Fields = {}
    for side in sides:
        values |= _values_of(spec, side)
    bodies = [{}] if spec.bodies is None else _body_rows(spec.bodies, asked, answered)
    n = _row_count(values, bodies)
    message = sides[-1].message
    if len(bodies) not in (1, n):
        message.notes["unread"] += 1
        bodies = [{}]
    rows = []
    for index in range(n):
        row = dict(bodies[index if len(bodies) == n else 0])
        for name, value in values.items():
            row[name] = _entry_of(value, index, n)
        rows.append(row)
    message.notes["unread"] += sum(_is_lost(value, n) for value in values.values())
    return [_finished(row, sides) for row in rows]


def _row_count(values: Fields, bodies: list[Fields]) -> int:
    """How many queries there are: what was asked says so, then whatever else comes in rows."""
    asked = [values.get(name) for name in ("input", "embedding")]
    lengths = [len(each) for each in asked if isinstance(each, Rows)]
    if not lengths and len(bodies) == 1:
        lengths = [len(each) for each in values.values() if isinstance(each, Rows)]
    return max(lengths, default=len(bodies))


def _entry_of(value: Any, index: int, n: int) -> Any:
    if not isinstance(value, Rows):
        return value
    if len(value) == n:
        return value[index]
    return value[0] if len(value) == 1 else None  # which row a value belongs to must not be guessed


def _is_lost(value: Any, n: int) -> bool:
    return isinstance(value, Rows) and len(value) not in (1, n)


def _finished(row: Fields, sides: list[Side]) -> Fields:
    """The row with its options together, and with what the messages say where the rules found nothing."""
    message = sides[-1].message
    own = {name.partition(".")[2]: row.pop(name) for name in list(row) if name.startswith("params.")}
    options = {name: value for name, value in own.items() if value is not None}
    if options:
        row["params"] = {**(row.get("params") or {}), **options}
    sampled = row.pop("sampling_fraction", None)
    message.notes["sampled"] += isinstance(sampled, int | float) and sampled < 1
    row["account_id"] = payer_of(row.get("account_id"))
    for side in reversed(sides):
        if row["account_id"] is None:
            row["account_id"] = side.message.account(side.document, client_ip=row.get("client_ip"))
    if row.get("model_id") is None:
        row["model_id"] = message.model()
    if not isinstance(row.get("event_time"), int):
        row["event_time"] = message.time_ms(row.get("event_time"))
    if row.get("account_created") is not None:
        row["account_created"] = message.optional_time_ms(row["account_created"])
    return row


def _values_of(spec: MappingSpec, side: Side) -> Fields:
    """Values by the field of their rule, `Rows` where they are of several records; missing ones left out."""
    values: Fields = {}
    for rule in spec.rules:
        value = value_of(rule, side)
        if value is not None:
            values[rule.field] = value
    return values


def value_of(rule: FieldRule, side: Side) -> Any:
    """The value of one rule, converted; None where no location has one."""
    for location in rule.locations:
        value = _value_at(location, side)
        if isinstance(value, Rows):
            found = Rows(_converted(rule, each, side.message) for each in value)
            if any(each is not None for each in found):
                return found
        else:
            found = _converted(rule, value, side.message)
            if found is not None:
                return found
    return None


def _converted(rule: FieldRule, value: Any, message: LogMessage) -> Any:
    if value is None or value == "":
        return None
    try:
        for name in rule.conversions:
            value = CONVERSIONS[name].convert(value, rule.field)
    except MessageFault:
        if rule.field in REQUIRED_FIELDS:
            raise
        message.notes["unread"] += 1
        return None
    # Ids that are logged as numbers are ids all the same.
    return first_name(value) or value if rule.field in ID_FIELDS else value


def _value_at(location: Location, side: Side) -> Any:
    document, message = side.document, side.message
    if location.kind == "pointer":
        value = _pointed(document, location.steps)
        is_entry = document is not message.document
        # What the entries of `each` share is logged next to their list.
        return _pointed(message.document, location.steps) if value is None and is_entry else value
    if location.kind == "list":
        return _listed([_pointed(document, steps) for steps in location.items])
    if location.kind == "header":
        return message.headers.get(location.name)
    return message.key if location.kind == "key" else location.constant


def _pointed(document: Any, steps: tuple[str, ...]) -> Any:
    """The value at a pointer; `Rows` where it points to every entry of a list."""
    if EACH not in steps:
        return seek(document, steps)
    found = [document]
    start = 0
    for place in (index for index, step in enumerate(steps) if step == EACH):
        lists = [nested_or_text(seek(value, steps[start:place])) for value in found]
        found = [entry for each in lists if isinstance(each, list) for entry in each][:ENTRIES_MAX]
        start = place + 1
    return Rows(seek(value, steps[start:]) for value in found) or None


def _listed(values: list[Any]) -> Any:
    """Values as one list; of several records a list for each."""
    if None in values:
        return None
    columns = [value for value in values if isinstance(value, Rows)]
    if not columns:
        return values
    n = len(columns[0])
    if any(len(column) != n for column in columns):
        return None
    rows = [[value[index] if isinstance(value, Rows) else value for value in values] for index in range(n)]
    return Rows(None if None in row else row for row in rows)


def _body_rows(rule: BodiesRule, asked: Side | None, answered: Side | None) -> list[Fields]:
    """Queries in the bodies of a request and its response, in any of the forms that other formats take."""
    request = None if asked is None or rule.request is None else _body_at(asked, rule.request, rule.without)
    response = (
        None if answered is None or rule.response is None else _body_at(answered, rule.response, rule.without)
    )
    message = (asked or answered).message  # type: ignore[union-attr]  # one of them is there
    if isinstance(request, str):
        message.notes["unread"] += 1
        request = None
    rows = tensors.body_rows(request, response, {}, message.notes)
    for row in rows:
        row.pop("event_id", None)
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _body_at(side: Side, steps: tuple[str, ...], without: frozenset[str]) -> Any:
    body = side.message.body(seek(side.document, steps))
    if (
        isinstance(body, list)
        and body
        and all(isinstance(each, str) and each[:1] in ("{", "[") for each in body)
    ):
        body = [nested_or_text(each) for each in body]  # a column of texts, as BigQuery's REPEATED STRING
        body = body[0] if len(body) == 1 else _merged(body)
    if not without:
        return body
    if isinstance(body, list):
        return [_less(each, without) for each in body]
    return _less(body, without)


def _merged(bodies: list[Any]) -> Any:
    """Several bodies with rows under one key as one such body; else the rows themselves."""
    for key in BODY_KEYS:
        if all(isinstance(each, dict) and isinstance(each.get(key), list) for each in bodies):
            return {key: [row for each in bodies for row in each[key]]}
    return bodies


def _less(row: Any, without: frozenset[str]) -> Any:
    return {key: value for key, value in row.items() if key not in without} if isinstance(row, dict) else row
