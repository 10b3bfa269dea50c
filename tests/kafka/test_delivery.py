"""Each outcome once, whatever happens: kill -9 at every step, random instants, rebalances, on real Kafka."""

import random
import time
import uuid
from pathlib import Path

import pytest

from tests.support.bucket import S3Server
from tests.support.counting import expected_uids
from tests.support.delivery import (
    COUNTING,
    check_at_least_once,
    check_kill_at_step,
    check_workers_come_and_go,
    shards_of,
    written_uids,
)
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


STEPS = ["before deliver:3", "after deliver:3", "before snapshot:2", "in snapshot:1", "after snapshot:2"]


@pytest.mark.parametrize("step", STEPS)
def test_kill_at_every_step_changes_no_outcome(kafka_servers: str, tmp_path: Path, step: str) -> None:
    check_kill_at_step(kafka_servers, tmp_path, step, {})


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


def check_state_elsewhere(servers: str, folder: Path, directory: str, secrets: dict[str, str]) -> str:
    """Killed after a snapshot, the service goes on from it; gives its log."""
    topics = Topics.make(servers)
    service = ServiceProcess(
        servers, topics, folder, instance="one", module=COUNTING,
        more={"poll_records_max": 100, "snapshots": {"interval": "10ms", "directory": directory}},
    )  # fmt: skip
    secrets |= {"COPYCATCH_SNAPSHOTS__KEY": "k" * 32, "COPYCATCH_HMAC_KEY": "h" * 32}
    produce(servers, topics.records, traffic(1500))
    with ended(service):
        # The second begins when the first is written; a third only where the writer keeps up with the reader.
        service.start(secrets | {"COPYCATCH_FAIL_AT": "after snapshot:2", "COPYCATCH_TEST_HOOKS": "1"})
        assert service.wait_end() == -9
        service.start(secrets)
        service.wait_for("shard begins", times=2)  # all may have been committed before the second snapshot
        wait_drained(service, 1500)
        assert service.stop() == 0
    assert written_uids(servers, topics) == expected_uids(shards_of(servers, topics))
    assert service.events("shard begins")[-1]["read_from"] > 0
    return service.log


def test_state_at_a_url_survives_a_kill(kafka_servers: str, tmp_path: Path) -> None:
    check_state_elsewhere(kafka_servers, tmp_path, f"file://{tmp_path}/elsewhere", {})
    assert list((tmp_path / "elsewhere").rglob("*.snapshot"))


def test_state_in_a_bucket_survives_a_kill(kafka_servers: str, s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.make_bucket(f"state-{uuid.uuid4().hex[:8]}")
    log = check_state_elsewhere(kafka_servers, tmp_path, f"s3://{bucket.name}/copycatch", s3.environment)
    assert list(bucket.rglob("*.snapshot"))
    assert s3.secret not in log


def test_at_least_once_repeats_the_same_uids_only(kafka_servers: str, tmp_path: Path) -> None:
    check_at_least_once(kafka_servers, tmp_path, {})


def test_workers_come_and_go_under_load(kafka_servers: str, tmp_path: Path) -> None:
    check_workers_come_and_go(kafka_servers, tmp_path, "moving", {})
