"""An account that spreads over models that are alike is judged over all of them, however cut."""

import functools
import json
from dataclasses import replace
from typing import Any

import numpy as np
from tests.support.traffic import NOW_MS, native_intake, traffic

from copycatch.engine import new_state, step
from copycatch.engine.over_models import decide_heads, is_alike
from copycatch.engine.snapshot import forget, restore, snapshot
from copycatch.engine.state import EngineState
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.policy import Policy
from copycatch.units import UnixMs

ALIASES = 8
ACCOUNTS = 70
POLICY = Policy()


@functools.cache
def lines() -> list[bytes]:
    """Two thirds of the honest accounts ask one alias, the others one each; the thief asks all in turn."""
    found, n_asked = [], 0
    for each in traffic(seed=5, n_accounts=ACCOUNTS, n_records=16_000, hours=76):
        account: str = each["account_id"]
        number = n_asked if account == "thief" else int(account[5:]) if int(account[5:]) % 3 == 0 else 0
        n_asked += account == "thief"
        found.append(json.dumps(each | {"model_id": f"m-v{number % ALIASES}"}).encode())
    return found


def run(state: EngineState, begin: int, end: int, cut: int) -> Outcomes:
    intake, total = native_intake(), Outcomes()
    for start in range(begin, end, cut):
        values = lines()[start : min(start + cut, end)]
        raw = RawBatch("logs", 0, list(range(start, start + len(values))), values)
        total.add(step(state, intake.read(raw, NOW_MS).batch, UnixMs(NOW_MS), POLICY))
    return total


@functools.cache
def whole() -> tuple[EngineState, Outcomes]:
    state = new_state(POLICY)
    return state, run(state, 0, len(lines()), 4_096)


def findings(outcomes: Outcomes) -> list[Any]:
    return [each for each in outcomes.alerts if each.entity.kind != "model"]


def test_one_attack_over_eight_aliases_is_judged_over_all() -> None:
    state, outcomes = whole()
    assert set(state.heads.values()) == {"m-v0"}
    assert len(state.heads) == ALIASES
    over = [each for each in findings(outcomes) if each.model_id == "*"]
    assert {each.entity.id for each in over} == {"thief"}
    assert "over the models that it asks" in over[0].words
    assert "*" in {each.model_id for each in outcomes.recommendations if each.value == "thief"}
    asked = sum(json.loads(line)["account_id"] == "thief" for line in lines())
    assert over[0].queries < 0.5 * asked


def test_nobody_else_is_named() -> None:
    _, outcomes = whole()
    assert {each.entity.id for each in findings(outcomes)} == {"thief"}


def test_cuts_of_batches_do_not_matter() -> None:
    state = new_state(POLICY)
    cut = run(state, 0, len(lines()), 613)
    _, outcomes = whole()
    assert cut.alerts == outcomes.alerts
    assert cut.recommendations == outcomes.recommendations


def test_a_restart_between_changes_nothing() -> None:
    half = len(lines()) * 2 // 3
    before, after = new_state(POLICY), new_state(POLICY)
    early = run(before, 0, half, 4_096)
    parts: list[bytes] = []
    snapshot(before, "logs:0", lambda part: parts.append(bytes(part)))
    assert restore(after, "logs:0", b"".join(parts)) == []
    assert after.heads == before.heads != {}
    early.add(run(after, half, len(lines()), 4_096))
    _, outcomes = whole()
    assert early.alerts == outcomes.alerts
    assert early.recommendations == outcomes.recommendations
    forget(after, "logs:0")
    assert after.over is not None
    assert len(after.over.slots) == 0


def test_models_that_are_asked_other_things_are_not_alike() -> None:
    state, _ = whole()
    space = state.populations["m-v0"].space
    assert space is not None
    frame = space.queries
    assert is_alike(frame, frame)
    assert not is_alike(frame, replace(frame, means=frame.means + frame.scales))
    assert not is_alike(frame, replace(frame, scales=3 * frame.scales))
    assert not is_alike(frame, replace(frame, means=frame.means[:-1], scales=frame.scales[:-1]))


def test_heads_are_decided_once_an_hour() -> None:
    state, _ = whole()
    known, hour = state.heads, state.heads_h
    state.heads = {}
    decide_heads(state, hour * 3_600_000 + 5)
    assert state.heads == {}
    state.heads, state.heads_h = known, hour


def test_accounts_of_one_model_have_no_row_over_models() -> None:
    state, _ = whole()
    assert state.over is not None
    assert [state.over.slots.key_of(row) for row in state.over.slots.rows_in_use()] == [
        (None, "thief", "m-v0")
    ]
    assert np.count_nonzero(state.over.windows.queries) == 1
