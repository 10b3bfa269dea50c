"""From records to evaluations with their features, and what is known of their models."""

from dataclasses import replace

import numpy as np

from copycatch.engine.state import EngineState
from copycatch.features.catalog import NAMES, compute_features
from copycatch.layout.row import LABEL_BINS, LONG_PANES, SHORT_PANES
from copycatch.layout.structs import as_bytes
from copycatch.layout.view import WindowView
from copycatch.records.columns import (
    Baseline,
    BoolArray,
    Charge,
    Evaluations,
    Features,
    Float32Array,
    IntArray,
    RecordBatch,
    SignalColumns,
)
from copycatch.records.policy import Policy
from copycatch.scoring.score import Baselines, Known
from copycatch.scoring.scored_features import SCORED_COLUMNS
from copycatch.space.model import FOURIER
from copycatch.usage.events import events_of
from copycatch.usage.measures import MEASURES
from copycatch.usage.others import Compared, Others, compared
from copycatch.usage.words import Said
from copycatch.windows.arrays import Accounts, Due, Events, Limits, measured_of
from copycatch.windows.fold import fold
from copycatch.windows.samples import sample_ids

SERVER_ERROR = 500
COUPLING_MIN = 0.02  # below which the usual inputs' coordinates hardly go together: nothing to compare with
REFUSALS = (401, 403, 429)


def _is_answered(batch: RecordBatch) -> BoolArray:
    """Whether each record may have taught something; so may an error with its answer: a client hung up."""
    is_error = batch.statuses >= SERVER_ERROR
    for row in np.flatnonzero(is_error).tolist():
        is_error[row] = batch.label_codes[row] < 0 and not batch.output_texts[row]
    answered: BoolArray = ~(is_error | np.isin(batch.statuses, REFUSALS))
    return answered


def fold_segment(
    state: EngineState, batch: RecordBatch, rows: IntArray, signals: SignalColumns, policy: Policy
) -> Evaluations:
    """Add the records to their accounts' windows; gives the evaluations that became due, in event order."""
    counters, history = state.windows.counters, state.windows.history
    short_s, long_s = policy.windows.short_s / SHORT_PANES, policy.windows.long_s / LONG_PANES
    is_answered = _is_answered(batch)
    records = Events(
        rows, batch.event_times_ms, is_answered, batch.charges, batch.input_hashes, batch.label_codes,
        batch.margins, _extras(batch), measured_of(signals),
    )  # fmt: skip
    accounts = Accounts(
        counters["queries"], counters["next_evaluation"], counters["answered"],
        counters["next_answered"], counters["first_ms"], counters["last_ms"],
        counters["ring_count"], as_bytes(history),
    )  # fmt: skip
    widths_s = (short_s, long_s, policy.windows.memory_s)
    due = fold(records, accounts, Limits(*(round(width_s * 1000) for width_s in widths_s)))
    events = due.events
    used = events_of(batch, rows, is_answered, Said(signals.word_starts, signals.words))
    usage = state.usage.add(used, rows, events, _others(state, batch, rows[events], events))
    view = replace(_view(state, batch, due, short_s, long_s), usage=usage)
    recent_view = replace(view, is_recent=True)
    counted = np.where(batch.charges == Charge.REPEATED, -1, rows)
    kept_ids = sample_ids(batch.event_ids, counted, events, history["sample_ids"], counters["sample_at"])
    picks = events.tolist()
    return Evaluations(
        rows=rows[events],
        account_ids=[batch.account_ids[event] for event in picks],
        tenant_ids=[batch.tenant_ids[event] for event in picks],
        model_ids=[batch.model_ids[event] for event in picks],
        event_times_ms=view.times_ms,
        first_seen_ms=view.first_ms,
        queries=view.queries,
        answered=due.answered,
        lifetime=_features(view),
        recent=_features(recent_view),
        records=events,
        kept_ids=kept_ids,
        sample_event_ids=[[] for _ in picks],
        client_ips=[[] for _ in picks],
        traceparents=[""] * len(picks),
    )


def _others(state: EngineState, batch: RecordBatch, rows: IntArray, events: IntArray) -> Compared:
    """With what others ask of its model each evaluated account is compared."""
    models = np.full(len(events), -1, dtype=np.int64)
    others: list[Others] = []
    for model_id, members in by_model([batch.model_ids[event] for event in events.tolist()]):
        population = state.populations.get(model_id)
        if population is not None and len(population.others.owners):
            models[members] = len(others)
            others.append(population.others)
    return compared(others, models, state.rows.account_hashes[rows])


def _features(view: WindowView) -> Features:
    values = compute_features(view) if len(view) else np.empty((0, len(NAMES)))
    return Features(values, view.n_effective, view.clustered_shares)


def _view(state: EngineState, batch: RecordBatch, due: Due, short_s: float, long_s: float) -> WindowView:
    events = due.events
    fourier_means = np.full((len(events), FOURIER), np.nan)
    label_shares = np.full((len(events), LABEL_BINS), np.nan)
    couplings = np.full(len(events), np.nan)
    for model_id, members in by_model([batch.model_ids[event] for event in events.tolist()]):
        if (population := state.populations.get(model_id)) is not None:
            fourier_means[members] = population.fourier_mean
            label_shares[members] = population.label_shares
            if population.space is not None and population.space.coupling > COUPLING_MIN:
                couplings[members] = population.space.coupling
    return WindowView(
        sums=due.sums,
        queries=due.queries,
        first_ms=due.first_ms,
        times_ms=batch.event_times_ms[events],
        fourier_means=fourier_means,
        label_shares=label_shares,
        short_pane_s=short_s,
        long_pane_s=long_s,
        moments=np.column_stack([due.moments[:, :2], due.moments[:, 2] / couplings]),
        usage=np.empty((len(due.events), len(MEASURES))),
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
    ensemble = state.ensembles.get(model_id) if population.is_settled else None
    is_measured = population.space is not None or not population.is_settled
    return Known(ensemble, population.tails, population.calibration, is_measured)


def by_model(model_ids: list[str]) -> list[tuple[str, IntArray]]:
    """Positions of each model, in order of first appearance."""
    if len(set(model_ids)) == 1:
        return [(model_ids[0], np.arange(len(model_ids), dtype=np.int64))]
    members: dict[str, list[int]] = {}
    for index, model_id in enumerate(model_ids):
        members.setdefault(model_id, []).append(index)
    return [(model_id, np.array(indices, dtype=np.int64)) for model_id, indices in members.items()]
