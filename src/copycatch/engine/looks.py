"""From records to scored looks: fold into windows, features, normal range, score."""

from dataclasses import fields

import numpy as np

from copycatch.engine.state import EngineState
from copycatch.features.catalog import FEATURE_INDEX, NAMES, SPECS, compute_features
from copycatch.records.columns import (
    Evaluations,
    Float32Array,
    FloatArray,
    IntArray,
    Normal,
    RecordBatch,
    Scores,
    SignalBlock,
)
from copycatch.records.layout import FOURIER, LABEL_BINS, LONG_PANES, N_SIGNALS, SHORT_PANES, WIDTH
from copycatch.records.policy import Policy
from copycatch.records.view import WindowView, signal_indices
from copycatch.scoring.families import TAILS, deviations_of, family_scores
from copycatch.signals.catalog import SCOPES, SIGNALS
from copycatch.windows.fold import fold
from copycatch.windows.state import SAMPLE_IDS

assert len(SIGNALS) == N_SIGNALS, "records/layout.py must have as many columns as signals/catalog.py rows"
SCOPE_CODES = np.array([SCOPES.index(spec.scope) for spec in SIGNALS], dtype=np.int64)
INDEX_BY_SIGNAL = signal_indices(tuple(spec.name for spec in SIGNALS))
TAIL_COLUMNS = [FEATURE_INDEX[tail.feature] for tail in TAILS]
TAIL_FAMILIES = tuple(tail.family for tail in TAILS)
EVIDENCE_STATUSES = (200, 399)
SERVER_ERROR = 500
REFUSALS = (401, 403, 429)


def fold_segment(
    state: EngineState, batch: RecordBatch, rows: IntArray, block: SignalBlock, policy: Policy
) -> Evaluations:
    """Add the records to their accounts' windows; the looks that became due, in event order, with features."""
    n = len(batch)
    windows = state.windows
    short_s, long_s = policy.windows.short_s / SHORT_PANES, policy.windows.long_s / LONG_PANES
    due_events = np.empty(n, dtype=np.int64)
    due_sums = np.empty((n, WIDTH), dtype=np.float32)
    due_counts = np.empty((n, 2), dtype=np.int64)
    statuses = batch.statuses
    is_evidence = ~((statuses >= SERVER_ERROR) | np.isin(statuses, REFUSALS))
    n_due = fold(
        rows, batch.event_times_ms, is_evidence, batch.input_hashes, batch.label_codes, batch.margins,
        block.signals, SCOPE_CODES, block.sketches, block.raws, block.cells, block.fouriers, _extras(batch),
        block.nears, round(short_s * 1000), round(long_s * 1000),
        windows.queries, windows.next_look, windows.first_ms, windows.last_ms, windows.sums,
        windows.ring_count, windows.ring_sketch, windows.ring_raw, windows.ring_hash, windows.ring_label,
        windows.ring_margin, due_events, due_sums, due_counts,
    )  # fmt: skip
    events = due_events[:n_due]
    model_ids = [batch.model_ids[event] for event in events.tolist()]
    fourier_means = np.full((n_due, FOURIER), np.nan)
    label_shares = np.full((n_due, LABEL_BINS), np.nan)
    for index, model_id in enumerate(model_ids):
        if (population := state.populations.get(model_id)) is not None:
            fourier_means[index] = population.fourier_mean
            label_shares[index] = population.label_shares
    view = WindowView(
        sums=due_sums[:n_due], queries=due_counts[:n_due, 0], first_ms=due_counts[:n_due, 1],
        times_ms=batch.event_times_ms[events], index_by_signal=INDEX_BY_SIGNAL, fourier_means=fourier_means,
        label_shares=label_shares, short_pane_s=short_s, long_pane_s=long_s,
    )  # fmt: skip
    ids, ips = _samples(state, batch, rows, events)
    return Evaluations(
        rows=rows[events],
        account_ids=[batch.account_ids[event] for event in events.tolist()],
        tenant_ids=[batch.tenant_ids[event] for event in events.tolist()],
        model_ids=model_ids,
        event_times_ms=view.times_ms,
        first_seen_ms=view.first_ms,
        queries=view.queries,
        values=compute_features(view) if n_due else np.empty((0, len(NAMES))),
        sample_event_ids=ids,
        client_ips=ips,
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


def _samples(
    state: EngineState, batch: RecordBatch, rows: IntArray, events: IntArray
) -> tuple[list[list[str]], list[list[str]]]:
    """Ids of the last few records of each look's account up to its event, and the addresses they came from.

    The event's own id comes last. Earlier ones come from the account's small ring of ids, which is written here
    in event order.
    """
    ring = state.windows.sample_ids
    encoded = np.array([event_id.encode() for event_id in batch.event_ids], dtype=ring.dtype)
    ids: list[list[str]] = []
    ips: list[list[str]] = []
    written = 0
    for event in events.tolist():
        _write_ids(ring, encoded, rows, written, event)
        written = event
        earlier = [text.decode(errors="replace") for text in ring[rows[event]].tolist() if text]
        ids.append([*earlier, batch.event_ids[event]][-SAMPLE_IDS:])
        ip = batch.client_ips[event]
        ips.append([] if ip is None else [ip])
    _write_ids(ring, encoded, rows, written, len(batch))
    return ids, ips


def _write_ids(ring: np.ndarray, encoded: np.ndarray, rows: IntArray, start: int, stop: int) -> None:
    """Shift each account's ids by the records of [start, stop): newest last."""
    for index in range(start, stop):
        row = rows[index]
        if row >= 0:
            ring[row, :-1] = ring[row, 1:]
            ring[row, -1] = encoded[index]


def compare(state: EngineState, evaluations: Evaluations) -> Normal:
    """What is normal for each look among other accounts of its model."""
    normal = Normal.unknown(*evaluations.values.shape)
    hashes = state.rows.account_hashes[evaluations.rows]
    for model_id, members in by_model(evaluations.model_ids):
        if (population := state.populations.get(model_id)) is not None:
            part = population.reference.compare(
                evaluations.values[members], evaluations.queries[members], hashes[members]
            )
            normal.put(members, part)
    return normal


def score(state: EngineState, evaluations: Evaluations, normal: Normal) -> tuple[Scores, FloatArray]:
    """Tail probability of each look with its reasons, and the raw score that calibrations learn from."""
    deviations = deviations_of(evaluations.values, normal.medians, normal.ups, normal.downs, TAIL_COLUMNS)
    raw, parts = family_scores(deviations, TAIL_FAMILIES)
    shares = np.zeros_like(evaluations.values)
    shares[:, TAIL_COLUMNS] = parts
    tail_probs = np.full(len(evaluations), np.nan)
    for model_id, members in by_model(evaluations.model_ids):
        population = state.populations.get(model_id)
        if population is not None and population.calibration is not None:
            tail_probs[members] = population.calibration.tail_probs(raw[members])
    with np.errstate(invalid="ignore"):
        feature_tail_probs = np.minimum(2 * np.fmin(normal.aboves, normal.belows), 1)
    scores = Scores(
        tail_probs=tail_probs,
        attack_probs=np.full(len(evaluations), np.nan),
        is_warm=~np.isnan(tail_probs),
        feature_tail_probs=feature_tail_probs,
        shares=shares,
        normal_lows=normal.lows,
        normal_highs=normal.highs,
        looks_like=[[] for _ in range(len(evaluations))],
    )
    return scores, raw


def by_model(model_ids: list[str]) -> list[tuple[str, IntArray]]:
    """Positions of each model, in order of first appearance."""
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


def _picked(columns: Evaluations | Scores, members: IntArray) -> dict[str, object]:
    picked: dict[str, object] = {}
    for field in fields(columns):
        column = getattr(columns, field.name)
        is_array = isinstance(column, np.ndarray)
        picked[field.name] = column[members] if is_array else [column[index] for index in members.tolist()]
    return picked


assert len(SPECS) == len(NAMES)
