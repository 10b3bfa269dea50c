"""A record that really kills the process, on real Kafka: the partition goes on, and it is said."""

import json
import urllib.request
from pathlib import Path

import pytest

from copycatch.service.quarantine import PIECE, RULE
from tests.support import poisoned
from tests.support.records import traffic
from tests.support.service import ServiceProcess, Topics, ended, produce, read_all, wait_drained

pytestmark = pytest.mark.kafka
N_RECORDS, POISON = 600, 300


def metrics_of(service: ServiceProcess) -> dict[str, float]:
    """What /metrics says now."""
    port = service.events("http")[-1]["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }


def test_a_partition_goes_on_past_a_record_that_kills(kafka_servers: str, tmp_path: Path) -> None:
    topics = Topics.make(kafka_servers)
    lines = list(traffic(N_RECORDS))
    account, whole = lines[POISON]
    lines[POISON] = account, json.dumps(json.loads(whole) | {"event_id": poisoned.KILLS.decode()}).encode()
    produce(kafka_servers, topics.records, lines)
    service = ServiceProcess(kafka_servers, topics, tmp_path, module=poisoned.__name__)
    with ended(service):
        for _ in range(2):
            assert service.start().wait_end() == -9
        service.start()
        wait_drained(service, N_RECORDS)
        seen = metrics_of(service)
        assert service.stop() == 0
    letters = read_all(kafka_servers, topics.dead_letters)
    aside = [json.loads(each.value) for each in letters]
    positions = [each["offset"] for each in aside]
    assert POISON in positions
    assert len(positions) == PIECE
    assert {each["reason"] for each in aside} == {"set_aside"}
    assert seen["copycatch_records_set_aside_total"] == PIECE
    alerts = [json.loads(each.value) for each in read_all(kafka_servers, topics.alerts)]
    (said,) = [each for each in alerts if each["rule"] == RULE]
    assert f"{positions[0]} to {positions[-1]} of {topics.records}:0" in said["words"]
    assert seen['copycatch_records_total{outcome="accepted"}'] == N_RECORDS - PIECE
