"""The ids of an account's last few records, as they stood at each look."""

import numpy as np
import numpy.typing as npt
from numba import njit

from copycatch.records.columns import IntArray


@njit(cache=True)
def _fold_ids(rows, codes, due_events, ring, ring_at, out):  # type: ignore[no-untyped-def]
    n_kept = ring.shape[1]
    due = 0
    for i in range(len(rows)):
        row = rows[i]
        if row >= 0:
            ring[row, ring_at[row] % n_kept] = codes[i]
            ring_at[row] += 1
        if due < len(due_events) and due_events[due] == i:
            for k in range(n_kept):  # oldest first
                out[due, k] = ring[row, (ring_at[row] + k) % n_kept]
            due += 1


def sample_ids(
    event_ids: list[str],
    rows: IntArray,
    due_events: IntArray,
    ring: npt.NDArray[np.bytes_],
    ring_at: IntArray,
) -> list[list[str]]:
    """Write the records' ids to their accounts' rings and read the ring out at each look.

    Ids longer than the ring's width are cut there and therefore left out, except the look's own record, which
    is always named in full.

    Parameters
    ----------
    event_ids : list of str, length n
    rows : ndarray of int64, shape (n,)
    due_events : ndarray of int64, ascending
        Positions of the records that made their account due.
    ring : ndarray of bytes, shape (n_rows, n_kept)
        Changed in place.
    ring_at : ndarray of int64, shape (n_rows,)
        Ids ever written per row; changed in place.

    Returns
    -------
    list of list of str
        One list a look, oldest first, the look's own record last.

    Examples
    --------
    >>> ring, at = np.zeros((1, 2), dtype="S4"), np.zeros(1, dtype=np.int64)
    >>> sample_ids(["a", "b", "c", "too long"], np.zeros(4, np.int64), np.array([2, 3]), ring, at)
    [['b', 'c'], ['c', 'too long']]
    """
    width = ring.dtype.itemsize
    encoded = [event_id.encode() for event_id in event_ids]
    whole = [code if len(code) <= width else b"" for code in encoded]
    codes = np.array(whole, dtype=ring.dtype).view(np.uint8).reshape(len(event_ids), width)
    out = np.zeros((len(due_events), ring.shape[1], width), dtype=np.uint8)
    _fold_ids(rows, codes, due_events, ring.view(np.uint8).reshape(*ring.shape, width), ring_at, out)
    texts = out.view(ring.dtype)[:, :, 0].tolist()
    return [
        [*(text.decode(errors="replace") for text in each[:-1] if text), event_ids[event]]
        for each, event in zip(texts, due_events.tolist(), strict=True)
    ]
