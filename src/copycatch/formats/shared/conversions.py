"""What a mapping may do to a value on its way into a canonical field."""

import csv
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from copycatch.formats.shared.contents import content_text, messages_text
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.messages import count_of, nested
from copycatch.formats.shared.predictions import flatten, input_of
from copycatch.formats.shared.times import time_ms_of

TICKS_PER_MS = 10_000  # of .NET: 100 ns since the year 1
_TICKS_AT_EPOCH_MS = 62_135_596_800_000


class Conversion(NamedTuple):
    """A row of the table."""

    convert: Callable[[Any, str], Any]
    sentence: str


def _scaled(factor: float) -> Callable[[Any, str], Any]:
    def convert(value: Any, field: str) -> Any:
        return _number(value, field) * factor

    return convert


def _number(value: Any, field: str) -> float:
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool) and len(str(value)) < 64:
            number = float(value)
            if math.isfinite(number):
                return number
    except (ValueError, OverflowError):
        pass
    raise MessageFault("schema", field, f"{field}: expected a number, got {str(value)[:32]!r}")


def _integer(value: Any, field: str) -> Any:
    number = count_of(value)
    return number if isinstance(number, int) else round(_number(value, field))


def _ticks(value: Any, field: str) -> int:
    return int(_number(value, field)) // TICKS_PER_MS - _TICKS_AT_EPOCH_MS


def _csv(value: Any, field: str) -> list[Any]:
    if not isinstance(value, str):
        raise MessageFault("schema", field, f"{field}: expected CSV as text, got {type(value).__name__}")
    try:
        cells = next(csv.reader(value.splitlines()[:1]), [])
    except csv.Error as error:
        raise MessageFault("schema", field, f"{field}: no CSV: {error}") from None
    return [_number(cell.strip(), field) for cell in cells]


def _values(value: Any, field: str) -> Any:
    if isinstance(value, dict):
        value = list(value.values())
    flat = flatten(value)
    if flat is None:
        raise MessageFault("schema", field, f"{field}: expected numbers, by name or in a list")
    return flat


def _descending(value: Any, field: str) -> Any:
    return sorted((_number(entry, field) for entry in _values(value, field)), reverse=True)


def _boolean(value: Any, field: str) -> bool:
    if isinstance(value, bool):
        return value
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower()[:8] in values:
        return values[str(value).lower()]
    raise MessageFault("schema", field, f"{field}: expected true or false, got {str(value)[:32]!r}")


def _last_message(value: Any, field: str) -> str | None:
    value = nested(value, field)
    return messages_text(value) if isinstance(value, list) else content_text(value)


CONVERSIONS: dict[str, Conversion] = {
    "epoch_s": Conversion(lambda value, field: time_ms_of(value, "epoch_s", field), "seconds since 1970"),
    "epoch_ms": Conversion(
        lambda value, field: time_ms_of(value, "epoch_ms", field), "milliseconds since 1970"
    ),
    "epoch_us": Conversion(
        lambda value, field: time_ms_of(value, "epoch_us", field), "microseconds since 1970"
    ),
    "epoch_ns": Conversion(
        lambda value, field: time_ms_of(value, "epoch_ns", field), "nanoseconds since 1970"
    ),
    "ticks": Conversion(_ticks, "100 ns since the year 1, as .NET counts"),
    "s_to_ms": Conversion(_scaled(1e3), "seconds to milliseconds, for latency_ms"),
    "us_to_ms": Conversion(_scaled(1e-3), "microseconds to milliseconds, for latency_ms"),
    "ns_to_ms": Conversion(_scaled(1e-6), "nanoseconds to milliseconds, for latency_ms"),
    "number": Conversion(_number, "a number that is logged as text"),
    "integer": Conversion(_integer, "a whole number that is logged as text or as 3.0"),
    "boolean": Conversion(_boolean, "true and false that are logged as text or as 0 and 1"),
    "text": Conversion(
        lambda value, _: value if isinstance(value, str) else str(value)[:512], "any value as text"
    ),
    "lower": Conversion(
        lambda value, _: str(value)[:512].lower(), "lower case, for ids that differ in case only"
    ),
    "json": Conversion(nested, "a document that is logged as a string"),
    "csv": Conversion(_csv, "a row of numbers with commas between them"),
    "values": Conversion(_values, "numbers by name, or nested lists of them, as one vector"),
    "descending": Conversion(_descending, "scores, highest first, for top_scores"),
    "input": Conversion(
        lambda value, _: input_of(value), "an instance of any form: numbers, text or an object"
    ),
    "last_message": Conversion(_last_message, "what the user said last in a list of chat messages"),
    "first_of_list": Conversion(
        lambda value, _: str(value)[:4096].split(",")[0].strip(), "the first of a list with commas"
    ),
}
"""By the name that a mapping file says; see `copycatch inspect --conversions`."""
