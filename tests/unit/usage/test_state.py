"""Usage rows: they grow where text is sent, are forgotten, and travel in snapshots."""

import numpy as np
from numpy.testing import assert_array_equal
from tests.unit.usage.support import events_for

from copycatch.usage.measures import MEASURES
from copycatch.usage.state import UsageRows

NOBODY = np.empty(0, dtype=np.int64)


def filled(rows: list[int]) -> UsageRows:
    usage = UsageRows()
    events = events_for(np.repeat(np.array(rows), 20))
    usage.add(events, events.rows, NOBODY)
    return usage


def test_no_row_is_kept_where_nobody_sends_text() -> None:
    usage = UsageRows()
    found = usage.add(None, np.array([4, 5]), np.array([0, 1]))
    assert found.shape == (2, len(MEASURES))
    assert np.isnan(found).all()
    assert len(usage.table) == 0


def test_who_is_due_without_text_in_the_batch_is_measured_too() -> None:
    usage = filled([3])
    found = usage.add(None, np.array([3, 9_999]), np.array([0, 1]))
    assert np.isfinite(found[0, MEASURES.index("breadth")])
    assert np.isnan(found[1]).all()


def test_what_is_taken_can_be_put_elsewhere() -> None:
    usage, other = filled([3, 300]), UsageRows()
    columns = usage.take(np.array([2, 3, 300, 5_000]))
    assert columns["at"].tolist() == [1, 2]
    other.put(np.array([0, 700, -1, 1]), columns)
    assert_array_equal(other.table[700], usage.table[3])
    assert not other.table["sums"][:700].any()


def test_who_is_cleared_is_forgotten() -> None:
    usage = filled([3, 4])
    usage.clear(np.array([3, 5_000]))
    assert not usage.table["sums"][3].any()
    assert usage.table["sums"][4].any()
