"""What the words of a query tell: which it uses, and whether it asks for reasons or for grades.

Single words in a few languages, not phrases: whether an account asks for reasons more than others do is one
figure of many, and honest tutors and judges have it too.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.compiled import njit
from copycatch.records.columns import BoolArray, IntArray, Uint64Array
from copycatch.space.lexicon import count_words, hash_tokens

WORD_BITS: Final = 4_096
WORD_CELLS: Final = WORD_BITS // 64  # of 64 bits
TAIL_CHARS: Final = 240  # of a long text's end: where instructions often stand
GRADES_MIN: Final = 2  # different words of grading that make a request for grades: one alone is common

_REASONS: Final = (
    "explain explains explained explanation why because reason reasons reasoning think thinking thought "
    "thoughts therefore justify justification rationale chain step steps "
    "warum weil erkläre erklären begründe begründung denke schritt schritte "
    "pourquoi parce explique expliquez raison raisonnement étape étapes "
    "porque explica razona razón razonamiento paso pasos perché spiega ragionamento"
)
_GRADES: Final = (
    "rate rates rating grade grades grading score scores scoring rank ranking rubric rubrics criteria "
    "criterion evaluate evaluation judge judging better compare comparison prefer preferred "
    "bewerte bewertung punkte besser vergleiche évalue évaluez notez meilleur meilleure comparez "
    "evalúa califica puntúa puntuación mejor compara valuta punteggio migliore confronta"
)


@cache  # at the first text: an import shall not run compiled code
def _hashes(words: str) -> Uint64Array:
    found = np.unique(hash_tokens(words.split())[1])
    assert len(found) <= WORD_CELLS
    return found


class Said(NamedTuple):
    """Words that were read elsewhere, as `hash_tokens` gives them."""

    word_starts: IntArray  # (n + 1,)
    words: Uint64Array


class Words(NamedTuple):
    """Columns of texts."""

    bits: Uint64Array  # (n, WORD_CELLS) set of its words
    counts: npt.NDArray[np.float32]  # words read
    reasons: BoolArray  # asks for reasons
    grades: BoolArray  # asks for grades


def words_of(texts: Sequence[str], said: Said) -> Words:
    """Columns of these texts.

    Examples
    --------
    >>> texts = ["Rate it by these criteria", "Why is the sky blue?", "Rate this"]
    >>> found = words_of(texts, Said(*hash_tokens(texts)))
    >>> found.grades.tolist(), found.reasons.tolist(), found.counts.tolist()
    ([True, False, False], [False, True, False], [5.0, 5.0, 2.0])
    """
    n = len(texts)
    tails = [text[-TAIL_CHARS:] if len(text) > TAIL_CHARS else "" for text in texts]
    found = Words(
        np.zeros((n, WORD_CELLS), dtype=np.uint64),
        np.diff(said.word_starts).astype(np.float32),
        np.zeros(n, dtype=np.bool_),
        np.zeros(n, dtype=np.bool_),
    )
    _read(said.word_starts, said.words, *hash_tokens(tails), _hashes(_REASONS), _hashes(_GRADES), found)
    return found


@njit(cache=True)
def _mark(word, known, marks):  # type: ignore[no-untyped-def]
    """The marks with that of this word, where it is one of the known ones."""
    at = np.searchsorted(known, word)
    if at < len(known) and known[at] == word:
        return marks | (np.uint64(1) << np.uint64(at))
    return marks


@njit(cache=True)
def _read(starts, words, tail_starts, tail_words, reasons, grades, found):  # type: ignore[no-untyped-def]
    for i in range(len(starts) - 1):
        of_reasons, of_grades = np.uint64(0), np.uint64(0)
        for w in range(starts[i], starts[i + 1]):
            word = words[w]
            bit = (word * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(52)
            found.bits[i, bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))
            of_reasons, of_grades = _mark(word, reasons, of_reasons), _mark(word, grades, of_grades)
        for w in range(tail_starts[i], tail_starts[i + 1]):
            word = tail_words[w]
            of_reasons, of_grades = _mark(word, reasons, of_reasons), _mark(word, grades, of_grades)
        found.reasons[i] = of_reasons != 0
        found.grades[i] = count_words(of_grades) >= GRADES_MIN
