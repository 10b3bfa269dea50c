"""`copycatch inspect` on a topic: headers and keys come along, and no offset moves."""

import json
from collections.abc import Callable

import pytest
from kafka.admin import KafkaAdminClient

from copycatch.__main__ import main
from kafka import KafkaProducer

pytestmark = pytest.mark.kafka


def group_ids(servers: str) -> set[str]:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    found = {str(each["group_id"] if isinstance(each, dict) else each) for each in admin.list_groups()}
    admin.close()
    return found


def test_a_topic_of_cloudevents(
    kafka_servers: str, make_topic: Callable[[str, int], str], capsys: pytest.CaptureFixture[str]
) -> None:
    topic = make_topic("kserve", 2)
    producer = KafkaProducer(bootstrap_servers=kafka_servers)
    for index in range(30):
        for kind, body in (("request", {"instances": [[1, 2]]}), ("response", {"predictions": [1]})):
            headers = {
                "ce_specversion": "1.0",
                "ce_id": f"e{index}",
                "ce_source": "x",
                "ce_type": f"org.kubeflow.serving.inference.{kind}",
                "ce_time": "2026-03-01T10:00:00Z",
                "ce_inferenceservicename": "m",
                "ce_metadata": '{"X-Account-Id": ["a1"]}',
            }
            sent = [(name, text.encode()) for name, text in headers.items()]
            producer.send(topic, value=json.dumps(body).encode(), headers=sent, partition=index % 2)
    producer.flush()
    producer.close()
    groups_before = group_ids(kafka_servers)
    assert main(["inspect", topic, "--kafka", kafka_servers, "--records", "40"]) == 0
    out = capsys.readouterr().out
    assert f"{topic}: 40 messages" in out
    assert "format    kserve" in out
    assert "decoded   20 records of 1 accounts" in out
    assert "20 requests joined with their responses" in out
    assert group_ids(kafka_servers) == groups_before


def test_a_topic_that_is_not_there(kafka_servers: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "no-such-topic", "--kafka", kafka_servers]) == 3
    assert "there is no topic 'no-such-topic'" in capsys.readouterr().err
