"""Long vectors as shorter ones, so that what a model's geometry costs is bounded whatever clients send.

A frame of d coordinates takes d^2 numbers and d^3 operations to fit. Of a longer vector three quarters of the
kept coordinates are its own, evenly spaced: steps, edges and pairs of coordinates keep their meaning, and
neighbouring coordinates of images and signals tell much the same. The last quarter are signed sums of all
coordinates [1]_, so that nothing is hidden where no coordinate is kept.

References
----------
.. [1] Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009: such sums keep scalar
   products in the mean.
"""

from functools import lru_cache

import numpy as np

from copycatch.compiled import njit
from copycatch.records.columns import Float32Array, IntArray

LENGTH_MAX = 1_024  # of a vector as it is measured
OWN = 768
SUMS = LENGTH_MAX - OWN
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SIGN = np.uint64(1 << 40)


def shortened(values: Float32Array) -> Float32Array:
    """Vectors of at most `LENGTH_MAX` values, float32 (n, min(d, LENGTH_MAX)).

    Parameters
    ----------
    values : ndarray of float32, shape (n, d)
        Given back as they are where they are short enough. Vectors of equal length are shortened alike.

    Examples
    --------
    >>> x = np.ones((2, 6_144), dtype=np.float32)
    >>> shortened(x).shape, shortened(x[:, :1_024]) is x, bool((shortened(x)[:, :OWN] == 1).all())
    ((2, 1024), False, True)
    """
    n, length = values.shape
    if length <= LENGTH_MAX:
        return values
    out = np.zeros((n, LENGTH_MAX), dtype=np.float32)
    out[:, :OWN] = values[:, _own_columns(length)]
    _add_sums(np.ascontiguousarray(values), out, np.float32(np.sqrt(SUMS / length)))
    return out


@lru_cache(maxsize=64)
def _own_columns(length: int) -> IntArray:
    return np.linspace(0, length - 1, OWN).astype(np.int64)


@njit(cache=True)
def _add_sums(values, out, scale):  # type: ignore[no-untyped-def]
    """Add each coordinate, with a sign of its own, to one of the sums; both are the same in every process."""
    for k in range(values.shape[1]):
        mixed = np.uint64(k + 1) * _MIX
        mixed ^= mixed >> np.uint64(29)
        mixed *= _MIX
        at = OWN + np.int64((mixed >> np.uint64(48)) % np.uint64(SUMS))
        sign = scale if mixed & _SIGN else -scale
        for i in range(values.shape[0]):
            out[i, at] += sign * values[i, k]
