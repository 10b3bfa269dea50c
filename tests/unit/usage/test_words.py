"""Words of texts, and what they ask for."""

import pytest

from copycatch.space.lexicon import hash_tokens
from copycatch.usage.words import TAIL_CHARS, WORD_CELLS, Said, Words, words_of


def read(*texts: str) -> Words:
    return words_of(texts, Said(*hash_tokens(texts)))


@pytest.mark.parametrize(
    "text",
    ["Explain it.", "Und warum ist das so?", "Raisonnement, étape", "razonamiento paso a paso", "perché?"],
)
def test_reasons_are_asked_for_in_several_languages(text: str) -> None:
    assert read(text).reasons.tolist() == [True]


def test_one_word_of_grading_is_no_request_for_grades() -> None:
    found = read(
        "What is the exchange rate?", "Rate, rate, rate", "Score it by this rubric", "Bewerte: Punkte"
    )
    assert found.grades.tolist() == [False, False, True, True]


def test_the_end_of_a_long_text_is_read_too() -> None:
    filler = "lorem ipsum dolor " * 300
    assert read(filler + "Now justify your rating by the criteria.").reasons.tolist() == [True]
    middle = filler + "justify" + " amet" * TAIL_CHARS
    assert read(middle).reasons.tolist() == [False]  # who hides it there is read less


def test_the_set_holds_each_word_once() -> None:
    found = read("blue sky blue sky", "")
    assert found.bits.shape == (2, WORD_CELLS)
    assert sum(int(cell).bit_count() for cell in found.bits[0]) == 2
    assert not found.bits[1].any()
    assert found.counts.tolist() == [4.0, 0.0]
