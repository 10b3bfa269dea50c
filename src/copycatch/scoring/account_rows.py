"""The latest inputs of each of the accounts heard last: what a scorer that compares accounts rests on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from copycatch.errors import StateError
from copycatch.records.columns import FloatArray, IntArray
from copycatch.records.packing import aligned, pack, unpack
from copycatch.scoring.protocol import within_unit

ACCOUNTS_MAX = 512


def fitted(found: Any, inputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> list[FloatArray] | None:
    """What a scorer came to by its rows, as its `to_judge` says under "fit"; None where that is nothing.

    Raises
    ------
    StateError
        If it has other shapes, or is of a scorer with other inputs.
    """
    if found["fit"] is None:
        return None
    fit: list[FloatArray] = list(found["fit"])
    if found["inputs"] != list(inputs) or [part.shape for part in fit] != list(shapes):
        message = "the version was made by a release of copycatch with other scorers"
        raise StateError(message)
    return fit


class AccountRows:
    """One row of inputs in [0, 1] an account, NaN where missing; whoever is silent longest gives way.

    Examples
    --------
    >>> rows = AccountRows(("a",))
    >>> rows.put(np.array([7, 8, 7]), np.array([[0.1], [0.2], [3.0]]))
    >>> rows.values().tolist()
    [[0.2], [1.0]]
    """

    def __init__(self, inputs: tuple[str, ...]) -> None:
        self._inputs = inputs
        self._row_by_account: dict[int, FloatArray] = {}  # the longest silent first

    def __len__(self) -> int:
        return len(self._row_by_account)

    def put(self, account_hashes: IntArray, values: FloatArray) -> None:
        kept = np.where(np.isnan(values), np.nan, within_unit(values, 0.0))
        for account, row in zip(account_hashes.tolist(), kept, strict=True):
            self._row_by_account.pop(account, None)
            self._row_by_account[account] = row.copy()  # not the batch that it came in
        while len(self._row_by_account) > ACCOUNTS_MAX:
            del self._row_by_account[next(iter(self._row_by_account))]

    def forget(self, account_hash: int) -> None:
        """Take an account's row out; what was fitted to all rows stays until the next fit."""
        self._row_by_account.pop(account_hash, None)

    def values(self) -> FloatArray:
        """All rows, (n_accounts, n_inputs)."""
        return np.array(list(self._row_by_account.values())).reshape(-1, len(self._inputs))

    def snapshot(self) -> bytes:
        accounts = np.array(list(self._row_by_account), dtype=np.int64)
        return pack({"inputs": list(self._inputs), "accounts": accounts, "rows": self.values()})

    def saved(self, data: bytes, name: str) -> tuple[IntArray, FloatArray]:
        """Accounts and rows of a snapshot of the scorer of this name, in the order of these inputs.

        Raises
        ------
        StateError
            If a part is missing or garbled.
        """
        found = unpack(data)
        try:
            accounts: IntArray = found["accounts"]
            whole = found["rows"].reshape(len(accounts), len(found["inputs"]))
            return accounts, aligned(whole, found["inputs"], self._inputs, np.nan)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            message = f"the snapshot's scorer {name} lacks or garbles a part: {error!r}"
            raise StateError(message) from error
