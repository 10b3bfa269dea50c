"""Which records count: watermark per shard, lateness, repeats.

A shard is one topic and partition. Its watermark is the latest event time that came from it, less the
allowed lateness; what is older than the watermark at its arrival is late. Repeats are recognised by event
id among the last `HORIZON_RECORDS` to twice that many records of the shard.
"""

from dataclasses import dataclass, field

import numpy as np

from copycatch.records.columns import BoolArray, IntArray
from copycatch.units import UNIX_MS_MIN

# Two generations of ids: a gateway's retries and a producer's resends come within seconds to minutes, and
# 2 x 65,536 ids at about 100 bytes are 13 MB a shard.
HORIZON_RECORDS = 65_536


@dataclass(slots=True)
class Shard:
    """Admission state of one topic and partition."""

    latest_ms: int = UNIX_MS_MIN
    ids_older: set[str] = field(default_factory=set)
    ids_newer: set[str] = field(default_factory=set)

    def is_duplicate(self, event_ids: list[str]) -> BoolArray:
        """Mark records whose id was seen within the horizon, the batch itself included; remembers the rest.

        Examples
        --------
        >>> shard = Shard()
        >>> shard.is_duplicate(["a", "b", "a"]).tolist(), shard.is_duplicate(["b", "c"]).tolist()
        ([False, False, True], [True, False])
        """
        flags = np.zeros(len(event_ids), dtype=np.bool_)
        newer, older = self.ids_newer, self.ids_older
        fresh = set(event_ids)
        has_room = len(newer) + len(fresh) < HORIZON_RECORDS
        if has_room and len(fresh) == len(event_ids) and newer.isdisjoint(fresh) and older.isdisjoint(fresh):
            newer |= fresh  # nearly every batch: no repeat in it, and no new generation begins
            return flags
        for index, event_id in enumerate(event_ids):
            if event_id in newer or event_id in older:
                flags[index] = True
                continue
            newer.add(event_id)
            if len(newer) >= HORIZON_RECORDS:
                older, newer = newer, set()
        self.ids_newer, self.ids_older = newer, older
        return flags

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
