"""No early record decides what a model is, when it begins, or whether it is judged at all."""

from typing import Any

from tests.support.traffic import NOW_MS, START_MS, columns, raw_batch, record

from copycatch.engine import EngineState, new_state, step
from copycatch.engine.learned import MODELS_MAX
from copycatch.population.shape import RIVAL_MS, Shape, Votes
from copycatch.records.columns import Outcomes
from copycatch.records.policy import Policy
from copycatch.units import UnixMs

HOUR_MS = 3_600_000


def play(state: EngineState, records: list[dict[str, Any]]) -> Outcomes:
    batch, rejects = columns(raw_batch(records))
    assert not rejects
    return step(state, batch, UnixMs(NOW_MS), Policy())


def honest(n: int, start_ms: int = START_MS, every_ms: int = 2_000, **fields: Any) -> list[dict[str, Any]]:
    return [
        record(i, account_id=f"a{i % 20}", event_time=start_ms + every_ms * i, **fields) for i in range(n)
    ]


def evil(index: int, **fields: Any) -> dict[str, Any]:
    return record(10_000 + index, **({"account_id": "mallory", "event_time": START_MS} | fields))


def test_a_refused_record_of_another_length_decides_nothing() -> None:
    state = new_state(Policy())
    counts = play(state, [evil(0, input=[1, 2, 3], status=400), *honest(400)]).counts
    assert (counts.accepted, counts.rejected) == (401, 0)
    assert state.populations["m1"].vector_length == 4


def test_nor_does_an_answered_one_of_another_kind() -> None:
    state = new_state(Policy())
    play(state, [evil(0, input=[5, 6]), *honest(400, input="a text", embedding=[0.1, 0.2, 0.3])])
    population = state.populations["m1"]
    assert (population.uses_inputs, population.vector_length) == (False, 3)
    assert {len(query.vector) for query in population.pool.queries()} == {3}


def test_a_lone_record_days_before_does_not_start_the_warm_up() -> None:
    state = new_state(Policy())
    launch_ms = START_MS + 72 * HOUR_MS
    play(state, [evil(0), *honest(400, launch_ms)])
    assert launch_ms - HOUR_MS <= state.populations["m1"].born_ms <= launch_ms + 600_000


def test_names_that_no_model_answers_to_take_no_place() -> None:
    state = new_state(Policy())
    play(state, [*(evil(i, model_id=f"nope-{i}", status=404) for i in range(300)), *honest(400)])
    assert list(state.populations) == ["m1"]


def test_answered_names_of_one_account_give_way() -> None:
    state = new_state(Policy())
    names = [evil(i, model_id=f"nope-{i}") for i in range(MODELS_MAX + 40)]
    play(state, [*names, *honest(400), *honest(400, START_MS + HOUR_MS, model_id="m2")])
    assert state.learned.evicted > 0
    assert state.populations["m2"].is_born
    assert len(state.populations) < MODELS_MAX


def test_the_majority_revises_the_length_and_says_so() -> None:
    state = new_state(Policy())
    first = [evil(i, account_id=f"early{i % 3}", input=[1, 2], event_time=START_MS + i) for i in range(9)]
    play(state, [*first, *honest(1_200, START_MS + 310_000)])
    assert state.populations["m1"].vector_length == 4
    assert state.learned.restarted == 1
    assert state.vectors_left_out > 0


def test_a_settled_population_yields_to_a_clear_majority_after_an_hour_only() -> None:
    own, other, votes = Shape(True, 4), Shape(True, 2), Votes()
    for account in range(10):
        votes.cast(account, own, START_MS)
    for account in range(10, 25):
        votes.cast(account, other, START_MS)
    assert not votes.is_ousted(own, START_MS, is_settled=True), "15 of 25 are no clear majority"
    for account in range(25, 40):
        votes.cast(account, other, START_MS)
    assert not votes.is_ousted(own, START_MS, is_settled=True)
    assert not votes.is_ousted(own, START_MS + RIVAL_MS - 1, is_settled=True)
    assert votes.is_ousted(own, START_MS + RIVAL_MS, is_settled=True)


def test_one_account_has_one_vote() -> None:
    own, other, votes = Shape(True, 4), Shape(True, 2), Votes()
    for account in range(3):
        votes.cast(account, own, START_MS)
    for _ in range(1_000):
        votes.cast(9, other, START_MS)
    assert votes.leader(START_MS)[0] == own


def test_a_model_with_many_odd_vectors_is_an_alert_and_ends_when_they_do() -> None:
    state = new_state(Policy())
    odd = honest(600, START_MS + 2 * HOUR_MS, input=[1, 2])
    for i, each in enumerate(odd):
        each["event_id"], each["account_id"] = f"odd{i}", "mallory"
    later = [
        each | {"event_id": f"late{i}"}
        for i, each in enumerate(honest(4_000, START_MS + 3 * HOUR_MS, 40_000))
    ]
    alerts = play(state, [*honest(1_000), *odd, *later]).alerts
    found = [alert for alert in alerts if alert.rule == "model_not_judged"]
    assert [alert.op for alert in found] == ["open", "close"]
    assert found[0].entity.kind == "model"
    assert "% of its answered records" in found[0].words
    assert found[0].uid == found[1].uid


def test_a_model_without_anything_to_score_is_an_alert() -> None:
    state = new_state(Policy())
    bare = honest(3_000, every_ms=120_000, input=None, probabilities=None)
    alerts = play(state, bare).alerts
    assert [alert.words for alert in alerts if "neither numeric inputs" in alert.words]
