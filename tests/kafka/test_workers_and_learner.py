"""Workers and a learner with a standby on real Kafka: joined and killed, they say what one worker says.

The log comes in bursts, two hours apart in event time, each within one tick: after each one every worker has
kept up, which is where they promise the alerts of one worker.
"""

import json
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from copycatch.ports import Shard
from copycatch.records.policy import Policy
from copycatch.records.wire import Alert
from copycatch.units import UnixMs
from tests.support.service import (
    PATIENCE_S,
    ServiceProcess,
    Topics,
    ended,
    produce,
    read_all,
    wait_drained,
    wait_until,
)
from tests.support.shards import alone, said
from tests.support.telling import HOUR_MS, faults, holds_kept, hunted
from tests.support.traffic import NOW_MS, START_MS, batches

pytestmark = pytest.mark.kafka
PARTITIONS = 3
N_RECORDS = 4_500
HOURS = 60
BURST_MS, WITHIN_MS = 2 * HOUR_MS, 240_000
N_BURSTS = HOURS * HOUR_MS // BURST_MS
LEARNER_KILLED, WORKER_KILLED, JOINED, UNDER_LOAD = 8, 14, 25, 27  # before these bursts


def in_bursts() -> Iterator[tuple[str, dict[str, Any]]]:
    for account, each in hunted(N_RECORDS, seed=4, hours=HOURS, n_accounts=45, n_thieves=6):
        burst, rest_ms = divmod(each["event_time"] - START_MS, BURST_MS)
        yield account, each | {"event_time": START_MS + burst * BURST_MS + rest_ms * WITHIN_MS // BURST_MS}


def burst_of(record: dict[str, Any]) -> int:
    return int((record["event_time"] - START_MS) // BURST_MS)


class Fleet:
    """Processes with the same settings, and the records that they are given burst by burst."""

    def __init__(self, servers: str, folder: Path) -> None:
        self.servers, self.folder = servers, folder
        self.topics = Topics.make(servers, PARTITIONS)
        tag = self.topics.records.rpartition("-")[2]
        self.inputs, self.versions, self.group = f"inputs-{tag}", f"versions-{tag}", f"group-{tag}"
        self.records = list(in_bursts())
        self.sent = 0

    def process(self, name: str, command: str = "run") -> ServiceProcess:
        more = {
            "learner": {"inputs": self.inputs, "versions": self.versions, "hold": "8s"},
            "outputs": {"create_missing": True},
        }
        return ServiceProcess(
            self.servers, self.topics, self.folder, self.group, name, more=more, command=command
        )

    def send(self, until: int) -> None:
        """The records before burst `until` that are not sent yet."""
        lines = [(name, json.dumps(each).encode()) for name, each in self.records[self.sent :]
                 if burst_of(each) < until]  # fmt: skip
        produce(self.servers, self.topics.records, lines)
        self.sent += len(lines)

    def feed(self, until: int, service: ServiceProcess) -> None:
        for burst in range(burst_of(self.records[self.sent][1]), until):
            self.send(burst + 1)
            wait_drained(service, self.sent)

    def alerts(self) -> list[bytes]:
        return [record.value for record in read_all(self.servers, self.topics.alerts)]


def metric(service: ServiceProcess, name: str) -> float:
    service.wait_for("http is up")
    port = service.events("http is up")[-1]["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    whole = f"{name} ", f"{name}{{"  # not those whose names go on
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(whole))


def wait_for_all_shards(*services: ServiceProcess) -> None:
    wait_until(
        lambda: (
            sum(metric(each, "copycatch_shards") for each in services) == PARTITIONS
            and all(metric(each, "copycatch_shards") > 0 for each in services)
        ),
        PATIENCE_S,
        lambda: "\n".join(each.log[-2_000:] for each in services),
    )


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
    fleet = Fleet(kafka_servers, tmp_path)
    until_killed(fleet)
    values = fleet.alerts()
    told = [msgspec.json.decode(value, type=Alert) for value in values]
    of_one = alone(batches([each for _, each in fleet.records], [1_000]), UnixMs(NOW_MS), Policy())
    limit = datetime.fromtimestamp((START_MS + UNDER_LOAD * BURST_MS) / 1_000, UTC).strftime("%Y-%m-%dT%H")
    kept_up = [[each for each in alerts if each.time < limit] for alerts in (told, of_one)]
    assert {each.op for each in kept_up[1]} >= {"open", "update"}
    assert said(kept_up[0]) == said(kept_up[1])
    recommendations = [record.value for record in read_all(kafka_servers, fleet.topics.recommendations)]
    shards = [Shard(fleet.topics.records, number) for number in range(PARTITIONS)]
    assert faults(values, recommendations, holds_kept(tmp_path / "state", fleet.group, shards)) == []
    keys = {record.key.partition(b"|")[0] for record in read_all(kafka_servers, fleet.versions)}
    assert keys > {b"manifest", b"part/head", b"part/campaigns", b"part/model/m1", b"part/space/m1"}
