"""The compiled pass: characters to chunks, chunks to tokens, tokens to one vector a text."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.compiled import njit
from copycatch.embedding.merging import (
    CHUNK_CHARS_MAX,
    KEY_CHARS_MAX,
    KEY_CODES,
    NO_TOKEN,
    find_chunk,
    merge,
    recall,
    remember,
)
from copycatch.embedding.tables import EMBEDDING_LENGTH

SEEN_CHUNKS = 1 << 14
TOKENS_PER_CHAR_MAX = 4  # bytes of an unknown character
ROUNDED_TO = 10_000.0  # vectors have 4 digits
_WHOLE = np.uint64(0xFFFFFFFFFFFFFFFF)


class Room(NamedTuple):
    """Scratch arrays of the pass, and the chunks merged lately: they change its speed, never a vector.

    A *place* is a position in the text behind the space that the vocabulary puts before it: place 0.
    """

    codes: npt.NDArray[np.uint16]  # code of each place
    keys: npt.NDArray[np.uint64]  # the last eight codes up to each place, a byte each
    starts: npt.NDArray[np.int32]  # place where each chunk starts; behind the last one, where it ends
    tokens: npt.NDArray[np.uint16]
    merges: npt.NDArray[np.int64]  # of the neighbours in one chunk
    seen: npt.NDArray[np.uint64]  # (SEEN_CHUNKS, 4) direct-mapped: key, and up to eight tokens


def room_for(n_chars: int) -> Room:
    """Room for texts of at most so many characters."""
    n_places = n_chars + 1
    return Room(
        codes=np.zeros(n_places, dtype=np.uint16),
        keys=np.zeros(n_places, dtype=np.uint64),
        starts=np.zeros(n_places + 1, dtype=np.int32),
        tokens=np.zeros(TOKENS_PER_CHAR_MAX * n_places, dtype=np.uint16),
        merges=np.zeros(CHUNK_CHARS_MAX, dtype=np.int64),
        seen=np.zeros((SEEN_CHUNKS, 4), dtype=np.uint64),
    )


@njit(cache=True)
def _scan(points, tables, room):  # type: ignore[no-untyped-def]
    """Codes, keys and cuts of one text; gives how many chunks there are. No branch depends on the text."""
    codes, joins = tables.codes, tables.joins
    found, keys, starts = room.codes, room.keys, room.starts
    n_joining = np.uint16(len(joins))
    last = codes[32]
    key = np.uint64(last)
    found[0] = last
    keys[0] = key
    starts[0] = 0
    n_chunks = 1
    for i in range(len(points)):
        point = points[i]
        code = codes[point] if point < len(codes) else np.uint16(0)
        joining = code if code < n_joining else np.uint16(0)
        key = (key << np.uint64(8)) | np.uint64(min(KEY_CODES, code))
        found[i + 1] = code
        keys[i + 1] = key
        starts[n_chunks] = i + 1
        n_chunks += joins[last, joining] == 0
        last = joining
    starts[n_chunks] = len(points) + 1
    return n_chunks


@njit(cache=True)
def _spell(point, byte_tokens, tokens, n):  # type: ignore[no-untyped-def]
    """Put the UTF-8 bytes of a character as tokens after `n` others; surrogates are spelled like any."""
    if point < 0x80:
        tokens[n] = byte_tokens[point]
        return n + 1
    if point < 0x800:
        tokens[n] = byte_tokens[0xC0 | (point >> 6)]
        tokens[n + 1] = byte_tokens[0x80 | (point & 0x3F)]
        return n + 2
    if point < 0x10000:
        tokens[n] = byte_tokens[0xE0 | (point >> 12)]
        tokens[n + 1] = byte_tokens[0x80 | ((point >> 6) & 0x3F)]
        tokens[n + 2] = byte_tokens[0x80 | (point & 0x3F)]
        return n + 3
    tokens[n] = byte_tokens[0xF0 | ((point >> 18) & 0x07)]
    tokens[n + 1] = byte_tokens[0x80 | ((point >> 12) & 0x3F)]
    tokens[n + 2] = byte_tokens[0x80 | ((point >> 6) & 0x3F)]
    tokens[n + 3] = byte_tokens[0x80 | (point & 0x3F)]
    return n + 4


@njit(cache=True)
def _key_of(keys, first, n_chars):  # type: ignore[no-untyped-def]
    """Key of a chunk of 1 to KEY_CHARS_MAX characters: the first eight codes, and the others."""
    last = first + n_chars - 1
    if n_chars <= 8:
        return keys[last] & (_WHOLE >> np.uint64(64 - 8 * n_chars)), np.uint64(0)
    return keys[first + 7], keys[last] & ~(_WHOLE << np.uint64(8 * (n_chars - 8)))


@njit(cache=True)
def _tokenize(points, n_chunks, tables, room):  # type: ignore[no-untyped-def]
    """Tokens of the chunks that `_scan` found; gives how many."""
    # Arrays are taken out of their tuples once: each time costs as much as a short chunk.
    chunks, code_tokens, char_merges, pairs = tables.chunks, tables.code_tokens, tables.merges, tables.pairs
    codes, keys, starts, tokens, merges = room.codes, room.keys, room.starts, room.tokens, room.merges
    seen = room.seen
    n, c, first = 0, 0, np.int64(0)
    while c < n_chunks:
        n_chars = np.int64(starts[c + 1]) - first
        if n_chars > CHUNK_CHARS_MAX:
            n_chars = np.int64(CHUNK_CHARS_MAX)
        code = codes[first]
        has_key = n_chars <= KEY_CHARS_MAX
        low, high = _key_of(keys, first, n_chars if has_key else 1)
        token = find_chunk(chunks, low, high) if has_key else NO_TOKEN
        before = n
        if code == 0:
            n = _spell(points[first - 1], tables.byte_tokens, tokens, n)
        elif token != NO_TOKEN:
            tokens[n] = token
            n += 1
        elif has_key:
            n = recall(seen, low, high, tokens, n)
        if n == before:
            tokens[n] = code_tokens[code]
            for i in range(1, n_chars):
                after = codes[first + i]
                tokens[n + i] = code_tokens[after]
                merges[i - 1] = char_merges[code, after]
                code = after
                has_key = has_key and code < KEY_CODES
            n = merge(tokens, n, n + n_chars, merges, pairs)
            if has_key and codes[first] < KEY_CODES:
                remember(seen, low, high, tokens[before:n])
        first += n_chars
        c += first == starts[c + 1]
    return n


@njit(cache=True)
def _put_direction(tokens, n, rows, out):  # type: ignore[no-untyped-def]
    """Sum of the rows of some tokens, of length 1; whole numbers up to one root: the same on every CPU."""
    sums = np.zeros(EMBEDDING_LENGTH, dtype=np.int32)
    for i in range(n):
        row = rows[tokens[i]]
        for d in range(EMBEDDING_LENGTH):
            sums[d] += np.int32(row[d])
    squared = np.int64(0)
    for d in range(EMBEDDING_LENGTH):
        squared += np.int64(sums[d]) * np.int64(sums[d])
    if squared > 0:
        length = np.sqrt(np.float64(squared))
        for d in range(EMBEDDING_LENGTH):
            out[d] = np.float32(np.rint(ROUNDED_TO * sums[d] / length) / ROUNDED_TO)


@njit(cache=True)
def embed_points(points, ends, tables, room, out):  # type: ignore[no-untyped-def]
    """Vector of each text.

    Parameters
    ----------
    points : ndarray of uint32
        Code points of all texts, one after the other.
    ends : ndarray of int64, shape (n_texts,)
        Where each text ends, ascending, at most len(points).
    tables : Tables
    room : Room
        For the longest of the texts.
    out : ndarray of float32, shape (n_texts, EMBEDDING_LENGTH)
        All zero; the row of an empty text stays so.
    """
    start = 0
    for t in range(len(ends)):
        end = ends[t]
        if end > start:
            own = points[start:end]
            n_chunks = _scan(own, tables, room)
            n_tokens = _tokenize(own, n_chunks, tables, room)
            _put_direction(room.tokens, n_tokens, tables.rows, out[t])
        start = end
