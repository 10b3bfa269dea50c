"""The false-alarm budget: thresholds from it, a guard that watches it, a cap on floods."""

import msgspec
import numpy as np

from copycatch.records.columns import Evaluations, IntArray
from copycatch.records.wire import SEVERITIES, Severity
from copycatch.units import MS_PER_DAY

MS_PER_MINUTE = 60_000
# Of the alerts that a minute may carry, this part is kept for the critical ones: who floods us with
# medium anomalies must not be able to hide one certain theft.
CRITICAL_RESERVE_SHARE = 0.25
MODELS_WATCHED_MAX = 1024
FLOOD_GROUPS_MAX = 64
FLOOD_ACCOUNTS_LISTED_MAX = 20


def severity_of(tail_prob: float, thresholds: tuple[tuple[Severity, float], ...]) -> Severity | None:
    """The strongest severity whose share of the budget the tail probability stays within.

    Examples
    --------
    >>> thresholds = (("critical", 1e-5), ("high", 1e-4), ("medium", 1e-3))
    >>> severity_of(5e-5, thresholds), severity_of(0.5, thresholds), severity_of(float("nan"), thresholds)
    ('high', None, None)
    """
    for severity, threshold in thresholds:
        if tail_prob <= threshold:
            return severity
    return None


def severity_rank(severity: Severity) -> int:
    return SEVERITIES.index(severity)


class ModelDays(msgspec.Struct):
    """Accounts judged and alerts opened on one model, yesterday and today by event time."""

    day: int
    accounts_today: int = 0
    alerts_today: int = 0
    accounts_yesterday: int = 0
    alerts_yesterday: int = 0

    def turn(self, day: int) -> None:
        if day <= self.day:
            return
        is_next = day == self.day + 1
        self.accounts_yesterday = self.accounts_today if is_next else 0
        self.alerts_yesterday = self.alerts_today if is_next else 0
        self.accounts_today = self.alerts_today = 0
        self.day = day


class BudgetGuard(msgspec.Struct):
    """Watches what the detector really says per model against what the analysts can live with.

    A ratio far above 1 means an attack, or a detector that no longer fits its traffic: either is worth
    an evaluation. Accounts are told apart by their row in the window state: no set of names to keep.
    """

    days_by_model: dict[str, ModelDays] = msgspec.field(default_factory=dict)

    def add(self, evaluations: Evaluations, last_days: IntArray) -> IntArray:
        """Count each account once per event-time day.

        `last_days` (int64, by row) is the day on which each row was last judged, -1 for never; gives it
        back, grown where there are new rows.
        """
        rows = evaluations.rows
        if len(rows) and rows.max() >= len(last_days):
            grown = np.full(max(1024, 2 * int(rows.max()) + 2), -1, dtype=np.int64)
            grown[: len(last_days)] = last_days
            last_days = grown
        days = evaluations.event_times_ms // MS_PER_DAY
        for index in np.flatnonzero(last_days[rows] < days).tolist():
            row, day = int(rows[index]), int(days[index])
            if last_days[row] < day:
                last_days[row] = day
                model_days = self._of(evaluations.model_ids[index], day)
                if model_days is not None:
                    model_days.accounts_today += 1
        return last_days

    def opened(self, model_id: str, time_ms: int) -> None:
        model_days = self._of(model_id, time_ms // MS_PER_DAY)
        if model_days is not None:
            model_days.alerts_today += 1

    def _of(self, model_id: str, day: int) -> ModelDays | None:
        model_days = self.days_by_model.get(model_id)
        if model_days is None:
            if len(self.days_by_model) >= MODELS_WATCHED_MAX:
                return None
            model_days = self.days_by_model[model_id] = ModelDays(day)
        model_days.turn(day)
        return model_days


class FloodGroup(msgspec.Struct):
    """What was held back for one tenant and model in one minute."""

    tenant_id: str | None
    model_id: str
    severity: Severity
    accounts_total: int = 0
    accounts: list[str] = msgspec.field(default_factory=list)
    queries: int = 0
    first_seen_ms: int = 0


class FloodCap(msgspec.Struct):
    """At most so many alerts per minute of event time; the others are counted and summarised."""

    minute: int = -1
    sent: int = 0
    held_back_total: int = 0  # over the life of the shard
    held_back: int = 0  # this minute
    groups: list[FloodGroup] = msgspec.field(default_factory=list)

    def is_minute_over(self, time_ms: int) -> bool:
        return self.minute >= 0 and time_ms // MS_PER_MINUTE > self.minute

    def turn(self, time_ms: int) -> list[FloodGroup]:
        """Begin the minute of that time; gives what the one before held back."""
        groups, self.groups = self.groups, []
        self.minute = max(self.minute, time_ms // MS_PER_MINUTE)
        self.sent = self.held_back = 0
        return groups

    def admit(self, severity: Severity, alerts_max: int) -> bool:
        """Whether one more alert may go out in this minute.

        Examples
        --------
        >>> cap = FloodCap()
        >>> [cap.admit("medium", 4) for _ in range(4)], cap.admit("critical", 4)
        ([True, True, True, False], True)
        """
        room = alerts_max if severity == "critical" else alerts_max - int(alerts_max * CRITICAL_RESERVE_SHARE)
        if self.sent >= room:
            return False
        self.sent += 1
        return True

    def withhold(self, key: tuple[str | None, str, str], severity: Severity, queries: int, ms: int) -> None:
        tenant_id, account_id, model_id = key
        self.held_back += 1
        self.held_back_total += 1
        for group in self.groups:
            if group.tenant_id == tenant_id and group.model_id == model_id:
                break
        else:
            if len(self.groups) >= FLOOD_GROUPS_MAX:
                return  # still in the count
            group = FloodGroup(tenant_id, model_id, severity, first_seen_ms=ms)
            self.groups.append(group)
        if account_id in group.accounts:
            return
        group.accounts_total += 1
        group.queries += queries
        group.first_seen_ms = min(group.first_seen_ms, ms)
        if severity_rank(severity) > severity_rank(group.severity):
            group.severity = severity
        if len(group.accounts) < FLOOD_ACCOUNTS_LISTED_MAX:
            group.accounts.append(account_id)
