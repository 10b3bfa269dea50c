"""Which row of the state belongs to which account.

An account is judged per tenant and model, so the key is (tenant, account, model). The number of rows is
bounded. Room is made at learning steps only, never inside a batch, so that who is evicted does not depend on
how batches were cut. Between two steps a flood of new accounts finds no row and is counted; nobody who
already has one is pushed out by it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import repeat

import numpy as np

from copycatch.records.columns import IntArray

Key = tuple[str | None, str, str]
"""tenant_id, account_id, model_id"""
Group = tuple[str | None, str]
"""tenant_id, model_id: accounts are looked up by name within one, which needs no key of three parts each."""

NO_ROW = -1
# Evict down to this share of the maximum once FULL_SHARE is reached: a few per cent at a time, so that the
# cost of choosing is spread and that there is always room for newcomers until the next learning step.
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
        self._rows_by_group: dict[Group, dict[str, int]] = {}
        self._accounts: list[str | None] = []  # name by row; None where the row is free
        self._groups: list[Group] = []  # by row
        self.n_by_shard: Counter[int] = Counter()  # accounts that came from each
        self.shards: list[int] = []  # shard number of each row: the shard that first brought the account
        self.free_rows: list[int] = []
        self.new_rows: list[int] = []  # given out since the caller last emptied this
        self.refused = 0  # records that found no row since the service started
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._accounts) - len(self.free_rows)

    @property
    def n_rows(self) -> int:
        """Rows ever in use: arrays along rows need this length."""
        return len(self._accounts)

    def key_of(self, row: int) -> Key:
        """Whose row it is."""
        account, (tenant_id, model_id) = self._accounts[row], self._groups[row]
        assert account is not None
        return tenant_id, account, model_id

    def row_of(self, key: Key) -> int:
        """The row of an account that has one, else -1."""
        tenant_id, account_id, model_id = key
        return self._rows_by_group.get((tenant_id, model_id), {}).get(account_id, NO_ROW)

    def rows_of_model(self, model_id: str) -> IntArray:
        """Rows of all accounts on one model."""
        rows = [
            row
            for group, rows in self._rows_by_group.items()
            if group[1] == model_id
            for row in rows.values()
        ]
        return np.array(rows, dtype=np.int64)

    def rows_for(self, keys: Iterable[Key], shard: int) -> IntArray:
        """The row of each key; new accounts get one while there is room, else -1."""
        tenant_ids, account_ids, model_ids = [], [], []
        for tenant_id, account_id, model_id in keys:
            tenant_ids.append(tenant_id)
            account_ids.append(account_id)
            model_ids.append(model_id)
        return self.rows_of(tenant_ids, account_ids, model_ids, shard)

    def rows_of(
        self,
        tenant_ids: Sequence[str | None],
        account_ids: Sequence[str],
        model_ids: Sequence[str],
        shard: int,
    ) -> IntArray:
        """The same for keys that come as columns.

        Examples
        --------
        >>> Slots(accounts_max=9).rows_of([None, "t", None], ["a", "a", "a"], ["m", "m", "m"], 0).tolist()
        [0, 1, 0]
        """
        if not len(account_ids):
            return np.empty(0, dtype=np.int64)
        if len(set(tenant_ids)) == 1 and len(set(model_ids)) == 1:
            known = self._rows_by_group.get((tenant_ids[0], model_ids[0]), {})
            rows = list(map(known.get, account_ids, repeat(NO_ROW)))
        else:
            nobody: dict[str, int] = {}
            rows = [
                self._rows_by_group.get(group, nobody).get(account, NO_ROW)
                for group, account in zip(zip(tenant_ids, model_ids, strict=True), account_ids, strict=True)
            ]
        if NO_ROW in rows:
            for index, row in enumerate(rows):
                if row == NO_ROW:  # new, or new with an earlier record of this batch
                    rows[index] = self._take((tenant_ids[index], model_ids[index]), account_ids[index], shard)
        return np.array(rows, dtype=np.int64)

    def _take(self, group: Group, account: str, shard: int) -> int:
        rows = self._rows_by_group.get(group)
        row = NO_ROW if rows is None else rows.get(account, NO_ROW)
        if row != NO_ROW:
            return row
        if len(self) >= self.accounts_max:
            self.refused += 1
            return NO_ROW
        if self.free_rows:
            row = self.free_rows.pop()
            self._accounts[row], self._groups[row], self.shards[row] = account, group, shard
        else:
            row = len(self._accounts)
            self._accounts.append(account)
            self._groups.append(group)
            self.shards.append(shard)
        if rows is None:
            rows = self._rows_by_group[group] = {}
        else:
            self._groups[row] = self._groups[next(iter(rows.values()))]  # one tuple serves them all
        rows[account] = row
        self.n_by_shard[shard] += 1
        self.new_rows.append(row)
        return row

    def release(self, rows: Sequence[int]) -> None:
        """Give rows back; their state must be cleared by the caller."""
        for row in rows:
            tenant_id, account, model_id = self.key_of(row)
            of_group = self._rows_by_group[tenant_id, model_id]
            del of_group[account]
            if not of_group:
                del self._rows_by_group[tenant_id, model_id]
            self._accounts[row] = None
            self.n_by_shard[self.shards[row]] -= 1
            self.free_rows.append(row)

    def rows_in_use(self) -> list[int]:
        """Of all accounts."""
        return [row for rows in self._rows_by_group.values() for row in rows.values()]

    def rows_of_shard(self, shard: int) -> list[int]:
        return [row for row in self.rows_in_use() if self.shards[row] == shard]


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
    rows = np.array(slots.rows_in_use(), dtype=np.int64)
    n_evicted = n_used - int(TARGET_SHARE * slots.accounts_max)
    rank = np.asarray(is_suspect)[rows] * 2 + (queries[rows] >= QUERIES_ESTABLISHED)
    order = np.lexsort((rows, last_seen_ms[rows], rank))
    return rows[order[:n_evicted]]


QUERIES_ESTABLISHED = 15  # as many as the first evaluation needs
