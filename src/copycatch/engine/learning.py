"""What is put aside in a segment and learned at its tick."""

import numpy as np

from copycatch.engine.state import EngineState, Pending
from copycatch.population.model import ModelPopulation
from copycatch.population.pool import PER_TICK_MAX, Query
from copycatch.records.columns import BoolArray, Evaluations, FloatArray, IntArray, RecordBatch, VectorBlock
from copycatch.records.layout import LABEL_BINS
from copycatch.units import MS_PER_DAY

FLAG_MS = 7 * MS_PER_DAY  # so long after a verdict an account teaches nothing and resists eviction
PENDING_MAX = 4_096  # evaluations learned per tick; the reference needs each account's latest, not every one
SAMPLED_ACCOUNTS = 500  # per tick, about: enough to follow traffic, few enough not to cost
# An account's highest score calibrates only after this long: an attack that is going on has then been named,
# or is slow enough to be one among many.
MATURE_MS = 48 * 3_600_000


def sample_queries(state: EngineState, batch: RecordBatch, rows: IntArray) -> None:
    """Put the first few queries per tick of every sampled account in the waiting line of its model's pool."""
    counts, ids = state.rows.tick_counts, state.rows.tick_ids
    block_by_row: dict[int, tuple[VectorBlock, int, bool]] = {}
    for is_input, blocks in ((False, batch.embeddings), (True, batch.inputs)):  # numeric inputs win
        for vectors in blocks:
            for place, index in enumerate(vectors.rows.tolist()):
                block_by_row[index] = (vectors, place, is_input)
    for index, row in enumerate(rows.tolist()):
        if row < 0 or batch.statuses[index] >= 400:  # noqa: PLR2004 - HTTP: the answer is no answer
            continue
        account_hash = int(state.rows.account_hashes[row])
        if account_hash % state.sample_modulus != state.tick % state.sample_modulus:
            continue
        if ids[row] != state.tick:
            ids[row], counts[row] = state.tick, 0
        counts[row] += 1
        found = block_by_row.get(index)
        if counts[row] > PER_TICK_MAX or found is None:
            continue
        population = state.populations.get(batch.model_ids[index])
        if population is None:
            continue
        vectors, place, is_input = found
        if population.uses_inputs is None:
            population.uses_inputs = is_input
        if population.uses_inputs == is_input:
            population.pool.wait(_query(batch, index, account_hash, vectors, place))


def _query(batch: RecordBatch, index: int, account_hash: int, vectors: VectorBlock, place: int) -> Query:
    return Query(
        account_hash=account_hash,
        time_ms=int(batch.event_times_ms[index]),
        input_hash=int(batch.input_hashes[index]),
        label=int(batch.label_codes[index]),
        margin=float(batch.margins[index]),
        entropy=float(batch.entropies[index]),
        vector=vectors.values[place].copy(),
    )


def queue_evaluations(
    state: EngineState, evaluations: Evaluations, raw_scores: FloatArray, is_over: BoolArray
) -> None:
    """Remember the highest scores, and put aside the features of who was not flagged."""
    np.fmax.at(state.rows.score_max, evaluations.rows, raw_scores)
    for index in np.flatnonzero(~is_over).tolist():
        row = int(evaluations.rows[index])
        if len(state.pending) >= PENDING_MAX:
            return
        if state.rows.flagged_ms[row] == 0:
            account_hash = int(state.rows.account_hashes[row])
            state.pending.append(
                Pending(
                    evaluations.model_ids[index],
                    account_hash,
                    int(evaluations.queries[index]),
                    evaluations.values[index],
                )
            )


def learn(state: EngineState, now_ms: int) -> None:
    """Let every model's population learn what the segment showed."""
    n = state.slots.n_rows
    flagged_rows = np.flatnonzero(state.rows.flagged_ms[:n] > now_ms - FLAG_MS)
    flagged = frozenset(state.rows.account_hashes[flagged_rows].tolist())
    for waiting in state.pending:
        population = state.populations.get(waiting.model_id)
        if population is not None and waiting.account_hash not in flagged:
            population.reference.learn(waiting.account_hash, waiting.queries, waiting.values)
    state.pending.clear()
    rows_by_model = _rows_by_model(state)
    for model_id, population in state.populations.items():
        rows = rows_by_model.get(model_id, np.empty(0, dtype=np.int64))
        _learn_model(state, population, rows, flagged, now_ms)
    state.sample_modulus = max(1, len(state.slots) // SAMPLED_ACCOUNTS)


def _rows_by_model(state: EngineState) -> dict[str, IntArray]:
    members: dict[str, list[int]] = {}
    for key, row in state.slots.row_by_key.items():
        members.setdefault(key[2], []).append(row)
    return {model_id: np.array(rows, dtype=np.int64) for model_id, rows in members.items()}


def _learn_model(
    state: EngineState, population: ModelPopulation, rows: IntArray, flagged: frozenset[int], now_ms: int
) -> None:
    windows, judged = state.windows, state.rows
    is_mature = (
        np.isfinite(judged.score_max[rows])
        & (judged.flagged_ms[rows] == 0)
        & (windows.first_ms[rows] <= now_ms - MATURE_MS)
    )
    mature = rows[is_mature]
    lives_ms = (windows.last_ms[mature] - windows.first_ms[mature]).astype(np.float64)
    is_new_space = population.tick(now_ms, flagged, judged.score_max[mature], lives_ms)
    counts = np.zeros(LABEL_BINS)
    for queries in population.pool.queries_by_account.values():
        for query in queries:
            if query.label >= 0:
                counts[query.label % LABEL_BINS] += 1
    population.label_counts = counts
    if is_new_space:
        windows.ring_count[rows] = 0
