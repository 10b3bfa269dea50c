"""Stealing with another domain's data: Knockoff Nets (Orekondy 2019), Copycat CNN (Correia-Silva 2018)."""

from __future__ import annotations

import numpy as np

from copycatch.redteam.attacks.thief import Thief
from copycatch.redteam.extras import require
from copycatch.redteam.inputs import FloatArray, Inputs, IntArray
from copycatch.redteam.oracle import Oracle
from copycatch.redteam.students import softmax, train_student

CHUNK = 256
N_GROUPS = 12
PER_ROUND = 20
PREFERENCE_RATE = 0.6


def knockoff_random(oracle: Oracle, thief: Thief) -> None:
    """Natural inputs of other domains, drawn at random.

    References
    ----------
    .. [1] Orekondy, Schiele and Fritz, Knockoff Nets, CVPR 2019, section 4.1.
    """
    while oracle.remaining:
        oracle.ask(thief.domain.draw_foreign(min(CHUNK, oracle.remaining), thief.style, thief.rng))


def copycat_cnn(oracle: Oracle, thief: Thief) -> None:
    """Other domains' natural inputs, of which only the label is used.

    The substitute is trained on the hard labels: the fidelity curve reads the transcript through
    `AttackKind.is_label_only`.

    References
    ----------
    .. [1] Correia-Silva et al., Copycat CNN, IJCNN 2018.
    """
    while oracle.remaining:
        batch = thief.domain.draw_foreign(min(CHUNK, oracle.remaining), thief.style, thief.rng)
        oracle.ask(batch)


def knockoff_adaptive(oracle: Oracle, thief: Thief) -> None:
    """A bandit over groups of foreign data, rewarded by certainty, diversity and loss.

    The paper's groups are the foreign data set's classes; here they are clusters of the pool.

    References
    ----------
    .. [1] Orekondy, Schiele and Fritz, Knockoff Nets, CVPR 2019, section 4.1.2 (gradient bandit,
       rewards cert, div and L).
    """
    pool = thief.foreign_pool(oracle.budget)
    groups = _cluster(pool, thief)
    left = [list(thief.rng.permutation(np.flatnonzero(groups == g))) for g in range(N_GROUPS)]
    preferences, mean_reward, mean_answer = np.zeros(N_GROUPS), 0.0, None
    student, rounds = None, 0
    while oracle.remaining:
        policy = softmax(np.where([bool(rows) for rows in left], preferences, -np.inf)[None, :])[0]
        group = int(thief.rng.choice(N_GROUPS, p=policy))
        rows = [left[group].pop() for _ in range(min(PER_ROUND, len(left[group])))]
        answers = oracle.ask(pool[rows])
        if len(answers) == 0:
            continue
        answer = answers.probabilities.mean(axis=0)
        top_two = np.sort(answers.probabilities, axis=1)[:, -2:]
        reward = float((top_two[:, 1] - top_two[:, 0]).mean())
        if mean_answer is not None:
            reward += float(np.maximum(answer - mean_answer, 0).sum())
        if student is not None:
            guess = np.log(student.classify(answers.inputs) + 1e-9)
            reward += min(1.0, -float((answers.probabilities * guess).sum(axis=1).mean()) / 3)
        mean_answer = answer if mean_answer is None else 0.9 * mean_answer + 0.1 * answer
        chosen = np.arange(N_GROUPS) == group
        preferences += PREFERENCE_RATE * (reward - mean_reward) * (chosen - policy)
        mean_reward += 0.2 * (reward - mean_reward)
        rounds += 1
        if rounds % 5 == 0:
            student = train_student(thief.domain, oracle.held(), thief.rng, is_quick=True)


def _cluster(pool: Inputs, thief: Thief) -> IntArray:
    """Groups of like candidates by a few rounds of k-means."""
    if thief.domain.kind == "text":
        vectorizer = require("sklearn.feature_extraction.text").HashingVectorizer(
            n_features=128, alternate_sign=False
        )
        points: FloatArray = np.asarray(vectorizer.transform(pool).todense())
    else:
        points = (pool - pool.mean(axis=0)) / np.maximum(pool.std(axis=0), 1e-6)
    centres = points[thief.rng.permutation(len(points))[:N_GROUPS]]
    groups = np.zeros(len(points), dtype=np.int64)
    for _ in range(6):
        groups = np.asarray(((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1))
        centres = np.stack(
            [
                points[groups == g].mean(axis=0) if (groups == g).any() else centres[g]
                for g in range(len(centres))
            ]
        )
    return groups
