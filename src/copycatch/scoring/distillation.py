"""The scorer of language-model use: how much an account's use looks like a campaign that distils the model.

Single figures of use have innocent twins: a reseller is as broad as a sweep, a tutor asks for reasons as a
harvest of reasoning does. Their conjunction is rare. A random forest [1]_ was trained to tell simulated
campaigns from the honest accounts of several logs, from whose prompts these campaigns were composed (`make
teach-use`). It does not change after that: what adapts to a log is the tail of its values among its accounts.

References
----------
.. [1] Breiman, Random forests, 2001.
"""

from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np

from copycatch.errors import StateError
from copycatch.features.catalog import FEATURE_INDEX
from copycatch.records.columns import FloatArray, IntArray
from copycatch.records.packing import pack, unpack
from copycatch.scoring.forest import Forest
from copycatch.scoring.protocol import Takes
from copycatch.usage.measures import MEASURES

FILE: Final = "distillation_forest.msgpack"
USAGE_COLUMNS: IntArray = np.array([FEATURE_INDEX[name] for name in MEASURES], dtype=np.int64)
NEEDED: Final = "breadth"  # without text nothing is said


@cache
def shipped_forest() -> Forest:
    """The forest of the package, over `MEASURES`."""
    return Forest.from_bytes((files("copycatch.scoring") / FILE).read_bytes()).for_inputs(MEASURES)


class DistillationForest:
    """How far the odds of a simulated campaign's use lie above those of honest accounts (nats).

    Examples
    --------
    >>> DistillationForest(MEASURES).score_many(np.full((1, len(MEASURES)), np.nan)).tolist()
    [nan]
    """

    name = "distillation"
    takes: Takes = "usage"

    def __init__(self, inputs: tuple[str, ...], forest: Forest | None = None) -> None:
        self._forest = (shipped_forest() if forest is None else forest).for_inputs(inputs)
        self._needed = inputs.index(NEEDED)
        self._n_missing = len(self._forest.names) - len(inputs)

    def score_many(self, values: FloatArray) -> FloatArray:
        missing = np.full((len(values), self._n_missing), np.nan)
        found = self._forest.surprisal(np.concatenate([values, missing], axis=1))
        return np.where(np.isnan(values[:, self._needed]), np.nan, found)

    def learn_many(self, account_hashes: IntArray, values: FloatArray) -> None:
        """Nothing: see above."""

    def forget_account(self, account_hash: int) -> None:
        """Nothing is kept of single accounts."""

    def snapshot(self) -> bytes:
        return pack({"digest": self._forest.digest})

    def to_judge(self) -> bytes:
        return self.snapshot()

    def restore(self, data: bytes) -> str | None:
        found = unpack(data)
        if not isinstance(found, dict) or "digest" not in found:
            message = "the snapshot's distillation scorer lacks its digest"
            raise StateError(message)
        return None


def shares_of_use(values: FloatArray) -> FloatArray:
    """Each measure's share of the scorer's value, (n, n_measures): of those that speak for a campaign.

    Parameters
    ----------
    values : ndarray of float64, shape (n, n_measures)
    """
    forest = shipped_forest()
    missing = np.full((len(values), len(forest.names) - values.shape[1]), np.nan)
    moved = forest.contributions(np.concatenate([values, missing], axis=1))[:, : values.shape[1]]
    upwards = np.maximum(moved, 0)
    shares: FloatArray = upwards / np.maximum(upwards.sum(axis=1, keepdims=True), 1e-12)
    return shares
