"""From records to scored looks: fold into windows, features, normal range, score."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from copycatch.engine.state import EngineState
from copycatch.features.catalog import FEATURE_INDEX, NAMES, SPECS, compute_features
from copycatch.layout.row import LABEL_BINS, LONG_PANES, N_SIGNALS, SHORT_PANES
from copycatch.layout.signals import SIGNAL_INDEX, SIGNALS
from copycatch.layout.structs import as_bytes
from copycatch.layout.view import WindowView, signal_indices
from copycatch.records.columns import (
    Baseline,
    BoolArray,
    Evaluations,
    Float32Array,
    FloatArray,
    IntArray,
    RecordBatch,
    Scores,
    SignalColumns,
)
from copycatch.records.policy import Policy
from copycatch.scoring.catalog import FAMILIES, SCORERS
from copycatch.scoring.coherence import coherence_of
from copycatch.scoring.combine import feature_shares, score_of
from copycatch.scoring.damping import damping
from copycatch.scoring.families import ANOMALY_MAX, anomalies_of, deviations_of, family_values, positions_of
from copycatch.scoring.persistence import follow, lateness
from copycatch.scoring.pretrained import chance_of
from copycatch.scoring.protocol import Inputs
from copycatch.scoring.scored_features import SCORED_COLUMNS
from copycatch.space.model import FOURIER
from copycatch.windows.fold import fold
from copycatch.windows.samples import sample_ids

assert len(SIGNALS) == N_SIGNALS, "records/layout.py must have as many columns as signals/catalog.py rows"
IS_DISTINCT = np.array([spec.scope == "distinct" for spec in SIGNALS])
INDEX_BY_SIGNAL = signal_indices(tuple(spec.name for spec in SIGNALS))
PRETRAINED = FAMILIES.index("pretrained")
SERVER_ERROR = 500
REFUSALS = (401, 403, 429)


@dataclass(slots=True)
class Origin:
    """The batch that looks come from, the records that brought them, and ids as they were kept then."""

    batch: RecordBatch
    events: IntArray
    sampled: npt.NDArray[np.bytes_]


@dataclass(slots=True)
class EvaluationBatch:
    """Evaluations with what scoring needs beside them.

    `lifetime_values` and `recent_values` are the features over the account's lifetime and over its recent
    window of queries, `n_effective` and `recent_n_effective` the distinct queries that both rest on. `origin`
    holds the batch that the ids and addresses are read from, `inputs` what the scorers were given, and
    `is_recent` which scored features deviate more in the recent window.
    """

    evaluations: Evaluations
    lifetime_values: FloatArray
    recent_values: FloatArray
    n_effective: IntArray
    recent_n_effective: IntArray
    origin: Origin
    inputs: Inputs | None = None
    is_recent: BoolArray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.bool_))

    def __len__(self) -> int:
        return len(self.evaluations)


def fold_segment(
    state: EngineState, batch: RecordBatch, rows: IntArray, signals: SignalColumns, policy: Policy
) -> EvaluationBatch:
    """Add the records to their accounts' windows; gives the looks that became due, in event order."""
    counters, history = state.windows.counters, state.windows.history
    short_s, long_s = policy.windows.short_s / SHORT_PANES, policy.windows.long_s / LONG_PANES
    statuses = batch.statuses
    is_answered = ~((statuses >= SERVER_ERROR) | np.isin(statuses, REFUSALS))
    events, sums, counts, places = fold(
        rows,
        batch.event_times_ms,
        is_answered,
        batch.input_hashes,
        batch.label_codes,
        batch.margins,
        signals.signals,
        IS_DISTINCT,
        SIGNAL_INDEX["is_low_margin"],
        SIGNAL_INDEX["neighbour_log"],
        SIGNAL_INDEX["is_odd"],
        SIGNAL_INDEX["is_far"],
        signals.sketches,
        signals.residuals,
        signals.input_residuals,
        signals.raws,
        signals.cells,
        signals.fouriers,
        signals.words_seen,
        _extras(batch),
        signals.nears,
        signals.raw_ratios,
        signals.flat_logs,
        round(short_s * 1000),
        round(long_s * 1000),
        round(policy.windows.memory_s * 1000),
        counters["queries"],
        counters["next_evaluation"],
        counters["first_ms"],
        counters["last_ms"],
        counters["ring_count"],
        as_bytes(history),
    )
    view = _view(state, batch, events, sums, counts, places, short_s, long_s)
    recent_view = replace(view, is_recent=True)
    sampled = sample_ids(batch.event_ids, rows, events, history["sample_ids"], counters["sample_at"])
    values = compute_features(view) if len(view) else np.empty((0, len(NAMES)))
    picks = events.tolist()
    evaluations = Evaluations(
        rows=rows[events],
        account_ids=[batch.account_ids[event] for event in picks],
        tenant_ids=[batch.tenant_ids[event] for event in picks],
        model_ids=[batch.model_ids[event] for event in picks],
        event_times_ms=view.times_ms,
        first_seen_ms=view.first_ms,
        queries=view.queries,
        values=values.copy(),
        sample_event_ids=[[] for _ in picks],
        client_ips=[[] for _ in picks],
    )
    recent_values = compute_features(recent_view) if len(view) else np.empty((0, len(NAMES)))
    origin = Origin(batch, events, sampled)
    return EvaluationBatch(
        evaluations, values, recent_values, view.n_effective, recent_view.n_effective, origin
    )


def _view(
    state: EngineState, batch: RecordBatch, events: IntArray, sums: Float32Array, counts: IntArray,
    places: FloatArray, short_s: float, long_s: float,
) -> WindowView:  # fmt: skip
    fourier_means = np.full((len(events), FOURIER), np.nan)
    label_shares = np.full((len(events), LABEL_BINS), np.nan)
    for model_id, members in by_model([batch.model_ids[event] for event in events.tolist()]):
        if (population := state.populations.get(model_id)) is not None:
            fourier_means[members] = population.fourier_mean
            label_shares[members] = population.label_shares
    return WindowView(
        sums=sums,
        queries=counts[:, 0],
        first_ms=counts[:, 1],
        times_ms=batch.event_times_ms[events],
        index_by_signal=INDEX_BY_SIGNAL,
        fourier_means=fourier_means,
        label_shares=label_shares,
        short_pane_s=short_s,
        long_pane_s=long_s,
        places=places,
    )


def _extras(batch: RecordBatch) -> Float32Array:
    """What the tallies need of each record, float32 (n, 6)."""
    with np.errstate(invalid="ignore"):
        return np.stack(
            [
                batch.input_tokens,
                batch.output_tokens,
                batch.has_logprobs,
                (batch.logit_biases > 0).astype(np.float32),
                (batch.choices > 1).astype(np.float32),
                (batch.max_tokens == 1).astype(np.float32),
            ],
            axis=1,
        )


def compare(state: EngineState, evaluation_batch: EvaluationBatch) -> tuple[Baseline, Baseline]:
    """The middle of what is normal for the life and for the block of each look, among others of its model."""
    evaluations = evaluation_batch.evaluations
    baseline, recent_baseline = (
        Baseline.unknown(len(evaluation_batch), len(SCORED_COLUMNS)) for _ in range(2)
    )
    hashes = state.rows.account_hashes[evaluations.rows]
    for model_id, members in by_model(evaluations.model_ids):
        population = state.populations.get(model_id)
        if population is None or not population.is_settled:
            continue
        for into, n_effective in (
            (baseline, evaluation_batch.n_effective),
            (recent_baseline, evaluation_batch.recent_n_effective),
        ):
            population.reference.put_baselines(
                into, members, SCORED_COLUMNS, n_effective[members], hashes[members]
            )
    return baseline, recent_baseline


def score(
    state: EngineState, evaluation_batch: EvaluationBatch, baseline: Baseline, recent_baseline: Baseline
) -> tuple[Scores, FloatArray, FloatArray]:
    """ScoredFeature probability of each look; the raw score and the family values that calibrate it.

    Where the block is odder than the life it stands in for it, in the evaluation's values too, so that the
    reasons show what was judged. Reasons are added where somebody may be told: `reasons.add_reasons`.
    """
    evaluations = evaluation_batch.evaluations
    near = FEATURE_INDEX["near_share"]
    lifetime_deviations, recent_deviations = (
        deviations_of(values[:, SCORED_COLUMNS], normal, n_effective, values[:, near])
        for values, normal, n_effective in (
            (evaluation_batch.lifetime_values, baseline, evaluation_batch.n_effective),
            (evaluation_batch.recent_values, recent_baseline, evaluation_batch.recent_n_effective),
        )
    )
    lifetime, signals = anomalies_of(lifetime_deviations), anomalies_of(recent_deviations)
    evaluation_batch.is_recent = is_recent = np.nan_to_num(signals) > np.nan_to_num(lifetime)
    anomalies = np.fmax(lifetime, signals)
    of_tails = np.fmax(family_values(lifetime), family_values(signals))
    evaluation_batch.inputs = Inputs(
        positions=positions_of(np.where(is_recent, recent_deviations, lifetime_deviations)),
        families=of_tails / ANOMALY_MAX,
    )
    groups = by_model(evaluations.model_ids)
    families = np.concatenate([of_tails, _scorers(state, groups, evaluation_batch.inputs)], axis=1)
    shift, spread = (
        evaluation_batch.lifetime_values[:, FEATURE_INDEX[name]] for name in ("input_shift", "input_spread")
    )
    families *= damping(_coherence(evaluation_batch), shift, spread)
    n_effective = np.full_like(families, np.nan)
    tail_probs = np.full(len(evaluation_batch), np.nan)
    for model_id, members in groups:
        population = state.populations.get(model_id)
        if population is not None and population.tails is not None:
            n_effective[members] = population.tails.surprisal(families[members])
    single, parts = score_of(state.switches.mask(n_effective))
    raw = follow(evaluations.rows, single, state.rows.level) - lateness(evaluations.queries)
    for model_id, members in groups:
        population = state.populations.get(model_id)
        if population is not None and population.calibration is not None:
            tail_probs[members] = population.calibration.tail_probs(raw[members])
    rows, tails = np.nonzero(is_recent)
    evaluations.values[rows, SCORED_COLUMNS[tails]] = evaluation_batch.recent_values[
        rows, SCORED_COLUMNS[tails]
    ]
    shares = np.zeros_like(evaluations.values)
    shares[:, SCORED_COLUMNS] = feature_shares(parts, anomalies)
    return _scores_of(tail_probs, chance_of(families[:, PRETRAINED]), shares), raw, families


def _scores_of(tail_probs: FloatArray, attack_probs: FloatArray, shares: FloatArray) -> Scores:
    """Scores without reasons."""
    return Scores(
        tail_probs=tail_probs,
        attack_probs=attack_probs,
        is_warm=~np.isnan(tail_probs),
        feature_tail_probs=np.full_like(shares, np.nan),
        shares=shares,
        normal_lows=np.full_like(shares, np.nan),
        normal_highs=np.full_like(shares, np.nan),
        looks_like=[[] for _ in tail_probs],
    )


def _coherence(evaluation_batch: EvaluationBatch) -> FloatArray:
    """Of all queries of life or block, or of the odd ones alone, whichever is highest: among cover traffic
    only what is odd has anything in common.
    """
    drift, distance, odd = (
        FEATURE_INDEX[name] for name in ("class_drift", "class_distance", "odd_coherence")
    )
    of_all = [
        coherence_of(values[:, drift], values[:, distance])
        for values in (evaluation_batch.lifetime_values, evaluation_batch.recent_values)
    ]
    highest: FloatArray = np.fmax(np.fmax(*of_all), evaluation_batch.lifetime_values[:, odd])
    return highest


def _scorers(state: EngineState, groups: list[tuple[str, IntArray]], inputs: Inputs) -> FloatArray:
    """What each model's scorers say, (n, n_scorers)."""
    values = np.full((len(inputs), len(SCORERS)), np.nan)
    for model_id, members in groups:
        population = state.populations.get(model_id)
        if population is not None and population.is_settled:
            values[members] = state.ensemble(model_id).values(inputs.pick(members))
    return values


def part_of(evaluation_batch: EvaluationBatch, first: int, stop: int) -> EvaluationBatch:
    """EvaluationBatch `first` to `stop`, not yet scored; values are shared."""
    part = slice(first, stop)
    if first == 0 and stop == len(evaluation_batch):
        return evaluation_batch
    columns: dict[str, Any] = {
        each.name: getattr(evaluation_batch.evaluations, each.name)[part] for each in fields(Evaluations)
    }
    origin = Origin(
        evaluation_batch.origin.batch,
        evaluation_batch.origin.events[part],
        evaluation_batch.origin.sampled[part],
    )
    return EvaluationBatch(
        Evaluations(**columns),
        evaluation_batch.lifetime_values[part],
        evaluation_batch.recent_values[part],
        evaluation_batch.n_effective[part],
        evaluation_batch.recent_n_effective[part],
        origin,
    )


def by_model(model_ids: list[str]) -> list[tuple[str, IntArray]]:
    """Positions of each model, in order of first appearance."""
    if len(set(model_ids)) == 1:
        return [(model_ids[0], np.arange(len(model_ids), dtype=np.int64))]
    members: dict[str, list[int]] = {}
    for index, model_id in enumerate(model_ids):
        members.setdefault(model_id, []).append(index)
    return [(model_id, np.array(indices, dtype=np.int64)) for model_id, indices in members.items()]


def pick_evaluations(evaluations: Evaluations, members: IntArray) -> Evaluations:
    """Some of the looks."""
    if len(members) == len(evaluations):
        return evaluations
    return Evaluations(**_picked(evaluations, members))


def pick_scores(scores: Scores, members: IntArray) -> Scores:
    """The scores of some of the looks."""
    if len(members) == len(scores.tail_probs):
        return scores
    return Scores(**_picked(scores, members))


def _picked(columns: Evaluations | Scores, members: IntArray) -> dict[str, Any]:
    picked: dict[str, Any] = {}
    for each in fields(columns):
        column = getattr(columns, each.name)
        is_array = isinstance(column, np.ndarray)
        picked[each.name] = column[members] if is_array else [column[index] for index in members.tolist()]
    return picked


assert len(SPECS) == len(NAMES)
