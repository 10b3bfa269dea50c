"""The live view of the terminal: the most anomalous accounts right now, and the alerts."""

from collections import deque
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from copycatch.features.catalog import NAMES
from copycatch.records.columns import Evaluations, Outcomes, Scores
from copycatch.records.wire import Alert
from copycatch.safe_text import printable
from copycatch.units import format_rfc3339

ACCOUNTS_SHOWN = 10
ALERTS_SHOWN = 8
BAR_CHARS = 20
# The bar is full at one normal account-day in 100,000: beyond that a difference no longer matters.
FULL_TAIL_PROB = 1e-5
SEVERITY_STYLES = {"low": "dim", "medium": "yellow", "high": "dark_orange", "critical": "bold red"}


@dataclass(slots=True)
class _Seen:
    queries: int
    tail_prob: float
    why: str
    is_alerted: bool


class LiveView:
    """Redraws a few times a second on a terminal; elsewhere prints each alert as a line.

    Parameters
    ----------
    console : rich.console.Console
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = (
            Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        )
        self._seen: dict[str, _Seen] = {}
        self._alerts: deque[Text] = deque(maxlen=ALERTS_SHOWN)
        self._time_ms = 0
        self._records = 0
        self._share = 0.0

    def __enter__(self) -> "LiveView":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def add(self, outcomes: Outcomes) -> None:
        """Take in what one batch gave."""
        for evaluations, scores in outcomes.evaluations:
            self._add_evaluations(evaluations, scores)
        for alert in outcomes.alerts:
            self._add_alert(alert)

    def progress(self, share: float, records: int) -> None:
        """How far the log has been read, and redraw."""
        self._share, self._records = share, records
        if self._live is not None:
            self._live.update(self._draw())

    def _add_evaluations(self, evaluations: Evaluations, scores: Scores) -> None:
        for index, account in enumerate(evaluations.account_ids):
            known = self._seen.get(account)
            shares = scores.shares[index]
            why = NAMES[int(shares.argmax())] if shares.any() else ""
            self._seen[account] = _Seen(
                int(evaluations.queries[index]),
                float(scores.tail_probs[index]),
                why,
                known is not None and known.is_alerted,
            )
        if len(evaluations):
            self._time_ms = max(self._time_ms, int(evaluations.event_times_ms.max()))

    def _add_alert(self, alert: Alert) -> None:
        account = printable(alert.entity.id)
        if alert.entity.id in self._seen:
            self._seen[alert.entity.id].is_alerted = alert.op != "close"
        why = ", ".join(reason.feature for reason in alert.reasons[:3])
        line = Text.assemble(
            (alert.time[5:16].replace("T", " "), "dim"),
            "  ",
            (f"{alert.op:6s} {alert.severity:8s}", SEVERITY_STYLES[alert.severity]),
            f" {account}  after {alert.queries} queries  ",
            (why, "italic"),
        )
        if self._live is None:
            self._console.print(line, soft_wrap=True)
        self._alerts.append(line)

    def _draw(self) -> Group:
        warm = [seen for seen in self._seen.values() if not np.isnan(seen.tail_prob)]
        when = format_rfc3339(self._time_ms)[:16].replace("T", " ") if self._time_ms else "-"
        state = "judging" if warm else "warming up: learning what is normal, fixed limits only"
        head = Text(f"{when} UTC   {self._records:,} records   {len(self._seen)} accounts judged   {state}")
        table = Table(expand=True, title="accounts, most anomalous first")
        for name in (
            "account",
            "queries",
            "anomaly",
            "chance that a normal account reaches it in a day",
            "mostly",
        ):
            table.add_column(name)
        ranked = sorted(
            self._seen.items(), key=lambda item: (np.nan_to_num(item[1].tail_prob, nan=2.0), item[0])
        )
        for account, seen in ranked[:ACCOUNTS_SHOWN]:
            table.add_row(*_row(account, seen), style="red" if seen.is_alerted else None)
        alerts = Group(*self._alerts) if self._alerts else Text("nothing yet", style="dim")
        bar = "━" * round(self._share * 60)
        return Group(head, Text(bar, style="green"), table, Panel(alerts, title="alerts"))


def _row(account: str, seen: _Seen) -> list[Text]:
    """Cells as `Text`: a string would be read as markup, and account ids are written by strangers."""
    bar, odds, why = "", "warming up", ""
    if not np.isnan(seen.tail_prob):
        full = np.log10(FULL_TAIL_PROB)
        filled = min(max(np.log10(max(seen.tail_prob, FULL_TAIL_PROB)) / full, 0.0), 1.0)
        bar, why = "█" * round(BAR_CHARS * filled), seen.why
        odds = f"1 in {1 / seen.tail_prob:,.0f}" if seen.tail_prob > 0 else "none seen"
    return [Text(cell) for cell in (printable(account), f"{seen.queries}", bar, odds, why)]
