"""Usage events that a test makes up."""

import numpy as np

from copycatch.records.columns import FloatArray, IntArray
from copycatch.usage.events import UNIT, UsageEvents
from copycatch.usage.layout import VECTOR

MINUTE_MS = 60_000


def unit_vectors(n: int, seed: int) -> FloatArray:
    vectors = np.random.default_rng(seed).normal(size=(n, VECTOR))
    units: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def events_for(rows: IntArray, seed: int = 0) -> UsageEvents:
    """Queries of these accounts, a minute apart: prompts anew each time, half of them with one ending."""
    n, rng = len(rows), np.random.default_rng(seed)
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
    )


def picked(events: UsageEvents, at: slice) -> UsageEvents:
    return UsageEvents._make(column[at] for column in events)
