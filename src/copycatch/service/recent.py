"""How much of the last hour was not judged: sums since the start hide what broke today."""

from collections import deque
from dataclasses import asdict, dataclass
from typing import NamedTuple

from copycatch.ports import Metrics
from copycatch.service.findings import MODELS_SHOWN, NOTABLE_SHARE, Findings, Learning
from copycatch.service.health import Health
from copycatch.units import format_rfc3339

WINDOW_S = 3600.0
SAMPLE_EVERY_S = 60.0


class _Sample(NamedTuple):
    time_s: float
    records: int
    unjudged: int
    evaluations: int
    unscored: int


@dataclass(frozen=True, slots=True)
class Recent:
    """Sums over the window; shares are 0 where there is nothing to share."""

    window_s: float
    records: int
    unjudged_share: float  # rejected, late, or not known to be a query
    evaluations: int
    unscored_share: float


class RecentWindow:
    """Holds a sum a minute of the last hour, by the monotonic clock.

    Examples
    --------
    >>> from copycatch.records.columns import Counts
    >>> window, findings = RecentWindow(), Findings(counts=Counts(accepted=900))
    >>> _ = window.now(findings, 0.0)
    >>> findings.counts.add(Counts(accepted=50, rejected=50))
    >>> window.now(findings, 600.0).unjudged_share
    0.5
    >>> window.now(findings, 9000.0).records
    0
    """

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def now(self, findings: Findings, now_s: float) -> Recent:
        """The window that ends now."""
        n_evaluated = findings.evaluated.total()
        latest = _Sample(
            now_s,
            findings.n_seen,
            findings.n_unjudged,
            n_evaluated,
            n_evaluated - findings.scored.total(),
        )
        samples = self._samples
        if not samples or now_s - samples[-1].time_s >= SAMPLE_EVERY_S:
            samples.append(latest)
        # The newest sample that is older than the window is where it begins.
        while len(samples) > 1 and samples[1].time_s <= now_s - WINDOW_S:
            samples.popleft()
        first = samples[0]
        n_records, n_evaluations = latest.records - first.records, latest.evaluations - first.evaluations
        return Recent(
            window_s=round(min(now_s - first.time_s, WINDOW_S), 1),
            records=n_records,
            unjudged_share=(latest.unjudged - first.unjudged) / n_records if n_records else 0.0,
            evaluations=n_evaluations,
            unscored_share=(latest.unscored - first.unscored) / n_evaluations if n_evaluations else 0.0,
        )

    def tell(
        self, health: Health, metrics: Metrics, findings: Findings, learning: Learning, now_s: float
    ) -> None:
        """Bring `/ready` and the metrics up to date: the window, what the start hides, and who warms up."""
        recent = self.now(findings, now_s)
        warming_ms = {
            model: until_ms
            for model, until_ms in learning.warm_until_ms.items()
            if learning.newest_ms is not None and learning.newest_ms < until_ms
        }
        metrics.set("copycatch_recent_unjudged_share", recent.unjudged_share)
        metrics.set("copycatch_recent_unscored_share", recent.unscored_share)
        metrics.set("copycatch_models_warming_up", len(warming_ms))
        metrics.set("copycatch_warm_up_ends_seconds", max(warming_ms.values(), default=0) / 1000)
        health.recent = asdict(recent)
        ends = sorted(warming_ms.items(), key=lambda each: -each[1])
        health.warming_up = {model: format_rfc3339(until_ms) for model, until_ms in ends[:MODELS_SHOWN]}
        if not findings.counts.total and not (findings.notes["skipped"] or findings.notes["unknown"]):
            return  # nothing has come, or what came waits for its other half
        health.unjudged = findings.sentences(learning)
        if recent.records and recent.unjudged_share >= NOTABLE_SHARE:
            share, minutes = f"{recent.unjudged_share:.1%}", f"{max(recent.window_s / 60, 1):.0f} min"
            health.unjudged.insert(
                0,
                f"NOT JUDGED: {share} of the {recent.records:,} records of the last {minutes}.",
            )
