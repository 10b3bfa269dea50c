"""Usual inputs that were all moved by one mistake are told from another population's."""

from collections.abc import Callable

import numpy as np
import pytest
from tests.support.streams import D, Normal, features, fold, queries

from copycatch.scoring.catalog import FAMILIES
from copycatch.scoring.damping import DISPLACED, DISPLACED_LEAST, damping, displacement
from copycatch.windows.memory import MOMENT_ROWS_MIN

N = 60
Make = Callable[[Normal, np.random.Generator], np.ndarray]


def _spread_of_all(normal: Normal) -> np.ndarray:
    return np.asarray(normal.draw(np.random.default_rng(9), 2000).std(axis=0))


def _unit(normal: Normal, rng: np.random.Generator) -> np.ndarray:
    """Two fields in units ten times too small, which puts them far off."""
    x = normal.draw(rng, N)
    x[:, :2] = x[:, :2] / 10 + 4 * _spread_of_all(normal)[:2]
    return x


MISTAKES: dict[str, Make] = {
    "two fields in another unit": _unit,
    "an offset in every field": lambda normal, rng: normal.draw(rng, N) + 2 * _spread_of_all(normal),
    "less contrast": lambda normal, rng: 0.4 * normal.draw(rng, N) + 1.5 * _spread_of_all(normal),
}
OTHERS: dict[str, Make] = {
    "ordinary use": lambda normal, rng: normal.draw(rng, N),
    "a niche": lambda normal, rng: normal.draw(rng, N, classes=[1, 2]),
    "noise": lambda normal, rng: normal.draw(rng, N) + 2 * _spread_of_all(normal) * rng.normal(size=(N, D)),
    "uniform": lambda normal, rng: rng.uniform(-1, 9, size=(N, D)) * _spread_of_all(normal),
    "another population, more varied": lambda normal, rng: (
        2 * normal.draw(rng, N) + 3 * _spread_of_all(normal)
    ),
}


def explained(make: Make, n: int = N) -> float:
    normal, rng = Normal(), np.random.default_rng(11)
    seen = features(fold(normal, queries(normal, make(normal, rng)[:n])))
    return float(displacement(np.array([seen["input_shift"]]), np.array([seen["input_spread"]]))[0])


@pytest.mark.parametrize("name", MISTAKES)
def test_one_mistake_in_all_inputs_explains_them(name: str) -> None:
    assert explained(MISTAKES[name]) == 1.0


@pytest.mark.parametrize("name", OTHERS)
def test_other_use_is_not_explained_by_a_mistake(name: str) -> None:
    assert explained(OTHERS[name]) < 0.1


def test_what_is_explained_speaks_low_and_the_marks_of_extraction_do_not() -> None:
    unknown = np.array([np.nan])
    factors = damping(unknown, np.array([2.0]), np.array([1.0]))[0]
    low = {FAMILIES[column] for column in DISPLACED}
    for family, factor in zip(FAMILIES, factors, strict=True):
        assert factor == pytest.approx(DISPLACED_LEAST if family in low else 1.0), family
    assert {"novelty", "boundary", "half_space", "multivariate"} <= low
    assert {"probing", "flat", "collinearity", "lines", "step", "mixture", "pairs"}.isdisjoint(low)


def test_of_few_inputs_and_of_texts_nothing_is_known() -> None:
    normal, rng = Normal(), np.random.default_rng(12)
    moved = MISTAKES["an offset in every field"](normal, rng)
    few = fold(normal, queries(normal, moved[: MOMENT_ROWS_MIN + 2]))
    repeated = fold(normal, queries(normal, np.repeat(moved[: MOMENT_ROWS_MIN - 1], 2, axis=0)))
    texts = fold(normal, queries(normal, moved, input=lambda index: normal.text(rng)))
    assert features(few)["input_shift"] > 1
    for looks in (repeated, texts):
        assert np.isnan([features(looks)["input_shift"], features(looks)["input_spread"]]).all()
