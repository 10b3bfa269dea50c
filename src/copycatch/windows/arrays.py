"""Named arrays that the compiled loops take.

Compiled code takes tuples with names as they are; it finds their fields at compile time.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.records.columns import (
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    SignalColumns,
    Uint64Array,
)


class Measured(NamedTuple):
    """What was measured of each event in its model's space: `SignalColumns` but for the words of texts."""

    signals: Float32Array
    sketches: Float32Array
    residuals: Float32Array
    input_residuals: Float32Array
    raws: Float32Array
    cells: IntArray
    fouriers: Float32Array
    words_seen: Uint64Array
    nears: Float32Array
    raw_ratios: Float32Array
    flat_logs: Float32Array


class Events(NamedTuple):
    """Records in order of arrival, one entry each."""

    rows: IntArray  # of their accounts; -1 where there is no room for the account
    times_ms: IntArray
    is_answered: BoolArray
    charges: npt.NDArray[np.int8]  # of `records.columns.Charge`
    hashes: Uint64Array  # of the exact input; 0 where there is none
    labels: IntArray  # -1 where missing
    margins: Float32Array
    extras: Float32Array  # (n, 6): see `windows.fold.add_tallies`
    measured: Measured


class Accounts(NamedTuple):
    """State of all accounts, one entry a row; the fold changes it.

    `history` are the bytes of `WindowRows.history`: views of a row's own bytes are contiguous, which compiled
    loops are fast on, while a field of all rows is not.
    """

    queries: IntArray
    next_evaluations: IntArray
    answered: IntArray
    next_answered: IntArray
    first_ms: IntArray
    last_ms: IntArray
    ring_counts: IntArray
    history: npt.NDArray[np.uint8]  # (n_rows, bytes per row)


class Limits(NamedTuple):
    """Widths of panes and the memory horizon, in milliseconds."""

    short_ms: int
    long_ms: int
    memory_ms: int


class Due(NamedTuple):
    """Accounts that became due for evaluation, in order, as they stood then."""

    events: IntArray  # positions of the records that made them due
    sums: Float32Array  # (n_due, WIDTH)
    queries: IntArray
    answered: IntArray
    first_ms: IntArray
    moments: FloatArray  # (n_due, 3), of the remembered inputs: see `windows.memory.moments_of`


class Query(NamedTuple):
    """One query, as it is compared with its account's recent ones."""

    hash_: np.uint32
    label: np.int32
    margin: np.float32
    is_low_margin: np.float32
    neighbour_log: np.float32
    near: np.float32
    words_seen: np.uint64
    sketch: Float32Array


class Input(NamedTuple):
    """A query's sampled input coordinates, and what makes a step between two flat, as in `SignalColumns`."""

    raw: Float32Array
    ratios: Float32Array
    flat_logs: Float32Array


class Scratch(NamedTuple):
    """Room that is used for one query after another."""

    own: Float32Array  # (N_OWN,)
    raw: npt.NDArray[np.int8]  # (RAW,)
    work: Float32Array  # (WORK_ROWS, LANES)


class Novel(NamedTuple):
    """What is summed of a query that is new to its account, beside signals."""

    residual: Float32Array
    input_residual: Float32Array
    sketch: Float32Array
    cell: int
    fourier: Float32Array
    label: int
    is_odd: bool  # beyond 95 % of the usual queries, in whatever way


class Ring(NamedTuple):
    """An account's recent distinct queries."""

    sketches: npt.NDArray[np.int16]
    hashes: npt.NDArray[np.uint32]
    labels: npt.NDArray[np.int32]
    margins: Float32Array
    words: Uint64Array
    is_clustered: npt.NDArray[np.uint8]
    is_hot: npt.NDArray[np.uint8]
    balances: npt.NDArray[np.int8]
    numbers: npt.NDArray[np.uint32]


def measured_of(signals: SignalColumns) -> Measured:
    """What the fold needs of a batch's signals."""
    return Measured(*(getattr(signals, name) for name in Measured._fields))
