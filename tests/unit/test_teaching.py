"""`make teach`: weights are learned within their bounds, and count only where they hold elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from copycatch.scoring.catalog import COMPONENTS
from copycatch.scoring.pretrained_weights import WEIGHT_MAX, WEIGHT_MIN
from tests.benchmarks.detection.teach import (
    EVALUATIONS_PER_ACCOUNT,
    PRETRAINED,
    learn_weights,
    lesson_of,
    weights_that_hold,
)

N = 400
TELLING, NOISY = 0, 3  # two of the components


def parts(seed: int, telling: int = TELLING, noisy: int = NOISY) -> tuple[np.ndarray, np.ndarray]:
    """One component tells attacks, one is high at random, the others are 0."""
    rng = np.random.default_rng(seed)
    is_attack = rng.random(N) < 0.3
    said = np.zeros((N, len(COMPONENTS)))
    said[:, telling] = rng.exponential(0.7, N) + 1.5 * is_attack
    said[:, noisy] = rng.exponential(2.0, N)
    return said, is_attack


def test_what_tells_weighs_more_and_noise_less_within_the_bounds() -> None:
    weights = learn_weights(*parts(1))
    assert weights[NOISY] < 0.8 < 1.2 < weights[TELLING]
    assert weights.min() >= WEIGHT_MIN
    assert weights.max() <= WEIGHT_MAX
    assert weights[[each.name for each in COMPONENTS].index(PRETRAINED)] == 1.0


def test_weights_that_help_on_every_victim_left_out_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    kept = weights_that_hold([(name, *parts(seed)) for seed, name in enumerate(("a", "b", "c"))])
    assert kept[COMPONENTS[TELLING].name] > 1.2
    assert "learned without a" in capsys.readouterr().out


def test_weights_that_harm_one_victim_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    other = parts(3, telling=NOISY, noisy=TELLING)
    assert weights_that_hold([("a", *parts(1)), ("b", *parts(2)), ("c", *other)]) == {}
    assert "do not hold" in capsys.readouterr().out


def test_lessons_are_a_few_early_evaluations_of_each_and_the_highest_of_the_honest(tmp_path: Path) -> None:
    rows = {"thief": (1, "jbda"), "user": (0, "benign:light"), "insider": (1, "indomain_random")}
    labels = ["account_id,is_attack,kind", *(f"{name},{a},{kind}" for name, (a, kind) in rows.items())]
    (tmp_path / "labels.csv").write_text("\n".join(labels))
    accounts = np.array([name for name in rows for _ in range(20)])
    queries = np.tile(np.arange(30, 630, 30), 3)  # the last seven come too late
    said = np.zeros((60, len(COMPONENTS)))
    said[:, 0] = np.tile(np.arange(20.0), 3)
    np.savez(
        tmp_path / "evaluations.npz", accounts=accounts, queries=queries, positions=said[:, :2], parts=said
    )
    spread, spread_is_attack, high, high_is_attack = lesson_of(tmp_path, tmp_path / "evaluations.npz")
    assert spread.accounts == ["thief"] * EVALUATIONS_PER_ACCOUNT + ["user"] * EVALUATIONS_PER_ACCOUNT
    assert spread_is_attack.tolist() == [True] * EVALUATIONS_PER_ACCOUNT + [False] * EVALUATIONS_PER_ACCOUNT
    assert spread.queries.max() == 390
    assert high.queries[~high_is_attack].tolist() == [390]
    assert high.accounts.count("thief") == EVALUATIONS_PER_ACCOUNT
