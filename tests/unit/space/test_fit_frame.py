"""Coordinates of a model's inputs: what the fit promises to those who apply it."""

import numpy as np

from copycatch.records.columns import FloatArray, IntArray
from copycatch.space.fit_frame import CLASSES_MAX, RANK_MAX, fit_frame
from copycatch.space.model import PAIR_BINS, SKETCH, Frame


def fit(x: FloatArray, labels: IntArray | None = None) -> Frame:
    return fit_frame(
        list(x.astype(np.float32)), np.zeros(len(x), dtype=np.int64) if labels is None else labels
    )


def correlated(n: int, width: int, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    x: FloatArray = rng.normal(size=(n, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width) * 5
    return x


def test_directions_are_orthonormal_and_ordered_by_variance() -> None:
    frame = fit(correlated(500, 12))
    np.testing.assert_allclose(frame.basis.T @ frame.basis, np.eye(12), atol=1e-5)
    assert (np.diff(frame.variances) <= 1e-6).all()
    assert frame.basis.shape == (12, 12)
    assert fit(correlated(300, RANK_MAX + 20)).basis.shape == (RANK_MAX + 20, RANK_MAX)


def test_a_rebuild_from_the_same_queries_in_another_order_is_the_same() -> None:
    x, rng = correlated(400, 9), np.random.default_rng(1)
    labels = rng.integers(0, 3, 400)
    order = rng.permutation(400)
    one, other = fit(x, labels), fit(x[order], labels[order])
    np.testing.assert_allclose(one.basis, other.basis, atol=1e-4)
    np.testing.assert_allclose(one.class_means, other.class_means, atol=1e-3)
    np.testing.assert_array_equal(one.partners, other.partners)


def test_bins_given_the_companions_bin_are_probabilities() -> None:
    x = correlated(500, 6)
    x[:, 4] = x[:, 1] * 2 + 0.01 * np.random.default_rng(2).normal(size=500)
    frame = fit(x)
    assert frame.partners[4] == 1
    assert (frame.partners != np.arange(6)).all()
    shares = np.exp(frame.pair_logs).reshape(6, PAIR_BINS, PAIR_BINS).sum(axis=1)
    np.testing.assert_allclose(shares, 1, atol=1e-5)


def test_the_most_frequent_classes_have_a_mean_and_the_last_row_is_for_all_others() -> None:
    n_classes = CLASSES_MAX + 30
    labels = np.concatenate([np.repeat(np.arange(n_classes), 2), np.arange(CLASSES_MAX), np.full(50, -1)])
    frame = fit(correlated(len(labels), 5), labels)
    np.testing.assert_array_equal(frame.class_labels, np.arange(CLASSES_MAX))
    assert frame.class_means.shape == (CLASSES_MAX + 1, SKETCH)
    assert fit(correlated(100, 5), np.full(100, -1)).class_means.shape == (1, SKETCH)


def test_inputs_that_never_vary_give_finite_coordinates() -> None:
    still = correlated(100, 6)
    still[:, 2] = 7.0
    for x in (still, np.ones((100, 6)), still[:, 2:3]):
        frame = fit(x)
        for name in ("means", "scales", "basis", "variances", "pair_logs", "class_means", "class_weights"):
            assert np.isfinite(getattr(frame, name)).all(), name
        assert (frame.scales > 0).all()
        assert (frame.variances > 0).all()


def test_one_account_of_absurd_queries_does_not_scale_all_others_to_nothing() -> None:
    x = correlated(2_400, 10)
    x[:, 9] = np.random.default_rng(2).random(2_400) < 0.002  # hardly ever set
    usual = fit(x)
    np.testing.assert_array_equal(usual.scales, fit(x).scales)
    absurd = x.copy()
    absurd[500:524] = 1e30  # an account's share of a pool of 100
    ratio = fit(absurd).scales[:9] / usual.scales[:9]
    assert (ratio < 3).all(), ratio
    assert (ratio >= 1).all()


def test_usual_queries_are_left_as_they_are() -> None:
    x = np.random.default_rng(3).lognormal(0, 0.8, (2_000, 4))
    np.testing.assert_allclose(fit(x).scales, x.std(axis=0), rtol=1e-5)


def test_pixels_that_seldom_vary_are_left_as_they_are() -> None:
    rng = np.random.default_rng(4)
    x = rng.integers(0, 200, (2_000, 6)).astype(np.float64)
    x[:, 5] = np.where(rng.random(2_000) < 0.02, 255, rng.integers(0, 2, 2_000))
    np.testing.assert_allclose(fit(x).scales[5], x[:, 5].std(), rtol=1e-5)
