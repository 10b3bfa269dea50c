"""What every scorer of the catalogue keeps to."""

from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import pytest

from copycatch.errors import StateError
from copycatch.records.packing import pack, unpack
from copycatch.scoring.activity import ACTIVITY
from copycatch.scoring.catalog import COMPONENTS, FAMILIES, SCORERS, ScorerSpec
from copycatch.scoring.components import FEATURE_FAMILIES
from copycatch.scoring.ensemble import PER_TICK_MAX, WAITING_MAX, Ensemble
from copycatch.scoring.half_space import HalfSpaceTrees
from copycatch.scoring.protocol import Inputs, Scorer
from copycatch.scoring.scored_features import SCORED_NAMES
from copycatch.scoring.switches import Switches, families_by_name
from copycatch.usage.measures import MEASURES

ROWS = 700
each_scorer = pytest.mark.parametrize("spec", SCORERS, ids=lambda spec: spec.name)
KNOWS_FROM_THE_START = {"pretrained", "distillation"}


def normal_rows(spec: ScorerSpec, n: int = ROWS, seed: int = 3) -> np.ndarray:
    """What normal looks give this scorer: positions around the middle, anomalies near 0."""
    rng = np.random.default_rng(seed)
    if spec.takes == "positions":
        return np.asarray(rng.normal(0.5, 0.08, (n, spec.n_inputs)).clip(0, 1))
    common = rng.normal(0, 0.05, (n, 1))
    return np.asarray(np.abs(common + rng.normal(0, 0.05, (n, spec.n_inputs))).clip(0, 1))


def pretrained(spec: ScorerSpec) -> Scorer:
    scorer = spec.make()
    scorer.learn_many(np.arange(1, ROWS + 1), normal_rows(spec))
    return scorer


@each_scorer
def test_it_is_what_the_catalogue_says(spec: ScorerSpec) -> None:
    scorer = spec.make()
    assert (scorer.name, scorer.takes) == (spec.name, spec.takes)
    assert scorer.score_many(np.full((3, spec.n_inputs), 0.5)).shape == (3,)


@each_scorer
def test_scoring_changes_nothing(spec: ScorerSpec) -> None:
    scorer = pretrained(spec)
    before, probe = scorer.snapshot(), normal_rows(spec, 50, seed=9)
    kept = probe.copy()
    first = scorer.score_many(probe)
    for _ in range(3):
        np.testing.assert_array_equal(scorer.score_many(probe), first)
    assert scorer.snapshot() == before
    np.testing.assert_array_equal(probe, kept)


@each_scorer
def test_a_score_does_not_depend_on_its_neighbours(spec: ScorerSpec) -> None:
    scorer, probe = pretrained(spec), normal_rows(spec, 40, seed=9)
    alone = np.concatenate([scorer.score_many(row[None, :]) for row in probe])
    np.testing.assert_array_equal(scorer.score_many(probe), alone)


@each_scorer
@pytest.mark.parametrize("n_learned", [0, 100, 250, 333, 700])
def test_a_restored_scorer_says_and_learns_the_same(spec: ScorerSpec, n_learned: int) -> None:
    scorer, twin = spec.make(), spec.make()
    rows, probe = normal_rows(spec), normal_rows(spec, 50, seed=9)
    scorer.learn_many(np.arange(1, n_learned + 1), rows[:n_learned])
    assert twin.restore(scorer.snapshot()) is None
    np.testing.assert_array_equal(scorer.score_many(probe), twin.score_many(probe))
    for both in (scorer, twin):
        both.learn_many(np.arange(5_000, 5_300), rows[:300])
    np.testing.assert_array_equal(scorer.score_many(probe), twin.score_many(probe))
    assert scorer.snapshot() == twin.snapshot()


@each_scorer
def test_damaged_snapshots_are_refused(spec: ScorerSpec) -> None:
    for damaged in (b"\xc1", pack({}), pack({"river": 1, "learned": "x", "rows": 5, "accounts": 3})):
        with pytest.raises(StateError, match="snapshot"):
            spec.make().restore(damaged)


@each_scorer
def test_an_outlier_scores_above_the_median(spec: ScorerSpec) -> None:
    scorer = pretrained(spec)
    usual = scorer.score_many(normal_rows(spec, 200, seed=9))
    odd = scorer.score_many(np.full((1, spec.n_inputs), 0.97))
    assert odd[0] > np.median(usual)
    assert odd[0] >= np.quantile(usual, 0.95)


@each_scorer
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 7.0, -3.0])
def test_bad_values_never_reach_a_model(spec: ScorerSpec, bad: float) -> None:
    scorer, clean = pretrained(spec), pretrained(spec)
    rows = normal_rows(spec, 60, seed=4)
    spoilt = rows.copy()
    spoilt[:, 0] = bad
    said = scorer.score_many(spoilt)
    if not np.isnan(bad):
        np.testing.assert_array_equal(said, scorer.score_many(spoilt.clip(0, 1)))
    assert np.isfinite(said).all()
    scorer.learn_many(np.arange(9_000, 9_060), spoilt)
    clean.learn_many(np.arange(9_000, 9_060), spoilt if np.isnan(bad) else spoilt.clip(0, 1))
    probe = normal_rows(spec, 20, seed=9)
    assert np.isfinite(scorer.score_many(probe)).all()
    np.testing.assert_array_equal(scorer.score_many(probe), clean.score_many(probe))


def test_river_is_given_a_row_within_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[int, float]] = []
    trees = HalfSpaceTrees(("a", "b", "c"))
    learn: Callable[[dict[int, float]], None] = trees._trees.learn_one

    def spy(row: dict[int, float]) -> None:
        given.append(row)
        learn(row)

    monkeypatch.setattr(trees._trees, "learn_one", spy)
    trees.learn_many(np.arange(2), np.array([[np.nan, np.inf, -np.inf], [0.2, 5.0, -1.0]]))
    assert given == [{0: 0.5, 1: 1.0, 2: 0.0}, {0: 0.2, 1: 1.0, 2: 0.0}]


@each_scorer
def test_what_knows_nothing_says_nothing(spec: ScorerSpec) -> None:
    assert np.isnan(pretrained(spec).score_many(np.full((2, spec.n_inputs), np.nan))).all()


@each_scorer
def test_it_keeps_silent_until_it_has_learned_enough(spec: ScorerSpec) -> None:
    scorer, probe = spec.make(), normal_rows(spec, 5, seed=9)
    scorer.learn_many(np.arange(1, 31), normal_rows(spec)[:30])
    assert np.isnan(scorer.score_many(probe)).all() == (spec.name not in KNOWS_FROM_THE_START)
    assert np.isfinite(pretrained(spec).score_many(probe)).all()


@each_scorer
def test_rows_are_learned_in_the_order_given(spec: ScorerSpec) -> None:
    """A batch is learned row by row, first to last: cutting it anywhere changes nothing."""
    rows, accounts = normal_rows(spec), np.arange(1, ROWS + 1) % 300
    at_once, by_parts = spec.make(), spec.make()
    at_once.learn_many(accounts, rows)
    for start in range(0, ROWS, 77):
        by_parts.learn_many(accounts[start : start + 77], rows[start : start + 77])
    assert at_once.snapshot() == by_parts.snapshot()
    probe = normal_rows(spec, 20, seed=9)
    np.testing.assert_array_equal(at_once.score_many(probe), by_parts.score_many(probe))


def test_trees_of_another_river_warm_up_again_and_say_so() -> None:
    trees = HalfSpaceTrees(("a", "b"))
    trees.learn_many(np.arange(300), np.random.default_rng(0).uniform(0.4, 0.6, (300, 2)))
    older = pack(unpack(trees.snapshot()) | {"river": "0.1.0"})
    twin = HalfSpaceTrees(("a", "b"))
    note = twin.restore(older)
    assert note is not None
    assert "0.1.0" in note
    assert version("river") in note
    assert np.isnan(twin.score_many(np.array([[0.5, 0.5]]))).all()


def look(seed: int) -> Inputs:
    rng = np.random.default_rng(seed)
    positions = rng.uniform(0.3, 0.7, (1, len(SCORED_NAMES)))
    families = rng.uniform(0, 0.3, (1, len(FEATURE_FAMILIES)))
    return Inputs(
        positions, families, rng.uniform(size=(1, len(MEASURES))), rng.uniform(size=(1, len(ACTIVITY)))
    )


def test_one_vote_per_account_and_tick_and_none_of_the_flagged() -> None:
    ensemble, plain = Ensemble(), Ensemble()
    for seed in range(500):
        ensemble.wait(seed % 20 + 1, look(seed))
    for seed in range(480, 500):
        if seed % 20 + 1 != 7:
            plain.wait(seed % 20 + 1, look(seed))
    ensemble.learn(frozenset({7}))
    plain.learn(frozenset())
    assert ensemble.snapshot() == plain.snapshot()


def test_what_waits_and_what_is_learned_at_once_is_bounded() -> None:
    ensemble = Ensemble()
    for account in range(1, 2_000):
        ensemble.wait(account, look(account))
    assert len(ensemble.waiting) == WAITING_MAX
    ensemble.learn(frozenset())
    assert len(ensemble.waiting) == WAITING_MAX - PER_TICK_MAX


def test_a_restored_ensemble_goes_on_as_before() -> None:
    ensemble, twin = Ensemble(), Ensemble()
    for account in range(1, 200):
        ensemble.wait(account, look(account))
    for _ in range(4):
        ensemble.learn(frozenset())
    assert twin.restore(unpack(pack(ensemble.snapshot()))) == []
    for both in (ensemble, twin):
        both.learn(frozenset())
    np.testing.assert_array_equal(ensemble.values(look(1)), twin.values(look(1)))
    assert pack(ensemble.snapshot()) == pack(twin.snapshot())


def test_switches_silence_by_name_and_know_their_names() -> None:
    evidence = np.full((2, len(FAMILIES)), 5.0)
    assert Switches().mask(evidence) is evidence
    for name, families in families_by_name().items():
        silent = np.isnan(Switches(frozenset({name})).mask(evidence)[0]).tolist()
        assert {family for family, is_off in zip(FAMILIES, silent, strict=True) if is_off} == families
    assert np.isfinite(evidence).all()
    with pytest.raises(ValueError, match="nearest: multivariate"):
        Switches(frozenset({"multivariat"}))


def test_scorers_that_learn_support_and_never_speak_alone() -> None:
    highest = max(component.cap for component in COMPONENTS)
    for spec in SCORERS:
        if spec.name in {"distillation", "activity"}:  # on logs of a language model, or without inputs, alone
            continue
        assert spec.cap <= 3.0 < highest
