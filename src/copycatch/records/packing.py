"""Plain values and arrays to bytes and back: MessagePack, with arrays as an extension type.

Nothing here can run code when it is read: a snapshot from a stranger gives wrong values at worst, never
execution, and its signature is checked before it comes this far.
"""

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from copycatch.errors import StateError

ARRAY_CODE = 1
_KINDS = frozenset("biufS")
_DIMENSIONS_MAX = 4


def pack(value: object) -> bytes:
    """Bytes of nested dicts, lists, numbers, strings, bytes and numpy arrays.

    Examples
    --------
    >>> unpack(pack({"a": np.arange(3), "b": [1, "x"]}))["a"].tolist()
    [0, 1, 2]
    """
    return msgspec.msgpack.encode(value, enc_hook=_encode)


def unpack(data: bytes | memoryview, *, is_view: bool = False) -> Any:
    r"""What `pack` was given; arrays are fresh and writable, or views of `data` that can only be read.

    Raises
    ------
    StateError
        If the bytes are damaged or hold an array of a forbidden kind.

    Examples
    --------
    >>> unpack(b"\xc1")
    Traceback (most recent call last):
    copycatch.errors.StateError: the snapshot cannot be read: MessagePack data is malformed: ...
    """
    try:
        return msgspec.msgpack.decode(data, ext_hook=_view if is_view else _decode)
    except (msgspec.DecodeError, ValueError, struct.error, TypeError) as error:
        message = f"the snapshot cannot be read: {error}"
        raise StateError(message) from error


def _encode(value: object) -> object:
    if isinstance(value, np.ndarray):
        assert value.dtype.kind in _KINDS, value.dtype
        head = value.dtype.str.encode()
        shape = struct.pack(f"<BB{value.ndim}Q", len(head), value.ndim, *value.shape)
        return msgspec.msgpack.Ext(ARRAY_CODE, shape + head + np.ascontiguousarray(value).tobytes())
    if isinstance(value, np.generic):
        return value.item()
    message = f"{type(value).__name__} cannot be packed"
    raise NotImplementedError(message)


def aligned(
    values: npt.NDArray[Any], found: Sequence[str], wanted: Sequence[str], empty: float, axis: int = -1
) -> npt.NDArray[Any]:
    """Columns brought into another order by name: unknown ones are dropped, missing ones are `empty`.

    Parameters
    ----------
    values : ndarray
        `found` names its columns along `axis`.

    Raises
    ------
    ValueError
        If there are not as many columns as names.

    Examples
    --------
    >>> aligned(np.array([[1.0, 2.0, 3.0]]), ["a", "b", "c"], ["c", "d", "a"], np.nan).tolist()
    [[3.0, nan, 1.0]]
    """
    if values.shape[axis] != len(found):
        message = f"{values.shape[axis]} columns for {len(found)} names"
        raise ValueError(message)
    if list(found) == list(wanted):
        return values
    index_by_name = {name: index for index, name in enumerate(found)}
    known = [index for index, name in enumerate(wanted) if name in index_by_name]
    shape = list(values.shape)
    shape[axis] = len(wanted)
    columns = np.full(shape, empty, dtype=values.dtype)
    taken = [index_by_name[wanted[index]] for index in known]
    np.moveaxis(columns, axis, -1)[..., known] = np.moveaxis(values, axis, -1)[..., taken]
    return columns


def copied(value: Any) -> Any:
    """Nested dicts and lists with fresh, writable arrays in the place of views.

    Examples
    --------
    >>> found = unpack(pack({"a": [np.arange(2)]}), is_view=True)
    >>> found["a"][0].flags.writeable, copied(found)["a"][0].flags.writeable
    (False, True)
    """
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [copied(each) for each in value]
    return value


def _decode(code: int, data: memoryview) -> object:
    return _view(code, data).copy()


def _view(code: int, data: memoryview) -> npt.NDArray[np.generic]:
    if code != ARRAY_CODE:
        message = f"unknown extension {code}"
        raise ValueError(message)
    head_length, n_dimensions = struct.unpack_from("<BB", data)
    if n_dimensions > _DIMENSIONS_MAX:
        message = f"an array of {n_dimensions} dimensions"
        raise ValueError(message)
    shape = struct.unpack_from(f"<{n_dimensions}Q", data, 2)
    start = 2 + 8 * n_dimensions
    dtype = np.dtype(bytes(data[start : start + head_length]).decode("ascii"))
    if dtype.kind not in _KINDS:
        message = f"an array of {dtype}"
        raise ValueError(message)
    return np.frombuffer(data[start + head_length :], dtype=dtype).reshape(shape)
