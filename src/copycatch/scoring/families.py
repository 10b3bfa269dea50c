"""From deviations to the values of families of tails."""

import numpy as np
from numba import njit

from copycatch.records.columns import FloatArray, IntArray, Middle
from copycatch.scoring.tails import FEW_QUERIES, LOUDEST_FAMILIES, TAIL_FAMILIES, TAILS

EVIDENCE_MIN = 12  # distinct queries below which means say too little
ODDNESS_MAX = 4.0  # log(1 + z) of z = 54: beyond, more is no more
DISCOUNT_MAX = 0.95
_SIGNS = np.array([tail.sign for tail in TAILS])
_FLOORS = np.array([tail.floor for tail in TAILS])
_IS_SHARE = np.array([tail.is_share for tail in TAILS])
_NEEDS_EVIDENCE = np.array([tail.needs_evidence for tail in TAILS])
FAMILY_OF = np.array([TAIL_FAMILIES.index(tail.family) for tail in TAILS])
_IS_LOUDEST = np.array([family in LOUDEST_FAMILIES for family in TAIL_FAMILIES])


@njit(cache=True)
def _deviations(  # type: ignore[no-untyped-def]
    values, medians, ups, downs, floors, is_share, needs_evidence, evidence, near_shares, out
):
    for i in range(values.shape[0]):
        near = 0.0 if np.isnan(near_shares[i]) else min(max(near_shares[i], 0.0), DISCOUNT_MAX)
        of_few = FEW_QUERIES / max(evidence[i], 1)
        for t in range(values.shape[1]):
            distance = values[i, t] - medians[i, t]
            scale = ups[i, t] if distance >= 0 else downs[i, t]
            if np.isnan(distance) or np.isnan(scale) or (needs_evidence[t] and evidence[i] < EVIDENCE_MIN):
                out[i, t] = np.nan
                continue
            floor = max(floors[t], of_few) if is_share[t] else floors[t]
            deviation = distance / max(scale, floor)
            out[i, t] = deviation * (1 - near) if needs_evidence[t] else deviation


def deviations_of(
    values: FloatArray, middle: Middle, evidence: IntArray, near_shares: FloatArray
) -> FloatArray:
    """Signed robust deviation from the median of every feature in `TAILS`.

    Clusters of near-repeats are not independent evidence even where the test for "near" missed some of them:
    what rests on distinct queries is discounted by the share of near ones.

    Parameters
    ----------
    values : ndarray of float64, shape (n, n_tails)
        The tails' features.
    middle : Middle
        What is normal of them, (n, n_tails).
    evidence : ndarray of int64, shape (n,)
    near_shares : ndarray of float64, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n, n_tails)
        NaN where missing, or where there is too little evidence.
    """
    out = np.empty_like(values)
    _deviations(values, middle.medians, middle.ups, middle.downs, _FLOORS, _IS_SHARE, _NEEDS_EVIDENCE,
                evidence, near_shares, out)  # fmt: skip
    return out


@njit(cache=True)
def _oddness(deviations, signs, out):  # type: ignore[no-untyped-def]
    for i in range(deviations.shape[0]):
        for t in range(deviations.shape[1]):
            deviation = deviations[i, t]
            harmful = abs(deviation) if signs[t] == 0 else deviation * signs[t]
            if harmful > 0:
                out[i, t] = min(np.log1p(harmful), ODDNESS_MAX)
            else:
                out[i, t] = np.nan if np.isnan(harmful) else 0.0


def oddness_of(deviations: FloatArray) -> FloatArray:
    """log(1 + deviation), 0 on the harmless side, shape (n, n_tails).

    Examples
    --------
    >>> float(oddness_of(-2.0 * _SIGNS[None, :])[0, 0])
    0.0
    """
    out = np.empty(deviations.shape)
    _oddness(deviations, _SIGNS, out)
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
def _family_values(oddness, families, is_loudest, out):  # type: ignore[no-untyped-def]
    known = np.empty(out.shape[1], dtype=np.int64)
    for i in range(oddness.shape[0]):
        known[:] = 0
        out[i] = 0.0
        for t in range(oddness.shape[1]):
            family, value = families[t], oddness[i, t]
            if np.isnan(value):
                continue
            known[family] += 1
            out[i, family] = max(out[i, family], value) if is_loudest[family] else out[i, family] + value
        for family in range(len(known)):
            if known[family] == 0:
                out[i, family] = np.nan
            elif not is_loudest[family]:
                out[i, family] /= known[family]


def family_values(oddness: FloatArray) -> FloatArray:
    """Mean oddness of each family's known features, or the loudest; NaN where none is known.

    Parameters
    ----------
    oddness : ndarray of float64, shape (n, n_tails)

    Returns
    -------
    ndarray of float64, shape (n, n_families)

    Examples
    --------
    >>> float(family_values(np.full((1, len(TAILS)), 0.5))[0, 0])
    0.5
    """
    out = np.empty((len(oddness), len(TAIL_FAMILIES)))
    _family_values(oddness, FAMILY_OF, _IS_LOUDEST, out)
    return out
