"""Signals of the input alone: how much its characters or values vary."""

from collections.abc import Sequence

import numpy as np

from copycatch.records.columns import Float32Array

ENTROPY_CHARS_MAX = 1_000  # the estimate has settled; bounds the cost of one long prompt
EDGE_Z = 3.0  # beyond three usual spreads a value lies at the edge
VALUE_BINS = 16


def byte_entropy(text: str) -> float:
    """Shannon entropy of the characters of a text, in bits per character.

    Examples
    --------
    >>> byte_entropy("aaaa"), byte_entropy("abab")
    (0.0, 1.0)
    """
    counts = np.unique(np.frombuffer(text[:ENTROPY_CHARS_MAX].encode("utf-32-le", "surrogatepass"), "<u4"),
                       return_counts=True)[1]  # fmt: skip
    if not len(counts):
        return float("nan")
    shares = counts / counts.sum()
    return float(np.abs((shares * np.log2(shares)).sum()))


def text_signals(texts: Sequence[str | None]) -> Float32Array:
    """Character entropy (bits) and log length of each text, float32 (n, 2); NaN where there is no text."""
    out = np.full((len(texts), 2), np.nan, dtype=np.float32)
    for row, text in enumerate(texts):
        if text:
            out[row] = byte_entropy(text), np.log(len(text))
    return out


def value_signals(standardised: Float32Array) -> Float32Array:
    """Share of values at the edge of their range, and entropy of the quantised values, float32 (n, 2).

    Uniform noise fills all bins alike and reaches the edges; real inputs do neither.

    Examples
    --------
    >>> value_signals(np.zeros((1, 8), dtype=np.float32)).tolist()
    [[0.0, 0.0]]
    """
    out = np.empty((len(standardised), 2), dtype=np.float32)
    out[:, 0] = (np.abs(standardised) > EDGE_Z).mean(axis=1)
    bins = np.clip(((standardised + 4) * (VALUE_BINS / 8)).astype(np.int64), 0, VALUE_BINS - 1)
    counts = np.zeros((len(bins), VALUE_BINS), dtype=np.float32)
    np.add.at(counts, (np.arange(len(bins))[:, None], bins), 1)
    shares = counts / standardised.shape[1]
    out[:, 1] = np.abs((shares * np.log2(np.maximum(shares, np.float32(1e-12)))).sum(axis=1))
    return out
