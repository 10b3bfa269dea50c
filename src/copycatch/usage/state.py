"""The usage rows of all accounts, and their growth."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from copycatch.layout.structs import Columns, Rows, as_bytes, grown, put, take
from copycatch.records.columns import FloatArray, IntArray
from copycatch.usage.events import UsageEvents
from copycatch.usage.fold import fold
from copycatch.usage.layout import SUM, USAGE
from copycatch.usage.measures import MEASURES, measure_rows
from copycatch.usage.others import Compared, with_nobody

ROWS_MIN = 256
NO_USAGE: Columns = {
    "at": np.empty(0, dtype=np.int64),
    **take(np.zeros(0, dtype=USAGE), np.empty(0, dtype=np.int64)),
}


@dataclass(slots=True)
class UsageRows:
    """Numbered as the rows of the windows; there are none beyond the last account that sent text.

    Examples
    --------
    >>> usage = UsageRows()
    >>> usage.grow(1)
    >>> len(usage.table)
    256
    """

    table: Rows = field(default_factory=lambda: np.zeros(0, dtype=USAGE))

    def grow(self, n_rows: int) -> None:
        """Make room for at least `n_rows` rows, doubling."""
        if n_rows > len(self.table):
            self.table = grown(self.table, max(n_rows, 2 * len(self.table), ROWS_MIN))

    def add(
        self, events: UsageEvents | None, rows: IntArray, due: IntArray, to: Compared | None = None
    ) -> FloatArray:
        """Add events, None where none of them counts; gives the measures of the accounts that are due.

        Parameters
        ----------
        events : UsageEvents or None
        rows : ndarray of int64, shape (n,)
            Of the records' accounts.
        due : ndarray of int64, ascending
            Positions of the records after which their account is due.
        to : Compared, optional
            With what others ask each of these is compared; with nothing by default.

        Returns
        -------
        ndarray of float64, shape (len(due), n_measures)
            NaN where the account has asked no language model, or too little.
        """
        out = np.full((len(due), len(MEASURES)), np.nan)
        others = with_nobody(len(due)) if to is None else to
        if events is not None:
            self.grow(int(events.rows[events.is_counted].max()) + 1)
            fold(as_bytes(self.table), events, due, others, out)
        elif len(self.table):
            measure_rows(as_bytes(self.table), rows[due], others, out)
        return out

    def clear(self, rows: IntArray) -> None:
        """Forget these accounts."""
        self.table[rows[rows < len(self.table)]] = np.zeros(1, dtype=USAGE)

    def take(self, rows: IntArray) -> dict[str, npt.NDArray[Any]]:
        """A copy of those of these rows that hold anything, a column a field; `at` are their positions."""
        at = np.flatnonzero(rows < len(self.table))
        at = at[self.table["sums"][rows[at], SUM["queries"]] > 0]
        return {"at": at, **take(self.table, rows[at])}

    def put(self, rows: IntArray, columns: Columns) -> None:
        """Overwrite rows with what `take` gave of as many; a row of -1 is left out.

        Raises
        ------
        KeyError, ValueError, IndexError
            If a column is missing or has another shape.
        """
        is_kept = rows[columns["at"]] >= 0
        kept = rows[columns["at"][is_kept]]
        if len(kept):
            self.grow(int(kept.max()) + 1)
            put(self.table, kept, {name: columns[name][is_kept] for name in USAGE.names or ()})


def check_positions(at: IntArray, n_rows: int) -> None:
    """Raise ValueError where a snapshot's rows are of accounts that it does not have.

    Examples
    --------
    >>> check_positions(np.array([0, 5]), 5)
    Traceback (most recent call last):
    ValueError: usage of account 5 among 5
    """
    is_outside = (at < 0) | (at >= n_rows)
    if is_outside.any():
        message = f"usage of account {at[is_outside][0]} among {n_rows}"
        raise ValueError(message)
