"""A small topic that every process reads whole, from its beginning, and goes on reading."""

import threading
from typing import Any, NamedTuple

import structlog

from copycatch.adapters.kafka.client import NO_SENSORS, common_options, translated
from copycatch.errors import RecoverableError, TransportError
from copycatch.settings.service import Kafka

log = structlog.get_logger(__name__)

RETRY_S = 5.0
STOP_S = 2.0  # the thread may wait longer for a broker that is away; it holds nothing that must be saved
WAITING_MAX = 100_000  # messages that nobody has taken yet; what comes meanwhile stays with the broker


class Followed(NamedTuple):
    """A message, and the broker's or the producer's time of it."""

    partition: int
    timestamp_ms: int
    value: bytes | None


class TopicFollower:
    """Follows a topic in a thread of its own, without a consumer group.

    Parameters
    ----------
    settings : Kafka
    topic : str
    """

    def __init__(self, settings: Kafka, topic: str) -> None:
        self._settings, self._topic = settings, topic
        self._waiting: list[Followed] = []
        self._lock = threading.Lock()
        self._is_stopped, self._is_ready = threading.Event(), threading.Event()
        self._next: dict[int, int] = {}  # offsets to go on from, by partition
        self._thread = threading.Thread(target=self._run, name=f"follow {topic}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until what was there at the start has been read; whether it has."""
        return self._is_ready.wait(timeout_s)

    def take(self) -> list[Followed]:
        """What has come since the last call, in order of each partition."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def stop(self) -> None:
        """End, and wait for it a little."""
        self._is_stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_S)

    def _run(self) -> None:
        said = ""
        while not self._is_stopped.is_set():
            try:
                self._follow()
            except (RecoverableError, TransportError) as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("a topic cannot be followed; trying again", topic=self._topic, reason=said)
                self._is_stopped.wait(RETRY_S)

    def _follow(self) -> None:
        from kafka import KafkaConsumer, TopicPartition

        with translated(f"following {self._topic}"):
            options = common_options(self._settings) | NO_SENSORS
            consumer = KafkaConsumer(
                **options, group_id=None, enable_auto_commit=False, isolation_level="read_committed"
            )
            try:
                numbers = consumer.partitions_for_topic(self._topic)
                if not numbers:
                    msg = f"Kafka: there is no topic {self._topic!r}"
                    raise RecoverableError(msg)
                shards = [TopicPartition(self._topic, number) for number in sorted(numbers)]
                consumer.assign(shards)
                begins, ends = consumer.beginning_offsets(shards), consumer.end_offsets(shards)
                for shard in shards:
                    consumer.seek(shard, max(begins[shard], self._next.get(shard.partition, 0)))
                while not self._is_stopped.is_set():
                    if len(self._waiting) >= WAITING_MAX:
                        self._is_stopped.wait(RETRY_S)
                        continue
                    for found in consumer.poll(timeout_ms=500).values():
                        self._add(found)
                    if not self._is_ready.is_set() and all(consumer.position(s) >= ends[s] for s in shards):
                        self._is_ready.set()
            finally:
                consumer.close()

    def _add(self, found: list[Any]) -> None:
        with self._lock:
            self._waiting += [Followed(each.partition, each.timestamp, each.value) for each in found]
        self._next[found[-1].partition] = found[-1].offset + 1
