"""A listener that begins every shard where it is told, and remembers what it heard."""

from collections.abc import Mapping

from copycatch.ports import RecordSource, Shard
from copycatch.records.columns import RawBatch


class Recorder:
    """Seeks to `starts` (0 when not named)."""

    def __init__(self, source: RecordSource, starts: Mapping[Shard, int] | None = None) -> None:
        self._source = source
        self._starts = dict(starts or {})
        self.assigned: list[Shard] = []
        self.revoked: list[Shard] = []
        self.lost: list[Shard] = []

    def on_assigned(self, shards: list[Shard]) -> None:
        self.assigned += shards
        for shard in shards:
            self._source.seek(shard, self._starts.get(shard, 0))

    def on_revoked(self, shards: list[Shard]) -> None:
        self.revoked += shards

    def on_lost(self, shards: list[Shard]) -> None:
        self.lost += shards


def poll_all(source: RecordSource, n_records: int, records_max: int = 40) -> list[RawBatch]:
    """Poll until `n_records` have come."""
    batches: list[RawBatch] = []
    for _ in range(400):
        batches += source.poll(records_max, 0.1)
        if sum(len(batch.values) for batch in batches) >= n_records:
            break
    return batches


def poll_until_assigned(source: RecordSource, shard: Shard) -> None:
    for _ in range(400):
        source.poll(10, 0.1)
        if shard in source.lags():
            return
    message = f"{shard} was not assigned"
    raise AssertionError(message)
