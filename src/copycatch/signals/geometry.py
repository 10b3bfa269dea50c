"""Whitened coordinates of queries in their model's space."""

import numpy as np
from numba import njit

from copycatch.records.columns import Float32Array, IntArray
from copycatch.records.space import CELL_BITS, PAIR_BINS, SKETCH_LENGTH, Frame, ModelSpace

Z_MAX = 8.0  # standardised coordinates are clipped here: one wild value must not hide the rest
RESIDUAL_MAX = 5.0  # the same for whitened residuals


@njit(cache=True)
def _multiply(values, weights, product):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        for k in range(values.shape[1]):
            value = values[i, k]
            for j in range(weights.shape[1]):  # along the output: vector code without reordering any sum
                product[i, j] += value * weights[k, j]


def multiply(values: Float32Array, weights: Float32Array) -> Float32Array:
    """Matrix product whose rows do not depend on the other rows of the batch.

    A library's product may round a row differently with the shape of the batch and the row's place in it
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


def standardise(values: Float32Array, frame: Frame) -> Float32Array:
    """Coordinates in units of the model's own spread, clipped at +-8."""
    clipped: Float32Array = np.clip((values - frame.means) / frame.scales, -Z_MAX, Z_MAX)
    return clipped


def energies(standardised: Float32Array, scores: Float32Array, frame: Frame) -> Float32Array:
    """Log whitened energy of each query, over all directions and outside the main ones, float32 (n, 2).

    Directions beyond the kept rank share one variance [1]_, so that a long vector costs no square matrix.

    References
    ----------
    .. [1] Tipping and Bishop, Probabilistic Principal Component Analysis, JRSS B 1999.
    """
    rank, d = frame.basis.shape[1], standardised.shape[1]
    whitened = scores**2 / frame.variances
    beyond = np.zeros(len(scores), dtype=np.float32)
    if d > rank:
        left = np.maximum((standardised**2).sum(axis=1) - (scores**2).sum(axis=1), 0)
        beyond = left / np.float32(frame.residual_variance)
    out = np.empty((len(scores), 2), dtype=np.float32)
    out[:, 0] = (whitened.sum(axis=1) + beyond) / d
    out[:, 1] = (whitened[:, frame.n_main :].sum(axis=1) + beyond) / max(d - frame.n_main, 1)
    logs: Float32Array = np.log(out + np.float32(1e-6))
    return logs


def sketches_of(scores: Float32Array, frame: Frame) -> Float32Array:
    """Leading principal coordinates over the fourth root of their variance, float32 (n, SKETCH_LENGTH).

    Half-way between raw (where a few directions drown all others) and white (where noise counts as much as
    meaning).
    """
    kept = min(scores.shape[1], SKETCH_LENGTH)
    sketches = np.zeros((len(scores), SKETCH_LENGTH), dtype=np.float32)
    sketches[:, :kept] = scores[:, :kept] / np.sqrt(np.sqrt(frame.variances[:kept]))
    return sketches


def class_residuals(
    scores: Float32Array, labels: IntArray, frame: Frame
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """What is left of each query after the mean of its predicted class, whitened within classes.

    Returns
    -------
    residuals : ndarray of float32, shape (n, SKETCH_LENGTH)
        Clipped at +-5; NaN where the label is missing.
    class_log : ndarray of float32, shape (n,)
        Log mean square of the residual.
    class_gap_log : ndarray of float32, shape (n,)
        The same less that of the nearest class: above 0 where another class lies nearer.
    """
    kept = min(scores.shape[1], SKETCH_LENGTH)
    leading = np.zeros((len(scores), SKETCH_LENGTH), dtype=np.float32)
    leading[:, :kept] = scores[:, :kept]
    white = multiply(leading, frame.class_weights)
    means = frame.class_means
    n_classes = len(frame.class_labels)
    at = np.full(len(labels), n_classes)
    if n_classes:
        found = np.minimum(np.searchsorted(frame.class_labels, labels), n_classes - 1)
        at = np.where(frame.class_labels[found] == labels, found, n_classes)
    residuals = np.clip(white - means[at], -RESIDUAL_MAX, RESIDUAL_MAX)
    class_log = np.log((residuals**2).mean(axis=1) + np.float32(1e-6))
    squares = (white**2).sum(axis=1)[:, None] - 2 * multiply(white, np.ascontiguousarray(means.T))
    nearest = np.maximum((squares + (means**2).sum(axis=1)).min(axis=1), 1e-3) / SKETCH_LENGTH
    is_missing = labels < 0
    residuals[is_missing] = np.nan
    class_log[is_missing] = np.nan
    return residuals, class_log, class_log - np.log(nearest)


@njit(cache=True)
def _pair_likelihood(standardised, partners, pair_logs, out):  # type: ignore[no-untyped-def]
    n, d = standardised.shape
    bins = np.empty(d, dtype=np.int64)
    for i in range(n):
        for k in range(d):
            bins[k] = min(max(int(np.floor(standardised[i, k] * 2)) + PAIR_BINS // 2, 0), PAIR_BINS - 1)
        total = np.float32(0)
        for k in range(d):
            total += pair_logs[k, bins[k] * PAIR_BINS + bins[partners[k]]]
        out[i] = total / d


def pair_likelihoods(standardised: Float32Array, frame: Frame) -> Float32Array:
    """Mean log-likelihood of each coordinate's bin given that of its partner, float32 (n,).

    Bins have a fixed width of half a deviation: bins of equal counts would read the sensor's noise.
    """
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


def fouriers_of(sketches: Float32Array, space: ModelSpace) -> Float32Array:
    """Random Fourier features sqrt(2/D) cos(Wx + b) of each query [1]_, float32 (n, FOURIER).

    References
    ----------
    .. [1] Rahimi and Recht, Random Features for Large-Scale Kernel Machines, NeurIPS 2007.
    """
    phases = multiply(sketches, space.fourier_weights) + space.fourier_phases
    features: Float32Array = np.float32(np.sqrt(2 / phases.shape[1])) * np.cos(phases)
    return features
