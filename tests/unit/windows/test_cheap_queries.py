"""Queries that teach a thief nothing buy no time: neither refused ones nor near-repeats of one query."""

from typing import Any

import numpy as np
import pytest
from tests.support.streams import D, Normal, fold, queries

REFUSED = 3_000


@pytest.fixture(scope="module")
def normal() -> Normal:
    return Normal()


def numbered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with ids of their own: these were made in several calls."""
    return [each | {"event_id": f"e{index}"} for index, each in enumerate(records)]


def foreign(normal: Normal, n: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return queries(normal, rng.uniform(-9, 9, (n, D)))


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_refused_queries_put_no_evaluation_off(normal: Normal, status: int) -> None:
    asked = foreign(normal, 60)
    prelude = queries(normal, normal.draw(np.random.default_rng(2), REFUSED), status=status)
    plain, disguised = fold(normal, asked), fold(normal, numbered(prelude + asked))
    assert set(plain.answered.tolist()) <= set(disguised.answered.tolist())
    assert plain.answered.tolist() == plain.queries.tolist()


def test_repeating_one_query_nearly_hides_one_query_only(normal: Normal) -> None:
    rng = np.random.default_rng(3)
    anchor = normal.draw(rng, 1)
    asked, mixed = foreign(normal, 60), []
    for each in asked:
        mixed += queries(normal, anchor + rng.normal(0, 0.01, (9, D)))
        mixed.append(each)
    plain, disguised = fold(normal, asked), fold(normal, numbered(mixed))
    assert disguised.lifetime.n_effective[-1] >= plain.lifetime.n_effective[-1]
    assert disguised.lifetime.clustered_shares[-1] == pytest.approx(1 / 61, abs=0.02)


def test_who_repeats_every_query_nearly_is_discounted(normal: Normal) -> None:
    rng = np.random.default_rng(4)
    x = normal.draw(rng, 40)
    records = numbered(queries(normal, np.repeat(x, 3, axis=0) + rng.normal(0, 0.01, (120, D))))
    evaluations = fold(normal, records)
    assert evaluations.lifetime.n_effective[-1] == pytest.approx(40, abs=5)
    assert evaluations.lifetime.clustered_shares[-1] > 0.9
