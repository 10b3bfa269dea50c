"""The order of effects, which is the delivery guarantee.

For every poll that brought records:

1. judge: state changes in memory, nowhere else; what is to be announced is appended to the journal, kept with
   the snapshots.
2. deliver: outcomes, the next positions and the unit's sequence number become facts as one unit (one Kafka
   transaction; one ledger entry for files). With at_least_once: outcomes first, positions after them.
3. only then poll again. So between polls, state stands exactly at the committed positions.
4. now and then, directly after a 2: a snapshot of every shard, at the committed positions. A forked child
   writes it, so that judging stands still for the fork only.

For every shard that comes (at start, by rebalance, after a rebuild):

a. the sink settles what a killed predecessor left open; then the committed position is read;
b. the newest snapshot that verifies and does not lie ahead of it is restored; damaged and foreign ones are
   refused, counted and passed over;
c. the records between the two are judged in silence: whoever committed them has delivered their outcomes;
d. what was announced stands, by the snapshot and the journal's entries of units that were committed after it,
   whatever c. came to: shards share what is normal and come in another order than before, so it may judge
   otherwise;
e. judging goes on, and outcomes count again.

A shard that another worker takes is snapshotted at its committed position before it is let go, so that the
new owner has nothing to replay. A shard that is lost (we were declared dead) is forgotten.

What a kill -9 leaves behind, and what the next start does:

| killed | committed | what the restart does | outcomes |
|---|---|---|---|
| before or while delivering | the unit before | entry dropped, transaction aborted; judged again | once |
| after delivering | this unit | silent replay from the last snapshot up to it | once |
| while writing a snapshot | this unit | the unfinished file is ignored and removed | once |
| after a snapshot | this unit | nothing to replay | once |

With at_least_once, a kill between outcomes and positions repeats outcomes with the same keys.
"""

import uuid
from collections.abc import Collection, Iterable
from functools import partial

import structlog

from copycatch.adapters.forked import Forked
from copycatch.errors import StateError
from copycatch.ports import (
    Clock,
    Committed,
    Delivery,
    Metrics,
    OutcomeSink,
    Shard,
    SnapshotInfo,
    SnapshotStore,
)
from copycatch.records.columns import Outcomes
from copycatch.service.counting import count_outcomes
from copycatch.service.failpoints import Hook, no_hook
from copycatch.service.judging import Judge

log = structlog.get_logger(__name__)

WRITER_S_MAX = 900  # for a large state and a slow store
# A flood of alerts must not fill the store with entries: so many, and a snapshot takes their place.
ENTRIES_MAX = 200
COMMITTED = ""  # run of an entry that is known to be of a committed unit


class Checkpoint:
    """Turns outcomes into facts, and state into snapshots, in the order above.

    Parameters
    ----------
    store : SnapshotStore or None
        None keeps no snapshots: a replay of files that nobody resumes.
    is_forking : bool
        Write snapshots in a child process; False where a fork is not possible or not wanted.
    """

    def __init__(
        self,
        judge: Judge,
        sink: OutcomeSink,
        store: SnapshotStore | None,
        clock: Clock,
        metrics: Metrics,
        interval_s: float = 60.0,
        *,
        is_forking: bool = True,
        hook: Hook = no_hook,
    ) -> None:
        self._judge = judge
        self._sink = sink
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._interval_s = interval_s
        self._is_forking = is_forking
        self._hook = hook
        self._run_id = uuid.uuid4().hex[:12]
        self._sequence = 0
        self._position_by_shard: dict[Shard, int] = {}
        self._generation_by_shard: dict[Shard, int] = {}
        self._writer: Forked | None = None
        self._next_snapshot_s = clock.monotonic_s() + interval_s
        self._changed: set[Shard] = set()
        self._writing: set[Shard] = set()  # those that the child is at
        self._restored_generation = 0
        self._n_entries = 0  # since the last snapshot began

    # ---- facts

    def deliver(self, outcomes: Outcomes, positions: dict[Shard, int]) -> None:
        """Make one unit of outcomes and next positions a fact; errors of the sink pass through."""
        self._hook("before deliver")
        began_s = self._clock.monotonic_s()
        positions = self._append_entries(outcomes, positions)
        delivery = Delivery(outcomes, positions, self._sequence + 1, self._run_id)
        self._sink.deliver(delivery)
        took_s = self._clock.monotonic_s() - began_s
        self._metrics.observe("copycatch_deliver_seconds", took_s)
        log.debug(
            "delivered", sequence=delivery.sequence, shards=len(positions), records=outcomes.counts.total,
            alerts=len(outcomes.alerts), took_s=round(took_s, 4),
        )  # fmt: skip
        self._hook("after deliver")
        self._sequence += 1
        self._position_by_shard |= positions
        self._changed |= set(positions)
        count_outcomes(self._metrics, outcomes)

    def _append_entries(self, outcomes: Outcomes, positions: dict[Shard, int]) -> dict[Shard, int]:
        """Append to the journal what the unit announces; gives its positions, with those of each shard named.

        An entry counts once the unit's number is committed for its shard, so the position of that shard is
        committed along, unchanged where the unit has no record of it.
        """
        if self._store is None or not outcomes.announced:
            return positions
        entries = self._judge.journal_entries(outcomes)
        known = self._position_by_shard
        positions = {shard: known[shard] for shard in entries if shard in known} | positions
        try:
            for shard, content in entries.items():
                if shard in positions:
                    self._store.append_entry(self._info(shard, positions[shard], self._sequence + 1), content)
        except OSError as error:
            # A restart may then announce something twice, or differently; to keep it back would be worse.
            self._failed(str(error))
        self._n_entries += len(entries)
        if self._n_entries >= ENTRIES_MAX:
            self.snapshot_soon()
        self._hook("after journal entry")
        return positions

    # ---- state

    def begin(self, shard: Shard, committed: Committed | None, start: int) -> tuple[int, int]:
        """Restore a shard; gives the position to read from and the one up to which to replay silently.

        `start` is where to begin when nothing is known of the shard.
        """
        restored = self._restore(shard, None if committed is None else committed.position)
        if restored is None:
            position = start if committed is None else committed.position
            until = position
            if committed is not None and self._store is not None:
                log.warning("no usable snapshot: no memory", shard=str(shard), position=position)
        else:
            position = restored
            # Without a committed position (Kafka forgets it after a week of absence) the snapshot's counts.
            until = position if committed is None else committed.position
        self._position_by_shard[shard] = position
        if self._store is not None:
            entries = self._committed_entries(shard, committed, self._restored_generation)
            self._judge.load_journal(shard, entries)
        if until <= position:
            self._judge.reconcile(shard)
        if restored is None and self._store is not None:
            # Before anything is delivered: from here on there is always one to replay from.
            self._write_or_log(self._infos([shard]))
        log.info("shard begins", shard=str(shard), read_from=position, silent_until=until)
        return position, until

    def _restore(self, shard: Shard, committed: int | None) -> int | None:
        if self._store is None:
            return None
        candidates = self._store.candidates(shard)
        self._generation_by_shard[shard] = candidates[0].generation if candidates else 0
        self._restored_generation = 0
        for candidate in candidates:
            if committed is not None and candidate.position > committed:
                log.warning(
                    "snapshot lies ahead of the committed position; an older one is tried",
                    shard=str(shard), position=candidate.position, committed=committed,
                )  # fmt: skip
                continue
            try:
                info, content = self._store.load(candidate)
                self._judge.restore(shard, content)
            except StateError as error:
                self._metrics.count("copycatch_snapshots_total", result="refused")
                log.exception("snapshot refused; an older one is tried", shard=str(shard), reason=str(error))
                self._judge.forget(shard)
                continue
            self._restored_generation = info.generation
            return info.position
        return None

    def _committed_entries(self, shard: Shard, committed: Committed | None, since: int) -> list[bytes]:
        """The journal since a snapshot; entries of a unit that was never committed are dropped.

        Those that count are marked so: the next unit's number will take the place of the one that shows it.
        """
        assert self._store is not None, "the caller has checked"
        kept = []
        for info, content in self._store.entries(shard):
            if info.run_id and (
                committed is None or info.run_id != committed.run_id or info.sequence > committed.sequence
            ):
                self._store.drop_entry(info)
                continue
            if info.run_id:
                self._store.append_entry(info._replace(run_id=COMMITTED), content)
            if info.generation >= since:
                kept.append(content)
            # Entries of this run shall come after them, also before its first snapshot.
            self._generation_by_shard[shard] = max(self._generation_by_shard[shard], info.generation + 1)
        return kept

    def replayed(self, shard: Shard, position: int) -> None:
        """A silent replay has come to `position`."""
        self._position_by_shard[shard] = position
        self._changed.add(shard)

    def replay_is_over(self, shard: Shard, position: int) -> None:
        """The shard has come to what is committed: what was announced of it stands, more may follow."""
        self.replayed(shard, position)
        self._judge.reconcile(shard)

    def release(self, shards: Iterable[Shard], *, is_ours: bool, busy: Collection[Shard] = ()) -> None:
        """Let shards go; with a snapshot while they are still ours, and not `busy` with a silent replay."""
        shards = [shard for shard in shards if shard in self._position_by_shard]
        if is_ours and self._store is not None:
            try:
                # What the child is at may come too late for the next owner.
                unwritten = self._changed | self._writing
                infos = self._infos(shard for shard in shards if shard in unwritten and shard not in busy)
                if infos:
                    self._save_all(infos)
                    self._count_written()
            except OSError as error:
                self._metrics.count("copycatch_snapshots_total", result="failed")
                log.exception(
                    "no snapshot at release; the new owner replays from an older one", reason=str(error)
                )
        for shard in shards:
            self._judge.forget(shard)
            del self._position_by_shard[shard]
            self._changed.discard(shard)

    def reset(self) -> None:
        """Forget all state: it will be rebuilt from what is committed."""
        self._judge.reset()
        self._position_by_shard.clear()
        self._changed.clear()
        self._writing.clear()

    # ---- snapshots

    def snapshot_soon(self) -> None:
        """At the next chance instead of at the next interval."""
        self._next_snapshot_s = self._clock.monotonic_s()

    def snapshot_if_due(self, busy: Iterable[Shard] = ()) -> None:
        """Begin a snapshot when it is time; `busy` shards are still in silent replay and are left out."""
        self._reap(is_waiting=False)
        if (
            self._store is None
            or self._clock.monotonic_s() < self._next_snapshot_s
            or self._writer is not None
        ):
            return
        self._next_snapshot_s = self._clock.monotonic_s() + self._interval_s
        infos = self._infos(self._changed - set(busy))
        if infos:
            self._hook("before snapshot")
            began_s = self._clock.monotonic_s()
            self._changed -= {info.shard for info in infos}
            if self._is_forking:
                self._fork(infos)
            else:
                self._write_or_log(infos)
            self._metrics.observe("copycatch_snapshot_pause_seconds", self._clock.monotonic_s() - began_s)
            self._n_entries = 0
            self._hook("after snapshot")

    def rewrite(self) -> None:
        """Write all shards and remove everything older, which has what was erased; OSError if that fails."""
        if self._store is None:
            return
        self._reap(is_waiting=True)
        infos = self._infos(self._position_by_shard)
        self._save_all(infos)
        for info in infos:
            self._store.prune(info.shard, keep=1)
        self._changed.clear()
        self._n_entries = 0
        self._count_written()

    def _infos(self, shards: Iterable[Shard]) -> list[SnapshotInfo]:
        infos = []
        for shard in sorted(shards):
            self._generation_by_shard[shard] = self._generation_by_shard.get(shard, 0) + 1
            infos.append(self._info(shard, self._position_by_shard[shard], self._sequence))
        return infos

    def _info(self, shard: Shard, position: int, sequence: int) -> SnapshotInfo:
        return SnapshotInfo(shard, self._generation_by_shard[shard], position, sequence, self._run_id)

    def _save_all(self, infos: list[SnapshotInfo]) -> int:
        """Write, then prune; gives the bytes."""
        assert self._store is not None, "the caller has checked"
        size_bytes = 0
        for info in infos:
            size_bytes += self._store.save(info, partial(self._judge.snapshot, info.shard))
            self._store.prune(info.shard)
        return size_bytes

    def _count_written(self) -> None:
        self._metrics.count("copycatch_snapshots_total", result="written")
        self._metrics.set("copycatch_snapshot_time_seconds", self._clock.now_ms() / 1000)

    def _write_or_log(self, infos: list[SnapshotInfo]) -> None:
        try:
            self._metrics.set("copycatch_snapshot_bytes", self._save_all(infos))
            self._count_written()
        except OSError as error:
            self._failed(str(error), {info.shard for info in infos})

    def _failed(self, reason: str, shards: Collection[Shard] = ()) -> None:
        self._changed |= self._position_by_shard.keys() & shards
        self._metrics.count("copycatch_snapshots_total", result="failed")
        log.error("snapshot failed; the one before stays, the next is tried in time", reason=reason)

    def _fork(self, infos: list[SnapshotInfo]) -> None:
        def write() -> None:
            self._hook("in snapshot")
            self._save_all(infos)

        shards = {info.shard for info in infos}
        try:
            self._writer = Forked(write, WRITER_S_MAX)
            self._writing = shards
        except OSError as error:
            self._failed(str(error), shards)

    def _reap(self, *, is_waiting: bool) -> None:
        if self._writer is None:
            return
        failure = self._writer.failure(is_waiting=is_waiting)
        if failure is None:
            return
        self._writer = None
        shards, self._writing = self._writing, set()
        if failure:
            self._failed(failure, shards)
        else:
            self._count_written()

    def close(self) -> None:
        """Wait for a snapshot under way."""
        self._reap(is_waiting=True)
