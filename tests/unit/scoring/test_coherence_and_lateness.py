"""What is not another population speaks low, what comes late counts less, and what calibrates is honest."""

import numpy as np
from tests.support.streams import D, Normal, features, fold, queries

from copycatch.engine.learning import FALSE_ALARM_SHARE, _without_flagged
from copycatch.population.calibration import SCALE_GROWTH_PER_DAY, calibrate
from copycatch.population.model import HOUR_MS, WARM_UP_MS, ModelPopulation
from copycatch.records.columns import FloatArray
from copycatch.records.view import ODD_MIN
from copycatch.scoring.catalog import FAMILIES
from copycatch.scoring.coherence import coherence_of
from copycatch.scoring.damping import DAMPINGS, voices
from copycatch.scoring.persistence import LATE_NATS_MAX, lateness

N = 80


def coherence(seen: dict[str, float]) -> float:
    found = coherence_of(np.array([seen["class_drift"]]), np.array([seen["class_distance"]]))
    return float(found[0])


def heard(family: str, coherences: list[float]) -> FloatArray:
    """How loud a family may speak, of accounts whose inputs are not displaced."""
    unknown = np.full(len(coherences), np.nan)
    return voices(np.array(coherences), unknown, unknown)[:, FAMILIES.index(family)]


def test_noise_is_incoherent_and_another_population_is_not() -> None:
    normal, rng = Normal(), np.random.default_rng(3)
    noisy = normal.draw(rng, N) + 3 * rng.normal(size=(N, D))
    foreign = normal.draw(rng, N) + 3 * np.ones(D)
    seen_noisy, seen_foreign = (features(fold(normal, queries(normal, x))) for x in (noisy, foreign))
    honest = features(fold(normal, queries(normal, normal.draw(rng, N))))
    assert min(seen_noisy["class_distance"], seen_foreign["class_distance"]) > honest["class_distance"] + 0.5
    low, full = heard("novelty", [coherence(seen_noisy), coherence(seen_foreign)])
    assert full == 1.0
    assert DAMPINGS[0].least <= low < 0.7


def test_among_ordinary_use_a_population_shows_in_what_is_odd_and_noise_does_not() -> None:
    normal, rng = Normal(), np.random.default_rng(4)
    seen = []
    for shift in (4 * np.ones(D), 0.0):
        mixed = normal.draw(rng, 2 * N)
        odd = np.arange(2 * N) % 8 == 0
        noise = rng.normal(size=(int(odd.sum()), D))
        mixed[odd] += shift if np.any(shift) else 4 * noise
        seen.append(features(fold(normal, queries(normal, mixed))))
    foreign, noisy = seen
    of_odd = [foreign["odd_coherence"], noisy["odd_coherence"]]
    assert coherence(foreign) < of_odd[0] / 3  # of all queries hardly anything is left
    for family, low_max in (("novelty", 0.5), ("mixture", 0.7), ("half_space", 0.7)):
        of_foreign, of_noisy = heard(family, of_odd)
        assert of_foreign == 1.0
        assert of_noisy < low_max


def test_what_few_odd_queries_have_in_common_is_unknown() -> None:
    normal, rng = Normal(), np.random.default_rng(5)
    x = normal.draw(rng, 20)
    usual = features(fold(normal, queries(normal, x)))
    x[: 2 * ODD_MIN] += 4
    some_odd = features(fold(normal, queries(normal, x)))
    assert usual["odd_share"] * 20 < ODD_MIN <= some_odd["odd_share"] * 20
    assert np.isnan(usual["odd_coherence"])
    assert some_odd["odd_coherence"] > 0


def test_late_looks_count_less_but_never_nothing() -> None:
    late = lateness(np.array([15, 50, 75, 150, 10_000]))
    assert late[0] == late[1] == 0
    assert (np.diff(late[1:]) > 0).all()
    assert late[-1] == LATE_NATS_MAX


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


def test_as_many_flagged_accounts_calibrate_as_are_false_alarms() -> None:
    maxima = np.concatenate([np.linspace(0, 1, 300), [5.0, 6.0, 7.0, 8.0, 9.0, -np.inf]])
    is_flagged = np.arange(306) >= 300
    kept = _without_flagged(maxima, is_flagged)
    n_false = int(np.ceil(FALSE_ALARM_SHARE * 306))
    assert (~is_flagged[kept]).sum() == 300
    assert sorted(maxima[kept[is_flagged[kept]]].tolist()) == sorted(maxima[:305])[-n_false:]
