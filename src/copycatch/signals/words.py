"""Words of texts as numbers, and how usual they are.

Known words in pairs that nobody ever wrote are what is left when texts are spliced, or words replaced to move
a text across a boundary; words that nobody else uses mean another domain. No dictionary and no language is
assumed: a word is a run of letters, digits, apostrophes and bytes above 127.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from copycatch.records.columns import Float32Array, IntArray, Uint64Array
from copycatch.records.space import Lexicon

TOKENS_MAX = 64  # of one text: enough to judge it, bounds the cost of a long prompt
BYTES_MAX = 1_000
ACCOUNTS_KNOWN_MIN = 2  # a word is known when two accounts use it
PRIOR = 0.25  # of a new pair, against 0.5 pairs: a text of two words must not count as wholly new


@njit(cache=True)
def _hash_words(buffer, starts, counts, words):  # type: ignore[no-untyped-def]
    total = 0
    for i in range(len(starts) - 1):
        first = total
        value, length = np.uint64(1469598103934665603), 0
        for b in range(starts[i], starts[i + 1] + 1):
            c = buffer[b] if b < starts[i + 1] else np.uint8(32)
            if 65 <= c <= 90:
                c += np.uint8(32)
            if 97 <= c <= 122 or 48 <= c <= 57 or c == 39 or c >= 128:
                value = (value ^ np.uint64(c)) * np.uint64(1099511628211)
                length += 1
            elif length:
                if total - first < TOKENS_MAX:
                    words[total] = value ^ (value >> np.uint64(29))
                    total += 1
                value, length = np.uint64(1469598103934665603), 0
        counts[i] = total - first
    return total


def hash_tokens(texts: Sequence[str | None]) -> tuple[IntArray, Uint64Array]:
    """Hashed words of each text, end to end.

    Returns
    -------
    starts : ndarray of int64, shape (n + 1,)
    words : ndarray of uint64
        The words of text i are `words[starts[i]:starts[i + 1]]`.

    Examples
    --------
    >>> starts, words = hash_tokens(["Hello, hello", None, "it's"])
    >>> starts.tolist(), bool(words[0] == words[1])
    ([0, 2, 2, 3], True)
    """
    encoded = [b"" if text is None else text[:BYTES_MAX].encode("utf-8", "surrogatepass") for text in texts]
    lengths = np.array([len(part) for part in encoded], dtype=np.int64)
    byte_starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    buffer = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    words = np.empty(len(buffer) // 2 + len(texts) + 1, dtype=np.uint64)
    counts = np.zeros(len(texts), dtype=np.int64)
    total = _hash_words(buffer, byte_starts, counts, words)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), words[:total].copy()


@njit(cache=True)
def pair_of(first, second):  # type: ignore[no-untyped-def]
    """Hash of two words in order."""
    mixed = ((first * np.uint64(0x9E3779B97F4A7C15)) ^ second) * np.uint64(0xD6E8FEB86659FD93)
    return mixed >> np.uint64(20)


@njit(cache=True)
def _sets(starts, words, out):  # type: ignore[no-untyped-def]
    for i in range(len(starts) - 1):
        seen = np.uint64(0)
        for w in range(starts[i], starts[i + 1]):
            seen |= np.uint64(1) << ((words[w] >> np.uint64(7)) & np.uint64(63))
        out[i] = seen


def token_sets(starts: IntArray, words: Uint64Array) -> Uint64Array:
    """A 64-bit set of each text's words, uint64 (n,): similar texts share most of their bits."""
    out = np.zeros(len(starts) - 1, dtype=np.uint64)
    _sets(starts, words, out)
    return out


@njit(cache=True)
def _novelty(rows, accounts, starts, words, word_votes, word_last, pair_votes, pair_last, out):  # type: ignore[no-untyped-def]
    word_mask, pair_mask = np.uint64(len(word_votes) - 1), np.uint64(len(pair_votes) - 1)
    for k in range(len(rows)):
        i = rows[k]
        n = starts[i + 1] - starts[i]
        if n == 0:
            continue
        unknown = pairs = new = 0
        is_previous_known = False
        for w in range(starts[i], starts[i + 1]):
            at = words[w] & word_mask
            is_known = word_votes[at] >= ACCOUNTS_KNOWN_MIN
            unknown += not is_known
            if is_known and is_previous_known:
                pairs += 1
                at = pair_of(words[w - 1], words[w]) & pair_mask
                votes = pair_votes[at]
                new += votes == 0 or (votes == 1 and pair_last[at] == accounts[k])
            is_previous_known = is_known
        out[k, 0] = unknown / n
        if pairs:
            out[k, 1] = (new + PRIOR) / (pairs + 2 * PRIOR)


def token_novelty(
    rows: IntArray, account_hashes: IntArray, starts: IntArray, words: Uint64Array, lexicon: Lexicon
) -> Float32Array:
    """Share of unknown words, and share of new pairs among neighbouring known words, of some texts.

    Parameters
    ----------
    rows : ndarray of int64, shape (k,)
        Which texts.
    account_hashes : ndarray of int64, shape (k,)
    starts, words
        As `hash_tokens` gives them.
    lexicon : Lexicon

    Returns
    -------
    ndarray of float32, shape (k, 2)
        NaN where there is no word, or no pair of known words.
    """
    out = np.full((len(rows), 2), np.nan, dtype=np.float32)
    accounts = (account_hashes & 0xFFFFFFFF).astype(np.uint32)
    _novelty(rows, accounts, starts, words, lexicon.word_votes, lexicon.word_last, lexicon.pair_votes,
             lexicon.pair_last, out)  # fmt: skip
    return out
