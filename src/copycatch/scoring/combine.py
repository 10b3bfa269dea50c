"""From the evidence of families to a score, and each feature's share of it."""

import numpy as np
from numba import njit

from copycatch.records.columns import FloatArray
from copycatch.scoring.catalog import FAMILIES, GROUPS, WEIGHTS
from copycatch.scoring.families import FAMILY_OF
from copycatch.scoring.scored_features import FEATURE_FAMILIES

# A tail probability above this is no evidence: with a dozen families some are always a little odd.
# exp(-1.4) is about the upper quarter of normal accounts' whole lives.
SURPRISAL_FLOOR = 1.4
EXCESS_MAX = 10.0
# Columns of the families that say an account is far from usual traffic.
NOVELTY = [FAMILIES.index(family) for group in GROUPS if group.name == "novelty" for family in group.families]
# A family's value is in log(1 + z), so its evidence grows by a nat when z doubles, and no faster. The five of
# novelty all rise together for whoever is merely far away, as a disturbed test set is: they grow slower.
FAMILY_SCALE_MINS = np.array([1.0 if family in NOVELTY else 0.7 for family in range(len(FAMILIES))])
FAMILY_SCALE_MINS[FAMILIES.index("pretrained")] = 0.5  # it is in log odds already

MAX, MEAN, FIRST_OR_MEAN = range(3)
# How a group speaks. There are several ways to be far off: look-alikes lack one or two, attacks none.
_COMBINATIONS = {"novelty": MEAN, "boundary": FIRST_OR_MEAN}
# Families group by group, where each group's begin and end, how it speaks, its cap and its weight.
_LAYOUT = (
    np.array([FAMILIES.index(family) for group in GROUPS for family in group.families]),
    np.cumsum([0, *(len(group.families) for group in GROUPS)]),
    np.array([_COMBINATIONS.get(group.name, MAX) for group in GROUPS]),
    np.array([group.cap for group in GROUPS]),
    np.array([WEIGHTS[group.name] for group in GROUPS]),
)


@njit(cache=True)
def _combine(surprisal, families, starts, kinds, caps, weights, parts):  # type: ignore[no-untyped-def]
    """Each family's part of its group's voice, saturated at the group's cap and weighed."""
    for i in range(len(surprisal)):
        for g in range(len(caps)):
            if caps[g] <= 0:
                continue
            own = families[starts[g] : starts[g + 1]]
            total, loudest, first = 0.0, 0.0, 0.0
            for index in range(len(own)):
                value = surprisal[i, own[index]]
                excess = 0.0 if np.isnan(value) else min(max(value - SURPRISAL_FLOOR, 0.0), EXCESS_MAX)
                parts[i, own[index]] = excess
                total += excess
                loudest = max(loudest, excess)
                if index == 0:
                    first = excess
            voice = loudest
            if kinds[g] == MEAN:
                voice = total / len(own)
            elif kinds[g] == FIRST_OR_MEAN:
                voice = max(first, total / len(own))
            loud = weights[g] * caps[g] * (1 - np.exp(-voice / caps[g])) / max(total, 1e-12)
            for index in range(len(own)):
                parts[i, own[index]] *= loud


def score_of(surprisal: FloatArray) -> tuple[FloatArray, FloatArray]:
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
    parts = np.zeros_like(surprisal)
    _combine(np.ascontiguousarray(surprisal), *_LAYOUT, parts)
    scores = np.where(np.isnan(surprisal).all(axis=1), np.nan, parts.sum(axis=1))
    return scores, parts


def feature_shares(parts: FloatArray, anomalies: FloatArray) -> FloatArray:
    """Each tail's share of the score, shape (n, n_tails); sums to 1 where the score is above 0."""
    shares = np.empty_like(anomalies)
    _shares(parts, np.ascontiguousarray(anomalies), FAMILY_OF, shares)
    return shares


@njit(cache=True)
def _shares(parts, anomalies, families, shares):  # type: ignore[no-untyped-def]
    """A family's part goes to its tails by their anomalies; what looks at all features at once goes to
    all.
    """
    n_families = families.max() + 1
    of_family = np.empty(n_families)
    for i in range(len(anomalies)):
        of_family[:] = 0.0
        of_all = 0.0
        for t in range(len(families)):
            if not np.isnan(anomalies[i, t]):
                of_family[families[t]] += anomalies[i, t]
                of_all += anomalies[i, t]
        total, others = 0.0, 0.0
        for family in range(parts.shape[1]):
            total += parts[i, family]
            if family >= n_families:
                others += parts[i, family]
        total = max(total, 1e-12)
        for t in range(len(families)):
            known = 0.0 if np.isnan(anomalies[i, t]) else anomalies[i, t]
            own = known / max(of_family[families[t]], 1e-12) * (parts[i, families[t]] / total)
            shares[i, t] = own + known / max(of_all, 1e-12) * (others / total)


assert FAMILIES[: len(FEATURE_FAMILIES)] == FEATURE_FAMILIES, "the families of tails come first"
