"""A logistic regression that was trained on simulated extractions and goes on learning what is normal.

It starts from the pretrained weights. Then every normal evaluation that it learns is followed by one of a
simulated attack, so that both go on weighing the same, by stochastic gradient descent. It may move away from
the pretrained weights only so far, because among what is learned as normal there are always a few attackers
who have not been found yet. Each pair is judged before it is learned [1]_: where the attacks do not stand out
from what is normal of a model, its value is NaN.

References
----------
.. [1] Gama, Sebastiao and Rodrigues, On evaluating stream learning algorithms, 2013 (prequential error).
"""

import numpy as np

from copycatch.compiled import njit
from copycatch.errors import StateError
from copycatch.records.columns import FloatArray, IntArray
from copycatch.records.packing import aligned, pack, unpack
from copycatch.scoring.pretrained_weights import PRETRAINED_WEIGHTS, PretrainedWeights
from copycatch.scoring.protocol import MIDDLE, Takes, within_unit

RATE = 0.01
SHIFT_MAX = 1.0  # of a coefficient, from its pretrained value; they are up to 7
SEPARATES_MIN = 0.75  # share of pairs in which the attack stands out; of the last hundred or so
_FADING = 0.01
# Accounts that extract, of all: turns odds among equally many evaluations of both kinds into a chance.
ATTACKER_SHARE = 0.02


@njit(cache=True)
def _log_odds(row, state):  # type: ignore[no-untyped-def]
    total = state[len(row)]
    for f in range(len(row)):
        total += state[f] * row[f]
    return total


@njit(cache=True)
def _all_log_odds(rows, state, out):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        out[i] = _log_odds(rows[i], state)


@njit(cache=True)
def _learn(normal, attacks, first, coefficients, state):  # type: ignore[no-untyped-def]
    """Pairs of a normal evaluation and an attack's; `state` is coefficients, intercept and separation."""
    n = normal.shape[1]
    for i in range(len(normal)):
        attack = attacks[(first + i) % len(attacks)]
        stands_out = 1.0 if _log_odds(attack, state) > _log_odds(normal[i], state) else 0.0
        state[n + 1] += _FADING * (stands_out - state[n + 1])
        for row, is_attack in ((normal[i], 0.0), (attack, 1.0)):
            error = 1 / (1 + np.exp(-_log_odds(row, state))) - is_attack
            for f in range(n):
                moved = state[f] - RATE * error * row[f]
                state[f] = min(max(moved, coefficients[f] - SHIFT_MAX), coefficients[f] + SHIFT_MAX)
            state[n] -= RATE * error


class PretrainedClassifier:
    """Log odds of a simulated attack's evaluation against a normal one's.

    Examples
    --------
    >>> from copycatch.scoring.scored_features import SCORED_NAMES
    >>> classifier, normal = PretrainedClassifier(SCORED_NAMES), np.full((1, len(SCORED_NAMES)), 0.5)
    >>> attacks = PRETRAINED_WEIGHTS.for_inputs(SCORED_NAMES).attack_evaluations
    >>> bool(classifier.score_many(attacks).mean() > 0 > classifier.score_many(normal)[0])
    True
    """

    name = "pretrained"
    takes: Takes = "positions"

    def __init__(self, inputs: tuple[str, ...], weights: PretrainedWeights = PRETRAINED_WEIGHTS) -> None:
        self._weights = weights.for_inputs(inputs)
        self._learned = 0
        # One array, as compiled code changes it in place: coefficients, intercept, separation.
        self._state = np.array([*self._weights.coefficients, self._weights.intercept, 1.0])

    def score_many(self, values: FloatArray) -> FloatArray:
        if self._state[-1] < SEPARATES_MIN:
            return np.full(len(values), np.nan)
        log_odds = np.empty(len(values))
        _all_log_odds(within_unit(values, MIDDLE), self._state, log_odds)
        known = ~np.isnan(values).all(axis=1)
        return np.where(known, log_odds, np.nan)

    def learn_many(self, account_hashes: IntArray, values: FloatArray) -> None:
        attacks, coefficients = self._weights.attack_evaluations, self._weights.coefficients
        _learn(within_unit(values, MIDDLE), attacks, self._learned, coefficients, self._state)
        self._learned += len(values)

    def forget_account(self, account_hash: int) -> None:
        """Nothing is kept of single accounts."""

    def snapshot(self) -> bytes:
        return pack(
            {
                "inputs": list(self._weights.names),
                "pretrained_weights": self._weights.coefficients,
                "learned": self._learned,
                "state": self._state,
            }
        )

    def to_judge(self) -> bytes:
        return self.snapshot()

    def restore(self, data: bytes) -> str | None:
        found, names = unpack(data), self._weights.names
        try:
            inputs, learned, state = found["inputs"], int(found["learned"]), found["state"]
            before = aligned(found["pretrained_weights"], inputs, names, np.nan)
            own = aligned(state[:-2], inputs, names, np.nan)
            here = set(names)
            dropped = [index for index, name in enumerate(inputs) if name not in here]
            intercept, separation = state[-2] + MIDDLE * state[dropped].sum(), state[-1]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            message = f"the snapshot's pretrained scorer lacks or garbles a part: {error!r}"
            raise StateError(message) from error
        is_known = ~np.isnan(before)
        if not np.array_equal(before[is_known], self._weights.coefficients[is_known]):
            return "pretrained: this version ships other weights; it starts from them again"
        own = np.where(is_known, own, self._weights.coefficients)
        self._state, self._learned = np.array([*own, intercept, separation]), learned
        return None


def chance_of(log_odds: FloatArray) -> FloatArray:
    """Chance of an attack, if one account in fifty extracts; NaN for NaN.

    Examples
    --------
    >>> chance_of(np.array([0.0, 4.0, 8.0, np.nan])).round(2)
    array([0.02, 0.53, 0.98,  nan])
    """
    prior = np.log(ATTACKER_SHARE / (1 - ATTACKER_SHARE))
    chances: FloatArray = 1 / (1 + np.exp(-(np.clip(log_odds, -50, 50) + prior)))
    return chances
