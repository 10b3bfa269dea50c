"""Send a few messages to a topic and wait until the broker has them: for commands, not for the service."""

from collections.abc import Iterable

from copycatch.adapters.kafka.client import NO_SENSORS, common_options, translated
from copycatch.ports import Message
from copycatch.settings.service import Kafka

WAIT_S = 30.0


def publish(settings: Kafka, topic: str, messages: Iterable[Message]) -> None:
    """Write messages in order, acknowledged by all replicas that are in step.

    Raises
    ------
    TransportError, RecoverableError
        If the broker cannot be reached, or does not take one.
    """
    from kafka import KafkaProducer

    with translated(f"writing to {topic}"):
        producer = KafkaProducer(
            **common_options(settings), **NO_SENSORS, acks="all", enable_idempotence=True,
            max_block_ms=round(WAIT_S * 1000),
        )  # fmt: skip
        try:
            for message in messages:
                future = producer.send(
                    topic,
                    key=message.key,
                    value=message.value,
                    timestamp_ms=message.timestamp_ms,
                    headers=message.headers,
                )
                future.get(timeout=WAIT_S)
        finally:
            producer.close(timeout=1.0)
