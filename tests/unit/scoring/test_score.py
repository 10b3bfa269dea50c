"""Scoring is one pure call: asked twice it says the same, and nothing that it was given has changed."""

import sys
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import pytest
from tests.support.traffic import NOW_MS, batches, traffic

from copycatch.engine import new_state, step
from copycatch.records.columns import Evaluations, FloatArray, IntArray, Scores, pick
from copycatch.records.policy import Policy
from copycatch.scoring.score import Baselines, Known, score
from copycatch.scoring.switches import Switches
from copycatch.units import UnixMs


def columns_of(scores: Scores) -> list[np.ndarray]:
    basis = scores.basis
    return [
        scores.values,
        scores.tail_probs,
        scores.attack_probs,
        scores.shares,
        *(getattr(basis, name) for name in basis.__dataclass_fields__),
    ]


def test_it_changes_nothing_and_depends_on_no_other_account(monkeypatch: pytest.MonkeyPatch) -> None:
    calibrated: list[int] = []

    def checked(
        evaluations: Evaluations,
        baselines: Baselines,
        models: Sequence[tuple[IntArray, Known]],
        levels: FloatArray,
        switches: Switches,
    ) -> Scores:
        given = deepcopy((evaluations, baselines, levels))
        first = score(evaluations, baselines, models, levels, switches)
        again = score(*given[:2], models, given[2], switches)
        for one, other in zip(columns_of(first), columns_of(again), strict=True):
            np.testing.assert_array_equal(one, other)
        for window in ("lifetime", "recent"):
            before, after = getattr(given[0], window), getattr(evaluations, window)
            np.testing.assert_array_equal(before.values, after.values)
        np.testing.assert_array_equal(given[2], levels)
        own = np.flatnonzero(evaluations.rows == evaluations.rows[0])
        alone = score(
            pick(evaluations, own),
            Baselines(*(type(each)(*(column[own] for column in each)) for each in baselines)),
            [(np.arange(len(own)), known) for _, known in models],  # the traffic has one model
            levels[own],
            switches,
        )
        for one, other in zip(columns_of(pick(first, own)), columns_of(alone), strict=True):
            np.testing.assert_array_equal(one, other)
        calibrated.append(int(first.is_warm.sum()))
        return first

    monkeypatch.setattr(sys.modules["copycatch.engine.step"], "score", checked)
    state = new_state(Policy())
    for batch in batches(traffic(seed=5, n_accounts=40, n_records=5_000, hours=60), [700]):
        step(state, batch, UnixMs(NOW_MS), Policy())
    assert sum(calibrated) > 100, "or little was scored"
