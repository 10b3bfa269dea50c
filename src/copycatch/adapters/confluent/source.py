"""A consumer group member as a `RecordSource`."""

from collections.abc import Iterable
from typing import Any

import structlog
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, Message, TopicPartition

from copycatch.adapters.confluent.client import common_options, raise_as_ours, translated
from copycatch.adapters.kafka_names import METADATA_AGE_MS_MAX, committed_of, inputs_missing
from copycatch.errors import FencedError, RecoverableError
from copycatch.ports import Committed, Shard, ShardListener
from copycatch.records.columns import RawBatch
from copycatch.settings.service import Service

log = structlog.get_logger(__name__)

# Several times the default of 1 MiB: a poll of 5,000 records of 1 KB comes in one fetch.
PARTITION_FETCH_BYTES = 8 << 20
# librdkafka fetches ahead on its own threads; a shard that waits for its neighbours must not hold a GiB.
QUEUED_KIB = 32 << 10
# After its queue was full it waits so long before it fetches again; the default of 1 s starves a fast judge.
FETCH_PAUSE_MS = 20


class ConfluentSource:
    """Reads the input topics as a member of the consumer group.

    Shards come and go in callbacks that librdkafka makes within `poll` and `close`, on the caller's thread. A
    new shard is assigned at the position that the listener gives, so that nothing is fetched before.
    """

    def __init__(self, settings: Service) -> None:
        self._settings = settings
        self._start_at_by_topic = {each.topic: each.start_at for each in settings.inputs}
        self._listener: ShardListener | None = None
        self._next_by_shard: dict[Shard, int] = {}
        self._beginning: set[Shard] = set()  # the listener is being asked; a seek only notes the position
        self._again: list[Shard] = []  # held, and to be begun anew at the next poll
        self._held: set[Shard] = set()  # paused by the runner
        self._last_error: KafkaError | None = None
        self.gaps = 0
        self.records_lost = 0
        with translated("connecting"):
            self._consumer = self._connect()

    def _connect(self) -> Consumer:
        kafka = self._settings.kafka
        session_timeout_ms = round(kafka.session_timeout * 1000)
        options: dict[str, Any] = common_options(kafka) | {
            "group.id": kafka.group_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # Positions are ours to choose; the library must never jump on its own.
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
            "partition.assignment.strategy": "cooperative-sticky",
            "fetch.message.max.bytes": PARTITION_FETCH_BYTES,
            "queued.max.messages.kbytes": QUEUED_KIB,
            "fetch.queue.backoff.ms": FETCH_PAUSE_MS,
            "session.timeout.ms": session_timeout_ms,
            "heartbeat.interval.ms": max(100, session_timeout_ms // 10),
            "max.poll.interval.ms": max(300_000, 2 * session_timeout_ms),
            "topic.metadata.refresh.interval.ms": METADATA_AGE_MS_MAX,
            "error_cb": self._keep_error,
        }
        if kafka.instance_id:
            options["group.instance.id"] = kafka.instance_id
        return Consumer(options)

    def _keep_error(self, error: KafkaError) -> None:
        self._last_error = error

    def start(self, listener: ShardListener) -> None:
        self._listener = listener
        timeout_s = self._settings.kafka.request_timeout
        with translated("reading the input topics"):
            missing = []
            for topic in self._start_at_by_topic:
                found = self._consumer.list_topics(topic, timeout=timeout_s).topics[topic]
                if found.error is not None and found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise_as_ours(f"reading {topic}", found.error)
                if found.error is not None or not found.partitions:
                    missing.append(topic)
            if missing:
                raise inputs_missing(missing, self._settings)
            self._consumer.subscribe(
                list(self._start_at_by_topic),
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )

    # ---- records

    def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
        if self._again:
            self._begin_again()
        with translated("polling"):
            # At once what is there; the library would wait for all that was asked for.
            messages = self._consumer.consume(records_max, 0.0)
            if not messages:
                messages = self._consumer.consume(1, timeout_s)
                if messages and records_max > 1:
                    messages += self._consumer.consume(records_max - 1, 0.0)
        if not messages:
            self._complain()
            return []
        self._last_error = None
        return self._batches(messages)

    def _complain(self) -> None:
        """What the library could not tell by a message: raised once."""
        last_error, self._last_error = self._last_error, None
        if last_error is not None:
            raise_as_ours("polling", last_error)

    def _batches(self, messages: list[Message]) -> list[RawBatch]:
        batch_by_shard: dict[tuple[str, int], RawBatch] = {}
        last_error: KafkaError | None = None
        for message in messages:
            error = message.error()
            if error is not None:
                last_error = self._handled(message, error) or last_error
                continue
            key = (message.topic() or "", message.partition() or 0)
            batch = batch_by_shard.get(key)
            if batch is None:
                shard = Shard(*key)
                if shard not in self._next_by_shard or shard in self._again:
                    continue
                batch = batch_by_shard[key] = RawBatch(*key, [], [])
            batch.positions.append(message.offset() or 0)
            batch.values.append(message.value() or b"")  # type: ignore[arg-type, unused-ignore]
            batch.timestamps_ms.append(message.timestamp()[1])
            batch.headers.append(message.headers() or [])  # type: ignore[arg-type, unused-ignore]
            batch.keys.append(message.key())  # type: ignore[arg-type, unused-ignore]
        for key, batch in batch_by_shard.items():
            self._next_by_shard[Shard(*key)] = batch.positions[-1] + 1
        if last_error is not None:
            if batch_by_shard:
                self._last_error = last_error  # what came before it is good; raised when nothing more comes
            else:
                raise_as_ours("polling", last_error)
        return list(batch_by_shard.values())

    def _handled(self, message: Message, error: KafkaError) -> KafkaError | None:
        """Step over a gap; give back what else went wrong."""
        if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
            self._step_over_gap(Shard(message.topic() or "", message.partition() or 0))
            return None
        return error

    def _step_over_gap(self, shard: Shard) -> None:
        """Records that we had not read are gone from the topic: say so, and go on with what is left."""
        position = self._next_by_shard.get(shard)
        if position is None:
            return
        first, end = self.bounds(shard)
        if position >= first and position <= end:
            self.seek(shard, position)
            return
        self.gaps += 1
        self.records_lost += max(first - position, 0)  # none where the topic was made anew
        log.error(
            "records are gone before they were read",
            shard=str(shard),
            lost_from=position,
            lost_to=first,
            remedy="longer retention of the input topic, or more workers",
        )
        self.seek(shard, first)

    def seek(self, shard: Shard, position: int) -> None:
        self._next_by_shard[shard] = position
        if shard in self._beginning:
            return
        with translated(f"seeking in {shard}"):
            self._consumer.seek(TopicPartition(*shard, position))

    def bounds(self, shard: Shard) -> tuple[int, int]:
        with translated(f"asking for the bounds of {shard}"):
            found = self._consumer.get_watermark_offsets(
                TopicPartition(*shard), timeout=self._settings.kafka.request_timeout
            )
        if found is None:
            msg = f"Kafka, asking for the bounds of {shard}: no answer in time"
            raise RecoverableError(msg)
        return found[0], found[1]

    def start_position(self, shard: Shard) -> int:
        first, end = self.bounds(shard)
        return first if self._start_at_by_topic[shard.topic] == "earliest" else end

    def pause(self, shards: Iterable[Shard]) -> None:
        shards = [shard for shard in shards if shard in self._next_by_shard]
        self._held |= set(shards)
        with translated("pausing"):
            self._consumer.pause([TopicPartition(*shard) for shard in shards])

    def resume(self, shards: Iterable[Shard]) -> None:
        shards = [shard for shard in shards if shard in self._next_by_shard]
        self._held -= set(shards)
        with translated("resuming"):
            self._consumer.resume([TopicPartition(*shard) for shard in shards])

    def lags(self) -> dict[Shard, int]:
        lags = {}
        for shard, position in self._next_by_shard.items():
            with translated("asking for the lag"):
                found = self._consumer.get_watermark_offsets(TopicPartition(*shard), cached=True)
            if found is not None and found[1] >= 0:  # else nothing was fetched yet
                lags[shard] = max(0, found[1] - position)
        return lags

    @property
    def is_exhausted(self) -> bool:
        return False

    # ---- shards

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        shards = [Shard(each.topic, each.partition) for each in partitions]
        self._ask_listener(shards)
        consumer.incremental_assign([TopicPartition(*shard, self._next_by_shard[shard]) for shard in shards])

    def _ask_listener(self, shards: list[Shard]) -> None:
        assert self._listener is not None, "poll before start"
        self._beginning |= set(shards)
        try:
            for shard in shards:
                self._next_by_shard[shard] = 0
            self._listener.on_assigned(shards)
        finally:
            self._beginning -= set(shards)

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        assert self._listener is not None, "poll before start"
        self._listener.on_revoked(self._dropped(partitions))

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        assert self._listener is not None, "poll before start"
        self._listener.on_lost(self._dropped(partitions))

    def _dropped(self, partitions: list[TopicPartition]) -> list[Shard]:
        shards = sorted(Shard(each.topic, each.partition) for each in partitions)
        gone = [
            shard
            for shard in shards
            if self._next_by_shard.pop(shard, None) is not None and shard not in self._again
        ]
        self._again = [shard for shard in self._again if shard not in shards]
        self._held -= set(shards)
        return gone

    def rejoin(self) -> None:
        """Forget what was read; the same shards are begun again from what is committed.

        If the group has moved on meanwhile, the next poll finds out and brings the new assignment.
        """
        assert self._listener is not None, "rejoin before start"
        self._listener.on_lost([shard for shard in self._next_by_shard if shard not in self._again])
        with translated("rejoining"):
            assigned = self._consumer.assignment()
            self._consumer.pause(assigned)
        self._again = sorted(Shard(each.topic, each.partition) for each in assigned)
        self._next_by_shard = dict.fromkeys(self._again, 0)

    def _begin_again(self) -> None:
        shards, self._again = self._again, []
        try:
            self._ask_listener(shards)
        except BaseException:
            self._again = shards
            raise
        for shard in shards:
            if shard in self._next_by_shard:
                self.seek(shard, self._next_by_shard[shard])
        self.resume(shards)

    # ---- for the sink, which commits in the name of this member

    def group_metadata(self) -> object:
        """Membership for a transaction. Without one the broker would fence nobody, so there is none then.

        Raises
        ------
        FencedError
            If this worker is no member of the group at the moment.
        """
        with translated("asking for the membership"):
            before = self._consumer.memberid()
            metadata = self._consumer.consumer_group_metadata()
            if not before or before != self._consumer.memberid():
                msg = "Kafka, committing: this worker is no member of the group at the moment"
                raise FencedError(msg)
        return metadata

    def commit(self, offsets: list[TopicPartition]) -> None:
        with translated("committing offsets"):
            done = self._consumer.commit(offsets=offsets, asynchronous=False)
        for each in done or []:
            if each.error is not None:
                raise_as_ours("committing offsets", each.error)

    def committed(self, shards: Iterable[Shard]) -> dict[Shard, Committed]:
        shards = list(shards)
        with translated("asking for committed offsets"):
            found = self._consumer.committed(
                [TopicPartition(*shard) for shard in shards], timeout=self._settings.kafka.request_timeout
            )
        committed = {}
        for shard, done in zip(shards, found, strict=True):
            if done.error is not None:
                raise_as_ours(f"asking for the committed offset of {shard}", done.error)
            if done.offset >= 0 and done.offset != OFFSET_INVALID:
                committed[shard] = committed_of(done.offset, done.metadata)
        return committed

    def close(self) -> None:
        with translated("leaving the group"):
            self._consumer.close()
