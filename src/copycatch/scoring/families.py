"""From deviations to the values of families of tails."""

import numpy as np

from copycatch.records.columns import FloatArray, IntArray, Normal
from copycatch.scoring.tails import FEW_QUERIES, LOUDEST_FAMILIES, TAIL_FAMILIES, TAILS

EVIDENCE_MIN = 12  # distinct queries below which means say too little
ODDNESS_MAX = 4.0  # log(1 + z) of z = 54: beyond, more is no more
_SIGNS = np.array([tail.sign for tail in TAILS])
_FLOORS = np.array([tail.floor for tail in TAILS])
_IS_SHARE = np.array([tail.is_share for tail in TAILS])
_NEEDS_EVIDENCE = np.array([tail.needs_evidence for tail in TAILS])
_IS_LOUDEST = np.array([family in LOUDEST_FAMILIES for family in TAIL_FAMILIES])
MEMBERS = [np.array([tail.family == family for tail in TAILS]) for family in TAIL_FAMILIES]
# The first member of every family, the second of every family, and so on; a column of nothing where a family
# has no more. Families are then summed all at once, member by member in order.
_PLACES = [
    [members[turn] if turn < len(members) else len(TAILS) for members in map(np.flatnonzero, MEMBERS)]
    for turn in range(max(int(members.sum()) for members in MEMBERS))
]


def deviations_of(
    values: FloatArray, normal: Normal, columns: list[int], evidence: IntArray, near_shares: FloatArray
) -> FloatArray:
    """Signed robust deviation from the median of every feature in `TAILS`.

    Clusters of near-repeats are not independent evidence even where the test for "near" missed some of them:
    what rests on distinct queries is discounted by the share of near ones.

    Parameters
    ----------
    values : ndarray of float64, shape (n, n_features)
    normal : Normal
    columns : list of int
        Column of each tail's feature.
    evidence : ndarray of int64, shape (n,)
    near_shares : ndarray of float64, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n, n_tails)
        NaN where missing, or where there is too little evidence.
    """
    distance = values[:, columns] - normal.medians[:, columns]
    of_few = FEW_QUERIES / np.maximum(evidence, 1)
    floors = np.where(_IS_SHARE, np.maximum(_FLOORS, of_few[:, None]), _FLOORS)
    up = distance / np.maximum(normal.ups[:, columns], floors)
    down = distance / np.maximum(normal.downs[:, columns], floors)
    deviations = np.where(distance >= 0, up, down)
    discount = 1 - np.clip(np.nan_to_num(near_shares), 0, 0.95)
    deviations = np.where(_NEEDS_EVIDENCE, deviations * discount[:, None], deviations)
    is_thin = _NEEDS_EVIDENCE & (evidence < EVIDENCE_MIN)[:, None]
    return np.where(is_thin, np.nan, deviations)


def oddness_of(deviations: FloatArray) -> FloatArray:
    """log(1 + deviation), 0 on the harmless side, shape (n, n_tails).

    Examples
    --------
    >>> float(oddness_of(-2.0 * _SIGNS[None, :])[0, 0])
    0.0
    """
    harmful = np.where(_SIGNS == 0, np.abs(deviations), deviations * _SIGNS)
    return np.minimum(np.log1p(np.maximum(harmful, 0)), ODDNESS_MAX)


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
    n = len(oddness)
    is_known = ~np.isnan(oddness)
    padded = np.zeros((n, len(TAILS) + 1))
    padded[:, :-1] = np.where(is_known, oddness, 0.0)
    counted = np.zeros((n, len(TAILS) + 1), dtype=np.int64)
    counted[:, :-1] = is_known
    total, known = np.zeros((n, len(TAIL_FAMILIES))), np.zeros((n, len(TAIL_FAMILIES)), dtype=np.int64)
    loudest = np.zeros_like(total)
    for places in _PLACES:
        values = padded[:, places]
        total += values
        known += counted[:, places]
        loudest = np.maximum(loudest, values)
    means = total / np.maximum(known, 1)
    return np.where(known > 0, np.where(_IS_LOUDEST, loudest, means), np.nan)
