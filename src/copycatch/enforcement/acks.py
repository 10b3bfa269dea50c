"""Acknowledgements to their topic, from a thread of its own: waiting for it holds up no recommendation."""

import queue
import threading
import time
from collections.abc import Callable

import structlog

from copycatch.adapters.kafka.client import NO_SENSORS, common_options, translated
from copycatch.errors import RecoverableError, TransportError
from copycatch.records.wire import ENCODER, Ack
from copycatch.settings.service import Kafka

log = structlog.get_logger(__name__)

WAITING_MAX = 10_000
METADATA_WAIT_MS = 5_000
WARN_EVERY_S = 60.0
POLL_S = 0.2
RETRY_S = 2.0


class AckSender:
    """Sends acknowledgements while it can; those that it cannot send are counted as `lost` and said.

    Parameters
    ----------
    settings : Kafka
    topic : str
    monotonic_s : callable
    """

    def __init__(
        self, settings: Kafka, topic: str, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._monotonic_s = monotonic_s
        self._waiting: queue.Queue[tuple[bytes | None, bytes]] = queue.Queue(WAITING_MAX)
        self._is_stopped = threading.Event()
        self._warned_s = -WARN_EVERY_S
        self._thread = threading.Thread(target=self._run, name="copycatch-acks", daemon=True)
        self.lost = 0

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def send(self, key: bytes | None, ack: Ack) -> None:
        """Queue one; never waits."""
        try:
            self._waiting.put_nowait((key, ENCODER.encode(ack)))
        except queue.Full:
            self._lose("too many are waiting")

    def stop(self, timeout_s: float) -> None:
        """Send what waits, for so long at most."""
        self._is_stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=timeout_s)

    def _run(self) -> None:
        while not (self._is_stopped.is_set() and self._waiting.empty()):
            try:
                self._send_all()
            except (RecoverableError, TransportError) as error:
                self._warn(str(error))
                self._is_stopped.wait(RETRY_S)

    def _send_all(self) -> None:
        from kafka.errors import KafkaError

        from kafka import KafkaProducer

        with translated("sending acknowledgements"):
            options = common_options(self._settings) | NO_SENSORS
            producer = KafkaProducer(**options, linger_ms=20, max_block_ms=METADATA_WAIT_MS)
            try:
                while not (self._is_stopped.is_set() and self._waiting.empty()):
                    try:
                        key, value = self._waiting.get(timeout=POLL_S)
                    except queue.Empty:
                        continue
                    try:
                        future = producer.send(self._topic, key=key, value=value)
                    except KafkaError as error:
                        self._lose(str(error))
                    else:
                        future.add_errback(lambda error: self._lose(str(error)))
            finally:
                producer.close(timeout=1.0)

    def _lose(self, reason: str) -> None:
        self.lost += 1
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        if self._monotonic_s() - self._warned_s >= WARN_EVERY_S:
            self._warned_s = self._monotonic_s()
            log.warning(
                "acknowledgements cannot be sent, all else goes on; make the topic, or set --acks-topic ''",
                topic=self._topic,
                lost=self.lost,
                reason=reason,
            )
