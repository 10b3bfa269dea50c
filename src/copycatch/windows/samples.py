"""The ids of an account's last few records, as they stood at each evaluation."""

import numpy as np
import numpy.typing as npt

from copycatch.compiled import njit
from copycatch.records.columns import IntArray
from copycatch.windows.seen import joined


@njit(cache=True)
def _fold_ids(rows, data, starts, due_events, ring, ring_at, out):  # type: ignore[no-untyped-def]
    n_kept, width = ring.shape[1], ring.shape[2]
    due = 0
    for i in range(len(rows)):
        row = rows[i]
        if row >= 0:
            slot = ring[row, ring_at[row] % n_kept]
            slot[:] = 0
            if starts[i + 1] - starts[i] <= width:
                for k in range(starts[i + 1] - starts[i]):
                    slot[k] = data[starts[i] + k]
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
    ring_at: npt.NDArray[np.uint8],
) -> npt.NDArray[np.bytes_]:
    """Write the records' ids to their accounts' rings and copy the ring at each evaluation.

    Ids longer than the ring's width are left out.

    Parameters
    ----------
    event_ids : list of str, length n
    rows : ndarray of int64, shape (n,)
    due_events : ndarray of int64, ascending
        Positions of the records that made their account due.
    ring : ndarray of bytes, shape (n_rows, n_kept)
        Changed in place.
    ring_at : ndarray of uint8, shape (n_rows,)
        Ids written per row; wraps. Changed in place.

    Returns
    -------
    ndarray of bytes, shape (n_due, n_kept)
        Oldest first; for `readable_ids`.

    Examples
    --------
    >>> ring, at = np.zeros((1, 2), dtype="S4"), np.zeros(1, dtype=np.uint8)
    >>> ids = ["a", "b", "c", "too long"]
    >>> found = sample_ids(ids, np.zeros(4, np.int64), np.array([2, 3]), ring, at)
    >>> readable_ids(found, ids[2:])
    [['b', 'c'], ['c', 'too long']]
    """
    width = ring.dtype.itemsize
    data, starts = joined(event_ids)
    out = np.zeros((len(due_events), ring.shape[1], width), dtype=np.uint8)
    in_bytes = ring.view(np.uint8).reshape(*ring.shape, width)
    _fold_ids(rows, data, starts, due_events, in_bytes, ring_at, out)
    found: npt.NDArray[np.bytes_] = out.view(ring.dtype)[:, :, 0]
    return found


def readable_ids(sampled: npt.NDArray[np.bytes_], newest: list[str]) -> list[list[str]]:
    """Lists of ids, oldest first; each evaluation's own record last and in full, however long its id."""
    return [
        [*(text.decode(errors="replace") for text in each[:-1] if text), own]
        for each, own in zip(sampled.tolist(), newest, strict=True)
    ]
