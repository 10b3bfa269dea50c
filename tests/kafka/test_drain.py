"""SIGTERM under load: what is at hand is finished and committed, nothing is judged twice."""

import signal
import time
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from kafka import TopicPartition
from tests.kafka.test_quarantine import metrics_of
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
N = 60_000
POLICY = """\
version: 1
rules:
  - {name: hard_limits, when: {feature: queries_per_s, above: 1.0, for: 1m}, action: throttle}
"""


def committed(service: ServiceProcess) -> int:
    admin = KafkaAdminClient(bootstrap_servers=service.servers)
    try:
        offsets = admin.list_group_offsets(service.group)[service.group]
        return int(offsets[TopicPartition(service.topics.records, 0)].offset)
    finally:
        admin.close()


def test_a_stop_under_load_leaves_nothing_half_done(kafka_servers: str, tmp_path: Path) -> None:
    topics = Topics.make(kafka_servers)
    produce(kafka_servers, topics.records, traffic(N))
    # No snapshot is due meanwhile: the one that the next start finds is that of the drain.
    more = {"snapshots": {"interval": "1h"}, "drain_timeout": "30s"}
    service = ServiceProcess(kafka_servers, topics, tmp_path, policy=POLICY, more=more)
    with ended(service):
        process = service.start().process
        assert process is not None
        service.wait_for("shard begins")
        accepted = 'copycatch_records_total{outcome="accepted"}'
        wait_until(lambda: metrics_of(service).get(accepted, 0) > 0, PATIENCE_S)
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        took_s = time.monotonic() - began_s
        position, first = committed(service), service.events("done")[-1]["accepted"]
        assert 0 < position < N, "it was under load"
        assert first == position, "all that was judged is committed, and nothing else"
        (drained,) = service.events("drained")
        print(
            f"drained in {drained['took_s']} s, the process ended after {took_s:.2f} s; {position:,} of {N:,}"
        )
        assert drained["took_s"] <= took_s < 30.0
        admin = KafkaAdminClient(bootstrap_servers=kafka_servers)
        assert admin.describe_groups([service.group])[service.group]["members"] == [], "it has left the group"
        admin.close()
        service.start()
        service.wait_for("shard begins", times=2)
        begun = service.events("shard begins")[-1]
        assert begun["read_from"] == begun["silent_until"] == position, "its snapshot is of where it stopped"
        wait_drained(service, N)
        assert service.stop() == 0
    assert service.events("done")[-1]["accepted"] == N - position
    uids = [(each.key, dict(each.headers)["ce_id"]) for each in read_all(kafka_servers, topics.alerts)]
    assert uids
    assert len(uids) == len(set(uids)), "nothing is announced twice"
