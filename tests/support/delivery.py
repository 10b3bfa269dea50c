"""Each outcome once, whatever happens: what is asked of both client libraries."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copycatch.ports import Shard
from kafka import KafkaProducer
from tests.support.counting import expected_uids
from tests.support.records import traffic
from tests.support.service import ServiceProcess, Topics, ended, produce, read_all, wait_drained

COUNTING = "tests.support.entry"


def written_uids(servers: str, topics: Topics) -> list[str]:
    return sorted(record.key.decode() for record in read_all(servers, topics.alerts))


def shards_of(servers: str, topics: Topics) -> dict[Shard, list[bytes]]:
    values: dict[Shard, list[bytes]] = {}
    for record in read_all(servers, topics.records):
        values.setdefault(Shard(topics.records, record.partition), []).append(record.value)
    return values


def check_kill_at_step(servers: str, folder: Path, step: str, kafka: Mapping[str, Any]) -> None:
    """Killed at a step and started again, the service writes what an undisturbed one would."""
    topics = Topics.make(servers)
    more = {"kafka": kafka, "poll_records_max": 100, "snapshots": {"interval": "10ms"}}
    service = ServiceProcess(servers, topics, folder, instance="one", module=COUNTING, more=more)
    produce(servers, topics.records, traffic(1500))
    with ended(service):
        service.start({"COPYCATCH_FAIL_AT": step, "COPYCATCH_TEST_HOOKS": "1"})
        if step.startswith("in snapshot"):
            # Only the child dies; the service says so and goes on.
            service.wait_for("snapshot failed")
            service.kill()
        else:
            assert service.wait_end() == -9
        service.start()
        if step.startswith("in snapshot"):
            # All may have been committed before the kill: then draining waits for nothing.
            service.wait_for("silent replay is done")
        wait_drained(service, 1500)
        assert service.stop() == 0
    assert written_uids(servers, topics) == expected_uids(shards_of(servers, topics))
    # Positions were replayed in silence, or the crash test has tested nothing.
    assert service.events("shard begins")[-1]["read_from"] > 0 or service.events("silent replay is done")


def check_at_least_once(servers: str, folder: Path, kafka: Mapping[str, Any]) -> None:
    """Without transactions a kill repeats outcomes, under the same uids."""
    topics = Topics.make(servers)
    more = {
        "kafka": kafka,
        "poll_records_max": 50,
        "delivery": "at_least_once",
        "snapshots": {"interval": "200ms"},
    }
    service = ServiceProcess(servers, topics, folder, instance="one", module=COUNTING, more=more)
    produce(servers, topics.records, traffic(2000, seed=2))
    with ended(service):
        service.start({"COPYCATCH_FAIL_AT": "after deliver:5", "COPYCATCH_TEST_HOOKS": "1"})
        assert service.wait_end() == -9
        service.start()
        wait_drained(service, 2000)
        assert service.stop() == 0
    assert sorted(set(written_uids(servers, topics))) == expected_uids(shards_of(servers, topics))


def check_workers_come_and_go(servers: str, folder: Path, group: str, kafka: Mapping[str, Any]) -> None:
    """Two workers, a third added, one killed, one stopped: no account judged twice or forgotten."""
    topics = Topics.make(servers, partitions=6)
    more = {
        "kafka": kafka,
        "poll_records_max": 50,
        "snapshots": {"interval": "300ms", "directory": str(folder / "shared")},
    }
    workers = [
        ServiceProcess(servers, topics, folder, group, f"{group}-{n}", None, more, COUNTING) for n in range(3)
    ]
    producer = KafkaProducer(bootstrap_servers=servers)
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
    written = Counter(written_uids(servers, topics))
    assert written
    assert written == Counter(expected_uids(shards_of(servers, topics)))
