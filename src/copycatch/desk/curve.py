"""How many accounts each false-alarm budget would have alerted, from one replay."""

import numpy as np

from copycatch.decisions.plan import EntityKey, Plan, exemption_at, make_plan
from copycatch.features.catalog import SPECS
from copycatch.records.columns import Evaluations, Scores
from copycatch.records.policy import Policy

BUDGETS = (0.5, 1.0, 2.0, 5.0)  # the range over which calibration is measured


class BudgetCurve:
    """The least budget at which each account would have been alerted.

    Exact at the budget of the policy that judged. At others it is close: what was flagged was not learned,
    and another budget flags others.

    Examples
    --------
    >>> BudgetCurve(Policy()).counts()
    {0.5: 0, 1.0: 0, 2.0: 0, 5.0: 0}
    """

    def __init__(self, policy: Policy) -> None:
        self._plan: Plan = make_plan(policy, SPECS)
        self._budget = policy.budget.alerts_per_1000_accounts_per_day
        self._tail_prob_max = self._plan.alert_threshold_max * max(BUDGETS) / self._budget
        self._budget_by_account: dict[EntityKey, float] = {}

    def take(self, evaluations: Evaluations, scores: Scores) -> None:
        """Add evaluations and their scores, along each other."""
        for index in np.flatnonzero(scores.tail_probs <= self._tail_prob_max).tolist():
            key = (
                evaluations.tenant_ids[index],
                evaluations.account_ids[index],
                evaluations.model_ids[index],
            )
            settings = self._plan.settings_for(key)
            tail_prob = float(scores.tail_probs[index])
            if (
                settings.alert_threshold <= 0
                or evaluations.queries[index] < settings.queries_min
                or exemption_at(settings.allow, int(evaluations.event_times_ms[index]), tail_prob) is not None
            ):
                continue
            budget = self._budget * tail_prob / settings.alert_threshold
            self._budget_by_account[key] = min(budget, self._budget_by_account.get(key, budget))

    def counts(self) -> dict[float, int]:
        """Accounts alerted at each of `BUDGETS` (alerts per 1,000 accounts and day)."""
        least = np.array(sorted(self._budget_by_account.values()))
        return {budget: int(np.searchsorted(least, budget, side="right")) for budget in BUDGETS}

    def sentence(self) -> str:
        """The same for a person."""
        parts = ", ".join(f"{budget:g}: {n}" for budget, n in self.counts().items())
        return f"accounts that the score would alert on at a budget of {parts} per 1,000 accounts and day"
