"""What the compiled pass reads: a vocabulary, its merges and its vectors as arrays.

Byte-pair encoding joins neighbours by rank, over the whole text. Most pairs of characters (a letter and the
space after it, two ideographs) stand in no token of this vocabulary, so nothing is ever joined across such a
pair and a text may be cut there. What lies between two cuts is a *chunk*: one word, mostly. A chunk that is a
token is found by one exact look-up, any other is merged by rank.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.embedding.merging import (
    NO_MERGE,
    insert_merges,
    insert_tokens,
)
from copycatch.errors import ConfigError

EMBEDDING_LENGTH = 64
SPACE = "▁"  # what the vocabulary writes for a space
CODE_POINTS = 1 << 17  # the planes that the vocabulary draws from; other characters are spelled in bytes
TOKENS_MAX = 1 << 15
CHUNK_SLOTS = 1 << 16
PAIR_SLOTS = 1 << 17
ROW_MAX = 32_767  # of int16
_SPECIAL = frozenset(("<unk>", "<s>", "</s>"))


class Tables(NamedTuple):
    """Arrays of the compiled pass.

    A *code* numbers the characters of the vocabulary: 0 is none of them, 1 to len(joins) - 1 are those that
    occur in tokens of several characters (the most frequent first), the others are tokens by themselves only.
    """

    codes: npt.NDArray[np.uint16]  # (CODE_POINTS,) code of each character
    code_tokens: npt.NDArray[np.uint16]  # (n_codes,) token of each code
    byte_tokens: npt.NDArray[np.uint16]  # (256,) tokens that spell an unknown character in UTF-8
    joins: npt.NDArray[np.uint8]  # (n_joining, n_joining) whether some token holds this pair of codes
    merges: npt.NDArray[
        np.uint32
    ]  # (n_joining, n_joining) of two characters: rank << 15 | token, or NO_MERGE
    chunks: npt.NDArray[np.uint64]  # (CHUNK_SLOTS, 2) hash table: up to 14 codes, and their token
    pairs: npt.NDArray[np.uint64]  # (PAIR_SLOTS,) hash table: two tokens, and their merge
    rows: npt.NDArray[np.int16]  # (n_tokens, EMBEDDING_LENGTH) vectors, in steps of their largest / 32,767


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer by byte-pair encoding with byte fallback, and the vector of each token.

    Parameters
    ----------
    token_by_text : mapping of str to int
        With the tokens `<0x00>` to `<0xFF>`; "▁" stands for a space.
    merges : sequence of (str, str)
        By rank.
    vectors : ndarray of float, shape (n_tokens, at least 64)
    """

    token_by_text: Mapping[str, int]
    merges: Sequence[tuple[str, str]]
    vectors: npt.NDArray[np.floating]


def build_tables(vocabulary: Vocabulary) -> Tables:
    """Tables of a vocabulary; the same vocabulary gives the same bytes.

    Raises
    ------
    ConfigError
        If the vocabulary is not of the expected kind.
    """
    token_by_text = vocabulary.token_by_text
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    _check(vocabulary, spelled)
    other = _SPECIAL.union(spelled)
    plain = [text for text in token_by_text if text not in other]
    code_by_char, n_joining = _codes_of(plain)
    codes = np.zeros(CODE_POINTS, dtype=np.uint16)
    code_tokens = np.zeros(len(code_by_char) + 1, dtype=np.uint16)
    for char, code in code_by_char.items():
        codes[ord(char)] = code
        code_tokens[code] = token_by_text[char]
    all_codes = codes[np.array(["".join(plain)]).view(np.uint32)]
    ends = np.cumsum([len(text) for text in plain])
    is_inside = np.ones(len(all_codes), dtype=bool)
    is_inside[ends - 1] = False
    joins = np.zeros((n_joining, n_joining), dtype=np.uint8)
    inside = np.flatnonzero(is_inside)
    joins[all_codes[inside], all_codes[inside + 1]] = 1
    pairs, char_merges = _merges_of(vocabulary, code_by_char, n_joining)
    chunks = np.zeros((CHUNK_SLOTS, 2), dtype=np.uint64)
    if not insert_tokens(chunks, all_codes, ends, code_tokens, char_merges, pairs):
        msg = f"{len(plain)} tokens do not fit into {CHUNK_SLOTS} slots"
        raise ConfigError(msg)
    codes[ord(" ")] = codes[ord(SPACE)]
    return Tables(
        codes=codes,
        code_tokens=code_tokens,
        byte_tokens=np.array([token_by_text[text] for text in spelled], dtype=np.uint16),
        joins=joins,
        merges=char_merges,
        chunks=chunks,
        pairs=pairs,
        rows=_rows_of(vocabulary.vectors),
    )


def _check(vocabulary: Vocabulary, spelled: Sequence[str]) -> None:
    missing = [text for text in (SPACE, *spelled) if text not in vocabulary.token_by_text]
    if missing:
        msg = f"the vocabulary lacks {missing[0]!r}: not one of byte-pair encoding with byte fallback"
        raise ConfigError(msg)
    n_tokens = len(vocabulary.vectors)
    if n_tokens > TOKENS_MAX or max(vocabulary.token_by_text.values()) >= n_tokens:
        n_texts = len(vocabulary.token_by_text)
        msg = f"{n_tokens} vectors for {n_texts} tokens; expected one each, at most {TOKENS_MAX}"
        raise ConfigError(msg)


def _codes_of(texts: Sequence[str]) -> tuple[dict[str, int], int]:
    """Code of each character, from 1; and how many codes, with 0, occur in texts of several characters."""
    uses = Counter(char for text in texts if len(text) > 1 for char in text)
    joining = sorted(uses, key=lambda char: (-uses[char], char))
    single = {text for text in texts if len(text) == 1}
    alone = sorted(single - uses.keys())
    unknown = [char for char in joining + alone if ord(char) >= CODE_POINTS or char not in single]
    if unknown:
        msg = f"the vocabulary's {unknown[0]!r} is no token by itself, or lies beyond {CODE_POINTS:#x}"
        raise ConfigError(msg)
    return {char: code for code, char in enumerate(joining + alone, start=1)}, len(joining) + 1


def _merges_of(
    vocabulary: Vocabulary, code_by_char: Mapping[str, int], n_joining: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    """Hash table of all merges, and those of two characters by their codes."""
    token_by_text = vocabulary.token_by_text
    firsts = np.array([token_by_text[first] for first, _ in vocabulary.merges])
    seconds = np.array([token_by_text[second] for _, second in vocabulary.merges])
    merges = [rank << 15 | token_by_text[a + b] for rank, (a, b) in enumerate(vocabulary.merges)]
    pairs = np.zeros(PAIR_SLOTS, dtype=np.uint64)
    if not insert_merges(pairs, firsts, seconds, np.array(merges)):
        msg = f"{len(merges)} merges do not fit into {PAIR_SLOTS} slots"
        raise ConfigError(msg)
    char_merges = np.full((n_joining, n_joining), NO_MERGE, dtype=np.uint32)
    for (first, second), each in zip(vocabulary.merges, merges, strict=True):
        if len(first) == len(second) == 1:
            char_merges[code_by_char[first], code_by_char[second]] = each
    return pairs, char_merges


def _rows_of(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.int16]:
    kept = np.asarray(vectors[:, :EMBEDDING_LENGTH], dtype=np.float64)
    if kept.shape[1] != EMBEDDING_LENGTH or not np.isfinite(kept).all() or not kept.any():
        msg = f"vectors of shape {vectors.shape} are not finite, all zero or shorter than {EMBEDDING_LENGTH}"
        raise ConfigError(msg)
    rows: npt.NDArray[np.int16] = np.rint(kept * (ROW_MAX / np.abs(kept).max())).astype(np.int16)
    return rows
