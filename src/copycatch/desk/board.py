"""What a page shows of alerts and scores, gathered from outcomes; bounded, however long they come."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from copycatch.decisions.budget import severity_rank
from copycatch.decisions.explain import readable_number
from copycatch.decisions.plan import make_plan
from copycatch.desk.calibration import AccountDayTails
from copycatch.desk.overview import Case, cases_of, first_reason
from copycatch.desk.timeline import OtherAccounts, Point
from copycatch.features.catalog import SPECS
from copycatch.records.columns import Evaluations, FeatureSpec, Outcomes, Scores
from copycatch.records.policy import Policy
from copycatch.records.wire import Alert, Recommendation
from copycatch.units import parse_rfc3339

SHOWN_FROM = 0.2  # chance a day below which an account gets a mark; the others would only be a cloud
ACCOUNTS_MAX = 5_000  # the least anomalous make room
POINTS_MAX = 400  # an account; further ones replace the last
ALERTS_MAX = 20_000  # the newest
MODELS_MAX = 256
CASES_MAX = 100
REASONS_SHOWN = 8
MEMBERS_SHOWN = 200
SPREAD_POINTS = 41  # of others' values: quantiles, evenly

AccountKey = tuple[str | None, str, str]
"""Tenant, account, model."""


@dataclass(slots=True)
class _Account:
    worst: Point
    points: list[tuple[int, int, float]] = field(default_factory=list)  # time, queries, chance


@dataclass(slots=True)
class _Model:
    others: OtherAccounts = field(default_factory=OtherAccounts)
    evaluations: int = 0
    scored: int = 0
    first_ms: int = 0
    first_scored_ms: int | None = None


@dataclass(slots=True)
class _Held:
    """All that a board knows; `reasons` are of worst points, and copies share them: they cost most."""

    alerts: deque[Alert]
    rows: dict[str, Recommendation] = field(default_factory=dict)
    accounts: dict[AccountKey, _Account] = field(default_factory=dict)
    models: dict[str, _Model] = field(default_factory=dict)
    tails: AccountDayTails = field(default_factory=AccountDayTails)
    reasons: dict[tuple[AccountKey, int], list[dict[str, Any]]] = field(default_factory=dict)
    n_made_room: int = 0  # accounts beyond ACCOUNTS_MAX
    n_alerts: int = 0  # ever taken
    n_beyond_models: int = 0  # evaluations of models beyond MODELS_MAX
    first_ms: int = 0  # event time of what was evaluated
    last_ms: int = 0

    def copy(self) -> "_Held":
        return replace(
            self,
            alerts=self.alerts.copy(),
            rows=self.rows.copy(),
            accounts={key: _Account(each.worst, each.points.copy()) for key, each in self.accounts.items()},
            models={name: replace(each, others=each.others.copy()) for name, each in self.models.items()},
            tails=self.tails.copy(),
        )


class Board:
    """Takes outcomes in their order; gives what pages are made of, as values that JSON can hold.

    Parameters
    ----------
    policy : Policy
        Whose budget and thresholds the page shows.
    alerts_max, points_max : int
        Bounds on the alert records that are kept, and on the evaluations an account.
    held : optional
        What another board knew.
    catalog : sequence of FeatureSpec
        The features, one per column of the values of scores.
    """

    def __init__(
        self,
        policy: Policy,
        alerts_max: int = ALERTS_MAX,
        points_max: int = POINTS_MAX,
        held: _Held | None = None,
        catalog: Sequence[FeatureSpec] = SPECS,
    ) -> None:
        self._policy, self._catalog = policy, catalog
        self._alerts_max, self._points_max = alerts_max, points_max
        self._held = held or _Held(deque(maxlen=alerts_max))
        self._by_uid: dict[str, list[Alert]] | None = None
        self._n_cases = 0  # all of them, also those beyond CASES_MAX

    @property
    def span_ms(self) -> int:
        """Event time from the first query of what was evaluated to the last."""
        return self._held.last_ms - self._held.first_ms

    def take(self, outcomes: Outcomes) -> None:
        """Add what one batch brought."""
        self._held.alerts += outcomes.alerts
        self._held.n_alerts += len(outcomes.alerts)
        self._by_uid = None
        for row in outcomes.recommendations:
            self._held.rows.pop(row.decision_key, None)
            self._held.rows[row.decision_key] = row
        while len(self._held.rows) > self._alerts_max:
            del self._held.rows[next(iter(self._held.rows))]
        for evaluations, scores in outcomes.evaluations:
            if len(evaluations):
                self._take_evaluations(evaluations, scores)

    def _take_evaluations(self, evaluations: Evaluations, scores: Scores) -> None:
        self._held.tails.take(evaluations, scores)
        first_ms = int(evaluations.first_seen_ms.min())
        self._held.first_ms = min(self._held.first_ms or first_ms, first_ms)
        self._held.last_ms = max(self._held.last_ms, int(evaluations.event_times_ms.max()))
        models = np.array(evaluations.model_ids)
        for model_id in set(evaluations.model_ids):
            members = np.flatnonzero(models == model_id)
            scored = members[~np.isnan(scores.tail_probs[members])]
            model = self._held.models.get(model_id)
            if model is None:
                if len(self._held.models) >= MODELS_MAX:
                    self._held.n_beyond_models += len(members)
                    continue
                model = self._held.models[model_id] = _Model(
                    first_ms=int(evaluations.event_times_ms[members[0]])
                )
            model.others.add(evaluations.queries[members], scores.values[members])
            model.evaluations += len(members)
            model.scored += len(scored)
            if len(scored) and model.first_scored_ms is None:
                model.first_scored_ms = int(evaluations.event_times_ms[scored[0]])
        for index in np.flatnonzero(scores.tail_probs <= SHOWN_FROM).tolist():
            self._put(Point.at(evaluations, scores, index), evaluations.account_ids[index])

    def _put(self, point: Point, account_id: str) -> None:
        key = (point.tenant_id, account_id, point.model_id)
        account = self._held.accounts.get(key)
        if account is None:
            self._make_room()
            account = self._held.accounts[key] = _Account(point)
        if point.tail_prob < account.worst.tail_prob:
            account.worst = point
        if len(account.points) >= self._points_max:
            account.points.pop()
        account.points.append((point.time_ms, point.queries, point.tail_prob))

    def _make_room(self) -> None:
        """When full by a fifth more, the least anomalous go: one pass for a thousand newcomers."""
        if len(self._held.accounts) < ACCOUNTS_MAX * 6 // 5:
            return
        ranked = sorted(self._held.accounts, key=lambda key: self._held.accounts[key].worst.tail_prob)
        for key in ranked[ACCOUNTS_MAX:]:
            del self._held.accounts[key]
        self._held.n_made_room += len(ranked) - ACCOUNTS_MAX

    def snapshot(self, policy: Policy | None = None) -> "Board":
        """One that goes on giving what is known now, by `policy` if given, while this one takes more."""
        held = self._held.copy()
        return Board(policy or self._policy, self._alerts_max, self._points_max, held, self._catalog)

    def cases(self) -> list[Case]:
        """Accounts and campaigns that were alerted on, the worst first, at most `CASES_MAX`."""
        found = cases_of(self._held.alerts, self._held.rows)
        self._n_cases = len(found)
        return found[:CASES_MAX]

    def _left_out(self, n_shown: int) -> list[str]:
        """What the bounds of a page leave out, as sentences."""
        n_cases, n_alerts = self._n_cases - n_shown, self._held.n_alerts - len(self._held.alerts)
        n_models = self._held.n_beyond_models
        said = [
            (n_cases, f"{n_cases:,} less grave cases are not shown: copycatch alerts lists all."),
            (n_alerts, f"{n_alerts:,} older alert records are left out; the newest are kept."),
            (n_models, f"{n_models:,} evaluations of models beyond the first {MODELS_MAX} are left out."),
        ]
        return [sentence for n, sentence in said if n > 0]

    def announced(self) -> tuple[list[Alert], list[Recommendation], int]:
        """Alerts held, oldest first, the newest of each recommendation, and how many older alerts are not."""
        n_left_out = self._held.n_alerts - len(self._held.alerts)
        return list(self._held.alerts), list(self._held.rows.values()), n_left_out

    def suspects(self) -> set[str]:
        """Every account that an alert names."""
        return {name for a in self._held.alerts for name in (a.entity.id, *a.entity.accounts)}

    def overview(self, cases: Sequence[Case]) -> dict[str, Any]:
        """What the first page shows beside the cases."""
        settings = make_plan(self._policy, self._catalog).settings_for((None, "", ""))
        budget = self._policy.budget.alerts_per_1000_accounts_per_day
        threshold = settings.alert_threshold or budget / 1000
        alerted = {name for case in cases for each in case.newest for name in each.entity.accounts}
        return {
            "about": {
                "policy_version": self._policy.content_version,
                "mode": self._policy.mode,
                "budget": budget,
                "threshold": threshold,
                "n_left_out": self._held.n_made_room,
                "left_out": self._left_out(len(cases)),
            },
            "calibration": self._held.tails.curve(alerted),
            "models": [
                {
                    "id": name,
                    "accounts": self._held.tails.n_accounts(name),
                    "evaluations": model.evaluations,
                    "scored": model.scored,
                    "first_ms": model.first_ms,
                    "first_scored_ms": model.first_scored_ms,
                }
                for name, model in sorted(self._held.models.items(), key=lambda item: -item[1].evaluations)
            ],
            "alerts": [
                {"ms": parse_rfc3339(a.time), "severity": a.severity, "op": a.op} for a in self._held.alerts
            ],
            "accounts": [
                {
                    "id": key[1],
                    "model": key[2],
                    "queries": account.worst.queries,
                    "tail": account.worst.tail_prob,
                    "budget": max(budget * account.worst.tail_prob / threshold, 1e-9),
                    "last_ms": account.points[-1][0],
                    "mostly": self._mostly(account.worst),
                }
                for key, account in self._held.accounts.items()
            ],
        }

    def _mostly(self, point: Point) -> str:
        return next((self._catalog[column].name for column in point.strongest(1)), "")

    def case(self, case: Case, verdicts: Mapping[str, str]) -> dict[str, Any]:
        """What a case's own page shows of its scores and alerts."""
        worst_alert, last = self._worst_alert(case), max(case.newest, key=lambda alert: alert.time)
        account = self._held.accounts.get((case.tenant_id, case.entity_id, case.model_id))
        return {
            "id": case.entity_id,
            "kind": case.kind,
            "model": case.model_id,
            "tenant": case.tenant_id,
            "worst": case.worst,
            "is_open": case.is_open,
            "queries": case.queries,
            "first_ms": case.first_ms,
            "last_ms": case.last_ms,
            "action": None if case.row is None else case.row.action,
            "until": None if case.row is None or case.row.op == "revoke" else case.row.expires_at,
            "is_revoked": case.row is not None and case.row.op == "revoke",
            "is_shadow": case.row is not None and case.row.mode == "shadow",
            "reason": first_reason(worst_alert),
            "description": worst_alert.words,
            "closing": last.words if last.op == "close" and last is not worst_alert else None,
            "looks_like": worst_alert.looks_like,
            "uids": case.uids,
            "members": worst_alert.entity.accounts[:MEMBERS_SHOWN],
            "members_total": worst_alert.entity.accounts_total,
            "verdict": verdicts.get(case.entity_id),
            "points": [] if account is None else account.points,
            "levels": [
                level for _, level in case.levels[-POINTS_MAX:]
            ],  # of its alerts: -log10 of the chance
            "reasons": self._reasons(account, worst_alert),
        }

    def _worst_alert(self, case: Case) -> Alert:
        """The latest of the gravest that tell what was seen: a closing tells only that it is over."""
        told = [alert for alert in self._alerts_by_uid(case.uids) if alert.op != "close"] or case.newest
        return max(told, key=lambda alert: (severity_rank(alert.severity), alert.time))

    def _alerts_by_uid(self, uids: Sequence[str]) -> list[Alert]:
        if self._by_uid is None:
            self._by_uid = {}
            for alert in self._held.alerts:
                self._by_uid.setdefault(alert.uid, []).append(alert)
        return [alert for uid in uids for alert in self._by_uid.get(uid, ())]

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
                    "at": None,
                    "others": [],
                }
                for reason in alert.reasons
            ]
        worst = account.worst
        key = ((worst.tenant_id, alert.entity.id, worst.model_id), worst.time_ms)
        known = self._held.reasons.get(key)
        if known is None:
            while len(self._held.reasons) >= 2 * CASES_MAX:
                del self._held.reasons[next(iter(self._held.reasons))]
            known = [self._reason(worst, column) for column in worst.strongest(REASONS_SHOWN)]
            self._held.reasons[key] = known
        return known

    def _reason(self, worst: Point, column: int) -> dict[str, Any]:
        model = self._held.models.get(worst.model_id)
        others = None if model is None else model.others.quantiles(worst.queries, column, SPREAD_POINTS)
        low_high = (None, None) if others is None else (others[2], others[-3])  # 5 % and 95 % of 41
        return {
            "feature": self._catalog[column].name,
            "value": readable_number(float(worst.values[column])),
            "usual": _range(*low_high),
            "share": float(worst.shares[column]),
            "description": self._catalog[column].sentence,
            "at": float(worst.values[column]),
            "others": [] if others is None else others,
        }


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is not None and math.isfinite(high):
        return f"up to {readable_number(high)}"  # of a campaign: what does not suffice
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "unknown"
    return f"{readable_number(low)} to {readable_number(high)}"
