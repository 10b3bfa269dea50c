"""Several policies on one replay: who would have been alerted on under each, and what changed.

Scores do not depend on the policy but for one thing: what a policy flags is not learned. A backtest scores by
the first policy and judges by each; a second pass is needed only where windows differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from copycatch.decisions.budget import severity_rank
from copycatch.decisions.campaigns import ALL_MODELS
from copycatch.decisions.judge import advance, judge
from copycatch.decisions.plan import exemption_at, make_plan
from copycatch.decisions.state import DecisionState
from copycatch.desk.overview import EntityKey, is_restriction
from copycatch.errors import ConfigError
from copycatch.features.catalog import SPECS
from copycatch.records.columns import FeatureSpec, Outcomes
from copycatch.records.policy import Policy
from copycatch.records.wire import Alert, Recommendation, Severity
from copycatch.settings.verdicts import Verdict
from copycatch.units import MS_PER_DAY, parse_rfc3339

MEMBERS_MIN = 2  # of a campaign that are not exempt


@dataclass(slots=True)
class Named:
    """What a policy said of one account or campaign."""

    first_ms: int
    queries: int  # at the first alert
    worst: Severity
    is_restricted: bool = False


class PolicyTrial:
    """One policy on the evaluations of a replay.

    Parameters
    ----------
    policy : Policy
    scored_by : Policy
        That the replay runs with.
    catalog : sequence of FeatureSpec
        The features, one per column of the values of scores.

    Raises
    ------
    ConfigError
        If the two have different windows: their evaluations differ then.
    """

    def __init__(self, policy: Policy, scored_by: Policy, catalog: Sequence[FeatureSpec] = SPECS) -> None:
        if policy.windows != scored_by.windows:
            message = (
                "the policies have different windows, which changes every evaluation; replay the log with "
                "each, and compare the accounts of both with copycatch alerts"
            )
            raise ConfigError(message)
        self.policy = policy
        self.named: dict[EntityKey, Named] = {}
        self._state = DecisionState()
        self._catalog = catalog
        self._plan = make_plan(policy, catalog)
        self._keys_by_decision: dict[str, EntityKey] = {}

    def take(self, outcomes: Outcomes) -> None:
        """Judge what the replay evaluated, in its order."""
        newest_ms = 0
        for evaluations, scores in outcomes.evaluations:
            verdicts = judge(evaluations, scores, self.policy, self._catalog, self._state)
            self._put(verdicts.alerts, verdicts.recommendations)
            newest_ms = max(newest_ms, int(evaluations.event_times_ms.max()))
        if newest_ms:
            due = advance(self._state, newest_ms, self.policy)
            self._put(due.alerts, due.recommendations)
        campaigns = [alert for alert in outcomes.alerts if self._holds_for_campaign(alert)]
        rows = [row for row in outcomes.recommendations if row.scope == "campaign"]
        self._put(campaigns, rows)

    def _holds_for_campaign(self, alert: Alert) -> bool:
        """Campaigns are found without a budget: this policy names them too, but for whom it exempts."""
        if alert.entity.kind != "campaign" or alert.rule == "flood_cap" or self.policy.extraction is None:
            return False
        time_ms = parse_rfc3339(alert.time)
        keys = [(alert.tenant_id, account, alert.model_id) for account in alert.entity.accounts]
        left = [key for key in keys if exemption_at(self._plan.settings_for(key).allow, time_ms) is None]
        return len(left) >= MEMBERS_MIN

    def _put(self, alerts: Sequence[Alert], rows: Sequence[Recommendation]) -> None:
        for alert in alerts:
            if alert.op == "close" or alert.rule == "flood_cap":
                continue
            key = (alert.tenant_id, alert.entity.kind, alert.entity.id, alert.model_id)
            if alert.recommendation is not None:
                self._keys_by_decision[alert.recommendation] = key
            named = self.named.get(key)
            if named is None:
                self.named[key] = Named(parse_rfc3339(alert.time), alert.queries, alert.severity)
            elif severity_rank(alert.severity) > severity_rank(named.worst):
                named.worst = alert.severity
        for row in rows:
            key_of_row = self._keys_by_decision.get(row.decision_key)
            if row.op == "upsert" and is_restriction(row) and key_of_row in self.named:
                self.named[key_of_row].is_restricted = True

    @property
    def n_restricted(self) -> int:
        return sum(named.is_restricted for named in self.named.values())


@dataclass(slots=True)
class AccountDays:
    """Accounts of a model that were evaluated, each once per day of event time.

    Who is judged over all models, too, is no further account.
    """

    days: set[tuple[str | None, str, str, int]] = field(default_factory=set)

    def take(self, outcomes: Outcomes) -> None:
        for evaluations, _ in outcomes.evaluations:
            evaluated = zip(
                evaluations.tenant_ids,
                evaluations.account_ids,
                evaluations.model_ids,
                (evaluations.event_times_ms // MS_PER_DAY).tolist(),
                strict=True,
            )
            self.days.update(each for each in evaluated if each[2] != ALL_MODELS)

    def rate(self, n_named: int) -> float:
        """Named per 1,000 accounts and day."""
        return 1000 * n_named / max(len(self.days), 1)


@dataclass(frozen=True, slots=True)
class Change:
    """Who one policy names and the other does not."""

    gained: list[EntityKey]
    lost: list[EntityKey]
    wrong: list[EntityKey]  # an attack lost or somebody benign gained, by what analysts said


def compare(old: PolicyTrial, new: PolicyTrial, verdicts: Mapping[str, Verdict]) -> Change:
    """What the new policy changes.

    Parameters
    ----------
    verdicts : mapping of str to Verdict
        By account or campaign id.
    """
    gained = _by_time(new.named.keys() - old.named.keys(), new)
    lost = _by_time(old.named.keys() - new.named.keys(), old)
    wrong = [key for key in gained if verdicts.get(key[2]) == "benign"]
    wrong += [key for key in lost if verdicts.get(key[2]) == "attack"]
    return Change(gained, lost, wrong)


def _by_time(keys: Iterable[EntityKey], trial: PolicyTrial) -> list[EntityKey]:
    return sorted(keys, key=lambda key: (trial.named[key].first_ms, key[2], key[3], key[0] or ""))
