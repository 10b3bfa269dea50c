"""Which words and pairs of words are usual: hashed counts of accounts, one vote an account."""

import numpy as np
from numba import njit

from copycatch.records.columns import IntArray, Uint64Array
from copycatch.records.space import Lexicon

WORD_SLOTS = 1 << 15  # 32,768 words: a domain's vocabulary many times over
PAIR_SLOTS = 1 << 17
VOTES_MAX = 250


def empty_lexicon() -> Lexicon:
    """A lexicon that knows nothing.

    Examples
    --------
    >>> int(empty_lexicon().word_votes.sum())
    0
    """
    return Lexicon(
        np.zeros(WORD_SLOTS, dtype=np.uint8), np.zeros(WORD_SLOTS, dtype=np.uint32),
        np.zeros(PAIR_SLOTS, dtype=np.uint8), np.zeros(PAIR_SLOTS, dtype=np.uint32),
    )  # fmt: skip


@njit(cache=True)
def _vote(votes, last, at, account):  # type: ignore[no-untyped-def]
    if votes[at] == 0 or last[at] != account:
        last[at] = account
        if votes[at] < VOTES_MAX:
            votes[at] += 1


@njit(cache=True)
def _learn(words, account, word_votes, word_last, pair_votes, pair_last):  # type: ignore[no-untyped-def]
    word_mask, pair_mask = np.uint64(len(word_votes) - 1), np.uint64(len(pair_votes) - 1)
    for w in range(len(words)):
        _vote(word_votes, word_last, words[w] & word_mask, account)
        if w:
            mixed = (words[w - 1] * np.uint64(0x9E3779B97F4A7C15)) ^ words[w]
            pair = (mixed * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(20)
            _vote(pair_votes, pair_last, pair & pair_mask, account)


def learn_tokens(lexicon: Lexicon, words: Uint64Array, account_hash: int) -> None:
    """Let an account vote for the words of one text; changes the lexicon.

    An account that votes again right after itself is not counted twice; one that takes turns with another may
    be, which a threshold of two accounts bears.
    """
    _learn(words, np.uint32(account_hash & 0xFFFFFFFF), lexicon.word_votes, lexicon.word_last,
           lexicon.pair_votes, lexicon.pair_last)  # fmt: skip


def share_of_new_pairs(lexicon: Lexicon, texts: list[tuple[int, Uint64Array]]) -> np.ndarray:
    """Share of new pairs of each (account, words), as `signals.words` counts them, float64 (n,)."""
    shares = np.full(len(texts), np.nan)
    for index, (account_hash, words) in enumerate(texts):
        known = lexicon.word_votes[(words & np.uint64(WORD_SLOTS - 1)).astype(np.int64)] >= 2
        both = known[1:] & known[:-1]
        if both.any():
            mixed = (words[:-1] * np.uint64(0x9E3779B97F4A7C15)) ^ words[1:]
            pairs: IntArray = (((mixed * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(20))
                               & np.uint64(PAIR_SLOTS - 1)).astype(np.int64)  # fmt: skip
            votes, last = lexicon.pair_votes[pairs], lexicon.pair_last[pairs]
            new = (votes == 0) | ((votes == 1) & (last == np.uint32(account_hash & 0xFFFFFFFF)))
            shares[index] = ((new & both).sum() + 0.25) / (both.sum() + 0.5)
    return shares
