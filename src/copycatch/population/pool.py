"""A bounded pool of distinct queries per account, from which a model's space is built.

Queries wait `DELAY_MS` before they may shape what is normal, so that an account that is flagged within that
time has taught nothing (its waiting queries are dropped); only while the model is new do they enter at once.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from copycatch.compiled import njit
from copycatch.population.newcomers import Newcomers
from copycatch.space.query import Query

PER_ACCOUNT_MAX = 24
PER_TICK_MAX = 4  # of one account: a burst is one voice
ACCOUNTS_MAX = 400  # x 24 queries x d floats: 7.5 MB a model at d = 196
WAITING_MAX = 20_000
WAITING_AT_ONCE_MAX = 10_000  # the other half comes in over the time that queries wait
DELAY_MS = 24 * 3_600_000


def has_room(n_waiting: int, first_ms: int | None, time_ms: int) -> bool:
    """Whether one more query may wait in a line of so many, of which the first was asked at `first_ms`.

    Examples
    --------
    >>> has_room(9_999, 0, 5), has_room(10_000, 0, 5), has_room(10_000, 0, DELAY_MS)
    (True, False, True)
    """
    waited_ms = 0 if first_ms is None else max(time_ms - first_ms, 0)
    later_max = (WAITING_MAX - WAITING_AT_ONCE_MAX) * min(waited_ms, DELAY_MS) // DELAY_MS
    return n_waiting < WAITING_AT_ONCE_MAX + later_max


@dataclass(slots=True)
class Pool:
    """Queries of one model, by account; the oldest of an account and the longest silent account give way.

    Examples
    --------
    >>> pool = Pool()
    >>> for i in range(30):
    ...     _ = pool.add(Query(1, i, 100 + i, 0, 0.5, 0.5, np.zeros(2, dtype=np.float32)))
    >>> len(pool.queries_by_account[1])
    24
    """

    queries_by_account: dict[int, list[Query]] = field(default_factory=dict)
    waiting: deque[Query] = field(default_factory=deque)
    newcomers: Newcomers = field(default_factory=Newcomers)

    def wait(self, query: Query) -> None:
        """Put a query in line, where there is room: more of it the longer the first in line has waited.

        Whoever is in line stays there: were the oldest to give way, on a busy model nobody would ever have
        waited long enough, and what is usual would be that of its first day for ever.
        """
        if has_room(len(self.waiting), self.first_ms, query.time_ms):
            self.waiting.append(query)

    @property
    def first_ms(self) -> int | None:
        """Time of the first query in line; None where nobody waits."""
        return self.waiting[0].time_ms if self.waiting else None

    def admit(
        self, now_ms: int, delay_ms: int, flagged: frozenset[int], *, is_warming_up: bool = True
    ) -> list[Query]:
        """Let in what has waited long enough and belongs to no flagged account; gives what was new.

        Of accounts not in the pool only `NEWCOMERS_PER_DAY_MAX` a day get in, once the model is founded.
        """
        admitted = []
        while self.waiting and self.waiting[0].time_ms <= now_ms - delay_ms:
            query = self.waiting.popleft()
            if query.account_hash in flagged or not (is_warming_up or self._may_enter(query, now_ms)):
                continue
            if self.add(query):
                admitted.append(query)
        return admitted

    def _may_enter(self, query: Query, now_ms: int) -> bool:
        return query.account_hash in self.queries_by_account or self.newcomers.let_in(now_ms)

    def add(self, query: Query) -> bool:
        """Put in one query unless its account has it already; the account becomes the most recent."""
        queries = self.queries_by_account.pop(query.account_hash, [])
        is_new = query.input_hash == 0 or query.input_hash not in [known.input_hash for known in queries]
        if is_new:
            queries.append(query)
            del queries[:-PER_ACCOUNT_MAX]
        self.queries_by_account[query.account_hash] = queries
        if len(self.queries_by_account) > ACCOUNTS_MAX:
            del self.queries_by_account[next(iter(self.queries_by_account))]
        return is_new

    def drop(self, account_hash: int) -> None:
        """Forget an account that turned out to be an attacker."""
        self.queries_by_account.pop(account_hash, None)

    @property
    def n_accounts(self) -> int:
        return len(self.queries_by_account)

    def queries(self) -> Iterator[Query]:
        """All that were let in, account by account."""
        return chain.from_iterable(self.queries_by_account.values())

    def sample(self, n_max: int, per_account_min: int = 2) -> list[Query]:
        """The newest queries of each account, equally many of each, at most `n_max` in all."""
        if not self.queries_by_account:
            return []
        per_account = max(per_account_min, min(PER_ACCOUNT_MAX, n_max // self.n_accounts + 1))
        rows = [query for queries in self.queries_by_account.values() for query in queries[-per_account:]]
        if (
            len(rows) > n_max
        ):  # evenly over accounts, without chance: the same pool gives the same reference_set
            picks = np.linspace(0, len(rows) - 1, n_max).astype(np.int64)
            rows = [rows[index] for index in picks]
        return rows


@njit(cache=True)
def count_in_tick(rows, tick, ids, counts, is_first):  # type: ignore[no-untyped-def]
    """Count records of each row in this tick; mark those that are among its first `PER_TICK_MAX`."""
    for i in range(len(rows)):
        row = rows[i]
        if ids[row] != tick:
            ids[row], counts[row] = tick, 0
        is_first[i] = counts[row] < PER_TICK_MAX
        counts[row] += is_first[i]
