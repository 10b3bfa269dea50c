"""A worker's side of a learner in another process: what it tells, and the versions that it takes.

At a tick a worker tells what its shards have put aside, and holds a moment for the version of that tick,
which comes when all shards have told: then the records after it are judged as one worker would judge them.
Where it does not come in time (the learner is away, a shard lags), judging goes on by the version at hand;
a metric and a warning say how far that is behind. A worker that lags takes the version of its own event time.

A tick is told outside of the transaction of the outcomes, and has to be: the records after the tick wait for
its version, in the same batch, and nobody could read what is not committed yet. It has a name, which is shard
and tick: told again after a crash, the learner knows it and leaves it out. So each is learned once; and what
a batch taught that was never committed follows from the same records, which are judged again
(`tests/unit/service/test_workers_killed.py`). Only who owns several shards, and dies before their snapshots,
may lose what they put aside since: replayed one after the other, they come to no tick together any more.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from copycatch.engine import EngineState, take, tell_all
from copycatch.engine.inputs import LearningInputs, inputs_to_plain
from copycatch.engine.learned import TICK_MS, Learned
from copycatch.engine.version_parts import VersionReader
from copycatch.errors import RecoverableError, StateError
from copycatch.ports import Clock, LearnerLink, Metrics
from copycatch.records.packing import pack
from copycatch.service.failpoints import Hook, no_hook
from copycatch.service.learning_messages import Joiner, Whole, to_messages
from copycatch.units import MS_PER_S, UNIX_MS_MIN

log = structlog.get_logger(__name__)

MANIFEST: Final = "manifest"
PART_PREFIX: Final = "part/"
VERSIONS_MAX: Final = 72  # six hours of them, for workers that lag
VERSIONS_BYTES_MAX: Final = 256 << 20
UNSENT_MAX: Final = 1_024  # messages that no broker has taken yet
POLL_S: Final = 0.05
S_PER_HOUR: Final = 3_600


class Manifest(msgspec.Struct):
    """Which parts make a version: names and digests."""

    version: int
    tick_ms: int
    digests: dict[str, bytes]


class Told(msgspec.Struct):
    """What a message of a worker holds: of one shard and one tick."""

    n_shards: int  # of all workers together
    inputs: bytes


@dataclass(frozen=True, slots=True)
class _Version:
    manifest: Manifest
    parts: dict[str, Whole]


class Versions:
    """The last versions that came whole, oldest first."""

    def __init__(self, key: bytes, metrics: Metrics) -> None:
        self._metrics = metrics
        self._joiner, self._reader = Joiner(key), VersionReader()
        self._parts: dict[str, Whole] = {}
        self._kept: deque[_Version] = deque()
        self.restarts = 0  # learners that began again

    @property
    def newest_ms(self) -> int:
        return self._kept[-1].manifest.tick_ms if self._kept else UNIX_MS_MIN

    def add(self, message: bytes) -> None:
        """Take a part or a manifest; what is damaged or foreign is counted and left out."""
        try:
            whole = self._joiner.add(message)
            if whole is None:
                return
            if whole.name == MANIFEST:
                self._keep(msgspec.msgpack.decode(whole.content, type=Manifest))
            else:
                self._parts[whole.name] = whole
        except (StateError, msgspec.DecodeError) as error:
            self._metrics.count("copycatch_learning_messages_total", outcome="refused")
            log.warning("a message of the learner is left out", reason=str(error))
        else:
            self._metrics.count("copycatch_learning_messages_total", outcome="taken")

    def _keep(self, manifest: Manifest) -> None:
        digests = manifest.digests
        known = {name: whole for name, whole in self._parts.items() if digests.get(name) == whole.digest}
        if known.keys() != digests.keys():  # compaction has left no older one whole
            log.info("a version is not whole and is left out", version=manifest.version)
            return
        self._parts = dict(known)
        if self._kept and manifest.version <= self._kept[-1].manifest.version:
            log.warning("a learner has begun again", version=manifest.version)
            self._kept.clear()
            self.restarts += 1
        self._kept.append(_Version(manifest, known))
        while len(self._kept) > VERSIONS_MAX or (
            len(self._kept) > 1 and self._n_bytes() > VERSIONS_BYTES_MAX
        ):
            self._kept.popleft()

    def _n_bytes(self) -> int:
        return sum(
            {
                whole.digest: len(whole.content) for each in self._kept for whole in each.parts.values()
            }.values()
        )

    def of(self, time_ms: int, version: int) -> Learned | None:
        """The newest version that is not of later than `time_ms`, else the oldest there is.

        None where that is `version`, or where there is none.
        """
        if not self._kept:
            return None
        found = self._kept[0]
        for each in self._kept:
            if each.manifest.tick_ms <= time_ms:
                found = each
        if found.manifest.version == version:
            return None
        parts = {name.removeprefix(PART_PREFIX): whole.content for name, whole in found.parts.items()}
        try:
            return self._reader.read(parts)
        except StateError as error:
            self._metrics.count("copycatch_learning_messages_total", outcome="refused")
            log.exception("a version cannot be taken; the one before stands", reason=str(error))
            return None


class RemoteLearning:
    """Takes versions into an engine, and tells what it puts aside.

    Parameters
    ----------
    key : bytes
        Signs what is told; that of the learner too.
    hold_s : float
        So long a tick waits for its version.
    warn_after_s : float
        Event time that the newest version may be behind.
    """

    def __init__(
        self,
        link: LearnerLink,
        key: bytes,
        metrics: Metrics,
        clock: Clock,
        *,
        hold_s: float = 1.0,
        warn_after_s: float = 3_600.0,
        hook: Hook = no_hook,
    ) -> None:
        self._link, self._key, self._metrics, self._clock = link, key, metrics, clock
        self._hold_s, self._warn_after_s, self._hook = hold_s, warn_after_s, hook
        self._versions, self._restarts = Versions(key, metrics), 0
        self._unsent: list[tuple[bytes, bytes]] = []
        self.warning, self._since_ms = "", 0  # what to say where the version is old; empty where it is not
        self._silent: Collection[str] = ()
        self._state: EngineState | None = None
        self.mixed: set[str] = set()  # silent shards that put aside what was told before

    def begin(self, state: EngineState, first_ms: int, silent: Collection[str]) -> None:
        """Before a batch: take the version of the engine's time, as far as it has come by now.

        `first_ms` is event time of its first record, for an engine that has seen none; `silent` shards are
        being replayed.
        """
        self._state, self._silent = state, silent
        self._read()
        at_ms = state.clock_ms if state.clock_ms > UNIX_MS_MIN else first_ms
        self._take(state, at_ms)

    def prepare(self, state: EngineState, *, must_read: bool) -> None:
        """Before a shard is restored: rows go by the space that they were measured in.

        Raises
        ------
        RecoverableError
            If the topic cannot be read, and `must_read`.
        """
        self._read(must_read=must_read)
        if not state.learned.version:
            self._take(state, self._versions.newest_ms)

    def _take(self, state: EngineState, at_ms: int) -> None:
        found = self._versions.of(at_ms, state.learned.version)
        if found is not None:
            take(state, found)
            self._metrics.set("copycatch_version", found.version)

    def _read(self, timeout_s: float = 0.0, *, must_read: bool = False) -> None:
        try:
            messages = self._link.read(timeout_s)
        except RecoverableError as error:
            if must_read:
                raise
            log.warning("versions cannot be read; judging goes on by the last one", reason=str(error))
            self._clock.sleep(timeout_s)
            return
        for message in messages:
            self._versions.add(message)
        if self._versions.restarts > self._restarts and self._state is not None:
            tell_all(self._state)
            self._restarts = self._versions.restarts

    def at_tick(self, told: list[LearningInputs], now_ms: int) -> Learned | None:
        """Tell what shards have put aside up to the tick at `now_ms`; gives the version of the tick."""
        assert self._state is not None, "begin was called before the batch"
        self._send([each for each in told if self._is_new(each, now_ms)])
        until_s = self._clock.monotonic_s() + self._hold_s
        self._read()
        while self._versions.newest_ms < now_ms and self._clock.monotonic_s() < until_s:
            self._read(POLL_S)
        if self._versions.newest_ms < now_ms:
            self._metrics.count("copycatch_ticks_without_version_total")
        found = self._versions.of(now_ms, self._state.learned.version)
        self._hook("taking a version")
        if found is not None:
            self._metrics.set("copycatch_version", found.version)
        return found

    def _is_new(self, inputs: LearningInputs, now_ms: int) -> bool:
        """Not what is replayed behind the clock of others: that was told before, by other names."""
        if inputs.source not in self._silent:
            return True
        assert self._state is not None, "begin was called before the batch"
        if self._state.shard(inputs.source).latest_ms >= now_ms - TICK_MS:
            return True
        self.mixed.add(inputs.source)
        return False

    def _send(self, told: list[LearningInputs]) -> None:
        self._unsent += [
            message
            for inputs in told
            for message in to_messages(
                f"{inputs.source}@{inputs.tick_ms}",
                msgspec.msgpack.encode(Told(self._link.n_shards, pack(inputs_to_plain(inputs)))),
                self._key,
            )
        ]
        n_lost = max(len(self._unsent) - UNSENT_MAX, 0)
        if n_lost:
            del self._unsent[:n_lost]
            self._metrics.count("copycatch_learning_messages_total", n_lost, outcome="lost")
            log.error("inputs that no broker took were given up", messages=n_lost)
        self._hook("before telling")
        try:
            self._link.tell(self._unsent)
        except RecoverableError as error:
            log.warning("inputs are not sent yet; they go with the next tick", reason=str(error))
            return
        self._metrics.count("copycatch_learning_messages_total", len(self._unsent), outcome="told")
        self._unsent = []
        self._hook("after telling")

    def say_how_far(self, newest_event_ms: int | None) -> None:
        """Set metric and warning, and log it once, where the version has fallen behind, or none has come."""
        if newest_event_ms is None or self._state is None:
            return
        self._since_ms = self._since_ms or newest_event_ms  # where no version has come yet
        tick_ms = self._state.learned.tick_ms if self._state.learned.version else self._since_ms
        lag_s = max(newest_event_ms - tick_ms, 0) / MS_PER_S
        self._metrics.set("copycatch_version_lag_seconds", lag_s)
        before, self.warning = self.warning, ""
        if lag_s > self._warn_after_s:
            self.warning = (
                f"judging goes on by what was normal {lag_s / S_PER_HOUR:.1f} h ago: is a learner running?"
            )
        if self.warning and not before:
            log.warning(
                "the newest version of what is normal is old: is a learner running?", behind_s=round(lag_s)
            )

    def close(self) -> None:
        self._link.close()
