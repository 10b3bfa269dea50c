"""Marks of drills: who has the operator's key can sign a record so that it is judged by nobody.

A mark is the event id itself, so that every log format can carry it. It signs the drill, the number of the
query, the time to the second and the account, and holds for accounts of drills only. A record whose mark is
wrong or stale is a record like any other.
"""

import hashlib
import hmac
from collections import Counter

import numpy as np

from copycatch.records.columns import RecordBatch
from copycatch.records.decoding import Note
from copycatch.records.drill import QUERIES, DrillQuery, account_of
from copycatch.records.selection import select
from copycatch.units import MS_PER_S, UnixMs

PREFIX = "copycatch-drill."
STALE_MS = 600_000
"""A mark holds for so long after its time, and so long before it."""
MARK_CHARS = 32  # 128 bits
ID_CHARS_MAX = 32


class DrillMarks:
    """Signs and checks marks with a key that follows from the operator's.

    Parameters
    ----------
    hmac_key : bytes
        `hmac_key` of the settings.

    Examples
    --------
    >>> marks = DrillMarks(b"k" * 32)
    >>> event_id = marks.event_id("3f2a", 1, UnixMs(1_000_000))
    >>> marks.number_of(event_id, "copycatch-drill-3f2a", 1_000_000)
    ('3f2a', 1)
    >>> marks.number_of(event_id, "acct-1", 1_000_000) is None
    True
    """

    def __init__(self, hmac_key: bytes) -> None:
        self._key = hashlib.blake2b(hmac_key, person=b"drill marks", digest_size=32).digest()

    def event_id(self, drill_id: str, number: int, time_ms: UnixMs) -> str:
        """The marked event id of a query; `time_ms` counts to the second."""
        head = f"{PREFIX}{drill_id}.{number}"
        return f"{head}.{self._mark(head, account_of(drill_id), time_ms)}"

    def _mark(self, head: str, account_id: str, time_ms: int) -> str:
        signed = f"{head}\n{time_ms // MS_PER_S}\n{account_id}".encode(errors="surrogatepass")
        return hmac.new(self._key, signed, hashlib.sha256).hexdigest()[:MARK_CHARS]

    def number_of(self, event_id: str, account_id: str, time_ms: int) -> tuple[str, int] | None:
        """Drill and number of a marked query; None where the mark is wrong, or another account's."""
        head, _, mark = event_id.rpartition(".")
        drill_id, _, number = head.removeprefix(PREFIX).rpartition(".")
        if not (event_id.startswith(PREFIX) and drill_id.isalnum() and number.isdecimal()):
            return None
        if len(drill_id) > ID_CHARS_MAX or account_id != account_of(drill_id) or len(number) > 2:
            return None
        if not 1 <= int(number) <= QUERIES + 1:
            return None
        expected = self._mark(head, account_id, time_ms).encode()
        is_right = hmac.compare_digest(mark.encode(errors="surrogatepass"), expected)
        return (drill_id, int(number)) if is_right else None

    def split(
        self, batch: RecordBatch, now_ms: int, notes: Counter[Note]
    ) -> tuple[RecordBatch, list[DrillQuery]]:
        """The batch without the records whose mark holds, and these; marks that do not hold are noted.

        Parameters
        ----------
        batch : RecordBatch
        now_ms : int
            Wall clock; where the source dates messages, their arrival counts instead.
        notes : Counter
            Counts marks that are wrong or stale.
        """
        if not any(map(_seems_marked, batch.event_ids)):
            return batch, []
        arrivals = dict(zip(batch.raw.positions, batch.raw.timestamps_ms, strict=False))
        found: dict[int, DrillQuery] = {}
        for row, event_id in enumerate(batch.event_ids):
            if not _seems_marked(event_id):
                continue
            time_ms, account_id = int(batch.event_times_ms[row]), batch.account_ids[row]
            known = self.number_of(event_id, account_id, time_ms)
            arrived_ms = arrivals.get(int(batch.positions[row]), now_ms)
            if known is None:
                notes["drill_forged"] += 1
            elif abs(arrived_ms - time_ms) > STALE_MS:
                notes["drill_stale"] += 1
            else:
                found[row] = DrillQuery(
                    *known, event_id, account_id, batch.tenant_ids[row], batch.model_ids[row], UnixMs(time_ms)
                )
        rest = np.array([row for row in range(len(batch)) if row not in found], dtype=np.int64)
        return select(batch, rest), list(found.values())


def _seems_marked(event_id: str) -> bool:
    return event_id.startswith(PREFIX)
