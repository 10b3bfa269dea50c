"""Embeddings of raw text, for records that bring none.

WordLlama [1]_ is a table of 64-dimensional token vectors whose weights ship in its wheel: no network, no
accelerator, no tokenizer download, about 14,000 short texts a second on one core.

References
----------
.. [1] Miller, WordLlama: recycled token embeddings from large language models, 2024.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from copycatch.records.columns import Float32Array

EMBEDDING_LENGTH = 64
TEXT_CHARS_USED_MAX = (
    2_000  # the mean of token vectors has settled long before; bounds the cost of one record
)
CACHE_TEXTS_MAX = 50_000  # 64 float32 each: about 18 MB with the keys


class Embedder(Protocol):
    """Texts to vectors; a pure function of each text."""

    def embed_many(self, texts: Sequence[str]) -> Float32Array:
        """Vectors of the texts, float32 (n_texts, EMBEDDING_LENGTH)."""


class WordLlamaEmbedder:
    """WordLlama with a bounded cache of texts seen lately; loads its weights at the first text."""

    def __init__(self) -> None:
        self._model: Any = None
        self._vector_by_text: dict[str, Float32Array] = {}

    def embed_many(self, texts: Sequence[str]) -> Float32Array:
        """Vectors of the texts; an empty text gives zeros.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        ndarray of float32, shape (n_texts, 64)

        Examples
        --------
        >>> vectors = WordLlamaEmbedder().embed_many(["where is my card", "my card is where?", "sing a song"])
        >>> bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
        True
        """
        cut = [text[:TEXT_CHARS_USED_MAX] for text in texts]
        cache = self._vector_by_text
        unseen = [text for text in dict.fromkeys(cut) if text not in cache]
        fresh: dict[str, Float32Array] = {}
        if unseen:
            fresh = dict(zip(unseen, self._embed(unseen), strict=True))
        vectors = np.zeros((len(cut), EMBEDDING_LENGTH), dtype=np.float32)
        for index, text in enumerate(cut):
            vectors[index] = fresh[text] if text in fresh else cache[text]
        if len(cache) + len(fresh) > CACHE_TEXTS_MAX:
            cache.clear()
        cache.update(list(fresh.items())[:CACHE_TEXTS_MAX])
        return vectors

    def _embed(self, texts: list[str]) -> Float32Array:
        if self._model is None:
            self._model = _load_model()
        # One text alone and one text among a thousand must give the same vector, so that outcomes do not
        # depend on how batches were cut; padding within a batch does not enter the masked mean.
        vectors: Float32Array = np.asarray(self._model.embed(texts, norm=False), dtype=np.float32)
        norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        unit: Float32Array = np.round(vectors / norms, 4).astype(np.float32)
        return unit


def _load_model() -> Any:
    import wordllama

    return wordllama.WordLlama.load(
        trunc_dim=EMBEDDING_LENGTH,
        cache_dir=Path(wordllama.__file__).parent,
        disable_download=True,
    )
