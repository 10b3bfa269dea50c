"""From undecoded messages to outcomes: the intake and the engine, held together."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from typing import Protocol

import numpy as np
import structlog

from copycatch import engine
from copycatch.decisions.measure import measure
from copycatch.errors import StateError
from copycatch.intake.accounts import canonical_account
from copycatch.intake.read import Intake, Read
from copycatch.population.model import WARM_UP_MS
from copycatch.ports import Metrics, Shard, Tracing
from copycatch.records.columns import Outcomes, RawBatch, RecordBatch
from copycatch.records.policy import Policy
from copycatch.service.drills import Drills
from copycatch.service.findings import Learning
from copycatch.service.identities import Identities
from copycatch.service.remote_learning import RemoteLearning
from copycatch.service.tracing import Untraced
from copycatch.units import UNIX_MS_MIN, UnixMs

log = structlog.get_logger(__name__)
_LENGTH_BYTES = 8
_BOUND_METRICS = (
    "copycatch_records_beyond_accounts_total",
    "copycatch_accounts_evicted_total",
    "copycatch_records_beyond_models_total",
    "copycatch_populations_evicted_total",
    "copycatch_populations_restarted_total",
    "copycatch_vectors_left_out_total",
    "copycatch_link_groups_dropped_total",
    "copycatch_campaigns_dropped_total",
    "copycatch_campaign_members_dropped_total",
    "copycatch_campaign_joiners_skipped_total",
)
NO_BOUNDS = (0,) * len(_BOUND_METRICS)


class Judge(Protocol):
    """What the runner and the checkpoint need of the engine's side."""

    def step(
        self,
        raw: RawBatch,
        now_ms: UnixMs,
        silent: Collection[Shard] = (),
        behind: Collection[Shard] = (),
    ) -> Outcomes:
        """Judge a batch.

        Nothing is announced of `silent` shards: what is committed of them is replayed. Those `behind` have
        records to come, so that they go by their own clock.
        """
        ...

    def end(self, now_ms: UnixMs) -> Outcomes:
        """What is left to say when the source has ended."""
        ...

    def idle(self, watermark_ms: UnixMs) -> Outcomes:
        """No record has come for long: close what is due by `watermark_ms`."""
        ...

    def swap_policy(self, policy: Policy) -> None: ...

    def snapshot(self, shard: Shard, write: Callable[[bytes | memoryview], object]) -> None: ...

    def restore(self, shard: Shard, data: memoryview) -> None: ...

    def journal_entries(self, outcomes: Outcomes) -> dict[Shard, bytes]:
        """What these outcomes announce, by shard, for `load_journal`."""
        ...

    def load_journal(self, shard: Shard, entries: Sequence[bytes]) -> None:
        """A replay begins; `entries` are of what was announced since the snapshot, oldest first."""
        ...

    def reconcile(self, shard: Shard) -> None:
        """The replay is over: what was announced stands, whatever the replay came to."""
        ...

    def forget(self, shard: Shard) -> None: ...

    def erase(self, tenant_id: str | None, account_id: str) -> engine.Erased:
        """Take an account out of all that is kept, on request; what was in force is to be revoked."""
        ...

    def reset(self) -> None:
        """As if nothing had ever been seen."""
        ...

    @property
    def newest_event_ms(self) -> UnixMs | None: ...

    def clock_ms(self, shard: Shard) -> UnixMs | None:
        """The latest event time that was judged of a shard; None before the first."""
        ...

    def see(self, raw: RawBatch) -> None:
        """Messages have come and will be read, maybe in parts: tells in which format they are."""
        ...

    def times_ms(self, raw: RawBatch, now_ms: UnixMs) -> Sequence[int | None]:
        """Event times of messages, read without any effect; None where they tell none that can be."""
        ...

    def learning(self) -> Learning:
        """What it can go by so far."""
        ...


class EngineJudge:
    """The real one."""

    def __init__(
        self,
        policy: Policy,
        accounts_max: int,
        intake: Intake,
        metrics: Metrics,
        remote: RemoteLearning | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._policy = policy
        self._identities = Identities()
        self._tracing = tracing or Untraced()
        self._remote = remote
        self._accounts_max = accounts_max
        self._intake = intake
        self._metrics = metrics
        self._newest_event_ms: UnixMs | None = None
        self._bounds = NO_BOUNDS  # as far as they are counted
        self._fields: set[str] = set()
        self._drills = Drills()
        self._state = self._new_state()

    def _new_state(self) -> engine.EngineState:
        state = engine.new_state(self._policy, self._accounts_max, link_key=self._intake.link_key)
        state.is_remote = self._remote is not None
        return state

    @property
    def newest_event_ms(self) -> UnixMs | None:
        return self._newest_event_ms

    def clock_ms(self, shard: Shard) -> UnixMs | None:
        known = self._state.shards.get(str(shard))
        return UnixMs(known.latest_ms) if known is not None and known.latest_ms > UNIX_MS_MIN else None

    def see(self, raw: RawBatch) -> None:
        self._intake.see(raw)

    def times_ms(self, raw: RawBatch, now_ms: UnixMs) -> Sequence[int | None]:
        latest_ms = now_ms + engine.FUTURE_MS_MAX
        return [
            None if each is None or each > latest_ms else each for each in self._intake.event_times_ms(raw)
        ]

    def step(
        self,
        raw: RawBatch,
        now_ms: UnixMs,
        silent: Collection[Shard] = (),
        behind: Collection[Shard] = (),
    ) -> Outcomes:
        outcomes, shard = Outcomes(), Shard(raw.topic, raw.partition)
        pieces = self._intake.read_in_pieces(raw, now_ms)
        with self._tracing.part("decode", str(shard)):
            first = next(pieces)
        with self._tracing.part("judge", str(shard)):  # decodes further pieces, too
            for read in chain((first,), pieces):
                outcomes.add(self._judge(read, now_ms, silent, behind))
                if read.drills:
                    outcomes.add(self._drills.take(read.drills, self._policy, is_silent=shard in silent))
        return outcomes

    def end(self, now_ms: UnixMs) -> Outcomes:
        """The source has ended: requests and responses that still wait for each other are given up."""
        return self._judge_all(self._intake.end(), now_ms)

    def _judge_all(self, given_up: Iterable[Read], now_ms: UnixMs) -> Outcomes:
        outcomes = Outcomes()
        for read in given_up:
            outcomes.add(self._judge(read, now_ms))
        return outcomes

    def _judge(
        self, read: Read, now_ms: UnixMs, silent: Collection[Shard] = (), behind: Collection[Shard] = ()
    ) -> Outcomes:
        for note, n in read.notes.items():
            self._metrics.count("copycatch_notes_total", n, note=note)
        batch = read.batch
        if len(batch):
            newest_ms = int(np.max(batch.event_times_ms))
            self._newest_event_ms = UnixMs(max(newest_ms, self._newest_event_ms or newest_ms))
            self._fields |= _fields_of(batch)
            for name, n in self._identities.most(batch).items():
                self._metrics.set("copycatch_identities_of_one_account", n, field=name)
        silenced, lagging = frozenset(map(str, silent)), frozenset(map(str, behind))
        if self._remote is not None:
            first_ms = int(batch.event_times_ms[0]) if len(batch) else self._state.clock_ms
            self._remote.begin(self._state, first_ms, silenced)
        at_tick = None if self._remote is None else self._remote.at_tick
        outcomes = engine.step(self._state, batch, now_ms, self._policy, silenced, lagging, at_tick)
        if self._remote is not None:
            self._remote.say_how_far(self._newest_event_ms)
        outcomes.notes += Counter[str](read.notes)
        outcomes.rejects[:0] = read.rejects
        outcomes.counts.rejected += len(read.rejects)
        for name, labels, value in measure(self._state.decisions.values(), self._policy):
            self._metrics.set(name, value, **labels)
        self._count_bounds()
        return outcomes

    def _count_bounds(self) -> None:
        """What the bounds on accounts and models have cost since the last batch."""
        slots = self._state.slots
        state = self._state
        now = (
            slots.refused, slots.evicted, state.records_beyond_models, state.learned.evicted,
            state.learned.restarted, state.vectors_left_out, state.links.groups_dropped,
            state.links.campaigns_dropped, state.links.members_dropped,
            state.links.joiners_skipped,
        )  # fmt: skip
        self._metrics.set("copycatch_campaigns_open", len(state.links.campaigns))
        n_unjudged = sum(bool(watch.why) for watch in state.learned.watches.values())
        self._metrics.set("copycatch_models_not_judged", n_unjudged)
        for name, n, before in zip(_BOUND_METRICS, now, self._bounds, strict=True):
            self._metrics.count(name, n - before)
        self._bounds = now

    def idle(self, watermark_ms: UnixMs) -> Outcomes:
        # On a quiet topic no batch would flush what waits.
        outcomes = self._judge_all(self._intake.give_up(watermark_ms), watermark_ms)
        outcomes.add(engine.advance(self._state, watermark_ms, self._policy))
        return outcomes

    def learning(self) -> Learning:
        until_ms = {
            model_id: UnixMs(born_ms + WARM_UP_MS)
            for model_id, born_ms in self._state.born_ms_by_model.items()
        }
        tick_ms = self._state.learned.tick_ms
        learned_ms = UnixMs(tick_ms) if self._state.populations and tick_ms > UNIX_MS_MIN else None
        return Learning(
            frozenset(self._fields),
            until_ms,
            self._newest_event_ms,
            learned_ms,
            self._state.unmeasured_models,
            "" if self._remote is None else self._remote.warning,
        )

    def swap_policy(self, policy: Policy) -> None:
        self._policy = policy

    def shown(self, keys: Sequence[tuple[str | None, str, str]], suspects: Collection[str]) -> engine.Shown:
        """What is held of some accounts of one model, for pages; only from the thread that judges."""
        return engine.shown_of(self._state, keys, suspects)

    def snapshot(self, shard: Shard, write: Callable[[bytes | memoryview], object]) -> None:
        """What waits in the topic's decoder, then the engine's part."""
        waiting = self._intake.snapshot(shard.topic)
        write(len(waiting).to_bytes(_LENGTH_BYTES, "little") + waiting)
        engine.snapshot(self._state, str(shard), write)

    def restore(self, shard: Shard, data: memoryview) -> None:
        if self._remote is not None:
            self._remote.prepare(self._state, must_read=True)
        n = int.from_bytes(data[:_LENGTH_BYTES], "little")
        if n > len(data) - _LENGTH_BYTES:
            msg = f"snapshot of {shard}: the part of the decoder is cut short"
            raise StateError(msg)
        self._intake.restore(shard.topic, bytes(data[_LENGTH_BYTES : _LENGTH_BYTES + n]))
        for warning in engine.restore(self._state, str(shard), data[_LENGTH_BYTES + n :]):
            log.warning("a scorer warms up again", shard=str(shard), reason=warning)

    def journal_entries(self, outcomes: Outcomes) -> dict[Shard, bytes]:
        entries = engine.journal_entries(self._state, outcomes)
        return {Shard.parse(name): entry for name, entry in entries.items()}

    def load_journal(self, shard: Shard, entries: Sequence[bytes]) -> None:
        engine.load_journal(self._state, str(shard), entries)

    def reconcile(self, shard: Shard) -> None:
        if self._remote is not None and str(shard) in self._remote.mixed:
            # Put aside by a replay behind the clock of other shards: most of it was told before.
            self._remote.mixed.discard(str(shard))
            self._state.inputs.pop(str(shard), None)
        n_changed = engine.reconcile(self._state, str(shard))
        if n_changed:
            log.info(
                "the replay had judged otherwise; what was announced stands",
                shard=str(shard),
                cases=n_changed,
            )

    def forget(self, shard: Shard) -> None:
        engine.forget(self._state, str(shard))

    def erase(self, tenant_id: str | None, account_id: str) -> engine.Erased:
        self._intake.forget_names()
        owner = tenant_id, canonical_account(account_id)
        return engine.erase(self._state, owner, self._policy, self._intake.link_key)

    def reset(self) -> None:
        learned, self._state = self._state.learned, self._new_state()
        if self._remote is not None:
            engine.take(self._state, learned)
        self._intake.reset()
        self._drills = Drills()
        self._identities = Identities()
        self._bounds = NO_BOUNDS
        self._newest_event_ms = None


def _fields_of(batch: RecordBatch) -> set[str]:
    """Canonical fields that scored features need, as far as a record of the batch has them."""
    has_input = bool(batch.inputs) or any(text is not None for text in batch.texts)
    given = {
        "input": has_input,
        "embedding": bool(batch.embeddings) or has_input,
        "predicted_label": bool((batch.label_codes >= 0).any()),
        "probabilities": bool(batch.probabilities) or not np.isnan(batch.margins).all(),
        "params": not np.isnan(batch.has_logprobs).all(),
    }
    return {name for name, is_given in given.items() if is_given}
