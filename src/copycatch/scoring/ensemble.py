"""The scorers of one model, and the evaluations that wait to be learned by them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from copycatch.errors import StateError
from copycatch.records.columns import FloatArray
from copycatch.records.packing import aligned
from copycatch.scoring.catalog import INPUT_NAMES, SCORERS
from copycatch.scoring.protocol import Inputs, Scorer

WAITING_MAX = 256  # accounts whose latest evaluation waits
PER_TICK_MAX = 32  # evaluations learned per tick and model
LEARNERS = tuple(spec for spec in SCORERS if spec.cap > 0)  # none is computed without a part in the score


@dataclass(slots=True)
class Ensemble:
    """All scorers of `catalog.SCORERS` for one model.

    Examples
    --------
    >>> sorted(Ensemble().scorers)
    ['activity', 'distillation', 'half_space', 'multivariate', 'pretrained']
    """

    scorers: dict[str, Scorer] = field(default_factory=lambda: {spec.name: spec.make() for spec in SCORERS})
    waiting: dict[int, Inputs] = field(default_factory=dict)

    def values(self, inputs: Inputs) -> FloatArray:
        """What the scorers say, (n, n_scorers) in the order of `SCORERS`; NaN where one cannot say."""
        values = np.full((len(inputs), len(SCORERS)), np.nan)
        for spec in LEARNERS:
            values[:, SCORERS.index(spec)] = self.scorers[spec.name].score_many(inputs.named(spec.takes))
        return values

    def wait(self, account_hash: int, evaluation: Inputs) -> None:
        """An account's latest evaluation replaces the one that waits: one vote per account and tick."""
        if account_hash in self.waiting or len(self.waiting) < WAITING_MAX:
            self.waiting[account_hash] = evaluation

    def learn(self, flagged: frozenset[int]) -> None:
        """A bounded number of those that wait, in order of arrival; never of flagged accounts."""
        accounts = list(self.waiting)[:PER_TICK_MAX]
        taken = [(account, self.waiting.pop(account)) for account in accounts]
        kept = [(account, evaluation) for account, evaluation in taken if account not in flagged]
        if not kept:
            return
        hashes = np.array([account for account, _ in kept], dtype=np.int64)
        for spec in LEARNERS:
            rows = np.concatenate([evaluation.named(spec.takes) for _, evaluation in kept])
            self.scorers[spec.name].learn_many(hashes, rows)

    def forget_account(self, account_hash: int) -> None:
        """Take out what is kept of one account; what was fitted to many stays."""
        self.waiting.pop(account_hash, None)
        for scorer in self.scorers.values():
            scorer.forget_account(account_hash)

    def snapshot(self) -> dict[str, Any]:
        """Plain values."""
        waiting = self.waiting.values()
        return {
            "scorers": {name: scorer.snapshot() for name, scorer in self.scorers.items()},
            "waiting": list(self.waiting),
            "inputs": {
                takes: [list(names), [evaluation.named(takes) for evaluation in waiting]]
                for takes, names in INPUT_NAMES.items()
            },
        }

    def restore(self, plain: dict[str, Any]) -> list[str]:
        """Take over a snapshot; sentences about scorers that warm up again.

        Raises
        ------
        StateError
            If a part is missing or garbled.
        """
        try:
            empty = [[], [np.empty((1, 0))] * len(plain["waiting"])]  # of inputs that there were none of yet
            found = {takes: plain["inputs"].get(takes, empty) for takes in INPUT_NAMES}
            columns = {
                takes: [aligned(row, found[takes][0], names, np.nan) for row in found[takes][1]]
                for takes, names in INPUT_NAMES.items()
            }
            waiting = {
                int(account): Inputs(**dict(zip(columns, rows, strict=True)))
                for account, *rows in zip(plain["waiting"], *columns.values(), strict=True)
            }
            warnings = [
                scorer.restore(plain["scorers"][name])
                for name, scorer in self.scorers.items()
                if name in plain["scorers"]
            ]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            message = f"the snapshot's scorers lack or garble a part: {error!r}"
            raise StateError(message) from error
        self.waiting = waiting
        return [warning for warning in warnings if warning is not None]
