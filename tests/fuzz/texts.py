"""Any text, however cut into batches: one vector, finite, of length 1. Run by hand with bounds checks:

    NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(mktemp -d) python -m tests.fuzz.texts --seconds 3600

With --texts instead of --seconds it prints a digest of the vectors, the same with and without those checks.
"""

import argparse
import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from copycatch.embedding.embedder import TEXT_CHARS_USED_MAX, TextEmbedder
from copycatch.embedding.source import read_vocabulary

Rng = np.random.Generator
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MARKS = "{}[]()<>/\\|-_=+*&^%$#@!~`;:,.?\"'"
ALPHABETS = (
    LETTERS,
    LETTERS + " ",
    LETTERS.upper(),
    MARKS,
    "0123456789 ",
    " ",
    "▁ a",
    "a",
    "\x00\n\t\r ",
    "абвгдежзийклмнопрстуфхцчшщъыьэюя ",
    "".join(map(chr, range(0xA0, 0x250))),
    "".join(map(chr, range(0x300, 0x370))) + "ea\u200d\ufe0f",
    "".join(map(chr, range(0x4E00, 0x9FFF))),
    "".join(map(chr, range(0x1F300, 0x1F700))),
    "".join(map(chr, range(0xD7F0, 0xE010))),
    "".join(map(chr, (0x1FFFF, 0x20000, 0x10FFFF, 0xFFFF, 0x10000, 0x7F, 0x80, 0x7FF, 0x800))),
)


def makers() -> list[Callable[[Rng, int], str]]:
    """Ways to draw a text of about so many characters."""
    tokens = [text.replace("▁", " ") for text in read_vocabulary().token_by_text]

    def of_tokens(rng: Rng, n: int) -> str:
        return "".join(tokens[i] for i in rng.integers(len(tokens), size=n // 4 + 1))[:n]

    def of_any(rng: Rng, n: int) -> str:
        return "".join(map(chr, rng.integers(0x110000, size=n)))

    def of_bytes(rng: Rng, n: int) -> str:
        return rng.bytes(n).decode("utf-8", errors="surrogateescape")

    def of_alphabet(rng: Rng, n: int) -> str:
        alphabet = ALPHABETS[rng.integers(len(ALPHABETS))]
        return "".join(alphabet[i] for i in rng.integers(len(alphabet), size=n))

    def of_parts(rng: Rng, n: int) -> str:
        parts = [make(rng, n // 4) for make in (of_tokens, of_any, of_alphabet, of_alphabet)]
        rng.shuffle(parts)
        return "".join(parts)

    return [of_tokens, of_any, of_bytes, of_alphabet, of_parts]


def draw(seed: int) -> Iterator[list[str]]:
    """Batches of texts without end; many short ones, some beyond the bound."""
    rng = np.random.default_rng(seed)
    ways = makers()
    while True:
        lengths = np.minimum(rng.geometric(1 / 150, size=40) - 1, TEXT_CHARS_USED_MAX * 2)
        lengths[:2] = rng.integers(TEXT_CHARS_USED_MAX - 2, TEXT_CHARS_USED_MAX * 2, size=2)
        yield [ways[rng.integers(len(ways))](rng, int(n)) for n in lengths]


def check(embedder: TextEmbedder, texts: Sequence[str]) -> np.ndarray:
    """Vectors of a batch, which are those of each text by itself, in any order."""
    vectors = embedder.embed_many(texts)
    again = embedder.embed_many(texts[::-1])[::-1]
    assert vectors.tobytes() == np.ascontiguousarray(again).tobytes(), "depends on the order"
    for text, vector in zip(texts[::7], vectors[::7], strict=True):
        assert embedder.embed_many([text])[0].tobytes() == vector.tobytes(), f"depends on the batch: {text!r}"
    lengths = np.linalg.norm(vectors, axis=1)
    is_empty = np.array([not text for text in texts])
    assert (np.abs(lengths[~is_empty] - 1) < 1e-3).all(), "not of length 1"
    assert not vectors[is_empty].any(), "an empty text has a vector"
    return vectors


def main() -> None:
    """Check batches until the texts or the seconds have passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--texts", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    asked = parser.parse_args()
    end_s = time.monotonic() + asked.seconds
    embedder, digest, n_texts = TextEmbedder(), hashlib.sha256(), 0
    batches = draw(asked.seed)
    for turn in itertools.count():
        if n_texts >= asked.texts and time.monotonic() >= end_s:
            break
        texts = next(batches)
        vectors = check(embedder, texts)
        if turn % 50 == 0:
            assert TextEmbedder().embed_many(texts).tobytes() == vectors.tobytes(), (
                "depends on what came before"
            )
        digest.update(vectors.tobytes())
        n_texts += len(texts)
    print(n_texts, digest.hexdigest())


if __name__ == "__main__":
    main()
