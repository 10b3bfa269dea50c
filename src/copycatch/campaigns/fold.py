"""Adds each record to the link state of its account: one compiled pass, in order of arrival.

The activity of an account is kept as one of 16 levels per ten minutes, `LEVELS` of the square root of the
count: the square root makes the spread of a Poisson count the same at every rate, so that one busy account
does not speak for its group.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.campaigns.layout import KIND_STARTS, LINKS, PANES, SAMPLES, VECTOR, WEIGHT_MAX
from copycatch.compiled import njit
from copycatch.layout.structs import Rows
from copycatch.records.columns import Float32Array, IntArray

# Lowest count of each level: exact up to 6, then in growing steps; 200 in ten minutes and more are one.
LEVELS: Final = np.array([0, 1, 2, 3, 4, 5, 6, 8, 11, 15, 21, 31, 47, 75, 120, 200], dtype=np.uint16)
LEVEL_ROOTS: Final = np.sqrt(
    np.array([0, 1, 2, 3, 4, 5, 6.5, 9, 12.5, 17.5, 25.5, 38.5, 60, 96, 158, 250], dtype=np.float32)
)
COUNT_MAX: Final = 65_535
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


class LinkEvents(NamedTuple):
    """What a record tells, in order of arrival."""

    rows: IntArray
    panes: npt.NDArray[np.int32]
    times_ms: IntArray
    attributes: npt.NDArray[np.uint32]  # (n, kinds)
    contents: npt.NDArray[np.uint32]  # hash of the input, 0 where there is none
    vectors: Float32Array  # (n, VECTOR), unit length, zero where there is none


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
def add_activity(columns, row, pane):  # type: ignore[no-untyped-def]
    """Count a query in its pane; panes that have fallen out of the week are emptied."""
    panes, counts = columns.panes[row], columns.newest_counts[row]
    ahead = pane - columns.newest_pane[row]
    if ahead > 0:
        if ahead >= PANES:
            panes[:] = 0
        else:
            for step in range(1, ahead + 1):
                set_level(panes, (columns.newest_pane[row] + step) % PANES, 0)
        counts[1] = counts[0] if ahead == 1 else 0
        counts[0] = 0
        columns.newest_pane[row] = pane
        ahead = 0
    if ahead >= -1:
        counts[-ahead] = min(counts[-ahead] + 1, COUNT_MAX)
        set_level(panes, pane % PANES, level_of(counts[-ahead]))
    elif ahead > -PANES:
        level = get_level(panes, pane % PANES)
        if level < 6:  # levels up to here are exact counts; late records are few
            set_level(panes, pane % PANES, level + 1)


@njit(cache=True)
def add_attributes(columns, row, attributes):  # type: ignore[no-untyped-def]
    """Space-saving counters [1]_ of each kind.

    References
    ----------
    .. [1] Metwally et al., Efficient computation of frequent and top-k elements in data streams, ICDT 2005.
    """
    values, counts = columns.values[row], columns.counts[row]
    columns.weight[row] += 1
    for kind in range(len(attributes)):
        value = attributes[kind]
        if value == 0:
            continue
        lowest = KIND_STARTS[kind]
        found = False
        for slot in range(KIND_STARTS[kind], KIND_STARTS[kind + 1]):
            if values[slot] == value:
                counts[slot] += 1
                found = True
                break
            if counts[slot] < counts[lowest]:
                lowest = slot
        if not found:
            values[lowest] = value
            counts[lowest] += 1
    if columns.weight[row] >= WEIGHT_MAX:
        columns.weight[row] >>= 1
        for slot in range(len(counts)):
            counts[slot] >>= 1


@njit(cache=True)
def add_sample(columns, row, content, vector):  # type: ignore[no-untyped-def]
    """Keep the queries whose inputs have the smallest hashes: accounts that ask the same keep the same."""
    hashes, samples = columns.sample_hashes[row], columns.samples[row]
    place = SAMPLES
    while place > 0 and (hashes[place - 1] == 0 or hashes[place - 1] > content):
        place -= 1
    if place == SAMPLES or (place > 0 and hashes[place - 1] == content):
        return
    for later in range(SAMPLES - 1, place, -1):
        hashes[later] = hashes[later - 1]
        samples[later] = samples[later - 1]
    hashes[place] = content
    for dimension in range(VECTOR):
        samples[place, dimension] = np.int8(np.rint(vector[dimension] * 127))


@njit(cache=True)
def fold(columns, events):  # type: ignore[no-untyped-def]
    """Add the events to the rows of their accounts; a row of -1 belongs to nobody.

    Parameters
    ----------
    columns : LinkColumns
        Changed in place.
    events : LinkEvents
    """
    for event in range(len(events.rows)):
        row = events.rows[event]
        if row < 0:
            continue
        time_ms = events.times_ms[event]
        if columns.queries[row] == 0:
            columns.first_ms[row] = time_ms
            columns.last_ms[row] = time_ms
            columns.newest_pane[row] = events.panes[event]
        columns.first_ms[row] = min(columns.first_ms[row], time_ms)
        columns.last_ms[row] = max(columns.last_ms[row], time_ms)
        columns.queries[row] += 1
        add_activity(columns, row, events.panes[event])
        add_attributes(columns, row, events.attributes[event])
        vector = events.vectors[event]
        has_vector = False
        for dimension in range(VECTOR):
            if vector[dimension] != 0:
                has_vector = True
        if has_vector:
            columns.vectors[row] += 1
            for dimension in range(VECTOR):
                columns.vector_sum[row, dimension] += vector[dimension]
        if events.contents[event] != 0 and has_vector:
            add_sample(columns, row, events.contents[event], vector)
