"""What the service needs from the outside, as protocols; adapters keep them, tests run them on real and
in-memory parts alike.

A *shard* is what can move between workers: a Kafka partition, or a file. A *position* is the place of a
record in its shard (offset, line number); a committed position is that of the next record to judge.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.wire import Alert
from copycatch.units import UnixMs


class Shard(NamedTuple):
    """A topic and partition; files have partition 0.

    Examples
    --------
    >>> str(Shard("inference-logs", 3))
    'inference-logs:3'
    >>> Shard.parse("inference-logs:3")
    Shard(topic='inference-logs', partition=3)
    """

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}"

    @classmethod
    def parse(cls, text: str) -> "Shard":
        topic, _, partition = text.rpartition(":")
        return cls(topic, int(partition))


class Committed(NamedTuple):
    """What the sink knows to be done for a shard: the next position, and the unit that brought it there."""

    position: int
    sequence: int = 0
    run_id: str = ""


@dataclass(slots=True)
class Delivery:
    """One unit of effects: all of it happens, or (where the transport can) nothing.

    `positions` are next positions by shard; `sequence` rises by one with each unit of a run, so that a
    unit can be recognised after a crash that left its fate open.
    """

    outcomes: Outcomes
    positions: Mapping[Shard, int]
    sequence: int = 0
    run_id: str = ""


class ShardListener(Protocol):
    """Told when shards come and go; called from within `RecordSource.poll` and `close` only."""

    def on_assigned(self, shards: list[Shard]) -> None:
        """Before any record of these is given out; may seek."""
        ...

    def on_revoked(self, shards: list[Shard]) -> None:
        """Another worker takes these over when this returns; must not call the source or the sink."""
        ...

    def on_lost(self, shards: list[Shard]) -> None:
        """Another worker has these already: nothing may be written for them any more."""
        ...


class RecordSource(Protocol):
    """Records in order per shard.

    Raises `RecoverableError` for what may work again, `TransportError` for what will not.
    """

    def start(self, listener: ShardListener) -> None: ...

    def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
        """The next records: at most `records_max`, one batch a shard; none when none came in time."""
        ...

    def seek(self, shard: Shard, position: int) -> None: ...

    def bounds(self, shard: Shard) -> tuple[int, int]:
        """First position that is still there, and the one after the last."""
        ...

    def start_position(self, shard: Shard) -> int:
        """Where to begin in a shard of which nothing is known."""
        ...

    def pause(self, shards: Iterable[Shard]) -> None:
        """Give no more of these; the next poll may still give all that was fetched of them."""
        ...

    def resume(self, shards: Iterable[Shard]) -> None: ...

    def lags(self) -> dict[Shard, int]:
        """Records not yet given out, of shards where that is known without asking."""
        ...

    gaps: int
    """How often records were gone before they were read."""

    records_lost: int
    """How many they were, by their positions."""

    @property
    def is_exhausted(self) -> bool:
        """True when no record can come any more (a file's end; never for Kafka)."""
        ...

    def rejoin(self) -> None:
        """Give up all shards and start over: they are assigned again at the next poll."""
        ...

    def close(self) -> None: ...


class LearnerLink(Protocol):
    """The way between a worker and the learner: inputs there, versions back; every worker reads all of these.

    Raises `RecoverableError` for what may work again, `TransportError` for what will not.
    """

    n_shards: int
    """Shards of all workers together, each of which tells at every tick."""

    def tell(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        """Send keys and values; returns when they are kept."""
        ...

    def read(self, timeout_s: float = 0.0) -> list[bytes]:
        """What has come, in order, waiting so long for the first; at the first call all that there is."""
        ...

    def close(self) -> None: ...


class OutcomeSink(Protocol):
    """Takes outcomes and positions as one unit.

    `deliver` raises `RecoverableError` when nothing of the unit has happened and trying again is right;
    `FencedError` when the fate of the unit is open or another worker owns a shard: state must be rebuilt
    from what is committed; `TransportError` when no repetition helps.
    """

    def deliver(self, delivery: Delivery) -> None: ...

    def committed(self, shards: Iterable[Shard]) -> dict[Shard, Committed]:
        """What is committed; shards without are missing."""
        ...

    def reopen(self) -> None:
        """After `FencedError`: settle what was open, be ready for new units."""
        ...

    def close(self) -> None: ...


class SnapshotInfo(NamedTuple):
    """A snapshot as the store lists it; newest has the highest `generation`."""

    shard: Shard
    generation: int
    position: int
    sequence: int
    run_id: str


SnapshotWriter = Callable[[Callable[[bytes | memoryview], object]], None]
"""Given `write`, writes the content in pieces."""


class SnapshotStore(Protocol):
    """State of shards, kept apart from the process; every method refuses what it cannot verify."""

    def save(self, info: SnapshotInfo, content: SnapshotWriter) -> int:
        """Write durably and all at once; gives its size in bytes."""
        ...

    def candidates(self, shard: Shard) -> list[SnapshotInfo]:
        """Newest first; unverified, with shard, generation and position only."""
        ...

    def load(self, info: SnapshotInfo) -> tuple[SnapshotInfo, memoryview]:
        """The verified header, all its fields filled, and the content.

        Raises
        ------
        StateError
            If it is corrupt, foreign or of another version.
        """
        ...

    def prune(self, shard: Shard, keep: int | None = None) -> None:
        """Keep the last `keep` (else as many as it was told), and the journal since the oldest of them."""
        ...

    def append_entry(self, info: SnapshotInfo, content: bytes) -> None:
        """Keep durably what a unit announced of the shard after snapshot `info.generation`."""
        ...

    def entries(self, shard: Shard) -> list[tuple[SnapshotInfo, bytes]]:
        """Verified, oldest first; what cannot be verified is logged and left out."""
        ...

    def drop_entry(self, info: SnapshotInfo) -> None:
        """Forget one; it may be gone already."""
        ...


class Clock(Protocol):
    """The only one who knows what time it is."""

    def now_ms(self) -> UnixMs: ...

    def monotonic_s(self) -> float: ...

    def sleep(self, duration_s: float) -> None: ...


class Tracing(Protocol):
    """Spans of what the loop does; what cannot be sent is counted, and holds nothing up."""

    def now_ns(self) -> int:
        """For `polled_ns`."""
        ...

    def batch(self, polled_ns: int) -> AbstractContextManager[None]:
        """The span of one turn's records, from the poll on that began at `polled_ns`."""
        ...

    def taken(self, raw: RawBatch) -> None:
        """Records are among those of the batch at hand."""
        ...

    def part(self, name: str, shard: str = "") -> AbstractContextManager[None]:
        """A span within that of the batch: decode, judge, commit."""
        ...

    def alerted(self, alerts: Iterable[Alert]) -> None:
        """Link the span at hand to the traces of the queries behind alerts."""
        ...

    def close(self) -> None:
        """Send what is left, if that goes quickly."""
        ...


class Metrics(Protocol):
    """Counters, gauges and histograms of `metric_names.METRICS`."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None: ...

    def set(self, name: str, value: float, **labels: str) -> None: ...

    def observe(self, name: str, value: float, **labels: str) -> None: ...


Kind = Literal["alert", "recommendation", "dead_letter", "learning"]


@dataclass(slots=True)
class Message:
    """What a sink writes for one outcome: `value` is None for a tombstone."""

    key: bytes
    value: bytes | None
    timestamp_ms: int
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    is_drill: bool = False
