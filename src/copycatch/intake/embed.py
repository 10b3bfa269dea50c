"""What intake asks of an embedder: vectors of raw text, for records that bring none."""

from collections.abc import Sequence
from typing import Protocol

from copycatch.records.columns import Float32Array

SHOUTED_CHARS_MIN = 8


class Embedder(Protocol):
    """Texts to vectors; a pure function of each text."""

    @property
    def length(self) -> int:
        """Length of the vectors."""

    def embed_many(self, texts: Sequence[str]) -> Float32Array:
        """Vectors of the texts, float32 (n_texts, length)."""


def is_shouted(text: str) -> bool:
    """Whether most letters are capitals, in a text long enough to tell.

    Examples
    --------
    >>> is_shouted("WHERE IS MY CARD?"), is_shouted("Where is my IBAN?"), is_shouted("OK")
    (True, False, False)
    """
    if text.islower() or len(text) < SHOUTED_CHARS_MIN:
        return False
    capitals = sum(char.isupper() for char in text)
    return capitals > sum(char.islower() for char in text)
