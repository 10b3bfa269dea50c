"""A batch that unpacks to far more than it weighs: which setting of the topic has the broker refuse it."""

import pytest
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import MessageSizeTooLargeError

from kafka import KafkaProducer

pytestmark = pytest.mark.kafka
BATCH_BYTES_MAX = 1 << 20
BOMB = bytes(24 << 20)  # one record; some kilobytes when packed


def send_bomb(servers: str, topic: str) -> None:
    producer = KafkaProducer(
        bootstrap_servers=servers, compression_type="zstd", max_request_size=64 << 20, retries=0
    )
    try:
        producer.send(topic, value=BOMB).get(timeout=60)
    finally:
        producer.close()


def test_a_topic_kept_uncompressed_takes_no_bomb(kafka_servers: str) -> None:
    bound = {"max.message.bytes": str(BATCH_BYTES_MAX)}
    admin = KafkaAdminClient(bootstrap_servers=kafka_servers)
    admin.create_topics([
        NewTopic("bombs-open", 1, 1, topic_configs=bound),
        NewTopic("bombs-closed", 1, 1, topic_configs=bound | {"compression.type": "uncompressed"}),
    ])  # fmt: skip
    admin.close()
    send_bomb(kafka_servers, "bombs-open")  # the bound is of the packed size: or nothing was tested
    with pytest.raises(MessageSizeTooLargeError):
        send_bomb(kafka_servers, "bombs-closed")
