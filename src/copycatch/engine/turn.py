"""One turn of the engine: verdicts, deadlines and eviction, with what all of them read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from copycatch.decisions.judge import Verdicts, judge
from copycatch.decisions.judge import advance as advance_decisions
from copycatch.engine.campaigns import follow_campaigns, search_campaigns
from copycatch.engine.gathering import tell_of_forgotten
from copycatch.engine.inputs import LearningInputs
from copycatch.engine.learned import Learned
from copycatch.engine.model_watch import check_models
from copycatch.engine.state import EngineState
from copycatch.features.catalog import SPECS
from copycatch.population.account_table import FLAG_MS
from copycatch.records.columns import BoolArray, Evaluations, Outcomes, Scores, pick
from copycatch.records.policy import Policy
from copycatch.windows.slots import rows_to_evict

AtTick = Callable[[list[LearningInputs], int], Learned | None]


@dataclass(slots=True)
class Turn:
    """One call of `step` or `advance`: the state it changes and the outcomes it adds to.

    Of shards in `silent` nothing is announced.
    """

    state: EngineState
    policy: Policy
    silent: frozenset[str] = frozenset()
    outcomes: Outcomes = field(default_factory=Outcomes)
    at_tick: AtTick | None = None

    def judge(self, evaluations: Evaluations, scores: Scores, over: EngineState | None = None) -> BoolArray:
        """Verdicts, account by account's home shard; who is over a threshold is flagged, bool (n,).

        `over` has the rows of the evaluations where they are of accounts over several models.
        """
        state = self.state if over is None else over
        is_over = np.zeros(len(evaluations), dtype=np.bool_)
        homes = np.array([state.slots.shards[row] for row in evaluations.rows.tolist()])
        names = list(state.shard_numbers)
        for home in np.unique(homes).tolist():
            members = np.flatnonzero(homes == home)
            is_all = len(members) == len(evaluations)
            own, own_scores = (
                (evaluations, scores) if is_all else (pick(evaluations, members), pick(scores, members))
            )
            verdicts = judge(
                own,
                own_scores,
                self.policy,
                SPECS,
                state.decision(names[home]),
                is_counted=over is None,
            )
            is_over[members] = verdicts.is_over
            self._announce(names[home], verdicts)
        flagged = np.flatnonzero(is_over)
        state.rows.flagged_ms[evaluations.rows[flagged]] = evaluations.event_times_ms[flagged]
        return is_over

    def judge_campaigns(self, now_ms: int) -> None:
        """Search for campaigns where a half hour of event time is over, and judge what is found."""
        judge_them = follow_campaigns if self.state.is_remote else search_campaigns
        for shard, verdicts in judge_them(self.state, now_ms, self.policy).items():
            self._announce(shard, verdicts)

    def announce_models(self, now_ms: int, shard: str) -> None:
        """Alerts about models, unless the shard is replayed: they were announced then."""
        alerts = list(check_models(self.state.learned, now_ms, self.policy))
        if shard not in self.silent:
            self.outcomes.alerts += alerts

    def advance_decisions(self, now_ms: int, clock_by_shard: Mapping[str, int]) -> None:
        """Work off deadlines; shards of `clock_by_shard` have not come to `now_ms` yet."""
        for name, decisions in self.state.decisions.items():
            at_ms = min(now_ms, clock_by_shard.get(name, now_ms))
            self._announce(name, advance_decisions(decisions, at_ms, self.policy))

    def evict(self, now_ms: int) -> None:
        """Make room for new accounts."""
        for state in (self.state, self.state.over):
            if state is not None:
                _evict(state, now_ms)

    def _announce(self, shard: str, verdicts: Verdicts) -> None:
        """Hand on what was decided about a shard's accounts, unless it counts as announced already."""
        if shard in self.silent or not (verdicts.alerts or verdicts.recommendations):
            return
        self.outcomes.alerts += verdicts.alerts
        self.outcomes.recommendations += verdicts.recommendations
        announced = self.outcomes.announced.setdefault(shard, set())
        announced.update((a.tenant_id, a.entity.id, a.model_id) for a in verdicts.alerts)
        announced.update((r.tenant_id, r.value, r.model_id) for r in verdicts.recommendations)


def _evict(state: EngineState, now_ms: int) -> None:
    n = state.slots.n_rows
    is_suspect = state.rows.flagged_ms[:n] > now_ms - FLAG_MS
    rows = rows_to_evict(state.slots, state.windows.last_ms[:n], state.windows.queries[:n], is_suspect)
    if len(rows):
        if state.over is not None:
            tell_of_forgotten(state, rows.tolist())
        state.slots.release(rows.tolist())
        state.slots.evicted += len(rows)
        state.windows.clear(rows)
        state.rows.clear(rows)
        if state.over is not None:
            state.links.clear(rows)
        state.usage.clear(rows)
