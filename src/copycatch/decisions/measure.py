"""What the decisions of all shards amount to, as numbers to watch."""

from collections.abc import Iterable
from typing import NamedTuple

from copycatch.decisions.budget import BudgetGuard
from copycatch.decisions.plan import alerts_per_1000
from copycatch.decisions.state import DecisionState
from copycatch.records.policy import Policy


class Measure(NamedTuple):
    """One value of one metric of `metric_names`."""

    name: str
    labels: dict[str, str]
    value: float


def measure(states: Iterable[DecisionState], policy: Policy) -> list[Measure]:
    """Gauges over all shards of a worker; costs a few microseconds a shard, not one per account.

    Examples
    --------
    >>> [m.value for m in measure([DecisionState()], Policy()) if m.name == "copycatch_accounts_watched"]
    [0.0]
    """
    shards = list(states)
    withheld = {
        "silenced": sum(s.tally.silenced for s in shards),
        "flood_cap": sum(s.tally.held_back for s in shards),
        "allowed": sum(s.tally.exempted for s in shards),
        "evicted": sum(s.tally.evicted_open for s in shards),
    }
    measures = [
        Measure(
            "copycatch_accounts_watched", {}, float(sum(len(s.table.watches_by_account) for s in shards))
        ),
        Measure("copycatch_cases", {}, float(sum(len(s.table) for s in shards))),
    ]
    measures += [Measure("copycatch_findings_withheld", {"why": w}, float(n)) for w, n in withheld.items()]
    guards: list[BudgetGuard] = [shard.guard for shard in shards]
    accounts: dict[str, int] = {}
    alerts: dict[str, int] = {}
    for guard in guards:
        for model_id, days in guard.days_by_model.items():
            accounts[model_id] = accounts.get(model_id, 0) + days.accounts_today + days.accounts_yesterday
            alerts[model_id] = alerts.get(model_id, 0) + days.alerts_today + days.alerts_yesterday
    measures += [
        Measure(
            "copycatch_alert_budget_ratio",
            {"model": model},
            1000 * alerts[model] / (n * alerts_per_1000(policy, (None, "", model))),
        )
        for model, n in accounts.items()
        if n
    ]
    return measures
