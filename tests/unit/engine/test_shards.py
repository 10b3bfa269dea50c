"""What is normal belongs to the model: over however many shards accounts lie, the same is said of them."""

import functools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.shards import alone, in_lockstep, said
from tests.support.telling import hunted
from tests.support.traffic import NOW_MS, batches

from copycatch.engine.inputs import LearningInputs, inputs_from_plain, inputs_to_plain
from copycatch.engine.learned import Learned
from copycatch.engine.learning import learn
from copycatch.engine.packed import learned_to_plain
from copycatch.records.packing import pack
from copycatch.records.policy import Policy
from copycatch.units import UnixMs

RECORDS = [record for _, record in hunted(4_500, seed=4, hours=48, n_accounts=45, n_thieves=6)]


@functools.cache
def of_one() -> list[tuple[str, str, str, str]]:
    return said(alone(batches(RECORDS, [1_000]), UnixMs(NOW_MS), Policy()))


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(2, 9), st.integers(200, 3_000))
def test_any_number_of_shards_gives_the_alerts_of_one_worker(n_shards: int, cut: int) -> None:
    alerts, cost = in_lockstep(batches(RECORDS, [cut]), n_shards, UnixMs(NOW_MS), Policy())
    assert said(alerts) == of_one()
    assert {op for _, _, op, _ in of_one()} >= {"open", "update"}
    assert cost.told_bytes > 0


def test_shards_that_learn_alone_say_less() -> None:
    """The test above could not fail if thieves were found by whatever a shard knows by itself."""
    parts = [
        [each for each in RECORDS if sum(each["account_id"].encode()) % 4 == number] for number in range(4)
    ]
    opened = sum(
        alert.op == "open"
        for part in parts
        for alert in alone(batches(part, [1_000]), UnixMs(NOW_MS), Policy())
    )
    assert opened < sum(op == "open" for _, _, op, _ in of_one())


def test_the_order_of_shards_does_not_matter() -> None:
    """Nor does the way through bytes: the same version, to the last bit."""
    told: list[tuple[int, list[dict[str, Any]]]] = []

    def record(now_ms: int, inputs: list[LearningInputs]) -> None:
        told.append((now_ms, [inputs_to_plain(each) for each in inputs]))

    in_lockstep(batches(RECORDS, [1_000]), 5, UnixMs(NOW_MS), Policy(), on_told=record)
    kept = []
    for turn in (1, -1):
        learned = Learned()
        for now_ms, inputs in told:
            learn(learned, [inputs_from_plain(plain) for plain in inputs][::turn], now_ms)
        learned.accounts_by_source = dict(sorted(learned.accounts_by_source.items()))
        for table in learned.accounts.values():
            table.rows = dict(sorted(table.rows.items()))
            table.flagged_ms = dict(sorted(table.flagged_ms.items()))
        kept.append(pack(learned_to_plain(learned)))
    assert kept[0] == kept[1]
