"""Stealing without any data: a generator looks for inputs on which victim and substitute differ."""

from __future__ import annotations

import numpy as np

from copycatch.redteam.attacks.thief import Thief
from copycatch.redteam.inputs import FloatArray
from copycatch.redteam.oracle import Answers, Oracle
from copycatch.redteam.students import train_student

NOISE_DIMS = 12
HIDDEN_UNITS = 48
BATCH = 16
# Of each generated input, so many disturbed copies are asked for the gradient's estimate.
DIRECTIONS = 1
EPSILON = 0.05
# Of normalised slopes: small beside the weights' own spread.
RATE = 0.03
ROUNDS_PER_TRAINING = 4


class Generator:
    """Noise to inputs in the unit cube: one hidden layer, trained by estimated gradients."""

    def __init__(self, n_features: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._first: FloatArray = rng.normal(0, 1 / np.sqrt(NOISE_DIMS), size=(NOISE_DIMS, HIDDEN_UNITS))
        self._second: FloatArray = rng.normal(0, 2 / np.sqrt(HIDDEN_UNITS), size=(HIDDEN_UNITS, n_features))
        self._noise = np.zeros((0, NOISE_DIMS))

    def draw(self, n_inputs: int) -> FloatArray:
        """Inputs between 0 and 1, shape (n_inputs, n_features)."""
        self._noise = self._rng.normal(size=(n_inputs, NOISE_DIMS))
        shares: FloatArray = 1 / (1 + np.exp(-np.tanh(self._noise @ self._first) @ self._second))
        return shares

    def climb(self, shares: FloatArray, slopes: FloatArray) -> None:
        """Move the weights so that the last drawn inputs follow their slopes."""
        hidden = np.tanh(self._noise[: len(shares)] @ self._first)
        at_output = slopes * shares * (1 - shares) / max(len(shares), 1)
        at_hidden = (at_output @ self._second.T) * (1 - hidden**2)
        for_first = self._noise[: len(shares)].T @ at_hidden
        for_second = hidden.T @ at_output
        self._first += RATE * for_first / (np.sqrt(np.mean(for_first**2)) + 1e-9)
        self._second += RATE * for_second / (np.sqrt(np.mean(for_second**2)) + 1e-9)


def data_free(oracle: Oracle, thief: Thief) -> None:
    """Train the generator on the disagreement, its gradient estimated by forward differences.

    References
    ----------
    .. [1] Truong et al., Data-Free Model Extraction, CVPR 2021 (disagreement by l1 of logits,
       forward differences).
    .. [2] Kariyappa, Prakash and Qureshi, MAZE, CVPR 2021 (zeroth-order gradients).
    """
    box = thief.domain.box
    assert box is not None
    generator = Generator(len(box.widths), thief.rng)
    rounds = 0
    student = None
    while oracle.remaining:
        n_inputs = max(1, min(BATCH, oracle.remaining // (1 + DIRECTIONS)))
        shares = generator.draw(n_inputs)
        directions = thief.rng.choice([-1.0, 1.0], size=shares.shape)
        stacked = np.concatenate([shares, np.clip(shares + EPSILON * directions, 0, 1)])
        failed_before = oracle.failures
        answers = oracle.ask(box.fit(box.lower + stacked * box.widths))
        rounds += 1
        # A pair with a failed half gives no slope; the answered rest still trains the substitute.
        if student is not None and oracle.failures == failed_before and len(answers) == 2 * n_inputs:
            apart = _disagreement(student.classify(answers.inputs), answers)
            rise = (apart[n_inputs:] - apart[:n_inputs]) / EPSILON
            generator.climb(shares, rise[:, None] * directions)
        if rounds % ROUNDS_PER_TRAINING == 1 and oracle.remaining:
            held = oracle.held()
            student = train_student(thief.domain, held, thief.rng, is_quick=True) if len(held) else None


def _disagreement(guess: FloatArray, answers: Answers) -> FloatArray:
    """Mean absolute difference of centred log-probabilities, one per query."""
    logs = [np.log(p + 1e-3) for p in (guess, answers.probabilities)]
    centred = [x - x.mean(axis=1, keepdims=True) for x in logs]
    apart: FloatArray = np.abs(centred[0] - centred[1]).mean(axis=1)
    return apart
