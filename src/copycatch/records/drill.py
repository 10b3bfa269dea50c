"""A drill: a marked fake extraction, from the input topic to enforcement and back."""

from typing import Annotated, NamedTuple

from msgspec import Meta, UnsetType

from copycatch.units import UnixMs

ACCOUNT_PREFIX = "copycatch-drill-"
"""Of the accounts of drills; nobody else's records count as marked, whatever they carry."""
QUERIES = 12
"""Marked queries of a drill; one more ends it. As many as an account needs to be judged at all."""

DrillFlag = Annotated[
    bool | UnsetType,
    Meta(description="True for a drill, which is about no real account; absent from all else."),
]


class DrillQuery(NamedTuple):
    """A record whose mark holds.

    `number` counts from 1; the one after `QUERIES` ends the drill.
    """

    drill_id: str
    number: int
    event_id: str
    account_id: str
    tenant_id: str | None
    model_id: str
    time_ms: UnixMs


def account_of(drill_id: str) -> str:
    """The account that a drill pretends to be.

    Examples
    --------
    >>> account_of("3f2a")
    'copycatch-drill-3f2a'
    """
    return ACCOUNT_PREFIX + drill_id
