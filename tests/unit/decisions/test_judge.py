"""What judging promises beyond the scenarios: arrays in step, parameters, budgets, state."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.support.evaluations import CATALOG, DAY_MS, HOUR_MS, MINUTE_MS, Seen, columns

from copycatch.decisions.judge import advance, judge
from copycatch.decisions.measure import measure
from copycatch.decisions.state import DecisionState
from copycatch.errors import StateError
from copycatch.metric_names import METRICS
from copycatch.records.policy import (
    Allow,
    Budget,
    Enforcement,
    ExtractionRule,
    LimitRule,
    Match,
    Policy,
    When,
)
from copycatch.units import parse_rfc3339


def test_nothing_to_judge() -> None:
    verdicts = judge(*columns([]), Policy(), CATALOG, DecisionState())
    assert (verdicts.alerts, verdicts.recommendations, len(verdicts.is_over)) == ([], [], 0)


def test_the_common_case_leaves_no_trace() -> None:
    state = DecisionState()
    seen = [Seen(f"a{i}", i, 0.5, {"queries_per_s": 1.0}) for i in range(1000)]
    verdicts = judge(*columns(seen), Policy(rules=[_limit()]), CATALOG, state)
    assert not verdicts.is_over.any()
    assert len(state.table) == 0
    assert state.next_deadline_ms is None


def test_arrays_out_of_step_are_a_crash() -> None:
    evaluations, scores = columns([Seen("a", 0, 0.5)])
    with pytest.raises(AssertionError):
        judge(evaluations, scores, Policy(), CATALOG[:1], DecisionState())


def test_throttle_holds_to_the_top_of_the_normal_range() -> None:
    policy = Policy(rules=[_limit()], enforcement=Enforcement(throttle_headroom=2.0))
    seen = Seen(
        "a", 0, features={"queries_per_s": 60.0}, normal_highs={"queries_per_s": 0.5, "tokens_per_s": 10.0}
    )
    params = judge(*columns([seen]), policy, CATALOG, DecisionState()).recommendations[0].action_params
    assert params == {"queries_per_minute": 60, "tokens_per_minute": 1200}


def test_throttle_without_a_reference_holds_to_the_limit_itself() -> None:
    seen = Seen("a", 0, features={"queries_per_s": 60.0})
    verdicts = judge(*columns([seen]), Policy(rules=[_limit()]), CATALOG, DecisionState())
    params = verdicts.recommendations[0].action_params
    assert params == {"queries_per_minute": 3000, "tokens_per_minute": None}
    assert verdicts.alerts[0].score.tail_prob is None
    assert verdicts.alerts[0].techniques == ["AML.T0024"]


def test_revoking_a_key_is_a_persons_decision_and_has_no_end() -> None:
    rule = ExtractionRule(actions={"critical": "revoke_key"})
    state = DecisionState()
    row = judge(*columns([Seen("a", 0, 1e-9)]), Policy(rules=[rule]), CATALOG, state).recommendations[0]
    assert row.requires_human
    assert (row.expires_at, row.ttl_s, row.fallback_action) == (None, None, "block")
    assert advance(state, 6 * DAY_MS, Policy(rules=[rule])).recommendations == []


def test_perturb_needs_leave_even_if_the_policy_was_made_by_hand() -> None:
    rule = ExtractionRule(actions={"critical": "perturb"})
    for is_allowed, action in ((False, "reduce_output"), (True, "perturb")):
        policy = Policy(rules=[rule], enforcement=Enforcement(perturb=is_allowed))
        row = judge(*columns([Seen("a", 0, 1e-9)]), policy, CATALOG, DecisionState()).recommendations[0]
        assert row.action == action
        assert row.mitigations == ["AML.M0002"]


def test_the_same_account_on_two_models_is_two_findings() -> None:
    state = DecisionState()
    seen = [
        Seen("a", 0, 1e-9, model_id="m1"),
        Seen("a", 0, 1e-9, model_id="m2"),
        Seen("a", 1, 0.5, model_id="m3"),
    ]
    verdicts = judge(*columns(seen), Policy(), CATALOG, state)
    assert len({alert.uid for alert in verdicts.alerts}) == 2
    assert verdicts.is_over.tolist() == [True, True, False]
    assert state.is_open(None, "a", "m1")
    assert not state.is_open(None, "a", "m3")


def test_open_accounts_are_not_learned_from_even_when_they_look_normal() -> None:
    state = DecisionState()
    judge(*columns([Seen("a", 0, 1e-9)]), Policy(), CATALOG, state)
    assert judge(*columns([Seen("a", 1, 0.9)]), Policy(), CATALOG, state).is_over.tolist() == [True]


def test_uids_are_stable_and_belong_to_the_episode() -> None:
    first, again = (
        judge(*columns([Seen("a", 5, 1e-9)]), Policy(), CATALOG, DecisionState()).alerts[0] for _ in range(2)
    )
    other = judge(*columns([Seen("a", 6, 1e-9)]), Policy(), CATALOG, DecisionState()).alerts[0]
    assert first.uid == again.uid != other.uid


def test_the_guard_measures_alerts_against_the_budget() -> None:
    state, policy = DecisionState(), Policy(budget=Budget(alerts_per_1000_accounts_per_day=2.0))
    seen = [Seen(f"a{i}", HOUR_MS, 1e-9 if i < 4 else 0.5) for i in range(1000)]
    judge(*columns(seen), policy, CATALOG, state)
    judge(*columns(seen), policy, CATALOG, state)  # the same accounts on the same day count once
    assert _ratio([state], policy) == pytest.approx(2.0)
    assert _ratio([state, state], policy) == pytest.approx(2.0), "over shards, accounts add up as alerts do"
    later = [Seen(f"a{i}", DAY_MS + HOUR_MS, 0.5) for i in range(1000)]
    judge(*columns(later), policy, CATALOG, state)
    assert _ratio([state], policy) == pytest.approx(1.0)


def test_a_flood_cannot_push_out_who_is_blocked() -> None:
    state = DecisionState(cases_max=50)
    policy = Policy(budget=Budget(alerts_per_minute_max=1_000_000))
    judge(*columns([Seen("thief", 0, 1e-9)]), policy, CATALOG, state)
    flood = [Seen(f"x{i}", MINUTE_MS + i, 0.0009) for i in range(2000)]
    verdicts = judge(*columns(flood), policy, CATALOG, state)
    assert len(state.table) <= 50
    assert state.is_open(None, "thief", "m")
    assert state.tally.evicted_open == 1951
    assert sum(alert.op == "close" for alert in verdicts.alerts) == 1951, (
        "who falls out is closed, not forgotten"
    )


def test_an_exemption_for_an_account_holds_in_its_own_tenant_only() -> None:
    def alerted(tenant_id: str | None, match: Match) -> bool:
        policy = Policy(allow=[Allow(match=match, reason="r", owner="o", expires_ms=None)])
        seen = [Seen("ci", 0, 1e-9, tenant_id=tenant_id)]
        return bool(judge(*columns(seen), policy, CATALOG, DecisionState()).alerts)

    for match, exempt_in in (
        (Match(account_id="ci"), {None}),
        (Match(account_id="ci", tenant_id="acme"), {"acme"}),
        (Match(tenant_id="acme"), {"acme"}),
    ):
        assert {tenant for tenant in (None, "acme", "other") if not alerted(tenant, match)} == exempt_in


def test_revisions_go_on_rising_for_who_was_forgotten() -> None:
    state = DecisionState(cases_max=1)
    rows = []
    for minute, account in enumerate(("a", "b", "a", "b")):
        verdicts = judge(*columns([Seen(account, minute * MINUTE_MS, 1e-9)]), Policy(), CATALOG, state)
        rows += [(row.value, row.revision) for row in verdicts.recommendations]
    assert rows == [("a", 1), ("b", 2), ("a", 3), ("b", 4)]


def test_a_state_that_begins_anew_comes_after_all_before_it() -> None:
    """Revisions restart at 1; epochs do not, nor within one state, nor over its snapshots and evictions."""
    state = DecisionState(cases_max=1)
    numbers: list[tuple[int, int]] = []
    for hour, account in enumerate(("a", "b", "a", "a", "a")):
        if hour == 3:
            state = DecisionState.restore(state.snapshot(), cases_max=1)
        elif hour == 4:
            state = DecisionState()  # lost
        verdicts = judge(*columns([Seen(account, hour * 5 * HOUR_MS, 1e-9)]), Policy(), CATALOG, state)
        numbers += [(row.epoch, row.revision) for row in verdicts.recommendations if row.value == "a"]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == (20 * HOUR_MS, 1)
    assert numbers[-2][1] > 1


def test_held_back_alerts_are_counted_and_summarised() -> None:
    state, policy = DecisionState(), Policy(budget=Budget(alerts_per_minute_max=8))
    flood = [Seen(f"x{i}", i, 0.0009, tenant_id=f"t{i % 2}") for i in range(100)]
    verdicts = judge(*columns(flood), policy, CATALOG, state)
    assert len(verdicts.alerts) == 6
    assert state.tally.held_back == 94
    summaries = advance(state, 2 * MINUTE_MS, policy).alerts
    assert [(a.tenant_id, a.entity.accounts_total, len(a.entity.accounts)) for a in summaries] == [
        ("t0", 47, 20),
        ("t1", 47, 20),
    ]
    assert parse_rfc3339(summaries[0].time) == MINUTE_MS


def test_damaged_state_is_refused() -> None:
    state = DecisionState()
    judge(*columns([Seen("a", 0, 1e-9)]), Policy(), CATALOG, state)
    whole = state.snapshot()
    assert DecisionState.restore(whole).snapshot() == whole
    for damaged in (b"", whole[:-3], b"\xff" + whole, whole.replace(b"format\x01", b"format\x07")):
        with pytest.raises(StateError):
            DecisionState.restore(damaged)


def test_deadlines_are_told() -> None:
    state = DecisionState()
    judge(*columns([Seen("a", 0, 1e-9)]), Policy(), CATALOG, state)
    assert state.next_deadline_ms == 3 * HOUR_MS  # renewal of a four-hour block
    assert advance(state, 3 * HOUR_MS - 1, Policy()).recommendations == []
    advance(state, 3 * HOUR_MS, Policy())
    assert state.next_deadline_ms == 4 * HOUR_MS
    assert len(advance(state, 4 * HOUR_MS, Policy()).recommendations) == 1


def test_judging_many_quiet_accounts_touches_no_account_by_itself() -> None:
    """The prefilter is arrays only: quiet evaluations are judged without a Python loop over them."""
    evaluations, scores = columns([Seen("a", 0, 0.5, {"queries_per_s": 1.0})])
    n = 200_000
    evaluations.account_ids = _Untouchable(n)
    evaluations.tenant_ids = _Untouchable(n)
    evaluations.rows = np.zeros(n, dtype=np.int64)
    evaluations.event_times_ms = np.zeros(n, dtype=np.int64)
    evaluations.queries = np.full(n, 100, dtype=np.int64)
    scores.values = np.ones((n, len(CATALOG)))
    evaluations.model_ids = ["m"] * n
    scores.tail_probs = np.full(n, 0.5)
    verdicts = judge(evaluations, scores, Policy(rules=[_limit()]), CATALOG, DecisionState())
    assert len(verdicts.is_over) == n


class _Untouchable(list[Any]):
    """A column that must not be read when nobody is over."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: object) -> Any:
        pytest.fail("read one by one")

    def __iter__(self) -> Iterator[Any]:
        pytest.fail("read one by one")


def test_measures_are_metrics_that_the_table_names() -> None:
    state, policy = DecisionState(), Policy(budget=Budget(alerts_per_minute_max=8))
    judge(*columns([Seen(f"x{i}", i, 0.0009) for i in range(10)]), policy, CATALOG, state)
    measures = measure([state], policy)
    specs = {spec.name: spec for spec in METRICS}
    assert all(set(specs[m.name].labels) == set(m.labels) and specs[m.name].kind == "gauge" for m in measures)
    assert {m.labels["why"]: m.value for m in measures if "why" in m.labels}["flood_cap"] == 4


def _ratio(states: list[DecisionState], policy: Policy) -> float:
    (ratio,) = (m.value for m in measure(states, policy) if m.name == "copycatch_alert_budget_ratio")
    return ratio


def _limit() -> LimitRule:
    return LimitRule(
        name="limit",
        when=When(feature="queries_per_s", above=50.0, for_s=0.0),
        severity="high",
        action="throttle",
    )
