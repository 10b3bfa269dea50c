"""The words and numbers that a policy is made of: durations, expiry dates, sensitivities."""

import datetime as dt
import re
from typing import Annotated, Any, NoReturn

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from copycatch.units import parse_rfc3339

UNITS_S: dict[str, float] = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(s|m|h|d)$"
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
DURATION_S_MAX = 366 * 86_400.0

# What the presets do to the false-alarm budget: `low` speaks a quarter as often as the budget says.
SENSITIVITY_FACTORS: dict[str, float] = {"low": 0.25, "medium": 1.0, "high": 4.0}
SENSITIVITY_FACTOR_MAX = 1000.0

ID_CHARS_MAX = 512


def refuse(message: str, remedy: str) -> NoReturn:
    """A fault with its remedy, from within a validator."""
    # The message is a template to pydantic: braces in what somebody wrote must not become fields.
    msg = "policy"
    raise PydanticCustomError(msg, "{message}", {"message": message, "remedy": remedy})


def parse_duration(given: Any) -> float:
    """Seconds of `90s`, `10m`, `6h` or `7d`.

    Examples
    --------
    >>> [parse_duration(text) for text in ("90s", "10m", "6h", "7d", "1.5h")]
    [90.0, 600.0, 21600.0, 604800.0, 5400.0]
    """
    remedy = "write a number and a unit: 90s, 10m, 6h or 7d"
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        refuse(f"{_shown(given)} is no duration", remedy)
    match = _DURATION.fullmatch(str(given))
    if match is None:
        refuse(f"{_shown(given)} is no duration", remedy)
    number, unit = match.groups()
    if not unit:
        refuse(f"{_shown(given)} has no unit", f"{number}s, {number}m, {number}h or {number}d?")
    if unit not in UNITS_S:
        guess = {"sec": "s", "min": "m", "mins": "m", "hour": "h", "hours": "h", "day": "d", "days": "d"}
        near = guess.get(unit.lower(), unit.lower()[0])
        meant = f"did you mean {number}{near}?" if near in UNITS_S else remedy
        refuse(f"{unit!r} is no unit of time", meant)
    duration_s = float(number) * UNITS_S[unit]
    if duration_s > DURATION_S_MAX:
        refuse(f"{given} is longer than a year", "at most 366d")
    return duration_s


def duration_text(duration_s: float) -> str:
    """A duration as a policy file has it.

    Examples
    --------
    >>> duration_text(900.0), duration_text(604_800.0), duration_text(90.0), duration_text(0.5)
    ('15m', '7d', '90s', '0.5s')
    """
    for unit, unit_s in reversed(UNITS_S.items()):
        if duration_s >= unit_s and duration_s % unit_s == 0:
            return f"{duration_s / unit_s:.0f}{unit}"
    return f"{duration_s:g}s"


def _is_own(given: Any, info: ValidationInfo) -> bool:
    """Whether it is a number that the code itself gives, in seconds or milliseconds; files have a context."""
    return info.context is None and isinstance(given, int | float) and not isinstance(given, bool)


def _duration(given: Any, info: ValidationInfo) -> float:
    return float(given) if _is_own(given, info) else parse_duration(given)


def _positive_duration(given: Any, info: ValidationInfo) -> float:
    duration_s = _duration(given, info)
    if duration_s <= 0:
        refuse(f"{given} is no time at all", "write at least 1s")
    return duration_s


def _expiry(given: Any, info: ValidationInfo) -> int:
    return int(given) if _is_own(given, info) else parse_expiry(given)


def parse_expiry(given: Any) -> int:
    """Epoch milliseconds of a date (its beginning, UTC) or of an RFC 3339 time.

    Examples
    --------
    >>> parse_expiry("2026-01-05"), parse_expiry("2026-01-05T01:00:00+01:00")
    (1767571200000, 1767571200000)
    """
    remedy = "write 2027-03-01, or 2027-03-01T12:00:00Z"
    if not isinstance(given, str):
        refuse(f"{_shown(given)} is no date", remedy)
    try:
        if len(given) <= len("2027-03-01"):
            return parse_rfc3339(f"{dt.date.fromisoformat(given).isoformat()}T00:00:00Z")
        return parse_rfc3339(given)
    except ValueError:
        refuse(f"{_shown(given)} is no date", remedy)


def parse_sensitivity(given: Any) -> float:
    """Factor on the budget of a preset, or the factor itself.

    Examples
    --------
    >>> parse_sensitivity("low"), parse_sensitivity(2)
    (0.25, 2.0)
    """
    remedy = "one of low, medium, high, or a factor above 0 on the budget"
    if isinstance(given, str) and given in SENSITIVITY_FACTORS:
        return SENSITIVITY_FACTORS[given]
    if isinstance(given, bool) or not isinstance(given, int | float):
        refuse(f"{_shown(given)} is no sensitivity", remedy)
    if not 0 < given <= SENSITIVITY_FACTOR_MAX:
        refuse(f"{given} is out of range", remedy)
    return float(given)


def parse_id(given: Any) -> str:
    """An id as the records carry it: whole, never a pattern."""
    if isinstance(given, bool | int | float):
        refuse(f"{given} is no text", f'ids are text; quote it: "{given}"')
    if not isinstance(given, str) or not given:
        refuse(f"{_shown(given)} is no id", "write the id as it stands in the logs")
    if len(given) > ID_CHARS_MAX:
        refuse(f"an id of {len(given)} characters", f"ids have at most {ID_CHARS_MAX}")
    if "*" in given or "?" in given:
        refuse(
            f"{_shown(given)} looks like a pattern", "ids are compared whole; list each, or match the tenant"
        )
    return given


def _shown(given: Any) -> str:
    shown = "nothing" if given is None else repr(given)
    return shown if len(shown) <= 60 else shown[:57] + "..."


_DURATION_SCHEMA = {"type": "string", "pattern": DURATION_PATTERN, "examples": ["90s", "10m", "6h", "7d"]}
Duration = Annotated[float, BeforeValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]
PositiveDuration = Annotated[float, BeforeValidator(_positive_duration), WithJsonSchema(_DURATION_SCHEMA)]
Expiry = Annotated[
    int,
    BeforeValidator(_expiry),
    WithJsonSchema({"type": "string", "examples": ["2027-03-01", "2027-03-01T12:00:00Z"]}),
]
Sensitivity = Annotated[
    float,
    BeforeValidator(parse_sensitivity),
    WithJsonSchema(
        {"anyOf": [{"enum": list(SENSITIVITY_FACTORS)}, {"type": "number", "exclusiveMinimum": 0}]}
    ),
]
ExactId = Annotated[
    str,
    BeforeValidator(parse_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": ID_CHARS_MAX}),
]
