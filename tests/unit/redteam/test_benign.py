from collections.abc import Callable

import numpy as np
import pytest

from copycatch.redteam.arrivals import ARRIVALS
from copycatch.redteam.benign import BENIGN_KINDS, draw_kinds, draw_queries
from copycatch.redteam.inputs import PLAIN, Inputs
from copycatch.redteam.victims import Victim
from copycatch.units import MS_PER_DAY

VictimOf = Callable[[str], Victim]
START_MS = 1_767_571_200_000


def compose(victim: Victim, kind: str, n_queries: int, seed: int = 2) -> Inputs:
    rng = np.random.default_rng(seed)
    return BENIGN_KINDS[kind].compose(victim.domain, victim.classify, n_queries, PLAIN, rng)


def distinct_share(inputs: Inputs) -> float:
    return len({str(row) if isinstance(row, str) else row.tobytes() for row in inputs}) / len(inputs)


@pytest.mark.parametrize("kind", BENIGN_KINDS)
@pytest.mark.parametrize("name", ["digits", "tabular", "intents"])
def test_a_kind_gives_what_was_asked_for_and_nothing_else(kind: str, name: str, victim_of: VictimOf) -> None:
    victim = victim_of(name)
    inputs, again = compose(victim, kind, 90), compose(victim, kind, 90)
    assert len(inputs) == 90
    np.testing.assert_array_equal(inputs, again)
    assert len(victim.domain.to_wire(inputs)) == 90


def test_the_hard_kinds_are_what_they_say(victim_of: VictimOf) -> None:
    victim = victim_of("digits")

    def margin(inputs: Inputs) -> float:
        top = np.sort(victim.classify(inputs), axis=1)[:, -2:]
        return float((top[:, 1] - top[:, 0]).mean())

    def top_label_share(inputs: Inputs) -> float:
        labels = victim.classify(inputs).argmax(axis=1)
        return float(np.bincount(labels).max() / len(labels))

    ordinary = compose(victim, "regular", 400)
    assert margin(compose(victim, "hard_cases", 400)) < margin(ordinary) - 0.1
    assert margin(compose(victim, "robustness_eval", 400)) < margin(ordinary)
    assert top_label_share(compose(victim, "niche", 400)) > top_label_share(ordinary)
    assert distinct_share(compose(victim, "health_check", 400)) < 0.03
    assert 0.6 < distinct_share(compose(victim, "resubmitter", 400)) < 0.95
    assert 0.7 < distinct_share(compose(victim, "retrier", 400)) < 0.98
    assert distinct_share(ordinary) > 0.99
    assert compose(victim, "miscalibrated_input", 50).mean() > ordinary.mean() * 1.05


def test_every_kind_is_present_in_a_population() -> None:
    kinds = draw_kinds(150, np.random.default_rng(1))
    assert set(kinds) == set(BENIGN_KINDS)
    assert kinds.count("light") > kinds.count("regular") > kinds.count("evaluator")
    assert len(draw_kinds(3, np.random.default_rng(1))) == 3


def test_volumes_lie_around_the_table() -> None:
    rng = np.random.default_rng(0)
    for kind, row in BENIGN_KINDS.items():
        drawn = np.array([draw_queries(kind, 7, rng) for _ in range(300)])
        assert row.queries_low * 0.9 < np.median(drawn) < row.queries_high * 1.1
        assert drawn.min() >= 15


@pytest.mark.parametrize("name", ARRIVALS)
@pytest.mark.parametrize("n_queries", [1, 15, 700])
def test_arrivals_are_exact_sorted_and_inside(name: str, n_queries: int) -> None:
    for seed in range(5):
        times = ARRIVALS[name](n_queries, START_MS, START_MS + 5 * MS_PER_DAY, np.random.default_rng(seed))
        assert len(times) == n_queries
        assert (np.diff(times) >= 0).all()
        assert times[0] >= START_MS
        assert times[-1] < START_MS + 5 * MS_PER_DAY


def test_people_come_in_bursts_by_day_and_timers_do_not() -> None:
    def dispersion(name: str) -> float:
        times = ARRIVALS[name](2000, START_MS, START_MS + 7 * MS_PER_DAY, np.random.default_rng(3))
        hourly = np.bincount((times - START_MS) // 3_600_000, minlength=168)
        return float(hourly.var() / hourly.mean())

    assert dispersion("timer") < 0.2
    assert 0.6 < dispersion("poisson") < 1.6
    assert dispersion("rhythm") > 5
    assert dispersion("burst") > 100
