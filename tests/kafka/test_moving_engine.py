"""The real engine in workers that come, go and are killed under load: accounts and the normal move along."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from copycatch.adapters.memory import MemoryMetrics
from copycatch.engine.state import EngineState
from copycatch.ports import Shard
from copycatch.records.columns import Float32Array, RawBatch
from copycatch.service.bootstrap import decoder_maker, make_judge
from copycatch.settings.policy import parse_policy
from copycatch.settings.service import Input
from copycatch.units import UnixMs
from kafka import KafkaProducer
from tests.support.service import (
    PATIENCE_S,
    ServiceProcess,
    Topics,
    ended,
    read_all,
    wait_drained,
)
from tests.support.telling import faults, holds_of, hunted, states_kept
from tests.support.traffic import NOW_MS

pytestmark = pytest.mark.kafka
PARTITIONS = 6
GROUP = "moving"
N_RECORDS = 10_000
OPENED = ("open", "hard_limits")
# What a plain limit says of an account is said in whatever company it is judged; one incident an account.
POLICY = """\
version: 1
rules:
  - name: extraction
  - name: hard_limits
    when: {feature: queries_per_s_long, above: 0.001}
    severity: high
    action: throttle
    clear_after: 30m
    repeat_after: 30d
"""


class Gateway:
    """Writes records in the order of their events, as far as it is told to."""

    def __init__(self, servers: str, topic: str) -> None:
        self._producer = KafkaProducer(bootstrap_servers=servers, compression_type="lz4", linger_ms=20)
        self._topic = topic
        self.lines = [(name, json.dumps(each).encode()) for name, each in hunted(N_RECORDS, seed=5, hours=90)]
        self._sent = 0

    def send(self, until: int) -> None:
        for account, value in self.lines[self._sent : until]:
            self._producer.send(self._topic, key=account.encode(), value=value)
        self._producer.flush(timeout=PATIENCE_S)
        self._sent = until

    def close(self) -> None:
        self._producer.close()


def undisturbed(values: list[bytes]) -> set[str]:
    """Uids of what one worker opens that nobody disturbs, all accounts in one partition."""
    policy = parse_policy(POLICY, "policy.yaml")
    judge = make_judge(
        policy, 10_000, b"tests: no secret", {"*": decoder_maker(Input(topic="t"))}, MemoryMetrics()
    )
    uids: set[str] = set()
    for first in range(0, len(values), 500):
        part = values[first : first + 500]
        batch = RawBatch("t", 0, list(range(first, first + len(part))), part)
        uids |= {
            each.uid for each in judge.step(batch, UnixMs(NOW_MS)).alerts if (each.op, each.rule) == OPENED
        }
    return uids


class Normal(NamedTuple):
    """What a state knows of what is normal for the one model there is."""

    tick: int
    born_ms: int
    voters: set[int]
    is_warm: bool
    means: Float32Array

    @classmethod
    def of(cls, state: EngineState) -> "Normal":
        (population,) = state.populations.values()
        assert population.space is not None
        assert population.is_settled
        return cls(
            state.learned.version,
            population.born_ms,
            {account for stratum in population.reference.index_by_account for account in stratum},
            population.calibration is not None and population.tails is not None,
            population.space.queries.means,
        )


def queries_of(states: Iterable[EngineState]) -> Counter[str]:
    """How many records each account has, over all shards."""
    found: Counter[str] = Counter()
    for state in states:
        for row in range(state.slots.n_rows):
            found[state.slots.key_of(row)[1]] += int(state.windows.queries[row])
    return found


def test_accounts_and_what_is_normal_move_along(kafka_servers: str, tmp_path: Path) -> None:
    topics = Topics.make(kafka_servers, PARTITIONS)
    shards = [Shard(topics.records, number) for number in range(PARTITIONS)]
    directory = tmp_path / "shared"
    more = {"poll_records_max": 50, "snapshots": {"interval": "3s", "directory": str(directory)}}
    first, second, third = (
        ServiceProcess(kafka_servers, topics, tmp_path, GROUP, f"engine-{n}", POLICY, more) for n in range(3)
    )
    gateway = Gateway(kafka_servers, topics.records)
    with contextlib.closing(gateway), ended(first, second, third):
        first.start()
        # As it comes: of a backlog one partition would be read after the other.
        for until in range(500, 5_501, 500):
            gateway.send(until)
            wait_drained(first, until)
        second.start()
        gateway.send(6_500)
        second.wait_for("shard begins")
        learned = Normal.of(
            max(states_kept(directory, GROUP, shards), key=lambda state: state.learned.version)
        )
        third.start()
        gateway.send(7_500)
        third.wait_for("shard begins")
        gateway.send(8_500)
        wait_drained(first, 7_800)
        first.kill()
        gateway.send(N_RECORDS)
        wait_drained(third, N_RECORDS)
        assert second.stop() == third.stop() == 0
    states = states_kept(directory, GROUP, shards)

    # No account is judged twice or forgotten: neither its records nor what was said of it.
    assert queries_of(states) == Counter(account for account, _ in gateway.lines)
    alerts = [record.value for record in read_all(kafka_servers, topics.alerts)]
    recommendations = [record.value for record in read_all(kafka_servers, topics.recommendations)]
    assert faults(alerts, recommendations, [hold for each in states for hold in holds_of(each)]) == []
    told = [json.loads(value) for value in alerts]
    opened = [each["uid"] for each in told if (each["op"], each["rule"]) == OPENED]
    assert Counter(opened) == Counter(undisturbed([value for _, value in gateway.lines]))

    # What is normal survives: one that was born once, settled and calibrated, and that all go on with.
    assert len(learned.voters) > 40
    for worker in (second, third):
        assert not worker.events("no memory")
        assert not worker.events("warms up again")
    for shard, state in zip(shards, states, strict=True):
        known = Normal.of(state)
        assert known.born_ms == learned.born_ms, shard
        assert known.tick > learned.tick, shard
        assert known.is_warm, shard
        assert len(known.voters & learned.voters) > 0.9 * len(learned.voters), shard
        assert np.array_equal(known.means, learned.means), "a settled geometry is not built anew"
    extraction = [each for each in told if each["rule"] == "extraction"]
    assert extraction
    assert all(each["score"]["tail_prob"] is not None for each in extraction)
