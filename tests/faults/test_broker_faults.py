"""What the service does when a broker fails it: stated in README, held to it here, on a broker of its own."""

import time
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient, NewTopic

from tests.support.broker import Broker
from tests.support.counting import expected_uids
from tests.support.delivery import COUNTING, shards_of, written_uids
from tests.support.maven import free_port
from tests.support.records import traffic
from tests.support.service import (
    PATIENCE_S,
    ServiceProcess,
    Topics,
    ended,
    produce,
    wait_drained,
    wait_until,
)

pytestmark = pytest.mark.kafka


def resident_bytes(service: ServiceProcess) -> int:
    assert service.process is not None
    pages = Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


def test_broker_down_and_back(own_broker: Broker, tmp_path: Path) -> None:
    """kill -9 of the broker under load: tried again until it is back; every outcome once; memory bounded."""
    servers = own_broker.servers
    topics = Topics.make(servers)
    service = ServiceProcess(
        servers, topics, tmp_path, instance="one", module=COUNTING, more={"poll_records_max": 20}
    )
    produce(servers, topics.records, traffic(4000))
    with ended(service):
        service.start()
        wait_drained(service, 200)
        own_broker.stop(is_hard=True)
        time.sleep(12)
        before = resident_bytes(service)
        time.sleep(3)
        assert service.is_alive, service.log
        assert resident_bytes(service) < before + (16 << 20)
        own_broker.start()
        wait_drained(service, 4000)
        produce(servers, topics.records, traffic(1000, seed=4))
        wait_drained(service, 5000)
        assert service.stop() == 0
    assert written_uids(servers, topics) == expected_uids(shards_of(servers, topics))


def test_broker_that_hangs(own_broker: Broker, tmp_path: Path) -> None:
    """Connections stand, nothing is answered for longer than the session: each outcome once all the same."""
    servers = own_broker.servers
    topics = Topics.make(servers)
    service = ServiceProcess(
        servers, topics, tmp_path, instance="one", module=COUNTING, more={"poll_records_max": 20}
    )
    produce(servers, topics.records, traffic(4000))
    with ended(service):
        service.start()
        wait_drained(service, 200)
        own_broker.freeze()
        time.sleep(12)
        own_broker.thaw()
        wait_drained(service, 4000)
        assert service.stop() == 0
    assert written_uids(servers, topics) == expected_uids(shards_of(servers, topics))


def test_output_topic_that_goes_missing(own_broker: Broker, tmp_path: Path) -> None:
    """Deleted while running: tried again and said so; nothing is lost when it is made anew."""
    servers = own_broker.servers
    topics = Topics.make(servers)
    service = ServiceProcess(servers, topics, tmp_path, instance="one", module=COUNTING)
    admin = KafkaAdminClient(bootstrap_servers=servers)
    with ended(service):
        service.start()
        service.wait_for("shard begins")
        admin.delete_topics([topics.alerts])
        time.sleep(1)
        produce(servers, topics.records, traffic(500))
        wait_until(
            lambda: service.events("failed") or service.events("rebuilt"),
            PATIENCE_S,
            lambda: service.log,
            service,
        )
        admin.create_topics([NewTopic(topics.alerts, 1, 1)])
        wait_drained(service, 500)
        assert service.stop() == 0
    admin.close()
    assert written_uids(servers, topics) == expected_uids(shards_of(servers, topics))


def test_stop_while_the_broker_is_away(own_broker: Broker, tmp_path: Path) -> None:
    """SIGTERM in an outage ends within the drain time, with 3: what is not committed is judged again."""
    servers = own_broker.servers
    topics = Topics.make(servers)
    service = ServiceProcess(
        servers,
        topics,
        tmp_path,
        instance="one",
        module=COUNTING,
        more={"poll_records_max": 20, "drain_timeout": "3s"},
    )
    produce(servers, topics.records, traffic(4000))
    with ended(service):
        service.start()
        wait_drained(service, 200)
        own_broker.stop(is_hard=True)
        time.sleep(1)
        assert service.stop() in (0, 3)
        own_broker.start()
        service.start()
        wait_drained(service, 4000)
        assert service.stop() == 0
    assert written_uids(servers, topics) == expected_uids(shards_of(servers, topics))


def test_no_broker_at_start(tmp_path: Path) -> None:
    topics = Topics("records", "alerts", "recommendations", "dead-letters")
    service = ServiceProcess(f"localhost:{free_port()}", topics, tmp_path, module=COUNTING)
    service.more = {"kafka": {"request_timeout": "2s"}}
    with ended(service):
        service.start()
        assert service.wait_end() == 3
    assert "connecting" in service.events("stopped")[0]["reason"]


def test_topics_that_do_not_exist(kafka_servers: str, tmp_path: Path) -> None:
    topics = Topics.make(kafka_servers)
    for wrong in ("records", "alerts"):
        mistaken = Topics(**(topics.__dict__ | {wrong: "no-such-topic"}))
        service = ServiceProcess(kafka_servers, mistaken, tmp_path / wrong, module=COUNTING)
        with ended(service):
            service.start()
            assert service.wait_end() == 3
        reason = service.events("stopped")[0]["reason"]
        assert "no-such-topic does not exist" in reason
        assert "create it" in reason
