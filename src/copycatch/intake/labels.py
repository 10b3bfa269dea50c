"""Predicted labels as integers that mean the same in every process."""

import hashlib
from collections.abc import Sequence

import numpy as np

from copycatch.records.columns import IntArray

MISSING_LABEL = -1
CACHE_LABELS_MAX = 100_000
_HASHED = 1 << 62  # hashed labels lie above every class index, so that "3" and 3 differ


def code_labels(labels: Sequence[str | int | None], code_by_label: dict[str, int]) -> IntArray:
    """One integer a label; -1 where it is missing.

    Parameters
    ----------
    labels : sequence of str, int or None
    code_by_label : dict of str to int
        A cache that the caller keeps between batches; bounded here.

    Returns
    -------
    ndarray of int64, shape (n,)

    Examples
    --------
    >>> code_labels([3, None, "cat", "cat"], {}).tolist()[:2]
    [3, -1]
    """
    if set(map(type, labels)) == {int}:
        whole = np.array(labels)  # of objects where one does not fit
        if whole.dtype == np.int64 and whole.min() >= 0 and whole.max() < _HASHED:
            return whole
    codes = []
    for label in labels:
        if label is None:
            codes.append(MISSING_LABEL)
        elif isinstance(label, int) and 0 <= label < _HASHED:
            codes.append(label)
        else:
            text = str(label)
            code = code_by_label.get(text)
            if code is None:
                digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
                code = _HASHED | (int.from_bytes(digest, "little") >> 2)
                if len(code_by_label) >= CACHE_LABELS_MAX:
                    code_by_label.clear()
                code_by_label[text] = code
            codes.append(code)
    return np.array(codes, dtype=np.int64)
