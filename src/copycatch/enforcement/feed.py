"""From the recommendations topic into the table: bootstrap from the start, then follow, and acknowledge."""

import threading
from collections.abc import Callable
from typing import Any

import structlog

from copycatch.adapters.kafka.client import NO_SENSORS, common_options, translated
from copycatch.enforcement.acks import AckSender
from copycatch.enforcement.table import DecisionTable
from copycatch.errors import RecoverableError, TransportError
from copycatch.settings.service import Kafka

log = structlog.get_logger(__name__)

RETRY_S = 2.0
STOP_S = 2.0  # the thread may wait longer for a broker that is away; it holds nothing that must be saved


class Feed:
    """Keeps a `DecisionTable` up to date in a thread of its own.

    While the broker cannot be reached, what is in the table stays in force until it expires.

    Parameters
    ----------
    settings : Kafka
    topic, acks_topic : str
        `acks_topic` empty sends no acknowledgements.
    now_ms : callable
    """

    def __init__(
        self,
        settings: Kafka,
        table: DecisionTable,
        now_ms: Callable[[], int],
        topic: str = "copycatch.recommendations",
        acks_topic: str = "copycatch.acks",
    ) -> None:
        self._settings = settings
        self._table = table
        self._now_ms = now_ms
        self._topic = topic
        self._acks = AckSender(settings, acks_topic) if acks_topic else None
        self._is_stopped = threading.Event()
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="copycatch-feed", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        if self._acks is not None:
            self._acks.start()
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether the table has once been read to its end."""
        return self._is_ready.is_set()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait for the end of the bootstrap."""
        return self._is_ready.wait(timeout_s)

    def stop(self) -> None:
        """End, and wait for it."""
        self._is_stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_S)
        if self._acks is not None:
            self._acks.stop(STOP_S)

    def _run(self) -> None:
        while not self._is_stopped.is_set():
            try:
                self._follow()
            except RecoverableError as error:
                log.warning("recommendations cannot be read; trying again", error=str(error))
                self._is_stopped.wait(RETRY_S)
            except TransportError as error:
                log.error("recommendations cannot be read; the table stays as it is", error=str(error))  # noqa: TRY400
                self._is_stopped.wait(10 * RETRY_S)

    def _follow(self) -> None:
        from kafka import KafkaConsumer, TopicPartition

        with translated("following recommendations"):
            options = common_options(self._settings) | NO_SENSORS
            # Decisions of a transaction that was aborted are none.
            consumer = KafkaConsumer(
                **options, group_id=None, enable_auto_commit=False, isolation_level="read_committed"
            )
            try:
                partitions = consumer.partitions_for_topic(self._topic)
                if not partitions:
                    message = f"there is no topic {self._topic!r} yet"
                    raise RecoverableError(message)
                shards = [TopicPartition(self._topic, partition) for partition in sorted(partitions)]
                consumer.assign(shards)
                consumer.seek_to_beginning(*shards)
                ends = consumer.end_offsets(shards)
                while not self._is_stopped.is_set():
                    found = consumer.poll(timeout_ms=200)
                    for messages in found.values():
                        for message in messages:
                            self._take(message)
                    if not self.is_ready and all(consumer.position(each) >= ends[each] for each in shards):
                        log.info("recommendations are read", entries=len(self._table))
                        self._is_ready.set()
            finally:
                consumer.close()

    def _take(self, message: Any) -> None:
        key = (message.key or b"").decode("utf-8", "replace")
        ack = self._table.apply(key, message.value, self._now_ms())
        if ack is not None and self._acks is not None:
            self._acks.send(message.key, ack)
