"""From records to scored looks: fold into windows, features, normal range, score."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from copycatch.engine.state import EngineState
from copycatch.features.catalog import FEATURE_INDEX, NAMES, SPECS, compute_features
from copycatch.records.columns import (
    BoolArray,
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
from copycatch.scoring.catalog import FAMILIES
from copycatch.scoring.coherence import coherence_of, voice_of
from copycatch.scoring.combine import NOVELTY, feature_shares, score_of
from copycatch.scoring.families import ODDNESS_MAX, deviations_of, family_values, oddness_of, positions_of
from copycatch.scoring.looks_like import looks_like
from copycatch.scoring.persistence import follow, lateness
from copycatch.scoring.protocol import Inputs
from copycatch.scoring.tails import TAIL_FAMILIES, TAILS
from copycatch.signals.catalog import SCOPES, SIGNAL_INDEX, SIGNALS
from copycatch.windows.fold import fold
from copycatch.windows.samples import sample_ids

assert len(SIGNALS) == N_SIGNALS, "records/layout.py must have as many columns as signals/catalog.py rows"
SCOPE_CODES = np.array([SCOPES.index(spec.scope) for spec in SIGNALS], dtype=np.int64)
INDEX_BY_SIGNAL = signal_indices(tuple(spec.name for spec in SIGNALS))
TAIL_COLUMNS = [FEATURE_INDEX[tail.feature] for tail in TAILS]
SERVER_ERROR = 500
REFUSALS = (401, 403, 429)


@dataclass(slots=True)
class Looks:
    """Evaluations with what the judge needs beside them.

    `block_values` are the features over the account's current block of queries, `evidence` and
    `block_evidence` the distinct queries that both rest on. `inputs` is what the scorers were given.
    """

    evaluations: Evaluations
    block_values: FloatArray
    evidence: IntArray
    block_evidence: IntArray
    inputs: Inputs | None = None

    def __len__(self) -> int:
        return len(self.evaluations)


def fold_segment(
    state: EngineState, batch: RecordBatch, rows: IntArray, block: SignalBlock, policy: Policy
) -> Looks:
    """Add the records to their accounts' windows; gives the looks that became due, in event order."""
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
        block.signals, SCOPE_CODES, SIGNAL_INDEX["is_low_margin"], SIGNAL_INDEX["neighbour_log"],
        block.sketches, block.residuals, block.input_residuals, block.raws, block.cells, block.fouriers,
        block.words_seen, _extras(batch), block.nears, block.raw_ratios,
        block.flat_logs, round(short_s * 1000), round(long_s * 1000),
        round(policy.windows.memory_s * 1000),
        windows.queries, windows.next_look, windows.first_ms, windows.last_ms, windows.sums,
        windows.ring_count, windows.ring_sketch, windows.ring_hash, windows.ring_label,
        windows.ring_margin, windows.ring_words, windows.memory, due_events, due_sums, due_counts,
    )  # fmt: skip
    events = due_events[:n_due]
    view = _view(state, batch, events, due_sums[:n_due], due_counts[:n_due], short_s, long_s)
    block_view = replace(view, is_block=True)
    ids = sample_ids(batch.event_ids, rows, events, windows.sample_ids, windows.sample_at)
    ips = [[] if (ip := batch.client_ips[event]) is None else [ip] for event in events.tolist()]
    evaluations = Evaluations(
        rows=rows[events],
        account_ids=[batch.account_ids[event] for event in events.tolist()],
        tenant_ids=[batch.tenant_ids[event] for event in events.tolist()],
        model_ids=[batch.model_ids[event] for event in events.tolist()],
        event_times_ms=view.times_ms,
        first_seen_ms=view.first_ms,
        queries=view.queries,
        values=compute_features(view) if n_due else np.empty((0, len(NAMES))),
        sample_event_ids=ids,
        client_ips=ips,
    )
    block_values = compute_features(block_view) if n_due else np.empty((0, len(NAMES)))
    return Looks(evaluations, block_values, view.evidence, block_view.evidence)


def _view(
    state: EngineState, batch: RecordBatch, events: IntArray, sums: Float32Array, counts: IntArray,
    short_s: float, long_s: float,
) -> WindowView:  # fmt: skip
    fourier_means = np.full((len(events), FOURIER), np.nan)
    label_shares = np.full((len(events), LABEL_BINS), np.nan)
    for index, event in enumerate(events.tolist()):
        if (population := state.populations.get(batch.model_ids[event])) is not None:
            fourier_means[index] = population.fourier_mean
            label_shares[index] = population.label_shares
    return WindowView(
        sums=sums, queries=counts[:, 0], first_ms=counts[:, 1], times_ms=batch.event_times_ms[events],
        index_by_signal=INDEX_BY_SIGNAL, fourier_means=fourier_means, label_shares=label_shares,
        short_pane_s=short_s, long_pane_s=long_s,
    )  # fmt: skip


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


def compare(state: EngineState, looks: Looks) -> tuple[Normal, Normal]:
    """What is normal for the life and for the block of each look, among other accounts of its model."""
    evaluations = looks.evaluations
    normal, block_normal = (Normal.unknown(*evaluations.values.shape) for _ in range(2))
    hashes = state.rows.account_hashes[evaluations.rows]
    for model_id, members in by_model(evaluations.model_ids):
        population = state.populations.get(model_id)
        if population is None or not population.is_settled:
            continue
        for into, values, evidence in (
            (normal, evaluations.values, looks.evidence),
            (block_normal, looks.block_values, looks.block_evidence),
        ):
            into.put(
                members, population.reference.compare(values[members], evidence[members], hashes[members])
            )
    return normal, block_normal


def score(
    state: EngineState, looks: Looks, normal: Normal, block_normal: Normal
) -> tuple[Scores, FloatArray, FloatArray]:
    """Tail probability of each look with its reasons; the raw score and the family values that calibrate it.

    Where the block is odder than the life it stands in for it, in the evaluation's values too, so that the
    reasons show what was judged.
    """
    evaluations = looks.evaluations
    near = FEATURE_INDEX["near_share"]
    life_away = deviations_of(
        evaluations.values, normal, TAIL_COLUMNS, looks.evidence, evaluations.values[:, near]
    )
    block_away = deviations_of(
        looks.block_values, block_normal, TAIL_COLUMNS, looks.block_evidence, looks.block_values[:, near]
    )
    life, block = oddness_of(life_away), oddness_of(block_away)
    is_block = np.nan_to_num(block) > np.nan_to_num(life)
    of_tails = np.fmax(family_values(life), family_values(block))
    coherence = np.fmax(_coherence(evaluations.values), _coherence(looks.block_values))
    looks.inputs = Inputs(
        positions=positions_of(np.where(is_block, block_away, life_away)),
        oddness=np.fmax(life, block) / ODDNESS_MAX,
        families=of_tails / ODDNESS_MAX,
    )
    families = _families(state, evaluations.model_ids, looks.inputs)
    families[:, : len(TAIL_FAMILIES)] = of_tails
    families[:, NOVELTY] *= voice_of(coherence)[:, None]
    evidence = np.full_like(families, np.nan)
    tail_probs = np.full(len(looks), np.nan)
    for model_id, members in by_model(evaluations.model_ids):
        population = state.populations.get(model_id)
        if population is not None and population.tails is not None:
            evidence[members] = population.tails.evidence(families[members])
    single, parts = score_of(state.switches.mask(evidence))
    raw = follow(evaluations.rows, single, state.rows.level) - lateness(evaluations.queries)
    for model_id, members in by_model(evaluations.model_ids):
        population = state.populations.get(model_id)
        if population is not None and population.calibration is not None:
            tail_probs[members] = population.calibration.tail_probs(raw[members])
    named = looks_like(evaluations.values, normal, evaluations.queries, FEATURE_INDEX)
    _show_block(evaluations, normal, looks.block_values, block_normal, is_block)
    shares = np.zeros_like(evaluations.values)
    shares[:, TAIL_COLUMNS] = feature_shares(parts, np.fmax(life, block))
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
        looks_like=named,
    )
    return scores, raw, families


def _coherence(values: FloatArray) -> FloatArray:
    drift, distance = (values[:, FEATURE_INDEX[name]] for name in ("class_drift", "class_distance"))
    return coherence_of(drift, distance)


def _families(state: EngineState, model_ids: list[str], inputs: Inputs) -> FloatArray:
    """What each model's scorers say, (n, n_families)."""
    values = np.full((len(inputs), len(FAMILIES)), np.nan)
    for model_id, members in by_model(model_ids):
        population = state.populations.get(model_id)
        if population is not None and population.is_settled:
            values[members] = state.panel(model_id).family_values(inputs.pick(members))
    return values


def _show_block(
    evaluations: Evaluations,
    normal: Normal,
    block_values: FloatArray,
    block_normal: Normal,
    is_block: BoolArray,
) -> None:
    """Put block values and their normal range where the block is the odder one; changes the first two."""
    rows, tails = np.nonzero(is_block)
    columns = np.array(TAIL_COLUMNS)[tails]
    evaluations.values[rows, columns] = block_values[rows, columns]
    for name in ("lows", "highs", "aboves", "belows"):
        getattr(normal, name)[rows, columns] = getattr(block_normal, name)[rows, columns]


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


def _picked(columns: Evaluations | Scores, members: IntArray) -> dict[str, Any]:
    picked: dict[str, Any] = {}
    for field in fields(columns):
        column = getattr(columns, field.name)
        is_array = isinstance(column, np.ndarray)
        picked[field.name] = column[members] if is_array else [column[index] for index in members.tolist()]
    return picked


assert len(SPECS) == len(NAMES)
