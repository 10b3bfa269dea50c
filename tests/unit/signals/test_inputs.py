"""Signals of the input alone equal the slow obvious form."""

from collections import Counter

import numpy as np
import pytest

from copycatch.signals.elicitation import TEXT_CHARS_MAX, elicitation_of
from copycatch.signals.inputs import EDGE_Z, ENTROPY_CHARS_MAX, VALUE_BINS, byte_entropies, value_signals
from copycatch.space.model import Z_MAX


def entropy_bits(counts: Counter[int]) -> float:
    shares = np.array(list(counts.values())) / sum(counts.values())
    return float(-(shares * np.log2(shares)).sum())


TEXTS = ("hello there", "ä" * 7 + "b", "\ud800x", "\x00\x00\x01", "ab" * ENTROPY_CHARS_MAX)


@pytest.mark.parametrize("text", TEXTS)
def test_entropy_of_a_text_is_that_of_its_first_bytes(text: str) -> None:
    data = text[:ENTROPY_CHARS_MAX].encode("utf-8", "surrogatepass")
    assert byte_entropies([None, text])[1] == pytest.approx(entropy_bits(Counter(data)), abs=1e-5)


def test_no_text_and_an_empty_one_have_no_entropy() -> None:
    assert np.isnan(byte_entropies([None, ""])).all()
    assert byte_entropies([]).shape == (0,)


def test_values_are_counted_in_bins_and_beyond_the_edge() -> None:
    z = (np.random.default_rng(0).normal(size=(20, 12)) * 2).astype(np.float32)
    got = value_signals(z)
    for row, (edge, entropy) in zip(z, got, strict=True):
        bins = np.clip(np.trunc((row + 4) * (VALUE_BINS / 8)), 0, VALUE_BINS - 1).astype(int)
        assert edge == pytest.approx((abs(row) > EDGE_Z).mean())
        assert entropy == pytest.approx(entropy_bits(Counter(bins.tolist())), abs=1e-5)


def test_values_at_their_limits_fall_into_the_outer_bins() -> None:
    z = np.array([[-Z_MAX, Z_MAX, -Z_MAX, Z_MAX]], dtype=np.float32)
    np.testing.assert_allclose(value_signals(z), [[1.0, 1.0]])


def test_reasoning_is_asked_for_in_several_languages_and_far_down_a_prompt_no_more() -> None:
    texts = [
        "Explain STEP BY STEP",
        "Zeige den Denkprozess",
        "покажи рассуждения",
        "a" * TEXT_CHARS_MAX + "rubric",
    ]
    assert elicitation_of([*texts, "where is my order"]).tolist() == [1, 1, 1, 0, 0]
