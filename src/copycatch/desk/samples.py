"""An account's most telling queries beside usual ones, read from the log that the analyst names."""

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from copycatch.adapters.peek import batches_of
from copycatch.embedding.embedder import TextEmbedder
from copycatch.intake.vectors import blocks_of
from copycatch.records.columns import Float32Array
from copycatch.records.decoding import Decoder
from copycatch.records.wire import InferenceRecord

OWN_KEPT_MAX = 2000
OTHERS_KEPT_MAX = 500
SHOWN = 5
COORDINATES_SHOWN = 6
RECORDS_PER_POLL = 2000
SPREAD_MIN = 1e-9
SPREAD_SHARE_MIN = 0.01  # of the spread of all coordinates: one that never moves is no unit


@dataclass(frozen=True, slots=True)
class Sample:
    """One query; `deviations` are the coordinates that lie farthest from others', in their deviations."""

    event_id: str
    account_id: str
    text: str | None
    deviations: list[tuple[int, float]]
    label: str | None
    distance: float
    times: int = 1  # how often the account asked it, among its queries that were kept


@dataclass(slots=True)
class Samples:
    """Farthest from what others ask first; `usual` are queries of others."""

    telling: list[Sample] = field(default_factory=list)
    usual: list[Sample] = field(default_factory=list)
    n_own: int = 0


class _Kept:
    """The records with the least hashes of their ids: the same ones however the log is cut."""

    def __init__(self, n_max: int) -> None:
        self._n_max = n_max
        self._heap: list[tuple[int, int, InferenceRecord]] = []
        self.n_seen = 0

    def offer(self, record: InferenceRecord) -> None:
        self.n_seen += 1
        digest = hashlib.blake2b(record.event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        entry = (-int.from_bytes(digest, "big"), -self.n_seen, record)
        if len(self._heap) < self._n_max:
            heapq.heappush(self._heap, entry)
        elif entry[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, entry)

    @property
    def records(self) -> list[InferenceRecord]:
        return [record for _, _, record in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


def read_samples(
    paths: Sequence[str],
    make_decoder: Callable[[], Decoder],
    wanted: Collection[tuple[str, str]],
    suspects: Collection[str],
) -> dict[tuple[str, str], Samples]:
    """Read a log once more and choose.

    Parameters
    ----------
    paths : sequence of str
        Files and folders; standard input cannot be read twice.
    wanted : collection of (str, str)
        Accounts, each with a model.
    suspects : collection of str
        Accounts that were alerted on: none of their queries counts as usual.

    Returns
    -------
    dict
        One entry each of `wanted`.

    Raises
    ------
    TransportError
        If a file breaks off.
    """
    own = {key: _Kept(OWN_KEPT_MAX) for key in wanted}
    others = {model_id: _Kept(OTHERS_KEPT_MAX) for _, model_id in wanted}
    accounts = {account_id for account_id, _ in wanted}
    decoder = make_decoder()
    for batch in batches_of(paths, RECORDS_PER_POLL):
        for record in decoder.decode(batch).records:
            if record.input is None:
                continue
            if (kept := own.get((record.account_id, record.model_id))) is not None:
                kept.offer(record)
                continue
            usual = others.get(record.model_id)
            if usual is not None and record.account_id not in suspects and record.account_id not in accounts:
                usual.offer(record)
    return {key: _chosen(kept, others[key[1]]) for key, kept in own.items()}


def _chosen(own: _Kept, others: _Kept) -> Samples:
    records = [*own.records, *others.records]
    n_own = len(own.records)
    is_text = np.array([isinstance(record.input, str) for record in records], dtype=np.bool_)
    if not n_own:
        return Samples(n_own=own.n_seen)
    scaled: Float32Array | None = None
    if is_text[:n_own].mean() >= 1 / 2:
        members = np.flatnonzero(is_text)
        n_own = int(np.searchsorted(members, n_own))
        distances = _text_distances([str(records[index].input) for index in members.tolist()], n_own)
    else:
        blocks, _ = blocks_of(
            [None if isinstance(r.input, str) else r.input for r in records], ["m"] * len(records)
        )
        block = max(blocks, key=lambda each: len(each.rows))
        members = block.rows
        n_own = int(np.searchsorted(members, n_own))
        scaled = _deviations(block.values, n_own)
        distances = np.sqrt(np.mean(scaled**2, axis=1))
    far_first = np.argsort(-distances[:n_own], kind="stable").tolist()
    orders = far_first, list(range(n_own, len(members)))
    telling, others_shown = (
        [
            _sample(records[members[at]], None if scaled is None else scaled[at], float(distances[at]), times)
            for at, times in _distinct(order, [records[members[at]] for at in order])
        ]
        for order in orders
    )
    return Samples(telling, others_shown, own.n_seen)


def _distinct(order: Sequence[int], records: Sequence[InferenceRecord]) -> list[tuple[int, int]]:
    """The first few of the order that ask something different, and how often each is asked."""
    first: dict[str, int] = {}
    times: Counter[str] = Counter()
    for at, record in zip(order, records, strict=True):
        asked = str(record.input)
        first.setdefault(asked, at)
        times[asked] += 1
    return [(at, times[asked]) for asked, at in list(first.items())[:SHOWN]]


def _text_distances(texts: Sequence[str], n_own: int) -> Float32Array:
    """One less the cosine to the most similar text of another account; the first `n_own` are its own."""
    vectors = TextEmbedder().embed_many(texts)
    similarities: Float32Array = vectors @ vectors[n_own:].T
    own_column = np.arange(len(texts) - n_own)
    similarities[n_own + own_column, own_column] = -1.0  # not to itself
    nearest = similarities.max(axis=1, initial=-1.0)
    distances: Float32Array = (1 - nearest).astype(np.float32)
    return distances


def _deviations(vectors: Float32Array, n_own: int) -> Float32Array:
    """Each coordinate in the deviations of other accounts' queries, float32 (n, length)."""
    basis = vectors[n_own:] if len(vectors) > n_own else vectors
    spreads = np.maximum(basis.std(axis=0), SPREAD_MIN + SPREAD_SHARE_MIN * basis.std())
    scaled: Float32Array = ((vectors - basis.mean(axis=0)) / spreads).astype(np.float32)
    return scaled


def _sample(record: InferenceRecord, scaled: Float32Array | None, distance: float, times: int) -> Sample:
    label = record.predicted_label if record.predicted_label is not None else record.output_text
    farthest = (
        [] if scaled is None else np.argsort(-np.abs(scaled), kind="stable")[:COORDINATES_SHOWN].tolist()
    )
    return Sample(
        event_id=record.event_id,
        account_id=record.account_id,
        text=record.input if isinstance(record.input, str) else None,
        deviations=[] if scaled is None else [(column, float(scaled[column])) for column in farthest],
        label=None if label is None else str(label),
        distance=distance,
        times=times,
    )
