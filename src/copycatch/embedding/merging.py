"""Byte-pair merges of one chunk, and the two hash tables with exact keys that serve it."""

import numpy as np

from copycatch.compiled import njit

CHUNK_CHARS_MAX = 24  # a longer run without a cut is cut there; no token is longer than 16
KEY_CHARS_MAX = 14  # characters that a key of the chunk table holds, 8 + 6, beside a token of 16 bits
KEY_CODES = 255  # codes below this have one byte each in a key; 255 stands for any other, and for no match
PROBES_MAX = 64  # bounds every search; building fails where an entry would lie farther from its place
NO_TOKEN = -1
SEEN_TOKENS_MAX = 8  # tokens that one entry of the chunks merged lately holds
NO_MERGE = 0xFFFFFFFF
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)


@njit(cache=True, inline="always")
def chunk_slot(low, high, n_slots):  # type: ignore[no-untyped-def]
    mixed = (low ^ (high * _MIX)) * _GOLDEN
    return np.int64((mixed >> np.uint64(48)) & np.uint64(n_slots - 1))


@njit(cache=True, inline="always")
def _pair_slot(key, n_slots):  # type: ignore[no-untyped-def]
    return np.int64(((key * _GOLDEN) >> np.uint64(36)) & np.uint64(n_slots - 1))


@njit(cache=True)
def find_chunk(chunks, low, high):  # type: ignore[no-untyped-def]
    """Token of a chunk whose codes are packed in `low` (the first 8) and `high` (6 more), or NO_TOKEN."""
    at = chunk_slot(low, high, len(chunks))
    for _ in range(PROBES_MAX):
        if chunks[at, 0] == low and chunks[at, 1] >> np.uint64(16) == high:
            return np.int64(chunks[at, 1] & np.uint64(0xFFFF))
        if chunks[at, 0] == 0:
            return NO_TOKEN
        at = (at + 1) & (len(chunks) - 1)
    return NO_TOKEN


@njit(cache=True)
def recall(seen, low, high, tokens, n):  # type: ignore[no-untyped-def]
    """Put the tokens of a chunk merged lately after `n` others; gives the new `n`, the old if not held."""
    at = chunk_slot(low, high, len(seen))
    if seen[at, 0] != low or seen[at, 1] >> np.uint64(16) != high:
        return n
    n_tokens = np.int64(seen[at, 1] & np.uint64(0xFFFF))  # at most SEEN_TOKENS_MAX: `remember` sees to it
    for i in range(n_tokens):
        tokens[n + i] = (seen[at, 2 + i // 4] >> np.uint64(16 * (i % 4))) & np.uint64(0xFFFF)
    return n + n_tokens


@njit(cache=True)
def remember(seen, low, high, tokens):  # type: ignore[no-untyped-def]
    """Hold the tokens of a chunk instead of whatever lay in its place."""
    if len(tokens) > SEEN_TOKENS_MAX:
        return
    at = chunk_slot(low, high, len(seen))
    seen[at, 0] = low
    seen[at, 1] = (high << np.uint64(16)) | np.uint64(len(tokens))
    seen[at, 2:] = 0
    for i in range(len(tokens)):
        seen[at, 2 + i // 4] |= np.uint64(tokens[i]) << np.uint64(16 * (i % 4))


@njit(cache=True)
def find_merge(pairs, first, second):  # type: ignore[no-untyped-def]
    """Rank of the merge of two tokens and the token it gives, `rank << 15 | token`, or NO_MERGE."""
    key = np.uint64((first << 15) | second) + np.uint64(1)
    at = _pair_slot(key, len(pairs))
    for _ in range(PROBES_MAX):
        entry = pairs[at]
        if entry >> np.uint64(32) == key:
            return np.int64(entry & np.uint64(0xFFFFFFFF))
        if entry == 0:
            return NO_MERGE
        at = (at + 1) & (len(pairs) - 1)
    return NO_MERGE


@njit(cache=True)
def insert_merges(pairs, firsts, seconds, merges):  # type: ignore[no-untyped-def]
    """Whether every merge found a free slot near enough."""
    for i in range(len(firsts)):
        key = np.uint64((firsts[i] << 15) | seconds[i]) + np.uint64(1)
        at = _pair_slot(key, len(pairs))
        is_in = False
        for _ in range(PROBES_MAX):
            if pairs[at] == 0:
                pairs[at] = (key << np.uint64(32)) | np.uint64(merges[i])
                is_in = True
                break
            at = (at + 1) & (len(pairs) - 1)
        if not is_in:
            return False
    return True


@njit(cache=True)
def merge(tokens, first, after, merges, pairs):  # type: ignore[no-untyped-def]
    """Merge tokens[first:after] in place, lowest rank first, of equals the leftmost; gives the new `after`.

    `merges` holds those of the after - first - 1 neighbours, as `find_merge` gives them.
    """
    n = after - first
    while n > 1:
        best = 0
        for i in range(1, n - 1):
            if merges[i] < merges[best]:
                best = i
        if merges[best] == NO_MERGE:
            break
        tokens[first + best] = merges[best] & 0x7FFF
        n -= 1
        for i in range(best + 1, n):
            tokens[first + i] = tokens[first + i + 1]
            merges[i - 1] = merges[i]
        at = first + best
        if best > 0:
            merges[best - 1] = find_merge(pairs, np.int64(tokens[at - 1]), np.int64(tokens[at]))
        if best < n - 1:
            merges[best] = find_merge(pairs, np.int64(tokens[at]), np.int64(tokens[at + 1]))
    return first + n


@njit(cache=True)
def _insert_chunk(chunks, low, high, token):  # type: ignore[no-untyped-def]
    """Whether there was a free slot near enough; `low` is never 0."""
    at = chunk_slot(low, high, len(chunks))
    for _ in range(PROBES_MAX):
        if chunks[at, 0] == 0:
            chunks[at, 0] = low
            chunks[at, 1] = (high << np.uint64(16)) | np.uint64(token)
            return True
        at = (at + 1) & (len(chunks) - 1)
    return False


@njit(cache=True)
def insert_tokens(chunks, codes, ends, code_tokens, char_merges, pairs):  # type: ignore[no-untyped-def]
    """Fill the chunk table with the tokens that merging makes of their own characters; whether all had room.

    `codes` are those of all tokens, one after the other. A token whose characters are merged into others
    first is left out: it is found in no text.
    """
    tokens = np.empty(CHUNK_CHARS_MAX, dtype=np.uint16)
    merges = np.empty(CHUNK_CHARS_MAX, dtype=np.int64)
    start = 0
    for end in ends:
        own = codes[start:end]
        start = end
        n = len(own)
        if n > KEY_CHARS_MAX or own.max() >= KEY_CODES:
            continue
        key = np.zeros(2, dtype=np.uint64)
        for i in range(n):
            key[i // 8] = (key[i // 8] << np.uint64(8)) | np.uint64(own[i])
            tokens[i] = code_tokens[own[i]]
            if i > 0:
                merges[i - 1] = char_merges[own[i - 1], own[i]]
        if merge(tokens, 0, n, merges, pairs) == 1 and not _insert_chunk(chunks, key[0], key[1], tokens[0]):
            return False
    return True
