"""Each outcome once, whatever happens: kill -9 at every step, random instants, rebalances, on real Kafka."""

import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from copycatch.ports import Shard
from kafka import KafkaProducer
from tests.support.counting import expected_uids
from tests.support.records import traffic
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

pytestmark = pytest.mark.kafka
COUNTING = "tests.support.entry"


def written_uids(servers: str, topics: Topics) -> list[str]:
    return sorted(record.key.decode() for record in read_all(servers, topics.alerts))


def shards_of(servers: str, topics: Topics) -> dict[Shard, list[bytes]]:
    values: dict[Shard, list[bytes]] = {}
    for record in read_all(servers, topics.records):
        values.setdefault(Shard(topics.records, record.partition), []).append(record.value)
    return values


STEPS = ["before deliver:3", "after deliver:3", "before snapshot:2", "in snapshot:1", "after snapshot:2"]


@pytest.mark.parametrize("step", STEPS)
def test_kill_at_every_step_changes_no_outcome(kafka_servers: str, tmp_path: Path, step: str) -> None:
    topics = Topics.make(kafka_servers)
    service = ServiceProcess(
        kafka_servers, topics, tmp_path, instance="one", module=COUNTING,
        more={"poll_records_max": 100, "snapshots": {"interval": "10ms"}},
    )  # fmt: skip
    produce(kafka_servers, topics.records, traffic(1500))
    with ended(service):
        service.start({"COPYCATCH_FAIL_AT": step, "COPYCATCH_TEST_HOOKS": "1"})
        if step.startswith("in snapshot"):
            # Only the child dies; the service says so and goes on.
            service.wait_for("snapshot failed")
            service.kill()
        else:
            assert service.wait_end() == -9
        service.start()
        wait_drained(service, 1500)
        assert service.stop() == 0
    assert written_uids(kafka_servers, topics) == expected_uids(shards_of(kafka_servers, topics))
    # Positions were replayed in silence, or the crash test has tested nothing.
    assert service.events("shard begins")[-1]["read_from"] > 0 or service.events("silent replay is done")


@pytest.mark.parametrize(("partitions", "kills"), [(1, 6), (3, 3)])
def test_kill_at_random_instants_changes_no_outcome(
    kafka_servers: str, tmp_path: Path, partitions: int, kills: int
) -> None:
    topics = Topics.make(kafka_servers, partitions)
    service = ServiceProcess(
        kafka_servers, topics, tmp_path, instance="one", module=COUNTING,
        more={"poll_records_max": 20, "snapshots": {"interval": "200ms"}},
    )  # fmt: skip
    produce(kafka_servers, topics.records, traffic(6000, seed=1))
    choose = random.Random(7 + partitions)
    with ended(service):
        for _ in range(kills):
            service.start()
            begun = len(service.events("shard begins"))
            wait_until(
                lambda n=begun: len(service.events("shard begins")) > n,
                PATIENCE_S,
                lambda: service.log[-3000:],
                service,
            )
            time.sleep(choose.uniform(0.05, 1.0))
            service.kill()
        service.start()
        wait_drained(service, 6000)
        assert service.stop() == 0
    assert written_uids(kafka_servers, topics) == expected_uids(shards_of(kafka_servers, topics))


def test_state_at_a_url_survives_a_kill(kafka_servers: str, tmp_path: Path) -> None:
    topics = Topics.make(kafka_servers)
    directory = f"file://{tmp_path}/elsewhere"
    service = ServiceProcess(
        kafka_servers, topics, tmp_path, instance="one", module=COUNTING,
        more={"poll_records_max": 100, "snapshots": {"interval": "10ms", "directory": directory}},
    )  # fmt: skip
    keys = {"COPYCATCH_SNAPSHOTS__KEY": "k" * 32, "COPYCATCH_HMAC_KEY": "h" * 32}
    produce(kafka_servers, topics.records, traffic(1500))
    with ended(service):
        service.start(keys | {"COPYCATCH_FAIL_AT": "after snapshot:3", "COPYCATCH_TEST_HOOKS": "1"})
        assert service.wait_end() == -9
        service.start(keys)
        wait_drained(service, 1500)
        assert service.stop() == 0
    assert written_uids(kafka_servers, topics) == expected_uids(shards_of(kafka_servers, topics))
    assert service.events("shard begins")[-1]["read_from"] > 0
    assert list((tmp_path / "elsewhere").rglob("*.snapshot"))


def test_at_least_once_repeats_the_same_uids_only(kafka_servers: str, tmp_path: Path) -> None:
    topics = Topics.make(kafka_servers)
    service = ServiceProcess(
        kafka_servers, topics, tmp_path, instance="one", module=COUNTING,
        more={"poll_records_max": 50, "delivery": "at_least_once", "snapshots": {"interval": "200ms"}},
    )  # fmt: skip
    produce(kafka_servers, topics.records, traffic(2000, seed=2))
    with ended(service):
        service.start({"COPYCATCH_FAIL_AT": "after deliver:5", "COPYCATCH_TEST_HOOKS": "1"})
        assert service.wait_end() == -9
        service.start()
        wait_drained(service, 2000)
        assert service.stop() == 0
    assert sorted(set(written_uids(kafka_servers, topics))) == expected_uids(shards_of(kafka_servers, topics))


def test_workers_come_and_go_under_load(kafka_servers: str, tmp_path: Path) -> None:
    """Two workers, a third added, one killed, one stopped: no account judged twice or forgotten."""
    topics = Topics.make(kafka_servers, partitions=6)
    more = {"poll_records_max": 50, "snapshots": {"interval": "300ms", "directory": str(tmp_path / "shared")}}
    workers = [
        ServiceProcess(kafka_servers, topics, tmp_path, "moving", f"worker-{n}", None, more, COUNTING)
        for n in range(3)
    ]
    producer = KafkaProducer(bootstrap_servers=kafka_servers)
    sent = 0

    def send(n_records: int) -> None:
        nonlocal sent
        for account, value in traffic(n_records, 40, seed=sent):
            producer.send(topics.records, key=account.encode(), value=value)
        producer.flush()
        sent += n_records

    with ended(*workers):
        workers[0].start()
        send(1500)
        workers[1].start()
        send(1500)
        workers[1].wait_for("shard begins")
        workers[2].start()
        send(1500)
        workers[2].wait_for("shard begins")
        workers[0].kill()
        send(1500)
        wait_drained(workers[1], sent)
        assert workers[1].stop() == 0
        send(1500)
        wait_drained(workers[2], sent)
        assert workers[2].stop() == 0
    producer.close()
    written = Counter(written_uids(kafka_servers, topics))
    assert written == Counter(expected_uids(shards_of(kafka_servers, topics)))
    assert sum(json.loads(r.value)["queries"] for r in read_all(kafka_servers, topics.alerts)) > 0
