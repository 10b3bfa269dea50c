"""Texts to vectors."""

from collections.abc import Sequence

import numpy as np

from copycatch.embedding.kernel import Room, embed_points, room_for
from copycatch.embedding.source import read_vocabulary
from copycatch.embedding.tables import EMBEDDING_LENGTH, Tables, build_tables
from copycatch.records.columns import Float32Array

# Bounds the cost of one record. A longer text is embedded by its two ends, so that neither a long preamble
# nor a long appendix alone hides what is asked.
TEXT_CHARS_USED_MAX = 2_000
PART_CHARS = TEXT_CHARS_USED_MAX // 2


class TextEmbedder:
    """Embeds raw text; builds its tables at the first one (.2 s, and some seconds once to compile).

    A text's vector depends on that text alone. One owner: not to be used by several threads at once.

    Attributes
    ----------
    length : int
        Of the vectors.
    """

    length = EMBEDDING_LENGTH

    def __init__(self) -> None:
        self._tables: Tables | None = None
        self._room: Room = room_for(TEXT_CHARS_USED_MAX + 1)

    def embed_many(self, texts: Sequence[str]) -> Float32Array:
        """Vectors of the texts, of length 1 and rounded to 4 digits; an empty text gives zeros.

        Any string is taken. Characters that the vocabulary lacks are spelled in UTF-8, lone surrogates like
        any other; `<s>` is three characters and no mark. Of a text of more than 2,000 characters the first
        and the last 1,000 count.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        ndarray of float32, shape (n_texts, 64)

        Examples
        --------
        >>> vectors = TextEmbedder().embed_many(["where is my card", "my card is where?", "sing a song"])
        >>> bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
        True
        """
        vectors = np.zeros((len(texts), EMBEDDING_LENGTH), dtype=np.float32)
        used = [text if len(text) <= TEXT_CHARS_USED_MAX else shorten(text) for text in texts]
        joined = "".join(used)
        if not joined:
            return vectors
        if self._tables is None:
            self._tables = build_tables(read_vocabulary())
        # numpy keeps a string as its code points, whatever they are: no codec that might refuse some.
        points = np.array([joined]).view(np.uint32)
        ends = np.cumsum([len(text) for text in used])
        embed_points(points, ends, self._tables, self._room, vectors)
        return vectors


def shorten(text: str) -> str:
    """The two ends of a long text.

    Examples
    --------
    >>> len(shorten("a" * 5_000)), shorten("short")
    (2001, 'short')
    """
    if len(text) <= TEXT_CHARS_USED_MAX:
        return text
    return f"{text[:PART_CHARS]} {text[-PART_CHARS:]}"
