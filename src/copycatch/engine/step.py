"""One batch through every stage, in order. Only this file knows the order.

Time is cut into *segments* by ticks: a tick falls where event time crosses a multiple of `span.TICK_MS`,
and room is made after `span.SEGMENT_RECORDS_MAX` records as well. Within a segment everything that is learned
(spaces, references, calibrations) is frozen; at the tick the learner takes what the segment showed, its new
version is taken, idle episodes are worked off and room is made for new accounts. Ticks belong to the sequence
of records, not to how a broker cut it into batches, and each account's own state is a sequential fold:
therefore the same records give the same outcomes, however cut.

Where the learner is another process, `at_tick` is given what a tick tells, and may give the version of the
tick; else the one that was taken last stands.
"""

import numpy as np

from copycatch.decisions.judge import may_be_announced
from copycatch.engine.admission import admit
from copycatch.engine.campaigns import fold_links
from copycatch.engine.evaluate import baselines_of, models_of
from copycatch.engine.gathering import (
    count_records,
    queue_evaluations,
    remember,
    sample_queries,
    tell,
)
from copycatch.engine.inputs import LearningInputs
from copycatch.engine.learned import TICK_MS, Learned
from copycatch.engine.learning import learn
from copycatch.engine.over_models import (
    OverSpan,
    decide_heads,
    flag_models,
    fold_over_models,
    named_all_models,
)
from copycatch.engine.reasons import add_reasons
from copycatch.engine.span import BatchSpan, fold_span, segment_stops, tick_ms
from copycatch.engine.state import EngineState
from copycatch.engine.turn import AtTick, Turn
from copycatch.engine.versions import take
from copycatch.features.catalog import SPECS
from copycatch.records.columns import Evaluations, Outcomes, RecordBatch, Scores
from copycatch.records.policy import Policy
from copycatch.records.selection import select
from copycatch.scoring.score import score
from copycatch.units import UnixMs


def step(
    state: EngineState,
    batch: RecordBatch,
    now_ms: UnixMs,
    policy: Policy,
    silent: frozenset[str] = frozenset(),
    behind: frozenset[str] = frozenset(),
    at_tick: AtTick | None = None,
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
    at_tick : callable
        Where the learner is another process: given what shards tell at a tick and its event time, gives the
        version to judge by from here on, or None for the one at hand.

    Returns
    -------
    Outcomes
        `counts` has every record of the batch exactly once.
    """
    turn = Turn(state, policy, silent)
    turn.at_tick = at_tick
    shard_name = f"{batch.raw.topic}:{batch.raw.partition}"
    batch, latest_ms = admit(turn, batch, shard_name, now_ms)
    clocks_ms = np.maximum(np.maximum.accumulate(latest_ms), state.clock_ms) if len(latest_ms) else latest_ms
    clock_by_shard = {name: state.shard(name).latest_ms for name in behind if name in state.shards}
    start = 0
    while start < len(batch):
        stops = segment_stops(state, batch, clocks_ms, start)
        first, span, over = start, None, None
        if stops[-1] > first:
            part = select(batch, np.arange(first, stops[-1], dtype=np.int64))
            span = fold_span(state, part, shard_name, policy)
            over = fold_over_models(state, span, shard_name, policy)
        for stop in stops:
            if span is not None and stop > start:
                _judge_segment(turn, shard_name, span, start - first, stop - first)
                if over is not None:
                    _judge_over_models(turn, over, start - first, stop - first)
                state.tick_records += stop - start
                state.clock_ms = int(clocks_ms[stop - 1])
            if stop < len(batch):
                n_later = 0 if span is None else span.n_newcomers_after(stop - first)
                now = tick_ms(state.clock_ms, int(clocks_ms[stop]))
                clock_by_shard[shard_name] = int(latest_ms[stop])
                if now // TICK_MS > state.clock_ms // TICK_MS:
                    _tick(turn, shard_name, now, n_later, clock_by_shard)
                else:
                    turn.evict(now)
                state.tick_records = 0
            start = stop
    return turn.outcomes


def _judge_segment(turn: Turn, shard: str, span: BatchSpan, first: int, stop: int) -> None:
    """Scores and verdicts of the evaluations that records between two ticks made due."""
    state, evaluations = turn.state, span.evaluations_of(first, stop)
    count_records(state, shard, span.batch, first, stop)
    sample_queries(state, shard, span.batch, span.rows, span.signals, (first, stop))
    fold_links(state, span, first, stop)
    if not len(evaluations):
        return
    scores = _scored(turn, state, span.batch, evaluations)
    is_over = turn.judge(evaluations, scores)
    remember(state, evaluations, scores, is_over)
    queue_evaluations(state, shard, evaluations, scores, is_over)
    turn.outcomes.evaluations.append((evaluations, scores))


def _scored(turn: Turn, state: EngineState, batch: RecordBatch, evaluations: Evaluations) -> Scores:
    """Scores of evaluations of rows of `state`, with the reasons of those that may be announced."""
    baselines, models = baselines_of(state, evaluations), models_of(state, evaluations)
    levels = state.rows.level[evaluations.rows]
    scores = score(evaluations, baselines, models, levels, turn.state.switches)
    announced = may_be_announced(evaluations, scores, turn.policy, SPECS)
    add_reasons(state, batch, evaluations, scores, announced)
    return scores


def _judge_over_models(turn: Turn, span: OverSpan, first: int, stop: int) -> None:
    """The same of accounts over several models that are alike; nothing is learned from it."""
    state, over, evaluations = turn.state, turn.state.over, span.evaluations_of(first, stop)
    if over is None or not len(evaluations):
        return
    scores = _scored(turn, over, span.batch, evaluations)
    named = named_all_models(evaluations)
    is_over = turn.judge(named, scores, over)
    remember(over, evaluations, scores, is_over)
    flag_models(state, evaluations, np.flatnonzero(is_over))
    turn.outcomes.evaluations.append((named, scores))


def _tick(turn: Turn, shard: str, now_ms: int, n_later: int, clock_by_shard: dict[str, int]) -> None:
    """Let the learner learn, and take its version; where it is elsewhere, only tell."""
    state = turn.state
    told = tell(state, now_ms, {shard: n_later})
    if state.is_remote:
        version = None if turn.at_tick is None else turn.at_tick(told, now_ms)
        if version is not None:
            take(state, version)
    else:
        learn(state.learned, told, now_ms)
        take(state, state.learned)
    _settle(turn, shard, now_ms, clock_by_shard)


def _settle(turn: Turn, shard: str, now_ms: int, clock_by_shard: dict[str, int]) -> None:
    """Say what is to be said of models, search for campaigns, work off idle episodes, make room."""
    state = turn.state
    decide_heads(state, now_ms)
    if not state.is_remote:
        turn.announce_models(now_ms, shard)
    turn.judge_campaigns(now_ms)
    turn.advance_decisions(now_ms, clock_by_shard)
    turn.evict(now_ms)
    state.clock_ms = max(state.clock_ms, now_ms)


def tell_at(state: EngineState, now_ms: UnixMs) -> list[LearningInputs]:
    """A tick without a record, told: for shards that go in lockstep. `settle_at` is its other half."""
    return tell(state, now_ms, {})


def settle_at(
    state: EngineState,
    learned: Learned | None,
    now_ms: UnixMs,
    policy: Policy,
    clock_by_shard: dict[str, int],
) -> Outcomes:
    """Take the version of the tick, where one has come, and work off what the tick brings about."""
    turn = Turn(state, policy)
    if learned is not None:
        take(state, learned)
    _settle(turn, "", now_ms, clock_by_shard)
    state.tick_records = 0
    return turn.outcomes


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
    turn = Turn(state, policy)
    turn.advance_decisions(watermark_ms, {})
    return turn.outcomes


def next_deadline_ms(state: EngineState) -> UnixMs | None:
    """When `advance` will next have something to decide; None when nothing is open."""
    deadlines = [
        ms for decisions in state.decisions.values() if (ms := decisions.next_deadline_ms) is not None
    ]
    if not deadlines:
        return None
    return UnixMs(min(deadlines))
