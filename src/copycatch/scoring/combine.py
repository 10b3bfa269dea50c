"""From the surprisal of families to a score, and each feature's share of it."""

from typing import NamedTuple

import numpy as np

from copycatch.compiled import njit
from copycatch.records.columns import FloatArray, IntArray
from copycatch.scoring.catalog import COMPONENTS, FAMILIES, SCORERS, WEIGHTS
from copycatch.scoring.components import FEATURE_FAMILIES, Combination
from copycatch.scoring.families import FAMILY_OF

# Less surprisal than this counts as none: with a dozen families some are always a little anomalous.
# exp(-1.4) is about the upper quarter of normal accounts' whole lifetimes.
SURPRISAL_FLOOR = 1.4
EXCESS_MAX = 10.0
# A family's value is in log(1 + z), so its surprisal grows by a nat when z doubles, and no faster. The five
# of novelty all rise together for whoever is merely far away, as a disturbed test set is: they grow slower.
_NOVELTY = next(each.families for each in COMPONENTS if each.name == "novelty")
FAMILY_SCALE_MINS = np.array(
    [1.0 if family in _NOVELTY else 0.7 for family in FEATURE_FAMILIES] + [spec.scale_min for spec in SCORERS]
)


class _Layout(NamedTuple):
    """The components for compiled code: their families one after another, the other arrays an entry each."""

    families: IntArray
    starts: IntArray  # of each component's families; one more at the end
    combinations: IntArray
    caps: FloatArray
    weights: FloatArray


_LAYOUT = _Layout(
    np.array([FAMILIES.index(family) for each in COMPONENTS for family in each.families]),
    np.cumsum([0, *(len(each.families) for each in COMPONENTS)]),
    np.array([int(each.combination) for each in COMPONENTS]),
    np.array([each.cap for each in COMPONENTS]),
    np.array([WEIGHTS[each.name] for each in COMPONENTS]),
)
_MEAN, _FIRST_OR_MEAN = int(Combination.MEAN), int(Combination.FIRST_OR_MEAN)


@njit(cache=True)
def _combine(surprisal, layout, parts):  # type: ignore[no-untyped-def]
    """Each family's part of its component, which saturates at its cap and is weighed."""
    for i in range(len(surprisal)):
        for c in range(len(layout.caps)):
            if layout.caps[c] <= 0:
                continue
            own = layout.families[layout.starts[c] : layout.starts[c + 1]]
            total, highest, first = 0.0, 0.0, 0.0
            for index in range(len(own)):
                above = surprisal[i, own[index]] - SURPRISAL_FLOOR
                excess = 0.0 if np.isnan(above) else min(max(above, 0.0), EXCESS_MAX)
                parts[i, own[index]] = excess
                total += excess
                highest = max(highest, excess)
                if index == 0:
                    first = excess
            value = highest
            if layout.combinations[c] == _MEAN:
                value = total / len(own)
            elif layout.combinations[c] == _FIRST_OR_MEAN:
                value = max(first, total / len(own))
            cap = layout.caps[c]
            factor = layout.weights[c] * cap * (1 - np.exp(-value / cap)) / max(total, 1e-12)
            for index in range(len(own)):
                parts[i, own[index]] *= factor


def score_of(surprisal: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Score of each evaluation and each family's part of it.

    Parameters
    ----------
    surprisal : ndarray of float64, shape (n, n_families)
        -ln of the tail probability of each family among normal accounts' lifetimes; NaN where missing.

    Returns
    -------
    scores : ndarray of float64, shape (n,)
        NaN where no family is known.
    parts : ndarray of float64, shape (n, n_families)
        Sum to the score.

    Examples
    --------
    >>> surprisal = np.full((1, len(FAMILIES)), 0.35)
    >>> score_of(surprisal)[0].tolist()
    [0.0]
    >>> surprisal[0, FAMILIES.index("step")] = 100.0
    >>> bool(score_of(surprisal)[0][0] < 3.5)
    True
    """
    parts = np.zeros_like(surprisal)
    _combine(np.ascontiguousarray(surprisal), _LAYOUT, parts)
    scores = np.where(np.isnan(surprisal).all(axis=1), np.nan, parts.sum(axis=1))
    return scores, parts


def feature_shares(parts: FloatArray, anomalies: FloatArray) -> FloatArray:
    """Each scored feature's share of the score, shape (n, n_scored); sums to 1 where the score is above 0."""
    shares = np.empty_like(anomalies)
    _shares(parts, np.ascontiguousarray(anomalies), FAMILY_OF, shares)
    return shares


@njit(cache=True)
def _shares(parts, anomalies, families, shares):  # type: ignore[no-untyped-def]
    """A family's part goes to its features by their anomaly scores, that of a scorer to all features."""
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
