"""The board behind the pages: what it shows, and that it stays bounded however long outcomes come."""

import numpy as np
import pytest
from tests.support.evaluations import CATALOG, DAY_MS, HOUR_MS, MINUTE_MS, Seen, columns

from copycatch.decisions.judge import advance, judge
from copycatch.decisions.state import DecisionState
from copycatch.desk import board as board_module
from copycatch.desk import calibration
from copycatch.desk.board import Board
from copycatch.desk.calibration import AccountDayTails
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Policy


def _thief(*tails: float) -> list[Seen]:
    return [
        Seen("thief", DAY_MS + at * MINUTE_MS, tail, {"queries_per_s": 9.0}, shares={"queries_per_s": 0.5})
        for at, tail in enumerate(tails)
    ]


def _board() -> Board:
    """A thief that is alerted on and then falls silent, beside forty others."""
    others = [Seen(f"o{at}", DAY_MS, 0.5, {"queries_per_s": at / 100}) for at in range(40)]
    state, board = DecisionState(), Board(Policy(), catalog=CATALOG)
    board.take(Outcomes(evaluations=[columns(others)]))
    for seen in _thief(0.1, 1e-6):
        evaluations, scores = columns([seen])
        verdicts = judge(evaluations, scores, Policy(), CATALOG, state)
        board.take(Outcomes(verdicts.alerts, verdicts.recommendations, evaluations=[(evaluations, scores)]))
    due = advance(state, DAY_MS + 30 * HOUR_MS, Policy())
    board.take(Outcomes(due.alerts, due.recommendations))
    return board


def test_a_closed_case_still_says_what_was_seen_and_stands_beside_others() -> None:
    board = _board()
    (case,) = board.cases()
    shown = board.case(case, {"thief": "attack"})
    assert not shown["is_open"]
    assert "closed" in shown["closing"]
    assert "closed" not in shown["description"]
    assert shown["verdict"] == "attack"
    (reason,) = shown["reasons"]
    assert (reason["feature"], reason["at"], reason["share"]) == ("queries_per_s", 9.0, 0.5)
    assert len(reason["others"]) == 41
    assert reason["others"] == sorted(reason["others"])
    low, high = np.quantile(reason["others"], [0.05, 0.95])
    assert reason["usual"] == f"{low:.3g} to {high:.3g}"


def test_the_overview_places_each_account_by_the_budget_that_would_name_it() -> None:
    board = _board()
    overview = board.overview(board.cases())
    (thief,) = (each for each in overview["accounts"] if each["id"] == "thief")
    assert thief["budget"] == pytest.approx(1e-6 / 0.002 * 2)
    assert thief["mostly"] == "queries_per_s"
    (model,) = overview["models"]
    assert (model["accounts"], model["evaluations"], model["scored"]) == (41, 42, 42)


def test_a_snapshot_does_not_change_when_the_board_goes_on() -> None:
    board = _board()
    before = board.snapshot()
    n_alerts = len(before.overview(before.cases())["alerts"])
    evaluations, scores = columns([Seen("late", DAY_MS + HOUR_MS, 1e-9)])
    verdicts = judge(evaluations, scores, Policy(), CATALOG, DecisionState())
    board.take(Outcomes(verdicts.alerts, verdicts.recommendations, evaluations=[(evaluations, scores)]))
    assert [case.entity_id for case in before.cases()] == ["thief"]
    assert len(before.overview(before.cases())["alerts"]) == n_alerts
    assert {case.entity_id for case in board.cases()} == {"thief", "late"}


def test_it_keeps_the_most_anomalous_accounts_and_the_newest_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "ACCOUNTS_MAX", 50)
    monkeypatch.setattr(board_module, "MODELS_MAX", 2)
    board = Board(Policy(), alerts_max=3, points_max=4, catalog=CATALOG)
    state = DecisionState()
    for at in range(300):
        seen = Seen(
            f"a{at % 150}", DAY_MS + at * MINUTE_MS, 0.001 * (1 + at % 150) / 150, model_id=f"m{at % 5}"
        )
        evaluations, scores = columns([seen])
        verdicts = judge(evaluations, scores, Policy(), CATALOG, state)
        board.take(Outcomes(verdicts.alerts, verdicts.recommendations, evaluations=[(evaluations, scores)]))
    overview = board.overview(board.cases())
    assert len(overview["accounts"]) <= 60
    assert {f"a{at}" for at in range(40)} <= {each["id"] for each in overview["accounts"]}
    assert len(overview["alerts"]) == 3
    assert len(overview["models"]) == 2
    assert overview["about"]["n_left_out"] > 0


def test_calibration_counts_each_account_and_day_once_by_its_least_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tails = AccountDayTails()
    seen = [Seen("a", DAY_MS, 0.5), Seen("a", DAY_MS + HOUR_MS, 0.0005), Seen("a", 2 * DAY_MS, 0.9)]
    seen += [Seen("b", DAY_MS, 0.3), Seen("c", DAY_MS)]
    tails.take(*columns(seen))
    curve = tails.curve({"a"})
    assert (curve["account_days"], curve["scored"]) == (4, 3)
    at = dict(zip(curve["chances"], curve["all"], strict=True))
    assert (at[0.0001], at[0.001], at[1.0]) == (0, pytest.approx(1 / 3, abs=1e-6), 1)
    assert dict(zip(curve["chances"], curve["not_alerted"], strict=True))[0.001] == 0
    monkeypatch.setattr(calibration, "ACCOUNT_DAYS_MAX", 10)
    tails.take(*columns([Seen(f"x{at}", DAY_MS, 0.5) for at in range(40)]))
    assert tails.curve(set())["account_days"] <= 10
