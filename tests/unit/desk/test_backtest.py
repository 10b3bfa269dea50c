"""Several policies on one replay: each names what a replay of its own would name."""

from dataclasses import replace

import pytest
from tests.support.evaluations import CATALOG, DAY_MS, MINUTE_MS, Seen, columns

from copycatch.decisions.campaigns import ALL_MODELS
from copycatch.desk.backtest import AccountDays, PolicyTrial, compare
from copycatch.desk.curve import BudgetCurve
from copycatch.errors import ConfigError
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Allow, Budget, LimitRule, Match, Policy, When, Windows

OLD = Policy()
TIGHT = Policy(budget=Budget(alerts_per_1000_accounts_per_day=0.5))


def _outcomes(*seen: Seen) -> Outcomes:
    return Outcomes(evaluations=[columns(list(seen))])


def _seen(account: str, tail_prob: float, minute: int = 0, rate: float = 0.0) -> Seen:
    return Seen(account, DAY_MS + minute * MINUTE_MS, tail_prob, {"queries_per_s": rate})


def test_a_tighter_budget_loses_who_lies_between() -> None:
    old, new = PolicyTrial(OLD, OLD, CATALOG), PolicyTrial(TIGHT, OLD, CATALOG)
    for trial in (old, new):
        trial.take(_outcomes(_seen("worst", 1e-8), _seen("between", 0.001, 1), _seen("usual", 0.4, 2)))
    change = compare(old, new, {"between": "attack"})
    assert [key[2] for key in change.lost] == ["between"]
    assert change.gained == []
    assert change.wrong == change.lost, "an analyst called it an attack"
    assert old.n_restricted == new.n_restricted == 1, "only the worst is blocked"


def test_limits_and_allow_lists_of_the_new_policy_count() -> None:
    limit = LimitRule(
        name="fast", when=When(feature="queries_per_s", above=5.0), severity="high", action="block"
    )
    allow = Allow(match=Match(account_id="worst"), reason="a test", owner="red team")
    new_policy = Policy(rules=[limit], allow=[allow])
    old, new = PolicyTrial(OLD, OLD, CATALOG), PolicyTrial(new_policy, OLD, CATALOG)
    for trial in (old, new):
        trial.take(_outcomes(_seen("worst", 1e-8), _seen("fast", 0.4, 1, rate=9.0)))
    change = compare(old, new, {"fast": "benign"})
    assert [key[2] for key in change.gained] == ["fast"]
    assert [key[2] for key in change.lost] == ["worst"]
    assert [key[2] for key in change.wrong] == ["fast"]


def test_other_windows_are_refused() -> None:
    with pytest.raises(ConfigError, match="different windows"):
        PolicyTrial(Policy(windows=Windows(short_s=120.0)), OLD)


def test_the_curve_counts_each_account_at_its_least_budget() -> None:
    curve = BudgetCurve(OLD)
    curve.take(
        *columns([_seen("a", 0.0004), _seen("a", 0.004, 1), _seen("b", 0.0015, 2), _seen("c", 0.004, 3)])
    )
    assert curve.counts() == {0.5: 1, 1.0: 1, 2.0: 2, 5.0: 3}
    assert "2: 2" in curve.sentence()


def test_an_account_counts_once_a_day() -> None:
    days = AccountDays()
    days.take(_outcomes(_seen("a", 0.5), _seen("a", 0.5, 1), _seen("a", 0.5, 24 * 60), _seen("b", 0.5)))
    assert len(days.days) == 3
    assert days.rate(3) == 1000.0


def test_being_judged_over_all_models_makes_no_further_account() -> None:
    days, outcomes = AccountDays(), _outcomes(_seen("a", 0.5))
    evaluations, scores = outcomes.evaluations[0]
    outcomes.evaluations.append((replace(evaluations, model_ids=[ALL_MODELS]), scores))
    days.take(outcomes)
    assert len(days.days) == 1
