"""Jacobian-based augmentation (Papernot 2017) and its random targeted form (Juuti 2019)."""

from __future__ import annotations

import numpy as np

from copycatch.redteam.attacks.thief import Thief, pick
from copycatch.redteam.inputs import Box, FloatArray, Inputs, IntArray, as_texts
from copycatch.redteam.oracle import Answers, Oracle
from copycatch.redteam.students import NetStudent, TextStudent, train_student

STEP_SHARE = 0.1
# A column's step in units of what the thief saw it vary; larger ones leave the data within three rounds.
STEP_SPREADS = 0.25
TARGETED_STEPS = 3
PER_ROUND = 100


def jbda(oracle: Oracle, thief: Thief) -> None:
    """Grow a small natural set along the substitute's gradient, one signed step per point.

    References
    ----------
    .. [1] Papernot et al., Practical Black-Box Attacks against Machine Learning, ASIA CCS 2017.
    """
    _augment(oracle, thief, is_targeted=False)


def jb_random_targeted(oracle: Oracle, thief: Thief) -> None:
    """The same towards a random other class, in several smaller steps (T-RND).

    References
    ----------
    .. [1] Juuti et al., PRADA: Protecting against DNN Model Stealing Attacks, EuroS&P 2019, section 3.
    """
    _augment(oracle, thief, is_targeted=True)


def _augment(oracle: Oracle, thief: Thief, *, is_targeted: bool) -> None:
    seeds = thief.seeds(oracle.budget)
    spread = seeds.std(axis=0) if thief.domain.kind != "text" else np.zeros(0)
    oracle.ask(seeds)
    asked: set[str | bytes] = set()
    while oracle.remaining:
        held = oracle.held()
        if len(held) == 0:
            oracle.ask(thief.seeds(oracle.budget))
            continue
        student = train_student(thief.domain, held, thief.rng, is_quick=True)
        rows = pick(thief.rng, len(held), PER_ROUND)
        chosen = Answers(held.inputs[rows], held.probabilities[rows])
        wanted = (
            _random_others(chosen.labels, held.probabilities.shape[1], thief)
            if is_targeted
            else chosen.labels
        )
        if isinstance(student, TextStudent):
            moved = _reword(student, thief, chosen.inputs, wanted, n_swaps=2 if is_targeted else 1)
        else:
            assert thief.domain.box is not None
            # Pixels share one range; columns of a table are stepped by what the thief saw them vary.
            step = (
                STEP_SHARE * thief.domain.box.widths
                if thief.domain.kind == "image"
                else STEP_SPREADS * spread
            )
            moved = _step(student, chosen.inputs, wanted, step, thief.domain.box, is_targeted=is_targeted)
        oracle.ask(_unasked(moved, asked, thief))


def _unasked(moved: Inputs, asked: set[str | bytes], thief: Thief) -> Inputs:
    """A thief does not pay twice: a point that was asked before is asked a little elsewhere."""
    keys = [row if isinstance(row, str) else row.tobytes() for row in moved]
    is_again = np.array([key in asked for key in keys])
    if is_again.any():
        moved = moved.copy()
        moved[is_again] = thief.domain.vary(moved[is_again], 0.5, thief.rng)
    asked.update(keys)
    return moved


def _random_others(labels: IntArray, n_classes: int, thief: Thief) -> IntArray:
    return np.asarray((labels + thief.rng.integers(1, n_classes, size=len(labels))) % n_classes)


def _step(
    student: NetStudent, inputs: Inputs, wanted: IntArray, step: FloatArray, box: Box, *, is_targeted: bool
) -> Inputs:
    n_steps = TARGETED_STEPS if is_targeted else 1
    moved = inputs
    for _ in range(n_steps):
        moved = box.fit(moved + step / n_steps * np.sign(student.gradients(moved, wanted)))
    return moved


def _reword(student: TextStudent, thief: Thief, texts: Inputs, wanted: IntArray, n_swaps: int) -> Inputs:
    """Text has no gradient step: swap words for ones that speak for the wanted class."""
    vocabulary = tuple(sorted({w for text in texts for w in text.lower().split()}))
    slopes = student.word_slopes(vocabulary)
    moved = []
    for text, label in zip(texts, wanted.tolist(), strict=True):
        words = text.split()
        best = np.argsort(slopes[:, label])[-20:]
        for _ in range(n_swaps):
            if words:
                words[int(thief.rng.integers(len(words)))] = vocabulary[int(thief.rng.choice(best))]
        moved.append(" ".join(words))
    return as_texts(moved)
