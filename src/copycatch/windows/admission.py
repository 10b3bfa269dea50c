"""Which records count: watermark per shard, lateness, repeats.

A shard is one topic and partition. Its watermark is the latest event time that came from it, less the
allowed lateness. What is older than the watermark at its arrival is judged as of the watermark: a log line
that comes at the end of a long generation must not go unseen. Only what is older than `DROPPED_MS` is
dropped as late: logs of days ago are not what happens now. Repeats are recognised among the shard's last
records, see `seen`.
"""

from dataclasses import dataclass, field

import numpy as np

from copycatch.records.columns import BoolArray, IntArray
from copycatch.units import UNIX_MS_MIN
from copycatch.windows.seen import SeenRecords

DROPPED_MS = 86_400_000  # a day: no answer takes as long, and no outage of a log pipeline that goes unnoticed


@dataclass(slots=True)
class Shard:
    """Admission state of one topic and partition."""

    latest_ms: int = UNIX_MS_MIN
    seen: SeenRecords = field(default_factory=SeenRecords)

    def is_late(self, event_times_ms: IntArray, late_ms_max: int) -> tuple[BoolArray, IntArray]:
        """Mark records older than the watermark at their arrival, and advance it.

        Parameters
        ----------
        event_times_ms : ndarray of int64, shape (n,)
            In order of arrival.
        late_ms_max : int
            Allowed lateness in milliseconds.

        Returns
        -------
        is_late : ndarray of bool, shape (n,)
        latest_ms : ndarray of int64, shape (n,)
            Latest event time up to and including each record.

        Examples
        --------
        >>> shard = Shard()
        >>> shard.is_late(np.array([1_000, 5_000, 2_000, 3_500]), 2_000)[0].tolist()
        [False, False, True, False]
        """
        latest_ms = np.maximum(np.maximum.accumulate(event_times_ms), self.latest_ms)
        flags = event_times_ms < latest_ms - late_ms_max
        if len(latest_ms):
            self.latest_ms = int(latest_ms[-1])
        return flags, latest_ms
