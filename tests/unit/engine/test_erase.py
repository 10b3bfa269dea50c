"""An account that is erased leaves no trace in the state or in its bytes, and nobody else loses anything."""

import numpy as np
import pytest
from tests.support.traffic import NOW_MS, batches, record, traffic

from copycatch import engine
from copycatch.engine.inputs import SAMPLE_ID, LearningInputs, hash_of
from copycatch.records.policy import LimitRule, Policy
from copycatch.records.policy_rules import When
from copycatch.units import UnixMs

SHARD = "logs:0"
THIEF = (None, "thief")
HARD = LimitRule(name="hard", when=When(feature="queries_per_s", above=0.0005), action="throttle")
POLICY = Policy(rules=[HARD])


def played(n: int = 3_000, hours: float = 15.0) -> engine.EngineState:
    state = engine.new_state(POLICY, accounts_max=500, link_key=7)
    for batch in batches(traffic(3, 60, n, hours), [500]):
        engine.step(state, batch, UnixMs(NOW_MS), POLICY)
    return state


def bytes_of(state: engine.EngineState) -> bytes:
    pieces: list[bytes] = []
    engine.snapshot(state, SHARD, lambda piece: pieces.append(bytes(piece)))
    return b"".join(pieces)


@pytest.fixture(scope="module")
def state() -> engine.EngineState:
    return played()


def hashes_in(state: engine.EngineState) -> set[int]:
    """Of all accounts that anything is kept of among the learned."""
    found: set[int] = set()
    for model_id, population in state.learned.populations.items():
        found |= population.pool.queries_by_account.keys() | population.votes.by_account.keys()
        found |= {query.account_hash for query in population.pool.waiting}
        found |= {account for stratum in population.reference.index_by_account for account in stratum}
        if population.space is not None:
            found |= set(population.space.reference_accounts.tolist())
        ensemble = state.learned.ensembles.get(model_id)
        found |= set() if ensemble is None else ensemble.waiting.keys()
        table = state.learned.table(model_id)
        found |= table.rows.keys() | table.flagged_ms.keys()
    return found


def test_nothing_of_the_account_is_left(state: engine.EngineState) -> None:
    account = hash_of((*THIEF, "m1"))
    assert b"thief" in bytes_of(state), "it was there"
    assert account in hashes_in(state)
    others = hashes_in(state) - {account}
    keys = {state.slots.key_of(row) for row in state.slots.rows_in_use()}
    case = state.decision(SHARD).table.get((*THIEF, "m1"))
    assert case is not None
    assert case.active is not None, "something is in force for it"
    found = engine.erase(state, THIEF, POLICY, 7)
    assert found.rows >= 1
    assert found.cases >= 1
    assert {row.op for row in found.revokes} == {"revoke"}
    assert {row.value for row in found.revokes} == {"thief"}
    after = bytes_of(state)
    assert b"thief" not in after
    assert account not in hashes_in(state)
    assert hashes_in(state) == others, "nobody else's"
    left = {state.slots.key_of(row) for row in state.slots.rows_in_use()}
    assert left == {key for key in keys if key[:2] != THIEF}
    # A second time there is nothing more.
    again = engine.erase(state, THIEF, POLICY, 7)
    assert (again.rows, again.cases, again.campaigns, again.learned) == (0, 0, 0, 0)
    assert bytes_of(state).count(b"thief") == 0
    # Restored from the bytes, it goes on, and the account that comes back is a new one.
    restored = engine.new_state(POLICY, accounts_max=500, link_key=7)
    engine.restore(restored, SHARD, after)
    at_ms = restored.clock_ms + 1_000
    (batch,) = batches([record(9_000_000, account_id="thief", event_time=at_ms, input=[0.1] * 8)], [1])
    engine.step(restored, batch, UnixMs(NOW_MS), POLICY)
    row = restored.slots.row_of((None, "thief", "m1"))
    assert restored.windows.queries[row] == 1


def test_a_campaign_goes_on_without_the_account(state: engine.EngineState) -> None:
    """Its place among the members goes, and its name in the case that was made of them."""
    from copycatch.campaigns.state import Campaign
    from copycatch.decisions.case import Case

    names = ["acct-001", "acct-002", "acct-003"]
    rows = [state.slots.row_of((None, name, "m1")) for name in names]
    assert min(rows) >= 0
    campaign = Campaign("c1", 0, "deck", 1.0, {}, {}, dict.fromkeys(rows, 0))
    state.links.grow(state.slots.n_rows)
    state.links.campaigns.append(campaign)
    state.campaign_homes["c1"] = SHARD
    table = state.decision(SHARD).table
    table.add(Case(None, "c1", "m1", accounts=list(names), accounts_total=3))
    found = engine.erase(state, (None, "acct-002"), POLICY, 7)
    assert found.campaigns == 2
    assert set(campaign.members) == {rows[0], rows[2]}
    case = table.get((None, "c1", "m1"))
    assert case is not None
    assert (case.accounts, case.accounts_total) == (["acct-001", "acct-003"], 2)
    assert b"acct-002" not in bytes_of(state)
    for name in ("acct-001", "acct-003"):
        engine.erase(state, (None, name), POLICY, 7)
    assert table.get((None, "c1", "m1")) is None, "a campaign of nobody is none"


def test_of_another_tenant_nothing_is_taken(state: engine.EngineState) -> None:
    before = len(state.slots)
    assert engine.erase(state, ("acme", "acct-010"), POLICY, 7).rows == 0
    assert len(state.slots) == before
    assert np.all(state.windows.queries[state.slots.rows_in_use()] > 0)


def test_what_a_learner_has_of_campaigns_is_without_it(state: engine.EngineState) -> None:
    """What stands of it, whose members are told to workers, and what waits for the next tick."""
    thief, other = (*THIEF, "m1"), (None, "acct-001", "m1")
    correlator = state.learned.correlator
    correlator.findings = {SHARD: {thief: ("high", "block"), other: ("low", "observe")}}
    correlator.standing = [("uid", [thief, other])]
    waiting = LearningInputs(
        SHARD, link_keys=[thief, other], links={"column": np.arange(2)},
        link_samples=np.array([b"one", b"two"], dtype=SAMPLE_ID),
        findings=[(thief, "high", "block"), (other, "low", "observe")],
    )  # fmt: skip
    engine.erase_learned(state.learned, THIEF, POLICY, engine.Erased())
    engine.erase_inputs([waiting], THIEF)
    assert correlator.findings == {SHARD: {other: ("low", "observe")}}
    assert correlator.standing == [("uid", [other])]
    assert (waiting.link_keys, waiting.findings) == ([other], [(other, "low", "observe")])
    assert (waiting.links["column"].tolist(), waiting.link_samples.tolist()) == ([1], [b"two"])
