"""Half-space trees [1]_ over the positions of features in their normal ranges.

The trees are river's; they build themselves from the seed at the first row, so that the rows of the last
windows are all that a snapshot needs: learned again they give the same masses.

References
----------
.. [1] Tan, Ting and Liu, Fast anomaly detection for streaming data, IJCAI 2011.
"""

from importlib.metadata import version
from typing import Any

import numpy as np
from river.anomaly import HalfSpaceTrees as RiverTrees

from copycatch.compiled import njit
from copycatch.errors import StateError
from copycatch.records.columns import FloatArray, IntArray
from copycatch.records.packing import aligned, pack, unpack
from copycatch.scoring.account_rows import fitted
from copycatch.scoring.protocol import MIDDLE, Takes, within_unit

TREES = 10
HEIGHT = 8
WINDOW = 250  # rows; until that many are learned its value is NaN
SEED = 20_260_105
MASS_MIN = 1e-6  # -ln of it, about 14, is the oddest
MASS_TO_GO_ON = 0.1 * WINDOW  # river's own limit, from the paper


_Flat = tuple[IntArray, FloatArray, FloatArray]
"""Feature, threshold and mass of each node, (n_trees, n_nodes); node i has the children 2i + 1 and 2i + 2."""


@njit(cache=True)
def _walk(rows, features, thresholds, masses, totals):  # type: ignore[no-untyped-def]
    """River's walk of each row through each tree; it ends where the mass is below a tenth of the window."""
    for i in range(len(rows)):
        for t in range(len(features)):
            node, weight = 0, 1.0
            for _ in range(HEIGHT):
                totals[i] += masses[t, node] * weight
                if masses[t, node] < MASS_TO_GO_ON:
                    break
                is_right = rows[i, features[t, node]] >= thresholds[t, node]
                node = 2 * node + 1 + is_right
                weight *= 2
            else:
                totals[i] += masses[t, node] * weight


def _flattened(trees: RiverTrees) -> _Flat:
    """The trees as arrays: an evaluation then costs a microsecond instead of fifty."""
    shape = (len(trees.trees), 2 ** (HEIGHT + 1) - 1)
    features, thresholds, masses = np.zeros(shape, dtype=np.int64), np.zeros(shape), np.zeros(shape)
    for t, root in enumerate(trees.trees):
        level = [root]
        at = 0
        for depth in range(HEIGHT + 1):
            for node in level:
                masses[t, at] = node.r_mass
                if depth < HEIGHT:
                    features[t, at], thresholds[t, at] = node.feature, node.threshold
                at += 1
            level = [child for node in level for child in node.children] if depth < HEIGHT else []
    return features, thresholds, masses


class HalfSpaceTrees:
    """-ln of the mass of normal evaluations around one, over the mass if all lay there.

    Examples
    --------
    >>> trees = HalfSpaceTrees(("a", "b"))
    >>> rows = np.random.default_rng(0).uniform(0.4, 0.6, (WINDOW, 2))
    >>> trees.learn_many(np.arange(WINDOW), rows)
    >>> usual, odd = trees.score_many(np.array([[0.5, 0.5], [0.99, 0.01]]))
    >>> bool(odd > usual)
    True
    """

    name = "half_space"
    takes: Takes = "positions"

    def __init__(self, inputs: tuple[str, ...]) -> None:
        self._inputs = inputs
        self._keys = list(range(len(inputs)))  # river draws features from these: names would draw others
        self._forget()

    def _forget(self) -> None:
        self._trees = RiverTrees(n_trees=TREES, height=HEIGHT, window_size=WINDOW, seed=SEED)
        self._rows: list[FloatArray] = []  # the last full window and the one under way
        self._flat: _Flat | None = None  # of the trees as they score now; made when asked for
        self._learned = 0

    def score_many(self, values: FloatArray) -> FloatArray:
        scores = np.full(len(values), np.nan)
        if self._learned < WINDOW:
            return scores
        if self._flat is None:
            self._flat = _flattened(self._trees)
        known = ~np.isnan(values).all(axis=1)
        totals = np.zeros(len(values))
        _walk(within_unit(values, MIDDLE), *self._flat, totals)
        # The same steps as river's `score_one`, which gives 1 less the mass.
        mass = 1.0 - (1.0 - totals / (TREES * WINDOW * (2 ** (HEIGHT + 1) - 1)))
        scores[known] = -np.log(np.maximum(mass[known], MASS_MIN))
        return scores

    def learn_many(self, account_hashes: IntArray, values: FloatArray) -> None:
        for row in within_unit(values, MIDDLE):
            self._trees.learn_one(dict(zip(self._keys, row.tolist(), strict=True)))  # type: ignore[no-untyped-call]
            self._rows.append(row.copy())
            self._learned += 1
            if self._learned % WINDOW == 0:
                del self._rows[:-WINDOW]
                self._flat = None  # river has just taken over the masses of the window

    def forget_account(self, account_hash: int) -> None:
        """Nothing is kept of single accounts."""

    def snapshot(self) -> bytes:
        rows = np.array(self._rows) if self._rows else np.empty((0, len(self._inputs)))
        head = {"river": version("river"), "inputs": list(self._inputs), "learned": self._learned}
        return pack(head | {"rows": rows})

    def to_judge(self) -> bytes:
        fit = None
        if self._learned >= WINDOW:
            self._flat = _flattened(self._trees) if self._flat is None else self._flat
            fit = list(self._flat)
        return pack({"inputs": list(self._inputs), "fit": fit})

    def _restore_to_judge(self, found: dict[str, Any]) -> None:
        shape = (TREES, 2 ** (HEIGHT + 1) - 1)
        fit = fitted(found, self._inputs, [shape] * 3)
        self._forget()
        if fit is not None:
            features, thresholds, masses = fit
            self._flat = features.astype(np.int64), thresholds, masses
            self._learned = WINDOW
            if not 0 <= self._flat[0].min() <= self._flat[0].max() < len(self._inputs):
                self._forget()
                message = "the version's half-space trees ask for inputs that there are none of"
                raise StateError(message)

    def restore(self, data: bytes) -> str | None:
        found = unpack(data)
        if isinstance(found, dict) and "fit" in found:
            self._restore_to_judge(found)
            return None
        try:
            made_with, learned = found["river"], int(found["learned"])
            whole = found["rows"].reshape(kept_rows(learned), len(found["inputs"]))
            rows = aligned(whole, found["inputs"], self._inputs, MIDDLE)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            message = f"the snapshot's half-space trees lack or garble a part: {error!r}"
            raise StateError(message) from error
        self._forget()
        if made_with != version("river"):
            return (
                f"half_space: learned with river {made_with}, this is {version('river')}; it warms up again"
            )
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
