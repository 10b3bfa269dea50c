"""Words of texts as hashes, and how many accounts used each word and each pair of neighbours.

Texts that are spliced, or whose words are replaced to cross a decision boundary, hold known words in pairs
that nobody wrote before; words that nobody else uses point to another domain. No dictionary and no language
is assumed: a word is a run of letters, digits, apostrophes and bytes above 127.
"""

from collections.abc import Sequence

import numpy as np

from copycatch.compiled import njit
from copycatch.records.columns import Float32Array, IntArray, Uint64Array
from copycatch.space.model import Lexicon

WORD_SLOTS = 1 << 15  # 32,768 words: a domain's vocabulary many times over
PAIR_SLOTS = 1 << 17
VOTES_MAX = 250
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
def count_words(words):  # type: ignore[no-untyped-def]
    """Words in a 64-bit set."""
    count = 0
    while words:
        words &= words - np.uint64(1)
        count += 1
    return count


@njit(cache=True)
def pair_of(first, second):  # type: ignore[no-untyped-def]
    """Hash of two words in order."""
    mixed = ((first * np.uint64(0x9E3779B97F4A7C15)) ^ second) * np.uint64(0xD6E8FEB86659FD93)
    return mixed >> np.uint64(20)


@njit(cache=True)
def _masks(lexicon):  # type: ignore[no-untyped-def]
    """The bits of a hash that name its slot among the words, and among the pairs."""
    return np.uint64(len(lexicon.word_votes) - 1), np.uint64(len(lexicon.pair_votes) - 1)


@njit(cache=True)
def _vote(votes, last, at, account):  # type: ignore[no-untyped-def]
    if votes[at] == 0 or last[at] != account:
        last[at] = account
        if votes[at] < VOTES_MAX:
            votes[at] += 1


@njit(cache=True)
def _learn(words, account, lexicon):  # type: ignore[no-untyped-def]
    word_mask, pair_mask = _masks(lexicon)
    for w in range(len(words)):
        _vote(lexicon.word_votes, lexicon.word_last, words[w] & word_mask, account)
        if w:
            pair = pair_of(words[w - 1], words[w]) & pair_mask
            _vote(lexicon.pair_votes, lexicon.pair_last, pair, account)


def learn_tokens(lexicon: Lexicon, words: Uint64Array, account_hash: int) -> None:
    """Let an account vote for the words of one text; changes the lexicon.

    An account that votes again right after itself is not counted twice. One that takes turns with another may
    be; a threshold of two accounts can bear that.
    """
    _learn(words, np.uint32(account_hash & 0xFFFFFFFF), lexicon)


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
def _novelty(rows, accounts, starts, words, lexicon, out):  # type: ignore[no-untyped-def]
    word_mask, pair_mask = _masks(lexicon)
    for k in range(len(rows)):
        i = rows[k]
        n = starts[i + 1] - starts[i]
        if n == 0:
            continue
        unknown = pairs = new = 0
        is_previous_known = False
        for w in range(starts[i], starts[i + 1]):
            at = words[w] & word_mask
            is_known = lexicon.word_votes[at] >= ACCOUNTS_KNOWN_MIN
            unknown += not is_known
            if is_known and is_previous_known:
                pairs += 1
                at = pair_of(words[w - 1], words[w]) & pair_mask
                votes = lexicon.pair_votes[at]
                new += votes == 0 or (votes == 1 and lexicon.pair_last[at] == accounts[k])
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
    _novelty(rows, accounts, starts, words, lexicon, out)
    return out


def forget_voter(lexicon: Lexicon, account_hash: int) -> None:
    """Forget where an account voted last; the counts of words stay. Changes the lexicon."""
    mark = np.uint32(account_hash & 0xFFFFFFFF)
    for last in (lexicon.word_last, lexicon.pair_last):
        last[last == mark] = 0
