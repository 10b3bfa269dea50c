"""What the pretrained scorer knows and learns, and how little of it attackers can change."""

import json
from importlib.resources import files

import numpy as np
import pytest

import copycatch.scoring
from copycatch.errors import ConfigError
from copycatch.records.packing import pack, unpack
from copycatch.scoring.catalog import COMPONENTS, FAMILIES, WEIGHTS
from copycatch.scoring.combine import score_of
from copycatch.scoring.pretrained import SEPARATES_MIN, SHIFT_MAX, PretrainedClassifier
from copycatch.scoring.pretrained_weights import (
    FILE,
    PRETRAINED_WEIGHTS,
    WEIGHT_MAX,
    WEIGHT_MIN,
    read_pretrained_weights,
)
from copycatch.scoring.scored_features import SCORED_NAMES

N = len(SCORED_NAMES)
SHIPPED = json.loads(files(copycatch.scoring).joinpath(FILE).read_bytes())


def usual(n: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).normal(0.5, 0.08, (n, N)).clip(0, 1))


def test_it_tells_shipped_attacks_from_usual_evaluations_before_it_has_learned_anything() -> None:
    pretrained = PretrainedClassifier(SCORED_NAMES)
    attacks, normal = (
        pretrained.score_many(PRETRAINED_WEIGHTS.attack_evaluations),
        pretrained.score_many(usual(500)),
    )
    assert np.median(attacks) > 1 + np.quantile(normal, 0.99)
    assert np.median(normal) < -1


def test_what_is_usual_of_a_model_becomes_less_odd() -> None:
    """Honest accounts of this model all ask for near-repeats across class borders: that is usual here."""
    pretrained = PretrainedClassifier(SCORED_NAMES)
    own = usual(2_000)
    own[:, SCORED_NAMES.index("near_flips")] = 0.9
    before = pretrained.score_many(own).mean()
    pretrained.learn_many(np.arange(2_000), own)
    assert pretrained.score_many(own).mean() < before - 0.5
    assert (
        pretrained.score_many(PRETRAINED_WEIGHTS.attack_evaluations).mean()
        > pretrained.score_many(own).mean()
    )


def test_evaluations_of_attackers_who_were_not_found_move_it_only_so_far() -> None:
    pretrained = PretrainedClassifier(SCORED_NAMES)
    pretrained.learn_many(
        np.arange(20_000),
        PRETRAINED_WEIGHTS.attack_evaluations[np.arange(20_000) % len(PRETRAINED_WEIGHTS.attack_evaluations)],
    )
    shift = pretrained._state[:-2] - PRETRAINED_WEIGHTS.coefficients
    assert 0 < np.abs(shift).max() <= SHIFT_MAX


def test_it_has_no_say_where_attacks_do_not_stand_out() -> None:
    """Everybody on this model looks odder than any attack that was simulated."""
    pretrained = PretrainedClassifier(SCORED_NAMES)
    odd = np.where(PRETRAINED_WEIGHTS.coefficients > 0, 1.0, 0.0)[None, :].repeat(300, axis=0)
    assert pretrained._state[-1] == 1.0
    pretrained.learn_many(np.arange(300), odd)
    assert pretrained._state[-1] < SEPARATES_MIN
    assert np.isnan(pretrained.score_many(usual(3))).all()


def test_a_state_learned_from_other_weights_starts_again_and_says_so() -> None:
    pretrained = PretrainedClassifier(SCORED_NAMES)
    pretrained.learn_many(np.arange(50), usual(50))
    other = pack(
        unpack(pretrained.snapshot()) | {"pretrained_weights": PRETRAINED_WEIGHTS.coefficients + 0.5}
    )
    twin = PretrainedClassifier(SCORED_NAMES)
    note = twin.restore(other)
    assert note is not None
    assert "other weights" in note
    np.testing.assert_array_equal(
        twin.score_many(usual(5)), PretrainedClassifier(SCORED_NAMES).score_many(usual(5))
    )


def test_a_new_feature_weighs_nothing_and_a_dropped_one_counts_as_missing() -> None:
    inputs = ("brand_new", *SCORED_NAMES[1:])
    classifier, whole = PretrainedClassifier(inputs), PretrainedClassifier(SCORED_NAMES)
    rows = usual(20)
    without = rows.copy()
    without[:, 0] = np.nan
    np.testing.assert_allclose(classifier.score_many(rows), whole.score_many(without))


def test_its_state_goes_by_the_names_of_features() -> None:
    before, after = SCORED_NAMES, ("brand_new", *SCORED_NAMES[:0:-1])
    learned, restored = PretrainedClassifier(before), PretrainedClassifier(after)
    learned.learn_many(np.arange(300), usual(300))
    assert restored.restore(learned.snapshot()) is None
    rows = usual(20, seed=1)
    without = np.where(np.arange(N) == 0, np.nan, rows)
    moved = np.concatenate([np.full((20, 1), 0.9), rows[:, :0:-1]], axis=1)
    np.testing.assert_allclose(restored.score_many(moved), learned.score_many(without))


@pytest.mark.parametrize("weight", [WEIGHT_MIN - 0.1, WEIGHT_MAX + 0.1, 0.0])
def test_weights_out_of_bounds_are_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"weights\.novelty.*make teach"):
        read_pretrained_weights(json.dumps(SHIPPED | {"weights": {"novelty": weight}}).encode())


def test_each_component_adds_as_much_as_its_cap_and_weight_allow() -> None:
    for component in COMPONENTS:
        surprisal = np.full((1, len(FAMILIES)), np.nan)
        surprisal[0, [FAMILIES.index(family) for family in component.families]] = 1e9
        highest = component.cap * (1 - np.exp(-10.0 / component.cap))
        assert score_of(surprisal)[0][0] == pytest.approx(WEIGHTS[component.name] * highest)
