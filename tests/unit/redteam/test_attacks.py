import sys
from collections.abc import Callable
from importlib.metadata import distributions

import numpy as np
import pytest

from copycatch.errors import ConfigError
from copycatch.redteam.attacks.catalog import ATTACKS
from copycatch.redteam.attacks.language import layer_share, token_groups
from copycatch.redteam.attacks.thief import Thief
from copycatch.redteam.campaign import AttackSpec, CampaignPlan, simulate
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


HAS_TOOLBOX = any(d.name == "adversarial-robustness-toolbox" for d in distributions())
CASES = [
    pytest.param(
        attack,
        victim,
        marks=pytest.mark.skipif(row.needs is not None and not HAS_TOOLBOX, reason="needs copycatch[art]"),
    )
    for attack, row in ATTACKS.items()
    for victim in victims_for(attack)
]


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


@pytest.mark.skipif(not HAS_TOOLBOX, reason="needs copycatch[art]")
def test_the_toolboxs_attack_asks_what_an_endpoint_takes_and_leaves_the_global_generator_alone(
    victim_of: VictimOf,
) -> None:
    victim = victim_of("digits")
    before = np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002
    transcript = steal(victim, "art_copycat_cnn", 300, seed=2)
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], before)  # noqa: NPY002
    assert victim.domain.box is not None
    np.testing.assert_array_equal(transcript.inputs, victim.domain.box.fit(transcript.inputs))
    curve = fidelity_curve(victim, transcript, np.random.default_rng(0))
    assert curve[-1][1] > curve[0][1] + 0.1, "it steals"


def test_without_the_toolbox_the_extra_is_named_before_anything_runs(
    victim_of: VictimOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "art"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_NoToolbox(), *sys.meta_path])
    plan = CampaignPlan("wine", 1, attacks=(AttackSpec("art_knockoff", budget=20),))
    with pytest.raises(ConfigError, match=r"Adversarial Robustness Toolbox.*copycatch\[art\]"):
        simulate(plan, victim_of("wine"), lambda words: pytest.fail(f"{words} began"))


class _NoToolbox:
    """An importer that does not find it."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "art":
            raise ModuleNotFoundError(name=name)
