"""Drills on their way through the service: counted apart, and announced without the engine."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from copycatch.decisions.drill import ended, opened
from copycatch.records.columns import Outcomes
from copycatch.records.drill import QUERIES, DrillQuery
from copycatch.records.policy import Policy
from copycatch.units import UnixMs

log = structlog.get_logger(__name__)

DRILLS_MAX = 64  # at a time; the oldest is forgotten, which costs its alert the count of its queries


@dataclass(slots=True)
class _Seen:
    first_ms: UnixMs
    numbers: set[int] = field(default_factory=set)


class Drills:
    """What has come of each drill.

    Nothing of it is in a snapshot: after a restart in the middle the alert names fewer queries than were
    sent, and the drill says so.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def take(self, queries: Sequence[DrillQuery], policy: Policy, *, is_silent: bool) -> Outcomes:
        """Outcomes of marked records; of a silent replay none is announced."""
        outcomes = Outcomes()
        for query in queries:
            outcomes.counts.drills += 1
            seen = self._seen.setdefault(query.account_id, _Seen(query.time_ms))
            if query.number <= QUERIES:
                seen.numbers.add(query.number)
            if is_silent or query.number < QUERIES:
                continue
            if query.number == QUERIES:
                alert, row = opened(query, len(seen.numbers), seen.first_ms, policy)
            else:
                alert, row = ended(query, seen.first_ms, policy)
                del self._seen[query.account_id]
            log.info("drill", drill=query.drill_id, op=alert.op, uid=alert.uid, queries=len(seen.numbers))
            outcomes.alerts.append(alert)
            outcomes.recommendations.append(row)
        while len(self._seen) > DRILLS_MAX:
            self._seen.popitem(last=False)
        return outcomes
