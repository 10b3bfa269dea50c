"""Verdicts of analysts while running: how many of the alerts that they looked at were attacks, over time."""

import math
from pathlib import Path

import structlog

from copycatch.errors import ConfigError
from copycatch.ports import Clock, Metrics
from copycatch.settings.verdicts import VerdictLine, count_verdicts, precision_of, read_verdict_lines

log = structlog.get_logger(__name__)

DAYS = (7, 30, 365)


class VerdictWatch:
    """Reads the file again when it has changed, and tells the figures; a bad line leaves them as they are.

    Parameters
    ----------
    path : Path or None
        `verdicts` of the settings; without it there are no such figures.
    """

    def __init__(self, path: Path | None, clock: Clock, metrics: Metrics, interval_s: float = 2.0) -> None:
        self._path = path
        self._clock = clock
        self._metrics = metrics
        self._interval_s = interval_s
        self._next_s = clock.monotonic_s()
        self._stamp: tuple[int, int, int] | None = None
        self._lines: list[VerdictLine] = []

    def look(self) -> None:
        """Once a turn."""
        if self._path is None or self._clock.monotonic_s() < self._next_s:
            return
        self._next_s = self._clock.monotonic_s() + self._interval_s
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            stamp = None  # nobody has given a verdict yet
        if stamp is not None and stamp != self._stamp:
            try:
                self._lines = read_verdict_lines(self._path)
            except ConfigError as error:
                log.error("verdicts cannot be read; the figures stay as they are", reason=str(error))  # noqa: TRY400
        self._stamp = stamp
        self._tell()

    def _tell(self) -> None:
        for days in DAYS:
            counts = count_verdicts(self._lines, self._clock.now_ms(), days)
            for verdict, n in counts.items():
                self._metrics.set("copycatch_verdicts", n, verdict=verdict, days=str(days))
            precision = precision_of(counts)
            value = math.nan if precision is None else precision
            self._metrics.set("copycatch_alert_precision", value, days=str(days))
