"""One batch through every stage, in order. The only file that knows the order.

Time is cut into *segments* by ticks: a tick falls where event time crosses a multiple of `span.TICK_MS`,
and after `span.SEGMENT_RECORDS_MAX` records. Within a segment everything that is learned (spaces,
references, calibrations) is frozen; at the tick the population learns what the segment showed, idle episodes
are worked off and room is made for new accounts. Ticks belong to the sequence of records, not to how a broker
cut it into batches, and each account's own state is a sequential fold: therefore the same records give the
same outcomes, however cut.
"""

from collections.abc import Mapping

import numpy as np

from copycatch.decisions.judge import Verdicts, judge, may_be_announced
from copycatch.decisions.judge import advance as advance_decisions
from copycatch.engine.evaluate import compare, pick_evaluations, pick_scores, score
from copycatch.engine.learning import FLAG_MS, learn, queue_evaluations, sample_queries
from copycatch.engine.reasons import add_reasons
from copycatch.engine.span import BatchSpan, fold_span, segment_stops, tick_ms
from copycatch.engine.state import EngineState
from copycatch.features.catalog import SPECS
from copycatch.records.columns import BoolArray, Evaluations, IntArray, Outcomes, RecordBatch, Scores
from copycatch.records.policy import Policy
from copycatch.records.rejects import reject
from copycatch.records.selection import select
from copycatch.records.wire import RejectReason
from copycatch.units import UnixMs, format_rfc3339, to_ms
from copycatch.windows.slots import rows_to_evict

FUTURE_MS_MAX = 300_000  # clocks of honest gateways agree within five minutes
MODELS_REMEMBERED_MAX = 4_096  # whose vector lengths are remembered; those of further models go unchecked


def step(
    state: EngineState,
    batch: RecordBatch,
    now_ms: UnixMs,
    policy: Policy,
    silent: frozenset[str] = frozenset(),
    behind: frozenset[str] = frozenset(),
) -> Outcomes:
    """Take one batch through every stage.

    Parameters
    ----------
    state : EngineState
        Changed in place, and nothing else is.
    batch : RecordBatch
        Records of one shard, in order of arrival.
    now_ms : UnixMs
        Used for one thing: records more than five minutes after it are rejected as from the far future.
    policy : Policy
    silent : frozenset of str
        Shards of which nothing is to be announced: what is committed of them is being replayed.
    behind : frozenset of str
        Other shards of which records are still to come: their episodes go by their own clock, as those of
        this one do, while quiet shards go by the latest of all. Else who lags would seem to have fallen
        silent.

    Returns
    -------
    Outcomes
        `counts` has every record of the batch exactly once.
    """
    outcomes = Outcomes()
    shard_name = f"{batch.raw.topic}:{batch.raw.partition}"
    accepted, latest_ms = _admit(state, batch, shard_name, now_ms, policy, outcomes)
    batch = select(batch, accepted)
    clocks_ms = np.maximum(np.maximum.accumulate(latest_ms), state.clock_ms) if len(latest_ms) else latest_ms
    clock_by_shard = {name: state.shard(name).latest_ms for name in behind if name in state.shards}
    start = 0
    while start < len(batch):
        stops = segment_stops(state, batch, clocks_ms, start)
        first = start
        together = None
        if stops[-1] > first:
            part = select(batch, np.arange(first, stops[-1], dtype=np.int64))
            together = fold_span(state, part, shard_name, policy)
        for stop in stops:
            if together is not None and stop > start:
                _judge_segment(state, together, start - first, stop - first, policy, outcomes, silent)
                state.tick_records += stop - start
                state.clock_ms = int(clocks_ms[stop - 1])
            if stop < len(batch):
                n_accounts = len(state.slots) if together is None else together.n_accounts_at(stop - first)
                now = tick_ms(state.clock_ms, int(clocks_ms[stop]))
                clock_by_shard[shard_name] = int(latest_ms[stop])
                _tick(state, now, n_accounts, policy, outcomes, silent, clock_by_shard)
            start = stop
    return outcomes


def advance(state: EngineState, watermark_ms: UnixMs, policy: Policy) -> Outcomes:
    """Event time has come so far without further records: work off what is due of open episodes.

    Nothing is learned here: that belongs to the records alone, so that a quiet minute more or less changes no
    later verdict.

    Examples
    --------
    >>> from copycatch.engine.state import new_state
    >>> advance(new_state(Policy()), UnixMs(1_767_571_200_000), Policy()).alerts
    []
    """
    outcomes = Outcomes()
    _advance_decisions(state, watermark_ms, policy, outcomes, frozenset(), {})
    return outcomes


def next_deadline_ms(state: EngineState) -> UnixMs | None:
    """When `advance` will next have something to say; None when nothing is open."""
    deadlines = [
        ms for decisions in state.decisions.values() if (ms := decisions.next_deadline_ms) is not None
    ]
    if not deadlines:
        return None
    return UnixMs(min(deadlines))


def _admit(
    state: EngineState, batch: RecordBatch, shard_name: str, now_ms: int, policy: Policy, outcomes: Outcomes
) -> tuple[IntArray, IntArray]:
    """Positions of the records that count, and the shard's latest event time at each of them."""
    is_bad = _reject_far_future(batch, now_ms, outcomes) | _reject_vector_lengths(state, batch, outcomes)
    shard = state.shard(shard_name)
    good = np.flatnonzero(~is_bad)
    is_late, latest_ms = shard.is_late(batch.event_times_ms[good], to_ms(policy.windows.late_s_max))
    timely = good[~is_late]
    is_duplicate = shard.seen.mark(
        batch.event_times_ms[timely], _picked(batch.account_ids, timely), _picked(batch.event_ids, timely)
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


def _judge_segment(
    state: EngineState,
    span: BatchSpan,
    first: int,
    stop: int,
    policy: Policy,
    outcomes: Outcomes,
    silent: frozenset[str],
) -> None:
    """Scores and verdicts of the looks that records between two ticks made due."""
    evaluation_batch = span.evaluations_of(first, stop)
    sample_queries(state, span.batch, span.rows, span.signals, first, stop)
    if not len(evaluation_batch):
        return
    scores, raw_scores, families = score(state, evaluation_batch, *compare(state, evaluation_batch))
    add_reasons(
        state, evaluation_batch, scores, may_be_announced(evaluation_batch.evaluations, scores, policy, SPECS)
    )
    is_over = _judge(state, evaluation_batch.evaluations, scores, policy, outcomes, silent)
    queue_evaluations(state, evaluation_batch, raw_scores, families, is_over)
    outcomes.evaluations.append((evaluation_batch.evaluations, scores))


def _judge(
    state: EngineState,
    evaluations: Evaluations,
    scores: Scores,
    policy: Policy,
    outcomes: Outcomes,
    silent: frozenset[str],
) -> BoolArray:
    """Verdicts, account by account's home shard; who is over is flagged."""
    is_over = np.zeros(len(evaluations), dtype=np.bool_)
    homes = [state.slots.shards[row] for row in evaluations.rows.tolist()]
    names = list(state.shard_numbers)
    for home in sorted(set(homes)):
        members = np.flatnonzero(np.array(homes) == home)
        verdicts = judge(pick_evaluations(evaluations, members), pick_scores(scores, members), policy, SPECS,
                         state.decision(names[home]))  # fmt: skip
        is_over[members] = verdicts.is_over
        _announce(outcomes, names[home], verdicts, silent)
    over = np.flatnonzero(is_over)
    state.rows.flagged_ms[evaluations.rows[over]] = evaluations.event_times_ms[over]
    return is_over


def _tick(
    state: EngineState,
    now_ms: int,
    n_accounts: int,
    policy: Policy,
    outcomes: Outcomes,
    silent: frozenset[str],
    clock_by_shard: Mapping[str, int],
) -> None:
    """Learn, work off idle episodes, make room."""
    learn(state, now_ms, n_accounts)
    _advance_decisions(state, now_ms, policy, outcomes, silent, clock_by_shard)
    _evict(state, now_ms)
    state.tick += 1
    state.tick_records = 0
    state.clock_ms = max(state.clock_ms, now_ms)


def _advance_decisions(
    state: EngineState,
    now_ms: int,
    policy: Policy,
    outcomes: Outcomes,
    silent: frozenset[str],
    clock_by_shard: Mapping[str, int],
) -> None:
    """Work off deadlines; shards of `clock_by_shard` have not come to `now_ms` yet."""
    for name, decisions in state.decisions.items():
        at_ms = min(now_ms, clock_by_shard.get(name, now_ms))
        _announce(outcomes, name, advance_decisions(decisions, at_ms, policy), silent)


def _announce(outcomes: Outcomes, shard: str, verdicts: Verdicts, silent: frozenset[str]) -> None:
    """Hand on what was decided about a shard's accounts, unless it counts as announced already."""
    if shard in silent or not (verdicts.alerts or verdicts.recommendations):
        return
    outcomes.alerts += verdicts.alerts
    outcomes.recommendations += verdicts.recommendations
    announced = outcomes.announced.setdefault(shard, set())
    announced.update((a.tenant_id, a.entity.id, a.model_id) for a in verdicts.alerts)
    announced.update((r.tenant_id, r.value, r.model_id) for r in verdicts.recommendations)


def _evict(state: EngineState, now_ms: int) -> None:
    n = state.slots.n_rows
    is_suspect = state.rows.flagged_ms[:n] > now_ms - FLAG_MS
    rows = rows_to_evict(state.slots, state.windows.last_ms[:n], state.windows.queries[:n], is_suspect)
    if len(rows):
        state.slots.release(rows.tolist())
        state.slots.evicted += len(rows)
        state.windows.clear(rows)
        state.rows.clear(rows)
