"""In-memory twins of the ports: they keep the same contracts, and tests run the same suite on both."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from copycatch.adapters.messages import NATIVE, Addressed, messages_of
from copycatch.alert_formats.catalog import AlertFormat
from copycatch.errors import FencedError, StateError
from copycatch.ports import Committed, Delivery, Shard, ShardListener, SnapshotInfo, SnapshotWriter
from copycatch.records.columns import RawBatch


@dataclass(slots=True)
class MemoryLog:
    """A broker's memory: records in, messages out, committed positions; outlives sources and sinks."""

    records_by_shard: dict[Shard, list[bytes]] = field(default_factory=dict)
    committed_by_shard: dict[Shard, Committed] = field(default_factory=dict)
    written: list[Addressed] = field(default_factory=list)
    epoch: int = 0  # of the newest sink: older ones are fenced
    first_by_shard: dict[Shard, int] = field(default_factory=dict)  # where records before are gone

    def append(self, shard: Shard, values: Iterable[bytes]) -> None:
        self.records_by_shard.setdefault(shard, []).extend(values)

    def trim(self, shard: Shard, first: int) -> None:
        """Forget the records before `first`, as retention does."""
        self.first_by_shard[shard] = first


class MemorySource:
    """Gives the shards of a `MemoryLog`, one after the other in turn.

    With `is_endless` it waits for more like a topic; else it is exhausted at the end like a file.
    """

    def __init__(
        self, log: MemoryLog, shards: Iterable[Shard] | None = None, *, is_endless: bool = False
    ) -> None:
        self._log = log
        self._shards = sorted(log.records_by_shard if shards is None else shards)
        self._is_endless = is_endless
        self._listener: ShardListener | None = None
        self._position_by_shard: dict[Shard, int] = {}
        self._paused: set[Shard] = set()
        self._turn = 0
        self.gaps = 0
        self.records_lost = 0

    def start(self, listener: ShardListener) -> None:
        self._listener = listener

    def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
        assert self._listener is not None, "poll before start"
        new = [shard for shard in self._shards if shard not in self._position_by_shard]
        if new:
            for shard in new:
                self._position_by_shard[shard] = 0
            self._listener.on_assigned(new)
        for _ in range(len(self._shards)):
            shard = self._shards[self._turn % len(self._shards)]
            self._turn += 1
            position = self._position_by_shard[shard]
            first = max(position, self.bounds(shard)[0])
            self.gaps += first > position
            self.records_lost += first - position
            self._position_by_shard[shard] = first
            values = self._log.records_by_shard.get(shard, [])[first : first + records_max]
            if values and shard not in self._paused:
                self._position_by_shard[shard] = first + len(values)
                positions = list(range(first, first + len(values)))
                return [RawBatch(shard.topic, shard.partition, positions, values)]
        return []

    def seek(self, shard: Shard, position: int) -> None:
        self._position_by_shard[shard] = position

    def bounds(self, shard: Shard) -> tuple[int, int]:
        return self._log.first_by_shard.get(shard, 0), len(self._log.records_by_shard.get(shard, []))

    def start_position(self, shard: Shard) -> int:
        return self.bounds(shard)[0]

    def pause(self, shards: Iterable[Shard]) -> None:
        self._paused |= set(shards)

    def resume(self, shards: Iterable[Shard]) -> None:
        self._paused -= set(shards)

    def lags(self) -> dict[Shard, int]:
        return {
            shard: len(self._log.records_by_shard.get(shard, [])) - position
            for shard, position in self._position_by_shard.items()
        }

    @property
    def is_exhausted(self) -> bool:
        is_started = len(self._position_by_shard) == len(self._shards)
        return is_started and not self._is_endless and not any(self.lags().values())

    def revoke(self, shards: list[Shard]) -> None:
        """Take shards away as a rebalance would."""
        assert self._listener is not None, "revoke before start"
        self._listener.on_revoked(shards)
        for shard in shards:
            self._shards.remove(shard)
            del self._position_by_shard[shard]

    def rejoin(self) -> None:
        assert self._listener is not None, "rejoin before start"
        held = list(self._position_by_shard)
        self._position_by_shard.clear()
        self._listener.on_lost(held)

    def close(self) -> None:
        if self._listener is not None and self._position_by_shard:
            self._listener.on_revoked(list(self._position_by_shard))
            self._position_by_shard.clear()


class MemorySink:
    """Writes to a `MemoryLog`, each unit as a whole."""

    def __init__(self, log: MemoryLog, alert_format: AlertFormat = NATIVE) -> None:
        self._log = log
        self._alert_format = alert_format
        self._epoch = 0
        self.reopen()

    def deliver(self, delivery: Delivery) -> None:
        if self._epoch != self._log.epoch:
            msg = "a newer sink writes to this log; stop this one"
            raise FencedError(msg)
        self._log.written += messages_of(delivery.outcomes, self._alert_format, now_ms=0)
        for shard, position in delivery.positions.items():
            self._log.committed_by_shard[shard] = Committed(position, delivery.sequence, delivery.run_id)

    def committed(self, shards: Iterable[Shard]) -> dict[Shard, Committed]:
        return {shard: done for shard in shards if (done := self._log.committed_by_shard.get(shard))}

    def reopen(self) -> None:
        self._log.epoch += 1
        self._epoch = self._log.epoch

    def close(self) -> None:
        """Nothing is held back."""


class MemorySnapshots:
    """Keeps snapshots in a dict."""

    def __init__(self, keep: int = 3) -> None:
        self._content_by_shard: dict[Shard, dict[SnapshotInfo, bytes]] = defaultdict(dict)
        self._entries_by_shard: dict[Shard, dict[tuple[int, int], tuple[SnapshotInfo, bytes]]] = defaultdict(
            dict
        )
        self._keep = keep

    def save(self, info: SnapshotInfo, content: SnapshotWriter) -> int:
        pieces: list[bytes] = []
        content(lambda piece: pieces.append(bytes(piece)))
        self._content_by_shard[info.shard][info] = b"".join(pieces)
        return sum(len(piece) for piece in pieces)

    def candidates(self, shard: Shard) -> list[SnapshotInfo]:
        return sorted(self._content_by_shard[shard], key=lambda info: -info.generation)

    def load(self, info: SnapshotInfo) -> tuple[SnapshotInfo, memoryview]:
        content = self._content_by_shard[info.shard].get(info)
        if content is None:
            msg = f"no snapshot {info.generation} of {info.shard}"
            raise StateError(msg)
        return info, memoryview(content)

    def prune(self, shard: Shard, keep: int | None = None) -> None:
        for info in self.candidates(shard)[keep or self._keep :]:
            del self._content_by_shard[shard][info]
        oldest = min((info.generation for info in self.candidates(shard)), default=0)
        for info, _ in self.entries(shard):
            if info.generation < oldest:
                self.drop_entry(info)

    def append_entry(self, info: SnapshotInfo, content: bytes) -> None:
        self._entries_by_shard[info.shard][info.generation, info.sequence] = (info, content)

    def entries(self, shard: Shard) -> list[tuple[SnapshotInfo, bytes]]:
        return [entry for _, entry in sorted(self._entries_by_shard[shard].items())]

    def drop_entry(self, info: SnapshotInfo) -> None:
        self._entries_by_shard[info.shard].pop((info.generation, info.sequence), None)


class MemoryMetrics:
    """Keeps the numbers by (name, labels)."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = defaultdict(float)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.values[name, tuple(sorted(labels.items()))] += amount

    def set(self, name: str, value: float, **labels: str) -> None:
        self.values[name, tuple(sorted(labels.items()))] = value

    def observe(self, name: str, value: float, **labels: str) -> None:
        self.values[name, tuple(sorted(labels.items()))] = value

    def get(self, name: str, **labels: str) -> float:
        return self.values.get((name, tuple(sorted(labels.items()))), 0.0)
