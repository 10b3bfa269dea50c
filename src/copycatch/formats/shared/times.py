"""Times as logs write them, to epoch milliseconds."""

import datetime as dt
import email.utils
import math
import re
from typing import Any

from copycatch.formats.shared.faults import MessageFault
from copycatch.units import (
    LOG_MS_MAX,
    LOG_MS_MIN,
    UNIX_MS_MAX,
    UNIX_MS_MIN,
    UnixMs,
    epoch_unit,
    odd_time_text,
    parse_rfc3339,
)

UNITS_PER_MS: dict[str, float] = {"epoch_s": 1e-3, "epoch_ms": 1.0, "epoch_us": 1e3, "epoch_ns": 1e6}
TIME_CHARS_MAX = 64
_GO_TIME = re.compile(
    r"(?P<moment>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) (?P<offset>[+-]\d{4})(?: [A-Z]{3,5})?"
)
_NUMBER_MAX = 1e21  # nanoseconds of the year 9999 and some to spare; also keeps the arithmetic finite


def time_ms_of(
    value: Any, unit: str | None = None, field: str = "event_time", zone: dt.tzinfo | None = None
) -> int:
    """Epoch milliseconds of a time in any of the usual forms; a number's size tells its unit.

    A text without an offset is in `zone`, and no time where that is None.

    Raises
    ------
    MessageFault
        If it is no time.

    Examples
    --------
    >>> time_ms_of("2026-11-22T01:22:16.498917288Z"), time_ms_of("2026-11-22 01:22:16 UTC")
    (1795310536499, 1795310536000)
    >>> time_ms_of("2026-11-22 01:22:16.5", zone=dt.UTC)
    1795310536500
    >>> time_ms_of("Sun, 22 Nov 2026 01:22:16 GMT", zone=dt.UTC)
    1795310536000
    >>> time_ms_of(1795303424.101), time_ms_of("1795303424913000000"), time_ms_of(1795303424, "epoch_s")
    (1795303424101, 1795303424913, 1795303424000)
    >>> time_ms_of("2026-11-22 01:22:16 +0000 UTC"), time_ms_of("Sun, 22 Nov 2026 01:22:16 GMT")
    (1795310536000, 1795310536000)
    >>> time_ms_of("22/Nov/2026:01:22:16 +0000"), time_ms_of({"seconds": 1795310536, "nanos": 5000000})
    (1795310536000, 1795310536005)
    >>> time_ms_of("Sun Nov 22 2026 02:22:16 GMT+0100 (Central European Standard Time)")
    1795310536000
    """
    number = value
    if isinstance(value, dict):
        return _time_ms_of_object(value, field, zone)
    if isinstance(value, str):
        text = value.strip()[:TIME_CHARS_MAX]
        if not text.lstrip("-").replace(".", "", 1).isdecimal() or not text.isascii():
            return _time_ms_of_text(text, field, zone)
        number = float(text) if "." in text else int(text)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise MessageFault("schema", field, f"{field}: expected a time, got {type(value).__name__}")
    if abs(number) > _NUMBER_MAX:
        raise MessageFault("schema", field, f"{field}: {str(value)[:24]} lies outside of the years 1 to 9999")
    per_ms = UNITS_PER_MS[unit or epoch_unit(number)]
    # Integers are divided as integers: nanoseconds of today have more digits than a float holds.
    is_exact = isinstance(number, int) and per_ms >= 1
    time_ms = number // int(per_ms) if is_exact else round(number / per_ms)
    if not UNIX_MS_MIN <= time_ms <= UNIX_MS_MAX:
        raise MessageFault("schema", field, f"{field}: {str(value)[:24]} lies outside of the years 1 to 9999")
    if unit is None and not LOG_MS_MIN <= time_ms < LOG_MS_MAX:
        # Here, where the number is known: milliseconds of 1970 would later be taken for seconds of today.
        raise MessageFault("schema", field, f"{field}: {str(value)[:24]}: {odd_time_text(int(time_ms))}")
    return int(time_ms)


def _time_ms_of_text(text: str, field: str, zone: dt.tzinfo | None) -> int:
    # BigQuery and Databricks print the zone as a word.
    plain = text.removesuffix(" UTC") + "Z" if text.endswith(" UTC") else text
    try:
        naive = None if zone is None else _naive_moment(plain)
        if naive is not None:
            return UnixMs(round(naive.replace(tzinfo=zone).timestamp() * 1000))
        try:
            return parse_rfc3339(plain)
        except ValueError:
            other = _other_moment(text)
            if other is None:
                raise
            return UnixMs(round(other.timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        message = f"{field}: expected RFC 3339 as 2026-01-05T00:00:00Z or epoch time: {error}, or name \
the zone of all such times (option times, as times=UTC)"
        raise MessageFault("schema", field, message) from None


def _naive_moment(text: str) -> dt.datetime | None:
    """A time without an offset, or None."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is None else None


def _other_moment(text: str) -> dt.datetime | None:
    """A time with its offset as Go and JavaScript print it, as access logs and RFC 2822 do; else None."""
    script = text.partition(" (")[0]  # the zone's name stands behind
    go = _GO_TIME.fullmatch(text)
    try:
        if go is not None:
            return dt.datetime.fromisoformat(go["moment"] + go["offset"])
        if "/" in text:
            return dt.datetime.strptime(text.strip("[]"), "%d/%b/%Y:%H:%M:%S %z")
        if " GMT" in script[:-4]:
            return dt.datetime.strptime(script, "%a %b %d %Y %H:%M:%S GMT%z")
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, IndexError):
        return None
    return moment if moment.tzinfo is not None else None


def _time_ms_of_object(value: dict[str, Any], field: str, zone: dt.tzinfo | None) -> int:
    """MongoDB's `{"$date": ...}` and protobuf's `{"seconds": ..., "nanos": ...}`."""
    inner = value.get("$date")
    if isinstance(inner, dict):
        inner = inner.get("$numberLong")
    if isinstance(inner, str | int | float):
        return time_ms_of(inner, None if isinstance(inner, str) else "epoch_ms", field, zone)
    seconds, nanos = (
        value.get("seconds", value.get("_seconds")),
        value.get("nanos", value.get("_nanoseconds", 0)),
    )
    if not isinstance(nanos, int) or isinstance(seconds, dict) or seconds is None:
        raise MessageFault("schema", field, f"{field}: expected a time, got an object")
    return time_ms_of(seconds, "epoch_s", field, zone) + nanos // 1_000_000


def in_utc(time: Any) -> Any:
    """A text that names no offset as one in UTC, for logs whose definition says so; anything else as it is.

    Examples
    --------
    >>> in_utc("2026-03-01 10:00:00.5"), in_utc("2026-03-01T10:00:00+02:00"), in_utc(7)
    ('2026-03-01 10:00:00.5Z', '2026-03-01T10:00:00+02:00', 7)
    """
    try:
        is_naive = isinstance(time, str) and dt.datetime.fromisoformat(time).tzinfo is None
    except ValueError:
        return time
    return f"{time}Z" if is_naive else time
