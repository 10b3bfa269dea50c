"""Whitened coordinates of queries in their model's space."""

from typing import NamedTuple

import numpy as np

from copycatch.compiled import njit
from copycatch.records.columns import Float32Array, IntArray
from copycatch.space.model import CELL_BITS, LOG_FLOOR, PAIR_BINS, SKETCH, Z_MAX, Frame

RESIDUAL_LIMIT = np.float32(5.0)  # the same for whitened residuals
LANES = 8
NEVER_NEAREST = np.float32(1e30)
NEAREST_MIN = np.float32(1e-3)  # least squared distance to a class that counts


@njit(cache=True)
def _multiply(values, weights, product):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        for k in range(values.shape[1]):
            value = values[i, k]
            for j in range(weights.shape[1]):  # along the output: vector code without reordering any sum
                product[i, j] += value * weights[k, j]


def multiply(values: Float32Array, weights: Float32Array) -> Float32Array:
    """Matrix product whose rows do not depend on the other rows of the batch.

    A library's product may round a row differently with the shape of the batch and the row's position in it
    (seen with OpenBLAS), and then the same records would give other outcomes when cut otherwise. At up to
    24 outputs a plain compiled loop is as fast.

    Parameters
    ----------
    values : ndarray of float32, shape (n, d)
    weights : ndarray of float32, shape (d, k)

    Returns
    -------
    ndarray of float32, shape (n, k)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values, weights = rng.normal(size=(100, 9)).astype("f4"), rng.normal(size=(9, 4)).astype("f4")
    >>> bool((multiply(values, weights)[37:41] == multiply(values[37:41], weights)).all())
    True
    """
    product = np.zeros((len(values), weights.shape[1]), dtype=np.float32)
    _multiply(np.ascontiguousarray(values), np.ascontiguousarray(weights), product)
    return product


@njit(cache=True)
def _scale(values, means, scales, limit, out):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        for k in range(values.shape[1]):
            value = (values[i, k] - means[k]) / scales[k]
            value = min(value, limit)
            out[i, k] = max(value, -limit)


def scaled(values: Float32Array, means: Float32Array, scales: Float32Array, limit: float) -> Float32Array:
    """Distance from the means in units of the scales, clipped; NaN stays.

    Examples
    --------
    >>> one = np.ones(2, dtype=np.float32)
    >>> scaled(np.array([[3.0, -9.0]], dtype=np.float32), one, 2 * one, 4.0).tolist()
    [[1.0, -4.0]]
    """
    out = np.empty(values.shape, dtype=np.float32)
    _scale(np.ascontiguousarray(values), means, scales, np.float32(limit), out)
    return out


def standardise(values: Float32Array, frame: Frame) -> Float32Array:
    """Coordinates in units of the model's own spread, clipped at +-8."""
    return scaled(values, frame.means, frame.scales, Z_MAX)


@njit(cache=True)
def _energies(standardised, scores, inverse_variances, n_main, per_residual, out):  # type: ignore[no-untyped-def]
    d, rank = standardised.shape[1], scores.shape[1]
    for i in range(len(scores)):
        main = rest = left = np.float32(0)
        for k in range(n_main):
            main += scores[i, k] * scores[i, k] * inverse_variances[k]
        for k in range(n_main, rank):
            rest += scores[i, k] * scores[i, k] * inverse_variances[k]
        if d > rank:
            for k in range(d):
                left += standardised[i, k] * standardised[i, k]
            for k in range(rank):
                left -= scores[i, k] * scores[i, k]
        beyond = max(left, np.float32(0)) * per_residual
        out[i, 0] = (main + rest + beyond) / np.float32(d)
        out[i, 1] = (rest + beyond) / np.float32(max(d - n_main, 1))


def energies(standardised: Float32Array, scores: Float32Array, frame: Frame) -> Float32Array:
    """Log whitened energy of each query, over all directions and outside the main ones, float32 (n, 2).

    Directions beyond the kept rank share one variance [1]_, so that a long vector costs no square matrix.

    References
    ----------
    .. [1] Tipping and Bishop, Probabilistic Principal Component Analysis, JRSS B 1999.
    """
    out = np.empty((len(scores), 2), dtype=np.float32)
    per_residual = np.float32(1 / frame.residual_variance)
    _energies(
        standardised, scores, 1 / frame.variances, min(frame.n_main, scores.shape[1]), per_residual, out
    )
    logs: Float32Array = np.log(out + np.float32(LOG_FLOOR))
    return logs


def sketches_of(scores: Float32Array, frame: Frame) -> Float32Array:
    """Leading principal coordinates over the fourth root of their variance, float32 (n, SKETCH).

    Half-way between raw (where a few directions drown all others) and white (where noise counts as much as
    meaning).
    """
    kept = min(scores.shape[1], SKETCH)
    sketches = np.zeros((len(scores), SKETCH), dtype=np.float32)
    sketches[:, :kept] = scores[:, :kept] / np.sqrt(np.sqrt(frame.variances[:kept]))
    return sketches


class _Classes(NamedTuple):
    """The classes of a frame, as `_class_residuals` reads them."""

    labels: IntArray  # (k,)
    means: Float32Array  # (k + 1, SKETCH)
    columns: Float32Array  # (SKETCH, k + 1 filled up to whole vectors): the same, transposed
    norms: Float32Array  # their squared lengths
    weights: Float32Array  # (SKETCH, SKETCH)


@njit(cache=True)
def _class_residuals(scores, labels, classes, residuals, squares):  # type: ignore[no-untyped-def]
    norms, weights = classes.norms, classes.weights
    kept, n_classes = min(scores.shape[1], SKETCH), len(classes.labels)
    white = np.empty(SKETCH, dtype=np.float32)
    gaps = np.empty(len(norms), dtype=np.float32)
    width = weights.shape[1]  # no constant: loops of a known few turns are unrolled, not made vector code
    for i in range(len(scores)):
        white[:] = 0
        for k in range(kept):
            score = scores[i, k]
            for j in range(width):
                white[j] += score * weights[k, j]
        at = np.searchsorted(classes.labels, labels[i])
        if at < n_classes and classes.labels[at] != labels[i]:
            at = n_classes
        length = square = np.float32(0)
        for j in range(SKETCH):
            residual = min(max(white[j] - classes.means[at, j], -RESIDUAL_LIMIT), RESIDUAL_LIMIT)
            residuals[i, j] = residual
            square += residual * residual
            length += white[j] * white[j]
        gaps[:] = norms
        for j in range(SKETCH):
            twice = white[j] + white[j]
            for c in range(len(norms)):
                gaps[c] -= twice * classes.columns[j, c]
        squares[i, 0] = square / SKETCH
        squares[i, 1] = max(length + gaps.min(), NEAREST_MIN) / SKETCH


def class_residuals(
    scores: Float32Array, labels: IntArray, frame: Frame
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """What is left of each query after the mean of its predicted class, whitened within classes.

    Returns
    -------
    residuals : ndarray of float32, shape (n, SKETCH)
        Clipped at +-5; NaN where the label is missing.
    class_log : ndarray of float32, shape (n,)
        Log mean square of the residual.
    class_gap_log : ndarray of float32, shape (n,)
        The same less that of the nearest class: above 0 where another class lies nearer.
    """
    residuals = np.empty((len(scores), SKETCH), dtype=np.float32)
    squares = np.empty((len(scores), 2), dtype=np.float32)
    means = frame.class_means
    # Filled up to whole vectors with classes that are nearest to nothing.
    columns = np.zeros((SKETCH, -(-len(means) // LANES) * LANES), dtype=np.float32)
    norms = np.full(columns.shape[1], NEVER_NEAREST)
    columns[:, : len(means)], norms[: len(means)] = means.T, (means**2).sum(axis=1)
    classes = _Classes(frame.class_labels, means, columns, norms, frame.class_weights)
    _class_residuals(scores, labels, classes, residuals, squares)
    class_log = np.log(squares[:, 0] + np.float32(LOG_FLOOR))
    is_missing = labels < 0
    residuals[is_missing] = np.nan
    class_log[is_missing] = np.nan
    return residuals, class_log, class_log - np.log(squares[:, 1])


@njit(cache=True)
def _bin_of(value):  # type: ignore[no-untyped-def]
    return min(max(int(np.floor(value * 2)) + PAIR_BINS // 2, 0), PAIR_BINS - 1)


@njit(cache=True)
def _bins(standardised, out):  # type: ignore[no-untyped-def]
    for i in range(standardised.shape[0]):
        for k in range(standardised.shape[1]):
            out[i, k] = _bin_of(standardised[i, k])


def bins_of(standardised: Float32Array) -> IntArray:
    """The bin of each coordinate, int64 (n, d).

    Bins have a fixed width of half a standard deviation: bins of equal counts would read the sensor's noise.

    Examples
    --------
    >>> bins_of(np.array([[-9.0, -0.1, 0.0, 0.6, 9.0]], dtype=np.float32)).tolist()
    [[0, 3, 4, 5, 7]]
    """
    out = np.empty(standardised.shape, dtype=np.int64)
    _bins(standardised, out)
    return out


@njit(cache=True)
def _pair_likelihood(standardised, partners, pair_logs, out):  # type: ignore[no-untyped-def]
    n, d = standardised.shape
    bins = np.empty(d, dtype=np.int64)
    for i in range(n):
        for k in range(d):
            bins[k] = _bin_of(standardised[i, k])
        total = np.float32(0)
        for k in range(d):
            total += pair_logs[k, bins[k] * PAIR_BINS + bins[partners[k]]]
        out[i] = total / d


def pair_likelihoods(standardised: Float32Array, frame: Frame) -> Float32Array:
    """Mean log-likelihood of each coordinate's bin given that of its partner, float32 (n,)."""
    out = np.empty(len(standardised), dtype=np.float32)
    _pair_likelihood(standardised, frame.partners, frame.pair_logs, out)
    return out


def cells_of(sketches: Float32Array) -> IntArray:
    """Topic cell of each query: the signs of its leading coordinates as a number.

    Examples
    --------
    >>> cells_of(np.array([[1, -1, 1, 1, 1, 1] + [0] * 10], dtype=np.float32)).tolist()
    [29]
    """
    bits = (sketches[:, :CELL_BITS] > 0).astype(np.int64)
    cells: IntArray = bits @ (1 << np.arange(CELL_BITS, dtype=np.int64))
    return cells


def fouriers_of(sketches: Float32Array, weights: Float32Array, phases: Float32Array) -> Float32Array:
    """Random Fourier features sqrt(2/D) cos(Wx + b) of each query [1]_, float32 (n, FOURIER).

    References
    ----------
    .. [1] Rahimi and Recht, Random Features for Large-Scale Kernel Machines, NeurIPS 2007.
    """
    angles = multiply(sketches, weights) + phases
    features: Float32Array = np.float32(np.sqrt(2 / len(phases))) * np.cos(angles)
    return features
