"""Vectors of records as float32 blocks, one a model and length."""

import binascii
import struct
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from msgspec import Raw

from copycatch.compiled import njit
from copycatch.intake.json_vectors import read_vectors
from copycatch.records.columns import Float32Array, IntArray, Uint64Array, VectorBlock
from copycatch.records.wire import VECTOR_LENGTH_MAX, Blob

VALUE_MAX = np.float32(1e30)  # beyond it sums of a vector's values overflow; as far off as anything can be
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


def bytes_of_blob(blob: Blob) -> bytes:
    """The raw little-endian values of a base64 vector.

    Raises
    ------
    ValueError
        If it is no base64, no whole number of values, empty, or too long.

    Examples
    --------
    >>> list(bytes_of_blob(Blob(b64="AQID", dtype="u1")))
    [1, 2, 3]
    """
    try:
        raw = binascii.a2b_base64(blob.b64, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        message = f"b64 is no base64: {error}"
        raise ValueError(message) from None
    itemsize = _DTYPES[blob.dtype].itemsize
    if len(raw) % itemsize:
        message = f"{len(raw)} bytes are no whole number of {blob.dtype} values of {itemsize} bytes"
        raise ValueError(message)
    if not 0 < len(raw) // itemsize <= VECTOR_LENGTH_MAX:
        message = f"{len(raw) // itemsize} values; expected 1 to {VECTOR_LENGTH_MAX}"
        raise ValueError(message)
    return raw


def blocks_of(
    vectors: Sequence[list[float] | Blob | Raw | None], model_ids: Sequence[str]
) -> tuple[list[VectorBlock], dict[int, str]]:
    """Gather vectors into blocks by model and length, and name those that cannot be taken.

    Parameters
    ----------
    vectors : sequence of list of float, Blob, Raw or None
        One entry a record; None where the record has none, Raw where it is JSON still.
    model_ids : sequence of str
        The model of each record.

    Returns
    -------
    blocks : list of VectorBlock
        float32; rows ascend within a block; blocks in order of first appearance.
    faults : dict of int to str
        Position in `vectors` to what is wrong with it: no vector, empty, no base64, or a value that is not
        finite.

    Examples
    --------
    >>> blocks, faults = blocks_of([[1.0, 2.0], None, [3.0, 4.0], [float("nan"), 0.0]], ["m"] * 4)
    >>> blocks[0].rows.tolist(), blocks[0].values.tolist(), faults
    ([0, 2], [[1.0, 2.0], [3.0, 4.0]], {3: 'value 0 is not finite'})
    """
    faults: dict[int, str] = {}
    pieces: dict[tuple[str, int], list[tuple[IntArray, Float32Array]]] = {}
    left = cast("Sequence[list[float] | Blob | None]", vectors)
    if Raw in set(map(type, vectors)):
        read, left, unread = read_vectors(vectors, model_ids)
        faults |= dict.fromkeys(unread, "it is no vector")
        for key, parts in read.items():
            finite = [_finite(*part, faults) for part in parts]
            if kept := [part for part in finite if len(part[0])]:
                pieces[key] = kept
    for (model_id, _, dtype), (rows, members) in _groups_of(left, model_ids, faults).items():
        row_indices, values = _finite(np.array(rows, dtype=np.int64), _stacked(members, dtype), faults)
        if len(row_indices):
            pieces.setdefault((model_id, values.shape[1]), []).append((row_indices, values))
    return [_joined(model_id, parts) for (model_id, _), parts in pieces.items()], faults


_Groups = dict[tuple[str, int, str], tuple[list[int], list[list[float] | bytes]]]


def _groups_of(
    vectors: Sequence[list[float] | Blob | None], model_ids: Sequence[str], faults: dict[int, str]
) -> _Groups:
    """Rows and vectors by model, length and how they were written."""
    if vectors.count(None) == len(vectors):
        return {}
    lists = [vector for vector in vectors if type(vector) is list]
    n_missing = vectors.count(None)
    is_alike = len(lists) + n_missing == len(vectors) and len(set(model_ids)) == 1
    if lists and is_alike and lists[0] and len(set(map(len, lists))) == 1:
        # One model and one length, as in most polls.
        rows = [row for row, vector in enumerate(vectors) if vector is not None]
        return {(model_ids[0], len(lists[0]), ""): (rows, [*lists])}
    groups: _Groups = {}
    for row, vector in enumerate(vectors):
        if vector is None:
            continue
        given: list[float] | bytes
        dtype = ""
        if isinstance(vector, list):
            if not vector:
                faults[row] = "the vector is empty"
                continue
            given = vector
        else:
            try:
                given = bytes_of_blob(vector)
            except ValueError as error:
                faults[row] = str(error)
                continue
            dtype = vector.dtype
        key = (model_ids[row], len(given), dtype)
        try:
            rows, members = groups[key]
        except KeyError:
            rows, members = groups[key] = ([], [])
        rows.append(row)
        members.append(given)
    return groups


def _stacked(members: list[list[float] | bytes], dtype: str) -> Float32Array:
    if dtype:
        joined = b"".join(member for member in members if isinstance(member, bytes))
        values: Float32Array = np.frombuffer(joined, dtype=_DTYPES[dtype]).astype(np.float32)
        return values.reshape(len(members), -1)
    # Packed by the standard library: half the time of numpy's own look into nested lists.
    pack = struct.Struct(f"{len(members[0])}d").pack
    with np.errstate(over="ignore"):  # 1e39 becomes infinite in float32 and is named below
        values = np.frombuffer(b"".join([pack(*member) for member in members])).astype(np.float32)
    return values.reshape(len(members), -1)


def _finite(rows: IntArray, values: Float32Array, faults: dict[int, str]) -> tuple[IntArray, Float32Array]:
    """The rows without NaN and infinity, values within +-VALUE_MAX; the others become faults."""
    if values.max() <= VALUE_MAX and values.min() >= -VALUE_MAX:  # neither where one is NaN
        return rows, values
    is_finite = np.isfinite(values)
    is_good = is_finite.all(axis=1)
    for index in np.flatnonzero(~is_good):
        faults[int(rows[index])] = f"value {int(np.argmin(is_finite[index]))} is not finite"
    return rows[is_good], np.clip(values[is_good], -VALUE_MAX, VALUE_MAX)


def _joined(model_id: str, parts: list[tuple[IntArray, Float32Array]]) -> VectorBlock:
    """One block of a model's vectors of one length, whether they came as lists or as base64."""
    if len(parts) == 1:
        return VectorBlock(model_id, *parts[0])
    rows = np.concatenate([part[0] for part in parts])
    order = np.argsort(rows)
    return VectorBlock(model_id, rows[order], np.concatenate([part[1] for part in parts])[order])


@njit(cache=True)
def _hash(bits, start, hashes):  # type: ignore[no-untyped-def]
    for i in range(bits.shape[0]):
        total = np.uint64(0)
        step = start
        for k in range(bits.shape[1]):
            step += _MIX_STEP
            mixed = np.uint64(bits[i, k]) + step
            mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
            mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
            total += mixed ^ (mixed >> np.uint64(31))
        hashes[i] = max(total, np.uint64(1))


def hash_rows(values: Float32Array, key: bytes = b"") -> Uint64Array:
    """A 64-bit hash of each row; equal rows have equal hashes, in every process with the same key.

    Parameters
    ----------
    values : ndarray of float32, shape (n, length)
    key : bytes
        Secret, of 8 bytes. Whoever knows it can make inputs of equal hash, which all count as one.

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
    hashes = np.empty(len(values), dtype=np.uint64)
    bits = np.ascontiguousarray(values + np.float32(0.0)).view(np.uint32)  # -0.0 becomes 0.0
    _hash(bits, np.uint64(int.from_bytes(key[:8], "little")), hashes)
    return hashes
