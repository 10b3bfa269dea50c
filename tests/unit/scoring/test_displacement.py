"""Usual inputs that were all moved by one mistake are told from another population's."""

from collections.abc import Callable

import numpy as np
import pytest
from tests.support.streams import D, Normal, features, fold, queries

from copycatch.scoring.catalog import FAMILIES
from copycatch.scoring.damping import DISPLACED, DISPLACED_LEAST, damping, displacement
from copycatch.space.model import RAW
from copycatch.space.steps import coupling
from copycatch.windows.memory import MEMORY, MOMENT_ROWS_MIN, fixed_raw, moments_of

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
    place = (np.array([seen[name]]) for name in ("input_shift", "input_spread", "input_coupling"))
    return float(displacement(*place)[0])


@pytest.mark.parametrize("name", MISTAKES)
def test_one_mistake_in_all_inputs_explains_them(name: str) -> None:
    assert explained(MISTAKES[name]) == 1.0


@pytest.mark.parametrize("name", OTHERS)
def test_other_use_is_not_explained_by_a_mistake(name: str) -> None:
    assert explained(OTHERS[name]) < 0.1


def test_inputs_that_go_together_otherwise_are_another_domains() -> None:
    """They may lie off and vary less, as a mistaken client's do: mistakes keep what goes together."""
    coupled = np.array([0.3, 0.45, 0.6, 1.0])
    found = displacement(np.full(4, 0.7), np.full(4, 0.5), coupled)
    assert found.tolist() == [0.0, 0.0, 1.0, 1.0]


def test_what_is_explained_speaks_low_and_the_marks_of_extraction_do_not() -> None:
    unknown = np.array([np.nan])
    factors = damping(unknown, np.array([2.0]), np.array([1.0]), np.array([1.0]))[0]
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


@pytest.mark.parametrize("seed", range(8))
def test_noise_on_a_made_up_model_of_thirty_columns_is_no_mistake(seed: int) -> None:
    """Uniform and normal noise lies off and may vary no more than usual: its columns do not go together."""
    rng = np.random.default_rng(seed)
    d, n_factors = 30, int(rng.integers(2, 8))
    loadings = rng.normal(size=(n_factors, d))

    def usual(n: int) -> np.ndarray:
        return np.asarray(
            np.exp(0.5 * (rng.normal(size=(n, n_factors)) @ loadings)) + rng.normal(size=(n, d))
        )

    known = usual(2_000)
    centre, spread = known.mean(axis=0), known.std(axis=0)
    scale = rng.uniform(0.3, 1.1)
    noises = (
        centre + spread * (1.5 + scale * rng.uniform(-1.7, 1.7, size=(N, d))),
        centre + spread * (1.5 + scale * rng.normal(size=(N, d))),
    )
    mistakes = (usual(N) + 2 * spread, 0.4 * usual(N) + 1.5 * spread)

    def coupled(x: np.ndarray) -> float:
        z = ((x - centre) / spread)[:, np.linspace(0, d - 1, RAW).astype(int)].astype(np.float32)
        codes = np.empty((MEMORY, RAW), dtype=np.int8)
        for row, raw in enumerate(z[:MEMORY]):
            fixed_raw(raw, codes[row])
        shift, narrow, together = moments_of(codes, MEMORY)
        columns = np.linspace(0, d - 1, RAW).astype(int)
        usual_coupling = coupling(list(((known - centre) / spread)[:, columns]))
        place = np.array([shift]), np.array([narrow]), np.array([together / usual_coupling])
        return float(displacement(*place)[0])

    assert max(coupled(each) for each in noises) < 0.1
    assert max(coupled(each) for each in mistakes) == pytest.approx(1.0, abs=0.05)
