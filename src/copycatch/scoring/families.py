"""From deviations to the values of families of tails."""

import numpy as np
from numba import njit

from copycatch.records.columns import Baseline, FloatArray, IntArray
from copycatch.scoring.scored_features import FEATURE_FAMILIES, FEW_QUERIES, MAX_FAMILIES, SCORED_FEATURES

N_EFFECTIVE_MIN = 12  # distinct queries below which means say too little
ANOMALY_MAX = 4.0  # log(1 + z) of z = 54: beyond, more is no more
DISCOUNT_MAX = 0.95
_SIGNS = np.array([tail.sign for tail in SCORED_FEATURES])
_FLOORS = np.array([tail.floor for tail in SCORED_FEATURES])
_IS_SHARE = np.array([tail.is_share for tail in SCORED_FEATURES])
_NEEDS_N_EFFECTIVE = np.array([tail.needs_n_effective for tail in SCORED_FEATURES])
FAMILY_OF = np.array([FEATURE_FAMILIES.index(tail.family) for tail in SCORED_FEATURES])
_IS_MAX = np.array([family in MAX_FAMILIES for family in FEATURE_FAMILIES])


@njit(cache=True)
def _deviations(  # type: ignore[no-untyped-def]
    values, medians, ups, downs, floors, is_share, needs_n_effective, n_effective, near_shares, out
):
    for i in range(values.shape[0]):
        near = 0.0 if np.isnan(near_shares[i]) else min(max(near_shares[i], 0.0), DISCOUNT_MAX)
        of_few = FEW_QUERIES / max(n_effective[i], 1)
        for t in range(values.shape[1]):
            distance = values[i, t] - medians[i, t]
            scale = ups[i, t] if distance >= 0 else downs[i, t]
            if (
                np.isnan(distance)
                or np.isnan(scale)
                or (needs_n_effective[t] and n_effective[i] < N_EFFECTIVE_MIN)
            ):
                out[i, t] = np.nan
                continue
            floor = max(floors[t], of_few) if is_share[t] else floors[t]
            deviation = distance / max(scale, floor)
            out[i, t] = deviation * (1 - near) if needs_n_effective[t] else deviation


def deviations_of(
    values: FloatArray, baseline: Baseline, n_effective: IntArray, near_shares: FloatArray
) -> FloatArray:
    """Signed robust deviation from the median of every feature in `SCORED_FEATURES`.

    Clusters of near-repeats are not independent evidence even where the test for "near" missed some of them:
    what rests on distinct queries is discounted by the share of near ones.

    Parameters
    ----------
    values : ndarray of float64, shape (n, n_tails)
        The tails' features.
    middle : Baseline
        What is normal of them, (n, n_tails).
    evidence : ndarray of int64, shape (n,)
    near_shares : ndarray of float64, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n, n_tails)
        NaN where missing, or where there is too little evidence.
    """
    out = np.empty_like(values)
    _deviations(
        values,
        baseline.medians,
        baseline.ups,
        baseline.downs,
        _FLOORS,
        _IS_SHARE,
        _NEEDS_N_EFFECTIVE,
        n_effective,
        near_shares,
        out,
    )
    return out


@njit(cache=True)
def _anomalies(deviations, signs, out):  # type: ignore[no-untyped-def]
    for i in range(deviations.shape[0]):
        for t in range(deviations.shape[1]):
            deviation = deviations[i, t]
            harmful = abs(deviation) if signs[t] == 0 else deviation * signs[t]
            if harmful > 0:
                out[i, t] = min(np.log1p(harmful), ANOMALY_MAX)
            else:
                out[i, t] = np.nan if np.isnan(harmful) else 0.0


def anomalies_of(deviations: FloatArray) -> FloatArray:
    """log(1 + deviation), 0 on the harmless side, shape (n, n_tails).

    Examples
    --------
    >>> float(anomalies_of(-2.0 * _SIGNS[None, :])[0, 0])
    0.0
    """
    out = np.empty(deviations.shape)
    _anomalies(deviations, _SIGNS, out)
    return out


def positions_of(deviations: FloatArray) -> FloatArray:
    """Place in the normal range, shape (n, n_tails): .5 at the median, .67 one deviation above, 1 far above.

    Examples
    --------
    >>> positions_of(np.array([[0.0, 2.0, -np.inf]])).tolist()
    [[0.5, 0.75, 0.0]]
    """
    bounded = np.clip(deviations, -1e9, 1e9)
    rounded: FloatArray = np.round(0.5 + 0.5 * bounded / (2 + np.abs(bounded)), 6)
    return rounded


@njit(cache=True)
def _family_values(anomalies, families, is_max, out):  # type: ignore[no-untyped-def]
    known = np.empty(out.shape[1], dtype=np.int64)
    for i in range(anomalies.shape[0]):
        known[:] = 0
        out[i] = 0.0
        for t in range(anomalies.shape[1]):
            family, value = families[t], anomalies[i, t]
            if np.isnan(value):
                continue
            known[family] += 1
            out[i, family] = max(out[i, family], value) if is_max[family] else out[i, family] + value
        for family in range(len(known)):
            if known[family] == 0:
                out[i, family] = np.nan
            elif not is_max[family]:
                out[i, family] /= known[family]


def family_values(anomalies: FloatArray) -> FloatArray:
    """Mean anomalies of each family's known features, or the loudest; NaN where none is known.

    Parameters
    ----------
    anomalies : ndarray of float64, shape (n, n_tails)

    Returns
    -------
    ndarray of float64, shape (n, n_families)

    Examples
    --------
    >>> float(family_values(np.full((1, len(SCORED_FEATURES)), 0.5))[0, 0])
    0.5
    """
    out = np.empty((len(anomalies), len(FEATURE_FAMILIES)))
    _family_values(anomalies, FAMILY_OF, _IS_MAX, out)
    return out
