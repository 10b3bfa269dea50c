"""Robust tails, summed by family with saturation, so that one oddness alone cannot alert.

Each feature becomes a signed deviation from the median of its peers, measured on the tail it lies in; the
scale has a floor, below which a difference is no difference. Within a family the mean of log(1 + z) over its
features counts, capped; the score is the sum over families.
"""

from typing import NamedTuple

import numpy as np

from copycatch.records.columns import FloatArray

FAMILY_CAP = 3.0
Z_MAX = 50.0


class Tail(NamedTuple):
    """How a feature enters the score."""

    feature: str
    family: str
    sign: int  # +1: high is odd, -1: low is odd, 0: both
    floor: float  # smallest deviation that counts as one, in the feature's unit


TAILS: tuple[Tail, ...] = (
    Tail("whitened_distance", "novelty", +1, 0.05),
    Tail("residual_energy", "novelty", +1, 0.05),
    Tail("neighbour_distance", "novelty", +1, 0.05),
    Tail("far_share", "novelty", +1, 0.05),
    Tail("label_agreement", "boundary", -1, 0.04),
    Tail("margin_residual", "boundary", -1, 0.02),
    Tail("entropy_residual", "boundary", +1, 0.02),
    Tail("low_margin_share", "boundary", +1, 0.05),
    Tail("whitened_spread", "mixture", +1, 0.05),
    Tail("neighbour_spread", "mixture", +1, 0.05),
    Tail("near_flip_share", "probing", +1, 0.03),
    Tail("collinear_share", "collinearity", +1, 0.05),
    Tail("step_kurtosis", "step", -1, 0.3),
    Tail("effective_dimensions", "spectrum", +1, 0.5),
)


def family_scores(deviations: FloatArray, families: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    """Sum of capped family values, and each feature's share of it.

    Parameters
    ----------
    deviations : ndarray of float64, shape (n, n_tails)
        Signed so that positive is odd; NaN where missing.
    families : tuple of str, length n_tails

    Returns
    -------
    scores : ndarray of float64, shape (n,)
        NaN where no feature is known.
    shares : ndarray of float64, shape (n, n_tails)
        Sum to 1 where the score is above 0.

    Examples
    --------
    >>> scores, shares = family_scores(np.array([[0.0, np.e - 1, np.nan]]), ("a", "b", "b"))
    >>> scores.tolist(), shares.tolist()
    ([1.0], [[0.0, 1.0, 0.0]])
    """
    oddness = np.log1p(np.clip(deviations, 0, Z_MAX))
    parts = np.zeros_like(oddness)
    for family in dict.fromkeys(families):
        columns = np.array([name == family for name in families])
        known = ~np.isnan(oddness[:, columns])
        counts = np.maximum(known.sum(axis=1), 1)
        each = np.nan_to_num(oddness[:, columns]) / counts[:, None]
        totals = each.sum(axis=1)
        capped = np.minimum(totals, FAMILY_CAP)
        parts[:, columns] = each * (capped / np.maximum(totals, 1e-12))[:, None]
    scores = parts.sum(axis=1)
    shares = parts / np.maximum(scores, 1e-12)[:, None]
    return np.where(np.isnan(oddness).all(axis=1), np.nan, scores), shares


def deviations_of(values: FloatArray, medians: FloatArray, ups: FloatArray, downs: FloatArray,
                  indices: list[int]) -> FloatArray:  # fmt: skip
    """Deviations of the features in `TAILS`, positive where odd, shape (n, n_tails)."""
    signs = np.array([tail.sign for tail in TAILS])
    floors = np.array([tail.floor for tail in TAILS])
    distance = values[:, indices] - medians[:, indices]
    up = distance / np.maximum(ups[:, indices], floors)
    down = -distance / np.maximum(downs[:, indices], floors)
    return np.where(signs > 0, up, np.where(signs < 0, down, np.maximum(up, down)))
