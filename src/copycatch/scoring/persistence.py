"""Evidence over an account's looks: one odd look is no alert, steady oddness becomes one.

A normal account's score spikes now and then and falls back; an extraction stays odd. The level follows the
score slowly, so that at the same rate of false alarms its threshold lies lower than that of single looks.
"""

import numpy as np
from numba import njit

from copycatch.records.columns import FloatArray, IntArray

# Share of the newest look: half forgets a spike within two looks. On the development traces .3 to .6 differ
# little; single looks need a threshold a third higher for as few false alarms.
NEWEST = 0.5
# The first look counts half: loud enough for what is far beyond normal at 15 queries, and no more.
FIRST = 0.5


@njit(cache=True)
def _follow(rows, scores, levels, out):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        score = scores[i]
        if np.isnan(score):
            continue
        level = levels[rows[i]]
        level = FIRST * score if np.isnan(level) else NEWEST * score + (1 - NEWEST) * level
        levels[rows[i]] = level
        out[i] = level


def follow(rows: IntArray, scores: FloatArray, levels: FloatArray) -> FloatArray:
    """Level of each look's account after the look, in order; changes `levels`.

    Parameters
    ----------
    rows : ndarray of int64, shape (n,)
    scores : ndarray of float64, shape (n,)
        NaN where unknown: the level stays.
    levels : ndarray of float64, by row
        NaN before the first look.

    Returns
    -------
    ndarray of float64, shape (n,)

    Examples
    --------
    >>> levels = np.array([np.nan, np.nan])
    >>> follow(np.array([0, 1, 0, 0]), np.array([4.0, 0.0, 4.0, np.nan]), levels).round(2).tolist()
    [2.0, 0.0, 3.0, nan]
    """
    out = np.full(len(rows), np.nan)
    _follow(rows, scores, levels, out)
    return out
