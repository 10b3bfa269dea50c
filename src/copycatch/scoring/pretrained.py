"""A logistic regression that was pretrained on simulated extractions and goes on learning what is normal.

It starts from the shipped pretrained_weights. Then every normal look that it learns is followed by a
simulated
attack's, so that both go on weighing the same, by stochastic gradient descent. It may move away from the
pretrained_weights only so far, because among what is learned as normal there are always a few who have not
been found
out yet. Each pair is judged before it is learned [1]_: where the attacks do not stand out from what is normal
of a model, it has no say.

References
----------
.. [1] Gama, Sebastiao and Rodrigues, On evaluating stream learning algorithms, 2013 (prequential error).
"""

import numpy as np
from numba import njit

from copycatch.errors import StateError
from copycatch.records.columns import FloatArray, IntArray
from copycatch.records.packing import pack, unpack
from copycatch.scoring.pretrained_weights import PRETRAINED_WEIGHTS
from copycatch.scoring.protocol import MIDDLE, Takes, within_unit

RATE = 0.01
SHIFT_MAX = 1.0  # of a coefficient, from what the pretrained_weights made it; they are up to 7
SEPARATES_MIN = 0.75  # share of pairs in which the attack stands out; of the last hundred or so
_FADING = 0.01
# Accounts that extract, of all: what turns odds among equally many looks of both kinds into a chance.
ATTACKER_SHARE = 0.02


@njit(cache=True)
def _log_odds(row, state):  # type: ignore[no-untyped-def]
    total = state[len(row)]
    for f in range(len(row)):
        total += state[f] * row[f]
    return total


@njit(cache=True)
def _say(rows, state, out):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        out[i] = _log_odds(rows[i], state)


@njit(cache=True)
def _learn(looks, attacks, first, pretrained_weights, state):  # type: ignore[no-untyped-def]
    """Pairs of a normal look and an attack's; `state` is coefficients, intercept and separation."""
    n = looks.shape[1]
    for i in range(len(looks)):
        attack = attacks[(first + i) % len(attacks)]
        stands_out = 1.0 if _log_odds(attack, state) > _log_odds(looks[i], state) else 0.0
        state[n + 1] += _FADING * (stands_out - state[n + 1])
        for row, is_attack in ((looks[i], 0.0), (attack, 1.0)):
            error = 1 / (1 + np.exp(-_log_odds(row, state))) - is_attack
            for f in range(n):
                moved = state[f] - RATE * error * row[f]
                state[f] = min(
                    max(moved, pretrained_weights[f] - SHIFT_MAX), pretrained_weights[f] + SHIFT_MAX
                )
            state[n] -= RATE * error


class PretrainedClassifier:
    """Log odds of a simulated attack's look against a normal one's.

    Examples
    --------
    >>> pretrained = PretrainedClassifier()
    >>> normal = np.full((1, PRETRAINED_WEIGHTS.attack_evaluations.shape[1]), 0.5)
    >>> odd, usual = pretrained.score_many(PRETRAINED_WEIGHTS.attack_evaluations).mean(),
    pretrained.score_many(normal)[0, 0]
    >>> bool(odd > 0 > usual)
    True
    """

    name = "pretrained"
    families: tuple[str, ...] = ("pretrained",)
    takes: Takes = "positions"

    def __init__(self) -> None:
        # Coefficients, intercept, and the share of pairs in which the attack stood out.
        self._state = np.append(PRETRAINED_WEIGHTS.coefficients, [PRETRAINED_WEIGHTS.intercept, 1.0])
        self._learned = 0

    def score_many(self, values: FloatArray) -> FloatArray:
        log_odds = np.empty(len(values))
        _say(within_unit(values, MIDDLE), self._state, log_odds)
        known = ~np.isnan(values).all(axis=1) & (self._state[-1] >= SEPARATES_MIN)
        return np.where(known, log_odds, np.nan)[:, None]

    def learn_many(self, account_hashes: IntArray, values: FloatArray) -> None:
        attacks, pretrained_weights = PRETRAINED_WEIGHTS.attack_evaluations, PRETRAINED_WEIGHTS.coefficients
        _learn(within_unit(values, MIDDLE), attacks, self._learned, pretrained_weights, self._state)
        self._learned += len(values)

    def snapshot(self) -> bytes:
        return pack(
            {
                "pretrained_weights": PRETRAINED_WEIGHTS.coefficients,
                "learned": self._learned,
                "state": self._state,
            }
        )

    def restore(self, data: bytes) -> str | None:
        found = unpack(data)
        try:
            pretrained_weights, learned, state = (
                found["pretrained_weights"],
                int(found["learned"]),
                found["state"],
            )
            is_same = np.array_equal(pretrained_weights, PRETRAINED_WEIGHTS.coefficients)
            is_whole = state.shape == self._state.shape and state.dtype == np.float64
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"the snapshot's pretrained scorer lacks or garbles a part: {error!r}"
            raise StateError(message) from error
        if not is_same or not is_whole:
            return "pretrained: this version ships other weights; it starts from them again"
        self._state, self._learned = state.copy(), learned
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
