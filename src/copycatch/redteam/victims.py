"""Models to steal: small real ones, trained on the spot in seconds."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from copycatch.errors import ConfigError
from copycatch.redteam.api import Api, ClassifierApi, CompletionApi
from copycatch.redteam.extras import require
from copycatch.redteam.images import DigitImages
from copycatch.redteam.inputs import Domain, FloatArray, Inputs, IntArray, draw_many_styles
from copycatch.redteam.llm import N_TOKENS, LowRankHead, prompt_texts, with_head
from copycatch.redteam.tables import MadeTable, real_table
from copycatch.redteam.texts import shop_texts

Classify = Callable[[Inputs], FloatArray]

N_HELD_OUT = 2000


@dataclass(frozen=True)
class Victim:
    """A model behind an API, and what is needed to say how much of it a thief has got.

    Attributes
    ----------
    name : str
        Goes into `model_id`.
    domain : Domain
    classify : callable
        Inputs to class probabilities, shape (n_queries, n_classes).
    accuracy : float
        On the held-out inputs; NaN where their true classes are unknown.
    held_out, held_out_labels
        Natural inputs on which fidelity (agreement with the victim) is measured.
    held_out_answers : ndarray of int64
        The victim's labels of them.
    api : Api
        What the endpoint shows of an answer.
    head : LowRankHead or None
        The output layer of the simulated language model.
    stand_in : callable or None
        Answers honest users where the real endpoint's budget is for the attacks only.
    """

    name: str
    domain: Domain
    classify: Classify
    accuracy: float
    held_out: Inputs
    held_out_labels: IntArray
    held_out_answers: IntArray
    api: Api = field(default_factory=ClassifierApi)
    head: LowRankHead | None = None
    stand_in: Classify | None = None

    @property
    def usual(self) -> Classify:
        """What answers honest users."""
        return self.classify if self.stand_in is None else self.stand_in

    @property
    def n_outputs(self) -> int:
        """Classes of a classifier, opening words of a language model."""
        return len(self.domain.class_names) if self.head is None else N_TOKENS


@dataclass(frozen=True)
class VictimKind:
    """One row of the table of victims."""

    make_domain: Callable[[int], Domain]
    fit: Callable[[Inputs, IntArray, int], Classify]
    n_training: int
    description: str


def _probabilities_of(model: Any) -> Classify:
    def classify(inputs: Inputs) -> FloatArray:
        return np.asarray(model.predict_proba(inputs), dtype=np.float64)

    return classify


def _fit_network(inputs: Inputs, labels: IntArray, seed: int) -> Classify:
    network = require("sklearn.neural_network").MLPClassifier((64,), max_iter=30, random_state=seed)
    with warnings.catch_warnings():
        # A fixed number of epochs is wanted; whether the optimiser could go on is no news.
        warnings.simplefilter("ignore", require("sklearn.exceptions").ConvergenceWarning)
        scaler = require("sklearn.preprocessing").StandardScaler()
        return _probabilities_of(
            require("sklearn.pipeline").make_pipeline(scaler, network).fit(inputs, labels)
        )


def _fit_forest(inputs: Inputs, labels: IntArray, seed: int) -> Classify:
    forest = require("sklearn.ensemble").RandomForestClassifier(60, min_samples_leaf=2, random_state=seed)
    return _probabilities_of(forest.fit(inputs, labels))


def _fit_logistic(inputs: Inputs, labels: IntArray, seed: int) -> Classify:
    scaler = require("sklearn.preprocessing").StandardScaler()
    logistic = require("sklearn.linear_model").LogisticRegression(C=1.0, max_iter=500, random_state=seed)
    return _probabilities_of(require("sklearn.pipeline").make_pipeline(scaler, logistic).fit(inputs, labels))


def _fit_text(inputs: Inputs, labels: IntArray, seed: int) -> Classify:
    words = require("sklearn.feature_extraction.text").TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    logistic = require("sklearn.linear_model").LogisticRegression(C=10.0, max_iter=300, random_state=seed)
    return _probabilities_of(require("sklearn.pipeline").make_pipeline(words, logistic).fit(inputs, labels))


def _cancer(seed: int) -> Domain:
    return real_table("cancer", seed)


def _wine(seed: int) -> Domain:
    return real_table("wine", seed)


VICTIM_KINDS: dict[str, VictimKind] = {
    "digits": VictimKind(DigitImages, _fit_network, 3000, "handwritten digits, 8x8 images; neural network"),
    "tabular": VictimKind(
        MadeTable, _fit_forest, 4000, "made-up lending segments, 16 columns; random forest"
    ),
    "cancer": VictimKind(_cancer, _fit_logistic, 600, "breast tumours, 30 columns; logistic regression"),
    "wine": VictimKind(_wine, _fit_logistic, 300, "wines, 13 columns; logistic regression"),
    "intents": VictimKind(shop_texts, _fit_text, 4000, "web-shop messages, 26 intents; logistic regression"),
    "llm": VictimKind(
        prompt_texts, _fit_text, 4000, "assistant prompts, 20 skills; simulated language model"
    ),
}


def build_victim(name: str, seed: int) -> Victim:
    """Train one of the built-in victims.

    Parameters
    ----------
    name : str
        A key of `VICTIM_KINDS`.
    seed : int
        The same seed gives the same model and the same world around it.

    Raises
    ------
    ConfigError
        If there is no such victim.

    Examples
    --------
    >>> victim = build_victim("wine", seed=3)
    >>> victim.n_outputs, bool(victim.accuracy > 0.8)
    (3, True)
    """
    if name not in VICTIM_KINDS:
        message = f"no victim {name!r}; there are: {', '.join(VICTIM_KINDS)}"
        raise ConfigError(message)
    kind = VICTIM_KINDS[name]
    rng = np.random.default_rng([seed, 1])
    domain = kind.make_domain(seed)
    inputs, labels = domain.draw_training(kind.n_training, rng)
    classify = kind.fit(inputs, labels, seed)
    held_out, held_out_labels = draw_many_styles(domain, N_HELD_OUT, rng)
    api: Api = ClassifierApi()
    head = None
    if name == "llm":
        head = LowRankHead(classify(inputs), labels, seed)
        classify, held_out_labels = with_head(classify, head), head.favourites(held_out_labels)
        api = CompletionApi([f"opening-{i:03d}" for i in range(N_TOKENS)])
    answers = np.asarray(classify(held_out).argmax(axis=1), dtype=np.int64)
    accuracy = float(np.mean(answers == held_out_labels))
    return Victim(name, domain, classify, accuracy, held_out, held_out_labels, answers, api, head)
