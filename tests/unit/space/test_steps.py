"""How flat honest steps are: rare among honest accounts, and below what a sign step is."""

import numpy as np

from copycatch.space.steps import FLAT_LOG_MIN, PER_ACCOUNT_MIN, _flattest, flat_logs

WIDTH = 16
SCALES = np.ones(WIDTH, dtype=np.float32)


def test_too_few_queries_of_each_account_give_the_floor() -> None:
    rng = np.random.default_rng(0)
    raws = [
        (a, rng.normal(size=WIDTH).astype(np.float32)) for a in range(9) for _ in range(PER_ACCOUNT_MIN - 1)
    ]
    np.testing.assert_array_equal(flat_logs(raws, SCALES), np.full(2, np.float32(FLAT_LOG_MIN)))


def test_hardly_any_honest_query_has_a_step_as_flat_as_the_limit() -> None:
    rng = np.random.default_rng(1)
    raws = [(a, rng.normal(size=WIDTH).astype(np.float32)) for a in range(60) for _ in range(20)]
    limits = flat_logs(raws, SCALES)
    assert (limits > FLAT_LOG_MIN).all()
    fresh = np.concatenate([_flattest(rng.normal(size=(20, WIDTH))) for _ in range(60)])
    assert (fresh < limits[0]).mean() < 0.02


def test_a_step_by_the_same_amount_everywhere_is_flatter_than_any_limit() -> None:
    rng = np.random.default_rng(2)
    parent = rng.normal(size=WIDTH)
    child = parent + 0.3 * np.where(rng.random(WIDTH) < 0.5, -1, 1)
    np.testing.assert_allclose(_flattest(np.stack([parent, child])), 0, atol=1e-9)
    assert np.isinf(_flattest(np.stack([parent, parent + 1e-3]))).all(), "too small to be a step"
