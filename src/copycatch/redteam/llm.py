"""A simulated language model with a real, low-rank output layer.

What is real: prompts are read by a trained classifier, its state is projected to a hidden vector
of `HIDDEN_DIMS`, and a linear output layer and a softmax over `N_TOKENS` opening words give the
next-token distribution; top log-probabilities and logit bias act on that softmax as in public
APIs, so that Carlini et al. (2024) can recover the layer. What is not: only the opening word is
predicted; the rest of an answer is filler, and its length a rule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from copycatch.redteam.grammar_files import load_grammar
from copycatch.redteam.inputs import FloatArray, Inputs, IntArray
from copycatch.redteam.texts import GrammarTexts

HIDDEN_DIMS = 16
N_TOKENS = 160
TOKENS_PER_SKILL = 8


def prompt_texts(seed: int) -> GrammarTexts:
    """What an assistant is asked: 20 skills."""
    return GrammarTexts("llm", load_grammar("llm_prompts"), seed)


class LowRankHead:
    """From a reader's class probabilities to the distribution of the opening word.

    Parameters
    ----------
    readings : ndarray of float64, shape (n_prompts, n_skills)
        What the reader makes of the training prompts.
    skills : ndarray of int64, shape (n_prompts,)
    seed : int
        Draws each skill's favourite words.

    Attributes
    ----------
    weights : ndarray of float64, shape (N_TOKENS, HIDDEN_DIMS)
        The output layer that an attacker may want.

    Examples
    --------
    >>> head = LowRankHead(np.eye(20), np.arange(20), seed=1)
    >>> head.opening_words(np.full((1, 20), 0.05)).shape
    (1, 160)
    """

    def __init__(self, readings: FloatArray, skills: IntArray, seed: int) -> None:
        rng = np.random.default_rng([seed, 15])
        n_skills = readings.shape[1]
        self._project = np.linalg.qr(rng.normal(size=(n_skills, HIDDEN_DIMS)))[0]
        wanted = np.zeros((n_skills, N_TOKENS))
        for skill in range(n_skills):
            favourites = rng.permutation(N_TOKENS)[:TOKENS_PER_SKILL]
            wanted[skill, favourites] = np.linspace(14.0, 6.0, TOKENS_PER_SKILL)
        # The layer that best gives each skill its favourite words from so few dimensions.
        hidden = np.column_stack([self._hidden(readings), np.ones(len(readings))])
        layer = np.linalg.lstsq(hidden, wanted[skills], rcond=None)[0].T
        self.weights: FloatArray = np.asarray(layer[:, :-1], dtype=np.float64)
        self.bias: FloatArray = np.asarray(layer[:, -1], dtype=np.float64)
        self._favourites = wanted.argmax(axis=1)

    def _hidden(self, readings: FloatArray) -> FloatArray:
        # The square root keeps second guesses visible: two prompts of a skill differ in what follows.
        hidden: FloatArray = np.sqrt(readings) @ self._project
        return hidden

    def opening_words(self, probabilities: FloatArray) -> FloatArray:
        """Next-token probabilities, shape (n_queries, N_TOKENS)."""
        logits = self._hidden(probabilities) @ self.weights.T + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: FloatArray = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def favourites(self, skills: IntArray) -> IntArray:
        """The word that each skill's plain prompt is opened with."""
        return np.asarray(self._favourites[skills], dtype=np.int64)

    def space(self) -> FloatArray:
        """Orthonormal basis of all logit vectors relative to token 0, shape (N_TOKENS, HIDDEN_DIMS + 1)."""
        layer = np.column_stack([self.weights, self.bias])
        return np.linalg.qr(layer - layer[0])[0]


def with_head(read: Callable[[Inputs], FloatArray], head: LowRankHead) -> Callable[[Inputs], FloatArray]:
    """A reader of prompts with the output layer on top."""

    def classify(prompts: Inputs) -> FloatArray:
        return head.opening_words(read(prompts))

    return classify
