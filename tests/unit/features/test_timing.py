"""When an account asks: timers, people, night shifts."""

import numpy as np
import pytest
from tests.unit.features.views import DAY_MS, view_of

from copycatch.features.harvesting import logprob_shares
from copycatch.features.timing import GAPS_MIN, active_shares, burstiness, hour_entropies
from copycatch.records.columns import FloatArray


def of_gaps(gaps_s: FloatArray) -> float:
    sums = {"gaps": len(gaps_s), "gap_s": gaps_s.sum(), "gap_s_squared": (gaps_s**2).sum()}
    return float(burstiness(view_of(1, **sums))[0])


def test_burstiness_tells_a_timer_from_chance_and_from_bursts() -> None:
    rng = np.random.default_rng(0)
    assert of_gaps(np.full(50, 60.0)) == pytest.approx(-1, abs=0.02)
    assert of_gaps(rng.exponential(60, 20_000)) == pytest.approx(0, abs=0.02)
    assert of_gaps(np.where(np.arange(200) % 50, 1.0, 10_000.0)) > 0.5
    assert np.isnan(of_gaps(np.full(GAPS_MIN - 1, 60.0)))


def test_hours_are_even_round_the_clock_and_unknown_before_a_day_is_over() -> None:
    hours = np.stack([np.full(24, 5.0), np.eye(24)[9] * 120])
    np.testing.assert_allclose(hour_entropies(view_of(2, hours=hours)), [1, 0], atol=1e-6)
    assert np.isnan(hour_entropies(view_of(2, age_ms=DAY_MS - 1, hours=hours))).all()


def test_active_panes_are_a_share_of_those_that_have_passed() -> None:
    np.testing.assert_allclose(active_shares(view_of(2, active_panes=[25, 5])), [1, 0.2], rtol=1e-6)


def test_a_share_of_requests_needs_five_whose_parameters_are_known() -> None:
    shares = logprob_shares(view_of(3, params_known=[4, 5, 10], asks_logprobs=[4, 5, 3]))
    np.testing.assert_allclose(shares, [np.nan, 1, 0.3], rtol=1e-6)
