"""Which records of a batch count; every other one is rejected with field and remedy, or counted.

Each of these is charged to its account: it passes on as a record without an answer, in order of arrival.
"""

from dataclasses import replace

import numpy as np

from copycatch.engine.turn import Turn
from copycatch.records.columns import BoolArray, Charge, IntArray, Outcomes, RecordBatch
from copycatch.records.rejects import reject
from copycatch.records.selection import select
from copycatch.space.shorten import shortened
from copycatch.units import UNIX_MS_MIN, format_rfc3339, to_ms
from copycatch.windows.admission import DROPPED_MS

FUTURE_MS_MAX = 300_000  # clocks of honest gateways agree within five minutes
NOT_JUDGED = 599  # status of what passes on only to be counted: an answer that nothing is learned from


def admit(turn: Turn, batch: RecordBatch, shard_name: str, now_ms: int) -> tuple[RecordBatch, IntArray]:
    """The records, those charged that do not count, and the shard's latest event time at each of them.

    What is late takes the time of the shard's watermark at its arrival; long vectors are shortened. Charged
    are records from the far future, those older than `DROPPED_MS` at their arrival, and repeated ones.
    """
    state, outcomes = turn.state, turn.outcomes
    times_ms, charges = batch.event_times_ms, batch.charges.copy()
    is_bad = _reject_far_future(batch, now_ms, outcomes)
    good = np.flatnonzero(~is_bad)
    shard = state.shard(shard_name)
    latest_ms = np.full(len(batch), shard.latest_ms)
    is_late, latest_ms[good] = shard.is_late(times_ms[good], DROPPED_MS)
    latest_ms = np.maximum.accumulate(latest_ms)
    timely = good[~is_late]
    is_repeated = shard.seen.mark(
        times_ms[timely],
        _picked(batch.account_ids, timely),
        _picked(batch.event_ids, timely),
        batch.input_hashes[timely],
    )
    charges[is_bad] = Charge.REJECTED
    charges[good[is_late]] = Charge.LATE
    charges[timely[is_repeated]] = Charge.REPEATED
    counts = outcomes.counts
    counts.rejected += int(is_bad.sum())
    counts.late += int(is_late.sum())
    counts.duplicates += int(is_repeated.sum())
    counts.accepted += len(timely) - int(is_repeated.sum())
    is_out = is_bad.copy()
    is_out[good[is_late]] = is_out[timely[is_repeated]] = True
    earliest_ms = latest_ms - to_ms(turn.policy.windows.late_s_max)
    passed = replace(
        batch,
        event_times_ms=np.minimum(np.maximum(times_ms, earliest_ms), latest_ms),
        statuses=np.where(is_out, np.int16(NOT_JUDGED), batch.statuses),
        charges=charges,
        inputs=[replace(block, values=shortened(block.values)) for block in batch.inputs],
        embeddings=[replace(block, values=shortened(block.values)) for block in batch.embeddings],
    )
    known = np.flatnonzero(latest_ms > UNIX_MS_MIN)  # what comes before any time is known has no place
    return select(passed, known), latest_ms[known]


def future_text(time_ms: int, now_ms: int) -> str:
    """What is wrong with a time that lies in the future, and the remedy."""
    return (
        f"{format_rfc3339(time_ms)} is more than {FUTURE_MS_MAX // 1000} s after now "
        f"({format_rfc3339(now_ms)}); "
        "check the clocks of the gateway and of this machine, and that local times are not marked as UTC"
    )


def _picked(texts: list[str], indices: IntArray) -> list[str]:
    return texts if len(indices) == len(texts) else [texts[index] for index in indices.tolist()]


def _reject_far_future(batch: RecordBatch, now_ms: int, outcomes: Outcomes) -> BoolArray:
    is_bad: BoolArray = batch.event_times_ms > now_ms + FUTURE_MS_MAX
    for index in np.flatnonzero(is_bad).tolist():
        message = future_text(int(batch.event_times_ms[index]), now_ms)
        position, account_id = int(batch.positions[index]), batch.account_ids[index]
        outcomes.rejects.append(reject(batch.raw, position, "far_future", "event_time", message, account_id))
    return is_bad
