"""A producer as an `OutcomeSink`: outcomes and offsets in one transaction, or one after the other."""

from collections.abc import Callable, Iterable
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined, unused-ignore]

from copycatch.adapters.confluent.client import (
    FATAL,
    FENCED,
    LostConnections,
    cause_of,
    common_options,
    message_of,
    raise_as_ours,
    translated,
)
from copycatch.adapters.confluent.source import ConfluentSource
from copycatch.adapters.kafka_names import mark_of, missing_outputs, topic_by_kind, transactional_id
from copycatch.adapters.messages import messages_of
from copycatch.alert_formats.catalog import AlertFormat
from copycatch.errors import FencedError, RecoverableError, TransportError
from copycatch.ports import Committed, Delivery, Shard
from copycatch.settings.service import Service
from copycatch.units import UnixMs

log = structlog.get_logger(__name__)

QUEUE_WAIT_S = 0.1
# The coordinator refuses a transaction while it still writes the end of the one before, some milliseconds.
# The library asks again after this time, then twice that and so on; its default of 100 ms would be paid by
# every unit, and five times over in delay at 80 % of the highest rate.
RETRY_MS = 5
COMMIT_TRIES = 3  # a commit that may be repeated is; after that its fate is open


class ConfluentSink:
    """Writes the outputs and commits the inputs' offsets.

    exactly_once: one transaction a unit, fenced by the group's generation. at_least_once: outputs are
    acknowledged by all replicas before offsets are committed; a repeat carries the same keys.
    """

    def __init__(
        self,
        settings: Service,
        source: ConfluentSource,
        alert_format: AlertFormat,
        now_ms: Callable[[], UnixMs],
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._alert_format = alert_format
        self._now_ms = now_ms
        self._before_commit = before_commit
        self._topic_by_kind = topic_by_kind(settings.outputs)
        self._is_transactional = settings.delivery == "exactly_once"
        self._transactional_id = transactional_id(settings.kafka)
        self._timeout_s = settings.kafka.request_timeout
        self._undelivered: list[KafkaError] = []
        self._lost, self._lost_before = LostConnections(), 0
        self._check_topics()
        self._producer = self._connect()

    def _connect(self) -> Producer:
        kafka = self._settings.kafka
        options: dict[str, Any] = (
            common_options(kafka)
            | self._lost.options()
            | {
                "compression.type": kafka.compression,
                "allow.auto.create.topics": False,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "batch.size": 1 << 18,
                "retry.backoff.ms": RETRY_MS,
                "delivery.timeout.ms": round(2 * kafka.request_timeout * 1000),
            }
        )
        if self._is_transactional:
            timeout_ms = round(kafka.transaction_timeout * 1000)
            options |= {
                "transactional.id": self._transactional_id,
                "transaction.timeout.ms": timeout_ms,
                "delivery.timeout.ms": timeout_ms,  # librdkafka demands that it is not longer
            }
        with translated("starting the producer"):
            producer = Producer(options)
            if self._is_transactional:
                producer.init_transactions(self._timeout_s)
        producer.poll(0)
        self._lost_before = self._lost.n
        return producer

    def _check_topics(self) -> None:
        outputs = self._settings.outputs
        with translated("checking the output topics"):
            admin = AdminClient(common_options(self._settings.kafka))
            present = admin.list_topics(timeout=self._timeout_s).topics
            for topic, cleanup in missing_outputs(outputs, present).items():
                new = NewTopic(
                    topic, outputs.partitions, outputs.replication, config={"cleanup.policy": cleanup}
                )
                try:
                    admin.create_topics([new])[topic].result(self._timeout_s)
                    log.info("created topic", topic=topic, cleanup=cleanup)
                except KafkaException as error:
                    if cause_of(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                        raise
                    log.info("another worker created the topic", topic=topic)

    def deliver(self, delivery: Delivery) -> None:
        offsets = [
            TopicPartition(*shard, position, mark_of(delivery))
            for shard, position in delivery.positions.items()
        ]
        if self._is_transactional:
            self._deliver_as_transaction(delivery, offsets)
            return
        with translated("writing outcomes"):
            self._send_all(delivery)
            left = self._producer.flush(self._timeout_s)
        if self._undelivered:
            raise_as_ours("writing outcomes", self._undelivered[0])
        if left:
            # They may still arrive, as a repeat would; both carry the same keys.
            msg = f"Kafka, writing outcomes: {left} are not acknowledged within {self._timeout_s:g} s"
            raise RecoverableError(msg)
        if offsets:
            self._source.commit(offsets)

    def _deliver_as_transaction(self, delivery: Delivery, offsets: list[TopicPartition]) -> None:
        self._begin_anew_after_loss()
        try:
            self._producer.begin_transaction()
            self._send_all(delivery)
            if offsets:
                self._producer.send_offsets_to_transaction(
                    offsets, self._source.group_metadata(), self._timeout_s
                )
        except FencedError:
            self._abort()
            raise
        except KafkaException as error:
            cause = cause_of(error)
            if not cause.fatal():
                self._abort()
            elif cause.code() not in FATAL:
                # This producer can do nothing any more; reopen() makes a new one.
                raise FencedError(message_of("writing outcomes", cause)) from error
            with translated("writing outcomes"):
                raise
        self._before_commit()
        self._commit()

    def _begin_anew_after_loss(self) -> None:
        """Where a connection was lost the end of a transaction may have been sent twice.

        The first one may still be on its way, and brokers take it for the end of the transaction that is open
        by then (KAFKA-17754). A new epoch makes it void.
        """
        self._producer.poll(0)  # what it logs comes here
        if self._lost.n > self._lost_before:
            self.reopen()

    def _commit(self) -> None:
        for attempt in range(COMMIT_TRIES):
            try:
                self._producer.commit_transaction(self._timeout_s)
            except KafkaException as error:
                cause = cause_of(error)
                if cause.txn_requires_abort():
                    self._abort()
                    if cause.code() in FENCED:
                        raise FencedError(message_of("committing", cause)) from error
                    with translated("committing"):
                        raise
                if cause.retriable() and attempt < COMMIT_TRIES - 1:
                    continue
                if cause.code() in FATAL:
                    raise TransportError(message_of("committing", cause)) from error
                # It is open whether the commit has reached the coordinator.
                raise FencedError(message_of("committing", cause)) from error
            else:
                return

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(self._timeout_s)
        except KafkaException as error:
            raise FencedError(message_of("aborting", cause_of(error))) from error

    def _send_all(self, delivery: Delivery) -> None:
        self._undelivered = []
        for kind, message in messages_of(delivery.outcomes, self._alert_format, self._now_ms()):
            while True:
                try:
                    self._producer.produce(
                        self._topic_by_kind[kind],
                        value=message.value,
                        key=message.key,
                        headers=list(message.headers),
                        timestamp=message.timestamp_ms,
                        on_delivery=self._note_delivery,
                    )
                except BufferError:
                    self._producer.poll(QUEUE_WAIT_S)  # its queue is full: let some go
                else:
                    break
        self._producer.poll(0)

    def _note_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._undelivered.append(error)

    def committed(self, shards: Iterable[Shard]) -> dict[Shard, Committed]:
        return self._source.committed(shards)

    def reopen(self) -> None:
        self._drop_queued()
        self._producer = self._connect()

    def _drop_queued(self) -> None:
        """What a producer still holds must not arrive after its successor's."""
        self._producer.purge()
        self._producer.flush(1.0)

    def close(self) -> None:
        with translated("closing the producer"):
            self._producer.flush(5.0)
