"""The way between a worker and the learner over Kafka: inputs to one topic, versions from the other."""

from collections.abc import Sequence

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.kafka.client import NO_SENSORS, common_options, translated
from copycatch.errors import RecoverableError, TransportError
from copycatch.settings.service import Service
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

FETCH_BYTES = 8 << 20
MAX_BLOCK_MS = 5_000
FIRST_POLL_MS = 500
RECORDS_MAX = 10_000


class KafkaLearnerLink:
    """A `LearnerLink`: every worker reads all versions that are committed, as a member of no group."""

    def __init__(self, settings: Service) -> None:
        learner = settings.learner
        assert learner.versions is not None, "the caller has checked"
        assert learner.inputs is not None, "the settings have both or none"
        self._inputs = learner.inputs
        self._request_timeout_s = settings.kafka.request_timeout
        self._partition = TopicPartition(learner.versions, 0)
        self._clock = SystemClock()
        self._is_first = True
        with translated("connecting to the learner's topics"):
            self._consumer = KafkaConsumer(
                **common_options(settings.kafka),
                **NO_SENSORS,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                fetch_max_wait_ms=50,
                max_partition_fetch_bytes=FETCH_BYTES,
            )
            for name, topic in (("versions", learner.versions), ("inputs", learner.inputs)):
                self._check(name, topic)
            self.n_shards = sum(
                len(self._consumer.partitions_for_topic(each.topic) or ()) for each in settings.inputs
            )
            self._consumer.assign([self._partition])
            self._consumer.seek_to_beginning(self._partition)
            self._producer = KafkaProducer(
                **common_options(settings.kafka),
                **NO_SENSORS,
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_block_ms=MAX_BLOCK_MS,
                allow_auto_create_topics=False,
                delivery_timeout_ms=round(2 * self._request_timeout_s * 1000),
            )

    def _check(self, name: str, topic: str) -> None:
        partitions = self._consumer.partitions_for_topic(topic)
        if partitions != {0}:
            message = (
                f"learner.{name}: topic {topic} has partitions {sorted(partitions or [])}; "
                "it needs exactly one, which keeps the order of ticks"
            )
            raise TransportError(message)

    def tell(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        with translated("telling the learner"):
            futures = [self._producer.send(self._inputs, key=key, value=value) for key, value in messages]
            if futures:
                self._producer.flush(timeout=self._request_timeout_s)
            for future in futures:
                future.get(timeout=0)

    def read(self, timeout_s: float = 0.0) -> list[bytes]:
        with translated("reading versions"):
            if not self._is_first:
                return self._polled(round(1e3 * timeout_s))
            end = self._consumer.end_offsets([self._partition])[self._partition]
            give_up_s = self._clock.monotonic_s() + self._request_timeout_s
            found: list[bytes] = []
            while self._consumer.position(self._partition) < end:
                found += self._polled(FIRST_POLL_MS)
                if self._clock.monotonic_s() > give_up_s:
                    self._consumer.seek_to_beginning(self._partition)
                    message = (
                        f"the topic of versions was not read to its end in time: {self._partition.topic}"
                    )
                    raise RecoverableError(message)
            self._is_first = False
            return found

    def _polled(self, timeout_ms: int) -> list[bytes]:
        polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=RECORDS_MAX)
        return [record.value for records in polled.values() for record in records if record.value is not None]

    def close(self) -> None:
        self._consumer.close()
        self._producer.close(timeout=self._request_timeout_s)
