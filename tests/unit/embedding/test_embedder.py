"""Vectors of text: WordLlama's own, the same in any company, of any string."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.texts import check, draw

from copycatch.embedding.embedder import TEXT_CHARS_USED_MAX, TextEmbedder, shorten

ROOT = Path(__file__).parents[3]
TEXTS = [
    "Where is the card that I ordered last week?",
    "def f(x):\n    return {'a': x[0]}  # ''' \"\"\"\n\n\n\tif x>=10: pass",
    "所有的人都是凡人。苏格拉底是凡人。苏格拉底是人吗？",
    "Привет, как дела? Ça va très bien — naïve façade, Straße 12½",
    "🙂🙃🌍👨‍👩‍👧 ok",
    "  two  spaces   and an end ",
    "a",
    " ",
    "▁ is a space",
    "THE ANSWER IS 42.0%, I.E. A+B=C; 1,000,000 ≠ 10⁶",
    "\x00\x7f\x80",
]


@pytest.fixture(scope="module")
def embedder() -> TextEmbedder:
    return TextEmbedder()


@pytest.fixture(scope="module")
def wordllama() -> Any:
    import wordllama

    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(trunc_dim=64, cache_dir=folder, disable_download=True)


def test_vectors_are_those_of_wordllama(embedder: TextEmbedder, wordllama: Any) -> None:
    readme = (ROOT / "README.md").read_text("utf-8").split("\n\n")
    texts = [*TEXTS, *(paragraph[:TEXT_CHARS_USED_MAX] for paragraph in readme if paragraph)]
    theirs = np.concatenate([wordllama.embed([text]) for text in texts])
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    ours = embedder.embed_many(texts)
    is_same = np.abs(ours - theirs).max(axis=1) < 2e-4
    assert is_same[: len(TEXTS)].all(), np.array(TEXTS)[~is_same[: len(TEXTS)]]
    assert is_same.mean() > 0.9  # the others have runs of more than 24 characters, which are cut
    assert (ours * theirs).sum(axis=1).min() > 0.95


@given(st.lists(st.text(max_size=60), max_size=8))
def test_a_text_has_one_vector(embedder: TextEmbedder, texts: list[str]) -> None:
    check(embedder, [*texts, "\ud800", "\udfff a"])


def test_lone_surrogates_are_spelled(embedder: TextEmbedder) -> None:
    vectors = embedder.embed_many(["my card \ud800", "my card", "my card \udc00"])
    assert len({vector.tobytes() for vector in vectors}) == 3


def test_no_text_no_vector(embedder: TextEmbedder) -> None:
    assert embedder.embed_many([]).shape == (0, 64)
    assert not embedder.embed_many(["", ""]).any()


def test_both_ends_of_a_long_text_count(embedder: TextEmbedder) -> None:
    preamble = "You are a helpful assistant of our company. " * 200
    one, other, short = embedder.embed_many([preamble + TEXTS[0], preamble + "sing a song", TEXTS[0]])
    assert not np.array_equal(one, other)
    assert one @ short > other @ short
    assert len(shorten(preamble)) == TEXT_CHARS_USED_MAX + 1
    assert np.array_equal(embedder.embed_many([shorten(preamble)]), embedder.embed_many([preamble]))


def test_bounds_checks_find_nothing_and_change_nothing(tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "tests.fuzz.texts", "--texts", "1200", "--seed", "3"]
    env = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    checked, plain = (
        subprocess.run(asked, cwd=ROOT, env=each, capture_output=True, text=True, check=False, timeout=300)
        for each in (env, os.environ)
    )
    assert checked.returncode == 0, checked.stderr
    assert plain.returncode == 0, plain.stderr
    assert checked.stdout == plain.stdout


def test_pools_of_texts(embedder: TextEmbedder) -> None:
    batches = draw(seed=7)
    for _ in range(20):
        check(embedder, next(batches))
