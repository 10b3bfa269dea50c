"""All that a report shows, gathered from one replay and one more reading of its log."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from copycatch import __version__
from copycatch.decisions.budget import severity_rank
from copycatch.decisions.explain import readable_number
from copycatch.decisions.plan import make_plan
from copycatch.desk.backtest import AccountDays
from copycatch.desk.curve import BudgetCurve
from copycatch.desk.overview import Case, cases_of
from copycatch.desk.samples import Samples, read_samples
from copycatch.desk.timeline import OtherAccounts, Point
from copycatch.features.catalog import SPECS
from copycatch.records.columns import Outcomes
from copycatch.records.decoding import Decoder
from copycatch.records.policy import Policy
from copycatch.records.wire import Alert, Recommendation
from copycatch.units import format_rfc3339, parse_rfc3339

SHOWN_FROM = 0.2  # chance a day below which an account gets a mark; the others would only be a cloud
ACCOUNTS_MAX = 5_000
POINTS_MAX = 400  # an account; further ones replace the last
CASES_MAX = 100
REASONS_SHOWN = 8
MEMBERS_SHOWN = 200
MODELS_SHOWN = 5

AccountKey = tuple[str | None, str, str]
"""Tenant, account, model."""


@dataclass(slots=True)
class _Account:
    worst: Point
    points: list[tuple[int, int, float]] = field(default_factory=list)  # time, queries, chance


class ReportBuilder:
    """Takes the outcomes of a replay, then gives the report's data."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._curve, self._days = BudgetCurve(policy), AccountDays()
        self._alerts: list[Alert] = []
        self._rows: dict[str, Recommendation] = {}
        self._accounts: dict[AccountKey, _Account] = {}
        self._others: dict[str, OtherAccounts] = {}
        self._first_scored_ms: dict[str, int] = {}
        self._n_left_out = 0  # evaluations of accounts beyond ACCOUNTS_MAX

    def take(self, outcomes: Outcomes) -> None:
        """Add what one batch brought."""
        self._alerts += outcomes.alerts
        self._rows.update((row.decision_key, row) for row in outcomes.recommendations)
        self._days.take(outcomes)
        for evaluations, scores in outcomes.evaluations:
            self._curve.take(evaluations, scores)
            models = np.array(evaluations.model_ids)
            for model_id in set(evaluations.model_ids):
                members = np.flatnonzero(models == model_id)
                others = self._others.setdefault(model_id, OtherAccounts())
                others.add(evaluations.queries[members], scores.values[members])
                scored = members[~np.isnan(scores.tail_probs[members])]
                if len(scored) and model_id not in self._first_scored_ms:
                    self._first_scored_ms[model_id] = int(evaluations.event_times_ms[scored[0]])
            for index in np.flatnonzero(scores.tail_probs <= SHOWN_FROM).tolist():
                self._put(Point.at(evaluations, scores, index), evaluations.account_ids[index])

    def _put(self, point: Point, account_id: str) -> None:
        key = (point.tenant_id, account_id, point.model_id)
        account = self._accounts.get(key)
        if account is None:
            if len(self._accounts) >= ACCOUNTS_MAX:
                self._n_left_out += 1
                return
            account = self._accounts[key] = _Account(point)
        if point.tail_prob < account.worst.tail_prob:
            account.worst = point
        if len(account.points) >= POINTS_MAX:
            account.points.pop()
        account.points.append((point.time_ms, point.queries, point.tail_prob))

    def data(
        self,
        about: Mapping[str, Any],
        paths: Sequence[str],
        make_decoder: Callable[[], Decoder],
        verdicts: Mapping[str, str],
    ) -> dict[str, Any]:
        """What the page is made of, as values that JSON can hold.

        Parameters
        ----------
        about : mapping
            Made when, of which files and how many records, and what was not judged.
        paths, make_decoder
            The log, to be read once more for the queries that are shown.
        verdicts : mapping of str to str
            By account or campaign id.
        """
        cases = cases_of(self._alerts, self._rows)[:CASES_MAX]
        wanted = {(case.entity_id, case.model_id) for case in cases if case.kind == "account"}
        suspects = {name for a in self._alerts for name in (a.entity.id, *a.entity.accounts)}
        samples = read_samples(paths, make_decoder, wanted, suspects)
        settings = make_plan(self._policy, SPECS).settings_for((None, "", ""))
        budget = self._policy.budget.alerts_per_1000_accounts_per_day
        threshold = settings.alert_threshold or budget / 1000
        return {
            "about": {
                **about,
                "version": __version__,
                "policy_version": self._policy.content_version,
                "mode": self._policy.mode,
                "budget": budget,
                "threshold": threshold,
                "account_days": len(self._days.days),
                "warm_up": self._warm_up_text(),
                "curve": {f"{each:g}": n for each, n in self._curve.counts().items()},
            },
            "alerts": [
                {"ms": parse_rfc3339(a.time), "severity": a.severity, "op": a.op} for a in self._alerts
            ],
            "accounts": [
                {
                    "id": key[1],
                    "model": key[2],
                    "queries": account.worst.queries,
                    "tail": account.worst.tail_prob,
                    "budget": max(budget * account.worst.tail_prob / threshold, 1e-9),
                }
                for key, account in self._accounts.items()
            ],
            "cases": [
                self._case(case, samples.get((case.entity_id, case.model_id), Samples()), verdicts)
                for case in cases
            ],
        }

    def _case(self, case: Case, samples: Samples, verdicts: Mapping[str, str]) -> dict[str, Any]:
        worst_alert = max(case.newest, key=lambda alert: (severity_rank(alert.severity), alert.time))
        account = self._accounts.get((case.tenant_id, case.entity_id, case.model_id))
        return {
            "id": case.entity_id,
            "kind": case.kind,
            "model": case.model_id,
            "worst": case.worst,
            "is_open": case.is_open,
            "queries": case.queries,
            "first_ms": case.first_ms,
            "action": None if case.row is None else case.row.action,
            "reason": case.first_reason,
            "description": worst_alert.words,
            "members": worst_alert.entity.accounts[:MEMBERS_SHOWN],
            "members_total": worst_alert.entity.accounts_total,
            "verdict": verdicts.get(case.entity_id),
            "points": [] if account is None else account.points,
            "reasons": self._reasons(account, worst_alert),
            "telling": [asdict(sample) for sample in samples.telling],
            "usual": [asdict(sample) for sample in samples.usual],
        }

    def _warm_up_text(self) -> str:
        """When each model got its first score, the first few; and what the page leaves out."""
        first = sorted(self._first_scored_ms.items())
        shown = [f"{model} from {format_rfc3339(ms)[:16]}Z" for model, ms in first[:MODELS_SHOWN]]
        more = f" and {len(first) - MODELS_SHOWN} more models" if len(first) > MODELS_SHOWN else ""
        text = (
            f"Scored: {', '.join(shown)}{more}; before, only limits held." if shown else "Nothing was scored."
        )
        if self._n_left_out:
            text += f" {self._n_left_out:,} evaluations of further accounts are not drawn."
        return text

    def _reasons(self, account: _Account | None, alert: Alert) -> list[dict[str, Any]]:
        """Features of the account at its most anomalous; those of the alert where it has no score."""
        if account is None or not account.worst.strongest(1):
            return [
                {
                    "feature": reason.feature,
                    "value": readable_number(reason.value),
                    "usual": _range(reason.normal_low, reason.normal_high),
                    "share": reason.share,
                    "description": reason.words,
                }
                for reason in alert.reasons
            ]
        worst = account.worst
        found = []
        for column in worst.strongest(REASONS_SHOWN):
            usual = self._others[worst.model_id].usual(worst.queries, column)
            found.append(
                {
                    "feature": SPECS[column].name,
                    "value": readable_number(float(worst.values[column])),
                    "usual": _range(*usual) if usual is not None else "unknown",
                    "share": float(worst.shares[column]),
                    "description": SPECS[column].sentence,
                }
            )
        return found


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "unknown"
    return f"{readable_number(low)} to {readable_number(high)}"
