"""Verdicts of analysts while running: how many of the alerts that they looked at were attacks, over time."""

import math
from pathlib import Path

import structlog

from copycatch.errors import ConfigError
from copycatch.ports import Clock, Metrics
from copycatch.service.feedback import Feedback
from copycatch.settings.verdicts import VerdictLine, count_verdicts, precision_of, read_verdict_lines

log = structlog.get_logger(__name__)

DAYS = (7, 30, 365)


class VerdictWatch:
    """Reads the file again when it has changed, and tells the figures; a bad line leaves them as they are.

    Parameters
    ----------
    path : Path or None
        `verdicts` of the settings; without it and without `feedback` there are no such figures.
    feedback : Feedback, optional
        Verdicts that come over a topic.
    """

    def __init__(
        self,
        path: Path | None,
        clock: Clock,
        metrics: Metrics,
        interval_s: float = 2.0,
        feedback: Feedback | None = None,
    ) -> None:
        self._path = path
        self._feedback = feedback
        self._clock = clock
        self._metrics = metrics
        self._interval_s = interval_s
        self._next_s = clock.monotonic_s()
        self._stamp: tuple[int, int, int] | None = None
        self._lines: list[VerdictLine] = []

    def look(self) -> None:
        """Once a turn."""
        if self._clock.monotonic_s() < self._next_s or not (self._path or self._feedback):
            return
        self._next_s = self._clock.monotonic_s() + self._interval_s
        if self._path is not None:
            self._read(self._path)
        self._tell()

    def _read(self, path: Path) -> None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            stamp = None  # nobody has given a verdict yet
        if stamp is not None and stamp != self._stamp:
            try:
                self._lines = read_verdict_lines(path)
            except ConfigError as error:
                log.error("verdicts cannot be read; the figures stay as they are", reason=str(error))  # noqa: TRY400
        self._stamp = stamp

    def _tell(self) -> None:
        lines = self._lines if self._feedback is None else [*self._lines, *self._feedback.lines]
        for days in DAYS:
            counts = count_verdicts(lines, self._clock.now_ms(), days)
            for verdict, n in counts.items():
                self._metrics.set("copycatch_verdicts", n, verdict=verdict, days=str(days))
            precision = precision_of(counts)
            value = math.nan if precision is None else precision
            self._metrics.set("copycatch_alert_precision", value, days=str(days))
