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
S_PER_DAY = 86_400
MS_PER_DAY = MS_PER_S * S_PER_DAY

# Year 1 to 9999 is what RFC 3339 can say; numbers outside are no epoch milliseconds.
UNIX_MS_MIN = -62_135_596_800_000
UNIX_MS_MAX = 253_402_300_799_999


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
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        message = f"{text!r} names no offset from UTC; write 2026-01-05T00:00:00Z"
        raise ValueError(message)
    return UnixMs(round(moment.timestamp() * MS_PER_S))


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
