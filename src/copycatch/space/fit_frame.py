"""Fit the coordinates of one kind of vector."""

from collections.abc import Sequence

import numpy as np

from copycatch.records.columns import Float32Array, FloatArray, IntArray
from copycatch.space.model import PAIR_BINS, SKETCH, Z_MAX, Frame
from copycatch.space.transform import bins_of, scaled

RANK_MAX = 64  # a matrix product of 64 columns costs about a microsecond a query at 196 inputs
# A coordinate that hardly varies must not turn rounding noise into distance; the same for a direction.
SCALE_FLOOR_SHARE = 0.05
VARIANCE_FLOOR_SHARE = 0.02
MAIN_SHARE = 0.8
CLASSES_MAX = 256  # whose means are kept, the most frequent first
CLASS_PRIOR = 3.0  # queries' worth of the overall mean in each class mean
WITHIN_SHARE_MIN = 0.3  # of the queries, as degrees of freedom within classes: few per class leave few
PAIR_PRIOR = 0.5
EXTREME_SPREADS, EXTREME_ROWS, SPREAD_FLOOR_SHARE = 20.0, 1_000, 0.2


def fit_frame(vectors: Sequence[Float32Array], labels: IntArray) -> Frame:
    """Means, scales, directions, pair likelihoods and classes of the queries of a pool.

    Parameters
    ----------
    vectors : sequence of ndarray of float32, shape (d,)
    labels : ndarray of int64, shape (n,)
        -1 where missing.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = fit_frame(list(rng.normal(size=(300, 5)).astype(np.float32)), rng.integers(0, 2, 300))
    >>> frame.basis.shape, frame.class_means.shape, frame.pair_logs.shape
    ((5, 5), (3, 16), (5, 64))
    """
    x = _without_extremes(np.stack(vectors).astype(np.float64))
    means, deviations = x.mean(axis=0), x.std(axis=0)
    scales = np.maximum(deviations, SCALE_FLOOR_SHARE * deviations.mean() + 1e-9)
    means, scales = means.astype(np.float32), scales.astype(np.float32)
    z = scaled(np.stack(vectors), means, scales, Z_MAX)
    covariance = np.cov(z.T, dtype=np.float64).reshape(z.shape[1], z.shape[1])
    values, directions = np.linalg.eigh(covariance)
    values, directions = np.maximum(values[::-1], 0), directions[:, ::-1]
    # Eigenvectors have no sign of their own; fix it, so that rebuilds and restarts agree.
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(len(values))])
    rank = min(RANK_MAX, len(values))
    floor = VARIANCE_FLOOR_SHARE * values.mean() + 1e-6  # constant inputs have no variance at all
    main = int(np.searchsorted(np.cumsum(values) / max(values.sum(), 1e-12), MAIN_SHARE)) + 1
    partners, pair_logs = _pairs(z, covariance)
    class_labels, class_means, class_weights = _classes(z.astype(np.float64) @ directions[:, :rank], labels)
    return Frame(
        means=means, scales=scales,
        basis=np.ascontiguousarray(directions[:, :rank], dtype=np.float32),
        variances=(values[:rank] + floor).astype(np.float32),
        residual_variance=float(values[rank:].mean() + floor) if len(values) > rank else 1.0,
        n_main=min(main, len(values) - 1, rank), partners=partners, pair_logs=pair_logs,
        class_labels=class_labels, class_means=class_means, class_weights=class_weights,
    )  # fmt: skip


def _without_extremes(x: FloatArray) -> FloatArray:
    """Coordinates within `EXTREME_SPREADS` of their middle: no absurd query scales all others to nothing.

    The spread is that between quartiles, but at least a fifth of the largest: pixels at an edge seldom vary.
    """
    low, middle, high = np.quantile(x[:: max(len(x) // EXTREME_ROWS, 1)], (0.25, 0.5, 0.75), axis=0)
    spreads = high - low
    reach = EXTREME_SPREADS * np.maximum(spreads, SPREAD_FLOOR_SHARE * spreads.max())
    return np.clip(x, middle - reach, middle + reach) if spreads.max() > 0 else x


def _pairs(z: Float32Array, covariance: FloatArray) -> tuple[IntArray, Float32Array]:
    """Each coordinate's most correlated companion, and log p(bin | companion's bin)."""
    strength = np.abs(covariance)
    np.fill_diagonal(strength, -1)
    partners = np.argmax(strength, axis=1).astype(np.int64)
    bins = bins_of(z)
    logs = np.empty((z.shape[1], PAIR_BINS * PAIR_BINS), dtype=np.float32)
    for k, partner in enumerate(partners):
        counts = np.bincount(bins[:, k] * PAIR_BINS + bins[:, partner], minlength=PAIR_BINS**2) + PAIR_PRIOR
        of_partner = counts.reshape(PAIR_BINS, PAIR_BINS).sum(axis=0)
        logs[k] = np.log(counts / np.tile(of_partner, PAIR_BINS))
    return partners, logs


def _classes(scores: FloatArray, labels: IntArray) -> tuple[IntArray, Float32Array, Float32Array]:
    """Labels, their whitened means (the last row for labels never seen), and the whitening within classes."""
    kept = min(scores.shape[1], SKETCH)
    leading = np.zeros((len(scores), SKETCH))
    leading[:, :kept] = scores[:, :kept]
    overall = leading.mean(axis=0)
    names, counts = np.unique(labels[labels >= 0], return_counts=True)
    names = np.sort(names[np.argsort(-counts, kind="stable")[:CLASSES_MAX]])
    at = np.full(len(labels), len(names))
    if len(names):
        found = np.minimum(np.searchsorted(names, labels), len(names) - 1)
        at = np.where(names[found] == labels, found, len(names))
    sums = np.zeros((len(names) + 1, SKETCH))
    np.add.at(sums, at, leading)
    totals = np.bincount(at, minlength=len(names) + 1)
    means = (sums + CLASS_PRIOR * overall) / (totals + CLASS_PRIOR)[:, None]
    means[-1] = overall
    rest = leading - means[at]
    freedom = max(len(rest) - len(names), WITHIN_SHARE_MIN * len(rest), 1)
    within = rest.T @ rest / freedom
    values, directions = np.linalg.eigh(within)
    values = np.maximum(values, 0) + VARIANCE_FLOOR_SHARE * max(values.mean(), 1e-12)
    weights = directions / np.sqrt(values)
    if kept < SKETCH:  # empty coordinates must stay empty, not become noise
        weights[:, :] = np.where(np.abs(weights) > 1e6, 0, weights)
    return names.astype(np.int64), (means @ weights).astype(np.float32), weights.astype(np.float32)
