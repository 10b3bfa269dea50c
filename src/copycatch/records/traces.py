"""Trace contexts that messages carry in their headers, as W3C Trace Context writes them.

Whoever sends a request can choose its context: it is passed on and linked to, and nothing is decided by it.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from copycatch.records.columns import RawBatch

TRACEPARENT = "traceparent"
# Version 00, neither id all zeros; `convert` checks it.
TraceParent = Annotated[
    str, msgspec.Meta(pattern=r"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")
]


def traceparent_of(headers: Sequence[tuple[str, bytes]]) -> str | None:
    """The trace context among a message's headers; None where there is none, or none that is valid.

    Examples
    --------
    >>> traceparent_of([("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")])
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    >>> traceparent_of([("traceparent", b"00-" + 32 * b"0" + b"-00f067aa0ba902b7-01")]) is None
    True
    """
    for name, value in headers:
        if name == TRACEPARENT:
            try:
                return msgspec.convert(bytes(value or b"").decode("ascii"), TraceParent)
            except (msgspec.ValidationError, UnicodeDecodeError):
                return None
    return None


def traceparents_of(raw: RawBatch, positions: Sequence[int]) -> list[str | None] | None:
    """Trace contexts of the records at these positions; None where no message has one.

    A record that was joined of several messages has that of the one whose position it bears, if it is here.
    """
    if not raw.headers:
        return None
    found = {
        position: context
        for position, headers in zip(raw.positions, raw.headers, strict=True)
        if (context := traceparent_of(headers)) is not None
    }
    return [found.get(position) for position in positions] if found else None
