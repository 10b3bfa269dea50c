"""From a score to the chance that a normal account is ever so odd within a day.

Every look at an account is another chance of a false alarm. What is calibrated is therefore not the score of
a look but the highest score of an account's whole life so far, over other, unflagged accounts; its tail is
extrapolated exponentially from the upper quarter [1]_.

References
----------
.. [1] Pickands, Statistical inference using extreme order statistics, 1975 (exceedances; shape 0).
"""

from dataclasses import dataclass

import numpy as np

from copycatch.records.columns import FloatArray
from copycatch.units import MS_PER_DAY

BASE_PROB = 0.25
ACCOUNTS_MIN = 30  # the upper quarter then has seven or eight exceedances
LIFE_DAYS_MIN = 0.5  # younger lives would claim more alarms a day than anyone has seen


@dataclass(frozen=True, slots=True)
class Calibration:
    """Exponential upper tail of lifetime maxima: P(max > s) = 0.25 exp(-(s - base) / scale)."""

    base: float
    scale: float
    life_days: float
    n_accounts: int

    def tail_probs(self, scores: FloatArray) -> FloatArray:
        """Chance per account-day that a normal account is ever this odd, shape (n,); NaN for NaN.

        Examples
        --------
        >>> Calibration(base=1.0, scale=0.5, life_days=2.5, n_accounts=100).tail_probs(np.array([0.0, 1.0, 2.0]))
        array([0.1       , 0.1       , 0.01353353])
        """
        life_probs = BASE_PROB * np.exp(-np.maximum(scores - self.base, 0) / self.scale)
        daily: FloatArray = life_probs / self.life_days
        return daily


def calibrate(maxima: FloatArray, lives_ms: FloatArray) -> Calibration | None:
    """Fit the tail on the lifetime maxima of unflagged accounts; None while there are too few.

    Parameters
    ----------
    maxima : ndarray of float64, shape (n_accounts,)
    lives_ms : ndarray of float64, shape (n_accounts,)
        How long each account has been known.

    Examples
    --------
    >>> calibrate(np.ones(3), np.ones(3)) is None
    True
    >>> fitted = calibrate(np.random.default_rng(0).exponential(2.0, 4000), np.full(4000, MS_PER_DAY * 2.0))
    >>> round(fitted.scale, 1), fitted.life_days
    (2.0, 2.0)
    """
    if len(maxima) < ACCOUNTS_MIN:
        return None
    base = float(np.quantile(maxima, 1 - BASE_PROB))
    excesses = maxima[maxima > base] - base
    # The mean of an exponential from its median as well: one attacker not yet caught moves the mean, not the median.
    scale = float((excesses.mean() + np.median(excesses) / np.log(2)) / 2) if len(excesses) else 1.0
    life_days = max(float(lives_ms.mean()) / MS_PER_DAY, LIFE_DAYS_MIN)
    return Calibration(base, max(scale, 1e-3), life_days, len(maxima))
