"""A log with times, accounts and counts only: judged by how much and when accounts ask, by nothing else."""

import functools
from typing import Any

import numpy as np
from tests.support.traffic import NOW_MS, START_MS, batches, columns, raw_batch, record

from copycatch.engine import EngineState, new_state, restore, snapshot, step
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER
from copycatch.scoring.activity import ACTIVITY, ACTIVITY_COLUMNS, Activity
from copycatch.units import UnixMs

HOUR_MS = 3_600_000
DAYS = 6
BARE = {"input": None, "predicted_label": None, "probabilities": None}


def asks(rng: np.random.Generator, account: str, n: int, *, at_night: bool) -> list[dict[str, Any]]:
    """Records of one account over some days, by day only or at all hours."""
    days = rng.integers(0, DAYS, n)
    hours = rng.uniform(0, 24, n) if at_night else rng.normal(13, 2.5, n) % 24
    times = START_MS + ((days * 24 + hours) * HOUR_MS).astype(int)
    tokens = rng.integers(20, 400, n).tolist()
    fields = BARE | {"account_id": account}
    return [
        record(0, event_time=int(ms), input_tokens=token, **fields)
        for ms, token in zip(times, tokens, strict=True)
    ]


@functools.cache
def log() -> tuple[dict[str, Any], ...]:
    """Sixty customers, some of them large, two health checks at all hours, and one who takes all they can."""
    rng = np.random.default_rng(3)
    sizes = np.minimum(rng.lognormal(4, 0.7, 60), 350).astype(int).tolist()
    records = [each for i, n in enumerate(sizes) for each in asks(rng, f"a{i}", n, at_night=False)]
    records += [each for i in range(2) for each in asks(rng, f"check{i}", 100, at_night=True)]
    records += asks(rng, "thief", 4_000, at_night=True)
    records.sort(key=lambda each: int(each["event_time"]))
    return tuple(each | {"event_id": f"e{i}"} for i, each in enumerate(records))


def play(state: EngineState, cuts: list[int]) -> Outcomes:
    whole = Outcomes()
    for batch in batches(list(log()), cuts):
        whole.add(step(state, batch, UnixMs(NOW_MS), Policy()))
    return whole


@functools.cache
def at_once() -> Outcomes:
    return play(new_state(Policy()), [len(log())])


def test_who_asks_most_and_at_all_hours_is_alerted_on_and_nobody_else() -> None:
    alerts = at_once().alerts
    assert {alert.entity.id for alert in alerts} == {"thief"}
    assert {reason.feature for alert in alerts for reason in alert.reasons} <= set(ACTIVITY)
    assert all(alert.reasons for alert in alerts)


def test_the_same_however_cut_and_after_a_restart() -> None:
    def alerts(outcomes: Outcomes) -> list[bytes]:
        return [ENCODER.encode(each) for each in outcomes.alerts]

    expected = alerts(at_once())
    assert alerts(play(new_state(Policy()), [1_700])) == expected
    state, found, half = new_state(Policy()), Outcomes(), len(log()) // 2
    for start, part in ((0, log()[:half]), (half, log()[half:])):
        batch, _ = columns(raw_batch(list(part), start))
        found.add(step(state, batch, UnixMs(NOW_MS), Policy()))
        state = restarted(state)
    assert alerts(found) == expected


def restarted(state: EngineState) -> EngineState:
    parts: list[bytes] = []
    snapshot(state, "logs:0", lambda data: parts.append(bytes(data)))
    after = new_state(Policy())
    assert restore(after, "logs:0", b"".join(parts)) == []
    return after


def test_where_queries_are_measured_it_has_no_part_in_the_score() -> None:
    rng = np.random.default_rng(0)
    state = new_state(Policy())
    measured = [
        each | {"input": rng.normal(size=4).tolist(), "predicted_label": 1}
        for each in log()
        if each["account_id"] != "thief"
    ]
    batch, _ = columns(raw_batch(measured))
    outcomes = step(state, batch, UnixMs(NOW_MS), Policy())
    assert not state.unmeasured_models
    assert sum(int((~np.isnan(scores.tail_probs)).sum()) for _, scores in outcomes.evaluations) > 100
    for _, scores in outcomes.evaluations:
        assert np.isnan(scores.basis.activity).all()


def test_it_begins_afresh_when_most_accounts_are_measured_not_when_a_few_are() -> None:
    state = new_state(Policy())
    play(state, [len(log())])
    assert state.unmeasured_models == {"m1"}
    later_ms = START_MS + (DAYS + 1) * 24 * HOUR_MS
    for n_accounts, expected in ((5, {"m1"}), (60, set())):
        records = [
            record(
                50_000 + 1_000 * n_accounts + i,
                account_id=f"a{i % n_accounts}",
                event_time=later_ms + 9_000 * i,
            )
            for i in range(800)
        ]
        batch, _ = columns(raw_batch(records))
        step(state, batch, UnixMs(NOW_MS), Policy())
        later_ms += 3 * HOUR_MS
        assert state.unmeasured_models == expected


def test_a_scorer_takes_snapshots_whose_measures_were_others() -> None:
    rng = np.random.default_rng(1)
    rows = rng.uniform(0.1, 0.9, (80, len(ACTIVITY)))
    one, other = Activity(ACTIVITY[::-1]), Activity(ACTIVITY)
    one.learn_many(np.arange(80), rows[:, ::-1])
    assert other.restore(one.snapshot()) is None
    same = Activity(ACTIVITY)
    same.learn_many(np.arange(80), rows)
    np.testing.assert_array_equal(other.score_many(rows), same.score_many(rows))
    assert len(ACTIVITY_COLUMNS) == len(ACTIVITY)
