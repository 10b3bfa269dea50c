"""What a text costs is bounded by its bytes, whatever they are and whatever lies beside it."""

import time
from collections.abc import Sequence

import pytest
from tests.benchmarks.prompts import hostile_texts, made_texts

from copycatch.embedding.embedder import TextEmbedder

ROUNDS = 7
PER_BYTE_MAX = 8.0  # beside prose; 4.5 measured


@pytest.fixture(scope="module")
def embedder() -> TextEmbedder:
    embedder = TextEmbedder()
    embedder.embed_many(["a"])
    return embedder


@pytest.fixture(scope="module")
def prompts() -> list[str]:
    questions, _ = made_texts(2_400)
    return [" ".join(questions[first : first + 12]) for first in range(0, len(questions), 12)]


def seconds(embedder: TextEmbedder, texts: Sequence[str]) -> float:
    """CPU time of the quickest round: what others do on the machine only adds to it."""
    spent = []
    for _ in range(ROUNDS):
        start_s = time.process_time()
        embedder.embed_many(texts)
        spent.append(time.process_time() - start_s)
    return min(spent)


def n_bytes(texts: Sequence[str]) -> int:
    return sum(len(text.encode(errors="surrogatepass")) for text in texts)


def test_no_text_is_dear_by_its_bytes(embedder: TextEmbedder, prompts: list[str]) -> None:
    usual = seconds(embedder, prompts) / n_bytes(prompts)
    found = {
        kind: seconds(embedder, texts) / n_bytes(texts) / usual for kind, texts in hostile_texts(20).items()
    }
    assert max(found.values()) < PER_BYTE_MAX, found


def test_a_long_text_costs_its_neighbours_nothing(embedder: TextEmbedder, prompts: list[str]) -> None:
    short = [text[:50] for text in prompts * 8]
    chinese = hostile_texts(len(short) // 64)["Chinese"]
    mixed = [
        chinese[row // 64] if row % 64 == 0 else text for row, text in enumerate(short[: len(chinese) * 64])
    ]
    assert seconds(embedder, mixed) < 3 * (seconds(embedder, short) + seconds(embedder, chinese))


def test_no_length_is_beyond_the_bound(embedder: TextEmbedder) -> None:
    long, bound = ["x" * (1 << 18)] * 20, ["x" * 2_000] * 20
    assert seconds(embedder, long) < 3 * seconds(embedder, bound)
