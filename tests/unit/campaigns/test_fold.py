"""Link rows equal plain counts, are bounded, and do not depend on cuts."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.campaigns.rings import START_MS, Traffic, new_links, some

from copycatch.campaigns.activity import residuals
from copycatch.campaigns.fold import LEVELS, LinkEvents, fold, get_level, level_of
from copycatch.campaigns.layout import (
    BYTES_PER_ACCOUNT,
    KIND_STARTS,
    KINDS,
    LINKS,
    PANE_MS,
    PANES,
    SAMPLES,
    VECTOR,
    WEIGHT_MAX,
)


def events_at(times_ms: list[int], value: int = 5) -> LinkEvents:
    n = len(times_ms)
    times = np.array(times_ms, dtype=np.int64)
    return LinkEvents(
        np.zeros(n, dtype=np.int64),
        (times // PANE_MS).astype(np.int32),
        times,
        np.full((n, len(KINDS)), value, dtype=np.uint32),
        np.arange(1, n + 1, dtype=np.uint32),
        np.full((n, VECTOR), VECTOR**-0.5, dtype=np.float32),
        np.zeros((n, 0), dtype=np.uint32),
    )


def test_a_row_is_within_its_bound() -> None:
    assert BYTES_PER_ACCOUNT == LINKS.itemsize <= 1_200


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3 * PANES * PANE_MS), min_size=1, max_size=300))
def test_levels_are_those_of_the_counts_of_the_last_week(offsets_ms: list[int]) -> None:
    times_ms = sorted(START_MS + each for each in offsets_ms)
    state = new_links(1)
    fold(state.links, events_at(times_ms))
    newest = times_ms[-1] // PANE_MS
    counts = Counter(time_ms // PANE_MS for time_ms in times_ms)
    for pane in range(newest - PANES + 1, newest + 1):
        assert get_level(state.columns.panes[0], pane % PANES) == level_of(counts[pane])
    assert state.columns.queries[0] == len(times_ms)
    assert (state.columns.first_ms[0], state.columns.last_ms[0]) == (times_ms[0], times_ms[-1])


def test_late_records_are_counted_in_their_panes() -> None:
    state = new_links(1)
    fold(state.links, events_at([START_MS, START_MS + PANE_MS, START_MS + 5 * PANE_MS]))
    fold(state.links, events_at([START_MS + 1, START_MS + 4 * PANE_MS, START_MS - PANES * PANE_MS]))
    pane = START_MS // PANE_MS
    levels = [get_level(state.columns.panes[0], (pane + ahead) % PANES) for ahead in range(6)]
    assert levels == [2, 1, 0, 0, 1, 1]


def test_levels_rise_with_counts_and_end() -> None:
    assert [level_of(int(count)) for count in LEVELS] == list(range(16))
    assert level_of(1_000_000) == 15


def test_a_busy_account_keeps_its_most_used_attributes() -> None:
    rng = np.random.default_rng(3)
    n = 3 * WEIGHT_MAX
    events = events_at([START_MS + index for index in range(n)])
    opening = KINDS.index("opening")
    events.attributes[:, opening] = rng.integers(1_000, 1 << 31, n)
    events.attributes[::4, opening] = 42  # a quarter of its texts begin alike
    state = new_links(1)
    fold(state.links, events)
    span = slice(KIND_STARTS[opening], KIND_STARTS[opening + 1])
    at = state.columns.values[0, span].tolist().index(42)
    weight = int(state.columns.weight[0])
    assert weight < WEIGHT_MAX
    assert 0.2 < state.columns.counts[0, span][at] / weight < 0.35


def test_samples_are_those_of_the_smallest_hashes_whatever_the_order() -> None:
    rng = np.random.default_rng(4)
    events = events_at([START_MS + index for index in range(200)])
    events.contents[:] = rng.integers(1, 1 << 32, 200)
    events.contents[100:] = events.contents[:100]  # everything twice
    state, turned = new_links(1), new_links(1)
    fold(state.links, events)
    fold(turned.links, LinkEvents._make(column[::-1].copy() for column in events))
    assert state.columns.sample_hashes[0].tolist() == sorted(set(events.contents.tolist()))[:SAMPLES]
    assert (state.columns.sample_hashes == turned.columns.sample_hashes).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1_000), st.integers(1, 400))
def test_cuts_give_the_same_bytes(seed: int, cut: int) -> None:
    traffic = Traffic(seed=seed)
    traffic.honest(12, queries=30)
    events = traffic.log()
    whole, parts = new_links(12), new_links(12)
    fold(whole.links, events)
    for begin in range(0, len(events.rows), cut):
        fold(parts.links, some(events, begin, begin + cut))
    assert whole.links.tobytes() == parts.links.tobytes()


def test_records_of_nobody_change_nothing() -> None:
    state = new_links(1)
    before = state.links.tobytes()
    fold(state.links, events_at([START_MS])._replace(rows=np.array([-1])))
    assert state.links.tobytes() == before


def test_activity_beyond_the_own_level_is_about_none_for_a_steady_account() -> None:
    state = new_links(1)
    rng = np.random.default_rng(5)
    times_ms = sorted((START_MS + rng.uniform(0, PANES * PANE_MS, 3_000)).astype(np.int64).tolist())
    fold(state.links, events_at(times_ms))
    profile = np.ones(144)
    found = residuals(state.columns, np.array([0]), times_ms[-1] // PANE_MS, profile)
    assert abs(float(found.mean())) < 0.05
