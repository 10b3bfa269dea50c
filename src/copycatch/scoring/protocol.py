"""What every scorer keeps to."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from copycatch.records.columns import FloatArray, IntArray

Takes = Literal["positions", "families", "usage", "activity"]
MIDDLE = 0.5  # where a missing position is put: in the middle of the normal range


@dataclass(frozen=True, slots=True)
class Inputs:
    """What scorers take of evaluations, NaN where missing.

    `positions` is where each scored feature lies in its normal range: .5 at the median, towards 0 and 1 far
    off. `families` is the anomaly score of each family of features, in [0, 1]: 0 at the median and on the
    harmless side. `usage` are the measures of a language model's use as they are, `activity` those of how
    much and when an account asks, in [0, 1].
    """

    positions: FloatArray  # (n, n_scored)
    families: FloatArray  # (n, n_feature_families)
    usage: FloatArray  # (n, n_measures)
    activity: FloatArray  # (n, n_activity_measures)

    def __len__(self) -> int:
        return len(self.families)

    def pick(self, rows: IntArray) -> "Inputs":
        return Inputs(self.positions[rows], self.families[rows], self.usage[rows], self.activity[rows])

    def named(self, name: Takes) -> FloatArray:
        values: FloatArray = getattr(self, name)
        return values


class Scorer(Protocol):
    """A judge of evaluations of one model's accounts.

    Its value is not yet a probability: the tail of the accounts' lifetime maxima makes it one. It learns only
    after scoring, at ticks, and from what was not flagged. It must clear away NaN and values outside [0, 1]
    itself before any model of its own sees them.
    """

    @property
    def name(self) -> str: ...

    @property
    def takes(self) -> Takes:
        """Which of `Inputs` it wants."""
        ...

    def score_many(self, values: FloatArray) -> FloatArray:
        """Anomaly score of each evaluation, (n, n_inputs) to (n,); changes nothing.

        Higher is more anomalous; NaN where it cannot say, because all is missing or it has learned too
        little. A row's value does not depend on the rows beside it.
        """
        ...

    def learn_many(self, account_hashes: IntArray, values: FloatArray) -> None:
        """Learn normal evaluations, in the order given: (n,) accounts and (n, n_inputs) values."""
        ...

    def forget_account(self, account_hash: int) -> None:
        """Take out what is kept of one account, if anything is kept of single ones."""
        ...

    def snapshot(self) -> bytes:
        """Plain data, never a pickle, with the names of its inputs."""
        ...

    def to_judge(self) -> bytes:
        """As `snapshot`, without what only learning needs: it scores the same, and learns no more."""
        ...

    def restore(self, data: bytes) -> str | None:
        """Take over a snapshot; a sentence where it cannot be used and the scorer warms up again.

        Inputs go by name: those of the snapshot that are gone are ignored, new ones were missing until now.

        Raises
        ------
        StateError
            If the bytes are damaged.
        """
        ...


def within_unit(values: FloatArray, missing: float) -> FloatArray:
    """Clipped to [0, 1], with `missing` for NaN.

    Examples
    --------
    >>> within_unit(np.array([-3.0, 0.2, np.nan, np.inf]), 0.5).tolist()
    [0.0, 0.2, 0.5, 1.0]
    """
    clean: FloatArray = np.clip(np.where(np.isnan(values), missing, values), 0.0, 1.0)
    return clean
