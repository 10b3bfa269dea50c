"""Usage events that a test makes up."""

import numpy as np

from copycatch.records.columns import FloatArray, IntArray
from copycatch.usage.events import UNIT, UsageEvents
from copycatch.usage.layout import VECTOR
from copycatch.usage.words import WORD_CELLS

MINUTE_MS = 60_000


def unit_vectors(n: int, seed: int) -> FloatArray:
    vectors = np.random.default_rng(seed).normal(size=(n, VECTOR))
    units: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def events_for(rows: IntArray, seed: int = 0) -> UsageEvents:
    """Queries of these accounts, a minute apart: prompts anew each time, half of them with one ending.

    All are 40 characters of eight words, one of them new each time; every fourth asks for reasons.
    """
    n, rng = len(rows), np.random.default_rng(seed)
    bits = np.zeros((n, WORD_CELLS), dtype=np.uint64)
    bits[:, 0] = 127
    bits[np.arange(n), 1 + np.arange(n) % (WORD_CELLS - 1)] |= np.uint64(1)
    return UsageEvents(
        rows=rows,
        times_ms=np.arange(n, dtype=np.int64) * MINUTE_MS,
        is_counted=np.ones(n, dtype=np.bool_),
        prompts=rng.integers(1, 1 << 31, n).astype(np.uint32),
        openings=rng.integers(1, 1 << 31, n).astype(np.uint32),
        endings=np.where(np.arange(n) % 2, 7, rng.integers(8, 1 << 31, n)).astype(np.uint32),
        settings=np.full(n, 3, dtype=np.uint32),
        biases=np.zeros(n, dtype=np.uint32),
        asks_many=np.zeros(n, dtype=np.bool_),
        has_vector=np.ones(n, dtype=np.bool_),
        vectors=np.rint(unit_vectors(n, seed) * UNIT).astype(np.int8),
        lengths=np.full(n, np.log1p(40), dtype=np.float32),
        word_bits=bits,
        word_counts=np.full(n, 8, dtype=np.float32),
        reasons=np.arange(n) % 4 == 0,
        grades=np.zeros(n, dtype=np.bool_),
    )


def picked(events: UsageEvents, at: slice) -> UsageEvents:
    return UsageEvents._make(column[at] for column in events)
