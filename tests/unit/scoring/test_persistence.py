"""The compiled running level equals the slow one."""

import numpy as np
import pytest

from copycatch.scoring.persistence import FIRST, NEWEST, follow


def test_levels_follow_in_order_however_cut() -> None:
    rng = np.random.default_rng(6)
    rows, scores = rng.integers(0, 5, 200), np.where(rng.random(200) < 0.1, np.nan, rng.exponential(size=200))
    whole = follow(rows, scores, np.full(200, np.nan))
    levels, cut = np.full(5, np.nan), []
    for at in range(0, 200, 7):
        own = rows[at : at + 7]
        cut.append(follow(own, scores[at : at + 7], levels[own]))
        known = ~np.isnan(cut[-1])
        levels[own[known]] = cut[-1][known]
    np.testing.assert_array_equal(whole, np.concatenate(cut))
    level = np.nan
    for row, score, got in zip(rows, scores, whole, strict=True):
        if row != 2 or np.isnan(score):
            continue
        level = FIRST * score if np.isnan(level) else NEWEST * score + (1 - NEWEST) * level
        assert got == pytest.approx(level)
