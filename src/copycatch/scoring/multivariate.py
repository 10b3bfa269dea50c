"""How families move together: Mahalanobis distance from normal accounts' family values.

The covariance is shrunk towards independence [1]_ as far as the number of accounts demands.

References
----------
.. [1] Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004.
"""

import numpy as np

from copycatch.compiled import njit
from copycatch.records.columns import FloatArray, IntArray
from copycatch.records.packing import pack, unpack
from copycatch.scoring.account_rows import AccountRows, fitted
from copycatch.scoring.protocol import Takes, within_unit

ACCOUNTS_MIN = 40
SPREAD_MIN = 0.03  # of a family's value in [0, 1]: an eighth in the log of the deviation


@njit(cache=True)
def _distances(standard, inverse, out):  # type: ignore[no-untyped-def]
    n_inputs = standard.shape[1]
    for i in range(standard.shape[0]):
        total = 0.0
        for a in range(n_inputs):
            for b in range(n_inputs):
                total += standard[i, a] * inverse[a, b] * standard[i, b]
        out[i] = total


class Multivariate:
    """log(1 + distance per known family) of each evaluation from the latest ones of normal accounts.

    Examples
    --------
    >>> judge = Multivariate(("a", "b"))
    >>> first = np.random.default_rng(0).uniform(0, 0.4, 200)
    >>> judge.learn_many(np.arange(200), np.stack([first, first], axis=1))
    >>> together, apart = judge.score_many(np.array([[0.4, 0.4], [0.4, 0.0]]))
    >>> bool(apart > together)
    True
    """

    name = "multivariate"
    takes: Takes = "families"

    def __init__(self, inputs: tuple[str, ...]) -> None:
        self._inputs = inputs
        self._rows = AccountRows(inputs)
        self._centre = self._spread = np.empty(0)
        self._inverse: FloatArray | None = None

    def score_many(self, values: FloatArray) -> FloatArray:
        scores = np.full(len(values), np.nan)
        if self._inverse is None:
            return scores
        known = ~np.isnan(values)
        standard = np.where(known, (within_unit(values, 0.0) - self._centre) / self._spread, 0.0)
        squares = np.empty(len(values))
        _distances(standard, self._inverse, squares)
        counts = known.sum(axis=1)
        distances = np.sqrt(np.maximum(squares, 0) / np.maximum(counts, 1))
        scores[counts > 0] = np.log1p(distances[counts > 0])
        return scores

    def learn_many(self, account_hashes: IntArray, values: FloatArray) -> None:
        self._rows.put(account_hashes, values)
        if len(values) and len(self._rows) >= ACCOUNTS_MIN:
            self._fit(self._rows.values())

    def _fit(self, rows: FloatArray) -> None:
        known = ~np.isnan(rows)
        counts = np.maximum(known.sum(axis=0), 1)
        filled = np.where(known, rows, 0.0)
        self._centre = filled.sum(axis=0) / counts
        away = np.where(known, rows - self._centre, 0.0)
        self._spread = np.maximum(np.sqrt((away**2).sum(axis=0) / counts), SPREAD_MIN)
        self._inverse = np.linalg.inv(shrunk_covariance(away / self._spread)).astype(np.float64)

    def forget_account(self, account_hash: int) -> None:
        self._rows.forget(account_hash)

    def snapshot(self) -> bytes:
        return self._rows.snapshot()

    def to_judge(self) -> bytes:
        fit = None if self._inverse is None else [self._centre, self._spread, self._inverse]
        return pack({"inputs": list(self._inputs), "fit": fit})

    def restore(self, data: bytes) -> str | None:
        if "fit" in (found := unpack(data)):
            n = len(self._inputs)
            fit, self._inverse = fitted(found, self._inputs, [(n,), (n,), (n, n)]), None
            if fit is not None:
                self._centre, self._spread, self._inverse = fit
            return None
        accounts, rows = self._rows.saved(data, self.name)
        self._rows, self._inverse = AccountRows(self._inputs), None
        self.learn_many(accounts, rows)
        return None


def shrunk_covariance(standard: FloatArray) -> FloatArray:
    """Second moments of centred rows, shrunk towards a multiple of the identity as Ledoit and Wolf do.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(50, 3))
    >>> shrunk = shrunk_covariance(rows)
    >>> bool(abs(shrunk[0, 1]) < abs((rows.T @ rows / 50)[0, 1])), bool(np.linalg.eigvalsh(shrunk)[0] > 0)
    (True, True)
    """
    n, n_inputs = standard.shape
    sample = standard.T @ standard / n
    level = max(float(np.trace(sample)) / n_inputs, 1e-3)
    target = level * np.eye(n_inputs)
    apart = float(((sample - target) ** 2).sum())
    squares = standard**2
    noise = float((squares.T @ squares / n - sample**2).sum()) / n
    share = 1.0 if apart <= 0 else min(max(noise / apart, 0.05), 1.0)
    shrunk: FloatArray = share * target + (1 - share) * sample
    return shrunk
