"""What a shard puts aside for the learner while it judges. Nothing here changes what is learned."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from copycatch.campaigns.find import SEARCH_MS
from copycatch.decisions.members import all_findings
from copycatch.engine.evaluate import by_model
from copycatch.engine.inputs import (
    EVALUATIONS_MAX,
    SAMPLES_MAX,
    Evaluated,
    LearningInputs,
    ModelInputs,
    SampleIds,
)
from copycatch.engine.learned import TICK_MS
from copycatch.engine.state import EngineState
from copycatch.features.catalog import FEATURES
from copycatch.population.account_table import AccountMaxima
from copycatch.population.model import ModelPopulation
from copycatch.population.pool import count_in_tick, has_room
from copycatch.population.reference import RECENT_STRATA_BELOW
from copycatch.population.shape import Shape
from copycatch.records.columns import (
    BoolArray,
    Evaluations,
    Float32Array,
    IntArray,
    RecordBatch,
    Scores,
    SignalColumns,
    VectorBlock,
)
from copycatch.scoring.distillation import USAGE_COLUMNS
from copycatch.scoring.protocol import Inputs
from copycatch.space.query import NO_VECTOR, NO_WORDS, Query
from copycatch.windows.state import SAMPLE_IDS

HTTP_ERROR = 400  # from here on the answer is no answer
# An account's highest score calibrates only so long after its first evaluation: most of its evaluations are
# over then, and an attack has been named, or is slow enough to be one among many.
MATURE_MS = 48 * 3_600_000
IS_IN_RECENT = np.array([feature.in_recent for feature in FEATURES])


def count_records(state: EngineState, shard: str, batch: RecordBatch, first: int, stop: int) -> None:
    """Count the answered records `first` to `stop` of each model, and those of an odd vector length."""
    is_answered = batch.statuses < HTTP_ERROR
    inputs = state.inputs_of(shard)
    for model_id, members in by_model(batch.model_ids[first:stop]):
        answered = members[is_answered[members + first]] + first
        own = inputs.of(model_id, state.epoch(model_id)) if len(answered) else None
        if own is None:
            continue
        own.first_ms = own.first_ms or int(batch.event_times_ms[answered[0]])
        own.answered += len(answered)
    for vectors in (*batch.inputs, *batch.embeddings):
        population, known = state.populations.get(vectors.model_id), inputs.models.get(vectors.model_id)
        if population is None or not population.is_born or known is None:
            continue
        is_other_kind = bool(population.uses_inputs) != any(vectors is each for each in batch.inputs)
        if is_other_kind or vectors.is_derived or vectors.values.shape[1] == population.vector_length:
            continue
        rows = vectors.rows[(vectors.rows >= first) & (vectors.rows < stop)]
        state.vectors_left_out += len(rows)
        known.odd += int(is_answered[rows].sum())


def sample_queries(
    state: EngineState,
    shard: str,
    batch: RecordBatch,
    rows: IntArray,
    signals: SignalColumns,
    bounds: tuple[int, int],
) -> None:
    """Put aside the first few queries per tick of every sampled account, with the votes on their vectors.

    `bounds` are the first record of the tick in the batch, and the one after its last.
    """
    first, stop = bounds
    picks = _first_of_tick(state, batch.statuses[first:stop], rows[first:stop]) + first
    if not len(picks):
        return
    inputs = state.inputs_of(shard)
    embeddings, numerics = _vectors_of(batch.embeddings, picks), _vectors_of(batch.inputs, picks)
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
        model_id = batch.model_ids[index]
        population = state.populations.get(model_id)
        if population is None and model_id not in inputs.births:
            continue
        own = inputs.of(model_id, state.epoch(model_id))
        if own is None:
            continue
        own.answered_ms = max(own.answered_ms, time_ms)
        embedding, numeric = embeddings.get(index), numerics.get(index)
        voting = numeric if embedding is None else embedding
        if voting is None:
            continue
        own.cast(account_hash, Shape(embedding is None, len(voting)), time_ms)
        vectors = _kept(population, embedding, numeric)
        if vectors is None or not _has_room(population, inputs, own, time_ms):
            continue
        words = signals.words[begin:end].copy() if end > begin else NO_WORDS
        own.samples.append(Query(account_hash, time_ms, input_hash, label, margin, entropy, *vectors, words))
        inputs.n_samples += 1


def _kept(
    population: ModelPopulation | None, embedding: Float32Array | None, numeric: Float32Array | None
) -> tuple[Float32Array, Float32Array] | None:
    """Embedding and numeric input, as far as the learner has a use for them."""
    if population is not None and population.is_born:
        vector = numeric if population.uses_inputs else embedding
        if vector is None or len(vector) != population.vector_length:
            return None
        if population.uses_inputs:
            embedding = None
    return (
        NO_VECTOR if embedding is None else embedding.copy(),
        NO_VECTOR if numeric is None else numeric.copy(),
    )


def _has_room(
    population: ModelPopulation | None, inputs: LearningInputs, own: ModelInputs, time_ms: int
) -> bool:
    """Whether the query would find a place in the model's line, were no other shard to send any."""
    if inputs.n_samples >= SAMPLES_MAX:
        return False
    n_waiting, first_ms = (0, None) if population is None else population.line
    if first_ms is None and own.samples:
        first_ms = own.samples[0].time_ms
    return has_room(n_waiting + len(own.samples), first_ms, time_ms)


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
    turn, modulus = state.clock_ms // TICK_MS, state.learned.sample_modulus
    known = np.flatnonzero((rows >= 0) & (statuses < HTTP_ERROR))
    is_turn = state.rows.account_hashes[rows[known]] % modulus == turn % modulus
    sampled = known[is_turn]
    is_first = np.zeros(len(sampled), dtype=np.bool_)
    judged = state.rows.table
    count_in_tick(rows[sampled], turn, judged["tick_ids"], judged["tick_counts"], is_first)
    picks: IntArray = sampled[is_first]
    return picks


def remember(state: EngineState, evaluations: Evaluations, scores: Scores, is_over: BoolArray) -> None:
    """Keep the accounts' levels and highest scores; those whose maxima or flags are new will be told of.

    A flagged account keeps the highest score of its time before: were it left out altogether, every false
    alarm would lower the threshold for its like; were its later scores kept, an attack would raise it.
    """
    rows, judged, basis = evaluations.rows, state.rows, scores.basis
    known = ~np.isnan(basis.levels)
    judged.level[rows[known]] = basis.levels[known]  # of several of one account the last one stays
    is_first = judged.judged_ms[rows] == 0
    judged.judged_ms[rows[is_first][::-1]] = evaluations.event_times_ms[is_first][::-1]  # earliest last
    is_clear = ~is_over & (judged.flagged_ms[rows] == 0)
    score_before, family_before = judged.score_max[rows], judged.family_max[rows]
    np.fmax.at(judged.score_max, rows[is_clear], basis.raw[is_clear].astype(np.float32))
    np.fmax.at(judged.family_max, rows[is_clear], basis.families[is_clear].astype(np.float32))
    is_new = is_over | is_first | (judged.score_max[rows] != score_before)
    is_new |= (judged.family_max[rows] != family_before).any(axis=1)
    if state.over is not None:  # of rows over models the learner does not know
        state.changed.update(rows[is_new].tolist())


def queue_evaluations(
    state: EngineState, shard: str, evaluations: Evaluations, scores: Scores, is_over: BoolArray
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
    inputs = state.inputs_of(shard)
    for index in np.flatnonzero(~is_over).tolist():
        model_id = evaluations.model_ids[index]
        population = state.populations.get(model_id)
        if inputs.n_evaluations >= EVALUATIONS_MAX:
            return
        if population is None or not population.is_settled or is_flagged[index]:
            continue
        if now[index] - population.born_ms > MATURE_MS and now[index] - first[index] < MATURE_MS:
            continue
        own_inputs = inputs.of(model_id, state.epoch(model_id))
        if own_inputs is None:
            continue
        own = slice(index, index + 1)
        values = lifetime.values[index].copy()
        if n_effective[index] < RECENT_STRATA_BELOW:
            values[IS_IN_RECENT] = np.nan  # of few queries recent windows tell, and volume needs a lifetime
        own_inputs.evaluations.append(
            Evaluated(
                hashes[index],
                now[index],
                n_effective[index],
                recent_n_effective[index],
                values,
                recent.values[index].copy(),
                Inputs(
                    scores.basis.positions[own].copy(),
                    scores.basis.anomalies[own].copy(),
                    lifetime.values[own, USAGE_COLUMNS],
                    scores.basis.activity[own].copy(),
                ),
            )
        )
        inputs.n_evaluations += 1


def tell(state: EngineState, now_ms: int, n_later: dict[str, int]) -> list[LearningInputs]:
    """What every shard of this worker has to tell at a tick; what they put aside starts afresh.

    `n_later` are accounts that came to a shard after the tick's last record, as far as they are known.
    """
    _tell_of_accounts(state)
    _tell_of_links(state, now_ms)
    told = []
    for shard in sorted(state.shards):
        inputs = state.inputs.pop(shard, None) or LearningInputs(shard)
        inputs.tick_ms, inputs.version = now_ms, state.learned.version
        inputs.n_accounts = state.slots.n_by_shard[state.shard_number(shard)] - n_later.get(shard, 0)
        told.append(inputs)
    return told


def _tell_of_accounts(state: EngineState) -> None:
    """The maxima and flags that have changed."""
    names, judged = list(state.shard_numbers), state.rows
    for row in sorted(state.changed):
        key = state.slots.key_of(row)
        inputs = state.inputs_of(names[state.slots.shards[row]]).of(key[2], state.epoch(key[2]))
        table = state.learned.accounts.get(key[2])
        account_hash, flagged_ms = int(judged.account_hashes[row]), int(judged.flagged_ms[row])
        is_beyond = table is not None and account_hash > table.hash_limit
        if inputs is None or (is_beyond and not flagged_ms):
            continue
        inputs.accounts.append(
            AccountMaxima(
                account_hash,
                int(state.windows.counters["first_ms"][row]),
                int(judged.judged_ms[row]),
                flagged_ms,
                float(judged.score_max[row]),
                judged.family_max[row].copy(),
            )
        )
    state.changed.clear()


def _tell_of_links(state: EngineState, now_ms: int) -> None:
    """Every half hour, where the search is elsewhere: link rows that have changed, and what accounts did."""
    if not state.is_remote or now_ms // SEARCH_MS <= state.clock_ms // SEARCH_MS:
        return
    names, n_rows = list(state.shard_numbers), state.slots.n_rows
    if len(state.links_told) < n_rows:
        state.links_told = np.concatenate(
            [state.links_told, np.zeros(2 * n_rows - len(state.links_told), dtype=np.int64)]
        )
    for name in state.shards:
        state.inputs_of(name).findings = all_findings(state.decision(name))
    queries = state.links.links["queries"][:n_rows].astype(np.int64)
    changed = np.flatnonzero(queries != state.links_told[:n_rows])
    state.links_told[changed] = queries[changed]
    homes = np.array([state.slots.shards[row] for row in changed.tolist()], dtype=np.int64)
    for home in np.unique(homes).tolist():
        rows, inputs = changed[homes == home], state.inputs_of(names[home])
        inputs.link_keys = [state.slots.key_of(row) for row in rows.tolist()]
        inputs.links, inputs.link_samples = state.links.take(rows), newest_samples(state, rows)
        inputs.log_start_ms = state.links.log_start_ms


def newest_samples(state: EngineState, rows: IntArray) -> SampleIds:
    """Id of the latest query of each account; empty where it is too long to be kept, (n,)."""
    newest = (state.windows.counters["sample_at"][rows].astype(np.int64) - 1) % SAMPLE_IDS
    ids: SampleIds = state.windows.history["sample_ids"][rows, newest]
    return ids


def tell_of_forgotten(state: EngineState, rows: Sequence[int]) -> None:
    """These accounts make room; called while their rows still have their keys."""
    names = list(state.shard_numbers)
    for row in rows:
        state.changed.discard(row)
        if row < len(state.links_told) and state.links_told[row]:
            state.links_told[row] = 0
            state.inputs_of(names[state.slots.shards[row]]).links_gone.append(state.slots.key_of(row))
        if not state.rows.judged_ms[row]:
            continue
        model_id = state.slots.key_of(row)[2]
        inputs = state.inputs_of(names[state.slots.shards[row]]).of(model_id, state.epoch(model_id))
        if inputs is not None:
            inputs.gone.append(int(state.rows.account_hashes[row]))
