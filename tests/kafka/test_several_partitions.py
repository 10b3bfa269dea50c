"""The real engine on several partitions of real Kafka, killed again and again: what was told stays true."""

import contextlib
import json
import random
import time
from pathlib import Path

import pytest

from copycatch.ports import Shard
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
from tests.support.telling import faults, holds_kept, hunted

pytestmark = pytest.mark.kafka
PARTITIONS = 3
N_RECORDS = 10_000
PARTS = 5  # before each start the next of them is produced
# A plain limit speaks whatever the engine has learned by then: in which order it reads partitions is chance.
POLICY = """\
version: 1
rules:
  - name: extraction
  - name: hard_limits
    when: {feature: queries_per_s, above: 0.002, for: 1m}
    severity: high
    action: throttle
    clear_after: 30m
"""
HOOKED = {"COPYCATCH_FAIL_AT": "after journal entry:1", "COPYCATCH_TEST_HOOKS": "1"}


def test_no_kill_makes_what_was_told_untrue(kafka_servers: str, tmp_path: Path) -> None:
    """No alert lost or opened twice, no revision lost or given twice, whatever a replay comes to."""
    topics = Topics.make(kafka_servers, PARTITIONS)
    lines = [(account, json.dumps(each).encode()) for account, each in hunted(N_RECORDS, seed=5, hours=50)]
    more = {"poll_records_max": 100, "snapshots": {"interval": "700ms"}}
    service = ServiceProcess(kafka_servers, topics, tmp_path, instance="one", policy=POLICY, more=more)
    choose = random.Random(11)
    told_before: list[bytes] = []
    died_with_an_entry = 0
    with ended(service):
        for turn in range(PARTS):
            first, end = turn * N_RECORDS // PARTS, (turn + 1) * N_RECORDS // PARTS
            produce(kafka_servers, topics.records, lines[first:end])
            if turn == PARTS - 1:
                break
            if turn >= 2:  # what it is about to announce is in the journal, and never delivered
                service.start(HOOKED)
                with contextlib.suppress(AssertionError):  # it has ended
                    wait_drained(service, end)
                died_with_an_entry += not service.is_alive
            else:
                service.start()
                begun = len(service.events("shard begins"))
                wait_until(
                    lambda n=begun: len(service.events("shard begins")) >= n + PARTITIONS,
                    PATIENCE_S,
                    lambda: service.log[-3000:],
                    service,
                )
                time.sleep(choose.uniform(0.1, 0.8))
            service.kill()
            told = [record.value for record in read_all(kafka_servers, topics.alerts)]
            assert told[: len(told_before)] == told_before, "what was told once stays told"
            told_before = told
        service.start()
        wait_drained(service, N_RECORDS)
        assert service.stop() == 0
    alerts = [record.value for record in read_all(kafka_servers, topics.alerts)]
    recommendations = [record.value for record in read_all(kafka_servers, topics.recommendations)]
    shards = [Shard(topics.records, number) for number in range(PARTITIONS)]
    assert faults(alerts, recommendations, holds_kept(tmp_path / "state", service.group, shards)) == []
    assert len(alerts) > 5
    assert died_with_an_entry
    assert service.events("silent replay is done"), "or nothing was tested"
