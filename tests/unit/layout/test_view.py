"""Moments and drifts from sums equal the same from the values themselves."""

import numpy as np
import pytest
from tests.unit.features.views import view_of

from copycatch.layout.row import N_SQUARED, N_SUMMED, SPANS
from copycatch.layout.signals import SIGNALS
from copycatch.layout.view import ODD_MIN, VALUES_MIN, WindowView
from copycatch.records.columns import FloatArray
from copycatch.space.model import SKETCH


def view_of_values(values: FloatArray) -> WindowView:
    """Two accounts: these values of the first signals, shape (n, signals), and too few of them."""
    signals = np.zeros((2, N_SUMMED, 2))
    squares = np.zeros((2, N_SQUARED))
    width = values.shape[1]
    for row, own in enumerate((values, values[: VALUES_MIN - 1])):
        signals[row, :width, 0], signals[row, :width, 1] = len(own), own.sum(axis=0)
        squares[row, :width] = (own**2).sum(axis=0)
    return view_of(2, signals=signals.reshape(2, -1), squares=squares)


def test_means_and_deviations_are_those_of_the_values_and_unknown_below_eight() -> None:
    values = np.random.default_rng(0).normal(2, 3, size=(30, N_SQUARED))
    view = view_of_values(values)
    for k, name in enumerate(spec.name for spec in SIGNALS[:N_SQUARED]):
        np.testing.assert_allclose(view.mean(name), [values[:, k].mean(), np.nan], rtol=1e-4)
        np.testing.assert_allclose(view.deviation(name), [values[:, k].std(ddof=1), np.nan], rtol=1e-3)


def test_what_is_free_is_taken_off_the_sum_and_never_below_nothing() -> None:
    view = view_of_values(np.full((10, 1), 0.3))
    assert view.mean_beyond(SIGNALS[0].name, 1.0)[0] == pytest.approx(0.2, rel=1e-5)
    assert view.mean_beyond(SIGNALS[0].name, 5.0)[0] == 0
    assert np.isnan(view.mean_beyond(SIGNALS[0].name, 1.0)[1])


def sums_of(residuals: FloatArray) -> FloatArray:
    return np.concatenate([[len(residuals), (residuals**2).sum()], residuals.sum(axis=0)])


def test_drift_and_coherence_are_those_over_all_pairs() -> None:
    rng = np.random.default_rng(1)
    residuals = rng.normal(size=(20, SKETCH)) + 0.4
    view = view_of(1, drift=sums_of(residuals), odd_drift=sums_of(residuals))
    pairs = residuals @ residuals.T
    of_pairs = (pairs.sum() - np.trace(pairs)) / (20 * 19)
    assert view.drift("drift")[0] == pytest.approx(of_pairs / np.sqrt(SKETCH), rel=1e-4)
    cosines = of_pairs * 20 / (residuals**2).sum()
    assert view.odd_coherences()[0] == pytest.approx(cosines - 1 / np.sqrt(SKETCH * 190), rel=1e-4)


def test_too_few_queries_have_no_drift_and_no_direction() -> None:
    few = np.ones((ODD_MIN - 1, SKETCH))
    view = view_of(1, drift=sums_of(few), odd_drift=sums_of(few))
    assert np.isnan(view.drift("drift")[0])
    assert np.isnan(view.odd_coherences()[0])
    assert SPANS["drift"].length == 2 + SKETCH
