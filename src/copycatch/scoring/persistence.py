"""Evidence over an account's looks: one odd look is no alert, steady anomalies becomes one.

A normal account's score spikes now and then and falls back; an extraction stays odd. The level follows the
score slowly, so that at the same rate of false alarms its threshold lies lower than that of single looks.
"""

import numpy as np
from numba import njit

from copycatch.records.columns import FloatArray, IntArray

# An alarm that comes late saves little: most of a model is gone after a few hundred answers, while honest
# accounts have ever more looks to be odd in. The score falls by this for each doubling beyond so many
# queries, three times at most.
LATE_NATS, LATE_NATS_MAX = 0.5, 1.5
LATE_QUERIES = 50
# Share of the newest look, and what the first one counts: loud enough for what is far beyond normal at 15
# queries, and no more; a spike is forgotten within two looks.
NEWEST = 0.7
FIRST = 0.7


def lateness(queries: IntArray) -> FloatArray:
    """What is taken off the level of an account after so many queries (nats), shape (n,).

    Examples
    --------
    >>> lateness(np.array([10, 50, 100, 400])).round(2).tolist()
    [0.0, 0.0, 0.5, 1.5]
    """
    late: FloatArray = np.minimum(LATE_NATS * np.log2(np.maximum(queries / LATE_QUERIES, 1.0)), LATE_NATS_MAX)
    return late


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
    [2.8, 0.0, 3.64, nan]
    """
    out = np.full(len(rows), np.nan)
    _follow(rows, scores, levels, out)
    return out
