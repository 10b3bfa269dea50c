"""What intake asks of an embedder: vectors of raw text, for records that bring none."""

from collections.abc import Sequence
from typing import Protocol

from copycatch.records.columns import Float32Array


class Embedder(Protocol):
    """Texts to vectors; a pure function of each text."""

    @property
    def length(self) -> int:
        """Length of the vectors."""

    def embed_many(self, texts: Sequence[str]) -> Float32Array:
        """Vectors of the texts, float32 (n_texts, length)."""
