"""What the learner keeps of a model's accounts: their highest scores, and who is flagged.

Shards tell it of an account whenever one of these has changed, and when they forget one. At most `ROWS_MAX`
accounts calibrate: the tail of so many is known far beyond any budget. Which ones is decided by their hashes
alone, so that it does not depend on the order in which shards were heard, and nobody can choose it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from copycatch.records.columns import Float32Array, FloatArray, IntArray
from copycatch.units import MS_PER_DAY

ROWS_MAX: Final = 20_000
HASH_MAX: Final = (1 << 63) - 1
FLAG_MS: Final = 7 * MS_PER_DAY  # so long after a verdict an account teaches nothing and resists eviction
FLAGS_MAX: Final = 200_000  # accounts of a model; those flagged longest ago give way


class AccountMaxima(NamedTuple):
    """Times are event times; the maxima are those of the account's time before it was flagged."""

    account_hash: int
    first_ms: int  # of its first record
    judged_ms: int  # of its first evaluation; 0 before
    flagged_ms: int  # of its last verdict over a threshold; 0 for never
    score_max: float  # -inf before the first
    family_max: Float32Array  # (n_families,)

    def unmeasured(self) -> "AccountMaxima":
        """The same without what rests on the model's space."""
        return self._replace(score_max=-np.inf, family_max=np.full_like(self.family_max, -np.inf))


class Maxima(NamedTuple):
    """Columns along accounts, in the order of their first records."""

    judged_ms: IntArray
    is_flagged: np.ndarray
    scores: FloatArray
    families: FloatArray  # (n, n_families)


@dataclass(slots=True)
class AccountTable:
    """Accounts of one model.

    Examples
    --------
    >>> table = AccountTable()
    >>> table.update([AccountMaxima(7, 0, 5, 9, 1.5, np.zeros(2, dtype=np.float32))])
    >>> table.flagged(now_ms=10), table.maxima().scores.tolist()
    (frozenset({7}), [1.5])
    """

    rows: dict[int, AccountMaxima] = field(default_factory=dict)
    flagged_ms: dict[int, int] = field(default_factory=dict)
    hash_limit: int = HASH_MAX  # accounts with a higher hash do not calibrate
    flags_dropped: int = 0

    def update(self, accounts: Iterable[AccountMaxima]) -> None:
        """Put the newest of each account in the place of what was known."""
        for each in accounts:
            if each.flagged_ms:
                self.flagged_ms[each.account_hash] = each.flagged_ms
            if each.account_hash <= self.hash_limit:
                self.rows[each.account_hash] = each
        self._bound()

    def remove(self, account_hashes: Iterable[int]) -> None:
        """Shards have forgotten these accounts; a flag stands until its time is over."""
        for account_hash in account_hashes:
            self.rows.pop(account_hash, None)

    def _bound(self) -> None:
        while len(self.rows) > 2 * ROWS_MAX:
            self.hash_limit //= 2
            self.rows = {key: row for key, row in self.rows.items() if key <= self.hash_limit}
        if len(self.flagged_ms) > FLAGS_MAX:
            oldest = sorted(self.flagged_ms, key=lambda key: (self.flagged_ms[key], key))
            for key in oldest[: len(self.flagged_ms) - FLAGS_MAX]:
                del self.flagged_ms[key]
                self.flags_dropped += 1

    def widen(self) -> None:
        """Let twice as many calibrate again where accounts have become few; shards tell of them anew."""
        if self.hash_limit < HASH_MAX and len(self.rows) < ROWS_MAX // 2:
            self.hash_limit = min(2 * self.hash_limit + 1, HASH_MAX)

    def flagged(self, now_ms: int) -> frozenset[int]:
        """Who was flagged not long ago; the others' flags are forgotten."""
        gone = [key for key, ms in self.flagged_ms.items() if ms <= now_ms - FLAG_MS]
        for key in gone:
            del self.flagged_ms[key]
        return frozenset(self.flagged_ms)

    def forget_scores(self) -> None:
        """What was measured in a space that is no more."""
        for key, row in self.rows.items():
            self.rows[key] = row.unmeasured()

    def maxima(self) -> Maxima:
        """Of all accounts that calibrate."""
        rows = sorted(self.rows.values(), key=lambda row: (row.first_ms, row.account_hash))
        families = [row.family_max for row in rows]
        return Maxima(
            np.array([row.judged_ms for row in rows], dtype=np.int64),
            np.array([row.flagged_ms > 0 for row in rows], dtype=np.bool_),
            np.array([row.score_max for row in rows], dtype=np.float64),
            np.array(families, dtype=np.float64) if families else np.empty((0, 0)),
        )
