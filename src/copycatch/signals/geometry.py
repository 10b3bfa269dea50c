"""Whitened coordinates of queries in their model's space."""

import numpy as np
from numba import njit

from copycatch.records.columns import Float32Array, IntArray
from copycatch.records.space import CELL_BITS, SKETCH_LENGTH, ModelSpace

Z_MAX = 8.0  # standardised coordinates are clipped here: one wild value must not hide the rest


@njit(cache=True)
def _multiply(values, weights, product):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        for k in range(values.shape[1]):
            value = values[i, k]
            for j in range(weights.shape[1]):  # along the output: vector code without reordering any sum
                product[i, j] += value * weights[k, j]


def multiply(values: Float32Array, weights: Float32Array) -> Float32Array:
    """Matrix product whose rows do not depend on the other rows of the batch.

    A library's product may round a row differently with the shape of the batch and the row's place in it (seen
    with OpenBLAS), and then the same records would give other outcomes when cut otherwise. At up to 24 outputs a
    plain compiled loop is as fast.

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


def standardise(values: Float32Array, space: ModelSpace) -> Float32Array:
    """Coordinates in units of the model's own spread, clipped at +-8."""
    clipped: Float32Array = np.clip((values - space.means) / space.scales, -Z_MAX, Z_MAX)
    return clipped


def project(standardised: Float32Array, space: ModelSpace) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Sketch, log whitened energy and log residual energy of each query.

    Parameters
    ----------
    standardised : ndarray of float32, shape (n, d)
    space : ModelSpace

    Returns
    -------
    sketches : ndarray of float32, shape (n, SKETCH_LENGTH)
        Leading principal coordinates divided by the fourth root of their variance: half-way between raw
        (where a few directions drown all others) and white (where noise counts as much as meaning).
    whitened_log, residual_log : ndarray of float32, shape (n,)
        Log mean squared whitened coordinate, and log mean squared coordinate beyond the kept rank relative to
        the usual; NaN where no direction is left over.
    """
    scores = multiply(standardised, space.basis)
    rank, d = space.basis.shape[1], standardised.shape[1]
    kept = min(rank, SKETCH_LENGTH)
    sketches = np.zeros((len(scores), SKETCH_LENGTH), dtype=np.float32)
    sketches[:, :kept] = scores[:, :kept] / np.sqrt(np.sqrt(space.variances[:kept]))
    whitened_log = np.log((scores**2 / space.variances).mean(axis=1) + np.float32(1e-6))
    if d > rank:
        beyond = np.maximum((standardised**2).sum(axis=1) - (scores**2).sum(axis=1), 0) / (d - rank)
        residual_log = np.log(beyond / np.float32(space.residual_variance) + np.float32(1e-6))
    else:
        residual_log = np.full(len(scores), np.nan, dtype=np.float32)
    return sketches, whitened_log.astype(np.float32), residual_log.astype(np.float32)


def cells_of(sketches: Float32Array) -> IntArray:
    """Topic cell of each query: the signs of its leading coordinates as a number.

    Examples
    --------
    >>> cells_of(np.array([[1, -1, 1, 1, 1, 1] + [0] * 10], dtype=np.float32)).tolist()
    [61]
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
