"""Adds each record to the link state of its account: one compiled pass, in order of arrival.

The activity of an account is kept as one of 16 levels per ten minutes, `LEVELS` of the square root of the
count: the square root makes the spread of a Poisson count the same at every rate, so that one busy account
does not speak for its group.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.campaigns.layout import (
    CONVERSATIONS,
    ISSUED,
    KIND_STARTS,
    LINKS,
    PANES,
    REPLAYED,
    SAMPLES,
    VECTOR,
    WEIGHT_MAX,
)
from copycatch.compiled import njit
from copycatch.layout.structs import Rows
from copycatch.records.columns import Float32Array, IntArray

# Lowest count of each level: exact up to 6, then in growing steps; 200 in ten minutes and more are one.
LEVELS: Final = np.array([0, 1, 2, 3, 4, 5, 6, 8, 11, 15, 21, 31, 47, 75, 120, 200], dtype=np.uint16)
LEVEL_ROOTS: Final = np.sqrt(
    np.array([0, 1, 2, 3, 4, 5, 6.5, 9, 12.5, 17.5, 25.5, 38.5, 60, 96, 158, 250], dtype=np.float32)
)
COUNT_MAX: Final = 65_535
ISSUED_AT: Final = 1  # columns of `LinkEvents.contexts`; the conversation is the first
SENT_AT: Final = 3
CONTEXT: Final = 7
LEVEL_BY_COUNT: Final = np.searchsorted(LEVELS, np.arange(LEVELS[-1] + 1), side="right") - 1


class LinkColumns(NamedTuple):
    """The fields of the link rows, each an array along accounts."""

    account: IntArray
    first_ms: IntArray
    last_ms: IntArray
    queries: npt.NDArray[np.uint32]
    queries_seen: npt.NDArray[np.uint32]
    newest_pane: npt.NDArray[np.int32]
    newest_counts: npt.NDArray[np.uint16]
    weight: npt.NDArray[np.uint16]
    counts: npt.NDArray[np.uint16]
    values: npt.NDArray[np.uint32]
    vectors: npt.NDArray[np.uint32]
    vector_sum: Float32Array
    sample_hashes: npt.NDArray[np.uint32]
    samples: npt.NDArray[np.int8]
    panes: npt.NDArray[np.uint8]
    issued: npt.NDArray[np.uint32]
    replayed: npt.NDArray[np.uint32]
    replayed_in: npt.NDArray[np.uint16]
    conversations: npt.NDArray[np.uint32]


class LinkEvents(NamedTuple):
    """What a record tells, in order of arrival."""

    rows: IntArray
    panes: npt.NDArray[np.int32]
    times_ms: IntArray
    attributes: npt.NDArray[np.uint32]  # (n, kinds)
    contents: npt.NDArray[np.uint32]  # hash of the input, 0 where there is none
    vectors: Float32Array  # (n, VECTOR), unit length, zero where there is none
    # (n, CONTEXT): conversation, blocks that the answer issued, blocks that the request sent back, 0 where
    # there are no more; (n, 0) where no record has any.
    contexts: npt.NDArray[np.uint32]


def columns_of(rows: Rows) -> LinkColumns:
    """Views of the fields of the rows."""
    assert rows.dtype == LINKS
    return LinkColumns(*(rows[name] for name in LinkColumns._fields))


@njit(cache=True)
def level_of(count):  # type: ignore[no-untyped-def]
    """Highest level whose lowest count is reached."""
    return np.int64(LEVEL_BY_COUNT[min(count, len(LEVEL_BY_COUNT) - 1)])


@njit(cache=True)
def get_level(panes, at):  # type: ignore[no-untyped-def]
    """Level of a pane, `at` in 0 .. PANES - 1."""
    byte = np.int64(panes[at >> 1])
    return byte >> 4 if at & 1 else byte & 15


@njit(cache=True)
def set_level(panes, at, level):  # type: ignore[no-untyped-def]
    byte = np.int64(panes[at >> 1])
    panes[at >> 1] = (byte & 15) | (level << 4) if at & 1 else (byte & 240) | level


@njit(cache=True)
def _add_activity(row, pane):  # type: ignore[no-untyped-def]
    """Count a query in its pane; panes that have fallen out of the week are emptied."""
    panes, counts = row.panes, row.newest_counts
    ahead = pane - row.newest_pane
    if ahead > 0:
        if ahead >= PANES:
            panes[:] = 0
        else:
            for step in range(1, ahead + 1):
                set_level(panes, (row.newest_pane + step) % PANES, 0)
        counts[1] = counts[0] if ahead == 1 else 0
        counts[0] = 0
        row.newest_pane = pane
        ahead = 0
    if ahead >= -1:
        counts[-ahead] = min(counts[-ahead] + 1, COUNT_MAX)
        set_level(panes, pane % PANES, level_of(counts[-ahead]))
    elif ahead > -PANES:
        level = get_level(panes, pane % PANES)
        if level < 6:  # levels up to here are exact counts; late records are few
            set_level(panes, pane % PANES, level + 1)


@njit(cache=True)
def _add_attributes(row, attributes):  # type: ignore[no-untyped-def]
    """Space-saving counters [1]_ of each kind.

    References
    ----------
    .. [1] Metwally et al., Efficient computation of frequent and top-k elements in data streams, ICDT 2005.
    """
    values, counts = row.values, row.counts
    row.weight += 1
    for kind in range(len(attributes)):
        value = attributes[kind]
        if value == 0:
            continue
        place = -1
        for slot in range(KIND_STARTS[kind], KIND_STARTS[kind + 1]):
            if values[slot] == value:
                place = slot
                break
        if place < 0:
            place = KIND_STARTS[kind]
            for slot in range(place + 1, KIND_STARTS[kind + 1]):
                if counts[slot] < counts[place]:
                    place = slot
            values[place] = value
        counts[place] += 1
    if row.weight >= WEIGHT_MAX:
        row.weight >>= 1
        for slot in range(len(counts)):
            counts[slot] >>= 1


@njit(cache=True)
def _add_sample(row, content, vector):  # type: ignore[no-untyped-def]
    """Keep the queries whose inputs have the smallest hashes: accounts that ask the same keep the same."""
    hashes, samples = row.sample_hashes, row.samples
    place = SAMPLES
    while place > 0 and (hashes[place - 1] == 0 or hashes[place - 1] > content):
        place -= 1
    if place == SAMPLES or (place > 0 and hashes[place - 1] == content):
        return
    for later in range(SAMPLES - 1, place, -1):
        hashes[later] = hashes[later - 1]
        for dimension in range(VECTOR):
            samples[later, dimension] = samples[later - 1, dimension]
    hashes[place] = content
    for dimension in range(VECTOR):
        samples[place, dimension] = np.int8(np.rint(vector[dimension] * 127))


@njit(cache=True)
def _place_of(kept, value):  # type: ignore[no-untyped-def]
    """Where a value belongs among the smallest, ascending; -1 where it is known or too large."""
    place = len(kept)
    while place > 0 and (kept[place - 1] == 0 or kept[place - 1] > value):
        place -= 1
    if place == len(kept) or (place > 0 and kept[place - 1] == value):
        return -1
    for later in range(len(kept) - 1, place, -1):
        kept[later] = kept[later - 1]
    kept[place] = value
    return place


@njit(cache=True)
def _add_context(row, context):  # type: ignore[no-untyped-def]
    """Conversations, blocks issued, and blocks sent back that were issued to others.

    As long as fewer than ISSUED blocks are known an account's own are all among them; then all of its own
    below the largest of them are. So what is sent back, is not larger, and is not among them is not its own.
    """
    if context[0] != 0:
        _place_of(row.conversations, context[0])
    largest = row.issued[ISSUED - 1]
    for at in range(SENT_AT, CONTEXT):
        block = context[at]
        if block == 0:
            break
        is_own = largest != 0 and block > largest
        for slot in range(ISSUED):
            is_own |= row.issued[slot] == block
        place = -1 if is_own else _place_of(row.replayed, block)
        if place >= 0:
            for later in range(REPLAYED - 1, place, -1):
                row.replayed_in[later] = row.replayed_in[later - 1]
            row.replayed_in[place] = np.uint16(context[0] & 0xFFFF)
    for at in range(ISSUED_AT, SENT_AT):
        if context[at] != 0:
            _place_of(row.issued, context[at])


@njit(cache=True)
def _forget_context(row):  # type: ignore[no-untyped-def]
    """Another week has begun."""
    for slot in range(ISSUED):
        row.issued[slot] = 0
    for slot in range(REPLAYED):
        row.replayed[slot] = 0
        row.replayed_in[slot] = 0
    for slot in range(CONVERSATIONS):
        row.conversations[slot] = 0


@njit(cache=True)
def fold(rows, events):  # type: ignore[no-untyped-def]
    """Add the events to the rows of their accounts; a row of -1 belongs to nobody.

    Parameters
    ----------
    rows : ndarray of LINKS
        Changed in place.
    events : LinkEvents
    """
    has_context = events.contexts.shape[1] == CONTEXT
    for event in range(len(events.rows)):
        if events.rows[event] < 0:
            continue
        row = rows[events.rows[event]]
        time_ms = events.times_ms[event]
        pane = events.panes[event]
        if row.queries == 0:
            row.first_ms = time_ms
            row.last_ms = time_ms
            row.newest_pane = pane
        row.first_ms = min(row.first_ms, time_ms)
        row.last_ms = max(row.last_ms, time_ms)
        row.queries += 1
        if pane // PANES > row.newest_pane // PANES:
            _forget_context(row)
        _add_activity(row, pane)
        _add_attributes(row, events.attributes[event])
        vector = events.vectors[event]
        has_vector = False
        for dimension in range(VECTOR):
            has_vector |= vector[dimension] != 0
        if has_vector:
            row.vectors += 1
            for dimension in range(VECTOR):
                row.vector_sum[dimension] += vector[dimension]
            if events.contents[event] != 0:
                _add_sample(row, events.contents[event], vector)
        if has_context:
            _add_context(row, events.contexts[event])
