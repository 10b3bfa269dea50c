"""A listener that begins every shard where it is told, and remembers what it heard."""

import time
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


# Joining a group takes a second here; a machine that does several other things at once may take a minute.
DEADLINE_S = 180.0


def poll_all(
    source: RecordSource, n_records: int, records_max: int = 40, timeout_s: float = 0.1
) -> list[RawBatch]:
    """Poll until `n_records` have come.

    Raises
    ------
    AssertionError
        If they do not come.
    """
    batches: list[RawBatch] = []
    deadline_s = time.monotonic() + DEADLINE_S
    while sum(len(batch.values) for batch in batches) < n_records:
        assert time.monotonic() < deadline_s, f"of {n_records} records there came {batches}"
        batches += source.poll(records_max, timeout_s)
    return batches


def poll_until_assigned(source: RecordSource, shard: Shard) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while shard not in source.lags():
        assert time.monotonic() < deadline_s, f"{shard} was not assigned"
        source.poll(10, 0.1)
