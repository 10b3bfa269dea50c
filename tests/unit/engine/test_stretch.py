"""How far records are folded together; `tests/unit/engine/test_cuts.py` holds that no outcome changes."""

import numpy as np
from tests.support.traffic import NOW_MS, batches, traffic

from copycatch.engine import new_state, step
from copycatch.engine.learned import TICK_MS
from copycatch.engine.span import segment_stops
from copycatch.records.policy import Policy
from copycatch.units import UnixMs

HOUR_MS = 3_600_000
RECORDS = traffic(seed=5, n_accounts=30, n_records=2_000, hours=40)


def test_a_settled_model_is_folded_hour_by_hour_and_a_new_one_tick_by_tick() -> None:
    state = new_state(Policy())
    first, rest = batches(RECORDS, [1_500, 500])
    clocks_ms = np.maximum.accumulate(rest.event_times_ms)
    assert segment_stops(state, first, first.event_times_ms, 0)[1:] == [], "nothing is known of the model yet"
    step(state, first, UnixMs(NOW_MS), Policy())
    assert state.populations["m1"].is_settled

    stops = segment_stops(state, rest, clocks_ms, 0)
    ticks = np.unique(clocks_ms[: stops[-1]] // TICK_MS)
    assert len(stops) > 3, "several ticks change nothing that signals rest on"
    assert len(stops) >= len(ticks), "each tick still has its own verdicts"
    assert clocks_ms[stops[-1]] - clocks_ms[0] <= 2 * HOUR_MS, "tails are fitted anew every hour"


def test_nothing_is_folded_together_where_rows_may_change_hands() -> None:
    state = new_state(Policy(), accounts_max=100)
    first, rest = batches(RECORDS, [1_500, 500])
    step(state, first, UnixMs(NOW_MS), Policy())
    assert len(segment_stops(state, rest, np.maximum.accumulate(rest.event_times_ms), 0)) == 1
