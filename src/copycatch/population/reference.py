"""What each feature looks like among other accounts at about the same number of queries.

Most statistics depend on how much was seen, so accounts are compared within strata of their query count.
Each account has one vote a stratum (its latest row), and is never compared with itself.
"""

from dataclasses import dataclass, field

import numpy as np

from copycatch.records.columns import FloatArray, IntArray, Normal

STRATA = np.array([15, 20, 30, 50, 75, 125, 250, 500, 1000])  # lower edges
ACCOUNTS_MAX = 256  # per stratum: quantiles of 5 % rest on a dozen accounts; 256 x 40 float64 = 80 KB
ACCOUNTS_MIN = (
    15  # fewer say nothing about a 5 % tail; neighbouring strata are joined until there are as many
)
QUANTILES = np.array([0.05, 0.10, 0.50, 0.90, 0.95])
NORMAL_10, NORMAL_5 = 1.2816, 1.6449  # of the standard normal, to turn quantile distances into deviations


def strata_of(queries: IntArray) -> IntArray:
    """Stratum of each query count; counts below the first look share the first stratum.

    Examples
    --------
    >>> strata_of(np.array([15, 19, 20, 999, 5000])).tolist()
    [0, 0, 1, 7, 8]
    """
    strata: IntArray = np.maximum(np.searchsorted(STRATA, queries, side="right") - 1, 0)
    return strata


@dataclass(slots=True)
class Reference:
    """Latest features of normal accounts of one model, by stratum.

    Examples
    --------
    >>> reference = Reference(n_features=1)
    >>> for account in range(40):
    ...     reference.learn(account, 15, np.array([float(account)]))
    >>> normal = reference.compare(np.array([[100.0]]), np.array([15]), np.array([99]))
    >>> float(normal.medians[0, 0]), float(normal.aboves[0, 0])
    (19.5, 0.0)
    """

    n_features: int
    index_by_account: list[dict[int, int]] = field(default_factory=lambda: [{} for _ in STRATA])
    values: FloatArray = field(init=False)  # (n_strata, ACCOUNTS_MAX, n_features)
    accounts: IntArray = field(init=False)  # (n_strata, ACCOUNTS_MAX), 0 where empty
    next_index: list[int] = field(default_factory=lambda: [0] * len(STRATA))

    def __post_init__(self) -> None:
        self.values = np.full((len(STRATA), ACCOUNTS_MAX, self.n_features), np.nan)
        self.accounts = np.zeros((len(STRATA), ACCOUNTS_MAX), dtype=np.int64)

    def learn(self, account_hash: int, queries: int, values: FloatArray) -> None:
        """One account's latest row; the longest-known account of the stratum gives way when it is full."""
        stratum = int(strata_of(np.array([queries]))[0])
        index_by_account = self.index_by_account[stratum]
        index = index_by_account.get(account_hash)
        if index is None:
            index = self.next_index[stratum] % ACCOUNTS_MAX
            self.next_index[stratum] += 1
            previous = int(self.accounts[stratum, index])
            index_by_account.pop(previous, None)
            index_by_account[account_hash] = index
            self.accounts[stratum, index] = account_hash
        self.values[stratum, index] = values

    def forget(self, account_hash: int) -> None:
        """Take an account's rows out: it turned out not to be normal."""
        for stratum, index_by_account in enumerate(self.index_by_account):
            index = index_by_account.pop(account_hash, None)
            if index is not None:
                self.values[stratum, index] = np.nan
                self.accounts[stratum, index] = 0

    def _peers(self, stratum: int) -> tuple[IntArray, FloatArray]:
        """Accounts and rows of a stratum, joined with its neighbours until there are enough."""
        low = high = stratum
        while True:
            used = self.accounts[low : high + 1] != 0
            if used.any(axis=0).sum() > ACCOUNTS_MIN or (low == 0 and high == len(STRATA) - 1):
                break
            low, high = max(low - 1, 0), min(high + 1, len(STRATA) - 1)
        accounts: dict[int, FloatArray] = {}
        for near in sorted(range(low, high + 1), key=lambda s: -abs(s - stratum)):  # the stratum itself wins
            for account, index in self.index_by_account[near].items():
                accounts[account] = self.values[near, index]
        if not accounts:
            return np.empty(0, dtype=np.int64), np.empty((0, self.n_features))
        return np.fromiter(accounts, dtype=np.int64, count=len(accounts)), np.stack(list(accounts.values()))

    def compare(self, values: FloatArray, queries: IntArray, account_hashes: IntArray) -> Normal:
        """What is normal for each of these rows, the account itself left out.

        Parameters
        ----------
        values : ndarray of float64, shape (n, n_features)
        queries, account_hashes : ndarray of int64, shape (n,)

        Returns
        -------
        Normal
        """
        normal = Normal.unknown(*values.shape)
        strata = strata_of(queries)
        for stratum in np.unique(strata):
            accounts, peers = self._peers(int(stratum))
            if len(accounts) <= ACCOUNTS_MIN:
                continue
            for row in np.flatnonzero(strata == stratum):
                others = peers[accounts != account_hashes[row]]
                normal.put(np.array([row]), _normal_of(values[row], others))
        return normal


def _normal_of(value: FloatArray, others: FloatArray) -> Normal:
    is_known = ~np.isnan(others)
    counts = is_known.sum(axis=0).astype(np.float64)
    quantiles = _nan_quantiles(others, counts)
    low, q10, median, q90, high = np.where(counts >= ACCOUNTS_MIN, quantiles, np.nan)
    ups = np.maximum((q90 - median) / NORMAL_10, (high - median) / NORMAL_5)
    downs = np.maximum((median - q10) / NORMAL_10, (median - low) / NORMAL_5)
    with np.errstate(invalid="ignore"):
        aboves = np.where(np.isnan(value), np.nan, (others >= value).sum(axis=0) / np.maximum(counts, 1))
        belows = np.where(np.isnan(value), np.nan, (others <= value).sum(axis=0) / np.maximum(counts, 1))
    return Normal(*(part[None, :] for part in (median, ups, downs, low, high, counts, aboves, belows)))


def _nan_quantiles(values: FloatArray, counts: FloatArray) -> FloatArray:
    """Linear-interpolated quantiles of each column, NaN values left out: (n_quantiles, n_features)."""
    ordered = np.sort(values, axis=0)  # NaN last
    positions = QUANTILES[:, None] * np.maximum(counts - 1, 0)
    lower = np.floor(positions).astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(counts - 1, 0).astype(np.int64))
    columns = np.arange(values.shape[1])
    share = positions - lower
    quantiles: FloatArray = ordered[lower, columns] * (1 - share) + ordered[upper, columns] * share
    return quantiles
