"""From features to deviations, and from deviations to the anomaly scores of families of features."""

from typing import NamedTuple

import numpy as np

from copycatch.compiled import njit
from copycatch.records.columns import Baseline, BoolArray, FloatArray, IntArray
from copycatch.scoring.components import FEATURE_FAMILIES, MAX_FAMILIES
from copycatch.scoring.scored_features import FEW_QUERIES, SCORED_FEATURES

N_EFFECTIVE_MIN = 12  # distinct queries below which means are too uncertain
ANOMALY_MAX = 4.0  # log(1 + z) of z = 54: beyond, more is no more
DISCOUNT_MAX = 0.6


class _Rules(NamedTuple):
    """How features are scored, as columns for compiled code: arrays (n_scored,)."""

    floors: FloatArray
    is_share: BoolArray
    needs_n_effective: BoolArray


_SCORED = tuple(SCORED_FEATURES.values())
_RULES = _Rules(
    np.array([scored.floor for scored in _SCORED]),
    np.array([scored.is_share for scored in _SCORED]),
    np.array([scored.needs_n_effective for scored in _SCORED]),
)
_SIGNS = np.array([scored.sign for scored in _SCORED])
FAMILY_OF = np.array([FEATURE_FAMILIES.index(scored.family) for scored in _SCORED])
_IS_MAX = np.array([family in MAX_FAMILIES for family in FEATURE_FAMILIES])


@njit(cache=True)
def _deviations(values, baseline, rules, n_effective, clustered_shares, out):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        discount = min(clustered_shares[i], DISCOUNT_MAX)
        of_few = FEW_QUERIES / max(n_effective[i], 1)
        for t in range(values.shape[1]):
            distance = values[i, t] - baseline.medians[i, t]
            scale = baseline.ups[i, t] if distance >= 0 else baseline.downs[i, t]
            needs_n_effective = rules.needs_n_effective[t]
            is_known = not (np.isnan(distance) or np.isnan(scale))
            if not is_known or (needs_n_effective and n_effective[i] < N_EFFECTIVE_MIN):
                out[i, t] = np.nan
                continue
            floor = max(rules.floors[t], of_few) if rules.is_share[t] else rules.floors[t]
            deviation = distance / max(scale, floor)
            out[i, t] = deviation * (1 - discount) if needs_n_effective else deviation


def deviations_of(
    values: FloatArray, baseline: Baseline, n_effective: IntArray, clustered_shares: FloatArray
) -> FloatArray:
    """Signed robust deviation from the median of every feature in `SCORED_FEATURES`.

    Clusters of near-repeats are not independent observations even where the test for "near" missed some of
    them: what rests on distinct queries is discounted by the share of
    queries that were nearly repeated. It is a share of queries, not of repeats: however often one query is
    repeated, it hides only itself.

    Parameters
    ----------
    values : ndarray of float64, shape (n, n_scored)
    baseline : Baseline
        What is normal of them, (n, n_scored).
    n_effective : ndarray of int64, shape (n,)
    clustered_shares : ndarray of float64, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n, n_scored)
        NaN where missing, or where n_effective is too small.
    """
    out = np.empty_like(values)
    _deviations(values, baseline, _RULES, n_effective, clustered_shares, out)
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
    """log(1 + deviation), 0 on the harmless side, shape (n, n_scored).

    Examples
    --------
    >>> float(anomalies_of(-2.0 * _SIGNS[None, :])[0, 0])
    0.0
    """
    out = np.empty(deviations.shape)
    _anomalies(deviations, _SIGNS, out)
    return out


def positions_of(deviations: FloatArray) -> FloatArray:
    """Position in the normal range, shape (n, n_scored): .5 at the median, .67 a deviation above, 1 far
    above.

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
    """Mean anomaly score of each family's known features, or the highest; NaN where none is known.

    Parameters
    ----------
    anomalies : ndarray of float64, shape (n, n_scored)

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
