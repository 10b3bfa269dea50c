"""A producer as an `OutcomeSink`: outcomes and offsets in one transaction, or one after the other."""

from collections.abc import Callable, Iterable, Mapping

import structlog
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import (
    InvalidProducerEpochError,
    KafkaError,
    ProducerFencedError,
    TopicAlreadyExistsError,
    UnknownMemberIdError,
)
from kafka.producer.future import FutureRecordMetadata
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from copycatch.adapters.clock import SystemClock
from copycatch.adapters.kafka.client import FATAL, NO_SENSORS, common_options, translated
from copycatch.adapters.kafka.source import KafkaSource
from copycatch.adapters.kafka_names import (
    mark_of,
    missing_learning,
    missing_outputs,
    topic_by_kind,
    transactional_id,
)
from copycatch.adapters.messages import messages_of
from copycatch.alert_formats.catalog import AlertFormat
from copycatch.errors import FencedError, TransportError
from copycatch.ports import Committed, Delivery, Shard
from copycatch.settings.service import Service
from copycatch.units import MS_PER_S, UnixMs
from kafka import KafkaProducer, TopicPartition

log = structlog.get_logger(__name__)

CLOSE_S_MAX = 5.0
# The library waits so long before it sends a request again. An end of a transaction that took longer may have
# been sent twice, and the first one may still be on its way: brokers take it for the end of the transaction
# that is open by then (KAFKA-17754). A new epoch makes it void.
RETRY_MS = 100
MAX_BLOCK_MS = 15_000  # for metadata of an output topic; the runner tries again after that


def make_learning_topics(settings: Service) -> None:
    """Create the learner's topics where they are missing and may be.

    Raises
    ------
    TransportError
        If they are missing and may not be created.
    """
    with translated("checking the learner's topics"):
        admin = KafkaAdminClient(**common_options(settings.kafka))
        try:
            missing = missing_learning(settings, admin.list_topics())
            _create(admin, missing, 1, settings.outputs.replication)
        finally:
            admin.close()


def _create(
    admin: KafkaAdminClient, missing: Mapping[str, dict[str, str]], partitions: int, replication: int
) -> None:
    for topic, options in missing.items():
        new = NewTopic(topic, partitions, replication, topic_configs=options)
        try:
            admin.create_topics([new])
            log.info("created topic", topic=topic, cleanup=options["cleanup.policy"])
        except TopicAlreadyExistsError:
            log.info("another worker created the topic", topic=topic)


class KafkaSink:
    """Writes the outputs and commits the inputs' offsets.

    exactly_once: one transaction a unit, fenced by the group's generation. at_least_once: outputs are
    acknowledged by all replicas before offsets are committed; a repeat carries the same keys.
    """

    def __init__(
        self,
        settings: Service,
        source: KafkaSource,
        alert_format: AlertFormat,
        now_ms: Callable[[], UnixMs],
        learning: str | None = None,
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._alert_format = alert_format
        self._now_ms = now_ms
        self._before_commit = before_commit
        self._topic_by_kind = topic_by_kind(settings.outputs, learning)
        self._is_transactional = settings.delivery == "exactly_once"
        self._transactional_id = transactional_id(settings.kafka)
        self._abandoned: list[KafkaProducer] = []
        self._clock, self._may_end_late = SystemClock(), False
        self._check_topics()
        self._producer = self._connect()

    def _connect(self) -> KafkaProducer:
        kafka = self._settings.kafka
        options = (
            common_options(kafka)
            | NO_SENSORS
            | {
                "compression_type": None if kafka.compression == "none" else kafka.compression,
                "allow_auto_create_topics": False,
                "max_block_ms": MAX_BLOCK_MS,
                "linger_ms": 5,
                "retry_backoff_ms": RETRY_MS,
                "batch_size": 1 << 18,
                "delivery_timeout_ms": round(2 * kafka.request_timeout * 1000),
            }
        )
        if self._is_transactional:
            options["transactional_id"] = self._transactional_id
            options["transaction_timeout_ms"] = round(kafka.transaction_timeout * 1000)
        with translated("starting the producer"):
            producer = KafkaProducer(**options)
            if self._is_transactional:
                try:
                    producer.init_transactions()
                except BaseException:
                    self._abandon(producer)
                    raise
        return producer

    def _check_topics(self) -> None:
        outputs = self._settings.outputs
        with translated("checking the output topics"):
            admin = KafkaAdminClient(**common_options(self._settings.kafka))
            try:
                missing = {
                    topic: {"cleanup.policy": cleanup}
                    for topic, cleanup in missing_outputs(outputs, admin.list_topics()).items()
                }
                _create(admin, missing, outputs.partitions, outputs.replication)
            finally:
                admin.close()

    def deliver(self, delivery: Delivery) -> None:
        offsets = {
            TopicPartition(*shard): OffsetAndMetadata(position, mark_of(delivery), -1)
            for shard, position in delivery.positions.items()
        }
        if self._is_transactional:
            self._deliver_as_transaction(delivery, offsets)
        else:
            with translated("writing outcomes"):
                self._send_and_wait(delivery)
            with translated("committing offsets"):
                if offsets:
                    self._source.commit(offsets)

    def _deliver_as_transaction(
        self, delivery: Delivery, offsets: dict[TopicPartition, OffsetAndMetadata]
    ) -> None:
        if self._may_end_late:
            self.reopen()
        with translated("writing outcomes"):
            try:
                self._producer.begin_transaction()
                self._send_and_wait(delivery)
                if offsets:
                    self._producer.send_offsets_to_transaction(offsets, self._membership())
            except KafkaError as error:
                self._abort(error)
                raise
        self._before_commit()
        try:
            self._end(self._producer.commit_transaction)
        except FATAL as error:
            msg = f"Kafka, committing: {type(error).__name__}: {error}"
            raise TransportError(msg) from error
        except KafkaError as error:
            # It is open whether the commit has reached the coordinator.
            msg = f"Kafka, committing: {type(error).__name__}: {error}"
            raise FencedError(msg) from error

    def _membership(self) -> ConsumerGroupMetadata:
        """Who commits. Without a generation the broker would fence nobody, so then nothing is committed."""
        membership = self._source.group_metadata()
        if membership.generation_id < 0 or not membership.member_id:
            msg = "this worker is no member of the group at the moment"
            raise UnknownMemberIdError(msg)
        return membership

    def _abort(self, cause: KafkaError) -> None:
        if isinstance(cause, (ProducerFencedError, InvalidProducerEpochError)):
            return  # this producer can do nothing any more; reopen() makes a new one
        try:
            self._end(self._producer.abort_transaction)
        except KafkaError as error:
            msg = f"Kafka, aborting after {type(cause).__name__}: {error}"
            raise FencedError(msg) from error

    def _end(self, end: Callable[[], None]) -> None:
        began_s = self._clock.monotonic_s()
        try:
            end()
        finally:
            self._may_end_late |= self._clock.monotonic_s() - began_s >= RETRY_MS / MS_PER_S

    def _send_and_wait(self, delivery: Delivery) -> None:
        """Until every message is acknowledged.

        The library fails a future without failing the transaction when it has no metadata of a topic yet, and
        would commit the rest: so each is looked at before anything is committed.
        """
        futures = self._send_all(delivery)
        if futures:
            self._producer.flush(timeout=self._settings.kafka.request_timeout)
        for future in futures:
            future.get(timeout=0)

    def _send_all(self, delivery: Delivery) -> list[FutureRecordMetadata]:
        return [
            self._producer.send(
                self._topic_by_kind[kind],
                value=message.value,
                key=message.key,
                headers=message.headers,
                timestamp_ms=message.timestamp_ms,
            )
            for kind, message in messages_of(delivery.outcomes, self._alert_format, self._now_ms())
        ]

    def committed(self, shards: Iterable[Shard]) -> dict[Shard, Committed]:
        return self._source.committed(shards)

    def reopen(self) -> None:
        self._abandon(self._producer)
        self._producer = self._connect()
        self._may_end_late = False

    def close(self) -> None:
        self._abandon(self._producer, CLOSE_S_MAX)

    def _abandon(self, producer: KafkaProducer, timeout_s: float = 0.0) -> None:
        """Close it; what it still holds belongs to no committed unit.

        A producer with messages left refuses to close until their delivery has timed out. Nothing of them is
        committed then: its successor has fenced it, or writes the same keys again. It is tried once more
        when the next one is given up.
        """
        left = [*self._abandoned, producer]
        self._abandoned = []
        for each in left:
            try:
                each.close(timeout=timeout_s)
            except KafkaError as error:
                log.warning("producer closed with messages left; they are written again", reason=str(error))
                self._abandoned.append(each)
