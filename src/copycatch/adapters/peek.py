"""Read some messages of a file or a topic, without a consumer group and without moving any offset."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from copycatch.adapters.files import FileSource
from copycatch.adapters.kafka.client import NO_SENSORS, common_options, translated
from copycatch.errors import TransportError
from copycatch.ports import Clock, Shard
from copycatch.records.columns import RawBatch
from copycatch.settings.service import Kafka


class _NobodyListens:
    """Shards come and go unseen."""

    def on_assigned(self, shards: list[Shard]) -> None: ...
    def on_revoked(self, shards: list[Shard]) -> None: ...
    def on_lost(self, shards: list[Shard]) -> None: ...


def peek_file(source_name: str, records_max: int) -> RawBatch:
    """The first messages of a file, a folder or standard input, as a replay reads them.

    Raises
    ------
    ConfigError, TransportError
        If there is no such file, or it cannot be read.
    """
    taken = RawBatch(topic=source_name, partition=0, positions=[], values=[])
    try:
        for batch in batches_of([source_name], records_max):
            n = records_max - len(taken.values)
            taken.positions += batch.positions[:n]
            taken.values += batch.values[:n]
            if len(taken.values) >= records_max:
                break
    except TransportError:  # a sample is what there is; whoever reads it all is told
        if not taken.values:
            raise
    return taken


def batches_of(paths: Sequence[str], records_max: int) -> Iterator[RawBatch]:
    """Every message of files and folders, at most so many at a time.

    Raises
    ------
    ConfigError, TransportError
        If there is no such file, or it cannot be read.
    """
    source = FileSource(paths)
    source.start(_NobodyListens())
    try:
        while not source.is_exhausted:
            yield from source.poll(records_max, 1.0)
    finally:
        source.close()


def peek_topic(
    topic: str, settings: Kafka, records_max: int, clock: Clock, timeout_s: float = 10.0
) -> RawBatch:
    """The newest committed messages of a topic, spread over its partitions, with headers and keys.

    Of a topic that is written in transactions there are fewer than asked for: their marks have offsets too.

    Raises
    ------
    TransportError
        If the broker cannot be reached or the topic does not exist.
    """
    from kafka import KafkaConsumer, TopicPartition

    taken = RawBatch(topic=topic, partition=0, positions=[], values=[])
    with translated(f"looking at {topic}"):
        consumer = KafkaConsumer(
            **common_options(settings), **NO_SENSORS, group_id=None, enable_auto_commit=False,
            isolation_level="read_committed",
        )  # fmt: skip
        try:
            partitions = consumer.partitions_for_topic(topic)
            if not partitions:
                message = f"Kafka: there is no topic {topic!r} (topics are listed by kafka-topics.sh --list)"
                raise TransportError(message)
            shards = [TopicPartition(topic, partition) for partition in sorted(partitions)]
            consumer.assign(shards)
            begins, ends = consumer.beginning_offsets(shards), consumer.end_offsets(shards)
            share = -(-records_max // len(shards))
            for shard in shards:
                consumer.seek(shard, max(begins[shard], ends[shard] - share))
            deadline_s = clock.monotonic_s() + timeout_s
            while any(consumer.position(each) < ends[each] for each in shards):
                if len(taken.values) >= records_max or clock.monotonic_s() >= deadline_s:
                    break
                for found in consumer.poll(timeout_ms=200, max_records=records_max).values():
                    for message in found:
                        _add(taken, message)
        finally:
            consumer.close()
    return taken


def _add(taken: RawBatch, message: Any) -> None:
    # Offsets of several partitions in one batch: the excerpts of rejects are looked up by position, so
    # positions have to rise.
    taken.positions.append(len(taken.positions))
    taken.values.append(message.value or b"")
    taken.timestamps_ms.append(message.timestamp)
    taken.headers.append(list(message.headers))
    taken.keys.append(message.key)


def has_binary_values(batch: RawBatch) -> bool:
    """Whether most messages are no text: protobuf, Avro or compressed."""
    n_binary = 0
    for value in batch.values[:50]:
        try:
            value[:4096].decode("utf-8")
            n_binary += b"\x00" in value[:64]
        except UnicodeDecodeError as error:
            n_binary += error.start < len(value[:4096]) - 4  # not merely cut within a character
    return n_binary * 2 > min(len(batch.values), 50)


def documents_of(batch: RawBatch) -> list[Any]:
    """The messages that are JSON objects."""
    documents = []
    for value in batch.values:
        with contextlib.suppress(ValueError, RecursionError):
            document = msgspec.json.decode(value)
            if isinstance(document, dict):
                documents.append(document)
    return documents
