"""Flat trees, beside scikit-learn's, and files that are damaged."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.ensemble import RandomForestClassifier
from tests.benchmarks.detection.distil import as_forest

from copycatch.errors import StateError
from copycatch.records.packing import pack, unpack
from copycatch.scoring.forest import PROB_MIN, Forest, one_split
from copycatch.usage.measures import MEASURES


def trained() -> tuple[RandomForestClassifier, np.ndarray]:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, len(MEASURES)))
    is_attack = (values[:, 0] * values[:, 1] + values[:, 2] > 0).astype(int)
    return RandomForestClassifier(9, max_depth=6, random_state=0).fit(values, is_attack), values


def test_it_says_what_scikit_learn_says() -> None:
    forest, values = trained()
    probs = np.clip(forest.predict_proba(values)[:, 1], PROB_MIN, 1 - PROB_MIN)
    flat = Forest.from_bytes(as_forest(forest, ["a"], "d").to_bytes())
    assert_allclose(flat.log_odds(values), np.log(probs / (1 - probs)), atol=1e-4)


def test_contributions_sum_to_the_way_from_the_root_to_the_leaf() -> None:
    forest, values = trained()
    flat = as_forest(forest, ["a"], "d")
    roots = flat.nodes.probs[flat.nodes.roots].mean()
    assert_allclose(
        flat.contributions(values).sum(axis=1), forest.predict_proba(values)[:, 1] - roots, atol=1e-5
    )


def test_features_go_by_name() -> None:
    forest, values = trained()
    flat = as_forest(forest, ["a"], "d")
    assert_allclose(flat.for_inputs(MEASURES[::-1]).log_odds(values[:, ::-1]), flat.log_odds(values))
    fewer = flat.for_inputs(MEASURES[1:])
    assert fewer.names[-1] == MEASURES[0]
    alone = np.concatenate([values[:, 1:], np.full((len(values), 1), np.nan)], axis=1)
    missing = values.copy()
    missing[:, 0] = np.nan
    assert_allclose(fewer.log_odds(alone), flat.log_odds(missing))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("rights", np.array([7, 0, 0], dtype=np.int32)),
        ("rights", np.array([0, 0, 0], dtype=np.int32)),
        ("features", np.array([5, -1, -1], dtype=np.int16)),
        ("features", np.array([0, -1, 0], dtype=np.int16)),
        ("roots", np.array([3])),
        ("probs", np.array([0.5], dtype=np.float32)),
    ],
)
def test_a_node_that_points_nowhere_is_refused(name: str, column: np.ndarray) -> None:
    plain = unpack(one_split().to_bytes())
    plain["nodes"][name] = column
    with pytest.raises(StateError, match="points nowhere"):
        Forest.from_bytes(pack(plain))


def test_a_file_that_lacks_a_part_is_refused() -> None:
    plain = unpack(one_split().to_bytes())
    del plain["nodes"]["probs"]
    with pytest.raises(StateError, match="lacks a part"):
        Forest.from_bytes(pack(plain))
