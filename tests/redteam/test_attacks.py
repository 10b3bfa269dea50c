from collections.abc import Callable

import numpy as np
import pytest

from copycatch.redteam.attacks.catalog import ATTACKS
from copycatch.redteam.attacks.language import layer_share, token_groups
from copycatch.redteam.attacks.thief import Thief
from copycatch.redteam.oracle import Oracle, Transcript
from copycatch.redteam.students import fidelity_curve
from copycatch.redteam.victims import Victim

VictimOf = Callable[[str], Victim]


def victims_for(attack: str) -> list[str]:
    row = ATTACKS[attack]
    if row.is_on_logits:
        return ["llm"]
    if "tabular" not in row.kinds:
        return ["intents"]
    # Attacks that make text in a way of their own are tried on text, too.
    return (
        ["wine", "intents"]
        if attack in {"uniform", "jbda", "tramer_linesearch", "activethief_unc"}
        else ["wine"]
    )


CASES = [(attack, victim) for attack in ATTACKS for victim in victims_for(attack)]


def steal(victim: Victim, attack: str, budget: int, seed: int, failure_prob: float = 0.006) -> Transcript:
    rng = np.random.default_rng(seed)
    row = ATTACKS[attack]
    oracle = Oracle(victim.classify, budget, rng, None, row.is_label_only, failure_prob)
    row.run(oracle, Thief.draw(victim.domain, victim.n_outputs, rng))
    return oracle.transcript()


@pytest.mark.parametrize(("attack", "name"), CASES)
@pytest.mark.parametrize("budget", [1, 60])
def test_the_budget_is_spent_exactly(attack: str, name: str, budget: int, victim_of: VictimOf) -> None:
    asked = 0
    victim = victim_of(name)

    def counted(
        inputs: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        nonlocal asked
        asked += len(inputs)
        return victim.classify(inputs)

    rng = np.random.default_rng(3)
    oracle = Oracle(counted, budget, rng)
    ATTACKS[attack].run(oracle, Thief.draw(victim.domain, victim.n_outputs, rng))
    assert asked == budget
    assert len(oracle.transcript()) == budget


@pytest.mark.parametrize(("attack", "name"), CASES)
def test_the_seed_decides_everything(attack: str, name: str, victim_of: VictimOf) -> None:
    victim = victim_of(name)
    first, again, other = (steal(victim, attack, 40, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.inputs, again.inputs)
    np.testing.assert_array_equal(first.is_answered, again.is_answered)
    assert not np.array_equal(first.inputs, other.inputs)


@pytest.mark.parametrize(("attack", "name"), CASES)
def test_an_endpoint_that_often_fails_stops_no_attack(attack: str, name: str, victim_of: VictimOf) -> None:
    transcript = steal(victim_of(name), attack, 45, seed=4, failure_prob=0.5)
    assert len(transcript) == 45
    assert 0 < transcript.is_answered.sum() < 45


@pytest.mark.parametrize(
    ("attack", "name", "rise_min"),
    [
        ("indomain_random", "digits", 0.2),
        ("knockoff_random", "digits", 0.1),
        ("jbda", "digits", 0.15),
        ("activethief_unc", "digits", 0.1),
        ("template_campaign", "intents", 0.3),
    ],
)
def test_more_queries_give_more_of_the_model(
    attack: str, name: str, rise_min: float, victim_of: VictimOf
) -> None:
    victim = victim_of(name)
    curve = fidelity_curve(victim, steal(victim, attack, 300, seed=6), np.random.default_rng(0))
    assert [n for n, *_ in curve[:3]] == [15, 25, 50]
    assert curve[-1][0] == 300
    assert curve[-1][1] - curve[0][1] > rise_min


def test_labels_alone_teach_less(victim_of: VictimOf) -> None:
    assert set(np.unique(steal(victim_of("wine"), "copycat_cnn", 50, 1).head(50).probabilities)) <= {0.0, 1.0}


def test_the_harvest_recovers_the_output_layer(victim_of: VictimOf) -> None:
    """Carlini et al.: so many whole logit vectors as hidden dimensions span the layer."""
    victim = victim_of("llm")
    assert victim.head is not None
    per_prompt = len(token_groups(victim.n_outputs))
    transcript = steal(victim, "logprob_harvest", 25 * per_prompt, seed=2, failure_prob=0.0)
    shares = [layer_share(transcript, n * per_prompt, victim.head.space()) for n in (0, 1, 8, 25)]
    assert shares[0] == 0.0
    assert shares == sorted(shares)
    assert shares[-1] > 0.95


def test_line_search_closes_in_on_the_boundary(victim_of: VictimOf) -> None:
    transcript = steal(victim_of("wine"), "tramer_linesearch", 300, seed=8)
    margins = np.diff(np.sort(transcript.probabilities, axis=1)[:, -2:]).ravel()
    assert np.median(margins[60:]) < np.median(margins[:40])
