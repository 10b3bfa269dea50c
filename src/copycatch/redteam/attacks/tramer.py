"""Equation solving and line search (Tramèr et al., USENIX Security 2016)."""

from __future__ import annotations

import numpy as np

from copycatch.redteam.attacks.thief import Thief
from copycatch.redteam.inputs import Inputs
from copycatch.redteam.oracle import Oracle
from copycatch.redteam.students import train_student

BISECTIONS = 8
ROUNDS = 8


def line_search(oracle: Oracle, thief: Thief) -> None:
    """Bisect between pairs of natural inputs with different answers until the boundary is met.

    References
    ----------
    .. [1] Tramèr et al., Stealing Machine Learning Models via Prediction APIs, USENIX Security 2016,
       section 6 (extraction given class labels only, after Lowd and Meek 2005).
    """
    seeds = thief.seeds(oracle.budget)
    known = oracle.ask(seeds)
    while oracle.remaining:
        if len(known) < 2 or len(set(known.labels.tolist())) < 2:
            known = oracle.ask(thief.domain.draw_uniform(2, thief.rng))
            continue
        first, second = thief.rng.choice(len(known), size=2, replace=False)
        if known.labels[first] == known.labels[second]:
            continue
        _bisect(oracle, thief, known.inputs[[first]], int(known.labels[first]), known.inputs[[second]])


def _bisect(oracle: Oracle, thief: Thief, start: Inputs, start_label: int, end: Inputs) -> None:
    low, high = 0.0, 1.0
    # The first cut is off the middle, or every pair would give the same shares.
    share = float(thief.rng.uniform(0.3, 0.7))
    for _ in range(BISECTIONS):
        answer = oracle.ask(thief.domain.blend(start, end, np.array([share]), thief.rng))
        if len(answer) == 0:
            return
        low, high = (share, high) if int(answer.labels[0]) == start_label else (low, share)
        share = (low + high) / 2


def equation_solving(oracle: Oracle, thief: Thief) -> None:
    """Random queries whose soft answers are solved for the parameters, in adaptive rounds.

    After a first round of random points, each round asks the points about which the model solved so
    far is least sure (the paper's adaptive retraining).

    References
    ----------
    .. [1] Tramèr et al., Stealing Machine Learning Models via Prediction APIs, USENIX Security 2016,
       sections 4.1 and 4.3.
    """
    per_round = max(1, oracle.budget // ROUNDS)
    oracle.ask(thief.domain.draw_uniform(per_round, thief.rng))
    while oracle.remaining:
        n_wanted = min(per_round, oracle.remaining)
        candidates = thief.domain.draw_uniform(5 * n_wanted, thief.rng)
        held = oracle.held()
        if len(held) == 0:
            oracle.ask(candidates[:n_wanted])
            continue
        student = train_student(thief.domain, held, thief.rng, is_quick=True)
        top_two = np.sort(student.classify(candidates), axis=1)[:, -2:]
        oracle.ask(candidates[np.argsort(top_two[:, 1] - top_two[:, 0])[:n_wanted]])
