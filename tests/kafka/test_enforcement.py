"""The enforcement point on a real Kafka: bootstrap, following, acknowledgements; and `copycatch enforce`."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec
import pytest

from copycatch.adapters.clock import SystemClock
from copycatch.enforcement.feed import Feed
from copycatch.enforcement.table import DecisionTable, Subject
from copycatch.records.wire import ENCODER, Ack, Recommendation
from copycatch.settings.service import Kafka
from copycatch.units import format_rfc3339
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from tests.unit.enforcement.front_ends import recommend

pytestmark = pytest.mark.kafka
CLOCK = SystemClock()


def wait_for(is_so: Callable[[], bool], timeout_s: float = 180.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.05)


def live(recommendation: Recommendation) -> Recommendation:
    expires_at = format_rfc3339(CLOCK.now_ms() + 3_600_000)
    return msgspec.structs.replace(recommendation, expires_at=expires_at)


def write(servers: str, topic: str, *messages: tuple[str, bytes | None], is_aborted: bool = False) -> None:
    options = {"transactional_id": f"test-{topic}"} if is_aborted else {}
    producer = KafkaProducer(bootstrap_servers=servers, **options)
    if is_aborted:
        producer.init_transactions()
        producer.begin_transaction()
    for key, value in messages:
        producer.send(topic, key=key.encode(), value=value)
    producer.flush()
    if is_aborted:
        producer.abort_transaction()
    producer.close()


def row(recommendation: Recommendation) -> tuple[str, bytes]:
    return recommendation.decision_key, ENCODER.encode(recommendation)


def acks_in(servers: str, topic: str) -> list[Ack]:
    consumer = KafkaConsumer(bootstrap_servers=servers, group_id=None)
    assert consumer.partitions_for_topic(topic) == {0}
    shard = TopicPartition(topic, 0)
    consumer.assign([shard])
    consumer.seek_to_beginning(shard)
    end = consumer.end_offsets([shard])[shard]
    acks = []
    while consumer.position(shard) < end:
        for messages in consumer.poll(timeout_ms=200).values():
            acks += [msgspec.json.decode(message.value, type=Ack) for message in messages]
    consumer.close()
    return acks


def test_bootstrap_follow_and_acknowledge(kafka_servers: str, make_topic: Callable[[str, int], str]) -> None:
    topic, acks = make_topic("recommendations", 2), make_topic("acks", 1)
    write(
        kafka_servers,
        topic,
        row(live(recommend("throttle", "a1", revision=1))),
        row(live(recommend("block", "a1", revision=2))),
        row(live(recommend("block", "a2"))),
        ("t|account|a2|m", None),
        ("broken", b"junk"),
    )
    write(kafka_servers, topic, row(live(recommend("block", "aborted"))), is_aborted=True)
    table = DecisionTable()
    feed = Feed(Kafka(bootstrap_servers=[kafka_servers]), table, CLOCK.now_ms, topic, acks)

    def is_refused(account: str) -> bool:
        return table.verdict(Subject(account_id=account), CLOCK.now_ms()).is_refused

    feed.start()
    try:
        assert feed.wait_ready(30.0)
        assert is_refused("a1")
        assert not is_refused("a2")
        assert not is_refused("aborted")
        assert table.counts.unreadable == 1
        write(kafka_servers, topic, row(live(recommend("block", "a3"))))
        wait_for(lambda: is_refused("a3"))
        write(kafka_servers, topic, row(live(recommend("block", "a3", revision=2, op="revoke"))))
        wait_for(lambda: not is_refused("a3"))
    finally:
        feed.stop()
    found = {(ack.decision_key, ack.revision, ack.result) for ack in acks_in(kafka_servers, acks)}
    assert found == {
        ("t|account|a1|m", 1, "applied"),
        ("t|account|a1|m", 2, "applied"),
        ("t|account|a2|m", 1, "applied"),
        ("t|account|a3|m", 1, "applied"),
        ("t|account|a3|m", 2, "applied"),
    }


def test_enforce_as_a_process(kafka_servers: str, make_topic: Callable[[str, int], str]) -> None:
    topic = make_topic("recommendations", 1)
    write(kafka_servers, topic, row(live(recommend("block", "bad"))))
    command = [
        sys.executable,
        "-m",
        "copycatch",
        "enforce",
        "--kafka",
        kafka_servers,
        "--port",
        "0",
        "--acks-topic",
        "",
    ]
    environment = {**os.environ, "COPYCATCH_OUTPUTS__RECOMMENDATIONS": topic}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line, "it ended"
            found = re.search(r"answering on 127\.0\.0\.1:(\d+)", line)
        port = int(found[1])

        def status(account: str) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            connection.request("GET", "/v1/chat/completions", headers={"x-account-id": account})
            answer = connection.getresponse().status
            connection.close()
            return answer

        wait_for(lambda: status("bad") == 403)
        assert status("good") == 200
    finally:
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(timeout=180) == 0
        process.stderr.close()
