"""The service as its own process against a real Kafka: what goes in, what comes out, how it ends."""

import gzip
import json
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from kafka.admin import KafkaAdminClient

from copycatch.__main__ import main
from copycatch.records.columns import Outcomes
from copycatch.service.replay import replay
from copycatch.settings.policy import load_policy
from copycatch.units import parse_rfc3339
from tests.support.records import START_MS, record, traffic
from tests.support.service import (
    PATIENCE_S,
    ServiceProcess,
    Topics,
    ended,
    produce,
    read_all,
    wait_drained,
)

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
TRACE = ROOT.parent / "shared/traces/letter/log.jsonl.gz"
TRACE_RECORDS = 40_000  # three days of a week: the first attackers are through
POLICY = """\
version: 1
rules:
  - name: hard_limits
    when: {feature: queries_per_s, above: 1.0, for: 1m}
    severity: high
    action: throttle
"""
HEADERS = {"content-type", "schema-version", "ce_specversion", "ce_id", "ce_type", "ce_source"}


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / f"schemas/v1/{name}.schema.json").read_text())
    return loaded


def check_messages(servers: str, topics: Topics) -> tuple[list[Any], list[Any]]:
    """Alerts and recommendations as they stand in their topics: schema, key, headers, time."""
    alerts = read_all(servers, topics.alerts)
    recommendations = read_all(servers, topics.recommendations)
    for each in alerts:
        value = json.loads(each.value)
        jsonschema.validate(value, schema("alert"))
        assert each.key.decode() == value["uid"]
        assert each.timestamp == parse_rfc3339(value["time"])
        assert {name for name, _ in each.headers} == HEADERS
    for each in recommendations:
        if each.value is None:
            continue
        value = json.loads(each.value)
        jsonschema.validate(value, schema("recommendation"))
        assert each.key.decode() == value["decision_key"]
        assert each.timestamp == parse_rfc3339(value["issued_at"])
    return alerts, recommendations


def test_from_kafka_to_kafka(
    kafka_servers: str,
    make_topic: Callable[[str, int], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topics, feedback = Topics.make(kafka_servers), make_topic("feedback", 1)
    more = {"feedback": feedback, "policy_check_interval": "100ms"}
    service = ServiceProcess(kafka_servers, topics, tmp_path, policy=POLICY, more=more)
    records = list(traffic(4100))
    produce(kafka_servers, topics.records, records[:4000])
    with ended(service):
        service.start()
        wait_drained(service, 4000)
        alerts, recommendations = check_messages(kafka_servers, topics)
        by = ["--alerts", topics.alerts, "--kafka", kafka_servers, "--reason", "a load test", "--by", "kim"]
        uid = json.loads(alerts[0].value)["uid"]
        assert main(["verdict", uid, "benign", *by, "--to", feedback]) == 0
        service.wait_for("verdicts taken")
        service.wait_for("policy taken")
        produce(kafka_servers, topics.records, records[4000:])
        wait_drained(service, 4100)
        assert service.stop() == 0
    done = service.events("done")[-1]
    assert done["accepted"] == 4100
    all_alerts, rows = check_messages(kafka_servers, topics)
    said = [json.loads(each.value)["op"] for each in all_alerts[len(alerts) :]]
    assert said == ["close"], "found benign: released at once, and quiet"
    assert rows[-1].value is None or json.loads(rows[-1].value)["op"] == "revoke"
    capsys.readouterr()
    assert main(["alerts", topics.alerts, "--kafka", kafka_servers, "--verdicts", feedback]) == 0
    listed = capsys.readouterr()
    assert "  benign   " in listed.out
    assert "precision 0%: 0 attack, 1 benign" in listed.err
    # Account 0 sends two records a second, twice the limit; nobody else comes near it.
    assert {json.loads(each.value)["entity"]["id"] for each in alerts} == {"acct-0"}
    assert json.loads(recommendations[0].value)["action"] == "throttle"
    assert not read_all(kafka_servers, topics.dead_letters)
    began_s = time.monotonic()
    at = ["--at", json.loads(alerts[0].value)["time"]]
    assert main(["alerts", topics.alerts, topics.recommendations, "--kafka", kafka_servers, *at]) == 0
    titles, line = capsys.readouterr().out.splitlines()
    assert titles.startswith("worst")
    assert line.split()[:3] == ["HIGH", "closed", "acct-0"], "one line an account"
    assert "  throttle revoked" in line
    assert main(["explain", topics.alerts, "--kafka", kafka_servers, "--account", "acct-0"]) == 0
    assert "HIGH account acct-0" in capsys.readouterr().out
    assert time.monotonic() - began_s < 20, "the marks of transactions are not waited for"
    admin = KafkaAdminClient(bootstrap_servers=kafka_servers)
    members = admin.describe_groups([service.group])[service.group]["members"]
    admin.close()
    assert members == [], "it has left the group"


@pytest.mark.skipif(not TRACE.exists(), reason="the development traces are not beside this checkout")
def test_a_real_trace_gives_what_a_replay_gives(kafka_servers: str, tmp_path: Path) -> None:
    """Also with two kill -9 on the way: the engine's memory comes back whole."""
    topics = Topics.make(kafka_servers)
    log = tmp_path / "log.jsonl"
    with gzip.open(TRACE, "rb") as lines:
        values = list(islice(lines, TRACE_RECORDS))
    log.write_bytes(b"".join(values))
    produce(
        kafka_servers, topics.records, ((json.loads(value)["account_id"], value.strip()) for value in values)
    )
    service = ServiceProcess(kafka_servers, topics, tmp_path, instance="one", policy=POLICY)
    with ended(service):
        for step in ("after deliver:3", "before deliver:3"):
            process = service.start({"COPYCATCH_FAIL_AT": step, "COPYCATCH_TEST_HOOKS": "1"}).process
            assert process is not None
            assert process.wait(PATIENCE_S) == -9  # the first start compiles
        service.start()
        wait_drained(service, TRACE_RECORDS)
        assert service.stop() == 0
    alerts, _ = check_messages(kafka_servers, topics)
    replayed: list[Outcomes] = []
    replay([str(log)], load_policy(tmp_path / "policy.yaml"), replayed.append)
    from_files = [(alert.uid, alert.op, alert.time) for unit in replayed for alert in unit.alerts]
    from_kafka = [
        (value["uid"], value["op"], value["time"]) for value in (json.loads(each.value) for each in alerts)
    ]
    # At the end a replay works off what is due; the service waits for the next record or for the clock.
    assert from_kafka
    assert from_kafka == from_files[: len(from_kafka)]
    assert all(op == "close" for _, op, _ in from_files[len(from_kafka) :])


BAD: list[tuple[str, bytes, str, str | None]] = [
    ("not JSON", b"{", "not_json", None),
    ("not UTF-8", b"\xff\xfe{}", "not_json", None),
    ("empty", b"", "not_json", None),
    ("no account", b'{"event_id": "x", "event_time": 1, "model_id": "m"}', "schema", "account_id"),
    ("the future", record(10_005, "a", time_ms=4_000_000_000_000), "far_future", "event_time"),
    ("version", record(10_006, "a", schema_version="9.0"), "unknown_version", "schema_version"),
]  # fmt: skip


# What of a record cannot be read is missing; the record counts.
UNREADABLE: list[bytes] = [
    record(10_000, "a", time_ms=START_MS, predicted_label=[1]),
    record(10_001, "a", time_ms=START_MS, latency_ms=7).replace(b": 7", b": NaN"),
    record(10_002, "a", time_ms=START_MS, latency_ms=7).replace(b": 7", b": 1e999"),
    record(10_003, "a", time_ms=START_MS, output_text="x" * (5 << 20)),
]


def test_bad_records_harm_nobody(kafka_servers: str, tmp_path: Path) -> None:
    topics = Topics.make(kafka_servers)
    good = list(traffic(300))
    values = [value for _, value, _, _ in BAD] + UNREADABLE
    mixed = good[:100] + [("a", value) for value in values] + good[100:]
    produce(kafka_servers, topics.records, mixed, max_request_size=8 << 20)
    service = ServiceProcess(kafka_servers, topics, tmp_path)
    with ended(service):
        service.start()
        wait_drained(service, len(mixed))
        assert service.stop() == 0
    done = service.events("done")[-1]
    assert (done["accepted"], done["rejected"]) == (300 + len(UNREADABLE), len(BAD))
    letters = {
        json.loads(each.value)["offset"]: each for each in read_all(kafka_servers, topics.dead_letters)
    }
    for index, (words, _, reason, field) in enumerate(BAD, start=100):
        value = json.loads(letters[index].value)
        jsonschema.validate(value, schema("dead-letter"))
        assert value["reason"] == reason, words
        if field is not None:
            assert value["field"] == field, words
        assert (value["topic"], value["partition"]) == (topics.records, 0)
        assert letters[index].key.decode() == f"{topics.records}:0:{index}"
        assert len(letters[index].value) < 8192, "the excerpt is bounded"


def test_a_policy_is_taken_while_running_and_a_wrong_one_refused(kafka_servers: str, tmp_path: Path) -> None:
    topics = Topics.make(kafka_servers)
    service = ServiceProcess(
        kafka_servers, topics, tmp_path, policy="version: 1\n", more={"policy_check_interval": "100ms"}
    )
    records = list(traffic(4000))
    with ended(service):
        service.start()
        produce(kafka_servers, topics.records, records[:1000])
        wait_drained(service, 1000)
        (tmp_path / "policy.yaml").write_text(POLICY.replace("queries_per_s", "querys_per_s"))
        service.wait_for("policy refused")
        assert "queries_per_s" in service.events("policy refused")[0]["reason"]
        (tmp_path / "policy.yaml").write_text(POLICY)
        service.wait_for("policy taken")
        produce(kafka_servers, topics.records, records[1000:])
        wait_drained(service, 4000)
        assert service.stop() == 0
    alerts, _ = check_messages(kafka_servers, topics)
    assert {json.loads(each.value)["policy_version"] for each in alerts} == {
        service.events("policy taken")[0]["version"]
    }
