"""Vectors of records as float32 blocks, one a model and length."""

import base64
import binascii
from collections.abc import Mapping, Sequence

import numpy as np

from copycatch.records.columns import Float32Array, Uint64Array, VectorBlock
from copycatch.records.wire import VECTOR_LENGTH_MAX, Blob

_DTYPES: Mapping[str, np.dtype[np.generic]] = {
    "u1": np.dtype("u1"),
    "f2": np.dtype("<f2"),
    "f4": np.dtype("<f4"),
}
# Odd 64-bit constants of splitmix64 (Steele, Lea and Flood, OOPSLA 2014): they mix well and are public, which
# is enough: a forged collision only makes the forger's own queries look like duplicates.
_MIX_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def vector_of_blob(blob: Blob) -> Float32Array:
    """The values of a base64 vector.

    Raises
    ------
    ValueError
        If it is no base64, no whole number of values, empty, or too long.

    Examples
    --------
    >>> vector_of_blob(Blob(b64="AQID", dtype="u1"))
    array([1., 2., 3.], dtype=float32)
    """
    try:
        raw = base64.b64decode(blob.b64, validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"b64 is no base64: {error}"
        raise ValueError(message) from None
    dtype = _DTYPES[blob.dtype]
    if len(raw) % dtype.itemsize:
        message = f"{len(raw)} bytes are no whole number of {blob.dtype} values of {dtype.itemsize} bytes"
        raise ValueError(message)
    values = np.frombuffer(raw, dtype=dtype)
    if not 0 < len(values) <= VECTOR_LENGTH_MAX:
        message = f"{len(values)} values; expected 1 to {VECTOR_LENGTH_MAX}"
        raise ValueError(message)
    return values.astype(np.float32)


def blocks_of(
    vectors: Sequence[list[float] | Float32Array | None], model_ids: Sequence[str]
) -> tuple[list[VectorBlock], dict[int, str]]:
    """Gather vectors into blocks by model and length, and name those that cannot be taken.

    Parameters
    ----------
    vectors : sequence of list of float, ndarray or None
        One entry a record; None where the record has none.
    model_ids : sequence of str
        The model of each record.

    Returns
    -------
    blocks : list of VectorBlock
        float32; rows ascend within a block; blocks in order of first appearance.
    faults : dict of int to str
        Position in `vectors` to what is wrong with it: empty, or a value that is not finite.

    Examples
    --------
    >>> blocks, faults = blocks_of([[1.0, 2.0], None, [3.0, 4.0], [float("nan"), 0.0]], ["m"] * 4)
    >>> blocks[0].rows.tolist(), blocks[0].values.tolist(), faults
    ([0, 2], [[1.0, 2.0], [3.0, 4.0]], {3: 'value 0 is not finite'})
    """
    rows_by_key: dict[tuple[str, int], list[int]] = {}
    faults: dict[int, str] = {}
    for row, vector in enumerate(vectors):
        if vector is None:
            continue
        if not len(vector):
            faults[row] = "the vector is empty"
            continue
        rows_by_key.setdefault((model_ids[row], len(vector)), []).append(row)
    blocks = []
    for (model_id, _), rows in rows_by_key.items():
        with np.errstate(over="ignore"):  # 1e39 becomes infinite in float32 and is named below
            values = np.array([vectors[row] for row in rows], dtype=np.float32)
        row_indices = np.array(rows, dtype=np.int64)
        is_finite = np.isfinite(values)
        if not is_finite.all():
            is_good = is_finite.all(axis=1)
            for index in np.flatnonzero(~is_good):
                faults[rows[index]] = f"value {int(np.argmin(is_finite[index]))} is not finite"
            values, row_indices = values[is_good], row_indices[is_good]
        if len(row_indices):
            blocks.append(VectorBlock(model_id, row_indices, values))
    return blocks, faults


def hash_rows(values: Float32Array) -> Uint64Array:
    """A 64-bit hash of each row; equal rows have equal hashes, in every process.

    Parameters
    ----------
    values : ndarray of float32, shape (n, length)

    Returns
    -------
    ndarray of uint64, shape (n,)
        Never 0, which stands for "no input".

    Examples
    --------
    >>> a, b, c = hash_rows(np.array([[1, 2], [1, 2], [2, 1]], dtype=np.float32))
    >>> bool(a == b), bool(a == c)
    (True, False)
    """
    bits = (
        np.ascontiguousarray(values + np.float32(0.0)).view(np.uint32).astype(np.uint64)
    )  # -0.0 becomes 0.0
    steps = np.arange(1, values.shape[1] + 1, dtype=np.uint64) * _MIX_STEP
    mixed = bits + steps
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    mixed ^= mixed >> np.uint64(31)
    hashes: Uint64Array = np.maximum(np.add.reduce(mixed, axis=1), np.uint64(1))
    return hashes
