"""Queries that teach a thief nothing buy no time: neither refused ones nor near-repeats of one query."""

from typing import Any

import numpy as np
import pytest
from tests.support.streams import D, Normal, features, fold, queries

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
    for each in prelude:
        del each["predicted_label"], each["probabilities"]
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
    assert disguised.lifetime.n_effective[-1] >= 0.85 * plain.lifetime.n_effective[-1]
    assert disguised.lifetime.clustered_shares[-1] == pytest.approx(1 / 61, abs=0.02)


def test_who_repeats_every_query_nearly_is_discounted(normal: Normal) -> None:
    rng = np.random.default_rng(4)
    x = normal.draw(rng, 40)
    records = numbered(queries(normal, np.repeat(x, 3, axis=0) + rng.normal(0, 0.01, (120, D))))
    evaluations = fold(normal, records)
    assert evaluations.lifetime.n_effective[-1] == pytest.approx(40, abs=5)
    assert evaluations.lifetime.clustered_shares[-1] > 0.9


@pytest.mark.parametrize("seed", range(6))
def test_near_repeats_of_drawn_queries_take_no_place_from_novel_ones(normal: Normal, seed: int) -> None:
    """Drawn attacks and fillers: what is sought among recent queries is found as without them."""
    rng = np.random.default_rng(100 + seed)
    anchors = normal.draw(rng, int(rng.integers(1, 4)))
    n_fillers = int(rng.integers(2, 12))
    x = normal.draw(rng, 120)
    steps = rng.choice([-1.0, 1.0], (60, D)) * 0.8
    x[60:] = x[rng.integers(0, 30, 60)] + steps  # sign steps from parents of long ago
    asked, mixed = queries(normal, x), []
    for each in asked:
        drawn = anchors[rng.integers(len(anchors), size=n_fillers)]
        mixed += queries(normal, drawn + rng.normal(0, 0.01, (n_fillers, D)))
        mixed.append(each)
    plain, disguised = fold(normal, asked), fold(normal, numbered(mixed))
    before, after = features(plain), features(disguised)
    assert disguised.lifetime.n_effective[-1] >= 0.85 * plain.lifetime.n_effective[-1]
    assert before["flat_share"] > 0.1
    assert after["flat_share"] > 0.5 * before["flat_share"]
    assert after["neighbour_distance"] == pytest.approx(before["neighbour_distance"], abs=0.1)
    assert after["step_kurtosis"] < before["step_kurtosis"] + 0.2


def test_noisy_repeats_that_flip_now_and_then_are_no_probes(normal: Normal) -> None:
    """A dozen noisy repeats of each query, of which one in eight flips, beside as many that always do."""
    rng = np.random.default_rng(5)

    def near_flips(flip_share: float) -> float:
        x = normal.draw(rng, 12)
        records = numbered(queries(normal, np.repeat(x, 12, axis=0) + rng.normal(0, 0.01, (144, D))))
        for each in records:
            if rng.random() < flip_share:
                each["predicted_label"] = (each["predicted_label"] + 1) % 4
        return features(fold(normal, records))["near_flips"]

    assert near_flips(0.12) < 0.03
    assert near_flips(0.6) > 0.2
