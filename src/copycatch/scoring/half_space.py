"""Half-space trees [1]_ over the places of features in their normal ranges.

The trees are river's; they build themselves from the seed at the first row, so that the rows of the last
windows are all that a snapshot needs: learned again they give the same masses.

References
----------
.. [1] Tan, Ting and Liu, Fast anomaly detection for streaming data, IJCAI 2011.
"""

from importlib.metadata import version

import numpy as np
from river.anomaly import HalfSpaceTrees as RiverTrees

from copycatch.errors import StateError
from copycatch.records.columns import FloatArray, IntArray
from copycatch.records.packing import pack, unpack
from copycatch.scoring.protocol import Takes, within_unit

TREES = 10
HEIGHT = 8
WINDOW = 250  # rows; until that many are learned it says nothing
SEED = 20_260_105
MASS_MIN = 1e-6  # -ln of it, about 14, is the oddest
MIDDLE = 0.5  # where a missing feature is put: in the middle of the normal range


class HalfSpaceTrees:
    """-ln of the mass of normal looks around a look, over the mass if all lay there.

    Examples
    --------
    >>> trees = HalfSpaceTrees(n_inputs=2)
    >>> rows = np.random.default_rng(0).uniform(0.4, 0.6, (WINDOW, 2))
    >>> trees.learn_many(np.arange(WINDOW), rows)
    >>> usual, odd = trees.score_many(np.array([[0.5, 0.5], [0.99, 0.01]]))[:, 0]
    >>> bool(odd > usual)
    True
    """

    name = "half_space"
    families: tuple[str, ...] = ("half_space",)
    takes: Takes = "positions"

    def __init__(self, n_inputs: int) -> None:
        self._n_inputs = n_inputs
        self._keys = list(range(n_inputs))
        self._forget()

    def _forget(self) -> None:
        self._trees = RiverTrees(n_trees=TREES, height=HEIGHT, window_size=WINDOW, seed=SEED)
        self._rows: list[FloatArray] = []  # the last full window and the one under way
        self._learned = 0

    def score_many(self, values: FloatArray) -> FloatArray:
        scores = np.full((len(values), 1), np.nan)
        if self._learned < WINDOW:
            return scores
        for index in np.flatnonzero(~np.isnan(values).all(axis=1)).tolist():
            row = within_unit(values[index], MIDDLE).tolist()
            mass = 1.0 - self._trees.score_one(dict(zip(self._keys, row, strict=True)))  # type: ignore[no-untyped-call]
            scores[index, 0] = -np.log(max(mass, MASS_MIN))
        return scores

    def learn_many(self, account_hashes: IntArray, values: FloatArray) -> None:
        for row in within_unit(values, MIDDLE):
            self._trees.learn_one(dict(zip(self._keys, row.tolist(), strict=True)))  # type: ignore[no-untyped-call]
            self._rows.append(row.copy())
            self._learned += 1
            if self._learned % WINDOW == 0:
                del self._rows[:-WINDOW]

    def snapshot(self) -> bytes:
        rows = np.array(self._rows) if self._rows else np.empty((0, self._n_inputs))
        return pack({"river": version("river"), "learned": self._learned, "rows": rows})

    def restore(self, data: bytes) -> str | None:
        found = unpack(data)
        try:
            made_with, learned, rows = found["river"], int(found["learned"]), found["rows"]
            is_whole = rows.ndim == 2 and len(rows) == kept_rows(learned)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"the snapshot's half-space trees lack or garble a part: {error!r}"
            raise StateError(message) from error
        self._forget()
        if made_with != version("river"):
            return (
                f"half_space: learned with river {made_with}, this is {version('river')}; it warms up again"
            )
        if not is_whole or rows.shape[1] != self._n_inputs:
            return f"half_space: {rows.shape} rows do not fit {self._n_inputs} inputs; it warms up again"
        self.learn_many(np.zeros(len(rows), dtype=np.int64), rows)
        self._learned = learned
        return None


def kept_rows(learned: int) -> int:
    """How many rows are kept after so many were learned: the last full window and the one under way.

    Examples
    --------
    >>> kept_rows(100), kept_rows(250), kept_rows(260), kept_rows(500)
    (100, 250, 260, 250)
    """
    return learned if learned < WINDOW else WINDOW + learned % WINDOW
