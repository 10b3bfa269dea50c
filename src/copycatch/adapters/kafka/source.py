"""A consumer group member as a `RecordSource`."""

import gc
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError, OffsetOutOfRangeError
from kafka.future import Future
from kafka.structs import ConsumerGroupMetadata, MemberState, OffsetAndMetadata

from copycatch.adapters.clock import SystemClock
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
CLOSE_MS_MAX = 5_000
ALL_FETCHED = 1 << 31
JOIN_MS_MAX = 3_000  # what a broker waits for more members of a new group


class KafkaSource:
    """Reads the input topics as a member of the consumer group.

    A new shard is given no records before the listener gives the offset where to begin: the library's thread
    pauses it when it comes, and `poll` asks the listener from the caller's thread, where it may talk to the
    broker.
    """

    def __init__(self, settings: Service) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._start_at_by_topic = {each.topic: each.start_at for each in settings.inputs}
        self._listener: ShardListener | None = None
        self._next_by_shard: dict[Shard, int] = {}
        self._new: list[TopicPartition] = []
        self._touched: set[Shard] = set()  # came or went during the poll under way
        self._to_pause: set[Shard] = set()
        # The library rebalances on a thread of its own, also between polls: shards come and go only while the
        # caller's thread waits in `poll` or `close`.
        self._gate = _Gate()
        self._joining_since_s: float | None = None
        self._is_closed = False
        self._is_muted = False  # while a membership ends of which the listener knows already
        self.gaps = 0
        self.records_lost = 0
        with translated("connecting"):
            self._consumer = self._connect()

    def _connect(self) -> KafkaConsumer:
        kafka = self._settings.kafka
        session_timeout_ms = round(kafka.session_timeout * 1000)
        return KafkaConsumer(
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
        with translated("polling"), _no_collection():
            self._gate.open()
            try:
                polled = self._polled(records_max, round(timeout_s * 1000))
                self._pause_now(polled)
            except OffsetOutOfRangeError as error:
                self._step_over_gap(error)
                return []
            finally:
                self._gate.shut()
            batches = [_batch_of(partition, records) for partition, records in polled.items()]
            polled.clear()
        if self._is_deaf(has_records=bool(batches)):
            log.warning("a join of the group was left half done; joining as a new member")
            self.rejoin()
            return []
        touched = set(self._touched)
        if self._new:
            self._begin_new()
        # Fetched before its shard went or came: where that is read from has been decided anew.
        known = self._next_by_shard.keys() - touched
        batches = [batch for batch in batches if Shard(batch.topic, batch.partition) in known]
        for batch in batches:
            self._next_by_shard[Shard(batch.topic, batch.partition)] = batch.positions[-1] + 1
        return batches

    def _polled(self, records_max: int, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        """One poll of the library, and a longer one while a join is under way: nothing comes before its end.

        A poll that gives up during a join may leave it half done for ever: the next one goes on with it only
        if something still asks for a join. Where new partitions were what asked, the join itself answers
        that as soon as this member, as leader, has assigned them.
        """
        polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=records_max)
        if not polled and self._is_joining():
            polled = self._consumer.poll(timeout_ms=JOIN_MS_MAX, max_records=records_max)
        return polled  # type: ignore[no-any-return]

    def _pause_now(self, polled: dict[TopicPartition, list[Any]]) -> None:
        """Pause what is to be, when nothing is left of what was fetched.

        A partition that is paused while the library has given out a part of a fetch of it may never be read
        again, even once it is resumed (kafka-python 3.0.12).
        """
        if self._to_pause:
            for partition, records in self._consumer.poll(timeout_ms=0, max_records=ALL_FETCHED).items():
                polled.setdefault(partition, []).extend(records)
            self._consumer.pause(
                *(TopicPartition(*each) for each in self._to_pause & self._next_by_shard.keys())
            )
            self._to_pause.clear()

    def _is_joining(self) -> bool:
        return bool(self._consumer.group_metadata().state is MemberState.REBALANCING)

    def _is_deaf(self, *, has_records: bool) -> bool:
        """Whether a join was left half done all the same: no heartbeat is sent then, and nobody ends it.

        The library gives no records while it goes on with a join. Without any to tell by, the session's end
        tells: the broker has given the member up by then.
        """
        if not self._is_joining():
            self._joining_since_s = None
            return False
        now_s = self._clock.monotonic_s()
        self._joining_since_s = self._joining_since_s or now_s
        return has_records or now_s - self._joining_since_s > self._settings.kafka.session_timeout

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
        offsets = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        partitions = list(offsets) or [TopicPartition(*shard) for shard in self._next_by_shard]
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
        """From the next poll on, which may give more than asked: all that was fetched."""
        self._to_pause.update(shard for shard in shards if shard in self._next_by_shard)

    def resume(self, shards: Iterable[Shard]) -> None:
        shards = [shard for shard in shards if shard in self._next_by_shard]
        self._to_pause.difference_update(shards)
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
        self._joining_since_s = None
        self._gate.open()
        try:
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS_MAX)
        except KafkaError as error:
            log.warning("the old membership ends by its time-out", reason=str(error))
        finally:
            self._gate.shut()
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
        self._gate.open()
        with translated("leaving the group"):
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS_MAX)


@contextmanager
def _no_collection() -> Iterator[None]:
    """The collector would go through thousands of fetched records, again and again, for nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _batch_of(partition: TopicPartition, records: list[Any]) -> RawBatch:
    headers = [record.headers for record in records]
    return RawBatch(
        topic=partition.topic,
        partition=partition.partition,
        positions=[record.offset for record in records],
        values=[record.value or b"" for record in records],  # a tombstone becomes b""
        timestamps_ms=[record.timestamp for record in records],
        headers=headers if any(headers) else [],
        keys=[record.key for record in records],
    )


class _Gate:
    """Open while the caller's thread waits in the library; whoever enters meanwhile holds that thread up.

    Who comes while it is shut waits without holding up the library's thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._waiting: deque[Future] = deque()

    def open(self) -> None:
        self._lock.release()
        while self._waiting:
            self._waiting.popleft().success(None)

    def shut(self) -> None:
        self._lock.acquire()

    async def enter(self) -> None:
        while True:
            turn = Future()
            self._waiting.append(turn)  # before trying, so that no opening goes unnoticed
            if self._lock.acquire(blocking=False):
                return
            await turn

    def leave(self) -> None:
        self._lock.release()


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
        await source._gate.enter()  # noqa: SLF001 (one class in two halves)
        try:
            if not source._is_muted:  # noqa: SLF001
                action()
        finally:
            source._gate.leave()  # noqa: SLF001

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
