"""Arrays of records, one an account: all of its fields lie side by side.

An account's fields come into the caches together, and room for more accounts is left once: memory is given in
pages of 2 MiB, and with one array per field every array would leave its last page half empty.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.void]
Columns = Mapping[str, npt.NDArray[Any]]


def row_dtype(fields: Mapping[str, tuple[npt.DTypeLike, tuple[int, ...]]]) -> np.dtype[np.void]:
    """Type of a record of these fields (type, shape), each at an offset that suits its type.

    Examples
    --------
    >>> row_dtype({"is_late": (np.bool_, ()), "sums": (np.float32, (5,))}).itemsize
    24
    """
    return np.dtype([(name, dtype, shape) for name, (dtype, shape) in fields.items()], align=True)


def as_bytes(rows: Rows) -> npt.NDArray[np.uint8]:
    """The same memory, (n, bytes per row): what compiled code takes, which finds fields by `offsets_of`."""
    return rows.view(np.uint8).reshape(len(rows), rows.dtype.itemsize)


def offsets_of(dtype: np.dtype[np.void], name: str) -> tuple[int, int]:
    """Where a field lies in the bytes of a record: from, to.

    Examples
    --------
    >>> offsets_of(row_dtype({"is_late": (np.bool_, ()), "sums": (np.float32, (5,))}), "sums")
    (4, 24)
    """
    assert dtype.fields is not None
    of_field, start = dtype.fields[name][:2]
    return start, start + of_field.itemsize


def grown(rows: Rows, n_rows: int) -> Rows:
    """The same rows and room for more; zeros take no memory until they are written to."""
    roomy = np.zeros(n_rows, dtype=rows.dtype)
    roomy[: len(rows)] = rows
    return roomy


def take(rows: Rows, indices: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """A copy of these rows, a column a field."""
    assert rows.dtype.names is not None
    return {name: rows[name][indices] for name in rows.dtype.names}


def put(rows: Rows, indices: npt.NDArray[np.int64], columns: Columns) -> None:
    """Overwrite these rows with such columns."""
    assert rows.dtype.names is not None
    is_run = len(indices) > 0 and bool((np.diff(indices) == 1).all())  # as in a fresh state
    target = slice(int(indices[0]), int(indices[-1]) + 1) if is_run else indices
    for name in rows.dtype.names:
        rows[name][target] = columns[name]
