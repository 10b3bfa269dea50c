"""Which records of a batch count; every other one is rejected with field and remedy, or counted."""

import numpy as np

from copycatch.engine.state import EngineState
from copycatch.engine.turn import Turn
from copycatch.records.columns import BoolArray, IntArray, Outcomes, RecordBatch
from copycatch.records.rejects import reject
from copycatch.records.wire import RejectReason
from copycatch.units import format_rfc3339, to_ms

FUTURE_MS_MAX = 300_000  # clocks of honest gateways agree within five minutes
MODELS_REMEMBERED_MAX = 4_096  # whose vector lengths are remembered; those of further models go unchecked


def admit(turn: Turn, batch: RecordBatch, shard_name: str, now_ms: int) -> tuple[IntArray, IntArray]:
    """Positions of the records that count, and the shard's latest event time at each of them.

    The others are rejected or counted: from the far future, of another length than their model's vectors,
    late, or repeated.
    """
    state, outcomes = turn.state, turn.outcomes
    is_bad = _reject_far_future(batch, now_ms, outcomes) | _reject_vector_lengths(state, batch, outcomes)
    shard = state.shard(shard_name)
    good = np.flatnonzero(~is_bad)
    is_late, latest_ms = shard.is_late(batch.event_times_ms[good], to_ms(turn.policy.windows.late_s_max))
    timely = good[~is_late]
    is_duplicate = shard.seen.mark(
        batch.event_times_ms[timely],
        _picked(batch.account_ids, timely),
        _picked(batch.event_ids, timely),
        batch.input_hashes[timely],
    )
    accepted = timely[~is_duplicate]
    counts = outcomes.counts
    counts.rejected += int(is_bad.sum())
    counts.late += int(is_late.sum())
    counts.duplicates += int(is_duplicate.sum())
    counts.accepted += len(accepted)
    return accepted, latest_ms[~is_late][~is_duplicate]


def _picked(texts: list[str], indices: IntArray) -> list[str]:
    return texts if len(indices) == len(texts) else [texts[index] for index in indices.tolist()]


def _reject(
    batch: RecordBatch, index: int, outcomes: Outcomes, reason: RejectReason, field: str, message: str
) -> None:
    outcomes.rejects.append(reject(batch.raw, int(batch.positions[index]), reason, field, message))


def _reject_far_future(batch: RecordBatch, now_ms: int, outcomes: Outcomes) -> BoolArray:
    is_bad: BoolArray = batch.event_times_ms > now_ms + FUTURE_MS_MAX
    for index in np.flatnonzero(is_bad).tolist():
        written, now = format_rfc3339(int(batch.event_times_ms[index])), format_rfc3339(now_ms)
        message = (
            f"{written} is more than {FUTURE_MS_MAX // 1000} s after now ({now}); check the gateway's clock"
        )
        _reject(batch, index, outcomes, "far_future", "event_time", message)
    return is_bad


def _reject_vector_lengths(state: EngineState, batch: RecordBatch, outcomes: Outcomes) -> BoolArray:
    """Vectors that disagree in length with the first ones of their model."""
    is_bad = np.zeros(len(batch), dtype=np.bool_)
    for field in ("inputs", "embeddings", "probabilities"):
        kept = []
        blocks = sorted(getattr(batch, field), key=lambda signals: int(signals.rows[0]))
        for signals in blocks:
            length = signals.values.shape[1]
            expected = state.vector_lengths.get((signals.model_id, field))
            if signals.is_derived:
                if expected in {None, length}:
                    kept.append(signals)
                continue
            if expected is None and len(state.vector_lengths) < 3 * MODELS_REMEMBERED_MAX:
                expected = state.vector_lengths[signals.model_id, field] = length
                _start_afresh(state, signals.model_id, field, length)
            if expected is None or length == expected:
                kept.append(signals)
                continue
            name = {"inputs": "input", "embeddings": "embedding"}.get(field, field)
            message = f"{length} values; the other records of model {signals.model_id!r} have {expected}"
            for row in signals.rows[~is_bad[signals.rows]].tolist():
                _reject(batch, row, outcomes, "vector_length", name, message)
            is_bad[signals.rows] = True
        setattr(batch, field, kept)
    return is_bad


def _start_afresh(state: EngineState, model_id: str, field: str, length: int) -> None:
    """Forget a population that was learned on derived embeddings when the log begins to give its own."""
    population = state.populations.get(model_id)
    if field != "embeddings" or population is None or population.uses_inputs is not False:
        return
    if population.pool.vector_length not in {None, length}:
        del state.populations[model_id]
        state.ensembles.pop(model_id, None)
        state.windows.forget_space(state.slots.rows_of_model(model_id))
