"""Coverage of what others ask: the sample is fixed, and an account's own entries are left out."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tests.unit.usage.support import events_for, unit_vectors

from copycatch.population.model import OTHERS_EVERY_H, ModelPopulation
from copycatch.population.packed import from_plain, to_plain
from copycatch.records.columns import FloatArray
from copycatch.records.packing import pack, unpack
from copycatch.space.query import Query
from copycatch.usage.events import UNIT
from copycatch.usage.layout import VECTOR
from copycatch.usage.measures import MEASURES
from copycatch.usage.others import OTHERS_MAX, OTHERS_MIN, Others, compared, others_of
from copycatch.usage.state import UsageRows

N = 30
COVERAGE = MEASURES.index("coverage")


def sample_of(n: int, seed: int = 9) -> Others:
    vectors = unit_vectors(n, seed).astype(np.float32)
    return others_of(list(vectors), list(range(100, 100 + n)))


def coverage_of(others: Others, account: int, seed: int = 0, start: int = 0) -> float:
    """Of an account that asks the same queries, from position `start` of the log on."""
    events = events_for(np.zeros(N, dtype=np.int64), seed)
    late = events._replace(times_ms=events.times_ms + start)
    to = compared([others], np.zeros(1, dtype=np.int64), np.array([account]))
    return float(UsageRows().add(late, late.rows, np.array([N - 1]), to)[0, COVERAGE])


def test_it_is_the_mean_similarity_to_the_nearest_query() -> None:
    others = sample_of(50)
    own = events_for(np.zeros(N, dtype=np.int64)).vectors.astype(np.float64) / UNIT
    expected = ((others.vectors / UNIT) @ own.T).max(axis=1).mean()
    assert coverage_of(others, 1) == pytest.approx(expected, abs=1e-4)


def test_own_entries_are_left_out() -> None:
    """Who has long been a customer finds its own queries in the sample, and must not be covered by them."""
    others = sample_of(50)
    own = events_for(np.zeros(N, dtype=np.int64)).vectors
    owned = Others(np.concatenate([others.vectors, own]), np.concatenate([others.owners, np.full(N, 1)]))
    assert coverage_of(owned, 1) == coverage_of(others, 1)
    assert coverage_of(owned, 2) > coverage_of(others, 2) + 0.1


def test_a_late_starter_is_compared_with_the_same_sample() -> None:
    others = sample_of(60)
    assert coverage_of(others, 1, start=5 * 86_400_000) == coverage_of(others, 1)


def test_few_others_and_no_others_say_nothing() -> None:
    assert np.isnan(coverage_of(sample_of(OTHERS_MIN - 1), 1))
    assert np.isfinite(coverage_of(sample_of(OTHERS_MIN), 1))
    events = events_for(np.zeros(N, dtype=np.int64))
    assert np.isnan(UsageRows().add(events, events.rows, np.array([N - 1]))[0, COVERAGE])


def test_the_sample_is_bounded_and_takes_no_foreign_vectors() -> None:
    assert len(sample_of(3 * OTHERS_MAX).owners) == OTHERS_MAX
    broken = [np.full(VECTOR, np.nan, dtype=np.float32), np.zeros(VECTOR, dtype=np.float32)]
    assert len(others_of(broken, [1, 2]).owners) == 0


def _population(vectors: FloatArray) -> ModelPopulation:
    population = ModelPopulation(born_ms=0, n_features=1, uses_inputs=False, vector_length=VECTOR)
    for index, vector in enumerate(vectors.astype(np.float32)):
        population.pool.add(Query(index % 20, index, 1 + index, -1, np.nan, np.nan, vector))
    return population


def test_a_settled_models_sample_stands_still_for_a_day() -> None:
    population = _population(unit_vectors(400, seed=2))
    population.tick(1, frozenset())
    first = population.others
    assert len(first.owners) > OTHERS_MIN
    population.is_settled = True
    population.pool.add(Query(500, 0, 10_001, -1, np.nan, np.nan, unit_vectors(1, 8)[0].astype(np.float32)))
    hour = 3_600_000
    population.tick((OTHERS_EVERY_H - 1) * hour, frozenset())
    assert population.others is first
    population.tick((OTHERS_EVERY_H + 3) * hour, frozenset())
    assert 500 in population.others.owners


def test_the_sample_travels_in_snapshots() -> None:
    population = _population(unit_vectors(400, seed=2))
    population.tick(1, frozenset())
    plain = unpack(pack(to_plain(population)))
    restored = from_plain(plain, n_features=1)
    assert_array_equal(restored.others.vectors, population.others.vectors)
    assert_array_equal(restored.others.owners, population.others.owners)
    assert restored.others_made_h == population.others_made_h
    del plain["others"], plain["others_made_h"]  # as a version wrote it that had none
    assert len(from_plain(plain, n_features=1).others.owners) == 0
