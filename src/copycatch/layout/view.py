"""What the features read: copies of accounts' sums at their evaluation points."""

from dataclasses import dataclass, field

import numpy as np

from copycatch.compiled import njit
from copycatch.layout.row import (
    N_RECENT,
    N_SIGNALS,
    N_SQUARED,
    SPANS,
    SUM_FIELDS,
    TALLY,
)
from copycatch.layout.signals import SUM_INDEX
from copycatch.records.columns import Float32Array, FloatArray, IntArray
from copycatch.space.model import SKETCH

VALUES_MIN = 8  # a mean over fewer values says little, a deviation nothing
ODD_MIN = 4  # odd queries below which what they have in common is chance


@njit(cache=True)
def _moments(sums, start, squares_start, means, deviations):  # type: ignore[no-untyped-def]
    """Means of all signals and deviations of the first few, (.., n) each; NaN below `VALUES_MIN` values."""
    for i in range(len(sums)):
        for k in range(len(means)):
            at = start + k * SUM_FIELDS
            n = np.float64(sums[i, at])
            is_known = n >= VALUES_MIN
            mean = np.float64(sums[i, at + 1]) / n if is_known else np.nan
            means[k, i] = mean
            if k < len(deviations):
                deviations[k, i] = np.nan
                if is_known:
                    mean_square = np.float64(sums[i, squares_start + k]) / n
                    deviations[k, i] = np.sqrt(max(mean_square - mean * mean, 0.0) * n / (n - 1))


@dataclass(slots=True)
class WindowView:
    """Accounts that are due, with their sums; arrays along evaluations (n,).

    `sums` is float32 (n, WIDTH), laid out by `row.SPANS`. With `is_recent`, signals and drift are those of
    the account's recent window instead of its lifetime; what is not summed over that window is NaN then.
    """

    sums: Float32Array
    queries: IntArray
    first_ms: IntArray
    times_ms: IntArray
    fourier_means: FloatArray  # (n, FOURIER)
    label_shares: FloatArray  # (n, LABEL_BINS) of the model's normal traffic
    short_pane_s: float
    long_pane_s: float
    moments: FloatArray  # (n, 3), of the remembered inputs: shift, spread and coupling, in the usual ones'
    usage: FloatArray  # (n, n_measures): how it uses a language model, as `usage.measures` lists it
    is_recent: bool = False
    _moments: tuple[FloatArray, FloatArray] | None = field(default=None, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def n_effective(self) -> IntArray:
        """Distinct queries, not near a recent one, that the sums rest on, int64 (n,)."""
        return self.sums[:, TALLY["recent_novel" if self.is_recent else "novel"]].astype(np.int64)

    @property
    def clustered_shares(self) -> FloatArray:
        """Share of these queries that were nearly repeated, 0 to 1."""
        clustered = self.tally("recent_clustered" if self.is_recent else "clustered")
        return np.minimum(clustered / np.maximum(self.n_effective, 1), 1.0)

    def tally(self, name: str) -> FloatArray:
        return self.sums[:, TALLY[name]].astype(np.float64)

    def span(self, name: str) -> FloatArray:
        return self.sums[:, SPANS[name].columns].astype(np.float64)

    def mean(self, signal: str) -> FloatArray:
        """Mean of a signal; NaN below eight values."""
        return self._column(0, signal)

    def deviation(self, signal: str) -> FloatArray:
        """Standard deviation of a signal whose squares are summed; NaN below eight values."""
        assert SUM_INDEX[signal] < N_SQUARED, signal
        return self._column(1, signal)

    def mean_beyond(self, signal: str, free: float) -> FloatArray:
        """The same after `free` is taken off the sum, at least 0: one chance event does not count."""
        index = self._index(signal)
        mean = self.mean(signal)
        if index is None:
            return mean
        n = self.sums[:, SPANS[self._span_name].start + index * SUM_FIELDS].astype(np.float64)
        return np.maximum(mean - free / np.maximum(n, 1), 0)

    @property
    def _span_name(self) -> str:
        return "recent_signals" if self.is_recent else "signals"

    def _index(self, signal: str) -> int | None:
        """Where the signal's sums lie in its span; None where it is not summed over the recent window."""
        index = SUM_INDEX[signal]
        if not self.is_recent or index < N_RECENT:
            return index
        return None if index < N_SIGNALS else index - N_SIGNALS + N_RECENT

    def _column(self, moment: int, signal: str) -> FloatArray:
        index = self._index(signal)
        if index is None:
            return np.full(len(self), np.nan)
        if self._moments is None:
            self._moments = self._all_moments()
        column: FloatArray = self._moments[moment][index]
        return column

    def _all_moments(self) -> tuple[FloatArray, FloatArray]:
        """Means and deviations of all signals at once: most are asked for, and one pass costs like one."""
        span = SPANS[self._span_name]
        squares_start = SPANS["recent_squares" if self.is_recent else "squares"].start
        means = np.empty((span.length // SUM_FIELDS, len(self)))
        deviations = np.empty((N_SQUARED, len(self)))
        _moments(self.sums, span.start, squares_start, means, deviations)
        return means, deviations

    def drift(self, name: str) -> FloatArray:
        """Unbiased squared length of the mean class residual over sqrt(dimensions); NaN below eight values.

        With u the whitened residual of a query from the mean of its predicted class and S their sum over n:
        (|S|^2 - sum |u|^2) / (n (n - 1)), which is 0 in the mean where the account draws from the usual
        distribution of each class, in whatever mix of classes.
        """
        n, _, of_pairs = self._residuals(("recent_" if self.is_recent else "") + name)
        return np.where(n >= VALUES_MIN, of_pairs / np.maximum(n * (n - 1), 1) / np.sqrt(SKETCH), np.nan)

    def odd_coherences(self) -> FloatArray:
        """Mean cosine between class residuals of two odd queries, less its standard error by chance.

        With u the whitened residual of an odd query and S their sum over n: (|S|^2 - sum |u|^2) / ((n - 1)
        sum |u|^2); of unrelated directions it has mean 0 and the deviation of so many pairs' cosines. NaN
        below `ODD_MIN` odd queries. Always of the whole lifetime: a recent window has too few of them.
        """
        n, squares, of_pairs = self._residuals("odd_drift")
        cosines = of_pairs / np.maximum(squares * (n - 1), 1e-9)
        by_chance = 1 / np.sqrt(SKETCH * np.maximum(n * (n - 1) / 2, 1))
        return np.where(n >= ODD_MIN, cosines - by_chance, np.nan)

    def _residuals(self, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Of a span of class residuals u: how many, the sum of |u|^2, and that of u v over all pairs."""
        sums = self.span(name)
        n, squares, total = sums[:, 0], sums[:, 1], sums[:, 2:]
        return n, squares, (total**2).sum(axis=1) - squares
