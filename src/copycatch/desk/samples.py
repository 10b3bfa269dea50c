"""An account's most telling queries beside usual ones, read from the log that the analyst names."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from copycatch.desk.log_reading import Group, GroupLog, read_groups
from copycatch.embedding.embedder import TextEmbedder
from copycatch.intake.vectors import blocks_of
from copycatch.records.columns import Float32Array
from copycatch.records.decoding import Decoder
from copycatch.records.wire import InferenceRecord

SHOWN = 5
COORDINATES_SHOWN = 6
SPREAD_MIN = 1e-9
SPREAD_SHARE_MIN = 0.01  # of the spread of all coordinates: one that never moves is no unit
PICTURE_SIDES = range(8, 33)  # of square pictures; a table has fewer columns, mostly


@dataclass(frozen=True, slots=True)
class Sample:
    """One query; `deviations` are the coordinates that lie farthest from others', in their deviations.

    `picture` holds the values of what may be a square picture, row by row, 0 to 1.
    """

    event_id: str
    account_id: str
    text: str | None
    deviations: list[tuple[int, float]]
    label: str | None
    distance: float
    times: int = 1  # how often the account asked it, among its queries that were kept
    picture: list[float] | None = None


@dataclass(slots=True)
class Samples:
    """Farthest from what others ask first; `usual` are queries of others."""

    telling: list[Sample] = field(default_factory=list)
    usual: list[Sample] = field(default_factory=list)
    n_own: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """Own queries and those of others as vectors of one length.

    `vectors` is float32 (n, length), own ones first: embeddings of texts, else coordinates in deviations of
    other accounts' queries. `values` are the numbers as they stand in the log, None for texts. `distances`
    (n,): one less the cosine to the most similar text of another account, else the root mean square.
    """

    records: list[InferenceRecord]
    n_own: int
    vectors: Float32Array
    values: Float32Array | None
    distances: Float32Array


def measured(log: GroupLog, embedder: TextEmbedder) -> Measured | None:
    """Texts, or numbers, whichever most of the own queries are; None where there are no own queries.

    Parameters
    ----------
    log : GroupLog
    embedder : TextEmbedder
        One for all groups: its tables take longer to build than the texts of a group to embed.
    """
    records = [*log.own, *log.others]
    n_own = len(log.own)
    if not n_own:
        return None
    is_text = np.array([isinstance(record.input, str) for record in records], dtype=np.bool_)
    if is_text[:n_own].mean() >= 1 / 2:
        members = np.flatnonzero(is_text)
        n_own = int(np.searchsorted(members, n_own))
        vectors = embedder.embed_many([str(records[index].input) for index in members.tolist()])
        distances = _text_distances(vectors, n_own)
        return Measured([records[index] for index in members], n_own, vectors, None, distances)
    given = [None if isinstance(record.input, str) else record.input for record in records]
    blocks, _ = blocks_of(given, ["m"] * len(records))
    block = max(blocks, key=lambda each: len(each.rows), default=None)
    if block is None:
        return None
    n_own = int(np.searchsorted(block.rows, n_own))
    scaled = _deviations(block.values, n_own)
    distances = np.sqrt(np.mean(scaled**2, axis=1))
    return Measured([records[index] for index in block.rows], n_own, scaled, block.values, distances)


def choose_samples(found: Measured | None, n_own: int) -> Samples:
    """The own queries that lie farthest from those of others, and some of others.

    Parameters
    ----------
    found : Measured or None
    n_own : int
        How many queries the account has in the log.
    """
    if found is None:
        return Samples(n_own=n_own)
    far_first = np.argsort(-found.distances[: found.n_own], kind="stable").tolist()
    orders = far_first, list(range(found.n_own, len(found.records)))
    telling, usual = (
        [_sample(found, at, times) for at, times in _distinct(order, found.records)] for order in orders
    )
    return Samples(telling, usual, n_own)


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
    keys = dict(enumerate(wanted))
    groups = {str(at): Group(frozenset([account]), model) for at, (account, model) in keys.items()}
    logs, embedder = read_groups(paths, make_decoder, groups, suspects), TextEmbedder()
    return {
        key: choose_samples(measured(logs[str(at)], embedder), logs[str(at)].n_own)
        for at, key in keys.items()
    }


def _distinct(order: Sequence[int], records: Sequence[InferenceRecord]) -> list[tuple[int, int]]:
    """The first few of the order that ask something different, and how often each is asked."""
    first: dict[str, int] = {}
    times: Counter[str] = Counter()
    for at in order:
        asked = str(records[at].input)
        first.setdefault(asked, at)
        times[asked] += 1
    return [(at, times[asked]) for asked, at in list(first.items())[:SHOWN]]


def _text_distances(vectors: Float32Array, n_own: int) -> Float32Array:
    """One less the cosine to the most similar text of another account; the first `n_own` are its own."""
    similarities: Float32Array = vectors @ vectors[n_own:].T
    own_column = np.arange(len(vectors) - n_own)
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


def _sample(found: Measured, at: int, times: int) -> Sample:
    record = found.records[at]
    deviations: list[tuple[int, float]] = []
    if found.values is not None:
        scaled = found.vectors[at]
        farthest = np.argsort(-np.abs(scaled), kind="stable")[:COORDINATES_SHOWN].tolist()
        deviations = [(column, float(scaled[column])) for column in farthest]
    return Sample(
        event_id=record.event_id,
        account_id=record.account_id,
        text=record.input if isinstance(record.input, str) else None,
        deviations=deviations,
        label=label_of(record),
        distance=float(found.distances[at]),
        times=times,
        picture=None if found.values is None else _picture(found.values[at]),
    )


def label_of(record: InferenceRecord) -> str | None:
    """What was answered, as text."""
    label = record.predicted_label if record.predicted_label is not None else record.output_text
    return None if label is None else str(label)


def _picture(values: Float32Array) -> list[float] | None:
    side = math.isqrt(len(values))
    if side * side != len(values) or side not in PICTURE_SIDES:
        return None
    low, high = float(values.min()), float(values.max())
    return [round((value - low) / ((high - low) or 1.0), 2) for value in values.tolist()]
