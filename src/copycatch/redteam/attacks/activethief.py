"""Active learning on a pool of foreign data: ActiveThief (Pal et al., AAAI 2020)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from copycatch.redteam.attacks.thief import Thief
from copycatch.redteam.inputs import FloatArray, IntArray
from copycatch.redteam.oracle import Oracle
from copycatch.redteam.students import train_student

ROUNDS = 10
# Of the pool's most uncertain, so many per wanted query go to k-center in the combined form.
UNCERTAIN_PER_QUERY = 4

Choose = Callable[[FloatArray, FloatArray, int], IntArray]


def by_uncertainty(candidates: FloatArray, asked: FloatArray, n_wanted: int) -> IntArray:
    """The candidates whose predicted answer has the highest entropy.

    Examples
    --------
    >>> by_uncertainty(np.array([[0.9, 0.1], [0.5, 0.5]]), np.zeros((0, 2)), 1).tolist()
    [1]
    """
    entropy = -(candidates * np.log(candidates + 1e-12)).sum(axis=1)
    return np.argsort(-entropy)[:n_wanted]


def by_k_center(candidates: FloatArray, asked: FloatArray, n_wanted: int) -> IntArray:
    """Greedily the candidate whose predicted answer is farthest from all answers so far.

    Examples
    --------
    >>> by_k_center(np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([[0.6, 0.4]]), 1).tolist()
    [1]
    """
    nearest = np.full(len(candidates), np.inf)
    for start in range(0, len(asked), 256):
        part = asked[start : start + 256]
        squares = (candidates**2).sum(axis=1)[:, None] + (part**2).sum(axis=1) - 2 * candidates @ part.T
        nearest = np.minimum(nearest, squares.min(axis=1))
    chosen = []
    for _ in range(min(n_wanted, len(candidates))):
        row = int(nearest.argmax())
        chosen.append(row)
        nearest = np.minimum(nearest, ((candidates - candidates[row]) ** 2).sum(axis=1))
        nearest[row] = -1.0
    return np.array(chosen, dtype=np.int64)


def by_both(candidates: FloatArray, asked: FloatArray, n_wanted: int) -> IntArray:
    """k-center among the most uncertain."""
    uncertain = by_uncertainty(candidates, asked, UNCERTAIN_PER_QUERY * n_wanted)
    return uncertain[by_k_center(candidates[uncertain], asked, n_wanted)]


def uncertainty(oracle: Oracle, thief: Thief) -> None:
    """ActiveThief with the uncertainty strategy."""
    _steal(oracle, thief, by_uncertainty)


def k_center(oracle: Oracle, thief: Thief) -> None:
    """ActiveThief with the k-center strategy."""
    _steal(oracle, thief, by_k_center)


def both(oracle: Oracle, thief: Thief) -> None:
    """ActiveThief with uncertainty first and k-center among those."""
    _steal(oracle, thief, by_both)


def _steal(oracle: Oracle, thief: Thief, choose: Choose) -> None:
    """A tenth of the budget at random, then rounds of what the strategy wants.

    References
    ----------
    .. [1] Pal et al., ActiveThief: Model Extraction Using Active Learning and Unannotated Public
       Data, AAAI 2020.
    """
    pool = thief.foreign_pool(oracle.budget)
    is_left = np.ones(len(pool), dtype=bool)
    per_round = max(1, -(-oracle.budget // (ROUNDS + 1)))
    chosen = thief.rng.permutation(len(pool))[:per_round]
    while True:
        oracle.ask(pool[chosen])
        is_left[chosen] = False
        if not oracle.remaining:
            return
        held = oracle.held()
        rows = np.flatnonzero(is_left)
        if len(held) == 0:
            chosen = rows[:per_round]
            continue
        student = train_student(thief.domain, held, thief.rng, is_quick=True)
        chosen = rows[choose(student.classify(pool[rows]), student.classify(held.inputs), per_round)]
