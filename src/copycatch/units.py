"""The units everybody speaks, and the only conversions between them."""

import datetime as dt
from typing import NewType

UnixMs = NewType("UnixMs", int)
"""A point in time: milliseconds since 1970-01-01T00:00:00Z."""

DurationS = NewType("DurationS", float)
"""A length of time in seconds."""

AccountId = NewType("AccountId", str)
"""Who is judged, as the log names them."""

MS_PER_S = 1000
MS_PER_HOUR = 3_600 * MS_PER_S
S_PER_DAY = 86_400
MS_PER_DAY = MS_PER_S * S_PER_DAY

# Year 1 to 9999 is what RFC 3339 can say; numbers outside are no epoch milliseconds.
UNIX_MS_MIN = -62_135_596_800_000
UNIX_MS_MAX = 253_402_300_799_999


LOG_MS_MIN = 1_262_304_000_000
"""2010-01-01: no inference log is older; a time before it was read in the wrong unit."""
LOG_MS_MAX = 4_102_444_800_000
"""2100-01-01: a time from then on is of another unit, or of a clock that is broken."""

# Numbers of logs of this century tell their unit by size: 1e11 s is the year 5138 and 1e11 ms is 1973.
_S_MAX, _MS_MAX, _US_MAX = 10**11, 10**14, 10**17


def epoch_unit(number: float) -> str:
    """The unit in which a number is a time of this century.

    Examples
    --------
    >>> epoch_unit(1_795_303_424), epoch_unit(1_795_303_424_101), epoch_unit(1_795_303_424_101_000)
    ('epoch_s', 'epoch_ms', 'epoch_us')
    """
    size = abs(number)
    if size < _S_MAX:
        return "epoch_s"
    if size < _MS_MAX:
        return "epoch_ms"
    return "epoch_us" if size < _US_MAX else "epoch_ns"


def epoch_ms(number: int) -> UnixMs:
    """Epoch milliseconds of a whole number in any of the usual units.

    Examples
    --------
    >>> epoch_ms(1_795_303_424), epoch_ms(1_795_303_424_101), epoch_ms(1_795_303_424_101_000_000)
    (1795303424000, 1795303424101, 1795303424101)
    """
    unit = epoch_unit(number)
    if unit == "epoch_s":
        return UnixMs(number * MS_PER_S)
    return UnixMs(number // {"epoch_ms": 1, "epoch_us": 1000, "epoch_ns": 1_000_000}[unit])


def parse_rfc3339(text: str) -> UnixMs:
    """Epoch milliseconds of an RFC 3339 time; a time without an offset is not accepted.

    Raises
    ------
    ValueError
        If the text is no RFC 3339 date-time or names no offset.

    Examples
    --------
    >>> parse_rfc3339("2026-01-05T00:00:00.250Z")
    1767571200250
    >>> parse_rfc3339("2026-01-05T01:00:00+01:00")
    1767571200000
    """
    moment = dt.datetime.fromisoformat(f"{text[:-1]}Z" if text[-1:] == "z" else text)
    if moment.tzinfo is None:
        message = f"{text!r} names no offset from UTC; write 2026-01-05T00:00:00Z"
        raise ValueError(message)
    return UnixMs(round(moment.timestamp() * MS_PER_S))


def event_time_ms(value: str | int) -> UnixMs:
    """Epoch milliseconds of an event time: RFC 3339, or a whole number in any unit, as text as well.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> event_time_ms("2026-01-05T00:00:00z"), event_time_ms("1767571200"), event_time_ms(1767571200)
    (1767571200000, 1767571200000, 1767571200000)
    """
    if isinstance(value, int):
        return epoch_ms(value)
    is_number = value.isascii() and value.isdecimal() and len(value) < 20
    return epoch_ms(int(value)) if is_number else parse_rfc3339(value)


def format_rfc3339(time_ms: int) -> str:
    """RFC 3339 text in UTC, with milliseconds.

    Examples
    --------
    >>> format_rfc3339(1767571200250)
    '2026-01-05T00:00:00.250Z'
    """
    moment = dt.datetime.fromtimestamp(time_ms // MS_PER_S, tz=dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % MS_PER_S:03d}Z"


def to_ms(duration_s: float) -> int:
    """A length of time as whole milliseconds.

    Examples
    --------
    >>> to_ms(1.5)
    1500
    """
    return round(duration_s * MS_PER_S)


def odd_time_text(time_ms: int) -> str:
    """What is wrong with a time that no inference log can hold, and the remedy."""
    where = "before" if time_ms < LOG_MS_MIN else "after"
    return (
        f"{format_rfc3339(time_ms)[:10]} lies years {where} any inference log; is it another unit? The size "
        "of a number tells seconds to nanoseconds; a mapping says `as: epoch_s` (or _ms, _us, _ns)"
    )
