from collections.abc import Callable

import numpy as np
import pytest

from copycatch.errors import ConfigError
from copycatch.redteam.inputs import PLAIN, draw_population
from copycatch.redteam.victims import VICTIM_KINDS, Victim, build_victim

VictimOf = Callable[[str], Victim]

# Stated, not wished: seen on several seeds, less a margin.
ACCURACY_MIN = {"digits": 0.85, "tabular": 0.8, "cancer": 0.9, "wine": 0.85, "intents": 0.8, "llm": 0.8}


@pytest.mark.parametrize("name", VICTIM_KINDS)
def test_a_victim_is_worth_stealing(name: str, victim_of: VictimOf) -> None:
    victim = victim_of(name)
    assert ACCURACY_MIN[name] <= victim.accuracy < 1.0
    answers = victim.classify(victim.held_out[:50])
    assert answers.shape == (50, victim.n_outputs)
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("name", ["digits", "wine", "intents"])
def test_the_same_seed_gives_the_same_victim(name: str, victim_of: VictimOf) -> None:
    again, victim = build_victim(name, 5), victim_of(name)
    np.testing.assert_array_equal(again.held_out, victim.held_out)
    np.testing.assert_array_equal(again.classify(again.held_out[:20]), victim.classify(victim.held_out[:20]))


@pytest.mark.parametrize("name", VICTIM_KINDS)
def test_every_way_to_draw_gives_inputs_of_the_domain(name: str, victim_of: VictimOf) -> None:
    domain, rng = victim_of(name).domain, np.random.default_rng(0)
    natural = draw_population(domain, 30, PLAIN, rng)[0]
    drawn = [
        natural,
        domain.draw_foreign(30, PLAIN, rng),
        domain.draw_uniform(30, rng),
        domain.vary(natural, 0.5, rng),
        domain.disturb(natural, rng),
        domain.miscalibrate(natural, rng),
        domain.blend(natural, domain.draw_uniform(30, rng), np.full(30, 0.5), rng),
    ]
    for inputs in drawn:
        assert inputs.shape == natural.shape
        assert len(domain.to_wire(inputs)) == 30
        if domain.box is not None:
            assert (inputs >= domain.box.lower).all()
            assert (inputs <= domain.box.upper).all()


@pytest.mark.parametrize("name", VICTIM_KINDS)
def test_foreign_inputs_are_another_world_in_the_same_dress(name: str, victim_of: VictimOf) -> None:
    """The victim is less sure about foreign inputs, but they are varied by the same hands."""
    victim, rng = victim_of(name), np.random.default_rng(1)
    domain = victim.domain
    natural = draw_population(domain, 400, PLAIN, rng)[0]
    foreign = domain.draw_foreign(400, PLAIN, rng)
    if name not in {"cancer", "wine"}:  # two or three classes: everything is far from the boundary
        assert victim.classify(foreign).max(axis=1).mean() < victim.classify(natural).max(axis=1).mean()
    if domain.kind == "text":
        openings = ["Hi", "hi", "Hello", "hello", "Hey", "hey"]
        shares = [np.mean([str(t).split()[0].strip(",") in openings for t in x]) for x in (natural, foreign)]
        assert abs(shares[0] - shares[1]) < 0.12
    else:
        distinct = [len(np.unique(x, axis=0)) / len(x) for x in (natural, foreign)]
        assert min(distinct) > 0.95


def test_an_unknown_victim_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="digits"):
        build_victim("nonesuch", 1)
