"""What holds of decisions for any stream of evaluations, however it is cut, restarted and advanced."""

import itertools
from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.evaluations import CATALOG, MINUTE_MS, NAN, Seen, columns

from copycatch.decisions.judge import Verdicts, advance, judge
from copycatch.decisions.state import DecisionState
from copycatch.records.policy import Allow, Budget, Enforcement, LimitRule, Match, Policy, Silence, When
from copycatch.records.wire import ACTION_RANKS, ENCODER, SEVERITIES, Alert, Recommendation
from copycatch.units import parse_rfc3339

POLICY = Policy(
    budget=Budget(alerts_per_minute_max=3),
    enforcement=Enforcement(ttl_s_max=86_400.0),
    rules=[
        LimitRule(
            name="limit",
            when=When(feature="queries_per_s", above=50.0, for_s=60.0),
            severity="high",
            action="throttle",
        )
    ],
    allow=[Allow(match=Match(account_id="allowed"), reason="r", owner="o", expires_ms=None)],
    silences=[
        Silence(match=Match(account_id="silenced"), reason="r", owner="o", expires_ms=10 * 60 * MINUTE_MS)
    ],
)

SCORED_FEATURES = st.sampled_from([NAN, 0.9, 0.0015, 0.0009, 0.00009, 0.000009, 1e-9])
RATES = st.sampled_from([NAN, 1.0, 60.0])


@st.composite
def streams(draw: st.DrawFn) -> list[Seen]:
    """Evaluations in event order: bursts within a minute, and gaps up to two days."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(
                    [0, 0, 20_000, MINUTE_MS, 31 * MINUTE_MS, 5 * 60 * MINUTE_MS, 48 * 60 * MINUTE_MS]
                ),
                st.sampled_from(["a", "b", "c", "d", "e", "allowed", "silenced"]),
                SCORED_FEATURES,
                RATES,
                st.sampled_from([5, 100]),
            ),
            min_size=draw(st.sampled_from([0, 10, 20, 30])),  # left alone, hypothesis draws 4 on average
            max_size=40,
        )
    )
    time_ms, seen = MINUTE_MS, []
    for gap_ms, account, tail, rate, queries in steps:
        time_ms += gap_ms
        seen.append(Seen(account, time_ms, tail, {"queries_per_s": rate}, queries))
    return seen


class Told:
    """Everything that went out, in order."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.recommendations: list[Recommendation] = []
        self.is_over: list[bool] = []

    def lines(self) -> list[bytes]:
        return sorted(map(ENCODER.encode, [*self.alerts, *self.recommendations]))


def _play(
    seen: list[Seen], cuts: set[int], restarts: set[int], advances: set[int], cases_max: int = 100
) -> Told:
    state, told = DecisionState(cases_max), Told()
    batch: list[Seen] = []
    last_ms = 0
    for position, one in enumerate([*seen, None]):
        if batch and (one is None or position in cuts | restarts | advances):
            verdicts = judge(*columns(batch), POLICY, CATALOG, state)
            told.alerts += verdicts.alerts
            told.recommendations += verdicts.recommendations
            told.is_over += verdicts.is_over.tolist()
            batch = []
        if position in restarts:
            state = DecisionState.restore(state.snapshot(), cases_max)
        if one is None or position in advances:
            # The watermark never overtakes what is still to come; after the last, everything runs out.
            watermark_ms = last_ms + 400 * 24 * 60 * MINUTE_MS if one is None else one.time_ms
            verdicts = advance(state, watermark_ms, POLICY)
            told.alerts += verdicts.alerts
            told.recommendations += verdicts.recommendations
        if one is not None:
            batch.append(one)
            last_ms = one.time_ms
    assert len(state.table) == 0, "at the end of time everything is forgotten"
    assert not state.table.watches_by_account
    return told


POSITIONS = st.sets(st.integers(0, 40), max_size=12)


@settings(max_examples=100, deadline=None)
@given(streams(), POSITIONS, POSITIONS, POSITIONS, st.sampled_from([2, 100]))
def test_any_cut_gives_the_same_verdicts(
    seen: list[Seen], cuts: set[int], restarts: set[int], advances: set[int], cases_max: int
) -> None:
    whole = _play(seen, set(), set(), set(), cases_max)
    cut = _play(seen, cuts, restarts, advances, cases_max)
    assert cut.lines() == whole.lines()
    assert cut.is_over == whole.is_over


@settings(max_examples=100, deadline=None)
@given(streams(), POSITIONS)
def test_revisions_rise_and_upserts_end_in_a_revoke(seen: list[Seen], advances: set[int]) -> None:
    told = _play(seen, set(), set(), advances)
    by_key: dict[str, list[Recommendation]] = defaultdict(list)
    for recommendation in told.recommendations:
        by_key[recommendation.decision_key].append(recommendation)
    for rows in by_key.values():
        revisions = [row.revision for row in rows]
        assert [row.epoch for row in rows] == sorted(row.epoch for row in rows)
        assert all(later > earlier for earlier, later in itertools.pairwise(revisions))
        assert rows[0].op == "upsert"
        assert rows[-1].op == "revoke"
        for earlier, later in itertools.pairwise(rows):
            issued = [parse_rfc3339(row.issued_at) for row in (earlier, later)]
            assert issued[0] <= issued[1]
            if earlier.op == "revoke":
                assert later.op == "upsert", "nothing to revoke twice"
            elif earlier.expires_at is not None:
                assert issued[1] <= parse_rfc3339(earlier.expires_at), "nothing outlives its time unsaid"
        for row in rows:
            assert row.action_rank == ACTION_RANKS[row.action]
            if row.op == "upsert":
                assert row.ttl_s is not None
                assert 0 < row.ttl_s <= 86_400.0


@settings(max_examples=100, deadline=None)
@given(streams())
def test_alerts_open_once_get_worse_only_and_close(seen: list[Seen]) -> None:
    told = _play(seen, set(), set(), set())
    by_uid: dict[str, list[Alert]] = defaultdict(list)
    for alert in told.alerts:
        assert alert.entity.id != "allowed"
        if alert.rule != "flood_cap":
            by_uid[alert.uid].append(alert)
    for alerts in by_uid.values():
        assert [a.op for a in alerts].count("open") == 1
        assert alerts[0].op == "open"
        assert alerts[-1].op == "close"
        for before, after in itertools.pairwise(alerts):
            assert (before.op == "close") == (after.op == "reopen"), "after a close only a reopen"
        severities = [SEVERITIES.index(a.severity) for a in alerts]
        assert severities == sorted(severities)
        assert all(len(a.sample_event_ids) <= 10 and len(a.reasons) <= 5 for a in alerts)
    per_minute: dict[int, int] = defaultdict(int)
    for alert in told.alerts:
        if alert.op != "close" and alert.rule != "flood_cap":
            per_minute[parse_rfc3339(alert.time) // MINUTE_MS] += 1
    assert all(count <= POLICY.budget.alerts_per_minute_max for count in per_minute.values())


@settings(max_examples=60, deadline=None)
@given(streams(), st.integers(1, 4))
def test_bounded_and_revisions_rise_over_evictions(seen: list[Seen], cases_max: int) -> None:
    told = _play(seen, set(range(40)), set(), set(), cases_max)
    last_by_key: dict[str, int] = {}
    for row in told.recommendations:
        assert row.revision > last_by_key.get(row.decision_key, 0)
        last_by_key[row.decision_key] = row.revision
    open_uids: set[str] = set()
    for alert in told.alerts:
        if alert.op == "open" and alert.rule != "flood_cap":
            open_uids.add(alert.uid)
            assert len(open_uids) <= 2 * cases_max  # two rules
        elif alert.op == "close":
            open_uids.discard(alert.uid)
    assert not open_uids, "an evicted episode is closed, not left open for ever"


@settings(max_examples=100, deadline=None)
@given(streams())
def test_who_is_over_by_the_slow_rule(seen: list[Seen]) -> None:
    """Over the threshold with enough queries is over, whatever the allow-list, silences or the cap say."""
    told = _play(seen, set(), set(), set())
    budget = POLICY.budget.alerts_per_1000_accounts_per_day / 1000
    must = np.array([s.tail_prob <= budget and s.queries >= 15 for s in seen], dtype=bool)
    assert np.all(np.array(told.is_over, dtype=bool)[must])


def _play_with_crashes(seen: list[Seen], kept: set[int], crashes: set[int]) -> Told:
    """One evaluation at a time; a crash goes back to the last snapshot, and what was announced stands."""
    state, told = DecisionState(100), Told()
    snapshot, entries, since = state.snapshot(), [], 0

    def step(position: int) -> list[Verdicts]:
        one, later = seen[position], seen[position + 1 : position + 2]
        until_ms = later[0].time_ms if later else one.time_ms + 400 * 24 * 60 * MINUTE_MS
        return [judge(*columns([one]), POLICY, CATALOG, state), advance(state, until_ms, POLICY)]

    for position in range(len(seen)):
        for verdicts in step(position):
            told.alerts += verdicts.alerts
            keys = {(each.tenant_id, each.entity.id, each.model_id) for each in verdicts.alerts}
            keys |= {(each.tenant_id, each.value, each.model_id) for each in verdicts.recommendations}
            entries.append(state.journal.entry(keys))
        if position in crashes:
            state = DecisionState.restore(snapshot, 100)
            state.journal.load(entries)
            for again in range(since, position + 1):
                step(again)
            state.reconcile()
        if position in kept:
            snapshot, entries, since = state.snapshot(), [], position + 1
    return told


@settings(max_examples=100, deadline=None)
@given(streams(), POSITIONS, POSITIONS)
def test_over_crashes_too_only_a_reopen_follows_a_close(
    seen: list[Seen], kept: set[int], crashes: set[int]
) -> None:
    told = _play_with_crashes(seen, kept, crashes)
    by_uid: dict[str, list[str]] = defaultdict(list)
    for alert in told.alerts:
        if alert.rule != "flood_cap":
            by_uid[alert.uid].append(alert.op)
    for ops in by_uid.values():
        assert ops[0] == "open"
        assert ops.count("open") == 1
        for before, after in itertools.pairwise(ops):
            assert (before == "close") == (after == "reopen"), ops
