"""How far traffic can move what is normal: the bounds that SECURITY.md states."""

import numpy as np
import pytest
from tests.support.streams import row_by_key
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

from copycatch.engine import new_state, step
from copycatch.engine.gathering import tell
from copycatch.engine.inputs import Evaluated, LearningInputs, ModelInputs, hash_of
from copycatch.engine.learning import learn
from copycatch.engine.state import EngineState
from copycatch.features.catalog import NAMES, SPECS
from copycatch.population.model import WARM_UP_MS
from copycatch.population.newcomers import NEWCOMERS_PER_DAY_MAX
from copycatch.population.reference import ACCOUNTS_MAX, QUANTILES, STRATA, Reference
from copycatch.records.columns import FloatArray
from copycatch.records.policy import Policy
from copycatch.scoring.catalog import INPUT_NAMES
from copycatch.scoring.protocol import Inputs
from copycatch.units import MS_PER_DAY, UnixMs

HONEST = range(1, ACCOUNTS_MAX + 1)
FAKES = range(1_000_000, 1_005_000)
EVIDENCE = 100
FOUNDED_MS = START_MS + WARM_UP_MS


def founded(state: EngineState) -> Reference:
    """The reference of a model whose honest accounts hold all seats of a stratum, with values 1 to n."""
    population = state.learned.population("m1", START_MS)
    assert population is not None
    population.uses_inputs, population.vector_length = True, 1  # it is born
    vote(state, {account: float(account) for account in HONEST}, START_MS)
    return population.reference


def vote(state: EngineState, value_by_account: dict[int, float], now_ms: int) -> None:
    """What the tick of a segment does with the looks of these accounts."""
    told = ModelInputs(state.learned.epoch("m1"))
    told.evaluations = [
        evaluated(account, value, now_ms - len(value_by_account) + at)
        for at, (account, value) in enumerate(value_by_account.items())
    ]
    learn(state.learned, [LearningInputs("logs:0", now_ms, models={"m1": told})], now_ms)


def evaluated(account: int, value: float, time_ms: int) -> Evaluated:
    values, nothing = np.full(len(NAMES), value), np.full(len(NAMES), np.nan)
    inputs = Inputs(*(np.full((1, len(names)), np.nan) for names in INPUT_NAMES.values()))
    return Evaluated(account, time_ms, EVIDENCE, EVIDENCE, values, nothing, inputs)


def quantiles(reference: Reference) -> FloatArray:
    normal = reference.compare(np.zeros((1, len(NAMES))), np.array([EVIDENCE]), np.array([0]))
    return np.array([normal.lows[0, 0], normal.medians[0, 0], normal.highs[0, 0]])


def seats_of(reference: Reference, accounts: range) -> int:
    return max(sum(account in accounts for account in seats) for seats in reference.index_by_account)


def test_one_account_is_one_vote_however_long_it_drifts() -> None:
    state = new_state(Policy())
    reference = founded(state)
    before = quantiles(reference)
    for turn in range(500):  # from the middle to far beyond everybody, a little each time, for two months
        vote(state, {128: 128.0 + turn * 10}, FOUNDED_MS + turn * MS_PER_DAY // 8)
    assert (np.abs(quantiles(reference) - before) <= 1.0).all(), "no quantile moves past one neighbour"
    assert seats_of(reference, range(128, 129)) == 1


def test_a_flood_of_fake_accounts_moves_normal_by_a_bound_each_day() -> None:
    """Day by day an attacker has at most that many more seats; quantiles stay where so many can move them."""
    state = new_state(Policy())
    reference = founded(state)
    first_day = FOUNDED_MS // MS_PER_DAY + 1
    for day in range(1, 8):
        begin_ms = (first_day + day) * MS_PER_DAY
        for part in range(10):
            vote(state, dict.fromkeys(FAKES[part::10], 1e9), begin_ms + part * 7_000_000)
        seats = seats_of(reference, FAKES)
        assert seats == day * NEWCOMERS_PER_DAY_MAX
        share = seats / ACCOUNTS_MAX
        # Honest values are 1 to n, and those that gave way were the lowest: as bad as it can be.
        for name, quantile in (("lows", QUANTILES[0]), ("medians", 0.5), ("highs", QUANTILES[-1])):
            normal = reference.compare(np.zeros((1, len(NAMES))), np.array([EVIDENCE]), np.array([0]))
            found = float(getattr(normal, name)[0, 0])
            if quantile + share < 1:
                assert found <= ACCOUNTS_MAX * (quantile + share) + 1
    assert share < 0.5, "the median is still an honest one after a week"


def test_who_has_a_vote_may_change_it_while_newcomers_wait() -> None:
    state = new_state(Policy())
    reference = founded(state)
    vote(state, dict.fromkeys(FAKES, 1e9), FOUNDED_MS)
    vote(state, {200: -5.0}, FOUNDED_MS + 1)
    stratum = int(np.searchsorted(STRATA, EVIDENCE, side="right") - 1)
    assert reference.values[stratum, reference.index_by_account[stratum][200], 0] == -5.0


def test_flagged_accounts_teach_nothing() -> None:
    """Neither what is normal, nor what usual queries are: not even by what waited when they were flagged."""
    policy = Policy()
    state = new_state(policy)
    flagged_at: set[str] = set()
    for batch in batches(traffic(seed=5, n_accounts=40, n_records=6_000, hours=60), [700]):
        outcomes = step(state, batch, UnixMs(NOW_MS), policy)
        flagged_at |= {alert.entity.id for alert in outcomes.alerts}
        population = state.populations["m1"]
        for name in flagged_at:
            account = hash_of((None, name, "m1"))
            row = row_by_key(state.slots)[None, name, "m1"]
            before = population.reference.accounts.tolist(), population.reference.values.tobytes()
            now_ms = int(state.rows.flagged_ms[row]) + 1
            told = ModelInputs(state.epoch("m1"), evaluations=[evaluated(account, 7.0, now_ms)])
            inputs = tell(state, now_ms, {})
            learn(state.learned, [*inputs, LearningInputs("x", now_ms, models={"m1": told})], now_ms)
            after = population.reference.accounts.tolist(), population.reference.values.tobytes()
            assert after == before
            assert account not in population.pool.queries_by_account
    assert "thief" in flagged_at


@pytest.mark.parametrize("status", [401, 403, 429])
def test_what_we_had_refused_feeds_no_feature(status: int) -> None:
    """A gateway that carries out our recommendation logs the refusal: it counts as refused, no more."""
    answered = [record(2 * index, input=[0.01 * index, 0.2, 0.3, 0.4]) for index in range(60)]
    refused = [
        record(2 * index + 1, input=[9.0, -9.0 * index, 9.0, 1.0], status=status, probabilities=None,
               predicted_label=None)
        for index in range(60)
    ]  # fmt: skip
    both = [each for pair in zip(answered, refused, strict=True) for each in pair]
    values = []
    for records in (answered, both):
        state = new_state(Policy())
        batch, rejects = columns(raw_batch(records), native_intake())
        assert not rejects
        outcomes = step(state, batch, UnixMs(NOW_MS), Policy())
        looks = outcomes.evaluations[-1][0]
        last = np.flatnonzero(looks.queries >= 50)[0] if records is answered else len(looks.queries) - 1
        values.append(dict(zip(NAMES, looks.lifetime.values[last].tolist(), strict=True)))
        samples = state.inputs_of("logs:0").models["m1"].samples
        assert samples
        assert all(abs(float(query.input_vector[0])) < 1 for query in samples)
    shown = {
        spec.name
        for spec in SPECS
        if values[0][spec.name] != pytest.approx(values[1][spec.name], nan_ok=True)
    }
    families = {spec.name: spec.family for spec in SPECS}
    assert {families[name] for name in shown} <= {"volume", "timing"}
    assert values[1]["refused_share"] > 0.4


def test_a_flood_of_new_accounts_pushes_no_suspect_out() -> None:
    """A minute of nothing but newcomers, five for each row there is: the suspect's window stands."""
    policy = Policy()
    state = new_state(policy, accounts_max=2_000)
    batch, _ = columns(raw_batch([record(index, account_id="suspect") for index in range(60)]))
    step(state, batch, UnixMs(NOW_MS), policy)
    row = row_by_key(state.slots)[None, "suspect", "m1"]
    state.rows.flagged_ms[row] = START_MS + 60_000
    for start in range(0, 10_000, 2_500):
        flood = [
            record(100 + i, account_id=f"new-{i}", event_time=START_MS + 300_000 * (1 + start // 2_500) + i)
            for i in range(start, start + 2_500)
        ]
        batch, _ = columns(raw_batch(flood, 100 + start))
        step(state, batch, UnixMs(NOW_MS), policy)
    assert row_by_key(state.slots)[None, "suspect", "m1"] == row
    assert int(state.windows.queries[row]) == 60
    assert state.rows.flagged_ms[row] > 0
    assert len(state.slots) <= 2_000
    assert state.slots.evicted + state.slots.refused >= 8_000, "the newcomers made room for each other"
