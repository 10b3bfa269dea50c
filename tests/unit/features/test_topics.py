"""Spread over the model's space, from sums, equals the same from the queries themselves."""

import numpy as np
import pytest
from tests.unit.features.views import view_of

from copycatch.features.topics import (
    NOVEL_MIN,
    effective_dimensions,
    label_balances,
    label_divergences,
    mmd_squared,
    spreads,
    topic_counts,
)
from copycatch.layout.row import CO_DIMS, LABEL_BINS
from copycatch.layout.view import WindowView
from copycatch.records.columns import FloatArray
from copycatch.space.model import CELLS, FOURIER


def entropy(counts: FloatArray) -> float:
    """Shannon's, with the correction of Miller and Madow."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum() + (len(shares) - 1) / (2 * counts.sum()))


def view_of_points(points: FloatArray) -> WindowView:
    upper = [points[:, a] @ points[:, b] for a in range(CO_DIMS) for b in range(a, CO_DIMS)]
    return view_of(1, novel=len(points), co_means=points.sum(axis=0), co_products=upper)


def test_topics_are_counted_by_entropy_and_are_never_more_than_there_are() -> None:
    few, many = np.zeros(CELLS), np.full(CELLS, 2.0)
    few[[1, 5, 6]] = 10, 20, 30
    view = view_of(3, cells=np.stack([few, many, np.eye(CELLS)[0] * (NOVEL_MIN - 1)]))
    counts = topic_counts(view)
    assert counts[0] == pytest.approx(np.exp(entropy(few)), rel=1e-6)
    assert counts[1] == CELLS
    assert np.isnan(counts[2]), "too few queries to count"


def test_spread_is_the_log_of_the_total_variance() -> None:
    points = np.random.default_rng(0).normal(size=(200, CO_DIMS)) * np.arange(1, CO_DIMS + 1) + 3
    variance = points.var(axis=0).sum()
    assert spreads(view_of_points(points))[0] == pytest.approx(np.log(variance), rel=1e-4)
    assert np.isnan(spreads(view_of_points(points[: NOVEL_MIN - 1]))[0])


def test_a_line_has_one_dimension_and_a_cloud_has_all() -> None:
    rng = np.random.default_rng(1)
    cloud = rng.normal(size=(400, CO_DIMS))
    line = rng.normal(size=(400, 1)) * np.ones(CO_DIMS)
    assert effective_dimensions(view_of_points(cloud))[0] > CO_DIMS - 1
    assert effective_dimensions(view_of_points(line))[0] == pytest.approx(1, abs=0.05)


def test_discrepancy_is_that_over_all_pairs_of_queries() -> None:
    rng = np.random.default_rng(2)
    own = rng.normal(size=(30, FOURIER)) + 0.5
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    mu = rng.normal(size=FOURIER) * 0.1
    pairs = own @ own.T
    expected = (pairs.sum() - np.trace(pairs)) / (30 * 29) - 2 * own.mean(axis=0) @ mu + mu @ mu
    view = view_of(1, usual={"fourier": mu[None, :]}, novel=30, fourier=own.sum(axis=0))
    assert mmd_squared(view)[0] == pytest.approx(expected, abs=1e-5)


def test_labels_diverge_from_usual_ones_by_jensen_and_shannon() -> None:
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 9, size=LABEL_BINS).astype(float)
    usual = rng.dirichlet(np.ones(LABEL_BINS))
    p, middle = counts / counts.sum(), (counts / counts.sum() + usual) / 2
    is_used = p > 0
    expected = (p[is_used] * np.log(p[is_used] / middle[is_used])).sum() / 2
    expected += (usual * np.log(usual / middle)).sum() / 2
    view = view_of(1, usual={"labels": usual[None, :]}, labels=counts)
    assert label_divergences(view)[0] == pytest.approx(expected, abs=1e-6)
    assert label_divergences(view_of(1, usual={"labels": p[None, :]}, labels=counts))[0] == pytest.approx(
        0, abs=1e-6
    )
    assert label_balances(view)[0] == pytest.approx(entropy(counts), rel=1e-6)


def test_nothing_is_known_of_labels_that_the_model_or_the_account_lacks() -> None:
    unknown = np.full((1, LABEL_BINS), np.nan)
    assert np.isnan(label_divergences(view_of(1, usual={"labels": unknown}, labels=3))[0])
    assert np.isnan(label_divergences(view_of(1))[0])
