"""A query as the fit sees it."""

from dataclasses import dataclass, field

import numpy as np

from copycatch.records.columns import Float32Array, Uint64Array

# One empty array for all: an array object takes 112 bytes.
NO_VECTOR: Float32Array = np.empty(0, dtype=np.float32)
NO_WORDS: Uint64Array = np.empty(0, dtype=np.uint64)


@dataclass(slots=True)
class Query:
    """A usual query: what a model's space is fitted on, and what its reference set holds."""

    account_hash: int
    time_ms: int
    input_hash: int
    label: int
    margin: float
    entropy: float
    vector: Float32Array  # embedding, or numeric input where the log has no embedding
    input_vector: Float32Array = field(default_factory=lambda: NO_VECTOR)  # beside an embedding
    words: Uint64Array = field(default_factory=lambda: NO_WORDS)  # hashed, of a text
