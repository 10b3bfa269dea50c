"""The scorers of one model, and the looks that wait to be learned by them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from copycatch.errors import StateError
from copycatch.records.columns import FloatArray
from copycatch.scoring.catalog import FAMILIES, SCORERS
from copycatch.scoring.protocol import Inputs, Scorer

WAITING_MAX = 256  # accounts whose latest look waits
PER_TICK_MAX = 32  # looks learned per tick and model
# Those that learn and have a voice; a scorer whose weight is 0 costs nothing.
LEARNERS = tuple(spec for spec in SCORERS if spec.learns and spec.weight_max > 0)


@dataclass(slots=True)
class Ensemble:
    """All scorers of `catalog.SCORERS` for one model.

    Examples
    --------
    >>> sorted(Ensemble().scorers)
    ['half_space', 'multivariate', 'robust_tails', 'pretrained']
    """

    scorers: dict[str, Scorer] = field(default_factory=lambda: {spec.name: spec.make() for spec in SCORERS})
    waiting: dict[int, Inputs] = field(default_factory=dict)

    def family_values(self, inputs: Inputs) -> FloatArray:
        """What the scorers that learn say, (n, n_families) in the order of `FAMILIES`; NaN elsewhere."""
        values = np.full((len(inputs), len(FAMILIES)), np.nan)
        for spec in LEARNERS:
            said = self.scorers[spec.name].score_many(inputs.named(spec.takes))
            for column, family in enumerate(spec.families):
                values[:, FAMILIES.index(family)] = said[:, column]
        return values

    def wait(self, account_hash: int, evaluation: Inputs) -> None:
        """An account's latest look replaces the one that waits: one vote per account and tick."""
        if account_hash in self.waiting or len(self.waiting) < WAITING_MAX:
            self.waiting[account_hash] = evaluation

    def learn(self, flagged: frozenset[int]) -> None:
        """A bounded number of those that wait, in order of arrival; never of flagged accounts."""
        accounts = list(self.waiting)[:PER_TICK_MAX]
        looks = [(account, self.waiting.pop(account)) for account in accounts]
        kept = [(account, evaluation) for account, evaluation in looks if account not in flagged]
        if not kept:
            return
        hashes = np.array([account for account, _ in kept], dtype=np.int64)
        for spec in LEARNERS:
            rows = np.concatenate([evaluation.named(spec.takes) for _, evaluation in kept])
            self.scorers[spec.name].learn_many(hashes, rows)

    def snapshot(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "scorers": {name: scorer.snapshot() for name, scorer in self.scorers.items()},
            "waiting": [
                [account, evaluation.positions, evaluation.anomalies, evaluation.families]
                for account, evaluation in self.waiting.items()
            ],
        }

    def restore(self, plain: dict[str, Any]) -> list[str]:
        """Take over a snapshot; sentences about scorers that warm up again.

        Raises
        ------
        StateError
            If a part is missing or garbled.
        """
        try:
            waiting = {int(account): Inputs(*arrays) for account, *arrays in plain["waiting"]}
            notes = [
                scorer.restore(plain["scorers"][name])
                for name, scorer in self.scorers.items()
                if name in plain["scorers"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            message = f"the snapshot's scorers lack or garble a part: {error!r}"
            raise StateError(message) from error
        self.waiting = waiting
        return [note for note in notes if note is not None]
