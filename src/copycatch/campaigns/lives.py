"""When accounts of a group began and ended: all at once, or each as another fell silent."""

import math
from typing import Final

import numpy as np

from copycatch.campaigns.fold import LinkColumns
from copycatch.compiled import njit
from copycatch.records.columns import IntArray

START_MS: Final = 3 * 3_600_000  # accounts made for one purpose begin within hours
SILENT_GAPS: Final = 6.0  # mean gaps after which an account has stopped
SILENT_SHARE: Final = 0.2  # or this share of its life
MEMBERS_CHAINED_MAX: Final = 400


@njit(cache=True)
def _longest_chain(first, last, tolerance, surprise):  # type: ignore[no-untyped-def]
    best = np.zeros(len(first))
    for later in range(len(first)):
        for earlier in range(later):
            is_next = first[later] > first[earlier]
            if is_next and abs(first[later] - last[earlier]) <= tolerance[earlier]:
                best[later] = max(best[later], best[earlier] + surprise[earlier])
    return best.max()


def succession(columns: LinkColumns, rows: IntArray) -> float:
    """Surprise, in nats, of the longest chain of members of which one begins as another ends.

    By chance one of k - 1 others begins within the tolerance with probability 2 (k - 1) tolerance / span.
    """
    rows = rows[:MEMBERS_CHAINED_MAX]
    if len(rows) < 2:
        return 0.0
    order = np.argsort(columns.first_ms[rows], kind="stable")
    first = columns.first_ms[rows][order].astype(np.float64)
    last = columns.last_ms[rows][order].astype(np.float64)
    span = last.max() - first[0]
    if span <= 0:
        return 0.0
    gaps = (last - first) / np.maximum(columns.queries[rows][order].astype(np.float64) - 1, 1)
    tolerance = np.maximum(np.maximum(SILENT_GAPS * gaps, SILENT_SHARE * (last - first)), 60_000.0)
    surprise = -np.log(np.minimum(1.0, (len(rows) - 1) * 2 * tolerance / span))
    return float(_longest_chain(first, last, tolerance, surprise))


def common_start(n_begun: int, n_holders: int, n_others_begun: int, n_others: int, n_buckets: int) -> float:
    """Surprise, in nats, that so many holders of an attribute began within the same three hours.

    Parameters
    ----------
    n_begun, n_holders : int
        Holders that began then, of all holders whose beginning was seen.
    n_others_begun, n_others : int
        The same of all other accounts: a day on which many begin is no sign.
    n_buckets : int
        How many times there were: one of them is always the fullest.

    Examples
    --------
    >>> round(common_start(10, 11, 1, 40, 50), 1) > 9, common_start(2, 40, 2, 40, 50)
    (True, 0.0)
    """
    chance = min(max((n_others_begun + 1) / (n_others + n_buckets), 1 / max(n_buckets, 8)), 1.0)
    tail = _binomial_tail(n_begun, n_holders, chance)
    return max(0.0, -math.log(max(tail, 1e-300)) - math.log(max(n_buckets, 1)))


def _binomial_tail(successes: int, trials: int, chance: float) -> float:
    """Chance of at least so many successes."""
    if chance >= 1.0 or successes <= 0:
        return 1.0
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(chance)
        + (trials - k) * math.log1p(-chance)
        for k in range(successes, trials + 1)
    ]
    return min(1.0, sum(math.exp(each) for each in logs))
