"""Are the queries of several accounts cards of one deck? What they ask, beside how it varies within each.

`F` is the variance of the members' mean query vectors over that of their queries (one-way analysis of
variance, summed over dimensions): about 1 when each is handed cards of one deck, whatever the deck; more
when each has business of its own. Sharing that is innocent is narrow (a template over the company's own
data) or repeats itself (a class with the same homework): then F is small
as well, and `alike`, `repeated` and `nearest` say so.
"""

from typing import Final, NamedTuple

import numpy as np

from copycatch.campaigns.fold import LinkColumns
from copycatch.campaigns.layout import KIND_STARTS, KINDS, SAMPLES, VECTOR
from copycatch.compiled import njit
from copycatch.records.columns import FloatArray, IntArray

OPENING: Final = KIND_STARTS[KINDS.index("opening")]  # of texts only
OTHERS: Final = 10  # members that a sample is compared with: in a large group something always repeats
SAME_COSINE: Final = 0.93  # queries so alike are one, but for a word


class Deck(NamedTuple):
    """What a group asks.

    `spread` is F, `alike` the mean cosine of two of its queries, `repeated` the share of sampled queries that
    a sample of another member repeats nearly, `nearest` the median cosine to the nearest of another member,
    `own` each member's F against the rest, NaN where it has too few queries.
    """

    spread: float
    alike: float
    repeated: float
    nearest: float
    own: FloatArray


@njit(cache=True)
def _nearest(hashes, samples, is_text, rows):  # type: ignore[no-untyped-def]
    """Highest cosine of each sample to one of the next members; -1 where they have none.

    Numeric inputs count only where they are the same: small steps from each other's inputs are an attack.
    """
    k = len(rows)
    found = np.full(k * SAMPLES, -2.0)
    for a in range(k):
        for i in range(SAMPLES):
            if hashes[rows[a], i] == 0:
                continue
            best = -1.0
            for ahead in range(1, min(k, OTHERS + 1)):
                b = (a + ahead) % k
                for j in range(SAMPLES):
                    if hashes[rows[b], j] == 0:
                        continue
                    if hashes[rows[b], j] == hashes[rows[a], i]:
                        best = 1.0
                    if best == 1.0 or not (is_text[a] and is_text[b]):
                        continue
                    product = np.int32(0)
                    for dimension in range(VECTOR):
                        product += np.int32(samples[rows[a], i, dimension]) * np.int32(
                            samples[rows[b], j, dimension]
                        )
                    best = max(best, product / (127.0 * 127.0))
            found[a * SAMPLES + i] = best
    return found[found > -2.0]


def own_spreads(columns: LinkColumns, rows: IntArray, group: IntArray) -> FloatArray:
    """F of each account's mean against a group that it is not part of: about 1 for cards of the same deck."""
    n_own = columns.vectors[rows].astype(np.float64)
    own = columns.vector_sum[rows].astype(np.float64)
    within, n_group, total = _within(columns, group)
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = ((own / n_own[:, None] - total / n_group) ** 2).sum(axis=1)
        spreads: FloatArray = gaps / (within * (1 / n_own + 1 / n_group))
    spreads[n_own == 0] = np.nan
    return spreads


def _within(columns: LinkColumns, rows: IntArray) -> tuple[float, float, FloatArray]:
    """Variance within accounts, how many vectors, and their sum."""
    counts = columns.vectors[rows].astype(np.float64)
    sums = columns.vector_sum[rows].astype(np.float64)
    is_known = counts > 0
    counts, sums = counts[is_known], sums[is_known]
    n = float(counts.sum())
    within = n - float(((sums**2).sum(axis=1) / counts).sum())
    return max(within / max(n - len(counts), 1.0), 1e-9), n, sums.sum(axis=0)


def usual_alike(columns: LinkColumns, rows: IntArray) -> float:
    """Mean cosine of a query of one account and one of another, each account weighing the same."""
    counts = columns.vectors[rows].astype(np.float64)
    means = columns.vector_sum[rows][counts > 0].astype(np.float64) / counts[counts > 0, None]
    k = len(means)
    if k < 2:
        return 0.0
    return float(((means.sum(axis=0) ** 2).sum() - (means**2).sum()) / (k * (k - 1)))


def measure_deck(columns: LinkColumns, rows: IntArray) -> Deck | None:
    """What the accounts of these rows ask; None where fewer than three have two queries with a vector."""
    counts = columns.vectors[rows].astype(np.float64)
    is_known = counts >= 2
    k = int(is_known.sum())
    if k < 3:
        return None
    sums = columns.vector_sum[rows].astype(np.float64)
    counts, sums = counts[is_known], sums[is_known]
    n, total = float(counts.sum()), sums.sum(axis=0)
    squares = (sums**2).sum(axis=1) / counts
    within = max((n - float(squares.sum())) / max(n - k, 1.0), 1e-9)
    between = (float(squares.sum()) - float((total**2).sum()) / n) / (k - 1)
    alike = (float((total**2).sum()) - n) / (n * (n - 1))
    gaps = ((sums / counts[:, None] - (total - sums) / (n - counts)[:, None]) ** 2).sum(axis=1)
    own = np.full(len(rows), np.nan)
    own[is_known] = gaps / (within * (1 / counts + 1 / (n - counts)))
    is_text = columns.values[rows, OPENING] > 0
    nearest = _nearest(columns.sample_hashes, columns.samples, is_text, rows)
    if not len(nearest):
        return Deck(between / within, alike, 0.0, 0.0, own)
    repeated = float((nearest > SAME_COSINE).mean())
    return Deck(between / within, alike, repeated, float(np.median(nearest)), own)
