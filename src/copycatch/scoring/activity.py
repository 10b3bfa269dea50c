"""The scorer of a log without inputs: how far volume and round-the-clock use go beyond those of others.

Where a log has only times, accounts and counts, this is all that it tells. Each measure alone has innocent
twins: a large customer asks much, a health check asks at every hour. An extraction has to do both, and keeps
it up. The measures are held against those of other accounts, the latest of each.
"""

from typing import Final

import numpy as np

from copycatch.features.catalog import FEATURE_INDEX
from copycatch.records.columns import FloatArray, IntArray
from copycatch.records.packing import pack, unpack
from copycatch.scoring.account_rows import AccountRows, fitted
from copycatch.scoring.protocol import Takes, within_unit

ACTIVITY: Final = ("queries_per_s_long", "total_queries", "hour_entropy")
ACTIVITY_COLUMNS: IntArray = np.array([FEATURE_INDEX[name] for name in ACTIVITY], dtype=np.int64)
S_PER_DAY = 86_400
LOG_MAX = 20.0  # of queries, or of queries a day
ACCOUNTS_MIN = 40
HIGH = 0.9  # quantile that gives the scale: attackers, unless they are a tenth of all accounts, are beyond it
SCALES_PER_HIGH = 1.2816  # of a normal distribution, from its median to that quantile
SCALE_MIN = 0.0025  # a twentieth, in the logarithm of queries


class Activity:
    """Sum of log(1 + deviation) over the measures, upwards only.

    Examples
    --------
    >>> scorer = Activity(ACTIVITY)
    >>> rng = np.random.default_rng(0)
    >>> scorer.learn_many(np.arange(90), rng.uniform(0.1, 0.4, (90, 3)))
    >>> much, both = scorer.score_many(np.array([[0.5, 0.5, 0.2], [0.5, 0.5, 0.9]]))
    >>> bool(both > much > 0)
    True
    """

    name = "activity"
    takes: Takes = "activity"

    def __init__(self, inputs: tuple[str, ...]) -> None:
        self._inputs = inputs
        self._rows = AccountRows(inputs)
        self._median = self._scale = np.empty(0)

    def parts(self, values: FloatArray) -> FloatArray:
        """Each measure's part of the value, shape (n, n_inputs); NaN where it knows too few accounts."""
        if not len(self._scale):
            return np.full(values.shape, np.nan)
        deviations = (within_unit(values, 0.0) - self._median) / self._scale
        parts: FloatArray = np.log1p(np.maximum(deviations, 0.0))
        return parts

    def score_many(self, values: FloatArray) -> FloatArray:
        is_known = ~np.isnan(values).all(axis=1)
        scores: FloatArray = np.where(is_known, self.parts(values).sum(axis=1), np.nan)
        return scores

    def learn_many(self, account_hashes: IntArray, values: FloatArray) -> None:
        is_known = ~np.isnan(values).all(axis=1)
        self._rows.put(account_hashes[is_known], values[is_known])
        if is_known.any() and len(self._rows) >= ACCOUNTS_MIN:
            self._fit(self._rows.values())

    def _fit(self, rows: FloatArray) -> None:
        self._median, self._scale = np.zeros(rows.shape[1]), np.full(rows.shape[1], np.inf)
        for column, values in enumerate(rows.T):
            known = values[~np.isnan(values)]
            if len(known) >= ACCOUNTS_MIN:  # fewer say nothing: infinitely wide
                self._median[column], high = np.quantile(known, [0.5, HIGH])
                self._scale[column] = max((high - self._median[column]) / SCALES_PER_HIGH, SCALE_MIN)

    def forget_account(self, account_hash: int) -> None:
        self._rows.forget(account_hash)

    def snapshot(self) -> bytes:
        return self._rows.snapshot()

    def to_judge(self) -> bytes:
        fit = [self._median, self._scale] if len(self._scale) else None
        return pack({"inputs": list(self._inputs), "fit": fit})

    def restore(self, data: bytes) -> str | None:
        if "fit" in (found := unpack(data)):
            n = len(self._inputs)
            fit, self._scale = fitted(found, self._inputs, [(n,), (n,)]), np.empty(0)
            if fit is not None:
                self._median, self._scale = fit
            return None
        accounts, rows = self._rows.saved(data, self.name)
        self._rows, self._scale = AccountRows(self._inputs), np.empty(0)
        self.learn_many(accounts, rows)
        return None


def activity_of(values: FloatArray) -> FloatArray:
    """The measures in [0, 1] from the features `ACTIVITY`, shape (n, 3): logarithms over their highest.

    Examples
    --------
    >>> activity_of(np.array([[1 / 86_400, 10.0, 0.7]])).round(3).tolist()
    [[0.035, 0.5, 0.7]]
    """
    per_s, total, entropy = values.T
    of_day = np.log1p(per_s * S_PER_DAY) / LOG_MAX
    return np.stack([np.minimum(of_day, 1.0), np.minimum(total / LOG_MAX, 1.0), entropy], axis=1)
