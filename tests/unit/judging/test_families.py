"""A few odd queries are no deviation of a share; one feature of a family may be all that an attack raises."""

import numpy as np
import pytest

from copycatch.features.catalog import FEATURE_INDEX, NAMES
from copycatch.records.columns import FloatArray, Normal
from copycatch.scoring.families import deviations_of, family_values
from copycatch.scoring.tails import FEW_QUERIES, LOUDEST_FAMILIES, TAIL_FAMILIES, TAILS

COLUMNS = [FEATURE_INDEX[tail.feature] for tail in TAILS]


def deviation(feature: str, value: float, evidence: int) -> float:
    """Of one account, among others that all have 0 and never differ."""
    values, normal = np.zeros((1, len(NAMES))), Normal.unknown(1, len(NAMES))
    for column in (normal.medians, normal.ups, normal.downs):
        column[:] = 0.0
    values[0, FEATURE_INDEX[feature]] = value
    away = deviations_of(values, normal, COLUMNS, np.array([evidence]), np.zeros(1))
    return float(away[0, [tail.feature for tail in TAILS].index(feature)])


@pytest.mark.parametrize("feature", [tail.feature for tail in TAILS if tail.is_share])
def test_what_a_few_queries_bring_about_is_no_deviation_however_few_there_are(feature: str) -> None:
    for evidence in (12, 20, 50):
        assert deviation(feature, FEW_QUERIES / evidence, evidence) <= 1.0
    assert deviation(feature, 0.25, 400) > 4.0


def test_a_mean_deviates_by_its_floor_at_any_count() -> None:
    tail = next(tail for tail in TAILS if tail.feature == "whitened_distance")
    early, late = (deviation("whitened_distance", 5 * tail.floor, evidence) for evidence in (12, 400))
    assert early == late == pytest.approx(5.0)


def family(name: str, oddness: dict[str, float]) -> float:
    row: FloatArray = np.array([[oddness.get(tail.feature, 0.0) for tail in TAILS]])
    return float(family_values(row)[0, TAIL_FAMILIES.index(name)])


def test_one_loud_feature_is_enough_where_attacks_raise_different_ones() -> None:
    assert family("probing", {"near_flips": 3.0}) == 3.0  # a line search between texts: labels flip, no more
    assert "novelty" not in LOUDEST_FAMILIES
    assert family("novelty", {"whitened_distance": 3.0}) == pytest.approx(
        0.75
    )  # four say it, one says it alone
