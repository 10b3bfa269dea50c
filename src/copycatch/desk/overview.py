"""One line an account and a campaign: the worst that was said of it, and where it stands now."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from copycatch.decisions.budget import severity_rank
from copycatch.decisions.recommend import RANK_LIMITED_MIN
from copycatch.records.wire import Alert, Recommendation, Severity
from copycatch.units import UnixMs, parse_rfc3339

SPARKS = "▁▂▃▄▅▆▇█"
SPARKS_MAX = 12
RARE = 0.1  # what more than a tenth of normal accounts reach explains nothing by itself
LEVEL_MAX = 8.0  # a chance of 1e-8 fills a mark

EntityKey = tuple[str | None, str, str, str]
"""Tenant, kind of entity, its id, model."""


@dataclass(slots=True)
class Case:
    """All that was announced of one account or campaign on one model."""

    tenant_id: str | None
    kind: str
    entity_id: str
    model_id: str
    worst: Severity = "low"
    first_ms: int = 0
    last_ms: int = 0
    newest: list[Alert] = field(default_factory=list)  # of each uid, oldest first
    levels: list[tuple[int, float]] = field(default_factory=list)  # time, -log10 of the chance
    row: Recommendation | None = None

    @property
    def key(self) -> EntityKey:
        return self.tenant_id, self.kind, self.entity_id, self.model_id

    @property
    def is_open(self) -> bool:
        """Whether some finding about it has not been closed."""
        return any(alert.op != "close" for alert in self.newest)

    @property
    def queries(self) -> int:
        """Queries seen up to the latest alert."""
        return max(alert.queries for alert in self.newest)

    @property
    def uids(self) -> list[str]:
        return [alert.uid for alert in self.newest]

    @property
    def first_reason(self) -> str:
        """What weighs most in the worst of its alerts, as a sentence."""
        return first_reason(max(self.newest, key=lambda alert: (severity_rank(alert.severity), alert.time)))

    def in_force(self, now_ms: int) -> Recommendation | None:
        """The restriction that holds at that time, if any."""
        return self.row if self.row is not None and is_in_force(self.row, now_ms) else None

    @property
    def trend(self) -> str:
        """How far its score lay beyond the usual over time, a mark an alert, the last twelve."""
        marks = [level for _, level in self.levels[-SPARKS_MAX:]]
        top = len(SPARKS) - 1
        return "".join(SPARKS[round(top * min(max(level, 0.0), LEVEL_MAX) / LEVEL_MAX)] for level in marks)


def first_reason(alert: Alert) -> str:
    """The weightiest reason that is rare by itself; where none is, the weightiest; without any, its words."""
    rare = [each for each in alert.reasons if each.tail_prob is None or each.tail_prob < RARE]
    told = rare or alert.reasons
    return told[0].words if told else alert.words


def is_in_force(row: Recommendation, now_ms: int) -> bool:
    """Whether the enforcement point acts on the row at that time."""
    if row.op == "revoke" or row.mode == "shadow":
        return False
    return row.expires_at is None or parse_rfc3339(row.expires_at) > now_ms


def is_restriction(row: Recommendation) -> bool:
    """Whether the action takes something from its entity, rather than watch or slow it."""
    return row.action_rank >= RANK_LIMITED_MIN


def cases_of(alerts: Iterable[Alert], rows: Mapping[str, Recommendation]) -> list[Case]:
    """Fold alerts and recommendations; worst first, then by last change, newest first.

    Parameters
    ----------
    alerts : iterable of Alert
        In the order in which they were announced.
    rows : mapping of str to Recommendation
        The newest by decision key.
    """
    case_by_key: dict[EntityKey, Case] = {}
    for alert in alerts:
        key = (alert.tenant_id, alert.entity.kind, alert.entity.id, alert.model_id)
        case = case_by_key.get(key)
        if case is None:
            case = case_by_key[key] = Case(*key, first_ms=parse_rfc3339(alert.first_seen))
        _add(case, alert, rows)
    return sorted(
        case_by_key.values(), key=lambda case: (-severity_rank(case.worst), -case.last_ms, case.entity_id)
    )


def _add(case: Case, alert: Alert, rows: Mapping[str, Recommendation]) -> None:
    time_ms = parse_rfc3339(alert.time)
    case.first_ms = min(case.first_ms, parse_rfc3339(alert.first_seen))
    case.last_ms = max(case.last_ms, time_ms)
    if severity_rank(alert.severity) > severity_rank(case.worst):
        case.worst = alert.severity
    case.newest = [known for known in case.newest if known.uid != alert.uid]
    case.newest.append(alert)
    if alert.op != "close" and alert.score.tail_prob is not None:
        case.levels.append((time_ms, -math.log10(max(alert.score.tail_prob, 1e-12))))
    if alert.recommendation is not None:
        case.row = rows.get(alert.recommendation, case.row)


def matching(
    cases: Iterable[Case],
    *,
    account: str | None = None,
    model: str | None = None,
    tenant: str | None = None,
    since_ms: UnixMs | None = None,
    severities: Collection[Severity] = (),
    only_open: bool = False,
) -> list[Case]:
    """Those that every given filter keeps; an account is also found as a member of a campaign."""

    def keeps(case: Case) -> bool:
        members = {name for alert in case.newest for name in alert.entity.accounts}
        return (
            (account is None or account == case.entity_id or account in members)
            and (model is None or model == case.model_id)
            and (tenant is None or tenant == case.tenant_id)
            and (since_ms is None or case.last_ms >= since_ms)
            and (not severities or case.worst in severities)
            and (not only_open or case.is_open)
        )

    return [case for case in cases if keeps(case)]
