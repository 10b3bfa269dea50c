"""Attacks of the Adversarial Robustness Toolbox over our oracle: the extra `copycatch[art]`.

The toolbox chooses, asks and trains; what it cannot know stays here: a budget that failed queries use up
as well, and inputs that the victim's types can express.

References
----------
.. [1] Nicolae et al., Adversarial Robustness Toolbox v1.0.0, arXiv:1807.01069, 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from copycatch.redteam.attacks.thief import Thief
from copycatch.redteam.extras import require_quietly
from copycatch.redteam.inputs import FloatArray, Rng
from copycatch.redteam.oracle import Answers, Oracle
from copycatch.redteam.students import Student, train_student

CHUNK = 256
EXTRACTION = "art.attacks.extraction"


def art_knockoff(oracle: Oracle, thief: Thief) -> None:
    """Knockoff Nets with the random strategy, trained on probabilities, as the toolbox has it.

    References
    ----------
    .. [1] Orekondy, Schiele and Fritz, Knockoff Nets, CVPR 2019.
    """
    attack = require_quietly(EXTRACTION).KnockoffNets
    _extract(attack, oracle, thief, sampling_strategy="random", use_probability=True, verbose=False)


def art_copycat_cnn(oracle: Oracle, thief: Thief) -> None:
    """Copycat CNN, trained on labels, as the toolbox has it.

    References
    ----------
    .. [1] Correia-Silva et al., Copycat CNN, IJCNN 2018.
    """
    _extract(require_quietly(EXTRACTION).CopycatCNN, oracle, thief, use_probability=False)


@contextmanager
def _legacy_seed(rng: Rng) -> Iterator[None]:
    """The toolbox draws from numpy's global generator; the campaign's seed decides that, too."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(int(rng.integers(1 << 32)))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _extract(attack: Any, oracle: Oracle, thief: Thief, **options: Any) -> None:
    """Let the toolbox steal with other domains' data; every query goes through the oracle."""
    pool = thief.foreign_pool(oracle.budget)
    black_box = require_quietly("art.estimators.classification").BlackBoxClassifier
    victim = black_box(_answers_of(oracle, thief), pool.shape[1:], thief.n_outputs)
    substitute = _substitute(black_box, thief, pool.shape[1:])
    options |= {"batch_size_query": CHUNK, "batch_size_fit": CHUNK, "nb_epochs": 1}
    with _legacy_seed(thief.rng):
        attack(victim, nb_stolen=oracle.budget, **options).extract(pool, thieved_classifier=substitute)


def _answers_of(oracle: Oracle, thief: Thief) -> Any:
    def predict(inputs: FloatArray) -> FloatArray:
        wide = inputs.astype(np.float64)
        # It asks in single precision, which no client of an endpoint with whole numbers would send.
        box = thief.domain.box
        answers = oracle.ask(wide if box is None else box.fit(wide))
        # A failed query teaches nothing: all classes alike. The toolbox knows no missing answer.
        shown = np.full((len(inputs), thief.n_outputs), 1 / thief.n_outputs)
        shown[oracle.transcript().is_answered[-len(inputs) :]] = answers.probabilities
        return shown

    return predict


def _substitute(black_box: Any, thief: Thief, input_shape: tuple[int, ...]) -> Any:
    """Our own small network behind the toolbox's interface: its fit and predict."""
    trained: list[Student] = []

    def fit(_self: object, x: FloatArray, y: FloatArray, **_options: object) -> None:
        answers = Answers(x.astype(np.float64), y.astype(np.float64))
        trained[:] = [train_student(thief.domain, answers, thief.rng, is_quick=True)]

    def predict(inputs: FloatArray) -> FloatArray:
        return trained[0].classify(inputs.astype(np.float64))

    return type("Substitute", (black_box,), {"fit": fit})(predict, input_shape, thief.n_outputs)
