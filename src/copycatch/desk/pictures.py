"""Topic map and graph of links for the live pages, from what the service holds: no text, no value."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from copycatch.decisions.campaigns import ALL_MODELS
from copycatch.desk.links import Tie, graph_of
from copycatch.desk.maps import vector_map
from copycatch.desk.overview import EntityKey
from copycatch.engine.shown import Shown
from copycatch.records.wire import Alert
from copycatch.windows.slots import Key

KEPT_MAX = 200  # cases with pictures; the ones drawn longest ago go
AT_A_TIME = 8  # after one unit of outcomes; the others wait for the next
WAITING_MAX = 1_000
SUSPECTS_MAX = 20_000

Show = Callable[[Sequence[Key], Collection[str]], Shown]


class Pictures:
    """Draws the cases that alerts have named, a few at a time, in the service's own thread.

    Parameters
    ----------
    show : callable
        Gives what the state holds of some accounts of one model.
    """

    def __init__(self, show: Show) -> None:
        self._show = show
        self._waiting: dict[EntityKey, Alert] = {}
        self._drawn: dict[EntityKey, dict[str, Any]] = {}
        self._suspects: dict[str, None] = {}  # the latest that alerts named

    def take(self, alerts: Iterable[Alert]) -> None:
        """Note whom alerts are about, and draw some; only while nothing else uses the state."""
        for alert in alerts:
            for name in (alert.entity.id, *alert.entity.accounts):
                self._suspects[name] = None
            if alert.op != "close" and alert.model_id != ALL_MODELS and alert.entity.accounts:
                case = (alert.tenant_id, alert.entity.kind, alert.entity.id, alert.model_id)
                self._waiting.pop(case, None)
                self._waiting[case] = alert
        while len(self._suspects) > SUSPECTS_MAX:
            del self._suspects[next(iter(self._suspects))]
        while len(self._waiting) > WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
        for key in list(self._waiting)[:AT_A_TIME]:
            picture = self._picture(self._waiting.pop(key))
            self._drawn.pop(key, None)
            self._drawn[key] = picture
        while len(self._drawn) > KEPT_MAX:
            del self._drawn[next(iter(self._drawn))]

    def drawn(self) -> dict[EntityKey, dict[str, Any]]:
        """`map` and `links` of cases, as the report has them."""
        return self._drawn.copy()

    def _picture(self, alert: Alert) -> dict[str, Any]:
        keys = [(alert.tenant_id, account, alert.model_id) for account in alert.entity.accounts]
        shown = self._show(keys, self._suspects.keys())
        found: dict[str, Any] = {
            "map": asdict(vector_map(shown.own, shown.own_names, shown.others, shown.other_names))
        }
        if alert.entity.kind == "campaign":
            ties = [
                Tie(tie.kind, f"#{tie.hash_:08x}", tie.members, tie.n_others, tie.weight)
                for tie in shown.ties
            ]
            found["links"] = graph_of([key[1] for key in keys], ties)
        return found
