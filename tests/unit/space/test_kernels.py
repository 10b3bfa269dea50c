"""Compiled kernels equal the slow obvious form."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from tests.support.streams import WORDS, Normal

from copycatch.records.columns import IntArray
from copycatch.space.lexicon import (
    ACCOUNTS_KNOWN_MIN,
    empty_lexicon,
    hash_tokens,
    learn_tokens,
    token_novelty,
    token_sets,
)
from copycatch.space.model import SKETCH
from copycatch.space.neighbours import compare_with_reference_set
from copycatch.space.transform import class_residuals, multiply, pair_likelihoods, sketches_of, standardise


@pytest.fixture(scope="module")
def normal() -> Normal:
    return Normal()


def test_neighbours_are_those_of_an_exhaustive_search(normal: Normal) -> None:
    rng, space = np.random.default_rng(1), normal.space
    x = normal.draw(rng, 30).astype(np.float32)
    scores = multiply(standardise(x, space.queries), space.queries.basis)
    sketches = sketches_of(scores, space.queries)
    labels: IntArray = normal.label(x).astype(np.int64)
    margins = normal.margins(x).astype(np.float32)
    accounts = rng.integers(1, 41, 30)
    hashes = np.where(np.arange(30) % 5 == 0, space.reference_hashes[np.arange(30)], 0)
    got = compare_with_reference_set(sketches, accounts, hashes, labels, margins, margins, space)
    for i in range(30):
        allowed = (space.reference_accounts != accounts[i]) & (
            (space.reference_hashes != hashes[i]) | (hashes[i] == 0)
        )
        distances = np.sqrt(((space.reference_sketches[allowed] - sketches[i]) ** 2).sum(axis=1))
        nearest = np.argsort(distances)[:8]
        same = space.reference_labels[allowed] == labels[i]
        assert got[i, 0] == pytest.approx(np.log(distances[nearest[0]]), abs=2e-3)
        assert got[i, 1] == pytest.approx(np.log(distances[nearest]).mean(), abs=2e-3)
        assert got[i, 2] == pytest.approx((space.reference_labels[allowed][nearest] == labels[i]).mean())
        assert got[i, 3] == pytest.approx(
            margins[i] - space.reference_margins[allowed][nearest].mean(), abs=1e-4
        )
        assert got[i, 5] == pytest.approx(np.log(distances[same].min()), abs=2e-3)
        assert got[i, 6] == pytest.approx(got[i, 5] - got[i, 0], abs=1e-5)


@pytest.mark.parametrize("n_rows", [7, 8, 70, 480])
def test_of_equal_neighbours_the_first_are_taken(normal: Normal, n_rows: int) -> None:
    rng, space = np.random.default_rng(n_rows), normal.space
    grid = rng.integers(0, 3, (n_rows, SKETCH)).astype(np.float32)
    grid[:, 3:] = 0  # 27 places: many rows at the same distance
    space = replace(
        space, reference_sketches=grid, reference_accounts=space.reference_accounts[:n_rows],
        reference_hashes=space.reference_hashes[:n_rows], reference_labels=space.reference_labels[:n_rows],
        reference_margins=rng.random(n_rows).astype(np.float32),
        reference_entropies=rng.random(n_rows).astype(np.float32),
    )  # fmt: skip
    sketches = rng.integers(0, 3, (40, SKETCH)).astype(np.float32)
    sketches[:, 3:] = 0
    accounts, labels = rng.integers(1, 60, 40), rng.integers(-1, 4, 40)
    ones = np.ones(40, dtype=np.float32)
    got = compare_with_reference_set(
        sketches, accounts, np.zeros(40, dtype=np.int64), labels, ones, ones, space
    )
    for i in range(40):
        squares = ((space.reference_sketches - sketches[i]) ** 2).sum(axis=1)
        squares[space.reference_accounts == accounts[i]] = np.inf
        nearest = np.argsort(squares, kind="stable")[:8]
        if len(nearest) < 8 or np.isinf(squares[nearest[-1]]):
            assert np.isnan(got[i]).all()
            continue
        assert got[i, 1] == pytest.approx(0.5 * np.log(squares[nearest] + 1e-6).mean(), abs=1e-5)
        assert got[i, 3] == pytest.approx(1 - space.reference_margins[nearest].mean(), abs=1e-5)
        assert got[i, 4] == pytest.approx(1 - space.reference_entropies[nearest].mean(), abs=1e-5)


def test_pair_likelihood_is_the_mean_of_table_entries(normal: Normal) -> None:
    frame = normal.space.queries
    z = standardise(normal.draw(np.random.default_rng(2), 20).astype(np.float32), frame)
    bins = np.clip(np.floor(z * 2).astype(int) + 4, 0, 7)
    slow = [
        np.mean([frame.pair_logs[k, row[k] * 8 + row[frame.partners[k]]] for k in range(len(row))])
        for row in bins
    ]
    assert pair_likelihoods(z, frame) == pytest.approx(slow, abs=1e-5)


def test_class_residuals_of_usual_queries_are_white(normal: Normal) -> None:
    frame = normal.space.queries
    x = normal.draw(np.random.default_rng(3), 2000).astype(np.float32)
    labels: IntArray = normal.label(x).astype(np.int64)
    scores = multiply(standardise(x, frame), frame.basis)
    residuals, class_log, gap = class_residuals(scores, labels, frame)
    assert np.abs(residuals[:, -8:].mean(axis=0)).max() < 0.3
    # Directions that eight coordinates do not have come first, and are empty.
    assert residuals[:, -8:].std(axis=0) == pytest.approx(np.ones(8), abs=0.5)
    assert (gap >= -1e-5).all()
    unlabelled = class_residuals(scores[:3], np.full(3, -1), frame)
    assert np.isnan(unlabelled[0]).all()
    assert np.isnan(unlabelled[1]).all()
    assert not np.isnan(class_log).any()


def test_words_are_counted_as_a_dictionary_would() -> None:
    rng, lexicon = np.random.default_rng(4), empty_lexicon()
    votes: dict[str, set[int]] = {}
    pair_votes: dict[tuple[str, str], set[int]] = {}
    for account in range(1, 9):
        for _ in range(6):
            words = [str(w) for w in rng.choice(WORDS, 6)]
            learn_tokens(lexicon, hash_tokens([" ".join(words)])[1], account)
            for word in words:
                votes.setdefault(word, set()).add(account)
            for pair in itertools.pairwise(words):
                pair_votes.setdefault(pair, set()).add(account)
    texts = [" ".join(str(w) for w in rng.choice([*WORDS, "never", "seen"], 7)) for _ in range(40)]
    starts, hashed = hash_tokens(texts)
    got = token_novelty(np.arange(40), np.full(40, 77), starts, hashed, lexicon)
    for text, (unknown, new) in zip(texts, got, strict=True):
        words = text.split()
        known = [len(votes.get(word, ())) >= ACCOUNTS_KNOWN_MIN for word in words]
        assert unknown == pytest.approx(1 - np.mean(known))
        pairs = [p for p, a, b in zip(itertools.pairwise(words), known, known[1:], strict=False) if a and b]
        if pairs:
            expected = (sum(pair not in pair_votes for pair in pairs) + 0.25) / (len(pairs) + 0.5)
            assert new == pytest.approx(expected)


def test_word_sets_share_what_texts_share() -> None:
    starts, words = hash_tokens(["lost my card", "my card lost", "other things entirely", None])
    sets = token_sets(starts, words)
    assert sets[0] == sets[1]
    assert sets[3] == 0
    assert int(sets[0] & sets[2]).bit_count() < 3
