"""What the features read: copies of accounts' sums at their evaluation points."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from copycatch.records.columns import Float32Array, FloatArray, IntArray
from copycatch.records.layout import OWN_NAMES, SPANS, SUM_FIELDS, TALLY

# A mean over fewer values than this says little; five is where a share first has steps of 20 %.
VALUES_MIN = 5


@dataclass(slots=True)
class WindowView:
    """Accounts that are due, with their sums; arrays along evaluations (n,).

    `sums` is float32 (n, WIDTH), laid out by `layout.SPANS`. `index_by_signal` says where each summed signal
    lies. `spaces` gives the model's Fourier reference per evaluation, NaN where there is none.
    """

    sums: Float32Array
    queries: IntArray
    first_ms: IntArray
    times_ms: IntArray
    index_by_signal: Mapping[str, int]
    fourier_means: FloatArray  # (n, FOURIER)
    label_shares: FloatArray  # (n, LABEL_BINS) of the model's normal traffic
    short_pane_s: float
    long_pane_s: float

    def __len__(self) -> int:
        return len(self.queries)

    def tally(self, name: str) -> FloatArray:
        return self.sums[:, TALLY[name]].astype(np.float64)

    def span(self, name: str) -> FloatArray:
        return self.sums[:, SPANS[name].columns].astype(np.float64)

    def _fields(self, signal: str) -> FloatArray:
        start = SPANS["signals"].start + self.index_by_signal[signal] * SUM_FIELDS
        return self.sums[:, start : start + SUM_FIELDS].astype(np.float64)

    def mean(self, signal: str) -> FloatArray:
        """Mean over the account's life; NaN below five values."""
        n, total = self._fields(signal)[:, :2].T
        return np.where(n >= VALUES_MIN, total / np.maximum(n, 1), np.nan)

    def recent(self, signal: str) -> FloatArray:
        """Decayed mean over about the last 46 values; NaN below five values."""
        fields = self._fields(signal)
        mean = fields[:, 4] / np.maximum(fields[:, 3], 1e-9)
        return np.where(fields[:, 0] >= VALUES_MIN, mean, np.nan)

    def deviation(self, signal: str) -> FloatArray:
        """Standard deviation over the account's life; NaN below five values."""
        n, total, squares = self._fields(signal)[:, :3].T
        mean = total / np.maximum(n, 1)
        variance = np.maximum(squares / np.maximum(n, 1) - mean**2, 0) * n / np.maximum(n - 1, 1)
        return np.where(n >= VALUES_MIN, np.sqrt(variance), np.nan)


def signal_indices(signal_names: tuple[str, ...]) -> dict[str, int]:
    """Where each summed signal lies: those of the model's reference first, then the account's own.

    Examples
    --------
    >>> indices = signal_indices(("margin",))
    >>> indices["margin"], indices["is_duplicate"]
    (0, 1)
    """
    return {name: index for index, name in enumerate((*signal_names, *OWN_NAMES))}
