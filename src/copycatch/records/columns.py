"""Records as columns: what moves between the stages of the engine."""

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from copycatch.records.wire import Alert, Recommendation, Rejected

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Uint64Array = npt.NDArray[np.uint64]


@dataclass(slots=True)
class RawBatch:
    """Undecoded messages of one topic and partition (or one file), in order.

    `headers`, `keys` and `timestamps_ms` are empty where the source has none; else as long as `values`.
    `positions` are offsets in Kafka and line numbers (from 0) in files.
    """

    topic: str
    partition: int
    positions: list[int]
    values: list[bytes]
    timestamps_ms: list[int] = field(default_factory=list)
    headers: list[list[tuple[str, bytes]]] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)


@dataclass(slots=True)
class VectorBlock:
    """Vectors of the records of one model, all of one length.

    `rows` are positions in the batch, ascending, int64 (k,); `values` is float32 (k, length).
    """

    model_id: str
    rows: IntArray
    values: Float32Array
    is_derived: bool = False  # made at intake, not given by the log: gives way where the two disagree


class Charge(IntEnum):
    """What keeps a record from being judged as it should be; its account is charged with it."""

    NONE = 0
    REJECTED = 1  # cannot be taken, such as one from the far future: counts as a query, says nothing
    LATE = 2  # too late to be judged: counts as a query, says nothing
    REPEATED = 3  # seen before: counts for nothing
    UNJOINED = 4  # a request without its answer: judged as half
    UNREAD = 5  # its input or embedding could not be read: judged without it


@dataclass(slots=True)
class RecordBatch:
    """Decoded records as columns, in order of arrival; every list and array has one entry a record.

    Missing numbers are NaN (float columns) or -1 (integer columns where said); missing strings are None.
    Vectors lie in blocks by model, because their length belongs to the model.
    """

    raw: RawBatch  # where the records came from, for the excerpts of rejects
    positions: IntArray  # where each record stood in its source
    event_ids: list[str]
    event_times_ms: IntArray
    account_ids: list[str]
    tenant_ids: list[str | None]
    model_ids: list[str]
    api_key_hashes: list[str | None]  # keyed HMAC, never the key
    client_ips: list[str | None]
    user_agents: list[str | None]
    texts: list[str | None]  # input where it is text
    output_texts: list[str | None]
    input_hashes: Uint64Array  # of the exact input; 0 where there is no input
    label_codes: IntArray  # an integer per label, stable over runs; -1 where missing
    statuses: npt.NDArray[np.int16]  # 200 where the record names none
    charges: npt.NDArray[np.int8]  # of `Charge`
    has_logprobs: Float32Array  # 1, 0, or NaN where the record carries no params
    logit_biases: Float32Array  # how many tokens are biased
    choices: Float32Array  # `n`
    max_tokens: Float32Array
    temperatures: Float32Array
    settings_hashes: npt.NDArray[np.uint32]  # of all options but the logit bias; 0 where there are none
    bias_hashes: npt.NDArray[np.uint32]  # of the logit bias by token; 0 where there is none
    input_tokens: Float32Array
    output_tokens: Float32Array
    margins: Float32Array  # highest less second probability; NaN where only one score is logged
    entropies: Float32Array  # of the whole probability vector over log K, in [0, 1]; NaN where only top-k
    inputs: list[VectorBlock]  # numeric inputs
    embeddings: list[VectorBlock]
    probabilities: list[VectorBlock]
    # What follows is None where no record of the batch has it.
    conversation_hashes: list[str | None] | None = None  # keyed, as all hashes here
    turns: IntArray | None = None  # of the user, so far; -1 where missing, as in all integers here
    prompt_indices: IntArray | None = None  # place in a request that asks several
    system_hashes: list[str | None] | None = None
    tools_hashes: list[str | None] | None = None
    reasoning_refs: list[tuple[str, ...] | None] | None = None  # hashes of blocks that were sent back
    reasoning_issued: list[tuple[str, ...] | None] | None = None  # of blocks that the answer issued
    finish_reasons: list[str | None] | None = None
    asns: IntArray | None = None
    accounts_created_ms: IntArray | None = None
    plans: list[str | None] | None = None
    traceparents: list[str | None] | None = None  # W3C trace contexts of the messages

    def __len__(self) -> int:
        return len(self.event_ids)


@dataclass(slots=True)
class SignalColumns:
    """Signals of each query, and what the windows keep of it; one row a record, NaN where missing.

    `signals` is (n, n_signals) in the order of the signal catalogue; `sketches` the leading whitened
    coordinates; `residuals` and `input_residuals` what is left of embedding and input after the mean of their
    class, whitened; `raws` sampled input coordinates; `cells` the topic cell (-1 where missing); `fouriers`
    random Fourier features; `nears` the distance beyond which two queries of the model never count as near,
    `raw_ratios` the spreads of the sampled coordinates in their mean, `flat_logs` (n, 2) the flatness that
    makes a step one of equal size in every coordinate, in units of their spreads and in one for all;
    `words_seen` a 64-bit set of the words of a text, 0 where there is none. The words of record i are
    `words[word_starts[i]:word_starts[i + 1]]`, hashed.
    """

    signals: Float32Array
    sketches: Float32Array
    residuals: Float32Array
    input_residuals: Float32Array
    raws: Float32Array
    cells: IntArray
    fouriers: Float32Array
    nears: Float32Array
    raw_ratios: Float32Array
    flat_logs: Float32Array
    words_seen: Uint64Array
    word_starts: IntArray
    words: Uint64Array


@dataclass(slots=True)
class Counts:
    """Every input record exactly once: n = accepted + duplicates + late + rejected, drills apart."""

    accepted: int = 0
    duplicates: int = 0
    late: int = 0
    rejected: int = 0
    drills: int = 0  # marked records: no traffic, and in no total

    def add(self, other: "Counts") -> None:
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.late += other.late
        self.rejected += other.rejected
        self.drills += other.drills

    @property
    def total(self) -> int:
        return self.accepted + self.duplicates + self.late + self.rejected


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """A feature as the catalogue lists it."""

    name: str
    family: str
    unit: str
    low: float  # range of possible values
    high: float
    sentence: str  # what it says about an account, in words an analyst reads
    needs: tuple[str, ...]  # canonical record fields without which it is missing


@dataclass(frozen=True, slots=True)
class Features:
    """Features of evaluations over one window of queries.

    `values` is float64 (n, n_features), NaN where missing; `n_effective` counts the distinct queries, not
    near an earlier one, that they rest on, `clustered_shares` (n,) the share of these that were
    nearly repeated.
    """

    values: FloatArray
    n_effective: IntArray
    clustered_shares: FloatArray


@dataclass(slots=True)
class Evaluations:
    """Accounts that are due for judgement, in event order, with their features.

    One entry per (account, evaluation point). `rows` are slots in the window state; `queries` counts what the
    account has sent in all, `answered` what was neither refused nor failed, nor one of
    many near-repeats whose answers say nothing. `lifetime` and `recent` are its
    features over its lifetime and over its recent window. `records` says which record of the batch
    made it due, `kept_ids` the ids that were kept of earlier ones; both are read for `sample_event_ids`,
    `client_ips` and `traceparents` where an alert may be sent, else these stay empty.
    """

    rows: IntArray
    account_ids: list[str]
    tenant_ids: list[str | None]
    model_ids: list[str]
    event_times_ms: IntArray  # of the record that made the account due
    first_seen_ms: IntArray
    queries: IntArray
    answered: IntArray
    lifetime: Features
    recent: Features
    records: IntArray
    kept_ids: npt.NDArray[np.bytes_]
    sample_event_ids: list[list[str]]
    client_ips: list[list[str]]
    traceparents: list[str]  # of the record that made the account due; "" where it has none

    def __len__(self) -> int:
        return len(self.account_ids)


@dataclass(slots=True)
class Normal:
    """What is normal for each evaluation: arrays (n, n_features), NaN where there are too few accounts."""

    medians: FloatArray
    ups: FloatArray  # one deviation above the median, measured on the upper tail
    downs: FloatArray  # the same below
    lows: FloatArray  # 5 % quantile
    highs: FloatArray  # 95 % quantile
    counts: FloatArray  # accounts compared with
    aboves: FloatArray  # share of them at least as high
    belows: FloatArray  # share of them at least as low

    @classmethod
    def unknown(cls, n: int, n_features: int) -> "Normal":
        return cls(*(np.full((n, n_features), np.nan) for _ in range(8)))

    def put(self, rows: IntArray, other: "Normal") -> None:
        for name in self.__dataclass_fields__:
            getattr(self, name)[rows] = getattr(other, name)


class Baseline(NamedTuple):
    """What is usual of some features among other accounts, for each evaluation.

    Arrays (n, n_columns), NaN where unknown; a named tuple, which compiled code takes as it is.
    """

    medians: FloatArray
    ups: FloatArray  # one deviation above the median, measured on the upper tail
    downs: FloatArray  # the same below

    @classmethod
    def unknown(cls, n: int, n_columns: int) -> "Baseline":
        return cls(*(np.full((n, n_columns), np.nan) for _ in range(3)))


@dataclass(frozen=True, slots=True)
class ScoreBasis:
    """What a score rests on: what the engine remembers and learns of an evaluation.

    Arrays along evaluations (n,), along scored features (n, n_scored), along families of features
    (n, n_feature_families), or along all families (n, n_families).
    """

    is_recent: BoolArray  # (n, n_scored): deviates more in the recent window than over the lifetime
    positions: FloatArray  # (n, n_scored): in the normal range, 0 to 1, .5 at the median
    anomalies: FloatArray  # (n, n_feature_families): anomaly scores, 0 to 1
    activity: FloatArray  # (n, n_activity_measures): of models whose queries are not measured, else NaN
    families: FloatArray  # (n, n_families): values that calibrate the families' tails
    parts: FloatArray  # (n, n_families): of the score of this evaluation alone
    levels: FloatArray  # (n,): of the account's score over its evaluations so far
    raw: FloatArray  # (n,): the level less what lateness costs; its tail gives `tail_probs`


@dataclass(slots=True)
class Scores:
    """How anomalous each evaluation is; arrays along evaluations (n,), or (n, n_features).

    `values` are the features as they were judged: of the recent window where that deviates more, else of the
    lifetime. `tail_probs` is the chance that a normal account is ever this anomalous within one account-day,
    all its evaluations counted: at a budget of b alerts per 1,000 accounts and day, what lies below b / 1000
    alerts. NaN during warm-up. `shares` is each feature's part of the score and sums to at most 1.
    """

    values: FloatArray
    tail_probs: FloatArray
    attack_probs: FloatArray  # of the pretrained model; NaN where it cannot say
    is_warm: BoolArray
    shares: FloatArray
    basis: ScoreBasis
    # Filled in where an alert may be sent (`engine.reasons`).
    feature_tail_probs: FloatArray
    normal_lows: FloatArray
    normal_highs: FloatArray
    looks_like: list[list[str]]  # benign kinds of use that the evaluation resembles


Picked = TypeVar("Picked", Features, Evaluations, ScoreBasis, Scores)


def pick(columns: Picked, members: IntArray | slice) -> Picked:
    """Some of the entries of every column; arrays of a slice share their memory with the whole."""
    picked: dict[str, Any] = {}
    for each in fields(columns):
        column = getattr(columns, each.name)
        if isinstance(column, np.ndarray):
            picked[each.name] = column[members]
        elif isinstance(column, list):
            indices = range(len(column))[members] if isinstance(members, slice) else members.tolist()
            picked[each.name] = [column[index] for index in indices]
        else:
            picked[each.name] = pick(column, members)
    return type(columns)(**picked)


@dataclass(slots=True)
class Outcomes:
    """What should happen because of one batch; the runner makes it happen."""

    alerts: list[Alert] = field(default_factory=list)
    recommendations: list[Recommendation] = field(default_factory=list)
    rejects: list[Rejected] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    evaluations: list[tuple[Evaluations, Scores]] = field(default_factory=list)  # for --features and views
    # By shard, of whom (tenant, account, model) there are alerts or recommendations.
    announced: dict[str, set[tuple[str | None, str, str]]] = field(default_factory=dict)
    learning: list[tuple[bytes, bytes]] = field(default_factory=list)  # keys and values for workers
    notes: Counter[str] = field(default_factory=Counter)  # of the decoders: what was skipped, unread, ...

    def without_drills(self) -> "Outcomes":
        """What is about real accounts; the same object where all of it is."""
        if not self.counts.drills:
            return self
        alerts = [alert for alert in self.alerts if alert.drill is not True]
        rows = [row for row in self.recommendations if row.drill is not True]
        return replace(self, alerts=alerts, recommendations=rows)

    def add(self, other: "Outcomes") -> None:
        """Take over what another batch has brought about, after what is here."""
        self.alerts += other.alerts
        self.recommendations += other.recommendations
        self.rejects += other.rejects
        self.evaluations += other.evaluations
        self.learning += other.learning
        self.notes += other.notes
        self.counts.add(other.counts)
        for shard, keys in other.announced.items():
            self.announced.setdefault(shard, set()).update(keys)
