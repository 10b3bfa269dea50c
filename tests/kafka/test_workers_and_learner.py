"""Workers and a learner with a standby on real Kafka: joined and killed, they say what one worker says.

The accounts of a ring lie on all partitions, among honest ones and thieves.
"""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from copycatch.ports import Shard
from copycatch.records.wire import Alert
from copycatch.settings.policy import parse_policy
from copycatch.units import UnixMs
from tests.support.fleet import (
    BURST_MS,
    PARTITIONS,
    Fleet,
    Record,
    in_bursts,
    metric,
    wait_for_all_shards,
)
from tests.support.service import ended, read_all, wait_drained
from tests.support.shards import alone, said
from tests.support.telling import HOUR_MS, faults, holds_kept, hunted
from tests.support.traffic import NOW_MS, START_MS, batches
from tests.unit.campaigns.rings import START_MS as RING_START_MS
from tests.unit.engine.test_campaigns import HONEST, POLICY, RING, lines

pytestmark = pytest.mark.kafka
HOURS = 60
N_BURSTS = HOURS * HOUR_MS // BURST_MS
LEARNER_KILLED, WORKER_KILLED, JOINED, UNDER_LOAD = 16, 19, 25, 27  # before these bursts


def with_ring() -> list[Record]:
    """Honest accounts and thieves of one model, and a ring among the accounts of another, in 60 hours."""
    found = list(hunted(4_500, seed=4, hours=HOURS, n_accounts=45, n_thieves=6))
    for each in map(json.loads, lines()):
        name = f"other-{each['account_id']}"
        time_ms = START_MS + (each["event_time"] - RING_START_MS) // 2
        found.append((name, each | {"account_id": name, "event_time": time_ms}))
    return sorted(found, key=lambda each: each[1]["event_time"])


def until_killed(fleet: Fleet) -> None:
    """Joins and kills between bursts, then a kill under load."""
    learner, standby = fleet.process("learner", "learn"), fleet.process("standby", "learn")
    one, two, three = (fleet.process(name) for name in ("one", "two", "three"))
    with ended(learner, standby, one, two, three):
        for service in (learner, one, two):
            service.start()
        learner.wait_for("shard begins")
        standby.start()
        wait_for_all_shards(one, two)
        fleet.feed(LEARNER_KILLED, one)
        learner.kill()
        standby.wait_for("shard begins")
        fleet.feed(WORKER_KILLED, one)
        time.sleep(2.5)  # a snapshot of each shard, so that the next owner has nothing to judge again
        one.kill()
        wait_for_all_shards(two)
        fleet.feed(JOINED, two)
        three.start()
        wait_for_all_shards(two, three)
        fleet.feed(JOINED + 1, two)
        assert metric(three, 'copycatch_evaluations_total{scored="yes"}') > 0, "it needs no warm-up"
        fleet.feed(UNDER_LOAD, two)
        assert metric(two, "copycatch_ticks_without_version_total") == 0
        fleet.send(N_BURSTS)
        time.sleep(0.3)
        two.kill()
        wait_drained(three, len(fleet.records))
        for service in (three, standby):
            assert service.stop() == 0, service.log[-3000:]


def test_workers_say_what_one_worker_says_through_joins_and_kills(kafka_servers: str, tmp_path: Path) -> None:
    records = in_bursts(with_ring(), START_MS)
    fleet = Fleet(kafka_servers, tmp_path, records, START_MS, hold="60s", session="15s", policy=POLICY)
    until_killed(fleet)
    values = fleet.alerts()
    told = [msgspec.json.decode(value, type=Alert) for value in values]
    of_one = alone(
        batches([each for _, each in fleet.records], [1_000]), UnixMs(NOW_MS), parse_policy(POLICY, "policy")
    )
    limit = datetime.fromtimestamp((START_MS + UNDER_LOAD * BURST_MS) / 1_000, UTC).strftime("%Y-%m-%dT%H")
    kept_up = [[each for each in alerts if each.time < limit] for alerts in (told, of_one)]
    assert {each.op for each in kept_up[1]} >= {"open", "update"}
    assert said(kept_up[0]) == said(kept_up[1])
    campaigns = [[each for each in alerts if each.rule == "campaign"] for alerts in kept_up]
    assert campaigns[0] == campaigns[1], "rings are those of one worker to the last word"
    ring = {f"other-acct-{row:03d}" for row in range(HONEST, HONEST + RING)}
    assert ring <= {account for each in campaigns[0] for account in each.entity.accounts}
    recommendations = [record.value for record in read_all(kafka_servers, fleet.topics.recommendations)]
    shards = [Shard(fleet.topics.records, number) for number in range(PARTITIONS)]
    of_accounts = [value for value in values if json.loads(value)["rule"] != "campaign"]
    assert faults(of_accounts, recommendations, holds_kept(tmp_path / "state", fleet.group, shards)) == []
    keys = {record.key.partition(b"|")[0] for record in read_all(kafka_servers, fleet.versions)}
    assert keys >= {
        b"manifest",
        b"part/head",
        b"part/campaigns",
        *(f"part/{kind}/{model}".encode() for kind in ("model", "space") for model in ("m", "m1")),
    }
