"""Which records of a batch count; every other one is rejected with field and remedy, or counted."""

import numpy as np

from copycatch.engine.turn import Turn
from copycatch.records.columns import BoolArray, IntArray, Outcomes, RecordBatch
from copycatch.records.rejects import reject
from copycatch.records.wire import RejectReason
from copycatch.units import format_rfc3339, to_ms

FUTURE_MS_MAX = 300_000  # clocks of honest gateways agree within five minutes


def admit(turn: Turn, batch: RecordBatch, shard_name: str, now_ms: int) -> tuple[IntArray, IntArray]:
    """Positions of the records that count, and the shard's latest event time at each of them.

    The others are rejected or counted: from the far future, late, or repeated.
    """
    state, outcomes = turn.state, turn.outcomes
    is_bad = _reject_far_future(batch, now_ms, outcomes)
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
