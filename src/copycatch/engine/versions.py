"""Taking a version: from here on accounts are judged by it."""

from collections.abc import Mapping

import numpy as np

from copycatch.engine.learned import Learned
from copycatch.engine.state import EngineState
from copycatch.records.columns import IntArray


def take(state: EngineState, learned: Learned) -> None:
    """Judge by this version; what accounts were measured by in a space that is no more is forgotten."""
    state.learned = learned
    if state.over is not None:
        state.over.learned = learned
    for model_id in state.epochs.keys() | learned.populations.keys():
        epoch = learned.epoch(model_id)
        if state.epoch(model_id) != epoch:
            _forget_measures(state, model_id)
            state.epochs[model_id] = epoch
        if not epoch:
            state.epochs.pop(model_id, None)
        _tell_anew(state, model_id)


def tell_all(state: EngineState) -> None:
    """A learner that begins again knows of nobody: tell it of everybody at the next tick."""
    known = np.flatnonzero(state.rows.judged_ms[: state.slots.n_rows] > 0)
    state.changed.update(known.tolist())
    state.links_told[:] = 0


def _forget_measures(state: EngineState, model_id: str) -> None:
    _forget_rows(state, state.slots.rows_of_model(model_id))
    if state.over is not None:
        _forget_rows(state.over, state.over.slots.rows_of_model(model_id))


def _forget_rows(state: EngineState, rows: IntArray) -> None:
    state.windows.forget_space(rows)
    state.rows.score_max[rows] = -np.inf
    state.rows.level[rows] = np.nan
    state.rows.family_max[rows] = -np.inf


def _tell_anew(state: EngineState, model_id: str) -> None:
    """Where the learner wants to know of more accounts than before, those are told of."""
    table = state.learned.accounts.get(model_id)
    if table is None:
        state.hash_limits.pop(model_id, None)
        return
    before = state.hash_limits.get(model_id, table.hash_limit)
    state.hash_limits[model_id] = table.hash_limit
    if table.hash_limit > before:
        rows = state.slots.rows_of_model(model_id)
        hashes = state.rows.account_hashes[rows]
        is_new = (hashes > before) & (hashes <= table.hash_limit) & (state.rows.judged_ms[rows] > 0)
        state.changed.update(rows[is_new].tolist())


def merge_learned(state: EngineState, found: Learned) -> None:
    """A shard comes with what its worker had learned: the newer version of each model stands.

    What two learners knew of one model is never mixed. Rows go on with the sums they have: a worker that
    learns alone knows no space but its own, and what is known of an account is worth more than its exact
    frame.
    """
    own = state.learned
    is_newer = found.version > own.version or not own.populations
    for model_id, population in found.populations.items():
        if is_newer or model_id not in own.populations:
            own.populations[model_id] = population
            own.accounts[model_id] = found.table(model_id)
            own.ensembles.pop(model_id, None)
            if model_id in found.ensembles:
                own.ensembles[model_id] = found.ensembles[model_id]
    if is_newer:
        for name in ("watches", "watched_h", "sample_modulus", "version", "tick_ms"):
            setattr(own, name, getattr(found, name))
    own.accounts_by_source = found.accounts_by_source | own.accounts_by_source
    for model_id in own.populations:
        state.epochs[model_id] = own.epoch(model_id)
    state.epochs = {model_id: epoch for model_id, epoch in state.epochs.items() if epoch}


def forget_other_spaces(state: EngineState, rows: IntArray, epochs: Mapping[str, int]) -> None:
    """A shard comes whose rows were measured in these spaces: what is of another than here is forgotten."""
    models = np.array([state.slots.key_of(row)[2] for row in rows.tolist()], dtype=object)
    for model_id in set(models.tolist()):
        if epochs.get(model_id, 0) != state.epoch(model_id):
            _forget_rows(state, rows[models == model_id])
