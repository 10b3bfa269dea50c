"""Which row of the state belongs to which account.

An account is judged per tenant and model, so the key is (tenant, account, model). The number of rows is
bounded; room is made at ticks only (never inside a batch), so that who is evicted does not depend on how
batches were cut. Between two ticks a flood of new accounts finds no row and is counted; nobody who already
has one is pushed out by it.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np

from copycatch.records.columns import IntArray

Key = tuple[str | None, str, str]
"""tenant_id, account_id, model_id"""

NO_ROW = -1
# Evict down to this share of the maximum once FULL_SHARE is reached: a few per cent at a time, so that the
# cost of choosing is spread and that there is always room for newcomers until the next tick.
FULL_SHARE = 0.95
TARGET_SHARE = 0.90


class Slots:
    """Rows by account.

    Parameters
    ----------
    accounts_max : int
        Rows that may be in use at once.

    Examples
    --------
    >>> slots = Slots(accounts_max=2)
    >>> slots.rows_for([(None, "a", "m"), (None, "b", "m"), (None, "a", "m"), (None, "c", "m")], 0).tolist()
    [0, 1, 0, -1]
    >>> slots.refused
    1
    """

    def __init__(self, accounts_max: int) -> None:
        self.accounts_max = accounts_max
        self.row_by_key: dict[Key, int] = {}
        self.keys: list[Key | None] = []
        self.shards: list[int] = []  # shard number of each row: the shard that first brought the account
        self.free_rows: list[int] = []
        self.new_rows: list[int] = []  # given out since the caller last emptied this
        self.refused = 0  # records that found no row since the service started
        self.evicted = 0

    def __len__(self) -> int:
        return len(self.row_by_key)

    @property
    def n_rows(self) -> int:
        """Rows ever in use: arrays along rows need this length."""
        return len(self.keys)

    def rows_for(self, keys: Iterable[Key], shard: int) -> IntArray:
        """The row of each key; new accounts get one while there is room, else -1."""
        asked = list(keys)
        rows: list[int] = list(map(self.row_by_key.get, asked, repeat(NO_ROW)))
        if NO_ROW in rows:
            for index, (key, row) in enumerate(zip(asked, rows, strict=True)):
                if row == NO_ROW:  # new, or new with an earlier record of this batch
                    known = self.row_by_key.get(key, NO_ROW)
                    rows[index] = known if known != NO_ROW else self._take(key, shard)
        return np.array(rows, dtype=np.int64)

    def _take(self, key: Key, shard: int) -> int:
        if len(self.row_by_key) >= self.accounts_max:
            self.refused += 1
            return NO_ROW
        if self.free_rows:
            row = self.free_rows.pop()
            self.keys[row] = key
            self.shards[row] = shard
        else:
            row = len(self.keys)
            self.keys.append(key)
            self.shards.append(shard)
        self.row_by_key[key] = row
        self.new_rows.append(row)
        return row

    def release(self, rows: Sequence[int]) -> None:
        """Give rows back; their state must be cleared by the caller."""
        for row in rows:
            key = self.keys[row]
            assert key is not None
            del self.row_by_key[key]
            self.keys[row] = None
            self.free_rows.append(row)

    def rows_of_shard(self, shard: int) -> list[int]:
        return [row for row in self.row_by_key.values() if self.shards[row] == shard]


def rows_to_evict(
    slots: Slots, last_seen_ms: IntArray, queries: IntArray, is_suspect: Sequence[bool] | np.ndarray
) -> IntArray:
    """Whom to forget when the table is nearly full: idle and unsuspicious accounts first.

    Order: accounts under suspicion last; among the others those too young to be judged go before those with a
    history; within a class the longest idle go first. A flood of new accounts therefore evicts itself.

    Parameters
    ----------
    slots : Slots
    last_seen_ms, queries : ndarray of int64, shape (n_rows,)
    is_suspect : sequence of bool, shape (n_rows,)
        Open episodes and high scores.

    Returns
    -------
    ndarray of int64
        Rows, most dispensable first; empty while there is room.
    """
    n_used = len(slots)
    if n_used < FULL_SHARE * slots.accounts_max:
        return np.empty(0, dtype=np.int64)
    rows = np.fromiter(slots.row_by_key.values(), dtype=np.int64, count=n_used)
    n_evicted = n_used - int(TARGET_SHARE * slots.accounts_max)
    rank = np.asarray(is_suspect)[rows] * 2 + (queries[rows] >= QUERIES_ESTABLISHED)
    order = np.lexsort((rows, last_seen_ms[rows], rank))
    return rows[order[:n_evicted]]


QUERIES_ESTABLISHED = 15  # as many as the first evaluation needs
