"""What the thief trains: substitutes on the victim's soft answers, and how much of it they have.

The networks are written out in numpy because the Jacobian attacks need input gradients and soft
targets, which scikit-learn's classifiers do not give.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from copycatch.redteam.extras import require
from copycatch.redteam.inputs import Domain, FloatArray, Inputs, IntArray, Rng
from copycatch.redteam.oracle import Answers, Transcript
from copycatch.redteam.victims import Victim

HIDDEN_UNITS = 64
STEPS = 900
BATCH = 64
N_HASHED = 4096
# Every campaign's curve is read at these counts: half of a model is gone after about 50 queries.
CURVE_QUERIES = (15, 25, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000)


class Student(Protocol):
    """A substitute model."""

    def classify(self, inputs: Inputs) -> FloatArray: ...


def softmax(logits: FloatArray) -> FloatArray:
    """Row-wise softmax.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return shares


class NetStudent:
    """One hidden layer, trained by Adam on soft answers.

    Parameters
    ----------
    inputs : ndarray of float64, shape (n_queries, n_features)
    targets : ndarray of float64, shape (n_queries, n_classes)
    rng : Generator
    steps : int
        Mini-batch steps.
    """

    def __init__(self, inputs: FloatArray, targets: FloatArray, rng: Rng, steps: int = STEPS) -> None:
        self._centre = inputs.mean(axis=0)
        # A column that the thief never saw move must not explode on held-out data.
        spread = inputs.std(axis=0)
        self._scale = np.maximum(spread, 0.05 * max(float(spread.max()), 1e-9))
        n_features, n_classes = inputs.shape[1], targets.shape[1]
        self._weights = [
            rng.normal(0, np.sqrt(2 / n_features), (n_features, HIDDEN_UNITS)),
            np.zeros(HIDDEN_UNITS),
            rng.normal(0, np.sqrt(1 / HIDDEN_UNITS), (HIDDEN_UNITS, n_classes)),
            np.zeros(n_classes),
        ]
        self._train(self._standardise(inputs), targets, rng, steps)

    def _standardise(self, inputs: FloatArray) -> FloatArray:
        # Amounts have long tails; the arcsinh keeps them from drowning the other columns.
        scaled: FloatArray = np.arcsinh((inputs - self._centre) / self._scale)
        return scaled

    def _train(self, x: FloatArray, targets: FloatArray, rng: Rng, steps: int) -> None:
        means = [np.zeros_like(w) for w in self._weights]
        squares = [np.zeros_like(w) for w in self._weights]
        for step in range(1, steps + 1):
            rows = rng.integers(len(x), size=min(BATCH, 2 * len(x)))
            rate = 3e-3 * (1 - step / (steps + 1))
            for i, slope in enumerate(self._slopes(x[rows], targets[rows])):
                means[i] += 0.1 * (slope - means[i])
                squares[i] += 0.001 * (slope**2 - squares[i])
                corrected = means[i] / (1 - 0.9**step)
                self._weights[i] -= rate * corrected / (np.sqrt(squares[i] / (1 - 0.999**step)) + 1e-8)

    def _slopes(self, x: FloatArray, targets: FloatArray) -> list[FloatArray]:
        first, bias, second, offset = self._weights
        hidden = np.maximum(x @ first + bias, 0)
        error = (softmax(hidden @ second + offset) - targets) / len(x)
        back = (error @ second.T) * (hidden > 0)
        return [
            x.T @ back + 1e-4 * first,
            back.sum(axis=0),
            hidden.T @ error + 1e-4 * second,
            error.sum(axis=0),
        ]

    def classify(self, inputs: Inputs) -> FloatArray:
        first, bias, second, offset = self._weights
        return softmax(np.maximum(self._standardise(inputs) @ first + bias, 0) @ second + offset)

    def gradients(self, inputs: Inputs, labels: IntArray) -> FloatArray:
        """Slope of log p[label] along each input, shape (n_queries, n_features)."""
        first, bias, second, offset = self._weights
        hidden = np.maximum(self._standardise(inputs) @ first + bias, 0)
        wanted = np.eye(second.shape[1])[labels] - softmax(hidden @ second + offset)
        inner = (inputs - self._centre) / self._scale
        slopes: FloatArray = (
            ((wanted @ second.T) * (hidden > 0)) @ first.T / self._scale / np.sqrt(1 + inner**2)
        )
        return slopes


class TextStudent:
    """Softmax regression over hashed words and word pairs, fitted on soft answers by L-BFGS."""

    def __init__(self, texts: Inputs, targets: FloatArray, iterations: int = 40) -> None:
        vectorizer = require("sklearn.feature_extraction.text").HashingVectorizer
        self._hash = vectorizer(n_features=N_HASHED, ngram_range=(1, 2), alternate_sign=False)
        hashed = self._hash.transform(texts)
        self._n_outputs = targets.shape[1]
        # Words never seen and outputs never given need no weights.
        self._words = np.flatnonzero(hashed.getnnz(axis=0))
        self._seen = np.flatnonzero(targets.sum(axis=0) > 0)
        x, wanted = hashed[:, self._words], targets[:, self._seen]
        shape = (len(self._words), len(self._seen))

        def loss(flat: FloatArray) -> tuple[float, FloatArray]:
            weights = flat.reshape(shape)
            probabilities = softmax(x @ weights)
            value = -float((wanted * np.log(probabilities + 1e-12)).sum()) + 0.02 * float(flat @ flat)
            slope = x.T @ (probabilities - wanted) + 0.04 * weights
            return value, np.asarray(slope).ravel()

        start, options = np.zeros(shape[0] * shape[1]), {"maxiter": iterations}
        found = require("scipy.optimize").minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
        self._weights: FloatArray = found.x.reshape(shape)

    def _logits(self, texts: Inputs | list[str]) -> FloatArray:
        return np.asarray(self._hash.transform(texts)[:, self._words] @ self._weights)

    def classify(self, inputs: Inputs) -> FloatArray:
        answers = np.zeros((len(inputs), self._n_outputs))
        answers[:, self._seen] = softmax(self._logits(inputs))
        return answers

    def word_slopes(self, words: tuple[str, ...]) -> FloatArray:
        """How much each single word speaks for each class, shape (n_words, n_classes)."""
        slopes = np.zeros((len(words), self._n_outputs))
        slopes[:, self._seen] = self._logits(list(words))
        return slopes


def train_student(
    domain: Domain, answers: Answers, rng: Rng, *, is_quick: bool = False
) -> NetStudent | TextStudent:
    """Train a substitute on what the victim answered.

    Parameters
    ----------
    domain : Domain
    answers : Answers
        At least one.
    rng : Generator
    is_quick : bool
        A third of the effort: what an attack needs between two rounds.
    """
    if domain.kind == "text":
        return TextStudent(answers.inputs, answers.probabilities, iterations=15 if is_quick else 40)
    # A few queries are learnt by heart in a few steps.
    steps = min(STEPS, STEPS // 3 + 2 * len(answers))
    return NetStudent(answers.inputs, answers.probabilities, rng, steps=STEPS // 3 if is_quick else steps)


def curve_queries(budget: int) -> list[int]:
    """The counts at which a curve is read.

    Examples
    --------
    >>> curve_queries(60)
    [15, 25, 50, 60]
    """
    return [n for n in CURVE_QUERIES if n < budget] + [budget]


def fidelity_curve(victim: Victim, transcript: Transcript, rng: Rng) -> list[tuple[int, float, float]]:
    """How much of the victim the thief has after so many queries.

    Returns
    -------
    list of (queries, fidelity, accuracy)
        Fidelity: agreement of the substitute's label with the victim's on held-out natural inputs.
    """
    curve = []
    for queries in curve_queries(len(transcript)):
        answers = transcript.head(queries)
        if len(answers) == 0:
            curve.append((queries, 0.0, 0.0))
            continue
        guess = train_student(victim.domain, answers, rng).classify(victim.held_out).argmax(axis=1)
        fidelity, accuracy = (
            float(np.mean(guess == victim.held_out_answers)),
            float(np.mean(guess == victim.held_out_labels)),
        )
        curve.append((queries, round(fidelity, 4), round(accuracy, 4)))
    return curve
