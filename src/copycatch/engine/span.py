"""Segments that may be folded together: no tick between them changes what their records are measured in.

Signals and features rest on the model's space, its labels and its lexicon. Those change at some ticks only:
while a model is new, once an hour, and whenever texts are learned. In a quiet log a tick of five minutes has
a few dozen records, and some hundred passes over so few cost as much as over hundreds.
"""

from dataclasses import dataclass

import numpy as np

from copycatch.campaigns.fold import LinkEvents
from copycatch.engine.evaluate import by_model, fold_segment
from copycatch.engine.gathering import HTTP_ERROR
from copycatch.engine.learned import TICK_MS
from copycatch.engine.state import EngineState
from copycatch.records.columns import Evaluations, IntArray, RecordBatch, SignalColumns, pick
from copycatch.records.policy import Policy
from copycatch.signals.compute import compute_signals
from copycatch.units import MS_PER_HOUR
from copycatch.windows.slots import FULL_SHARE

FOREVER_MS = 1 << 62
SEGMENT_RECORDS_MAX = 16_384  # under load room is made after so many records


@dataclass(slots=True)
class BatchSpan:
    """Records folded together: their signals, their evaluations, and which accounts were new.

    `newcomers` are the positions of the first records of accounts that were not known before.
    """

    batch: RecordBatch
    rows: IntArray
    signals: SignalColumns
    links: LinkEvents
    evaluations: Evaluations
    newcomers: IntArray

    def evaluations_of(self, first: int, stop: int) -> Evaluations:
        """Those that records `first` to `stop` made due."""
        begin, end = np.searchsorted(self.evaluations.records, [first, stop]).tolist()
        return pick(self.evaluations, slice(begin, end))

    def n_newcomers_after(self, stop: int) -> int:
        """How many accounts were new after so many of its records."""
        return len(self.newcomers) - int(np.searchsorted(self.newcomers, stop))


def segment_stops(state: EngineState, batch: RecordBatch, clocks_ms: IntArray, start: int) -> list[int]:
    """Where the next segment ends, and those after it that may be folded with it.

    Parameters
    ----------
    batch : RecordBatch
    clocks_ms : ndarray of int64, shape (n,)
        Event time of the shard at each record, never falling.
    start : int

    Returns
    -------
    list of int
        Ascending; after each but the end of the batch comes a tick, or room is made. The first may be `start`
        itself.
    """
    free_until_ms = _free_until_ms(state, batch)
    clock_ms, n_since, at = state.clock_ms, state.tick_records, start
    stops: list[int] = []
    while True:
        crossing = clock_ms // TICK_MS * TICK_MS + TICK_MS
        stop = min(int(np.searchsorted(clocks_ms, crossing)), at + SEGMENT_RECORDS_MAX - n_since)
        stops.append(max(at, stop))
        if stop >= len(batch):
            return stops
        clock_ms = tick_ms(int(clocks_ms[stop - 1]) if stop > at else clock_ms, int(clocks_ms[stop]))
        if clock_ms >= free_until_ms:
            return stops
        n_since, at = 0, max(at, stop)


def tick_ms(clock_ms: int, next_ms: int) -> int:
    """The time of a tick between two records.

    Examples
    --------
    >>> tick_ms(299_000, 650_000), tick_ms(299_000, 299_500)
    (600000, 299000)
    """
    return max(clock_ms, next_ms // TICK_MS * TICK_MS)


def _free_until_ms(state: EngineState, batch: RecordBatch) -> int:
    """Ticks before that change nothing that the batch's signals and features rest on."""
    if len(state.slots) + len(batch) >= FULL_SHARE * state.slots.accounts_max:
        return state.clock_ms  # a tick may make room, and rows change hands
    names = set(batch.model_ids)
    names |= {state.heads[name] for name in names & state.heads.keys()}
    populations = [state.populations.get(name) for name in names]
    next_hour_ms = (state.clock_ms // MS_PER_HOUR + 1) * MS_PER_HOUR
    is_alone = len(state.populations) < 2  # else which models are alike may change at a whole hour
    return min(
        FOREVER_MS if is_alone else next_hour_ms,
        min(
            (state.clock_ms if each is None else each.free_until_ms for each in populations),
            default=state.clock_ms,
        ),
    )


def fold_span(state: EngineState, batch: RecordBatch, shard: str, policy: Policy) -> BatchSpan:
    """Signals, windows and features of the records of segments that may be folded together."""
    for model_id, members in by_model(batch.model_ids):
        answered = members[batch.statuses[members] < HTTP_ERROR]
        if len(answered) and not state.admits_model(model_id, shard, int(batch.event_times_ms[answered[0]])):
            state.records_beyond_models += len(members)
    rows = state.slots.rows_of(
        batch.tenant_ids, batch.account_ids, batch.model_ids, state.shard_number(shard)
    )
    newcomers = _firsts(rows, state.slots.new_rows)
    state.name_new_rows()
    hashes = np.where(rows >= 0, state.rows.account_hashes[np.maximum(rows, 0)], 0)
    signals = compute_signals(batch, state.learned.spaces(), hashes)
    links = state.attributes.events(batch, rows)
    evaluations = fold_segment(state, batch, rows, signals, policy)
    return BatchSpan(batch, rows, signals, links, evaluations, newcomers)


def _firsts(rows: IntArray, new_rows: list[int]) -> IntArray:
    """Positions of the first record of each new row, ascending."""
    if not new_rows:
        return np.empty(0, dtype=np.int64)
    found, firsts = np.unique(rows, return_index=True)
    return np.sort(firsts[np.isin(found, new_rows)])
