"""From records to what accounts may share: hashes of attributes, and short vectors of what was asked.

All hashes are keyed: who does not know the key cannot make a text or an address that collides with another's.
"""

import ipaddress
from collections.abc import Callable, Sequence
from heapq import nsmallest
from itertools import repeat
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from copycatch.campaigns.fold import CONTEXT, ISSUED_AT, SENT_AT, LinkEvents
from copycatch.campaigns.layout import KINDS, PANE_MS, VECTOR
from copycatch.compiled import njit
from copycatch.records.columns import Float32Array, IntArray, RecordBatch, VectorBlock

SKELETON_CHARS: Final = 24
IPV4_PREFIX: Final = 24
IPV6_PREFIX: Final = 48  # what one subscriber is given
CACHE_NAMES_MAX: Final = 100_000  # about 15 MB; a name seen again within it costs one look-up
MIX: Final = np.uint64(0xFF51AFD7ED558CCD)
SEED: Final = np.uint64(0x9E3779B97F4A7C15)

Hashes = npt.NDArray[np.uint32]


class Attributes:
    """Reads what accounts may share from records; holds caches only.

    Parameters
    ----------
    key : int
        Secret of 64 bits; the same key gives the same hashes over restarts and workers.

    Examples
    --------
    >>> read = Attributes(key=7)
    >>> read.names(0, ["10.0.0.1", None, "10.0.0.9"], network_of)[[0, 1]].tolist()[1]
    0
    """

    def __init__(self, key: int) -> None:
        self._key = key & 0xFFFFFFFFFFFFFFFF
        self._hash_by_name: list[dict[str | None, int]] = [{} for _ in KINDS]

    def events(self, batch: RecordBatch, rows: IntArray) -> LinkEvents:
        """What the records tell, in their order.

        Parameters
        ----------
        batch : RecordBatch
        rows : ndarray of int64, shape (n,)
            Row of each record's account, -1 where it has none.
        """
        n = len(batch)
        found = np.zeros((n, len(KINDS)), dtype=np.uint32)
        found[:, KINDS.index("network")] = self.names(0, batch.client_ips, network_of)
        found[:, KINDS.index("agent")] = self.names(1, batch.user_agents, str)
        found[:, KINDS.index("key")] = self.names(2, batch.api_key_hashes, str)
        found[:, KINDS.index("parameters")] = self._parameters(batch)
        for kind, hashes in (("system", batch.system_hashes), ("tools", batch.tools_hashes)):
            if hashes is not None:
                found[:, KINDS.index(kind)] = self.names(KINDS.index(kind), hashes, str)
        if batch.asns is not None:
            known = batch.asns >= 0
            asns = batch.asns.astype(np.uint32).reshape(-1, 1)
            found[known, KINDS.index("asn")] = _hash_rows(asns, np.uint64(self._key), KINDS.index("asn"))[
                known
            ]
        if batch.texts.count(None) < n:
            openings = [text[:SKELETON_CHARS] if text else "" for text in batch.texts]
            endings = [text[-SKELETON_CHARS:] if text else "" for text in batch.texts]
            found[:, KINDS.index("opening")] = self._skeletons(4, openings)
            found[:, KINDS.index("ending")] = self._skeletons(5, endings)
        contents = (batch.input_hashes ^ (batch.input_hashes >> np.uint64(32))).astype(np.uint32)
        contents[(batch.input_hashes != 0) & (contents == 0)] = 1
        panes = (batch.event_times_ms // PANE_MS).astype(np.int32)
        return LinkEvents(
            rows, panes, batch.event_times_ms, found, contents, vectors_of(batch), contexts_of(batch)
        )

    def names(self, kind: int, names: Sequence[str | None], part_of: Callable[[str], str | None]) -> Hashes:
        """Hashes of the part of each name that may be shared, uint32 (n,); 0 where there is none."""
        if names.count(None) == len(names):
            return np.zeros(len(names), dtype=np.uint32)
        cache = self._hash_by_name[kind]
        if len(cache) > CACHE_NAMES_MAX:
            cache.clear()
        cache[None] = 0
        hashes = list(map(cache.get, names, repeat(-1)))
        if -1 in hashes:
            for index, known in enumerate(hashes):
                if known == -1:
                    name = str(names[index])
                    if name not in cache:
                        cache[name] = self._hash_name(kind, part_of(name))
                    hashes[index] = cache[name]
        return np.array(hashes, dtype=np.uint32)

    def _hash_name(self, kind: int, part: str | None) -> int:
        if not part:
            return 0
        values = np.frombuffer(part.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
        return int(_hash_rows(values.reshape(1, -1), np.uint64(self._key), kind)[0])

    def _skeletons(self, kind: int, texts: list[str]) -> Hashes:
        chars = np.array(texts, dtype=f"U{SKELETON_CHARS}").view(np.uint32).reshape(len(texts), -1)
        hashes: Hashes = _hash_rows(chars, np.uint64(self._key), kind)
        hashes[chars[:, 0] == 0] = 0
        return hashes

    def _parameters(self, batch: RecordBatch) -> Hashes:
        """One hash of all request options; 0 where the record carries none."""
        has_bias = np.where(np.isnan(batch.logit_biases), 0, batch.logit_biases > 0)
        options = np.stack(
            [batch.has_logprobs, has_bias, batch.choices, batch.max_tokens, batch.temperatures], axis=1
        ).astype(np.float32)
        options[np.isnan(options)] = -1  # one NaN is not the same bits as the other
        hashes: Hashes = _hash_rows(options.view(np.uint32), np.uint64(self._key), KINDS.index("parameters"))
        hashes[np.isnan(batch.has_logprobs)] = 0
        return hashes


def contexts_of(batch: RecordBatch) -> Hashes:
    """Conversations and reasoning blocks as `LinkEvents.contexts` has them; their hashes are keyed at intake.

    Of many blocks of one record those with the smallest hashes are taken: accounts that send back the same
    take the same. Where the log names no conversation, the first block that is sent back stands for it.
    """
    issued, sent, conversations = batch.reasoning_issued, batch.reasoning_refs, batch.conversation_hashes
    if issued is None and sent is None and conversations is None:
        return np.zeros((len(batch), 0), dtype=np.uint32)
    found = np.zeros((len(batch), CONTEXT), dtype=np.uint32)
    if conversations is not None:
        found[:, 0] = [_number_of(each) if each else 0 for each in conversations]
    for blocks, first, stop in ((issued, ISSUED_AT, SENT_AT), (sent, SENT_AT, CONTEXT)):
        for at, texts in enumerate(blocks or ()):
            if texts:
                smallest = nsmallest(stop - first, {_number_of(text) for text in texts})
                found[at, first : first + len(smallest)] = smallest
                if first == SENT_AT and not found[at, 0]:
                    found[at, 0] = _number_of(texts[0])
    return found


def _number_of(keyed: str) -> int:
    """32 bits of a keyed hash, never 0."""
    return crc32(keyed.encode()) or 1


def network_of(address: str) -> str | None:
    """The network that an address is in, as its first address; None where it is no address.

    Examples
    --------
    >>> network_of("198.51.100.7"), network_of("2001:db8:1:2::3"), network_of("unknown")
    ('198.51.100.0', '2001:db8:1::', None)
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    prefix = IPV4_PREFIX if parsed.version == 4 else IPV6_PREFIX
    return str(ipaddress.ip_network(f"{parsed}/{prefix}", strict=False).network_address)


@njit(cache=True)
def _hash_rows(values, key, kind):  # type: ignore[no-untyped-def]
    """A hash of each row, never 0."""
    found = np.empty(len(values), dtype=np.uint32)
    for index in range(len(values)):
        state = key ^ (np.uint64(kind + 1) * SEED)
        for at in range(values.shape[1]):
            state = (state ^ np.uint64(values[index, at])) * MIX
            state ^= state >> np.uint64(29)
        state = (state ^ key) * MIX
        state ^= state >> np.uint64(32)
        found[index] = max(np.uint32(state & np.uint64(0xFFFFFFFF)), np.uint32(1))
    return found


def vectors_of(batch: RecordBatch) -> Float32Array:
    """A short vector of each record's embedding, else of its numeric input; zero where it has neither."""
    found = np.zeros((len(batch), VECTOR), dtype=np.float32)
    n_embedded = sum(len(block.rows) for block in batch.embeddings)
    # Where a record has both, the embedding stands.
    for block in (*(batch.inputs if n_embedded < len(batch) else ()), *batch.embeddings):
        _project_block(block, found)
    return found


def _project_block(block: VectorBlock, found: Float32Array) -> None:
    length = block.values.shape[1]
    signs = np.where(np.random.default_rng(length).random(length) < 0.5, -1, 1).astype(np.float32)
    _project(block.values, signs, block.rows, found)


@njit(cache=True)
def _project(values, signs, rows, found):  # type: ignore[no-untyped-def]
    """Fold each vector to VECTOR dimensions by a random sign each, and to unit length [1]_.

    References
    ----------
    .. [1] Weinberger et al., Feature hashing for large scale multitask learning, ICML 2009.
    """
    for index in range(len(rows)):
        folded = found[rows[index]]
        folded[:] = 0
        for dimension in range(values.shape[1]):
            folded[dimension % VECTOR] += values[index, dimension] * signs[dimension]
        norm = np.sqrt(np.sum(folded * folded))
        if norm > 0 and np.isfinite(norm):
            folded /= norm
        else:
            folded[:] = 0
