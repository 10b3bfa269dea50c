"""What is usual of each feature among other accounts at about the same n_effective.

Most statistics depend on how much was seen, so accounts are compared within strata of their n_effective:
distinct queries, near-repeats left out. The strata of a few dozen queries are filled by the recent windows of
established accounts, so that a newcomer's first 25 queries are compared with 25 queries of anybody, measured
in the same settled space - not with the few other newcomers, nor with what accounts looked like while the
space was raw. Each account has one vote a stratum (its latest row), and is never compared with itself.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from copycatch.compiled import njit
from copycatch.records.columns import Baseline, FloatArray, IntArray, Normal

STRATA = np.array([0, 12, 15, 20, 30, 45, 70, 120, 250, 500])  # lower edges of n_effective
STRATA_EDGES: list[int] = STRATA.tolist()
RECENT_STRATA_BELOW = 45  # strata below are filled by recent windows
ACCOUNTS_MAX = 256  # per stratum: quantiles of 5 % rest on a dozen accounts
# Fewer tell nothing about a 5 % tail; neighbouring strata are joined until there are as many.
ACCOUNTS_MIN = 15
QUANTILES = np.array([0.05, 0.10, 0.20, 0.50, 0.80, 0.90, 0.95])
# Of the standard normal, to turn quantile distances into deviations. Beyond 90 % the tail may hold an
# attacker or two that nobody has caught yet.
NORMAL_20, NORMAL_10 = 0.8416, 1.2816


def strata_of(n_effective: IntArray) -> IntArray:
    """Stratum of each n_effective.

    Examples
    --------
    >>> strata_of(np.array([0, 15, 19, 20, 499, 5000])).tolist()
    [0, 2, 2, 3, 8, 9]
    """
    strata: IntArray = np.searchsorted(STRATA, n_effective, side="right") - 1
    return strata


@njit(cache=True)
def _first_at_least(ordered, count, value):  # type: ignore[no-untyped-def]
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def _first_above(ordered, count, value):  # type: ignore[no-untyped-def]
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def _compare(values, own_rows, peers, out):  # type: ignore[no-untyped-def]
    """Quantiles of each column without the account's own row, and how many lie at or beyond its value."""
    for i in range(values.shape[0]):
        for f in range(values.shape[1]):
            column, count = peers.ordered[f], peers.counts[f]
            own = np.nan
            if own_rows[i] >= 0:
                own = peers.values[own_rows[i], f]
            has_own = not np.isnan(own)
            others = count - has_own
            if others < ACCOUNTS_MIN:
                continue
            skip = _first_at_least(column, count, own) if has_own else count + 1
            for q in range(len(QUANTILES)):
                position = QUANTILES[q] * (others - 1)
                low = int(position)
                high = min(low + 1, others - 1)
                share = position - low
                low += low >= skip
                high += high >= skip
                out[i, f, q] = column[low] * (1 - share) + column[high] * share
            out[i, f, 7] = others
            value = values[i, f]
            if not np.isnan(value):
                above = count - _first_at_least(column, count, value) - (has_own and own >= value)
                below = _first_above(column, count, value) - (has_own and own <= value)
                out[i, f, 8] = above / others
                out[i, f, 9] = below / others


@njit(cache=True)
def _baseline_of(column, count, skip, out):  # type: ignore[no-untyped-def]
    """Median and the deviation above and below it of a sorted column, leaving out the value at `skip`."""
    others = count - (skip < count)
    q = np.empty(5)
    for at in range(5):
        position = QUANTILES[at + 1] * (others - 1)
        low = int(position)
        high = min(low + 1, others - 1)
        share = position - low
        low += low >= skip
        high += high >= skip
        q[at] = column[low] * (1 - share) + column[high] * share
    out[0] = q[2]
    out[1] = max((q[3] - q[2]) / NORMAL_20, (q[4] - q[2]) / NORMAL_10)
    out[2] = max((q[2] - q[1]) / NORMAL_20, (q[2] - q[0]) / NORMAL_10)


@njit(cache=True)
def _baselines_of_all(ordered, counts, out):  # type: ignore[no-untyped-def]
    """For every feature, (n_features, 3), nobody left out; NaN where there are too few."""
    for f in range(len(ordered)):
        if counts[f] >= ACCOUNTS_MIN:
            _baseline_of(ordered[f], counts[f], counts[f], out[f])


@njit(cache=True)
def _put_baselines(members, own_rows, columns, peers, into):  # type: ignore[no-untyped-def]
    """Of some features for some rows, the account's own row left out."""
    found = np.empty(3)
    for i in range(len(members)):
        row = members[i]
        for t in range(len(columns)):
            f = columns[t]
            found[:] = peers.usual[f]
            if own_rows[i] >= 0 and not np.isnan(peers.values[own_rows[i], f]):
                found[:] = np.nan
                if peers.counts[f] - 1 >= ACCOUNTS_MIN:
                    own = peers.values[own_rows[i], f]
                    skip = _first_at_least(peers.ordered[f], peers.counts[f], own)
                    _baseline_of(peers.ordered[f], peers.counts[f], skip, found)
            into.medians[row, t], into.ups[row, t], into.downs[row, t] = found[0], found[1], found[2]


class Peers(NamedTuple):
    """Joined strata, ready for comparison by compiled code."""

    values: FloatArray  # (n_accounts, n_features)
    ordered: FloatArray  # (n_features, n_accounts), NaN last
    counts: IntArray  # known values of each feature
    usual: FloatArray  # (n_features, 3) median, up and down with nobody left out


@dataclass(slots=True)
class Reference:
    """Latest features of normal accounts of one model, by stratum.

    Examples
    --------
    >>> reference = Reference(n_features=1)
    >>> for account in range(1, 41):
    ...     reference.learn(account, 15, np.array([float(account)]))
    >>> normal = reference.compare(np.array([[100.0]]), np.array([15]), np.array([99]))
    >>> float(normal.medians[0, 0]), float(normal.aboves[0, 0])
    (20.5, 0.0)
    """

    n_features: int
    index_by_account: list[dict[int, int]] = field(default_factory=lambda: [{} for _ in STRATA])
    values: FloatArray = field(init=False)  # (n_strata, ACCOUNTS_MAX, n_features)
    accounts: IntArray = field(init=False)  # (n_strata, ACCOUNTS_MAX), 0 where empty
    next_index: list[int] = field(default_factory=lambda: [0] * len(STRATA))
    peers_by_stratum: dict[int, tuple[dict[int, int], Peers] | None] = field(
        default_factory=dict
    )  # each account's row among the peers, and these; until the next change
    joined_by_stratum: dict[int, tuple[int, int]] = field(default_factory=dict)  # from, to

    def __post_init__(self) -> None:
        self.values = np.full((len(STRATA), ACCOUNTS_MAX, self.n_features), np.nan)
        self.accounts = np.zeros((len(STRATA), ACCOUNTS_MAX), dtype=np.int64)

    def learn(self, account_hash: int, n_effective: int, values: FloatArray) -> None:
        """One account's latest row; where it knows less than the account's earlier row, that one stands.

        The longest-known account of the stratum gives way when it is full.
        """
        stratum = bisect_right(STRATA_EDGES, n_effective) - 1
        index_by_account = self.index_by_account[stratum]
        index = index_by_account.get(account_hash)
        if index is None:
            index = self.next_index[stratum] % ACCOUNTS_MAX
            self.next_index[stratum] += 1
            previous = int(self.accounts[stratum, index])
            index_by_account.pop(previous, None)
            index_by_account[account_hash] = index
            self.accounts[stratum, index] = account_hash
            self.values[stratum, index] = np.nan
        known = ~np.isnan(values)
        self.values[stratum, index, known] = values[known]
        self._forget_peers(stratum)

    def put(self, stratum: int, accounts: IntArray, values: FloatArray, first: int = 0) -> None:
        """Overwrite rows of a stratum from `first` on: (n,) accounts, 0 if empty; (n, n_features) values."""
        index_by_account, rows = self.index_by_account[stratum], slice(first, first + len(accounts))
        for index, account in enumerate(self.accounts[stratum, rows].tolist(), first):
            if index_by_account.get(account) == index:
                del index_by_account[account]
        self.accounts[stratum, rows], self.values[stratum, rows] = accounts, values
        index_by_account.update(
            (account, index) for index, account in enumerate(accounts.tolist(), first) if account
        )
        self._forget_peers(stratum)

    def knows(self, account_hash: int) -> bool:
        """Whether the account has a vote in any stratum."""
        return any(account_hash in index_by_account for index_by_account in self.index_by_account)

    def forget(self, account_hash: int) -> None:
        """Take an account's rows out: it turned out not to be normal."""
        for stratum, index_by_account in enumerate(self.index_by_account):
            index = index_by_account.pop(account_hash, None)
            if index is not None:
                self.values[stratum, index] = np.nan
                self.accounts[stratum, index] = 0
                self._forget_peers(stratum)

    def _peers(self, stratum: int) -> tuple[dict[int, int], Peers] | None:
        """Row of each account among the peers, and these; None if there are never enough.

        They are the accounts of a stratum, joined with those of its neighbours until there are enough.
        """
        if stratum in self.peers_by_stratum:
            return self.peers_by_stratum[stratum]
        low = high = stratum
        found: dict[int, tuple[int, int]] = {}
        while True:
            for near in sorted(
                range(low, high + 1), key=lambda s: -abs(s - stratum)
            ):  # the stratum itself wins
                for account, index in self.index_by_account[near].items():
                    found[account] = (near, index)
            if len(found) > ACCOUNTS_MIN or (low == 0 and high == len(STRATA) - 1):
                break
            low, high = max(low - 1, 0), min(high + 1, len(STRATA) - 1)
        peers = None
        if len(found) > ACCOUNTS_MIN:
            strata, indices = (
                np.fromiter(each, dtype=np.int64) for each in zip(*found.values(), strict=True)
            )
            values = self.values[strata, indices]
            row_by_account = {account: row for row, account in enumerate(found)}
            ordered = np.sort(np.ascontiguousarray(values.T), axis=1)
            counts = (~np.isnan(values)).sum(axis=0)
            usual = np.full((self.n_features, 3), np.nan)
            _baselines_of_all(ordered, counts, usual)
            peers = row_by_account, Peers(values, ordered, counts, usual)
        self.peers_by_stratum[stratum] = peers
        self.joined_by_stratum[stratum] = (low, high)
        return peers

    def _forget_peers(self, stratum: int) -> None:
        """Forget what was joined from this stratum among others."""
        for joined, (low, high) in list(self.joined_by_stratum.items()):
            if low <= stratum <= high:
                del self.joined_by_stratum[joined]
                self.peers_by_stratum.pop(joined, None)

    def compare(self, values: FloatArray, n_effective: IntArray, account_hashes: IntArray) -> Normal:
        """What is normal for each of these rows, the account itself left out.

        Parameters
        ----------
        values : ndarray of float64, shape (n, n_features)
        n_effective, account_hashes : ndarray of int64, shape (n,)

        Returns
        -------
        Normal
        """
        out = np.full((*values.shape, 10), np.nan)
        for members, own_rows, peers in self._by_stratum(n_effective, account_hashes):
            part = np.full((len(members), values.shape[1], 10), np.nan)
            _compare(values[members], own_rows, peers, part)
            out[members] = part
        lows, q10, q20, medians, q80, q90, highs, counts, aboves, belows = np.moveaxis(out, 2, 0)
        ups = np.maximum((q80 - medians) / NORMAL_20, (q90 - medians) / NORMAL_10)
        downs = np.maximum((medians - q20) / NORMAL_20, (medians - q10) / NORMAL_10)
        return Normal(medians, ups, downs, lows, highs, counts, aboves, belows)

    def put_baselines(
        self,
        into: Baseline,
        members: IntArray,
        columns: IntArray,
        n_effective: IntArray,
        account_hashes: IntArray,
    ) -> None:
        """Medians and deviations only, and of some features only: what every evaluation needs.

        Parameters
        ----------
        into : Baseline
            Written to at `members`.
        members : ndarray of int64, shape (n,)
        columns : ndarray of int64
            Features, one for each column of `into`.
        n_effective, account_hashes : ndarray of int64, shape (n,)
            Of the members.
        """
        for positions, own_rows, peers in self._by_stratum(n_effective, account_hashes):
            _put_baselines(members[positions], own_rows, columns, peers, into)

    def _by_stratum(
        self, n_effective: IntArray, account_hashes: IntArray
    ) -> Iterator[tuple[IntArray, IntArray, Peers]]:
        """Positions of each stratum's rows, each account's own row among its peers or -1, and these."""
        strata = strata_of(n_effective)
        for stratum in np.flatnonzero(np.bincount(strata)).tolist():
            found = self._peers(stratum)
            if found is None:
                continue
            row_by_account, peers = found
            members = np.flatnonzero(strata == stratum)
            own_rows = np.array(
                [row_by_account.get(account, -1) for account in account_hashes[members].tolist()],
                dtype=np.int64,
            )
            yield members, own_rows, peers
