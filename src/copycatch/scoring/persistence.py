"""The level of an account's score over its evaluations: one high score is no alert, a steady one is.

A normal account's score spikes now and then and falls back; an extraction stays high. The level follows the
score slowly, so that at the same rate of false alarms its threshold lies lower than that of single
evaluations.
"""

import numpy as np

from copycatch.compiled import njit
from copycatch.records.columns import FloatArray, IntArray

# An alarm that comes late saves little: most of a model is gone after a few hundred answers, while honest
# accounts have ever more evaluations to be anomalous in. The score falls by this for each doubling beyond so
# many queries, three times at most.
LATE_NATS, LATE_NATS_MAX = 0.5, 1.5
LATE_QUERIES = 50
# Weight of the newest evaluation, and of the first one: enough for what is far beyond normal at 15 queries to
# be alerted on, and no more; a spike is forgotten within two evaluations.
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
def _follow(accounts, scores, levels, out):  # type: ignore[no-untyped-def]
    for i in range(len(accounts)):
        score = scores[i]
        if np.isnan(score):
            continue
        level = levels[accounts[i]]
        level = FIRST * score if np.isnan(level) else NEWEST * score + (1 - NEWEST) * level
        levels[accounts[i]] = level
        out[i] = level


def follow(rows: IntArray, scores: FloatArray, before: FloatArray) -> FloatArray:
    """Level of each evaluation's account after the evaluation, in order.

    Parameters
    ----------
    rows : ndarray of int64, shape (n,)
        One number an account.
    scores : ndarray of float64, shape (n,)
        NaN where unknown: the level stays.
    before : ndarray of float64, shape (n,)
        Each account's level before all of these; NaN before its first evaluation.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where the score is.

    Examples
    --------
    >>> scores, unknown = np.array([4.0, 0.0, 4.0, np.nan]), np.full(4, np.nan)
    >>> follow(np.array([0, 1, 0, 0]), scores, unknown).round(2).tolist()
    [2.8, 0.0, 3.64, nan]
    """
    _, firsts, accounts = np.unique(rows, return_index=True, return_inverse=True)
    out = np.full(len(rows), np.nan)
    _follow(accounts, scores, before[firsts], out)
    return out
