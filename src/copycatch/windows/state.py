"""The windows of all accounts, one row an account, and their growth."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from copycatch.layout.row import MEMORY, RING, SPACE_COLUMNS, SPACE_TALLIES, WIDTH
from copycatch.layout.structs import Columns, Rows, grown, put, row_dtype, take
from copycatch.records.columns import Float32Array, IntArray
from copycatch.space.model import RAW, SKETCH

SAMPLE_IDS = 4
SAMPLE_ID_BYTES = 40  # a UUID has 36 characters, "chatcmpl-" ids 38; longer ids are not sampled
ROWS_MIN = 256
assert 256 % SAMPLE_IDS == 0, "the index of the next id is kept in a byte"

# Apart from the history, since eviction goes through those of all accounts. Times are epoch milliseconds.
COUNTERS: Final = row_dtype(
    {
        "queries": (np.int64, ()),  # every record of the account
        "next_evaluation": (np.int64, ()),  # the count at which it is due
        "answered": (
            np.int64,
            (),
        ),  # neither refused nor failed, nor quiet near-repeats that do not count
        "next_answered": (np.int64, ()),  # the count of these at which it is due, whichever comes first
        "first_ms": (np.int64, ()),
        "last_ms": (np.int64, ()),
        "ring_count": (np.int64, ()),  # distinct queries ever put in the ring
        "sample_at": (np.uint8, ()),  # where the next id goes; counts on beyond the ring, and wraps
    }
)
# The ring holds the account's recent distinct queries as fixed-point numbers (`ring.SKETCH_UNIT`), a quarter
# of the bytes of float64; `memory` input coordinates of recent and older ones.
HISTORY: Final = row_dtype(
    {
        "sums": (np.float32, (WIDTH,)),  # laid out by `layout.SPANS`
        "ring_words": (np.uint64, (RING,)),
        "ring_hash": (np.uint32, (RING,)),  # of the keyed hashes, half is enough among a dozen
        "ring_label": (np.int32, (RING,)),  # as `ring.short_label` gives it
        "ring_margin": (np.float32, (RING,)),
        "ring_is_clustered": (np.uint8, (RING,)),  # 1 where another one is near it
        "ring_is_hot": (np.uint8, (RING,)),  # 1 where it was nearly repeated since it came, or moved
        "ring_number": (np.uint32, (RING,)),  # which of the account's distinct queries it is
        "ring_balance": (np.int8, (RING,)),  # quiet near-repeats less what probes are worth, `ring.weigh`
        "ring_sketch": (np.int16, (RING, SKETCH)),
        "memory": (np.int8, (MEMORY, RAW)),
        "sample_ids": (f"S{SAMPLE_ID_BYTES}", (SAMPLE_IDS,)),
    }
)
BYTES_PER_ROW: Final = COUNTERS.itemsize + HISTORY.itemsize


@dataclass(slots=True)
class WindowRows:
    """State of every account.

    Examples
    --------
    >>> windows = WindowRows()
    >>> windows.grow(1)
    >>> windows.n_rows == ROWS_MIN, windows.sums.shape == (ROWS_MIN, WIDTH), BYTES_PER_ROW < 4096
    (True, True, True)
    """

    counters: Rows = field(default_factory=lambda: np.zeros(0, dtype=COUNTERS))
    history: Rows = field(default_factory=lambda: np.zeros(0, dtype=HISTORY))

    @property
    def n_rows(self) -> int:
        return len(self.counters)

    @property
    def queries(self) -> IntArray:
        return self.counters["queries"]

    @property
    def last_ms(self) -> IntArray:
        return self.counters["last_ms"]

    @property
    def sums(self) -> Float32Array:
        return self.history["sums"]

    def grow(self, n_rows: int) -> None:
        """Make room for at least `n_rows` rows, doubling."""
        if n_rows <= self.n_rows:
            return
        n_roomy = max(n_rows, 2 * self.n_rows, ROWS_MIN)
        self.counters, self.history = grown(self.counters, n_roomy), grown(self.history, n_roomy)

    def clear(self, rows: IntArray) -> None:
        """Forget these accounts."""
        self.counters[rows] = np.zeros(1, dtype=COUNTERS)
        self.history[rows] = np.zeros(1, dtype=HISTORY)

    def forget_space(self, rows: IntArray) -> None:
        """Forget what was measured in a space that is no more; volume, timing and counts stay."""
        self.sums[rows, SPACE_COLUMNS] = 0
        self.sums[np.ix_(rows, np.array(SPACE_TALLIES))] = 0
        self.counters["ring_count"][rows] = 0

    def take(self, rows: IntArray) -> dict[str, npt.NDArray[Any]]:
        """A copy of these rows, a column a field."""
        return take(self.counters, rows) | take(self.history, rows)

    def put(self, rows: IntArray, columns: Columns) -> None:
        """Overwrite these rows with what `take` gave."""
        put(self.counters, rows, columns)
        put(self.history, rows, columns)
