"""From records to what a usage row is told of each."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.compiled import njit
from copycatch.records.columns import BoolArray, Float32Array, IntArray, RecordBatch, Uint64Array, VectorBlock
from copycatch.usage.layout import VECTOR
from copycatch.usage.words import Said, words_of

EDGE_CHARS: Final = 24
UNIT: Final = 127

Hashes = npt.NDArray[np.uint32]


class UsageEvents(NamedTuple):
    """Columns of records in order of arrival; hashes are 0 where there is nothing."""

    rows: IntArray  # of their accounts, -1 where there is none
    times_ms: IntArray
    is_counted: BoolArray  # answered, with text, and without a label
    prompts: Hashes
    openings: Hashes  # first characters
    endings: Hashes  # last characters
    settings: Hashes  # options without the logit bias
    biases: Hashes
    asks_many: BoolArray
    has_vector: BoolArray
    vectors: npt.NDArray[np.int8]  # (n, VECTOR), unit vectors times 127
    lengths: Float32Array  # log(1 + characters)
    word_bits: Uint64Array  # (n, WORD_CELLS) set of its words
    word_counts: Float32Array
    reasons: BoolArray  # has words that ask for reasons
    grades: BoolArray  # asks for grades


def picked(events: UsageEvents, at: IntArray) -> UsageEvents:
    """Some of the events, in this order."""
    return UsageEvents._make(column[at] for column in events)


def joined(parts: Sequence[UsageEvents]) -> UsageEvents:
    """One after another."""
    return UsageEvents._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def events_of(batch: RecordBatch, rows: IntArray, is_answered: BoolArray, said: Said) -> UsageEvents | None:
    """What the records tell; None where none of them is a query of a language model.

    Parameters
    ----------
    batch : RecordBatch
    rows : ndarray of int64, shape (n,)
    is_answered : ndarray of bool, shape (n,)
    said : Said
        Of the batch's texts.
    """
    if batch.texts.count(None) == len(batch):
        return None
    has_text = np.array([text is not None for text in batch.texts], dtype=np.bool_)
    is_counted = has_text & is_answered & (batch.label_codes < 0) & (rows >= 0)
    if not is_counted.any():
        return None
    texts = [text if text and counts else "" for text, counts in zip(batch.texts, is_counted, strict=True)]
    vectors, has_vector = _vectors_of(batch.embeddings, len(batch))
    words = words_of(texts, said)
    return UsageEvents(
        rows=rows,
        times_ms=batch.event_times_ms,
        is_counted=is_counted,
        prompts=_halved(batch.input_hashes),
        openings=_edges([text[:EDGE_CHARS] for text in texts]),
        endings=_edges([text[-EDGE_CHARS:] for text in texts]),
        settings=batch.settings_hashes,
        biases=batch.bias_hashes,
        asks_many=batch.choices > 1,
        has_vector=has_vector & is_counted,
        vectors=vectors,
        lengths=np.log1p(np.array([len(text) for text in texts], dtype=np.float32)),
        word_bits=words.bits,
        word_counts=words.counts,
        reasons=words.reasons,
        grades=words.grades,
    )


def _halved(hashes: npt.NDArray[np.uint64]) -> Hashes:
    """32 bits of 64, 0 only for 0."""
    halves: Hashes = (hashes ^ (hashes >> np.uint64(32))).astype(np.uint32)
    halves[(hashes != 0) & (halves == 0)] = 1
    return halves


def _edges(texts: Sequence[str]) -> Hashes:
    chars = np.array(texts, dtype=f"U{EDGE_CHARS}").view(np.uint32).reshape(len(texts), -1)
    hashes: Hashes = _hash_rows(chars)
    return hashes


@njit(cache=True)
def _hash_rows(chars):  # type: ignore[no-untyped-def]
    """A hash of each row of characters; 0 for an empty one."""
    found = np.zeros(len(chars), dtype=np.uint32)
    for index in range(len(chars)):
        if chars[index, 0] == 0:
            continue
        state = np.uint64(0x9E3779B97F4A7C15)
        for at in range(chars.shape[1]):
            state = (state ^ np.uint64(chars[index, at])) * np.uint64(0xFF51AFD7ED558CCD)
            state ^= state >> np.uint64(29)
        found[index] = max(np.uint32(state >> np.uint64(32)), np.uint32(1))
    return found


def _vectors_of(blocks: Sequence[VectorBlock], n: int) -> tuple[npt.NDArray[np.int8], BoolArray]:
    """Vectors as long as our own embedder's; those of other lengths are another embedder's."""
    vectors, has_vector = np.zeros((n, VECTOR), dtype=np.int8), np.zeros(n, dtype=np.bool_)
    for block in blocks:
        if block.values.shape[1] != VECTOR:
            continue
        units, is_known = as_unit_bytes(block.values)
        vectors[block.rows[is_known]] = units
        has_vector[block.rows[is_known]] = True
    return vectors, has_vector


def as_unit_bytes(vectors: Float32Array) -> tuple[npt.NDArray[np.int8], BoolArray]:
    """Unit vectors times 127 of those that have a length, and which these are, bool (n,)."""
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1))
    is_known = (lengths > 0) & np.isfinite(lengths)
    units = vectors[is_known] / lengths[is_known, None]
    return np.rint(units * UNIT).astype(np.int8), is_known
