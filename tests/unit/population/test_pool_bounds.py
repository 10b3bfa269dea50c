"""How far traffic can move what the usual queries of a model are: the bounds that SECURITY.md states."""

import numpy as np
import pytest
from tests.support.traffic import START_MS

from copycatch.population.model import WARM_UP_MS, ModelPopulation
from copycatch.population.newcomers import NEWCOMERS_PER_DAY_MAX
from copycatch.population.packed import from_plain, to_plain
from copycatch.population.pool import (
    ACCOUNTS_MAX,
    DELAY_MS,
    PER_ACCOUNT_MAX,
    WAITING_MAX,
)
from copycatch.space.fit import REFERENCE_SET_ROWS
from copycatch.space.query import Query
from copycatch.units import MS_PER_DAY


def usual_queries(first: int, n_accounts: int, time_ms: int, value: float) -> list[Query]:
    """As many queries of each account as the pool keeps of one, all at one place."""
    return [
        Query(account, time_ms, account * 100 + index, 0, 0.5, 0.5, np.full(2, value, dtype=np.float32))
        for account in range(first, first + n_accounts)
        for index in range(PER_ACCOUNT_MAX)
    ]


def test_a_flood_of_fake_accounts_moves_what_is_usual_by_a_bound_each_day() -> None:
    """Not as large a share of the pool as of the traffic: with each day a twenty-fifth of it more."""
    population = ModelPopulation(START_MS, n_features=1, uses_inputs=True, vector_length=2)
    for query in usual_queries(1, ACCOUNTS_MAX, START_MS, 0.0):
        population.pool.wait(query)
    population.tick(START_MS + 1, frozenset())
    assert population.pool.n_accounts == ACCOUNTS_MAX
    begin_ms = (START_MS + WARM_UP_MS + 2 * DELAY_MS) // MS_PER_DAY * MS_PER_DAY
    for day in range(1, 8):
        for part in range(4):
            now_ms = begin_ms + day * MS_PER_DAY + part * MS_PER_DAY // 4
            for query in usual_queries(1_000_000 + 1_000 * day + 200 * part, 200, now_ms - DELAY_MS, 1.0):
                population.pool.wait(query)
            population.tick(now_ms, frozenset())
            population = from_plain(to_plain(population), 1)  # a restart grants no second helping
        share = day * NEWCOMERS_PER_DAY_MAX / ACCOUNTS_MAX
        kept = [q for queries in population.pool.queries_by_account.values() for q in queries]
        centre = float(np.mean([query.vector[0] for query in kept]))
        bank_centre = float(
            np.mean([query.vector[0] for query in population.pool.sample(REFERENCE_SET_ROWS)])
        )
        assert centre == pytest.approx(share)
        assert bank_centre == pytest.approx(share, abs=0.01)
    assert share < 0.3, "after a week seven in ten of them are still honest ones"


def test_one_account_is_one_of_the_pool_however_much_it_sends() -> None:
    population = ModelPopulation(START_MS, n_features=1, uses_inputs=True, vector_length=2)
    for query in usual_queries(1, 99, START_MS, 0.0):
        population.pool.wait(query)
    for index in range(10_000):
        drift = np.full(2, 1.0 + index, dtype=np.float32)
        population.pool.wait(Query(500, START_MS + index, 7_000_000 + index, 0, 0.5, 0.5, drift))
    population.tick(START_MS + 20_000, frozenset())
    kept = [q for queries in population.pool.queries_by_account.values() for q in queries]
    assert sum(query.account_hash == 500 for query in kept) == PER_ACCOUNT_MAX == len(kept) // 100
    reference_set = population.pool.sample(REFERENCE_SET_ROWS)
    assert sum(query.account_hash == 500 for query in reference_set) <= len(reference_set) // 100 + 1


def test_a_busy_model_goes_on_learning_what_is_usual_at_all_hours() -> None:
    """As many queries a tick as are sampled at the most: the line is full for ever, and yet it moves."""
    population = ModelPopulation(START_MS, n_features=1, uses_inputs=True, vector_length=2)
    tick_ms, number, hours = 300_000, 0, set()
    for tick in range(4 * MS_PER_DAY // tick_ms):
        now_ms = START_MS + tick * tick_ms
        for _ in range(150):
            number += 1
            population.pool.wait(
                Query(1 + number % 300, now_ms, number, 0, 0.5, 0.5, np.zeros(2, dtype=np.float32))
            )
        population.tick(now_ms, frozenset())
        assert len(population.pool.waiting) <= WAITING_MAX
        if tick >= 3 * MS_PER_DAY // tick_ms:
            newest_ms = max(query.time_ms for query in population.pool.queries())
            assert newest_ms > now_ms - DELAY_MS - MS_PER_DAY // 12, "two hours late at the most"
            hours.add(newest_ms // (MS_PER_DAY // 24))
    assert len(hours) >= 22
