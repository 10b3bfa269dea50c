"""From a score to the chance that a normal account is ever so anomalous within a day.

Every evaluation of an account is another chance of a false alarm. What is calibrated is therefore not the
score of an evaluation but the highest score of an account's lifetime so far, over other, unflagged accounts;
its tail is extrapolated exponentially from the upper quarter [1]_.

References
----------
.. [1] Pickands, Statistical inference using extreme order statistics, 1975 (exceedances; shape 0).
"""

from dataclasses import dataclass, replace

import numpy as np

from copycatch.records.columns import FloatArray

BASE_PROB = 0.25
ACCOUNTS_MIN = 30  # the upper quarter then has seven or eight exceedances
FAMILY_ACCOUNTS_MIN = 20
SCORE_SCALE_MIN = 0.3
# Where use of a language model is scored, three accounts of four have no score at all, and the beginning of
# the tail tells nothing of its end: a score is surprisal, whose tail falls by e a nat.
USE_SCALE_MIN = 1.0
# Honest maxima fall off more slowly the farther out: the middle of the upper quarter alone promises too few
# alarms. With this much more, 1,200 simulated honest accounts of each of three victims keep to the budgets
# (tests/benchmarks/detection, calibration).
WIDENING = 1.15
CAUTION = 0.6  # standard errors added to the scale of the score
# Attackers whom nobody has named count as honest, and the more of them lie just below the threshold, the
# higher it would rise. So the scale may fall at once, but rise only by so much a day.
SCALE_GROWTH_PER_DAY = 1.1
UNREMARKABLE = 0.35  # -ln p below the median
NEVER = 1e9
# Sums fade with the memory of the default policy: after so many days an account hardly reaches a new maximum.
HORIZON_DAYS = 7.0
LIFETIME_DAYS_MIN = 0.25


@dataclass(frozen=True, slots=True)
class Calibration:
    """Exponential upper tail of lifetime maxima: P(max > s) = 0.25 exp(-(s - base) / scale)."""

    base: float
    scale: float
    lifetime_days: (
        float  # that the accounts were seen for, in the mean: so long their maxima had time to grow
    )
    n_accounts: int

    def tail_probs(self, scores: FloatArray) -> FloatArray:
        """Chance per account-day that a normal account is ever this anomalous, shape (n,); NaN for NaN.

        Examples
        --------
        >>> fitted = Calibration(base=1.0, scale=0.5, lifetime_days=2.5, n_accounts=100)
        >>> fitted.tail_probs(np.array([0.0, 1.0, 2.0]))
        array([0.1       , 0.1       , 0.01353353])
        """
        lifetime_probs = BASE_PROB * np.exp(-np.maximum(scores - self.base, 0) / self.scale)
        daily: FloatArray = lifetime_probs / self.lifetime_days
        return daily

    def held_to(self, before: "Calibration", passed_h: int) -> "Calibration":
        """The fit with its scale no wider than it may have grown to in the hours since the last one.

        Examples
        --------
        >>> before, after = Calibration(1.0, 0.5, 2.5, 100), Calibration(1.0, 2.0, 2.5, 100)
        >>> round(after.held_to(before, 24).scale, 2), before.held_to(after, 1).scale
        (0.55, 0.5)
        """
        scale_max = before.scale * SCALE_GROWTH_PER_DAY ** (passed_h / 24)
        return replace(self, scale=min(self.scale, scale_max))


@dataclass(frozen=True, slots=True)
class FamilyCalibration:
    """The same for the value of every family; arrays (n_families,)."""

    medians: FloatArray
    bases: FloatArray
    scales: FloatArray

    def surprisal(self, values: FloatArray) -> FloatArray:
        """-ln of the chance that a normal account's family is ever this anomalous, shape (n, n_families).

        Examples
        --------
        >>> tails = FamilyCalibration(np.array([0.0]), np.array([1.0]), np.array([0.5]))
        >>> tails.surprisal(np.array([[-1.0], [1.0], [2.0]])).round(2).ravel().tolist()
        [0.35, 1.39, 3.39]
        """
        top = -np.log(BASE_PROB)
        rise = (top - np.log(2)) * (values - self.medians) / np.maximum(self.bases - self.medians, 1e-9)
        beyond = top + (values - self.bases) / self.scales
        low = np.where(values > self.medians, np.log(2) + rise, UNREMARKABLE)
        return np.where(np.isnan(values), np.nan, np.where(values > self.bases, beyond, low))


def _bulk_scale(median: float, base: float) -> float:
    """Scale of an exponential tail from its beginning, which attackers not yet caught hardly reach.

    With a tenth of all accounts being attackers, as in a ring, the tail itself would be theirs.
    """
    return (base - median) / float(np.log(2))


def _score_scale(excesses: FloatArray, median: float, base: float, scale_min: float) -> float:
    """Half from the beginning of the tail and half from its middle, a little on the safe side."""
    if not len(excesses):
        return scale_min
    middle = float(np.median(excesses) / np.log(2))
    scale = (middle + _bulk_scale(median, base)) / 2 * (WIDENING + CAUTION / float(np.sqrt(len(excesses))))
    return max(scale, scale_min)


def calibrate(
    maxima: FloatArray, lived_days: FloatArray, scale_min: float = SCORE_SCALE_MIN
) -> Calibration | None:
    """Fit the tail on the lifetime maxima of unflagged accounts; None while there are too few.

    Parameters
    ----------
    maxima : ndarray of float64, shape (n_accounts,)
    lived_days : ndarray of float64, shape (n_accounts,)
        Since each account's first evaluation. The maxima of a young population have had little time to grow:
        without this, its alarms would be several times the budget.
    scale_min : float
        Bound on the scale of the tail from below, in nats.

    Examples
    --------
    >>> calibrate(np.ones(3), np.ones(3)) is None
    True
    >>> fitted = calibrate(np.random.default_rng(0).exponential(2.0, 40_000), np.full(40_000, 3.0))
    >>> round(fitted.scale / WIDENING, 1), fitted.lifetime_days
    (2.0, 3.0)
    """
    if len(maxima) < ACCOUNTS_MIN:
        return None
    median, base = (float(value) for value in np.quantile(maxima, [0.5, 1 - BASE_PROB]))
    lifetime_days = float(np.clip(lived_days, LIFETIME_DAYS_MIN, HORIZON_DAYS).mean())
    scale = _score_scale(maxima[maxima > base] - base, median, base, scale_min)
    return Calibration(base, scale, lifetime_days, len(maxima))


def calibrate_families(maxima: FloatArray, scale_mins: FloatArray) -> FamilyCalibration | None:
    """Fit the tail of each family's lifetime maxima; None while there are too few accounts.

    Parameters
    ----------
    maxima : ndarray of float64, shape (n_accounts, n_families)
        -inf where never judged.
    scale_mins : ndarray of float64, shape (n_families,)
        Bounds from below: accounts that never did anything in a family would make the first that does
        look impossible.
    """
    known = maxima[np.isfinite(maxima).any(axis=1)]
    if len(known) < FAMILY_ACCOUNTS_MIN:
        return None
    values = np.where(np.isfinite(known), known, np.nan)
    n_families = values.shape[1]
    medians, bases, scales = np.zeros(n_families), np.zeros(n_families), np.ones(n_families)
    for family in range(n_families):
        column = values[~np.isnan(values[:, family]), family]
        if len(column) < FAMILY_ACCOUNTS_MIN:
            medians[family] = bases[family] = NEVER  # too few to tell: never anomalous
            continue
        medians[family], bases[family] = np.quantile(column, [0.5, 1 - BASE_PROB])
        scales[family] = max(_bulk_scale(medians[family], bases[family]), scale_mins[family])
    return FamilyCalibration(medians, bases, scales)
