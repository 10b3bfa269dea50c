"""Which records were seen lately: keyed hashes of them in two generations, bounded.

A record is known by its event time, account and id: by its id alone whoever sent all queries under one id
would have all but the first dropped unseen. The hashes are keyed by a secret, else a client that chooses its
ids could make records of its own that count as repeats of others, and are never judged.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from copycatch.compiled import njit
from copycatch.records.columns import BoolArray, IntArray, Uint64Array

# Two generations: a gateway's retries and a producer's resends come within seconds to minutes.
HORIZON_RECORDS = 65_536
SLOTS = 2 * HORIZON_RECORDS  # of a generation's table: half full at most, a MiB; a power of two
KEY_BYTES = 16
_FREE = np.uint64(0)


def joined(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint8], IntArray]:
    """All texts as bytes end to end, and where each starts (and the last one ends).

    Examples
    --------
    >>> data, starts = joined(["a", "", "bc"])
    >>> bytes(data), starts.tolist()
    (b'abc', [0, 1, 1, 3])
    """
    text = "".join(texts)
    if text.isascii():
        data, lengths = text.encode(), list(map(len, texts))
    else:
        encoded = [each.encode("utf-8", "surrogatepass") for each in texts]
        data, lengths = b"".join(encoded), list(map(len, encoded))
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(lengths, out=starts[1:])
    return np.frombuffer(data, dtype=np.uint8), starts


@njit(cache=True)
def _turned(word, bits):  # type: ignore[no-untyped-def]
    return (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))


@njit(cache=True)
def _round(a, b, c, d):  # type: ignore[no-untyped-def]
    a += b
    c += d
    b, d = _turned(b, 13) ^ a, _turned(d, 16) ^ c
    a = _turned(a, 32) + d
    c += b
    b, d = _turned(b, 17) ^ c, _turned(d, 21) ^ a
    return a, b, _turned(c, 32), d


@njit(cache=True)
def _with_word(state, word):  # type: ignore[no-untyped-def]
    a, b, c, d = state
    a, b, c, d = _round(a, b, c, d ^ word)
    return a ^ word, b, c, d


@njit(cache=True)
def _with_bytes(state, data, start, stop):  # type: ignore[no-untyped-def]
    for first in range(start, stop, 8):
        word = np.uint64(0)
        for at in range(first, min(first + 8, stop)):
            word |= np.uint64(data[at]) << np.uint64(8 * (at - first))
        state = _with_word(state, word)
    return state


@njit(cache=True)
def _hash_records(key, times_ms, inputs, accounts, account_starts, ids, id_starts, hashes):  # type: ignore[no-untyped-def]
    """SipHash-1-3 [1]_ of time, input hash, lengths, account and id; never 0.

    .. [1] Aumasson and Bernstein, SipHash: a fast short-input PRF, 2012.
    """
    for i in range(len(times_ms)):
        state = (
            key[0] ^ np.uint64(0x736F6D6570736575),
            key[1] ^ np.uint64(0x646F72616E646F6D),
            key[0] ^ np.uint64(0x6C7967656E657261),
            key[1] ^ np.uint64(0x7465646279746573),
        )
        state = _with_word(state, np.uint64(times_ms[i]))
        state = _with_word(state, inputs[i])
        n_account, n_id = account_starts[i + 1] - account_starts[i], id_starts[i + 1] - id_starts[i]
        state = _with_word(state, (np.uint64(n_account) << np.uint64(32)) | np.uint64(n_id))
        state = _with_bytes(state, accounts, account_starts[i], account_starts[i + 1])
        a, b, c, d = _with_bytes(state, ids, id_starts[i], id_starts[i + 1])
        c ^= np.uint64(0xFF)
        for _ in range(3):
            a, b, c, d = _round(a, b, c, d)
        hashes[i] = max(a ^ b ^ c ^ d, np.uint64(1))


@njit(cache=True)
def _slot_of(hash_, table):  # type: ignore[no-untyped-def]
    """The slot of the hash, or the free one where it would go."""
    last = np.uint64(len(table) - 1)
    at = hash_ & last
    while table[at] not in (_FREE, hash_):
        at = (at + np.uint64(1)) & last
    return at


@njit(cache=True)
def _mark_known(hashes, newer, older, n_newer, horizon, is_known):  # type: ignore[no-untyped-def]
    """Mark what stands in either generation, put the rest in the newer one; gives how many it holds then."""
    for i in range(len(hashes)):
        at = _slot_of(hashes[i], newer)
        if newer[at] == hashes[i] or older[_slot_of(hashes[i], older)] == hashes[i]:
            is_known[i] = True
            continue
        newer[at] = hashes[i]
        n_newer += 1
        if n_newer >= horizon:
            older[:] = newer
            newer[:] = _FREE
            n_newer = 0
    return n_newer


@njit(cache=True)
def _fill(hashes, table):  # type: ignore[no-untyped-def]
    for i in range(len(hashes)):
        table[_slot_of(hashes[i], table)] = hashes[i]


@dataclass(slots=True)
class SeenRecords:
    """The last `HORIZON_RECORDS` to twice that many records.

    Examples
    --------
    >>> seen, times_ms, inputs = SeenRecords(), np.array([5, 5, 5]), np.zeros(3, dtype=np.uint64)
    >>> seen.mark(times_ms, ["x", "x", "x"], ["a", "b", "a"], inputs).tolist()
    [False, False, True]
    >>> seen.mark(times_ms, ["x", "x", "y"], ["b", "c", "a"], inputs).tolist()
    [True, False, False]
    """

    key: bytes = field(default_factory=lambda: secrets.token_bytes(KEY_BYTES))
    newer: Uint64Array = field(default_factory=lambda: np.zeros(SLOTS, dtype=np.uint64))
    older: Uint64Array = field(default_factory=lambda: np.zeros(SLOTS, dtype=np.uint64))
    n_newer: int = 0

    def mark(
        self,
        times_ms: IntArray,
        account_ids: Sequence[str],
        event_ids: Sequence[str],
        input_hashes: Uint64Array,
    ) -> BoolArray:
        """Which of these records were seen before, earlier ones among them included; remembers the rest.

        The input's hash is part of it: clients choose ids, and many questions under one id are many.
        """
        hashes = np.empty(len(times_ms), dtype=np.uint64)
        key = np.frombuffer(self.key, dtype="<u8")
        _hash_records(key, times_ms, input_hashes, *joined(account_ids), *joined(event_ids), hashes)
        is_known = np.zeros(len(hashes), dtype=np.bool_)
        self.n_newer = _mark_known(hashes, self.newer, self.older, self.n_newer, HORIZON_RECORDS, is_known)
        return is_known

    def to_plain(self) -> list[object]:
        """For a snapshot."""
        return [self.key, *(np.sort(table[table != _FREE]) for table in (self.newer, self.older))]

    @classmethod
    def from_plain(cls, plain: Sequence[object]) -> "SeenRecords":
        """What `to_plain` gave.

        Raises
        ------
        ValueError
            If it is anything else.

        Examples
        --------
        >>> seen, inputs = SeenRecords(), np.zeros(1, dtype=np.uint64)
        >>> _ = seen.mark(np.array([5]), ["x"], ["a"], inputs)
        >>> SeenRecords.from_plain(seen.to_plain()).mark(np.array([5]), ["x"], ["a"], inputs).tolist()
        [True]
        """
        key, newer, older = plain
        tables = []
        for hashes in (newer, older):
            if (
                not isinstance(hashes, np.ndarray)
                or hashes.dtype != np.uint64
                or len(hashes) > HORIZON_RECORDS
            ):
                message = f"at most {HORIZON_RECORDS} hashes a generation of records seen"
                raise ValueError(message)
            table = np.zeros(SLOTS, dtype=np.uint64)
            _fill(hashes, table)
            tables.append(table)
        if not isinstance(key, bytes) or len(key) != KEY_BYTES:
            message = f"the key of records seen has {KEY_BYTES} bytes"
            raise ValueError(message)
        return cls(key, tables[0], tables[1], int((tables[0] != _FREE).sum()))
