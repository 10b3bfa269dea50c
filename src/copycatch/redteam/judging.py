"""The service judges a simulated log: while it is written, or afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from copycatch.adapters.memory import MemoryMetrics
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.policy import Policy
from copycatch.records.wire import ENCODER
from copycatch.redteam.trace import LOG_NAME, Listen
from copycatch.redteam.verdicts import Verdicts, judge_trace
from copycatch.service.bootstrap import decoder_maker, make_judge
from copycatch.service.logs import logging_at
from copycatch.service.replay import REPLAY_KEY, Progress, replay
from copycatch.settings.service import Input
from copycatch.units import MS_PER_DAY, UnixMs, format_rfc3339, parse_rfc3339

ALERTS_NAME, RECOMMENDATIONS_NAME = "alerts.jsonl", "recommendations.jsonl"


def live_judge(policy: Policy) -> Listen:
    """The engine as an adaptive attacker meets it: returns, for each batch of records, whom it alerts on."""
    decoders = {"*": decoder_maker(Input(topic="files", format="native"))}
    judge = make_judge(policy, 1_000_000, REPLAY_KEY, decoders, MemoryMetrics())
    offset = 0

    def listen(lines: list[bytes]) -> list[tuple[str, int]]:
        nonlocal offset
        offsets = list(range(offset, offset + len(lines)))
        offset += len(lines)
        # Simulated records lie in the past or the future of this machine; their own time is the present.
        now_ms = UnixMs((judge.newest_event_ms or 0) + 30 * MS_PER_DAY)
        outcomes = judge.step(RawBatch("files", 0, offsets, lines), now_ms)
        return [
            (account, parse_rfc3339(alert.time))
            for alert in outcomes.alerts
            if alert.op != "close"
            for account in (alert.entity.accounts or [alert.entity.id])
        ]

    return listen


@dataclass
class WarmUp:
    """How long a judge knew too little to score anybody: until then only limits and campaigns speak."""

    scored: int = 0
    waiting: int = 0  # evaluations before the first that was scored
    first_scored_ms: int | None = None

    def add(self, outcomes: Outcomes) -> None:
        """Count what was judged; batches in the order of the log."""
        for evaluations, scores in outcomes.evaluations:
            for time_ms, is_warm in zip(
                evaluations.event_times_ms.tolist(), scores.is_warm.tolist(), strict=True
            ):
                self.scored += is_warm
                if is_warm and self.first_scored_ms is None:
                    self.first_scored_ms = time_ms
                self.waiting += self.first_scored_ms is None

    def words(self) -> str:
        """For the person who reads the verdicts."""
        rest = "only limits and campaigns could speak"
        if self.first_scored_ms is None:
            return f"the judge was WARMING UP throughout: {rest}; simulate more accounts or more days"
        until = format_rfc3339(UnixMs(self.first_scored_ms))
        return f"the judge was warming up until {until}: {rest} about the first {self.waiting} evaluations"


def judge_log(
    folder: Path,
    policy: Policy,
    on_outcomes: Callable[[Outcomes], None] = lambda _outcomes: None,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
    records_max: int = 5000,
) -> Verdicts:
    """Judge the log of a trace folder, and score the result against the folder's labels.

    Parameters
    ----------
    folder : Path
        As `trace.write_campaign` writes it; alerts.jsonl and recommendations.jsonl are added.
    policy : Policy
    on_outcomes, on_progress : callable
        Called after each batch, for a display.
    records_max : int
        Records per batch.
    """
    alerts, recommendations = folder / ALERTS_NAME, folder / RECOMMENDATIONS_NAME
    with (
        alerts.open("wb") as alert_file,
        recommendations.open("wb") as recommendation_file,
        logging_at("warning"),
    ):

        def write(outcomes: Outcomes) -> None:
            alert_file.writelines(ENCODER.encode(item) + b"\n" for item in outcomes.alerts)
            recommendation_file.writelines(ENCODER.encode(item) + b"\n" for item in outcomes.recommendations)
            on_outcomes(outcomes)

        replay([str(folder / LOG_NAME)], policy, write, on_progress, records_max=records_max)
    return judge_trace(folder, alerts, recommendations)
