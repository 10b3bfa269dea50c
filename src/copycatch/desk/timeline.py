"""One account through a replay: each evaluation beside those of other accounts, alerted on or not."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from copycatch.decisions.plan import EntitySettings, make_plan
from copycatch.features.catalog import SPECS
from copycatch.records.columns import (
    BoolArray,
    Evaluations,
    FeatureSpec,
    FloatArray,
    IntArray,
    Outcomes,
    Scores,
)
from copycatch.records.policy import Policy
from copycatch.records.wire import Alert

OTHERS_KEPT_MAX = 20_000  # evaluations of other accounts a model: 15 MB at some 90 features
OTHERS_MIN = 20  # fewer say nothing about what is usual
QUERIES_FACTOR = 1.5  # others count at so many times fewer or more queries
LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluation of the account.

    `values` and `shares` are float64 (n_features,): the features as judged, NaN where missing, and each one's
    part of the score. `tail_prob` is NaN where there was no score.
    """

    time_ms: int
    tenant_id: str | None
    model_id: str
    queries: int
    tail_prob: float
    values: FloatArray
    shares: FloatArray

    @classmethod
    def at(cls, evaluations: Evaluations, scores: Scores, index: int) -> "Point":
        """One of these evaluations."""
        return cls(
            time_ms=int(evaluations.event_times_ms[index]),
            tenant_id=evaluations.tenant_ids[index],
            model_id=evaluations.model_ids[index],
            queries=int(evaluations.queries[index]),
            tail_prob=float(scores.tail_probs[index]),
            values=scores.values[index].copy(),
            shares=scores.shares[index].copy(),
        )

    def strongest(self, n: int) -> list[int]:
        """Columns of the features that carry most of the score, at most n."""
        order = np.argsort(-np.nan_to_num(self.shares, nan=0.0), kind="stable")[:n]
        return [
            int(column) for column in order if self.shares[column] > 0 and np.isfinite(self.values[column])
        ]


@dataclass(slots=True)
class OtherAccounts:
    """Evaluations of accounts on a model, thinned at random once there are too many."""

    queries: list[IntArray] = field(default_factory=list)
    values: list[FloatArray] = field(default_factory=list)
    n_seen: int = 0
    n_kept: int = 0

    def add(self, queries: IntArray, values: FloatArray) -> None:
        self.n_seen += len(queries)
        self.n_kept += len(queries)
        self.queries.append(queries)
        self.values.append(values)
        if self.n_kept > 2 * OTHERS_KEPT_MAX:
            self._thin()

    def _thin(self) -> None:
        queries, values = np.concatenate(self.queries), np.concatenate(self.values)
        kept = np.random.default_rng(self.n_seen).choice(len(queries), OTHERS_KEPT_MAX, replace=False)
        self.queries, self.values, self.n_kept = [queries[kept]], [values[kept]], len(kept)

    def usual(self, queries: int, column: int) -> tuple[float, float] | None:
        """5 and 95 % quantile of a feature among those at about so many queries; None: too few."""
        known = self._near(queries, column)
        if known is None:
            return None
        low, high = np.quantile(known, [LOW, HIGH])
        return float(low), float(high)

    def quantiles(self, queries: int, column: int, n: int) -> list[float] | None:
        """`n` quantiles of the same, from the least to the greatest at even steps; None: too few."""
        known = self._near(queries, column)
        return None if known is None else np.quantile(known, np.linspace(0, 1, n)).tolist()

    def copy(self) -> "OtherAccounts":
        """One that does not change while this takes more; the arrays are shared, as nothing writes them."""
        return OtherAccounts(self.queries.copy(), self.values.copy(), self.n_seen, self.n_kept)

    def _near(self, queries: int, column: int) -> FloatArray | None:
        """Known values of a feature among those at about so many queries, (k,); None: too few."""
        if not self.queries:
            return None
        counts = np.concatenate(self.queries)
        values = np.concatenate([part[:, column] for part in self.values])
        is_near = (counts >= queries / QUERIES_FACTOR) & (counts <= queries * QUERIES_FACTOR)
        known: FloatArray = values[is_near & np.isfinite(values)]
        return known if len(known) >= OTHERS_MIN else None


class AccountTimeline:
    """Follows one account through the outcomes of a replay.

    Parameters
    ----------
    account_id : str
    model_id : str, optional
        Only on this model.
    catalog : sequence of FeatureSpec
        The features, one per column of the values of scores.
    """

    def __init__(
        self, account_id: str, model_id: str | None = None, catalog: Sequence[FeatureSpec] = SPECS
    ) -> None:
        self.account_id = account_id
        self.catalog = catalog
        self.points: list[Point] = []
        self.alerts: list[Alert] = []
        self._model_id = model_id
        self._others: dict[str, OtherAccounts] = {}

    def take(self, outcomes: Outcomes) -> None:
        """Add what one batch brought."""
        self.alerts += [
            alert
            for alert in outcomes.alerts
            if self.account_id == alert.entity.id or self.account_id in alert.entity.accounts
        ]
        for evaluations, scores in outcomes.evaluations:
            is_own: BoolArray = np.array([name == self.account_id for name in evaluations.account_ids])
            for index in np.flatnonzero(is_own).tolist():
                if self._model_id is None or evaluations.model_ids[index] == self._model_id:
                    self.points.append(Point.at(evaluations, scores, index))
            models = np.array(evaluations.model_ids)
            for model_id in set(evaluations.model_ids):
                members = np.flatnonzero((models == model_id) & ~is_own)
                if len(members):
                    others = self._others.setdefault(model_id, OtherAccounts())
                    others.add(evaluations.queries[members], scores.values[members])

    def usual(self, point: Point, column: int) -> tuple[float, float] | None:
        """5 and 95 % quantile of a feature among other accounts at about as many queries; None: too few."""
        others = self._others.get(point.model_id)
        return None if others is None else others.usual(point.queries, column)

    @property
    def worst(self) -> Point | None:
        """The evaluation with the least chance; None where none has a score."""
        scored = [point for point in self.points if np.isfinite(point.tail_prob)]
        return min(scored, key=lambda point: point.tail_prob, default=None)


def why_not(timeline: AccountTimeline, policy: Policy) -> str:
    """Why an account was or was not alerted on, as one sentence."""
    if timeline.alerts:
        first = timeline.alerts[0]
        return f"It was alerted on at {first.time}, by rule {first.rule}. {_silencing(timeline, policy)}"
    if not timeline.points:
        return "It was never evaluated: it sent too few queries, or is not in the log under this id."
    worst = timeline.worst
    if worst is None:
        return (
            f"It has no score: {len(timeline.points)} evaluations fell into the warm-up of its model, or the "
            "log does not give what scores are made of. Limits were not reached."
        )
    key = (worst.tenant_id, timeline.account_id, worst.model_id)
    settings = make_plan(policy, timeline.catalog).settings_for(key)
    if worst.tail_prob <= settings.alert_threshold:
        return _why_held_back(worst, settings)
    budget = policy.budget.alerts_per_1000_accounts_per_day * worst.tail_prob / settings.alert_threshold
    return (
        f"It never was anomalous enough: its least chance was {worst.tail_prob:.2g} (after {worst.queries:,} "
        f"queries), and alerts begin at {settings.alert_threshold:.2g}. A budget of {budget:.3g} alerts per "
        "1,000 accounts and day would have named it."
    )


def _silencing(timeline: AccountTimeline, policy: Policy) -> str:
    """What would have kept each rule quiet that spoke."""
    columns = {spec.name: column for column, spec in enumerate(timeline.catalog)}
    rules = dict.fromkeys(alert.rule for alert in timeline.alerts)
    said, worst = [], timeline.worst
    if "extraction" in rules and worst is not None:
        key = (worst.tenant_id, timeline.account_id, worst.model_id)
        settings = make_plan(policy, timeline.catalog).settings_for(key)
        allowed = policy.budget.alerts_per_1000_accounts_per_day
        least = allowed * worst.tail_prob / max(settings.alert_threshold, 1e-12)
        said.append(f"a budget below {least:.2g} alerts per 1,000 accounts and day")
    for limit in policy.limits:
        column = columns.get(limit.when.feature)
        if limit.name in rules and column is not None:
            highest = max(float(point.values[column]) for point in timeline.points)
            said.append(f"a limit {limit.name} above {highest:.3g}")
    if not said:
        return "No number of the policy silences that, only an entry in allow."
    return f"Quiet it would have been with {' and '.join(said)}, or an entry in allow."


def _why_held_back(worst: Point, settings: EntitySettings) -> str:
    if settings.allow:
        return f"It is on the allow-list: {settings.allow[0].reason}."
    if worst.queries < settings.queries_min:
        return f"It was over the threshold only before {settings.queries_min} queries (queries_min)."
    return "It was over the threshold while alerts were held back: a silence, or the flood cap."
