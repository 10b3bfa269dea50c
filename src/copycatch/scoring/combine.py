"""From the evidence of families to a score, and each feature's share of it."""

import numpy as np

from copycatch.records.columns import FloatArray
from copycatch.scoring.catalog import FAMILIES, GROUPS
from copycatch.scoring.families import MEMBERS
from copycatch.scoring.tails import TAIL_FAMILIES

# A tail probability above this is no evidence: with a dozen families some are always a little odd.
# exp(-1.4) is about the upper quarter of normal accounts' whole lives.
EVIDENCE_FLOOR = 1.4
EXCESS_MAX = 10.0
# Columns of the families that say an account is far from usual traffic.
NOVELTY = [FAMILIES.index(family) for group in GROUPS if group.name == "novelty" for family in group.families]


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
    >>> bool(score_of(evidence)[0][0] < 3.5)
    True
    """
    excess = np.clip(np.nan_to_num(evidence) - EVIDENCE_FLOOR, 0, EXCESS_MAX)
    parts = np.zeros_like(excess)
    for group in GROUPS:
        if group.cap <= 0:
            continue
        members = [FAMILIES.index(family) for family in group.families]
        own = excess[:, members]
        if group.name == "novelty":  # several ways to be far off: look-alikes lack one or two, attacks none
            voice = own.mean(axis=1)
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
    for family, members in enumerate(MEMBERS):
        own = known[:, members]
        weight = own / np.maximum(own.sum(axis=1), 1e-12)[:, None]
        shares[:, members] = weight * (parts[:, family] / total)[:, None]
    others = parts[:, len(MEMBERS) :].sum(axis=1)  # of scorers that look at all features at once
    shares += known / np.maximum(known.sum(axis=1), 1e-12)[:, None] * (others / total)[:, None]
    return shares


assert FAMILIES[: len(TAIL_FAMILIES)] == TAIL_FAMILIES, "the families of tails come first"
