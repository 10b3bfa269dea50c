"""The other client library keeps the same promises: each outcome once, whatever happens, on real Kafka."""

import json
from collections import Counter
from pathlib import Path

import pytest

from kafka import KafkaProducer
from tests.kafka.test_delivery import COUNTING, shards_of, written_uids
from tests.support.counting import expected_uids
from tests.support.records import traffic
from tests.support.service import ServiceProcess, Topics, ended, produce, read_all, wait_drained

pytest.importorskip("confluent_kafka")
pytestmark = pytest.mark.kafka
CLIENT = {"client": "confluent"}


@pytest.mark.parametrize("step", ["before deliver:3", "after deliver:3", "after snapshot:2"])
def test_kill_at_every_step_changes_no_outcome(kafka_servers: str, tmp_path: Path, step: str) -> None:
    topics = Topics.make(kafka_servers)
    more = {"kafka": CLIENT, "poll_records_max": 100, "snapshots": {"interval": "10ms"}}
    service = ServiceProcess(kafka_servers, topics, tmp_path, instance="one", module=COUNTING, more=more)
    produce(kafka_servers, topics.records, traffic(1500))
    with ended(service):
        service.start({"COPYCATCH_FAIL_AT": step, "COPYCATCH_TEST_HOOKS": "1"})
        assert service.wait_end() == -9
        service.start()
        wait_drained(service, 1500)
        assert service.stop() == 0
    assert written_uids(kafka_servers, topics) == expected_uids(shards_of(kafka_servers, topics))


def test_at_least_once_repeats_the_same_uids_only(kafka_servers: str, tmp_path: Path) -> None:
    topics = Topics.make(kafka_servers)
    more = {
        "kafka": CLIENT,
        "poll_records_max": 50,
        "delivery": "at_least_once",
        "snapshots": {"interval": "200ms"},
    }
    service = ServiceProcess(kafka_servers, topics, tmp_path, instance="one", module=COUNTING, more=more)
    produce(kafka_servers, topics.records, traffic(2000, seed=2))
    with ended(service):
        service.start({"COPYCATCH_FAIL_AT": "after deliver:5", "COPYCATCH_TEST_HOOKS": "1"})
        assert service.wait_end() == -9
        service.start()
        wait_drained(service, 2000)
        assert service.stop() == 0
    assert sorted(set(written_uids(kafka_servers, topics))) == expected_uids(shards_of(kafka_servers, topics))


def test_workers_come_and_go_under_load(kafka_servers: str, tmp_path: Path) -> None:
    """One worker, a second added, the first killed, a third added, the second stopped."""
    topics = Topics.make(kafka_servers, partitions=6)
    more = {
        "kafka": CLIENT,
        "poll_records_max": 50,
        "snapshots": {"interval": "300ms", "directory": str(tmp_path / "shared")},
    }
    workers = [
        ServiceProcess(kafka_servers, topics, tmp_path, "moving-rd", f"rd-{n}", None, more, COUNTING)
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
