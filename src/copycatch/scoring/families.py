"""From deviations to family values, from their tails to a score, and each feature's share of it."""

import numpy as np

from copycatch.records.columns import FloatArray, IntArray, Normal
from copycatch.scoring.catalog import FAMILIES, GROUPS, TAILS

EVIDENCE_MIN = 12  # distinct queries below which means say too little
ODDNESS_MAX = 4.0  # log(1 + z) of z = 54: beyond, more is no more
# A tail probability above this is no evidence: with a dozen families some are always a little odd.
# exp(-1.4) is about the upper quarter of normal accounts' whole lives.
EVIDENCE_FLOOR = 1.4
EXCESS_MAX = 10.0
_SIGNS = np.array([tail.sign for tail in TAILS])
_FLOORS = np.array([tail.floor for tail in TAILS])
_NEEDS_EVIDENCE = np.array([tail.needs_evidence for tail in TAILS])
_MEMBERS = [np.array([tail.family == family for tail in TAILS]) for family in FAMILIES]
_FAMILY_OF_TAIL = np.array([FAMILIES.index(tail.family) for tail in TAILS])


def oddness_of(
    values: FloatArray, normal: Normal, columns: list[int], evidence: IntArray, near_shares: FloatArray
) -> FloatArray:
    """log(1 + deviation) of every feature in `TAILS`, 0 where it is on the harmless side.

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
    up = distance / np.maximum(normal.ups[:, columns], _FLOORS)
    down = -distance / np.maximum(normal.downs[:, columns], _FLOORS)
    deviations = np.where(_SIGNS > 0, up, np.where(_SIGNS < 0, down, np.maximum(up, down)))
    discount = 1 - np.clip(np.nan_to_num(near_shares), 0, 0.95)
    deviations = np.where(_NEEDS_EVIDENCE, deviations * discount[:, None], deviations)
    is_thin = _NEEDS_EVIDENCE & (evidence < EVIDENCE_MIN)[:, None]
    oddness = np.minimum(np.log1p(np.maximum(deviations, 0)), ODDNESS_MAX)
    return np.where(is_thin, np.nan, oddness)


def family_values(oddness: FloatArray) -> FloatArray:
    """Mean oddness of each family's known features, shape (n, n_families); NaN where none is known.

    Examples
    --------
    >>> float(family_values(np.full((1, len(TAILS)), 0.5))[0, 0])
    0.5
    """
    values = np.full((len(oddness), len(FAMILIES)), np.nan)
    for family, members in enumerate(_MEMBERS):
        known = (~np.isnan(oddness[:, members])).sum(axis=1)
        total = np.nansum(oddness[:, members], axis=1)
        values[:, family] = np.where(known > 0, total / np.maximum(known, 1), np.nan)
    return values


def score_of(evidence: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Score of each evaluation and each family's part of it.

    Parameters
    ----------
    evidence : ndarray of float64, shape (n, n_families)
        -ln tail probability of each family among normal accounts' lives; NaN where missing.

    Returns
    -------
    scores : ndarray of float64, shape (n,)
        NaN where no family is known.
    parts : ndarray of float64, shape (n, n_families)
        Sum to the score.

    Examples
    --------
    >>> evidence = np.full((1, len(FAMILIES)), 0.35)
    >>> score_of(evidence)[0].tolist()
    [0.0]
    >>> evidence[0, FAMILIES.index("step")] = 100.0
    >>> bool(score_of(evidence)[0][0] < 3.0)
    True
    """
    excess = np.clip(np.nan_to_num(evidence) - EVIDENCE_FLOOR, 0, EXCESS_MAX)
    parts = np.zeros_like(excess)
    for group in GROUPS:
        members = [FAMILIES.index(family) for family in group.families]
        own = excess[:, members]
        if group.name == "novelty":  # several ways to be far off: the strongest, confirmed by the others
            voice = (own.max(axis=1) + own.mean(axis=1)) / 2
        elif group.name == "boundary":
            voice = np.maximum(own[:, 0], own.mean(axis=1))
        else:
            voice = own.max(axis=1)
        loud = group.cap * (1 - np.exp(-voice / group.cap))
        parts[:, members] = own / np.maximum(own.sum(axis=1), 1e-12)[:, None] * loud[:, None]
    scores = np.where(np.isnan(evidence).all(axis=1), np.nan, parts.sum(axis=1))
    return scores, parts


def feature_shares(parts: FloatArray, oddness: FloatArray) -> FloatArray:
    """Each tail's share of the score, shape (n, n_tails); sums to 1 where the score is above 0."""
    known = np.nan_to_num(oddness)
    shares = np.zeros_like(known)
    total = np.maximum(parts.sum(axis=1), 1e-12)
    for family, members in enumerate(_MEMBERS):
        own = known[:, members]
        weight = own / np.maximum(own.sum(axis=1), 1e-12)[:, None]
        shares[:, members] = weight * (parts[:, family] / total)[:, None]
    return shares


assert len(_FAMILY_OF_TAIL) == len(TAILS)
