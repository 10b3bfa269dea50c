"""A few odd queries are no deviation of a share; one feature of a family may be all that an attack raises."""

import numpy as np
import pytest

from copycatch.records.columns import Baseline, FloatArray
from copycatch.scoring.components import FEATURE_FAMILIES, MAX_FAMILIES
from copycatch.scoring.families import N_EFFECTIVE_MIN, anomalies_of, deviations_of, family_values
from copycatch.scoring.scored_features import FEW_QUERIES, SCORED_FEATURES

FEATURES = list(SCORED_FEATURES)


def deviation(feature: str, value: float, n_effective: int) -> float:
    """Of one account, among others that all have 0 and never differ."""
    zeros = np.zeros((1, len(SCORED_FEATURES)))
    values = zeros.copy()
    values[0, FEATURES.index(feature)] = value
    away = deviations_of(values, Baseline(zeros, zeros, zeros), np.array([n_effective]), np.zeros(1))
    return float(away[0, FEATURES.index(feature)])


@pytest.mark.parametrize("feature", [name for name, scored in SCORED_FEATURES.items() if scored.is_share])
def test_what_a_few_queries_bring_about_is_no_deviation_however_few_there_are(feature: str) -> None:
    for n_effective in (12, 20, 50):
        assert deviation(feature, FEW_QUERIES / n_effective, n_effective) <= 1.0
    assert deviation(feature, 0.25, 400) > 4.0


def test_a_mean_deviates_by_its_floor_at_any_count() -> None:
    early, late = (
        deviation("whitened_distance", 5 * SCORED_FEATURES["whitened_distance"].floor, n_effective)
        for n_effective in (12, 400)
    )
    assert early == late == pytest.approx(5.0)


def family(name: str, anomalies: dict[str, float]) -> float:
    row: FloatArray = np.array([[anomalies.get(name, 0.0) for name in FEATURES]])
    return float(family_values(row)[0, FEATURE_FAMILIES.index(name)])


def test_one_loud_feature_is_enough_where_attacks_raise_different_ones() -> None:
    assert family("probing", {"near_flips": 3.0}) == 3.0  # a line search between texts: labels flip, no more
    assert "novelty" not in MAX_FAMILIES
    assert family("novelty", {"whitened_distance": 3.0}) == pytest.approx(
        0.75
    )  # four say it, one says it alone


def test_what_is_missing_or_rests_on_too_little_is_unknown_and_near_repeats_are_discounted() -> None:
    zeros = np.zeros((1, len(SCORED_FEATURES)))
    middle = Baseline(zeros, zeros, zeros)
    few = deviations_of(np.ones_like(zeros), middle, np.array([N_EFFECTIVE_MIN - 1]), np.zeros(1))
    assert [bool(np.isnan(value)) for value in few[0]] == [
        scored.needs_n_effective for scored in SCORED_FEATURES.values()
    ]
    full, discounted = (
        deviations_of(np.ones_like(zeros), middle, np.array([100]), np.array([near])) for near in (0.0, 0.5)
    )
    expected = [0.5 if scored.needs_n_effective else 1.0 for scored in SCORED_FEATURES.values()]
    np.testing.assert_allclose(discounted / full, [expected])
    unknown = deviations_of(np.full_like(zeros, np.nan), middle, np.array([100]), np.zeros(1))
    assert np.isnan(family_values(anomalies_of(unknown))).all()
    assert np.isnan(
        deviations_of(zeros, Baseline.unknown(1, len(SCORED_FEATURES)), np.array([100]), np.zeros(1))
    ).all()
