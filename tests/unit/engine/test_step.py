"""Every record is counted exactly once, and bad ones name field and remedy."""

import numpy as np
import pytest
from tests.support.traffic import (
    NOW_MS,
    START_MS,
    batches,
    columns,
    native_intake,
    raw_batch,
    record,
    traffic,
)

from copycatch.campaigns.layout import LINKS
from copycatch.embedding.embedder import TextEmbedder
from copycatch.engine import (
    EngineState,
    advance,
    forget,
    new_state,
    next_deadline_ms,
    restore,
    snapshot,
    step,
)
from copycatch.engine.state import BYTES_PER_ACCOUNT, BYTES_PER_TEXT_ACCOUNT
from copycatch.errors import StateError
from copycatch.features.catalog import NAMES
from copycatch.layout.row import SPANS, TALLY
from copycatch.population.newcomers import Newcomers
from copycatch.records.columns import Counts, Outcomes
from copycatch.records.policy import LimitRule, Policy, When
from copycatch.units import UnixMs


def play(state: EngineState, records: list[dict[str, object]], policy: Policy = Policy()) -> Outcomes:  # noqa: B008
    batch, rejects = columns(raw_batch(records))
    assert not rejects
    return step(state, batch, UnixMs(NOW_MS), policy)


def test_counts_add_up() -> None:
    state = new_state(Policy())
    outcomes = play(
        state,
        [
            record(0, event_time=START_MS),
            record(1, event_time=START_MS + 600_000),
            record(2, event_time=START_MS - 86_400_000),  # more than a day behind: late
            record(1, event_time=START_MS + 600_000),  # the same id again
            record(3, event_time=NOW_MS + 3_600_000),
            record(4, event_time=START_MS + 600_000, probabilities=[0.5, 0.5]),
        ],
    )
    assert outcomes.counts == Counts(accepted=3, duplicates=1, late=1, rejected=1)
    assert {reject.reason for reject in outcomes.rejects} == {"far_future"}
    assert state.clock_ms == START_MS + 600_000, "a far-future record moves no clock"


def test_refused_queries_are_no_evidence() -> None:
    state = new_state(Policy())
    play(state, [record(index, status=429) for index in range(40)])
    policy = Policy()
    outcomes = play(
        state, [record(100 + index, event_time=START_MS + 50_000 + index) for index in range(40)], policy
    )
    looks = outcomes.evaluations[-1][0]
    assert (looks.queries[-1], looks.answered[-1]) == (77, 37), "evaluations go by answers"
    assert looks.lifetime.values[-1][NAMES.index("refused_share")] == pytest.approx(40 / 77)


def test_looks_follow_the_accounts_own_count() -> None:
    state = new_state(Policy())
    outcomes = play(state, [record(index) for index in range(60)])
    looks = [int(q) for evaluations, _ in outcomes.evaluations for q in evaluations.queries]
    assert looks == [12, 13, 14, 15, 16, 18, 20, 22, 24, 27, 30, 33, 37, 41, 46, 51, 57]
    assert not any(outcomes.evaluations[0][0].sample_event_ids), "samples are read where somebody is told"


def test_an_alert_names_the_last_records_of_its_look() -> None:
    rule = LimitRule(
        name="hard",
        when=When(feature="queries_per_s", above=0.0, for_s=0),
        severity="high",
        action="throttle",
    )
    records = [record(index, client_ip="192.0.2.7") for index in range(60)]
    records[9]["event_id"] = "an id of more than forty bytes is cut out of samples"
    alerts = play(new_state(Policy()), records, Policy(rules=[rule])).alerts
    assert alerts[0].sample_event_ids == ["e000008", "e000010", "e000011"]
    assert alerts[0].client_ips == ["192.0.2.7"]


def test_plain_limits_speak_while_the_reference_warms_up() -> None:
    rule = LimitRule(
        name="hard",
        when=When(feature="queries_per_s", above=0.5, for_s=0),
        severity="high",
        action="throttle",
    )
    outcomes = play(
        new_state(Policy(rules=[rule])), [record(index) for index in range(120)], Policy(rules=[rule])
    )
    assert [alert.rule for alert in outcomes.alerts if alert.op == "open"] == ["hard"]
    assert outcomes.recommendations[0].action == "throttle"


def test_a_hundred_thousand_accounts_with_one_query_each() -> None:
    state = new_state(Policy(), accounts_max=20_000)
    total = Counts()
    for start in range(0, 100_000, 5_000):
        records = [
            record(i, account_id=f"a{i}", event_time=START_MS + i * 10) for i in range(start, start + 5_000)
        ]
        batch, _ = columns(raw_batch(records, start))
        total.add(step(state, batch, UnixMs(NOW_MS), Policy()).counts)
    assert total == Counts(accepted=100_000)
    assert len(state.slots) <= 20_000
    assert state.slots.refused + state.slots.evicted >= 80_000


def test_state_of_an_account_is_bounded() -> None:
    assert BYTES_PER_ACCOUNT - LINKS.itemsize <= 4096
    assert LINKS.itemsize <= 1200
    assert BYTES_PER_TEXT_ACCOUNT - LINKS.itemsize <= 8192


def evaluations_of(outcomes: Outcomes) -> list[tuple[object, ...]]:
    return [
        (
            evaluations.account_ids[i],
            int(evaluations.queries[i]),
            repr(scores.values[i]),
            repr(scores.tail_probs[i]),
        )
        for evaluations, scores in outcomes.evaluations
        for i in range(len(evaluations))
    ]


def test_snapshot_and_restore_change_nothing() -> None:
    records = traffic(seed=5, n_accounts=40, n_records=6_000, hours=60)
    policy = Policy()
    straight, restored = new_state(policy), new_state(policy)
    expected: list[object] = []
    found: list[object] = []
    for turn, batch in enumerate(batches(records, [700])):
        outcomes = step(straight, batch, UnixMs(NOW_MS), policy)
        expected += [evaluations_of(outcomes), outcomes.alerts, outcomes.recommendations]
        outcomes = step(restored, batch, UnixMs(NOW_MS), policy)
        found += [evaluations_of(outcomes), outcomes.alerts, outcomes.recommendations]
        if turn % 3 == 2:
            parts: list[bytes] = []
            snapshot(restored, "logs:0", lambda data: parts.append(bytes(data)))  # noqa: B023
            restored = new_state(policy)
            restore(restored, "logs:0", b"".join(parts))
    assert expected == found
    assert sum(map(len, expected)) > 100  # type: ignore[arg-type]


def test_a_forgotten_shard_leaves_room_and_knowledge() -> None:
    state = new_state(Policy())
    for batch in batches(traffic(seed=5, n_accounts=40, n_records=2_000, hours=30), [500]):
        step(state, batch, UnixMs(NOW_MS), Policy())
    assert len(state.slots) == 41
    forget(state, "logs:0")
    assert len(state.slots) == 0
    assert state.populations["m1"].pool.n_accounts > 0


def test_what_is_normal_moves_along_with_a_shard() -> None:
    """To a worker that knows nothing, or less; one that knows more keeps what it knows."""
    batch_list = list(batches(traffic(seed=5, n_accounts=40, n_records=2_500, hours=60), [500]))
    early, late = new_state(Policy()), new_state(Policy())
    for turn, batch in enumerate(batch_list):
        step(late, batch, UnixMs(NOW_MS), Policy())
        if turn < len(batch_list) // 2:
            step(early, batch, UnixMs(NOW_MS), Policy())
    known = late.populations["m1"]
    known.voters = Newcomers(day=3, count=7)
    parts: list[bytes] = []
    snapshot(late, "logs:0", lambda data: parts.append(bytes(data)))
    for state in (new_state(Policy()), early):
        restore(state, "logs:0", b"".join(parts))
        taken = state.populations["m1"]
        assert np.array_equal(taken.reference.values, known.reference.values, equal_nan=True)
        assert taken.reference.index_by_account == known.reference.index_by_account
        assert taken.voters == known.voters, "no rebalance renews the day's votes"
        assert list(taken.pool.queries_by_account) == list(known.pool.queries_by_account)
    older: list[bytes] = []
    fresh = new_state(Policy())
    step(fresh, batch_list[0], UnixMs(NOW_MS), Policy())
    snapshot(fresh, "logs:1", lambda data: older.append(bytes(data)))
    restore(late, "logs:1", b"".join(older))
    assert late.populations["m1"] is known
    assert any(known.reference.index_by_account), "or nothing was there to move"


@pytest.mark.parametrize("damage", [b"", b"\x80", b"\xc1\xc1", b"garbage"])
def test_damaged_snapshots_are_refused(damage: bytes) -> None:
    with pytest.raises(StateError, match="snapshot"):
        restore(new_state(Policy()), "logs:0", damage)


def test_truncated_and_foreign_snapshots_are_refused() -> None:
    state = new_state(Policy())
    play(state, [record(0)])
    parts: list[bytes] = []
    snapshot(state, "logs:0", lambda data: parts.append(bytes(data)))
    whole = b"".join(parts)
    rng = np.random.default_rng(0)
    for cut in rng.integers(1, len(whole), 20).tolist():
        with pytest.raises(StateError):
            restore(new_state(Policy()), "logs:0", whole[:cut])
    with pytest.raises(StateError, match="shard"):
        restore(new_state(Policy()), "logs:1", whole)


def test_advance_is_quiet_when_nothing_is_open() -> None:
    state = new_state(Policy())
    play(state, [record(0)])
    assert next_deadline_ms(state) is None
    assert advance(state, UnixMs(NOW_MS), Policy()).alerts == []


def test_derived_embeddings_give_way_to_those_of_the_log() -> None:
    intake = native_intake(embedder=TextEmbedder())
    state = new_state(Policy())

    def play_texts(start: int, n: int, embedding: list[float] | None) -> Outcomes:
        records = [
            record(i, account_id=f"a{i % 20}", input=f"text number {i}", embedding=embedding)
            for i in range(start, start + n)
        ]
        batch, rejects = columns(raw_batch(records, start), intake)
        assert not rejects
        return step(state, batch, UnixMs(NOW_MS), Policy())

    assert play_texts(0, 400, None).counts.accepted == 400
    assert state.populations["m1"].vector_length == TextEmbedder.length
    assert play_texts(400, 800, [0.1, 0.2]).counts.accepted == 800
    assert state.populations["m1"].vector_length == 2
    assert state.learned.restarted == 1
    before = state.vectors_left_out
    assert play_texts(1200, 100, None).counts.accepted == 100
    assert state.vectors_left_out == before, "a text without its own is no odd vector"
    assert play_texts(1300, 1, [0.1]).counts.accepted == 1
    assert state.vectors_left_out == before + 1


def test_one_id_for_all_queries_hides_none_of_them() -> None:
    records = [record(index, event_id="same") for index in range(20)]
    outcomes = play(new_state(Policy()), [*records, records[-1]])
    assert outcomes.counts == Counts(accepted=20, duplicates=1)


def test_the_memory_horizon_halves_what_is_older() -> None:
    policy = Policy()
    memory_ms = round(policy.windows.memory_s * 1000)
    state = new_state(policy)
    play(state, [record(i, event_time=START_MS + 1000 * i) for i in range(40)], policy)
    later = START_MS + memory_ms + 60_000
    batch, _ = columns(raw_batch([record(100, event_time=later)]))
    step(state, batch, UnixMs(later), policy)
    assert state.windows.sums[0, TALLY["answered"]] == pytest.approx(41 / 2)
    assert state.windows.queries[0] == 41
    panes = state.windows.sums[0, SPANS["long_panes"].columns]
    assert panes.sum() == 1, "the panes of the last hours hold the one query of the last hours"
