"""`copycatch forget` against a running service on real Kafka: state, snapshots, topic, restart, audit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.records import traffic
from tests.support.service import (
    PATIENCE_S,
    PYTHONPATH,
    ROOT,
    ServiceProcess,
    Topics,
    ended,
    produce,
    read_all,
    wait_drained,
    wait_until,
)

pytestmark = pytest.mark.kafka
N = 3_000
THIEF = "acct-0"
POLICY = """\
version: 1
rules:
  - {name: hard_limits, when: {feature: queries_per_s, above: 1.0, for: 1m}, action: throttle}
"""


def forget(service: ServiceProcess, account: str) -> subprocess.CompletedProcess[str]:
    settings = str(service.folder / "worker.yaml")
    said = ["--by", "kim", "--reason", "asked to", "--wait", "120s"]
    return subprocess.run(
        [sys.executable, "-m", "copycatch", "forget", account, "--settings", settings, *said],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": PYTHONPATH}, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def names_in_state(service: ServiceProcess) -> set[str]:
    """Of the two accounts asked for, those that some file of the state names."""
    found = set()
    for path in (service.folder / "state").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found |= {name for name in (THIEF, "acct-3") if bytes([0xA0 + len(name)]) + name.encode() in data}
    return found


def test_an_account_is_deleted_while_the_service_runs(kafka_servers: str, tmp_path: Path) -> None:
    topics = Topics.make(kafka_servers)
    service = ServiceProcess(kafka_servers, topics, tmp_path, policy=POLICY)
    produce(kafka_servers, topics.records, traffic(N))
    with ended(service):
        service.start()
        wait_drained(service, N)
        wait_until(lambda: names_in_state(service) == {THIEF, "acct-3"}, PATIENCE_S)
        rows = read_all(kafka_servers, topics.recommendations)
        assert {json.loads(each.value)["value"] for each in rows if each.value} == {THIEF}
        done = forget(service, THIEF.upper())
        assert done.returncode == 0, done.stderr
        assert names_in_state(service) == {"acct-3"}
        service.kill()  # what it had in memory is gone; what it comes back with is of the snapshots
        service.start()
        service.wait_for("shard begins", times=2)
        assert service.stop() == 0
    assert names_in_state(service) == {"acct-3"}
    newest = {each.key: each.value for each in read_all(kafka_servers, topics.recommendations)}
    assert list(newest.values()) == [None], "compaction forgets the row"
    (audit,) = (service.folder / "state").glob("erasures-*/audit.jsonl")
    line = json.loads(audit.read_text())
    assert (line["by"], line["reason"], line["cases"]) == ("kim", "asked to", 1)
    assert THIEF not in audit.read_text()
    assert [path.name for path in audit.parent.iterdir()] == ["audit.jsonl"]
