"""Windows equal the slow count: the compiled fold against plain sums over each account's records."""

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.streams import row_by_key
from tests.support.traffic import NOW_MS, batches, traffic

from copycatch.engine import new_state, step
from copycatch.layout.row import LONG_PANES, SHORT_PANES, SPANS, TALLY
from copycatch.records.policy import Policy
from copycatch.units import UnixMs


def in_panes(times_ms: list[int], pane_ms: int, n_panes: int) -> int:
    """Queries within the last panes, the pane of the newest query included."""
    newest = max(times_ms) // pane_ms
    return sum(newest - n_panes < time_ms // pane_ms <= newest for time_ms in times_ms)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000), st.integers(50, 900))
def test_counts_and_panes_equal_the_slow_ones(seed: int, cut: int) -> None:
    policy, state = Policy(), new_state(Policy())
    records = traffic(seed=seed, n_accounts=20, n_records=1_200, hours=14)
    for index, each in enumerate(records):
        each["status"] = 429 if index % 7 == 0 else 200
    by_account: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in records:
        by_account[each["account_id"]].append(each)
    for batch in batches(records, [cut]):
        step(state, batch, UnixMs(NOW_MS), policy)
    for (_, account, _), row in row_by_key(state.slots).items():
        own = by_account[account]
        times_ms = [each["event_time"] for each in own]
        sums = state.windows.sums[row]
        assert state.windows.queries[row] == len(own)
        assert sums[TALLY["refused"]] == sum(each["status"] == 429 for each in own)
        assert sums[TALLY["answered"]] == sum(each["status"] == 200 for each in own)
        for span, window_s, n_panes in (
            ("short_panes", policy.windows.short_s, SHORT_PANES),
            ("long_panes", policy.windows.long_s, LONG_PANES),
        ):
            queries = sums[SPANS[span].columns]
            assert queries.sum() == in_panes(times_ms, round(window_s / n_panes * 1000), n_panes)
