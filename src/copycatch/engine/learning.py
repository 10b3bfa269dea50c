"""What is put aside in a segment and learned at its tick."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from copycatch.engine.state import EngineState, Pending
from copycatch.features.catalog import FEATURES
from copycatch.layout.row import LABEL_BINS
from copycatch.population.calibration import SCORE_SCALE_MIN, USE_SCALE_MIN
from copycatch.population.model import ModelPopulation
from copycatch.population.pool import count_in_tick
from copycatch.population.reference import RECENT_STRATA_BELOW
from copycatch.population.shape import Shape
from copycatch.records.columns import (
    BoolArray,
    Evaluations,
    Float32Array,
    FloatArray,
    IntArray,
    RecordBatch,
    Scores,
    SignalColumns,
    VectorBlock,
)
from copycatch.scoring.combine import FAMILY_SCALE_MINS
from copycatch.scoring.distillation import USAGE_COLUMNS
from copycatch.scoring.ensemble import LEARNERS
from copycatch.scoring.protocol import Inputs
from copycatch.scoring.score import DISTILLATION
from copycatch.space.query import NO_VECTOR, NO_WORDS, Query
from copycatch.units import MS_PER_DAY

FLAG_MS = 7 * MS_PER_DAY  # so long after a verdict an account teaches nothing and resists eviction
PENDING_MAX = 4_096  # evaluations learned per tick; the reference needs each account's latest, not every one
SAMPLED_ACCOUNTS = 500  # per tick, about: enough to follow traffic, few enough not to cost
# An account's highest score calibrates only so long after its first evaluation: most of its evaluations are
# over then, and an attack has been named, or is slow enough to be one among many.
MATURE_MS = 48 * 3_600_000
HTTP_ERROR = 400  # from here on the answer is no answer
IS_IN_RECENT = np.array([feature.in_recent for feature in FEATURES])
FALSE_ALARM_SHARE = 0.01  # of all accounts: what budgets of 1 to 2 expect in a week
MATURE_MAX = 20_000  # accounts that calibrate: the tail of so many is known far beyond any budget


def sample_queries(
    state: EngineState, batch: RecordBatch, rows: IntArray, signals: SignalColumns, first: int, stop: int
) -> None:
    """Put the first few queries per tick of every sampled account in the queue of its model's pool.

    Records `first` to `stop` of the batch are those of this tick.
    """
    picks = _first_of_tick(state, batch.statuses[first:stop], rows[first:stop]) + first
    if not len(picks):
        return
    embeddings, inputs = _vectors_of(batch.embeddings, picks), _vectors_of(batch.inputs, picks)
    words_at = zip(signals.word_starts[picks].tolist(), signals.word_starts[picks + 1].tolist(), strict=True)
    # As plain numbers at once: taken out of the arrays one by one they would cost more than all else here.
    numbers = zip(
        state.rows.account_hashes[rows[picks]].tolist(),
        batch.event_times_ms[picks].tolist(),
        batch.input_hashes[picks].tolist(),
        batch.label_codes[picks].tolist(),
        batch.margins[picks].tolist(),
        batch.entropies[picks].tolist(),
        strict=True,
    )
    for index, (begin, end), (account_hash, time_ms, input_hash, label, margin, entropy) in zip(
        picks.tolist(), words_at, numbers, strict=True
    ):
        population = state.populations.get(batch.model_ids[index])
        if population is None:
            continue
        population.answered_ms = max(population.answered_ms, time_ms)
        embedding, numeric = embeddings.get(index), inputs.get(index)
        voting = numeric if embedding is None else embedding
        if voting is not None:
            population.votes.cast(account_hash, Shape(embedding is None, len(voting)), time_ms)
            if population.uses_inputs is None:
                population.uses_inputs = embedding is None  # until the model is born
        vector = numeric if population.uses_inputs else embedding
        if vector is None or (population.is_born and len(vector) != population.vector_length):
            continue
        is_beside = numeric is not None and not population.uses_inputs
        beside = numeric.copy() if is_beside and numeric is not None else NO_VECTOR
        words = signals.words[begin:end].copy() if end > begin else NO_WORDS
        population.pool.wait(
            Query(account_hash, time_ms, input_hash, label, margin, entropy, vector.copy(), beside, words)
        )


def _vectors_of(blocks: Sequence[VectorBlock], picks: IntArray) -> dict[int, Float32Array]:
    """Vectors of some of the records, by record."""
    found: dict[int, Float32Array] = {}
    for signals in blocks:
        at = np.minimum(np.searchsorted(signals.rows, picks), len(signals.rows) - 1)
        is_there = signals.rows[at] == picks
        found.update(zip(picks[is_there].tolist(), signals.values[at[is_there]], strict=True))
    return found


def _first_of_tick(state: EngineState, statuses: npt.NDArray[np.int16], rows: IntArray) -> IntArray:
    """Answered records of accounts that are sampled in this tick, at most `PER_TICK_MAX` of each."""
    known = np.flatnonzero((rows >= 0) & (statuses < HTTP_ERROR))
    is_turn = (
        state.rows.account_hashes[rows[known]] % state.sample_modulus == state.tick % state.sample_modulus
    )
    turn = known[is_turn]
    is_first = np.zeros(len(turn), dtype=np.bool_)
    judged = state.rows.table
    count_in_tick(rows[turn], state.tick, judged["tick_ids"], judged["tick_counts"], is_first)
    picks: IntArray = turn[is_first]
    return picks


def remember(state: EngineState, evaluations: Evaluations, scores: Scores, is_over: BoolArray) -> None:
    """Keep the accounts' levels and highest scores.

    A flagged account keeps the highest score of its time before: were it left out altogether, every false
    alarm would lower the threshold for its like; were its later scores kept, an attack would raise it.
    """
    rows, judged, basis = evaluations.rows, state.rows, scores.basis
    known = ~np.isnan(basis.levels)
    judged.level[rows[known]] = basis.levels[known]  # of several of one account the last one stays
    is_first = judged.judged_ms[rows] == 0
    judged.judged_ms[rows[is_first][::-1]] = evaluations.event_times_ms[is_first][::-1]  # earliest last
    is_clear = ~is_over & (judged.flagged_ms[rows] == 0)
    np.fmax.at(judged.score_max, rows[is_clear], basis.raw[is_clear].astype(np.float32))
    np.fmax.at(judged.family_max, rows[is_clear], basis.families[is_clear].astype(np.float32))


def queue_evaluations(
    state: EngineState, evaluations: Evaluations, scores: Scores, is_over: BoolArray
) -> None:
    """Put aside the features of who was not flagged, to be learned at the next tick."""
    lifetime, recent, rows = evaluations.lifetime, evaluations.recent, evaluations.rows
    now, first, hashes, is_flagged, n_effective, recent_n_effective = (
        column.tolist()
        for column in (
            evaluations.event_times_ms,
            evaluations.first_seen_ms,
            state.rows.account_hashes[rows],
            state.rows.flagged_ms[rows] != 0,
            lifetime.n_effective,
            recent.n_effective,
        )
    )
    for index in np.flatnonzero(~is_over).tolist():
        model_id = evaluations.model_ids[index]
        population = state.populations.get(model_id)
        if len(state.pending) >= PENDING_MAX:
            return
        if population is None or not population.is_settled or is_flagged[index]:
            continue
        if now[index] - population.born_ms > MATURE_MS and now[index] - first[index] < MATURE_MS:
            continue
        account_hash = hashes[index]
        if LEARNERS:
            own = slice(index, index + 1)
            usage = lifetime.values[own, USAGE_COLUMNS]
            inputs = Inputs(scores.basis.positions[own].copy(), scores.basis.anomalies[own].copy(), usage)
            state.ensemble(model_id).wait(account_hash, inputs)
        values = lifetime.values[index].copy()
        if n_effective[index] < RECENT_STRATA_BELOW:
            values[IS_IN_RECENT] = np.nan  # of few queries recent windows tell, and volume needs a lifetime
        state.pending.append(Pending(model_id, account_hash, n_effective[index], values))
        own_recent = recent.values[index].copy()
        state.pending.append(Pending(model_id, account_hash, recent_n_effective[index], own_recent))


def learn(state: EngineState, now_ms: int, n_accounts: int) -> None:
    """Let every model's population learn what the segment showed; `n_accounts` are known at its end."""
    n = state.slots.n_rows
    flagged_rows = np.flatnonzero(state.rows.flagged_ms[:n] > now_ms - FLAG_MS)
    flagged = frozenset(state.rows.account_hashes[flagged_rows].tolist())
    for waiting in state.pending:
        population = state.populations.get(waiting.model_id)
        if population is None or waiting.account_hash in flagged:
            continue
        if population.may_vote(waiting.account_hash, now_ms):
            population.reference.learn(waiting.account_hash, waiting.n_effective, waiting.values)
    state.pending.clear()
    for model_id in list(state.populations):
        population = state.populations[model_id]
        age_h = population.age_h(now_ms)
        is_due = age_h > population.calibrated_h
        rows = state.slots.rows_of_model(model_id) if is_due or not population.is_settled else None
        if rows is not None:
            population = _agree(state, model_id, rows, now_ms)
        _learn_model(state, model_id, rows, flagged, now_ms)
        if rows is not None and is_due:
            _calibrate(state, population, rows, now_ms)
    state.sample_modulus = max(1, n_accounts // SAMPLED_ACCOUNTS)


def _agree(state: EngineState, model_id: str, rows: IntArray, now_ms: int) -> ModelPopulation:
    """The population in force: another one where most accounts' vectors are others by now."""
    before = state.populations[model_id]
    population = state.populations[model_id] = before.agree(now_ms)
    if population is not before:
        state.populations_restarted += 1
        if (watch := state.watches.get(model_id)) is not None:
            watch.first_ms, watch.odd = now_ms, 0.0
        _forget_measures(state, model_id, rows)
    return population


def _forget_measures(state: EngineState, model_id: str, rows: IntArray) -> None:
    """What was measured in a space that is no more."""
    state.windows.forget_space(rows)
    state.rows.score_max[rows] = -np.inf
    state.rows.level[rows] = np.nan
    state.rows.family_max[rows] = -np.inf
    state.ensembles.pop(model_id, None)
    if state.over is not None:
        _forget_measures(state.over, model_id, state.over.slots.rows_of_model(model_id))


def _learn_model(
    state: EngineState,
    model_id: str,
    rows: IntArray | None,
    flagged: frozenset[int],
    now_ms: int,
) -> None:
    population = state.populations[model_id]
    is_new_space = population.tick(now_ms, flagged)
    if model_id in state.ensembles:
        state.ensembles[model_id].learn(flagged)
    if rows is None:
        return
    labels = np.array([query.label for query in population.pool.queries()], dtype=np.int64)
    counts = np.bincount(labels[labels >= 0] % LABEL_BINS, minlength=LABEL_BINS)
    population.label_counts = counts.astype(np.float64)
    if is_new_space:
        _forget_measures(state, model_id, rows)
        population.tails = population.calibration = None


def _calibrate(state: EngineState, population: ModelPopulation, rows: IntArray, now_ms: int) -> None:
    """Tails of the lifetime maxima, each account's as long as it was not flagged."""
    if not population.is_settled:
        return
    judged = state.rows
    age_ms = min(MATURE_MS, (now_ms - population.born_ms) // 2)
    old = rows[(judged.judged_ms[rows] > 0) & (judged.judged_ms[rows] <= now_ms - age_ms)]
    old = old[:: len(old) // MATURE_MAX + 1]
    highest = judged.score_max[old].astype(np.float64)
    kept = _without_flagged(highest, judged.flagged_ms[old] > 0)
    maxima = highest[kept]
    is_known = np.isfinite(maxima)
    lived_days = (now_ms - judged.judged_ms[old[kept]]) / MS_PER_DAY
    families = judged.family_max[old[kept]].astype(np.float64)
    is_use = bool(np.isfinite(families[:, DISTILLATION]).any())
    scale_min = USE_SCALE_MIN if is_use else SCORE_SCALE_MIN
    population.calibrate(
        now_ms, maxima[is_known], lived_days[is_known], families, FAMILY_SCALE_MINS, scale_min
    )


def _without_flagged(maxima: FloatArray, is_flagged: BoolArray) -> IntArray:
    """Accounts that calibrate: those that were not flagged, and of the flagged as many as are false alarms.

    Were all of them left out, every false alarm would lower the threshold for its like; were all kept, the
    extractions under way would crowd right below the threshold and lift it. The most anomalous ones stand
    for the false alarms.
    """
    flagged = np.flatnonzero(is_flagged & np.isfinite(maxima))
    n_false = int(np.ceil(FALSE_ALARM_SHARE * len(maxima)))
    false_alarms = flagged[np.argsort(-maxima[flagged], kind="stable")][:n_false]
    kept: IntArray = np.sort(np.concatenate([np.flatnonzero(~is_flagged), false_alarms]))
    return kept
