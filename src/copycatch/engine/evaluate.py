"""From records to evaluations with their features, and what is known of their models."""

from dataclasses import replace

import numpy as np

from copycatch.engine.state import EngineState
from copycatch.features.catalog import NAMES, compute_features
from copycatch.layout.row import LABEL_BINS, LONG_PANES, N_SIGNALS, SHORT_PANES
from copycatch.layout.signals import SIGNAL_INDEX, SIGNALS
from copycatch.layout.structs import as_bytes
from copycatch.layout.view import WindowView, signal_indices
from copycatch.records.columns import (
    Baseline,
    Evaluations,
    Features,
    Float32Array,
    FloatArray,
    IntArray,
    RecordBatch,
    SignalColumns,
)
from copycatch.records.policy import Policy
from copycatch.scoring.score import Baselines, Known
from copycatch.scoring.scored_features import SCORED_COLUMNS
from copycatch.space.model import FOURIER
from copycatch.windows.fold import fold
from copycatch.windows.samples import sample_ids

assert len(SIGNALS) == N_SIGNALS, "records/layout.py must have as many columns as signals/catalog.py rows"
IS_DISTINCT = np.array([spec.scope == "distinct" for spec in SIGNALS])
INDEX_BY_SIGNAL = signal_indices(tuple(spec.name for spec in SIGNALS))
SERVER_ERROR = 500
REFUSALS = (401, 403, 429)


def fold_segment(
    state: EngineState, batch: RecordBatch, rows: IntArray, signals: SignalColumns, policy: Policy
) -> Evaluations:
    """Add the records to their accounts' windows; gives the evaluations that became due, in event order."""
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
    kept_ids = sample_ids(batch.event_ids, rows, events, history["sample_ids"], counters["sample_at"])
    picks = events.tolist()
    return Evaluations(
        rows=rows[events],
        account_ids=[batch.account_ids[event] for event in picks],
        tenant_ids=[batch.tenant_ids[event] for event in picks],
        model_ids=[batch.model_ids[event] for event in picks],
        event_times_ms=view.times_ms,
        first_seen_ms=view.first_ms,
        queries=view.queries,
        lifetime=_features(view),
        recent=_features(recent_view),
        records=events,
        kept_ids=kept_ids,
        sample_event_ids=[[] for _ in picks],
        client_ips=[[] for _ in picks],
    )


def _features(view: WindowView) -> Features:
    values = compute_features(view) if len(view) else np.empty((0, len(NAMES)))
    return Features(values, view.n_effective)


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


def baselines_of(state: EngineState, evaluations: Evaluations) -> Baselines:
    """What is usual of each evaluation's lifetime and recent window, among other accounts of its model."""
    into = Baselines(*(Baseline.unknown(len(evaluations), len(SCORED_COLUMNS)) for _ in range(2)))
    hashes = state.rows.account_hashes[evaluations.rows]
    for model_id, members in by_model(evaluations.model_ids):
        population = state.populations.get(model_id)
        if population is None or not population.is_settled:
            continue
        for baseline, features in ((into.lifetime, evaluations.lifetime), (into.recent, evaluations.recent)):
            population.reference.put_baselines(
                baseline, members, SCORED_COLUMNS, features.n_effective[members], hashes[members]
            )
    return into


def models_of(state: EngineState, evaluations: Evaluations) -> list[tuple[IntArray, Known]]:
    """Each model's evaluations and what is known of it."""
    return [(members, _known(state, model_id)) for model_id, members in by_model(evaluations.model_ids)]


def _known(state: EngineState, model_id: str) -> Known:
    population = state.populations.get(model_id)
    if population is None:
        return Known()
    ensemble = state.ensemble(model_id) if population.is_settled else None
    return Known(ensemble, population.tails, population.calibration)


def by_model(model_ids: list[str]) -> list[tuple[str, IntArray]]:
    """Positions of each model, in order of first appearance."""
    if len(set(model_ids)) == 1:
        return [(model_ids[0], np.arange(len(model_ids), dtype=np.int64))]
    members: dict[str, list[int]] = {}
    for index, model_id in enumerate(model_ids):
        members.setdefault(model_id, []).append(index)
    return [(model_id, np.array(indices, dtype=np.int64)) for model_id, indices in members.items()]
