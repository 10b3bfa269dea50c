"""The state of all decisions of one shard, and its bytes."""

from collections.abc import Sequence

import msgspec
import numpy as np

from copycatch import __version__
from copycatch.decisions.budget import BudgetGuard, FloodCap
from copycatch.decisions.case import Case, CaseTable, Membership
from copycatch.decisions.episodes import JudgingContext, Tally, release, release_all, settle
from copycatch.decisions.journal import AnnouncementJournal
from copycatch.decisions.plan import EntityKey, Plan, exemption_at, make_plan
from copycatch.decisions.recommend import CAMPAIGN_RULE
from copycatch.errors import StateError
from copycatch.records.columns import FeatureSpec, IntArray
from copycatch.records.policy import Policy

STATE_FORMAT = 1
# At 4 KB a case with everything in it this is 80 MB at worst; at the default budget 100,000 accounts open
# about 700 a week.
CASES_MAX = 20_000


class _Saved(msgspec.Struct):
    format: int
    clock_ms: int
    revision_floor: int
    cases: list[Case]
    cap: FloodCap
    guard: BudgetGuard
    tally: Tally
    last_days: bytes  # int32, little-endian, by row
    epoch_floor: int = 0
    memberships: list[tuple[EntityKey, Membership]] = []


class DecisionState:
    """Open episodes, active recommendations and tallies of one shard.

    Examples
    --------
    >>> state = DecisionState()
    >>> DecisionState.restore(state.snapshot()).next_deadline_ms is None
    True
    """

    def __init__(self, cases_max: int = CASES_MAX) -> None:
        self.table = CaseTable(cases_max)
        self.journal = AnnouncementJournal(self.table)
        self.cap = FloodCap()
        self.guard = BudgetGuard()
        self.tally = Tally()
        self.last_days: IntArray = np.full(0, -1, dtype=np.int64)
        self.clock_ms = 0
        self._plan: Plan | None = None
        self._catalog: Sequence[FeatureSpec] = ()

    @property
    def next_deadline_ms(self) -> int | None:
        """When `advance` will have something to do; None when nothing is open."""
        return self.table.next_deadline_ms

    def is_open(self, tenant_id: str | None, account_id: str, model_id: str) -> bool:
        """Whether the account is under suspicion now: its window state should not be evicted."""
        case = self.table.get((tenant_id, account_id, model_id))
        return case is not None and bool(case.open_episodes)

    def sit(self, policy: Policy, catalog: Sequence[FeatureSpec] | None) -> JudgingContext:
        """Begin one call of `judge` or `advance`; a changed policy takes effect on all that is open."""
        if catalog is None:
            catalog = self._catalog
        is_swapped = self._plan is None or self._plan.policy is not policy
        if is_swapped or self._catalog is not catalog:
            self._plan = make_plan(policy, catalog)
            self._catalog = catalog
        assert self._plan is not None
        context = JudgingContext(self._plan, self.table, self.cap, self.guard, self.tally, __version__)
        if is_swapped:
            self._apply_policy(context)
        return context

    def snapshot(self) -> bytes:
        """Plain bytes of everything that the next outcome depends on."""
        saved = _Saved(
            format=STATE_FORMAT,
            clock_ms=self.clock_ms,
            revision_floor=self.table.revision_floor,
            cases=list(self.table.case_by_key.values()),
            cap=self.cap,
            guard=self.guard,
            tally=self.tally,
            last_days=self.last_days.astype("<i4").tobytes(),
            epoch_floor=self.table.epoch_floor,
            memberships=list(self.table.memberships.items()),
        )
        return msgspec.msgpack.encode(saved)

    @classmethod
    def restore(cls, snapshot_bytes: bytes, cases_max: int = CASES_MAX) -> "DecisionState":
        """The state that `snapshot` wrote.

        Raises
        ------
        StateError
            If the bytes are of another format or damaged.
        """
        try:
            saved = msgspec.msgpack.decode(snapshot_bytes, type=_Saved)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"decision state cannot be read ({error}); start from an older snapshot or without one"
            raise StateError(message) from error
        if saved.format != STATE_FORMAT:
            message = f"decision state has format {saved.format}, this version reads {STATE_FORMAT}"
            raise StateError(message)
        state = cls(max(cases_max, len(saved.cases)))
        state.clock_ms, state.cap, state.guard, state.tally = (
            saved.clock_ms,
            saved.cap,
            saved.guard,
            saved.tally,
        )
        state.table.revision_floor = saved.revision_floor
        state.table.epoch_floor = saved.epoch_floor
        state.table.case_by_key = {case.key: case for case in saved.cases}
        state.table.requeue()
        state.table.memberships = dict(saved.memberships)
        state.last_days = np.frombuffer(saved.last_days, dtype="<i4").astype(np.int64)
        return state

    def reconcile(self) -> int:
        """The replay is over: what was announced stands; gives how many cases it had come to otherwise."""
        if self.journal.is_loaded:
            self._plan = None  # what the policy changes about them is announced from here on
        return self.journal.reconcile()

    def _apply_policy(self, context: JudgingContext) -> None:
        """Release what the new policy exempts or no longer has a rule for."""
        plan, time_ms = context.plan, self.clock_ms
        rules = {limit.name for limit in plan.policy.limits}
        if plan.policy.extraction is not None:
            rules |= {plan.policy.extraction.name, CAMPAIGN_RULE}
        for case in list(self.table.case_by_key.values()):
            was_watched = case.is_watched
            settings = plan.settings_for(case.key)
            case.timers = {rule: timer for rule, timer in case.timers.items() if rule in rules}
            if exemption_at(settings.allow, time_ms, case.tail_prob) is not None:
                release_all(context, case, time_ms, "the account is on the allow-list")
            else:
                gone = [e for e in case.open_episodes if e.rule not in rules]
                for episode in gone:
                    release(context, case, episode, time_ms, "the policy no longer has this rule")
                if gone:
                    settle(context, case, settings, time_ms)
            self.table.watch(case, was_watched)
