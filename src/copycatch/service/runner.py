"""The loop: poll, judge, deliver, and what to do when one of them fails."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from copycatch.errors import CopycatchError, FencedError, RecoverableError, TransportError
from copycatch.ports import Clock, Committed, Metrics, OutcomeSink, RecordSource, Shard, Tracing
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.policy import Policy
from copycatch.service.alignment import Alignment, Times
from copycatch.service.checkpoint import Checkpoint
from copycatch.service.erasure import Erasures
from copycatch.service.findings import Summary
from copycatch.service.gauges import Gauges, Losses
from copycatch.service.health import Health
from copycatch.service.judging import Judge
from copycatch.service.quarantine import Quarantine, cut, set_aside
from copycatch.service.tracing import Untraced
from copycatch.units import MS_PER_S, UnixMs

log = structlog.get_logger(__name__)

BACKOFF_S_MIN = 0.1
BACKOFF_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at a time, how long to wait."""

    records_max: int = 5000
    poll_timeout_s: float = 0.25
    idle_after_s: float = 900.0
    drain_timeout_s: float = 30.0


class RunnerParts(NamedTuple):
    """What a runner drives."""

    source: RecordSource
    sink: OutcomeSink
    judge: Judge
    clock: Clock
    metrics: Metrics
    tracing: Tracing = Untraced()


class Runner:
    """Owns the loop; a `ShardListener` of its source.

    Parameters
    ----------
    next_policy : callable
        Asked once a turn; gives a checked policy when a new one is to be taken.
    on_turn : callable
        Told once a turn: progress bars, live views.

    Attributes
    ----------
    on_delivered : callable
        Told each unit of outcomes once it is delivered, while judging waits; set before `run`.
    """

    def __init__(
        self,
        parts: RunnerParts,
        checkpoint: Checkpoint,
        *,
        pace: Pace | None = None,
        health: Health | None = None,
        quarantine: Quarantine | None = None,
        erasures: Erasures | None = None,
        next_policy: Callable[[], Policy | None] = lambda: None,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._source, self._sink, self._judge, self._clock, self._metrics, self._tracing = parts
        judge, clock = self._judge, self._clock
        times = Times(judge.clock_ms, lambda raw: judge.times_ms(raw, clock.now_ms()), judge.see)
        self._aligned = Alignment(self._source, clock, self._metrics, times)
        self._checkpoint = checkpoint
        self._pace = pace or Pace()
        self._health = health or Health()
        self._quarantine = quarantine or Quarantine(None, self._metrics)
        self._erasures = erasures
        self._next_policy = next_policy
        self._on_turn = on_turn
        self.on_delivered: Callable[[Outcomes], None] = lambda _unit: None
        self._silent_until: dict[Shard, int] = {}
        self._shards: set[Shard] = set()
        self._is_stopping = False
        self._stop_deadline_s = float("inf")
        # True while state is ahead of what is committed: it must not be snapshotted then.
        self._is_ahead = False
        self._last_record_s = 0.0
        self._gauges = Gauges(self._aligned, self._judge, self._clock, self._metrics)
        self._losses = Losses(self._source, self._metrics)
        self._idle_ms = self._now_ms = UnixMs(0)
        self.summary = Summary()

    def stop(self) -> None:
        """Finish the batch at hand, commit, let go; safe in a signal handler."""
        if not self._is_stopping:
            self._is_stopping = True
            self._stop_deadline_s = self._clock.monotonic_s() + self._pace.drain_timeout_s

    def run(self) -> Summary:
        """Until stopped, or the source is exhausted.

        Raises
        ------
        TransportError
            When an operator has to act; nothing that was read is committed without its outcomes.
        """
        self._last_record_s = self._clock.monotonic_s()
        try:
            self._insist("start", lambda: self._source.start(self))
            while not self._is_stopping and not self._aligned.is_over:
                self._turn()
            if self._aligned.is_over:
                self._finish()
            learning = self._judge.learning()  # what a shard knows goes with it
        finally:
            self._close()
        self.summary.unjudged = self.summary.findings.last_sentences(learning)
        return self.summary

    def _turn(self) -> None:
        self._health.last_turn_s = self._clock.monotonic_s()
        policy = self._next_policy()
        if policy is not None:
            self._judge.swap_policy(policy)
        self._erase()
        polled_ns = self._tracing.now_ns()
        try:
            has_come = self._aligned.poll(self._pace.records_max, self._pace.poll_timeout_s)
        except FencedError as error:
            self._rebuild(error)
            return
        except RecoverableError as error:
            self._back_off("poll", error, attempt=1)
            return
        finally:
            self._losses.count()
        if has_come:
            self._last_record_s = self._clock.monotonic_s()
        first = self._aligned.next()
        if first is not None:
            with self._tracing.batch(polled_ns):
                self._take(first)
        else:
            self._idle()
        self._checkpoint.snapshot_if_due(busy=self._silent_until)
        self._gauges.tell(self._health, self.summary, len(self._shards), len(self._silent_until))
        self._on_turn()

    def _erase(self) -> None:
        """Delete accounts where somebody has asked for it; not while a shard is replayed."""
        if self._erasures is None or self._silent_until or not self._shards:
            return
        for request in self._erasures.due(self._shards):
            self._is_ahead = True
            erased = self._judge.erase(request.tenant_id, request.account_id)
            if erased.revokes and not self._deliver(Outcomes(recommendations=erased.revokes), {}):
                return
            self._is_ahead = False
            self._erasures.finish(request, self._shards, erased, self._checkpoint.rewrite)

    # ---- judging and delivering

    def _take(self, first: RawBatch) -> None:
        """Judge and deliver what may go, about a poll's worth."""
        unit = Outcomes()
        positions: dict[Shard, int] = {}
        # A clock that is set back must not make honest records look as if from the future.
        now_ms = self._now_ms = max(self._now_ms, self._clock.now_ms())
        n, self._is_ahead = 0, True
        raw: RawBatch | None = first
        while raw is not None:
            self._tracing.taken(raw)
            n += len(raw.values)
            self.summary.findings.messages += len(raw.values)
            shard = Shard(raw.topic, raw.partition)
            live = self._replay(shard, raw, now_ms, unit)
            if live is not None:
                unit.add(self._step(live, now_ms))
                positions[shard] = live.positions[-1] + 1
            raw = self._aligned.next() if n < self._pace.records_max else None
        if not (positions or unit.announced) or self._deliver(unit, positions):
            self._is_ahead = False

    def _step(self, raw: RawBatch, now_ms: UnixMs) -> Outcomes:
        outcomes, shard = Outcomes(), Shard(raw.topic, raw.partition)
        for part, is_aside in self._quarantine.pieces(raw):
            if not is_aside:
                outcomes.add(self._judge_part(part, now_ms))
            elif shard not in self._silent_until:
                outcomes.add(set_aside(part, now_ms))
        return outcomes

    def _judge_part(self, raw: RawBatch, now_ms: UnixMs) -> Outcomes:
        began_s = self._clock.monotonic_s()
        try:
            behind = self._aligned.behind() | {Shard(raw.topic, raw.partition)}
            outcomes = self._judge.step(raw, now_ms, self._silent_until, behind)
        except Exception as error:
            # Neither skipped nor tried for ever: where the next process fails here too, it is set aside.
            log.critical(
                "judging failed; nothing of this batch is committed",
                topic=raw.topic, partition=raw.partition, first=raw.positions[0], last=raw.positions[-1],
            )  # fmt: skip
            if isinstance(error, CopycatchError | OSError):  # of the state or the machine, whatever is judged
                self._quarantine.spare(Shard(raw.topic, raw.partition))
            raise
        self._metrics.observe("copycatch_step_seconds", self._clock.monotonic_s() - began_s)
        return outcomes

    def _replay(self, shard: Shard, raw: RawBatch, now_ms: UnixMs, unit: Outcomes) -> RawBatch | None:
        """Judge in silence what is committed already; gives the rest.

        Its records are counted already. Of other shards, which are not replayed, it may say something.
        """
        until = self._silent_until.get(shard)
        if until is None:
            return raw
        n = next((i for i, position in enumerate(raw.positions) if position >= until), len(raw.positions))
        if n:
            outcomes = self._step(cut(raw, 0, n), now_ms)
            unit.add(Outcomes(outcomes.alerts, outcomes.recommendations, announced=outcomes.announced))
            self._checkpoint.replayed(shard, raw.positions[n - 1] + 1)
            self._metrics.count("copycatch_replayed_records_total", n)
            self.summary.replayed += n
        if raw.positions[-1] + 1 >= until:
            del self._silent_until[shard]
            self._checkpoint.replay_is_over(shard, max(until, raw.positions[n - 1] + 1 if n else until))
            log.info("silent replay is done", shard=str(shard), position=until)
        return cut(raw, n, len(raw.positions)) if n < len(raw.positions) else None

    def _deliver(self, unit: Outcomes, positions: dict[Shard, int]) -> bool:
        """Until it is a fact; False when state has to be rebuilt instead."""
        self._tracing.alerted(unit.alerts)
        try:
            with self._tracing.part("commit"):
                self._insist("deliver", lambda: self._checkpoint.deliver(unit, positions))
        except FencedError as error:
            self._rebuild(error)
            return False
        real = unit.without_drills()
        self.summary.findings.take(real)
        self.summary.alerts += len(real.alerts)
        self.summary.recommendations += len(real.recommendations)
        self.on_delivered(real)
        return True

    def _finish(self) -> None:
        """The records have ended: what is due of open episodes at the last of them is worked off."""
        self._is_ahead = True
        unit = self._judge.end(max(self._now_ms, self._clock.now_ms()))
        newest_ms = self._judge.newest_event_ms
        if newest_ms is not None:
            unit.add(self._judge.idle(newest_ms))
        is_empty = not (unit.alerts or unit.recommendations or unit.counts.total or unit.notes)
        if is_empty or self._deliver(unit, {}):
            self._is_ahead = False

    def _idle(self) -> None:
        """With no record for long, event time stands still; close what is due by the clock instead."""
        idle_ms = round(self._pace.idle_after_s * MS_PER_S)
        now_ms = self._clock.now_ms()
        is_idle = self._clock.monotonic_s() - self._last_record_s >= self._pace.idle_after_s
        if not is_idle or self._silent_until or not self._shards or now_ms - self._idle_ms < idle_ms:
            return
        self._idle_ms = now_ms
        self._is_ahead = True
        unit = self._judge.idle(UnixMs(now_ms - idle_ms))
        if not (unit.alerts or unit.recommendations) or self._deliver(unit, {}):
            self._is_ahead = False
            # These outcomes follow from no record, so a replay would not know that they were sent.
            self._checkpoint.snapshot_soon()

    # ---- failures

    def _insist(self, doing: str, action: Callable[[], None]) -> None:
        """Try again, with growing pauses, whatever may pass; nothing is read meanwhile."""
        attempt = 0
        while True:
            try:
                action()
            except FencedError:
                raise
            except RecoverableError as error:
                attempt += 1
                self._back_off(doing, error, attempt)
            else:
                if attempt:
                    log.info("works again", doing=doing, attempts=attempt)
                self._health.message = "ok"
                return

    def _back_off(self, doing: str, error: RecoverableError, attempt: int) -> None:
        self._metrics.count("copycatch_failures_total", doing=doing)
        self._health.is_ready = False
        self._health.message = f"{doing}: {error}"
        pause_s = min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2 ** min(attempt - 1, 10))
        if self._is_stopping and self._clock.monotonic_s() + pause_s > self._stop_deadline_s:
            message = f"{doing} still fails at the end of the drain time: {error}"
            raise TransportError(message) from error
        log.warning("failed; trying again", doing=doing, reason=str(error), attempt=attempt, pause_s=pause_s)
        self._clock.sleep(pause_s)

    def _rebuild(self, error: FencedError) -> None:
        """The fate of the last unit is open, or a shard is not ours: begin again from what is committed."""
        log.warning("state is rebuilt from what is committed", reason=str(error))
        self._metrics.count("copycatch_rebuilds_total")
        self._insist_through_fences("reopen", self._sink.reopen)
        self._insist_through_fences("rejoin", self._source.rejoin)
        self._checkpoint.reset()
        self._aligned.drop(list(self._shards))
        self._shards.clear()
        self._silent_until.clear()
        self._is_ahead = False

    def _insist_through_fences(self, doing: str, action: Callable[[], None]) -> None:
        for attempt in range(1, 8):
            try:
                self._insist(doing, action)
            except FencedError as error:
                self._back_off(doing, RecoverableError(str(error)), attempt)
            else:
                return
        message = (
            f"{doing}: fenced again and again; does another process run with the same kafka.instance_id?"
        )
        raise TransportError(message)

    # ---- shards (called from within poll and close)

    def on_assigned(self, shards: list[Shard]) -> None:
        self._aligned.add(shards)
        committed: dict[Shard, Committed] = {}
        self._insist_through_fences(
            "read committed positions", lambda: committed.update(self._sink.committed(shards))
        )
        start_by_shard: dict[Shard, int] = {}

        def find_starts() -> None:
            for shard in shards:
                if shard not in committed:
                    start_by_shard[shard] = self._source.start_position(shard)

        self._insist("find the start", find_starts)
        for shard, done in committed.items():
            self.summary.findings.resumed[shard] = done.position
        for shard in shards:
            position, until = self._begin(shard, committed.get(shard), start_by_shard.get(shard, 0))
            self._source.seek(shard, position)
            if until > position:
                self._silent_until[shard] = until
            self._shards.add(shard)

    def _begin(self, shard: Shard, committed: Committed | None, start: int) -> tuple[int, int]:
        """State and place of a shard; a store that is away is waited for, not taken for an empty one."""
        begun: list[tuple[int, int]] = []
        self._insist("read snapshots", lambda: begun.append(self._checkpoint.begin(shard, committed, start)))
        return begun[0]

    def on_revoked(self, shards: list[Shard]) -> None:
        self._checkpoint.release(shards, is_ours=not self._is_ahead, busy=self._silent_until)
        self._drop(shards)
        log.info("shards released", shards=[str(shard) for shard in shards])

    def on_lost(self, shards: list[Shard]) -> None:
        self._checkpoint.release(shards, is_ours=False)
        self._drop(shards)
        log.warning("shards lost", shards=[str(shard) for shard in shards])

    def _drop(self, shards: list[Shard]) -> None:
        self._aligned.drop(shards)
        for shard in shards:
            self._shards.discard(shard)
            self._silent_until.pop(shard, None)

    # ---- the end

    def _close(self) -> None:
        self._health.is_ready = False
        self._health.message = "stopping"
        try:
            self._source.close()
            self._checkpoint.release(self._shards, is_ours=not self._is_ahead, busy=self._silent_until)
            self._checkpoint.close()
        finally:
            self._sink.close()
            self._tracing.close()
            if self._is_stopping:
                began_s = self._stop_deadline_s - self._pace.drain_timeout_s
                log.info("drained", took_s=round(self._clock.monotonic_s() - began_s, 3))
