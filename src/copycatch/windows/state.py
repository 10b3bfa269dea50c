"""The arrays of all accounts, one row an account, and their growth."""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from copycatch.records.columns import Float32Array, IntArray
from copycatch.records.layout import MEMORY, RAW, RING, SKETCH, SPACE_COLUMNS, SPACE_TALLIES, WIDTH

SAMPLE_IDS = 4
SAMPLE_ID_BYTES = 40  # a UUID has 36 characters, "chatcmpl-" ids 38; longer ids are not sampled
ROWS_MIN = 256
assert 256 % SAMPLE_IDS == 0, "the place of the next id is kept in a byte"

Int16Array = npt.NDArray[np.int16]


@dataclass(slots=True)
class WindowArrays:
    """State of every account; all arrays have one row an account.

    `queries` counts every record of the account, `next_look` is the count at which it is due, times are epoch
    milliseconds. `sums` is laid out by `layout.SPANS`. The ring holds the account's recent distinct queries
    as fixed-point numbers (`ring.SKETCH_UNIT`), a quarter of the bytes of float64; `memory` more of them.
    """

    queries: IntArray
    next_look: IntArray
    first_ms: IntArray
    last_ms: IntArray
    sums: Float32Array
    ring_count: IntArray  # distinct queries ever put in the ring
    ring_sketch: Int16Array  # (rows, RING, SKETCH)
    ring_hash: npt.NDArray[np.uint32]  # of the keyed hashes, half is enough among a dozen
    ring_label: npt.NDArray[np.int32]  # as `ring.short_label` gives it
    ring_margin: Float32Array
    ring_words: npt.NDArray[np.uint64]
    memory: npt.NDArray[np.int8]  # (rows, MEMORY, RAW) input coordinates of recent and older queries
    sample_ids: npt.NDArray[np.bytes_]  # (rows, SAMPLE_IDS)
    sample_at: npt.NDArray[np.uint8]  # where the next id goes; counts on beyond the ring, and wraps

    @property
    def n_rows(self) -> int:
        return len(self.queries)

    @property
    def bytes_per_row(self) -> int:
        return sum(array.nbytes for array in self.by_name().values()) // max(self.n_rows, 1)

    def by_name(self) -> dict[str, npt.NDArray[np.generic]]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def grow(self, n_rows: int) -> None:
        """Make room for at least `n_rows` rows, doubling.

        What is only room is zeros that nobody has written: the operating system gives memory for it when an
        account moves in, not before.
        """
        if n_rows <= self.n_rows:
            return
        roomy = empty_arrays(max(n_rows, 2 * self.n_rows, ROWS_MIN)).by_name()
        for name, array in self.by_name().items():
            roomy[name][: len(array)] = array
            setattr(self, name, roomy[name])

    def clear(self, rows: IntArray) -> None:
        """Forget these accounts."""
        fresh = empty_arrays(1)
        for name, array in self.by_name().items():
            array[rows] = fresh.by_name()[name][0]

    def forget_space(self, rows: IntArray) -> None:
        """Forget what was measured in a space that is no more; volume, timing and counts stay."""
        self.sums[rows, SPACE_COLUMNS] = 0
        self.sums[np.ix_(rows, np.array(SPACE_TALLIES))] = 0
        self.ring_count[rows] = 0

    def take(self, rows: IntArray) -> "WindowArrays":
        """A copy of these rows."""
        taken: dict[str, Any] = {name: array[rows] for name, array in self.by_name().items()}
        return WindowArrays(**taken)

    def put(self, rows: IntArray, other: "WindowArrays") -> None:
        """Overwrite these rows with another's."""
        is_run = len(rows) > 0 and bool((np.diff(rows) == 1).all())  # as in a fresh state
        places = slice(int(rows[0]), int(rows[-1]) + 1) if is_run else rows
        for name, array in self.by_name().items():
            array[places] = other.by_name()[name]


# Of one row of each array.
_ROWS: dict[str, tuple[tuple[int, ...], npt.DTypeLike]] = {
    "queries": ((), np.int64),
    "next_look": ((), np.int64),
    "first_ms": ((), np.int64),
    "last_ms": ((), np.int64),
    "sums": ((WIDTH,), np.float32),
    "ring_count": ((), np.int64),
    "ring_sketch": ((RING, SKETCH), np.int16),
    "ring_hash": ((RING,), np.uint32),
    "ring_label": ((RING,), np.int32),
    "ring_margin": ((RING,), np.float32),
    "ring_words": ((RING,), np.uint64),
    "memory": ((MEMORY, RAW), np.int8),
    "sample_ids": ((SAMPLE_IDS,), f"S{SAMPLE_ID_BYTES}"),
    "sample_at": ((), np.uint8),
}
_ALIGNED_BYTES = 64


def empty_arrays(n_rows: int) -> WindowArrays:
    """State of accounts that were never seen.

    All arrays lie in one block: the allocator gives blocks of many MiB back to the system as soon as they are
    outgrown, while what a dozen smaller ones leave behind it keeps, a tenth of all.

    Examples
    --------
    >>> empty_arrays(2).sums.shape == (2, WIDTH)
    True
    >>> empty_arrays(1).bytes_per_row < 4096
    True
    """
    n_bytes = {
        name: n_rows * math.prod(shape) * np.dtype(dtype).itemsize for name, (shape, dtype) in _ROWS.items()
    }
    padded = {name: -(-n // _ALIGNED_BYTES) * _ALIGNED_BYTES for name, n in n_bytes.items()}
    block = np.zeros(sum(padded.values()), dtype=np.uint8)
    arrays: dict[str, Any] = {}
    start = 0
    for name, (shape, dtype) in _ROWS.items():
        arrays[name] = block[start : start + n_bytes[name]].view(dtype).reshape(n_rows, *shape)
        start += padded[name]
    return WindowArrays(**arrays)
