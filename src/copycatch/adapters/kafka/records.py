"""A plain producer of records: what a simulation puts where a gateway would."""

from collections import deque
from types import TracebackType

from kafka.admin import KafkaAdminClient
from kafka.producer.future import FutureRecordMetadata

from copycatch.adapters.kafka.client import NO_SENSORS, common_options, translated
from copycatch.errors import TransportError
from copycatch.settings.service import Kafka
from kafka import KafkaProducer

# Records on their way at once: some megabytes, and a refused one is noticed soon.
IN_FLIGHT_MAX = 5_000
MAX_BLOCK_MS = 15_000


class RecordTopic:
    """Sends values with keys to one topic that exists; on leaving, all of them have arrived.

    Broker time is left to the broker: simulated events may lie in the past, and a topic with a retention of
    days would drop them unread.

    Raises
    ------
    TransportError
        If the topic does not exist, or the broker refuses.
    """

    def __init__(self, settings: Kafka, topic: str) -> None:
        self._topic = topic
        self._timeout_s = settings.request_timeout
        self._in_flight: deque[FutureRecordMetadata] = deque()
        self.sent = 0
        options = common_options(settings) | {"client_id": "copycatch-simulate"}
        with translated("looking for the topic"):
            admin = KafkaAdminClient(**options)
            try:
                is_there = topic in admin.list_topics()
            finally:
                admin.close()
        if not is_there:
            msg = f"topic {topic} does not exist (or may not be seen); create it, or mend the name in --out"
            raise TransportError(msg)
        with translated("starting the producer"):
            self._producer = KafkaProducer(
                **options,
                **NO_SENSORS,
                compression_type=None if settings.compression == "none" else settings.compression,
                allow_auto_create_topics=False,
                max_block_ms=MAX_BLOCK_MS,
                linger_ms=20,
                batch_size=1 << 18,
            )

    def send(self, key: str, value: bytes) -> None:
        """Send one record; one account's records keep their order."""
        with translated("sending records"):
            self._in_flight.append(self._producer.send(self._topic, value=value, key=key.encode()))
            if len(self._in_flight) > IN_FLIGHT_MAX:
                self._settle_one()

    def _settle_one(self) -> None:
        self._in_flight.popleft().get(timeout=self._timeout_s)
        self.sent += 1

    def __enter__(self) -> "RecordTopic":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with translated("sending records"):
                    self._producer.flush(timeout=self._timeout_s)
                    while self._in_flight:
                        self._settle_one()
        finally:
            self._producer.close(timeout=self._timeout_s if kind is None else 0)
