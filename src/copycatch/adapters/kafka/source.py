"""A consumer group member as a `RecordSource`."""

import threading
from collections.abc import Callable, Iterable

import structlog
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError, OffsetOutOfRangeError
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from copycatch.adapters.kafka.batches import Records, read_compiled
from copycatch.adapters.kafka.client import NO_SENSORS, common_options, translated
from copycatch.adapters.kafka_names import METADATA_AGE_MS_MAX, committed_of, inputs_missing
from copycatch.errors import RecoverableError
from copycatch.ports import Committed, Shard, ShardListener
from copycatch.records.columns import RawBatch
from copycatch.settings.service import Service
from kafka import KafkaConsumer, TopicPartition

log = structlog.get_logger(__name__)

# Several times the default of 1 MiB: a poll of 5,000 records of 1 KB comes in one fetch.
PARTITION_FETCH_BYTES = 8 << 20
GATE_POLL_S = 0.002
CLOSE_MS_MAX = 5_000


class KafkaSource:
    """Reads the input topics as a member of the consumer group.

    A new shard is given no records before the listener has said where to begin: the library's thread pauses
    it when it comes, and `poll` asks the listener from the caller's thread, where it may talk to the broker.
    """

    def __init__(self, settings: Service) -> None:
        self._settings = settings
        self._start_at_by_topic = {each.topic: each.start_at for each in settings.inputs}
        self._listener: ShardListener | None = None
        self._next_by_shard: dict[Shard, int] = {}
        self._new: list[TopicPartition] = []
        self._touched: set[Shard] = set()  # came or went during the poll under way
        # The library rebalances on a thread of its own, also between polls. The caller's thread holds the
        # gate whenever it is not in here: shards come and go only while it waits in `poll` or `close`.
        self._gate = threading.Lock()
        self._gate.acquire()
        self._is_closed = False
        self._is_muted = False  # while a membership ends of which the listener has been told already
        self.gaps = 0
        self.records_lost = 0
        with translated("connecting"):
            self._consumer = self._connect()

    def _connect(self) -> KafkaConsumer:
        kafka = self._settings.kafka
        session_timeout_ms = round(kafka.session_timeout * 1000)
        consumer = KafkaConsumer(
            **common_options(kafka),
            **NO_SENSORS,
            group_id=kafka.group_id,
            group_instance_id=kafka.instance_id,
            enable_auto_commit=False,
            # Positions are ours to choose; the library must never jump on its own.
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            partition_assignment_strategy=[CooperativeStickyAssignor],
            max_poll_records=self._settings.poll_records_max,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            session_timeout_ms=session_timeout_ms,
            heartbeat_interval_ms=max(100, session_timeout_ms // 10),
            metadata_max_age_ms=METADATA_AGE_MS_MAX,
        )
        read_compiled(consumer)
        return consumer

    def start(self, listener: ShardListener) -> None:
        self._listener = listener
        with translated("reading the input topics"):
            missing = self._subscribe(listener)
        if missing:
            raise inputs_missing(missing, self._settings)

    def _subscribe(self, listener: ShardListener) -> list[str]:
        """Gives the topics that are missing; nothing is subscribed to then.

        The question has to come first: the answer to a metadata request that is on its way while `subscribe`
        names the topics counts, in the library, as the answer to the one that `subscribe` asks for. The
        topics stay unknown then, this member assigns itself nothing, and waits for the next refresh.
        """
        topics = list(self._start_at_by_topic)
        missing = [topic for topic in topics if not self._consumer.partitions_for_topic(topic)]
        if not missing:
            self._consumer.subscribe(topics, listener=_Rebalance(self, listener))
        return missing

    def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
        self._touched.clear()
        self._end_joins()
        with translated("polling"):
            self._gate.release()
            try:
                polled = self._consumer.poll(timeout_ms=round(timeout_s * 1000), max_records=records_max)
            except OffsetOutOfRangeError as error:
                self._step_over_gap(error)
                return []
            finally:
                self._gate.acquire()
        touched = set(self._touched)
        if self._new:
            self._begin_new()
        batches = []
        for partition, records in polled.items():
            shard = Shard(partition.topic, partition.partition)
            if shard in touched or shard not in self._next_by_shard:
                continue  # fetched before it went or came: where it is read from has been decided anew
            found: Records = records[0]
            for more in records[1:]:
                found.add(more)
            self._next_by_shard[shard] = found.offsets[-1] + 1
            batches.append(
                RawBatch(
                    topic=shard.topic,
                    partition=shard.partition,
                    positions=found.offsets,
                    values=found.values,
                    timestamps_ms=found.times_ms,
                    headers=found.headers,
                    keys=found.keys,
                )
            )
        return batches

    def _end_joins(self) -> None:
        """See a join through that a poll has left under way.

        The library's next poll goes on with it only if something still asks for a join. Where new partitions
        were what asked, the join itself answers that as soon as this member, as leader, has assigned them:
        nobody would ever take the result, and the member would neither read nor send heartbeats again.
        """
        coordinator = self._consumer._coordinator  # noqa: SLF001 (nothing public tells or mends it)
        if coordinator.rejoining and not coordinator.rejoin_needed:
            coordinator.request_rejoin()

    def _begin_new(self) -> None:
        assert self._listener is not None, "poll before start"
        new, self._new = self._new, []
        shards = [Shard(each.topic, each.partition) for each in new]
        for shard in shards:
            self._next_by_shard[shard] = 0
        self._listener.on_assigned(shards)
        with translated("resuming"):
            ready = [Shard(each.topic, each.partition) for each in new]
            self.resume(shard for shard in ready if shard in self._next_by_shard)

    def _step_over_gap(self, error: OffsetOutOfRangeError) -> None:
        """Records that we had not read are gone from the topic: say so, and go on with what is left."""
        places = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        partitions = list(places) or [TopicPartition(*shard) for shard in self._next_by_shard]
        firsts = self._consumer.beginning_offsets(partitions)
        for partition, first in firsts.items():
            shard = Shard(partition.topic, partition.partition)
            position = self._next_by_shard.get(shard)
            if position is None or position >= first:
                continue
            self.gaps += 1
            self.records_lost += first - position
            log.error(
                "records are gone before they were read",
                shard=str(shard),
                lost_from=position,
                lost_to=first,
                remedy="longer retention of the input topic, or more workers",
            )
            self.seek(shard, first)

    def seek(self, shard: Shard, position: int) -> None:
        self._consumer.seek(TopicPartition(*shard), position)
        self._next_by_shard[shard] = position

    def bounds(self, shard: Shard) -> tuple[int, int]:
        partition = TopicPartition(*shard)
        with translated(f"asking for the bounds of {shard}"):
            first = self._consumer.beginning_offsets([partition])[partition]
            return first, self._consumer.end_offsets([partition])[partition]

    def start_position(self, shard: Shard) -> int:
        first, end = self.bounds(shard)
        return first if self._start_at_by_topic[shard.topic] == "earliest" else end

    def pause(self, shards: Iterable[Shard]) -> None:
        shards = [shard for shard in shards if shard in self._next_by_shard]
        self._consumer.pause(*(TopicPartition(*shard) for shard in shards))

    def resume(self, shards: Iterable[Shard]) -> None:
        shards = [shard for shard in shards if shard in self._next_by_shard]
        self._consumer.resume(*(TopicPartition(*shard) for shard in shards))

    def lags(self) -> dict[Shard, int]:
        lags = {}
        for shard, position in list(self._next_by_shard.items()):
            partition = TopicPartition(*shard)
            if partition in self._consumer.assignment():
                high = self._consumer.highwater(partition)
                if high is not None:
                    lags[shard] = max(0, high - position)
        return lags

    @property
    def is_exhausted(self) -> bool:
        return False

    def rejoin(self) -> None:
        """Join as a new member: after a fence nobody knows what the old one still believes."""
        assert self._listener is not None, "rejoin before start"
        self._listener.on_lost(list(self._next_by_shard))
        self._next_by_shard.clear()
        self._new.clear()
        self._is_muted = True
        self._gate.release()
        try:
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS_MAX)
        except KafkaError as error:
            log.warning("the old membership ends by its time-out", reason=str(error))
        finally:
            self._gate.acquire()
            self._is_muted = False
        with translated("joining again"):
            self._consumer = self._connect()
            missing = self._subscribe(self._listener)
        if missing:
            msg = f"inputs: topic {', '.join(missing)} was there, and is not any more"
            raise RecoverableError(msg)

    # For the sink, which commits in the name of this member.

    def group_metadata(self) -> ConsumerGroupMetadata:
        return self._consumer.group_metadata()

    def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        self._consumer.commit(offsets)

    def committed(self, shards: Iterable[Shard]) -> dict[Shard, Committed]:
        found = {}
        for shard in shards:
            with translated(f"asking for the committed offset of {shard}"):
                done = self._consumer.committed(
                    TopicPartition(*shard),
                    metadata=True,
                    timeout_ms=round(self._settings.kafka.request_timeout * 1000),
                )
            if done is not None and done.offset >= 0:
                found[shard] = committed_of(done.offset, done.metadata)
        return found

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._gate.release()
        with translated("leaving the group"):
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS_MAX)


class _Rebalance(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Called on the library's own thread; waits, without holding it up, until the caller's is in `poll`."""

    def __init__(self, source: KafkaSource, listener: ShardListener) -> None:
        self._source = source
        self._listener = listener

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._at_the_gate(lambda: self._hold_back(assigned))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._at_the_gate(lambda: self._listener.on_revoked(self._dropped(revoked)))

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        await self._at_the_gate(lambda: self._listener.on_lost(self._dropped(lost)))

    async def _at_the_gate(self, action: Callable[[], None]) -> None:
        source = self._source
        while not source._gate.acquire(blocking=False):  # noqa: SLF001 (one class in two halves)
            await source._consumer._net.sleep(GATE_POLL_S)  # noqa: SLF001
        try:
            if not source._is_muted:  # noqa: SLF001
                action()
        finally:
            source._gate.release()  # noqa: SLF001

    def _hold_back(self, assigned: Iterable[TopicPartition]) -> None:
        source = self._source
        for partition in assigned:
            # A position of its own keeps the library from asking for one that may not exist yet.
            source._consumer.seek(partition, 0)  # noqa: SLF001
            source._consumer.pause(partition)  # noqa: SLF001
            source._new.append(partition)  # noqa: SLF001
            source._touched.add(Shard(partition.topic, partition.partition))  # noqa: SLF001

    def _dropped(self, partitions: Iterable[TopicPartition]) -> list[Shard]:
        source = self._source
        gone = []
        for partition in sorted(partitions):
            shard = Shard(partition.topic, partition.partition)
            source._touched.add(shard)  # noqa: SLF001
            if partition in source._new:  # noqa: SLF001
                source._new.remove(partition)  # noqa: SLF001
            if source._next_by_shard.pop(shard, None) is not None:  # noqa: SLF001
                gone.append(shard)
        return gone
