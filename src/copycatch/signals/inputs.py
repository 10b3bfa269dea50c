"""Signals of the input alone: how much its characters or values vary."""

from collections.abc import Sequence

import numpy as np

from copycatch.compiled import njit
from copycatch.records.columns import Float32Array

ENTROPY_CHARS_MAX = 1_000  # the estimate has settled; bounds the cost of one long prompt
EDGE_Z = 3.0  # beyond three usual spreads a value lies at the edge
VALUE_BINS = 16


@njit(cache=True)
def _byte_entropies(buffer, starts, out):  # type: ignore[no-untyped-def]
    counts = np.empty(256, dtype=np.int64)
    for i in range(len(starts) - 1):
        n = starts[i + 1] - starts[i]
        if n == 0:
            continue
        counts[:] = 0
        for b in range(starts[i], starts[i + 1]):
            counts[buffer[b]] += 1
        entropy = 0.0
        for count in counts:
            if count:
                entropy -= count / n * np.log2(count / n)
        out[i] = max(entropy, 0.0)


def byte_entropies(texts: Sequence[str | None]) -> Float32Array:
    """Entropy of the bytes of each text in bits, float32 (n,); NaN where there is no text.

    Examples
    --------
    >>> byte_entropies(["aaaa", "abab", None]).tolist()
    [0.0, 1.0, nan]
    """
    out = np.full(len(texts), np.nan, dtype=np.float32)
    encoded = [
        b"" if text is None else text[:ENTROPY_CHARS_MAX].encode("utf-8", "surrogatepass") for text in texts
    ]
    starts = np.concatenate([[0], np.cumsum([len(part) for part in encoded])]).astype(np.int64)
    _byte_entropies(np.frombuffer(b"".join(encoded), dtype=np.uint8), starts, out)
    return out


@njit(cache=True)
def _value_signals(standardised, out):  # type: ignore[no-untyped-def]
    n, d = standardised.shape
    counts = np.empty(VALUE_BINS, dtype=np.int64)
    parts = np.zeros(d + 1)  # of the entropy, by how many values share a bin
    for shared in range(1, d + 1):
        parts[shared] = -shared / d * np.log2(shared / d)
    for i in range(n):
        counts[:] = 0
        at_edge = 0
        for k in range(d):
            value = standardised[i, k]
            at_edge += abs(value) > EDGE_Z
            counts[min(max(int((value + 4) * (VALUE_BINS / 8)), 0), VALUE_BINS - 1)] += 1
        entropy = 0.0
        for count in counts:
            entropy += parts[count]
        out[i, 0] = at_edge / d
        out[i, 1] = max(entropy, 0.0)


def value_signals(standardised: Float32Array) -> Float32Array:
    """Share of values at the edge of their range, and entropy of the quantised values, float32 (n, 2).

    Uniform noise fills all bins alike and reaches the edges; real inputs do neither.

    Examples
    --------
    >>> value_signals(np.zeros((1, 8), dtype=np.float32)).tolist()
    [[0.0, 0.0]]
    """
    out = np.empty((len(standardised), 2), dtype=np.float32)
    _value_signals(np.ascontiguousarray(standardised), out)
    return out
