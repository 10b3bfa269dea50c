"""Vectors that are JSON still, read many at a time by simdjson; one that it refuses is read by itself."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import simdjson
from msgspec import Raw

from copycatch.records.columns import Float32Array, FloatArray, IntArray
from copycatch.records.wire import VECTOR_LENGTH_MAX, Blob, Vector

ROWS_TOGETHER_MIN: Final = 8  # fewer are as quickly read one by one

_decode_one = msgspec.json.Decoder(Vector | Blob | None).decode
_BRACKET, _COMMA = b"["[0], b","[0]

Key = tuple[str, int]
Pieces = dict[Key, list[tuple[IntArray, Float32Array]]]
"""Positions and vectors, float32 (n, length), by model and length."""


def read_vectors(
    vectors: Sequence[Any], model_ids: Sequence[str]
) -> tuple[Pieces, list[list[float] | Blob | None], list[int]]:
    """Vectors of one field.

    Parameters
    ----------
    vectors : sequence of Raw, or of what it stands for
        One entry a record; None where the record has none.
    model_ids : sequence of str
        The model of each record.

    Returns
    -------
    pieces : Pieces
        The vectors that were read together.
    others : list
        As `vectors`, without these: those that were not JSON any more, or had to be read by themselves.
    unread : list of int
        Positions of those that are no vector.

    Examples
    --------
    >>> pieces, others, unread = read_vectors([Raw(b"[1,2]"), None, Raw(b"[3,4]"), Raw(b"[true]")], ["m"] * 4)
    >>> pieces, others, unread
    ({}, [[1.0, 2.0], None, [3.0, 4.0], None], [3])
    >>> pieces, others, unread = read_vectors([Raw(b"[1,2]")] * 9, ["m"] * 9)
    >>> [values.shape for _, values in pieces["m", 2]], others.count(None)
    ([(9, 2)], 9)
    """
    reader = _Reader(vectors, model_ids)
    rows = [row for row, vector in enumerate(vectors) if type(vector) is Raw]
    if not reader.read(rows):
        is_list = [bytes(vectors[row])[:1] == b"[" for row in rows]
        reader.read_each([row for row, is_one in zip(rows, is_list, strict=True) if not is_one])
        reader.read_halves([row for row, is_one in zip(rows, is_list, strict=True) if is_one])
    return reader.pieces, reader.others, reader.unread


class _Reader:
    def __init__(self, vectors: Sequence[Any], model_ids: Sequence[str]) -> None:
        self._vectors = vectors
        self._model_ids = model_ids
        self._n_models = len(set(model_ids))
        self.pieces: Pieces = {}
        self.others = [None if type(vector) is Raw else vector for vector in vectors]
        self.unread: list[int] = []

    def read_halves(self, rows: list[int]) -> None:
        """All at once, else one half after the other: a bad vector costs little but itself."""
        if len(rows) < ROWS_TOGETHER_MIN:
            self.read_each(rows)
        elif not self.read(rows):
            half = len(rows) // 2
            self.read_halves(rows[:half])
            self.read_halves(rows[half:])

    def read_each(self, rows: list[int]) -> None:
        for row in rows:
            try:
                self.others[row] = _decode_one(self._vectors[row])
            except (ValueError, RecursionError):
                self.unread.append(row)

    def read(self, rows: list[int]) -> bool:
        """All at once; whether that could be done."""
        found = _numbers_of([self._vectors[row] for row in rows])
        if found is None:
            return False
        numbers, lengths = found
        with np.errstate(over="ignore"):  # 1e39 becomes infinite in float32 and is named later
            values = numbers.astype(np.float32)
        at, length = np.array(rows, dtype=np.int64), int(lengths[0])
        if self._n_models == 1 and (lengths == length).all():  # as in most polls
            self._add((self._model_ids[0], length), at, values.reshape(len(rows), length))
            return True
        starts = np.cumsum(lengths) - lengths
        groups: dict[Key, list[int]] = {}
        for index, key in enumerate(
            zip(map(self._model_ids.__getitem__, rows), lengths.tolist(), strict=True)
        ):
            groups.setdefault(key, []).append(index)
        for key, members in groups.items():
            self._add(key, at[members], values[starts[members, None] + np.arange(key[1])])
        return True

    def _add(self, key: Key, rows: IntArray, values: Float32Array) -> None:
        self.pieces.setdefault(key, []).append((rows, values))


def _numbers_of(jsons: Sequence[Raw]) -> tuple[FloatArray, IntArray] | None:
    """The numbers of lists of numbers end to end, and how many are in each; None where one is none."""
    text = b"[" + b",".join(jsons) + b"]"
    chars = np.frombuffer(text, dtype=np.uint8)
    begins = np.flatnonzero(chars == _BRACKET)[1:]
    if len(begins) != len(jsons):  # simdjson would take lists within a vector for one list
        return None
    try:
        array = simdjson.Parser().parse(text)
        assert isinstance(array, simdjson.Array)
        numbers = np.frombuffer(array.as_buffer(of_type="d"))
    except (ValueError, TypeError, RuntimeError):
        return None
    # There are only numbers. Between the beginnings of two vectors are as many commas as the first is long.
    commas = np.append(np.flatnonzero(chars == _COMMA), len(text))
    lengths = np.diff(np.searchsorted(commas, np.append(begins, len(text) + 1)))
    is_good = len(lengths) > 0 and lengths.sum() == len(numbers) and lengths.max() <= VECTOR_LENGTH_MAX
    return (numbers, lengths) if is_good else None
