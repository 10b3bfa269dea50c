"""The learner: what all shards told of a tick becomes the next version of what is normal.

Pure and deterministic: the same inputs, in whatever order and by however many shards they come, give the same
version. Within a tick they are taken in order of event time, then account.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from copycatch.engine.gathering import MATURE_MS
from copycatch.engine.inputs import EVALUATIONS_MAX, Evaluated, LearningInputs, ModelInputs
from copycatch.engine.learned import Learned, ModelWatch
from copycatch.engine.model_watch import WATCHED_MAX, make_room
from copycatch.layout.row import LABEL_BINS
from copycatch.population.account_table import AccountTable
from copycatch.population.calibration import ACCOUNTS_MIN, SCORE_SCALE_MIN, USE_SCALE_MIN
from copycatch.population.model import HOUR_MS, SETTLED_AGE_H, ModelPopulation
from copycatch.records.columns import BoolArray, FloatArray, IntArray
from copycatch.scoring.combine import FAMILY_SCALE_MINS
from copycatch.scoring.score import DISTILLATION
from copycatch.space.query import NO_VECTOR, Query
from copycatch.units import MS_PER_DAY

FALSE_ALARM_SHARE = 0.01  # of all accounts: what budgets of 1 to 2 expect in a week


def learn(learned: Learned, inputs: Sequence[LearningInputs], now_ms: int) -> None:
    """Make the version of the tick at `now_ms`, in place.

    Parameters
    ----------
    learned : Learned
        The version before.
    inputs : sequence of LearningInputs
        What shards told since, one or more of each; those told of an earlier tick are late, and are learned
        now.
    now_ms : int
        Event time of the tick.
    """
    births = sorted((ms, model_id) for each in inputs for model_id, ms in each.births.items())
    for born_ms, model_id in births:
        learned.population(model_id, born_ms)
    for each in inputs:
        learned.count_accounts(each.source, each.n_accounts, now_ms)
    by_model: dict[str, list[ModelInputs]] = {}
    for each in inputs:
        for model_id, own in each.models.items():
            by_model.setdefault(model_id, []).append(own)
    for model_id in sorted(by_model, key=lambda name: (_first_of(by_model[name]), name)):
        _watch(learned, model_id, by_model[model_id])
    for model_id in list(learned.populations):
        _learn_model(learned, model_id, by_model.get(model_id, []), now_ms)
    learned.correlator.learn(inputs, now_ms)
    learned.sample_again(now_ms)
    make_room(learned, now_ms)
    learned.version += 1
    learned.tick_ms = max(learned.tick_ms, now_ms)


def _first_of(parts: Sequence[ModelInputs]) -> int:
    return min((part.first_ms for part in parts if part.answered), default=0)


def _watch(learned: Learned, model_id: str, parts: Sequence[ModelInputs]) -> None:
    """Count what was answered of a model."""
    n_answered = sum(part.answered for part in parts)
    watch = learned.watches.get(model_id)
    if watch is None:
        if not n_answered or len(learned.watches) >= WATCHED_MAX:
            return
        watch = learned.watches[model_id] = ModelWatch(_first_of(parts))
    watch.records += n_answered
    watch.odd += sum(part.odd for part in parts)


def _learn_model(learned: Learned, model_id: str, parts: Sequence[ModelInputs], now_ms: int) -> None:
    population, table = learned.populations[model_id], learned.table(model_id)
    current = [part for part in parts if part.epoch == population.epoch]
    learned.inputs_outdated += sum(len(part.evaluations) for part in parts if part.epoch != population.epoch)
    _take_accounts(table, parts, population.epoch)
    flagged = table.flagged(now_ms)
    evaluations = (each for part in current for each in part.evaluations)
    _take_evaluations(learned, model_id, evaluations, flagged, now_ms)
    _take_samples(population, parts)
    age_h = population.age_h(now_ms)
    is_due = age_h > population.calibrated_h
    is_open = is_due or not population.is_settled
    if is_open:
        population = _agree(learned, model_id, now_ms)
    _settle_unmeasured(learned, model_id, now_ms)
    is_new_space = population.tick(now_ms, flagged)
    if model_id in learned.ensembles:
        learned.ensembles[model_id].learn(flagged)
    if is_open:
        _look_around(learned, model_id, now_ms, is_new_space=is_new_space, is_due=is_due)
    if population.is_settled:
        learned.ensemble(model_id)  # from here on it is asked


def _settle_unmeasured(learned: Learned, model_id: str, now_ms: int) -> None:
    """A model whose queries nobody can measure is judged by how much and when its accounts ask."""
    population, watch = learned.populations[model_id], learned.watches.get(model_id)
    if population.is_settled or population.is_born or watch is None:
        return
    has_lived = now_ms - watch.first_ms >= SETTLED_AGE_H * HOUR_MS
    if has_lived and len(learned.table(model_id).rows) >= ACCOUNTS_MIN:
        population.settle_unmeasured(watch.first_ms)


def _look_around(learned: Learned, model_id: str, now_ms: int, *, is_new_space: bool, is_due: bool) -> None:
    """What is learned once an hour, and at every tick while a model is new: labels and tails."""
    population, table = learned.populations[model_id], learned.table(model_id)
    labels = np.array([query.label for query in population.pool.queries()], dtype=np.int64)
    counts = np.bincount(labels[labels >= 0] % LABEL_BINS, minlength=LABEL_BINS)
    population.label_counts = counts.astype(np.float64)
    if is_new_space:
        _forget_measures(learned, model_id)
        population.tails = population.calibration = None
    if is_due:
        table.widen()
        _calibrate(population, table, now_ms)


def _take_accounts(table: AccountTable, parts: Sequence[ModelInputs], epoch: int) -> None:
    for part in parts:
        table.remove(part.gone)
    for part in parts:
        is_current = part.epoch == epoch
        table.update(each if is_current else each.unmeasured() for each in part.accounts)


def _take_evaluations(
    learned: Learned,
    model_id: str,
    evaluations: Iterable[Evaluated],
    flagged: frozenset[int],
    now_ms: int,
) -> None:
    population = learned.populations[model_id]
    taken = sorted(evaluations, key=lambda each: (each.time_ms, each.account_hash))[:EVALUATIONS_MAX]
    for each in taken:
        learned.ensemble(model_id).wait(each.account_hash, each.inputs)
    for each in taken:
        if each.account_hash in flagged:
            continue
        for n_effective, values in (
            (each.n_effective, each.lifetime),
            (each.recent_n_effective, each.recent),
        ):
            if population.may_vote(each.account_hash, now_ms):
                population.reference.learn(each.account_hash, n_effective, values)


def _take_samples(population: ModelPopulation, parts: Sequence[ModelInputs]) -> None:
    """Queries join the model's line; where it is not born, the first one says by which vectors it may be."""
    votes = [(ms, account, shape) for part in parts for account, (shape, ms) in part.votes.items()]
    for ms, account_hash, shape in sorted(votes):
        population.votes.cast(account_hash, shape, ms)
    population.answered_ms = max([population.answered_ms, *(part.answered_ms for part in parts)])
    samples = [query for part in parts for query in part.samples]
    samples.sort(key=lambda query: (query.time_ms, query.account_hash))
    for query in samples:
        if population.uses_inputs is None:
            population.uses_inputs = not len(query.vector)  # until the model is born
        placed = _placed(query, uses_inputs=population.uses_inputs)
        if len(placed.vector) and not (population.is_born and len(placed.vector) != population.vector_length):
            population.pool.wait(placed)


def _placed(query: Query, *, uses_inputs: bool) -> Query:
    """The query with the vector that its model goes by, and with numeric inputs only beside an embedding."""
    vector, beside = (query.input_vector, NO_VECTOR) if uses_inputs else (query.vector, query.input_vector)
    return Query(
        query.account_hash, query.time_ms, query.input_hash, query.label, query.margin, query.entropy,
        vector, beside, query.words,
    )  # fmt: skip


def _agree(learned: Learned, model_id: str, now_ms: int) -> ModelPopulation:
    """The population in force: another one where most accounts' vectors are others by now."""
    before = learned.populations[model_id]
    population = learned.populations[model_id] = before.agree(now_ms, len(learned.table(model_id).rows))
    if population is not before:
        learned.restarted += 1
        if (watch := learned.watches.get(model_id)) is not None:
            watch.first_ms, watch.odd = now_ms, 0.0
        _forget_measures(learned, model_id)
    return population


def _forget_measures(learned: Learned, model_id: str) -> None:
    """What was measured in a space that is no more; shards forget theirs when they take the version."""
    learned.table(model_id).forget_scores()
    learned.ensembles.pop(model_id, None)


def _calibrate(population: ModelPopulation, table: AccountTable, now_ms: int) -> None:
    """Tails of the lifetime maxima, each account's as long as it was not flagged."""
    if not population.is_settled:
        return
    known = table.maxima()
    age_ms = min(MATURE_MS, (now_ms - population.born_ms) // 2)
    old = np.flatnonzero((known.judged_ms > 0) & (known.judged_ms <= now_ms - age_ms))
    highest = known.scores[old]
    kept = _without_flagged(highest, known.is_flagged[old])
    maxima = highest[kept]
    is_known = np.isfinite(maxima)
    lived_days = (now_ms - known.judged_ms[old[kept]]) / MS_PER_DAY
    families = known.families[old[kept]]
    is_use = bool(len(families)) and bool(np.isfinite(families[:, DISTILLATION]).any())
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
