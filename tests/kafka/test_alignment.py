"""Partitions of real Kafka with days of backlog are judged side by side, by either client, paused or not."""

import json
import random
import time
from contextlib import closing

import pytest

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.memory import MemoryMetrics
from copycatch.ports import Shard
from copycatch.service import alignment
from copycatch.service.alignment import SLACK_MS, Alignment, Times
from copycatch.settings.service import Service
from kafka import KafkaProducer
from tests.contracts.conftest import kafka_settings, make_kafka_source
from tests.contracts.listening import DEADLINE_S
from tests.support.records import START_MS
from tests.support.service import PATIENCE_S, Topics

pytestmark = pytest.mark.kafka
PARTITIONS = 4
DAY_MS = 86_400_000


def produce_to(servers: str, topic: str, times_by_partition: dict[int, list[int]]) -> None:
    producer = KafkaProducer(bootstrap_servers=servers, linger_ms=20)
    for partition, times in times_by_partition.items():
        for time_ms in times:
            producer.send(topic, partition=partition, value=json.dumps(time_ms).encode())
    producer.flush(timeout=PATIENCE_S)
    producer.close()


class Listener:
    """Begins each partition at its start; keeps clocks as the engine does."""

    def __init__(self, settings: Service, client: str) -> None:
        self.source = make_kafka_source(settings, client)
        self.metrics = MemoryMetrics()
        self.clocks: dict[Shard, int] = {}
        times = Times(self.clocks.get, lambda raw: [json.loads(value) for value in raw.values])
        self.aligned = Alignment(self.source, SystemClock(), self.metrics, times)

    def on_assigned(self, shards: list[Shard]) -> None:
        self.aligned.add(shards)
        for shard in shards:
            self.source.seek(shard, 0)

    def on_revoked(self, shards: list[Shard]) -> None:
        self.aligned.drop(shards)

    on_lost = on_revoked


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
@pytest.mark.parametrize("held", [50_000, 4000])
def test_days_of_several_partitions_are_read_side_by_side(
    kafka_servers: str, client: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where those that are ahead have to be paused, again and again."""
    monkeypatch.setattr(alignment, "HELD_RECORDS", held)
    topics, drawn = Topics.make(kafka_servers, PARTITIONS), random.Random(3)
    expected: dict[int, list[int]] = {}
    for partition in range(PARTITIONS):  # one with nine times as many as another
        n = 1000 + 8000 * (partition == 1)
        expected[partition] = sorted(START_MS + int(drawn.random() * 5 * DAY_MS) for _ in range(n))
    produce_to(kafka_servers, topics.records, expected)
    listener = Listener(kafka_settings(kafka_servers, topics), client)
    judged: dict[int, list[int]] = {partition: [] for partition in range(PARTITIONS)}
    latest, worst, began_s = START_MS, 0, time.monotonic()
    with closing(listener.source):
        listener.source.start(listener)
        while sum(map(len, judged.values())) < sum(map(len, expected.values())):
            assert time.monotonic() - began_s < DEADLINE_S, {at: len(each) for at, each in judged.items()}
            listener.aligned.poll(1000, 0.25)
            while (raw := listener.aligned.next()) is not None:
                for value in raw.values:
                    judged[raw.partition].append(json.loads(value))
                    worst = max(worst, latest - judged[raw.partition][-1])
                    latest = max(latest, judged[raw.partition][-1])
                listener.clocks[Shard(raw.topic, raw.partition)] = judged[raw.partition][-1]
    assert judged == expected, "each once, in its own order"
    if not listener.metrics.get("copycatch_shards_not_waited_for_total"):  # a machine that keeps up
        assert worst <= SLACK_MS
