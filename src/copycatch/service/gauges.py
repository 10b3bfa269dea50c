"""What is told once a second: gauges for Prometheus, and the health that the HTTP port serves."""

from copycatch.ports import Clock, Metrics, RecordSource
from copycatch.service.alignment import Alignment
from copycatch.service.findings import Summary
from copycatch.service.health import Health
from copycatch.service.judging import Judge
from copycatch.service.recent import RecentWindow
from copycatch.units import MS_PER_S

EVERY_S = 1.0


class Gauges:
    """Of one run; cheap to call every turn."""

    def __init__(self, source: Alignment, judge: Judge, clock: Clock, metrics: Metrics) -> None:
        self._source, self._judge, self._clock, self._metrics = source, judge, clock, metrics
        self._recent = RecentWindow()
        self._next_s = 0.0

    def tell(self, health: Health, summary: Summary, n_shards: int, n_replaying: int) -> None:
        """Bring metrics and health up to date, when a second has passed."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + EVERY_S
        health.shards, health.replaying = n_shards, n_replaying
        health.is_ready = bool(n_shards) and not n_replaying
        learning = self._judge.learning()
        is_ready_words = learning.warning or "ok"
        health.message = is_ready_words if health.is_ready else "no shards yet, or still replaying"
        self._recent.tell(health, self._metrics, summary.findings, learning, now_s)
        self._metrics.set("copycatch_shards", n_shards)
        lags = self._source.lags()
        health.lags = {str(shard): lag for shard, lag in lags.items()}
        for shard, lag in lags.items():
            self._metrics.set("copycatch_lag_records", lag, topic=shard.topic, partition=str(shard.partition))
        if learning.newest_ms is not None:
            health.event_age_s = (self._clock.now_ms() - learning.newest_ms) / MS_PER_S
            self._metrics.set("copycatch_event_age_seconds", health.event_age_s)
        if learning.learned_ms is not None and learning.newest_ms is not None:
            health.population_age_s = max(0.0, (learning.newest_ms - learning.learned_ms) / MS_PER_S)
            self._metrics.set("copycatch_population_age_seconds", health.population_age_s)
        counts = summary.counts
        health.totals = {
            "accepted": counts.accepted,
            "duplicates": counts.duplicates,
            "late": counts.late,
            "rejected": counts.rejected,
            "alerts": summary.alerts,
            "recommendations": summary.recommendations,
            "replayed": summary.replayed,
        }


class Losses:
    """Of a source's records, counted once."""

    def __init__(self, source: RecordSource, metrics: Metrics) -> None:
        self._source, self._metrics = source, metrics
        self._gaps = self._records_lost = 0  # as far as they are counted

    def count(self) -> None:
        """Count what was lost since the last time."""
        gaps, records_lost = self._source.gaps, self._source.records_lost
        if gaps != self._gaps:
            self._metrics.count("copycatch_gaps_total", gaps - self._gaps)
            self._metrics.count("copycatch_records_lost_total", records_lost - self._records_lost)
            self._gaps, self._records_lost = gaps, records_lost
