"""The attacker's door to the victim: counted, sometimes failing, with everything written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from copycatch.redteam.inputs import BoolArray, FloatArray, Inputs, IntArray, Rng, join

# What a production endpoint refuses or breaks, as in the development traces.
FAILURE_PROB = 0.006

Params = dict[str, Any]


def hardened(probabilities: FloatArray) -> FloatArray:
    """What a thief keeps who sees labels only.

    Examples
    --------
    >>> hardened(np.array([[0.7, 0.3]]))
    array([[1., 0.]])
    """
    one_hot: FloatArray = np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    return one_hot


@dataclass(frozen=True)
class Answers:
    """The queries of one call that were answered.

    Attributes
    ----------
    inputs : Inputs
        What was asked, after any disguise rewrote it.
    probabilities : ndarray of float64, shape (n_answered, n_classes)
    """

    inputs: Inputs
    probabilities: FloatArray

    @property
    def labels(self) -> IntArray:
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Transcript:
    """Every query of an attack in the order it was asked.

    Attributes
    ----------
    inputs : Inputs, n_queries of them
    probabilities : ndarray of float64, shape (n_queries, n_classes)
        What the victim answers; rows of failed queries were never seen by the attacker.
    is_answered : ndarray of bool, shape (n_queries,)
    params : list of dict or None
        Request options where the attack set any.
    is_label_only : bool
        The attacker saw or kept labels only.
    """

    inputs: Inputs
    probabilities: FloatArray
    is_answered: BoolArray
    params: list[Params | None]
    is_label_only: bool = False

    def __len__(self) -> int:
        return len(self.inputs)

    def head(self, queries: int) -> Answers:
        """What the attacker holds after so many queries."""
        is_held = self.is_answered[:queries]
        probabilities = self.probabilities[:queries][is_held]
        return Answers(
            self.inputs[:queries][is_held], hardened(probabilities) if self.is_label_only else probabilities
        )


@dataclass
class Oracle:
    """Asks the victim and never more often than the budget allows.

    Parameters
    ----------
    classify : callable
        Inputs to class probabilities.
    budget : int
        Queries in all, failed ones included: the API counts them too.
    rng : Generator
        Draws the failures, and what the disguise changes.
    rewrite : callable, optional
        A disguise that changes inputs before they are sent.
    is_label_only : bool
        The endpoint shows, or the thief keeps, labels only.

    Examples
    --------
    >>> oracle = Oracle(lambda x: np.ones((len(x), 2)) / 2, budget=5, rng=np.random.default_rng(1))
    >>> len(oracle.ask(np.zeros((3, 4)))), len(oracle.ask(np.zeros((9, 4)))), oracle.remaining
    (3, 2, 0)
    """

    classify: Callable[[Inputs], FloatArray]
    budget: int
    rng: Rng
    rewrite: Callable[[Inputs, Rng], Inputs] | None = None
    is_label_only: bool = False
    failure_prob: float = FAILURE_PROB
    _inputs: list[Inputs] = field(default_factory=list)
    _probabilities: list[FloatArray] = field(default_factory=list)
    _is_answered: list[BoolArray] = field(default_factory=list)
    _params: list[Params | None] = field(default_factory=list)
    _asked: int = 0

    @property
    def remaining(self) -> int:
        return self.budget - self._asked

    @property
    def failures(self) -> int:
        """Queries that were counted and not answered."""
        return sum(int((~a).sum()) for a in self._is_answered)

    def ask(self, inputs: Inputs, params: Params | None = None) -> Answers:
        """Send as many of the inputs as the budget still allows; returns those that were answered."""
        sent = inputs[: self.remaining]
        if len(sent) == 0:
            n_classes = self._probabilities[0].shape[1] if self._probabilities else 0
            return Answers(sent, np.zeros((0, n_classes)))
        if self.rewrite is not None:
            sent = self.rewrite(sent, self.rng)
        probabilities = self.classify(sent)
        is_answered = self.rng.random(len(sent)) >= self.failure_prob
        self._asked += len(sent)
        self._inputs.append(sent)
        self._probabilities.append(probabilities)
        self._is_answered.append(is_answered)
        self._params.extend([params] * len(sent))
        shown = hardened(probabilities) if self.is_label_only else probabilities
        return Answers(sent[is_answered], shown[is_answered])

    def held(self) -> Answers:
        """Every answered query so far."""
        return self.transcript().head(self._asked)

    def transcript(self) -> Transcript:
        """Everything asked so far."""
        return Transcript(
            join(self._inputs),
            np.concatenate(self._probabilities),
            np.concatenate(self._is_answered),
            list(self._params),
            self.is_label_only,
        )
