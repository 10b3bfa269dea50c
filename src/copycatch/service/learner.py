"""The learner as a `Judge`: inputs of all workers in, versions out, by the same runner and checkpoint.

It also judges what only all accounts together show: campaigns, and models whose traffic is hardly judged.
Its shard is the one partition of the topic of inputs: whoever of the learner's group has it learns, the
others stand by. Versions, offsets and alerts on models are one transaction; a restart goes on from a
snapshot.

A tick is learned when every shard has told of it, or when some are two ticks ahead: who lags or has died
holds the others up for ten minutes of event time at most, is not waited for until it is back, and what it
tells later is learned later. What a shard told of a tick counts once, however often it is told. All this
follows from the order of the topic alone.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec
import structlog

from copycatch.decisions.judge import Verdicts
from copycatch.decisions.measure import measure
from copycatch.engine import Erased, erase_inputs, erase_learned
from copycatch.engine.inputs import LearningInputs, has_same_columns, inputs_from_plain, inputs_to_plain
from copycatch.engine.learned import SOURCES_MAX, TICK_MS, Learned
from copycatch.engine.learning import learn
from copycatch.engine.model_watch import check_models
from copycatch.engine.packed import learned_from_plain, learned_to_plain
from copycatch.engine.version_parts import version_parts
from copycatch.errors import StateError
from copycatch.intake.accounts import canonical_account
from copycatch.ports import Metrics, Shard
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.packing import pack, unpack
from copycatch.records.policy import Policy
from copycatch.service.findings import Learning
from copycatch.service.learning_messages import Joiner, digest_of, to_messages
from copycatch.service.remote_learning import MANIFEST, PART_PREFIX, Manifest, Told
from copycatch.units import UNIX_MS_MIN, UnixMs

log = structlog.get_logger(__name__)

FORMAT = 1
TICKS_AHEAD = 2
WAITING_MAX = 100_000  # inputs that wait for their tick
BOUND_METRICS = (
    "copycatch_link_groups_dropped_total",
    "copycatch_campaigns_dropped_total",
    "copycatch_campaign_members_dropped_total",
    "copycatch_campaign_joiners_skipped_total",
)


class LearnerJudge:
    """Learns what workers tell, and says what is normal."""

    def __init__(self, policy: Policy, key: bytes, metrics: Metrics) -> None:
        self._policy, self._key, self._metrics = policy, key, metrics
        self.reset()

    def reset(self) -> None:
        self._learned = Learned()
        self._shard: Shard | None = None  # once it is up to what is committed
        self._joiner = Joiner(self._key)
        self._waiting: list[LearningInputs] = []
        self._told_until: dict[str, int] = {}  # by source
        self._n_shards, self._n_absent = 0, 0  # of all workers; those that are not waited for
        self._published: dict[str, bytes] = {}  # digests by part
        self._bounds = (0,) * len(BOUND_METRICS)  # as far as they are counted

    def step(
        self,
        raw: RawBatch,
        now_ms: UnixMs,
        silent: Collection[Shard] = (),
        behind: Collection[Shard] = (),
    ) -> Outcomes:
        outcomes = Outcomes()
        for value in raw.values:
            try:
                self._take(value)
            except StateError as error:
                outcomes.counts.rejected += 1
                self._metrics.count("copycatch_learning_messages_total", outcome="refused")
                log.warning("a message of a worker is left out", reason=str(error))
            else:
                outcomes.counts.accepted += 1
                self._metrics.count("copycatch_learning_messages_total", outcome="taken")
        shard, version = Shard(raw.topic, raw.partition), self._learned.version
        for tick_ms in self._learn_due():
            told = list(check_models(self._learned, tick_ms, self._policy))
            verdicts = self._learned.correlator.judge(tick_ms, self._policy)
            if shard not in silent:
                outcomes.alerts += told
                _announce(outcomes, shard, verdicts)
        if self._learned.version > version:
            self._measure()
            if shard not in silent:
                outcomes.learning += self._publish()
        return outcomes

    def _measure(self) -> None:
        correlator, links = self._learned.correlator, self._learned.correlator.links
        self._metrics.set("copycatch_version", self._learned.version)
        self._metrics.set("copycatch_campaigns_open", len(links.campaigns))
        for name, labels, value in measure([correlator.decisions], self._policy):
            self._metrics.set(name, value, **labels)
        dropped = links.groups_dropped, links.campaigns_dropped, links.members_dropped
        now = *dropped, links.joiners_skipped
        for name, n, before in zip(BOUND_METRICS, now, self._bounds, strict=True):
            self._metrics.count(name, n - before)
        self._bounds = now

    def _take(self, value: bytes) -> None:
        whole = self._joiner.add(value)
        if whole is None:
            return
        try:
            told = msgspec.msgpack.decode(whole.content, type=Told)
            plain = unpack(told.inputs)
            if not has_same_columns(plain):
                message = "a worker of another version has other features; its inputs are left out"
                raise StateError(message)
            inputs = inputs_from_plain(plain)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, msgspec.DecodeError) as error:
            message = f"inputs of a worker lack or garble a part: {error!r}"
            raise StateError(message) from error
        if inputs.tick_ms <= self._told_until.get(inputs.source, UNIX_MS_MIN):
            return  # told again after a crash
        if len(self._waiting) >= WAITING_MAX:
            message = "too many inputs wait for their tick"
            raise StateError(message)
        self._waiting.append(inputs)
        self._n_shards = told.n_shards
        self._told_until.pop(inputs.source, None)
        self._told_until[inputs.source] = inputs.tick_ms
        if len(self._told_until) > SOURCES_MAX:
            del self._told_until[next(iter(self._told_until))]

    def _learn_due(self) -> Iterator[int]:
        """Learn every tick that is due, and say which it was."""
        for tick_ms in sorted({max(each.tick_ms, self._learned.tick_ms) for each in self._waiting}):
            if not self._is_due(tick_ms):
                break
            own = [each for each in self._waiting if each.tick_ms <= tick_ms]
            self._waiting = [each for each in self._waiting if each.tick_ms > tick_ms]
            learn(self._learned, own, tick_ms)
            self._n_absent = max(self._n_shards - self._n_told(tick_ms), 0)
            yield tick_ms

    def _is_due(self, tick_ms: int) -> bool:
        if tick_ms <= self._learned.tick_ms:
            return self._n_told(tick_ms) > 0
        is_ahead = max(self._told_until.values()) >= tick_ms + TICKS_AHEAD * TICK_MS
        return is_ahead or self._n_told(tick_ms) >= self._n_shards - self._n_absent

    def _n_told(self, tick_ms: int) -> int:
        return sum(ms >= tick_ms for ms in self._told_until.values())

    def _publish(self) -> list[tuple[bytes, bytes]]:
        """The parts that have changed, and last of all which parts make the version."""
        parts = {PART_PREFIX + name: content for name, content in version_parts(self._learned).items()}
        digests = {name: digest_of(content) for name, content in parts.items()}
        messages = [
            message
            for name, content in parts.items()
            if self._published.get(name) != digests[name]
            for message in to_messages(name, content, self._key)
        ]
        self._published = digests
        manifest = Manifest(self._learned.version, self._learned.tick_ms, digests)
        return messages + to_messages(MANIFEST, msgspec.msgpack.encode(manifest), self._key)

    def end(self, now_ms: UnixMs) -> Outcomes:
        return Outcomes()

    def idle(self, watermark_ms: UnixMs) -> Outcomes:
        outcomes = Outcomes()
        if self._shard is not None:
            _announce(outcomes, self._shard, self._learned.correlator.judge(watermark_ms, self._policy))
        return outcomes

    def swap_policy(self, policy: Policy) -> None:
        self._policy = policy

    def snapshot(self, shard: Shard, write: Callable[[bytes | memoryview], object]) -> None:
        write(
            pack(
                {
                    "format": FORMAT,
                    "learned": learned_to_plain(self._learned),
                    "waiting": [inputs_to_plain(each) for each in self._waiting],
                    "told_until": self._told_until,
                    "shards": [self._n_shards, self._n_absent],
                    "parts": self._joiner.to_plain(),
                }
            )
        )

    def restore(self, shard: Shard, data: memoryview) -> None:
        plain = unpack(bytes(data))
        try:
            if plain["format"] != FORMAT:
                message = f"the learner's snapshot has format {plain['format']}, this version reads {FORMAT}"
                raise StateError(message)
            learned, warnings = learned_from_plain(plain["learned"])
            waiting = [inputs_from_plain(each) for each in plain["waiting"] if has_same_columns(each)]
            told_until, parts = dict(plain["told_until"]), plain["parts"]
            n_shards, n_absent = plain["shards"]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            message = f"the learner's snapshot lacks or garbles a part: {error!r}"
            raise StateError(message) from error
        for warning in warnings:
            log.warning("a scorer warms up again", reason=warning)
        self.reset()
        self._learned, self._waiting, self._told_until = learned or Learned(), waiting, told_until
        self._n_shards, self._n_absent = n_shards, n_absent
        self._joiner.put_plain(parts)

    def journal_entries(self, outcomes: Outcomes) -> dict[Shard, bytes]:
        journal = self._learned.correlator.decisions.journal
        return {Shard.parse(name): journal.entry(keys) for name, keys in outcomes.announced.items()}

    def load_journal(self, shard: Shard, entries: Sequence[bytes]) -> None:
        """Versions follow from the topic alone, what is announced of campaigns also from the policy."""
        self._learned.correlator.decisions.journal.load(entries)

    def reconcile(self, shard: Shard) -> None:
        self._shard = shard
        self._learned.correlator.decisions.reconcile()

    def forget(self, shard: Shard) -> None:
        self.reset()

    def erase(self, tenant_id: str | None, account_id: str) -> Erased:
        """Of all workers' accounts; the next version that is published is without it."""
        found, owner = Erased(), (tenant_id, canonical_account(account_id))
        erase_inputs(self._waiting, owner)
        erase_learned(self._learned, owner, self._policy, found)
        return found

    @property
    def newest_event_ms(self) -> UnixMs | None:
        return UnixMs(self._learned.tick_ms) if self._learned.version else None

    def clock_ms(self, shard: Shard) -> UnixMs | None:
        """It has one shard alone."""
        return None

    def see(self, raw: RawBatch) -> None:
        """Its messages are its workers' own."""

    def times_ms(self, raw: RawBatch, now_ms: UnixMs) -> Sequence[int | None]:
        """It has one shard alone: there is nothing to be in line with."""
        return [None] * len(raw.values)

    def learning(self) -> Learning:
        return Learning(newest_ms=self.newest_event_ms)


def _announce(outcomes: Outcomes, shard: Shard, verdicts: Verdicts) -> None:
    """Hand on what was decided about campaigns, and name it for the journal."""
    if not (verdicts.alerts or verdicts.recommendations):
        return
    outcomes.alerts += verdicts.alerts
    outcomes.recommendations += verdicts.recommendations
    announced = outcomes.announced.setdefault(str(shard), set())
    announced.update((a.tenant_id, a.entity.id, a.model_id) for a in verdicts.alerts)
    announced.update((r.tenant_id, r.value, r.model_id) for r in verdicts.recommendations)
