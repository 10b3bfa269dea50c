"""What is not another population is damped, and what comes late counts less."""

import numpy as np
from tests.support.streams import D, Normal, features, fold, queries

from copycatch.layout.view import ODD_MIN
from copycatch.records.columns import FloatArray
from copycatch.scoring.catalog import FAMILIES
from copycatch.scoring.coherence import coherence_of
from copycatch.scoring.damping import DAMPINGS, damping
from copycatch.scoring.persistence import LATE_NATS_MAX, lateness

N = 80


def coherence(seen: dict[str, float]) -> float:
    found = coherence_of(np.array([seen["class_drift"]]), np.array([seen["class_distance"]]))
    return float(found[0])


def heard(family: str, coherences: list[float]) -> FloatArray:
    """How loud a family may speak, of accounts whose inputs are not displaced."""
    unknown = np.full(len(coherences), np.nan)
    return damping(np.array(coherences), unknown, unknown, unknown)[:, FAMILIES.index(family)]


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
