"""The tail of honest scores: how young accounts, unnamed attackers and first fits move it."""

import numpy as np

from copycatch.population.calibration import SCALE_GROWTH_PER_DAY, calibrate
from copycatch.population.model import HOUR_MS, WARM_UP_MS, ModelPopulation
from copycatch.records.columns import FloatArray


def test_a_young_population_has_not_shown_its_maxima_yet() -> None:
    maxima = np.random.default_rng(0).exponential(1.0, 500)
    young, old = (calibrate(maxima, np.full(500, days)) for days in (1.0, 7.0))
    assert young is not None
    assert old is not None
    odd = np.array([6.0])
    assert young.tail_probs(odd)[0] > 5 * old.tail_probs(odd)[0]


def test_a_ring_under_way_hardly_moves_the_tail() -> None:
    honest = np.random.default_rng(1).exponential(1.0, 160)
    ring = np.full(8, honest.max())  # as odd as the oddest, not caught yet
    clean = calibrate(honest, np.full(160, 5.0))
    mixed = calibrate(np.concatenate([honest, ring]), np.full(168, 5.0))
    assert clean is not None
    assert mixed is not None
    assert mixed.scale < 1.6 * clean.scale


def test_unnamed_attackers_below_the_threshold_lift_it_by_so_much_a_day_and_it_falls_at_once() -> None:
    honest = np.random.default_rng(2).exponential(1.0, 160)
    clean = calibrate(honest, np.full(160, 5.0))
    crowd = calibrate(np.concatenate([honest, np.full(36, honest.max())]), np.full(196, 5.0))
    assert clean is not None
    assert crowd is not None
    assert crowd.scale > 2 * clean.scale
    hourly = clean
    for _ in range(48):
        hourly = crowd.held_to(hourly, 1)
    assert np.isclose(hourly.scale, clean.scale * SCALE_GROWTH_PER_DAY**2)
    assert crowd.held_to(clean, 24 * 365).scale == crowd.scale
    assert clean.held_to(hourly, 1).scale == clean.scale


def test_the_first_fits_on_a_few_young_accounts_hold_nothing_down() -> None:
    rng = np.random.default_rng(3)
    population = ModelPopulation(born_ms=0, n_features=1)
    few, many = rng.exponential(0.4, 40), rng.exponential(2.0, 800)

    def scale_at(hours: int, maxima: FloatArray) -> float:
        families = np.full((len(maxima), 1), -np.inf)
        population.calibrate(hours * HOUR_MS, maxima, np.full(len(maxima), hours / 24), families, np.ones(1))
        assert population.calibration is not None
        return population.calibration.scale

    founded_h = WARM_UP_MS // HOUR_MS
    young = scale_at(8, few)
    assert scale_at(20, many) > 3 * young
    narrow = scale_at(founded_h + 24, few)
    assert np.isclose(scale_at(founded_h + 48, many), narrow * SCALE_GROWTH_PER_DAY)
