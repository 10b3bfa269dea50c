"""The fit measures as the transform does, and both measure what the formulas say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copycatch.records.columns import Float32Array, FloatArray
from copycatch.space.fit import (
    ACCOUNTS_MIN,
    FAR_QUANTILE,
    FARTHER_QUANTILE,
    NEAR_QUANTILE,
    NEW_PAIRS_QUANTILE,
    QUERIES_MIN,
    build_space,
)
from copycatch.space.fit_frame import VARIANCE_FLOOR_SHARE, fit_frame
from copycatch.space.lexicon import empty_lexicon, hash_tokens, learn_tokens, token_novelty
from copycatch.space.model import FOURIER, SKETCH, Z_MAX, Frame, ModelSpace
from copycatch.space.neighbours import compare_with_reference_set
from copycatch.space.query import Query
from copycatch.space.transform import energies, fouriers_of, multiply, sketches_of, standardise

VOCABULARY = [f"word{index}" for index in range(30)]


def pool(rng: np.random.Generator, d: int, d_beside: int, n_shared: int) -> tuple[list[Query], ModelSpace]:
    """Queries of a dozen accounts, some inputs shared by several, and the space fitted on them."""
    mixing = rng.normal(size=(d, d)) + np.eye(d)
    lexicon, queries = empty_lexicon(), []
    shared = [(rng.normal(size=d) @ mixing).astype(np.float32) for _ in range(n_shared)]
    for account in range(1, ACCOUNTS_MIN + 3):
        for index in range(QUERIES_MIN // ACCOUNTS_MIN):
            is_shared = index < n_shared
            vector = shared[index] if is_shared else (rng.normal(size=d) @ mixing).astype(np.float32)
            _, words = hash_tokens([" ".join(rng.choice(VOCABULARY, 6))])
            learn_tokens(lexicon, words, account)
            queries.append(
                Query(account, 0, index + 1 if is_shared else int(rng.integers(1000, 1 << 60)),
                      int(rng.integers(-1, 4)), float(rng.random()), float(rng.random()), vector,
                      rng.normal(size=d_beside).astype(np.float32), words)
            )  # fmt: skip
    return queries, build_space(queries, queries[::2], uses_inputs=d_beside == 0, version=1, lexicon=lexicon)


def sketch_of(vector: Float32Array, frame: Frame) -> Float32Array:
    return sketches_of(multiply(standardise(vector[None], frame), frame.basis), frame)


def residual_log_of(vector: Float32Array, frame: Frame) -> Float32Array:
    z = standardise(vector[None], frame)
    return energies(z, multiply(z, frame.basis), frame)[:, 1]


def neighbours_of(query: Query, space: ModelSpace) -> Float32Array:
    return compare_with_reference_set(
        sketch_of(query.vector, space.queries),
        np.array([query.account_hash]),
        np.array([query.input_hash]),
        np.array([query.label]),
        np.array([query.margin], dtype=np.float32),
        np.array([query.entropy], dtype=np.float32),
        space,
    )


def quantile(values: FloatArray | Float32Array, share: float) -> float:
    return float(np.nanquantile(values.astype(np.float64), share))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    d=st.sampled_from([2, 5, SKETCH, 80]),
    d_beside=st.sampled_from([0, 7]),
    n_shared=st.sampled_from([0, 4]),
)
def test_thresholds_are_quantiles_of_what_the_transform_gives_one_by_one(
    seed: int, d: int, d_beside: int, n_shared: int
) -> None:
    queries, space = pool(np.random.default_rng(seed), d, d_beside, n_shared)
    members = queries[::2]
    sketches = np.concatenate([sketch_of(query.vector, space.queries) for query in members])
    np.testing.assert_array_equal(space.reference_sketches, sketches)
    near = np.concatenate([neighbours_of(query, space) for query in members])
    assert space.far_log == quantile(near[:, 1], FAR_QUANTILE)
    assert space.farther_log == quantile(near[:, 1], FARTHER_QUANTILE)
    assert space.near == pytest.approx(quantile(np.exp(near[:, 0]), NEAR_QUANTILE), rel=1e-3, abs=1e-3)
    frame = space.inputs or space.queries
    vectors = [query.input_vector if space.inputs else query.vector for query in members]
    residuals = np.concatenate([residual_log_of(vector, frame) for vector in vectors])
    assert space.odd_log == quantile(residuals, FAR_QUANTILE)
    assert space.odder_log == quantile(residuals, FARTHER_QUANTILE)
    assert space.lexicon is not None
    novelty = np.concatenate([
        token_novelty(np.zeros(1, dtype=np.int64), np.array([query.account_hash]),
                      np.array([0, len(query.words)]), query.words, space.lexicon)
        for query in members
    ])  # fmt: skip
    assert space.new_pairs == quantile(novelty[:, 1], NEW_PAIRS_QUANTILE)
    fouriers = fouriers_of(sketches, space.fourier_weights, space.fourier_phases)
    np.testing.assert_array_equal(space.fourier_mean, fouriers.mean(axis=0, dtype=np.float64))
    assert fouriers.shape == (len(members), FOURIER)


def test_an_input_that_several_accounts_share_is_no_neighbour_to_the_fit_either() -> None:
    rng = np.random.default_rng(2)
    _, alone = pool(rng, 5, 0, 0)
    queries, shared = pool(np.random.default_rng(2), 5, 0, 12)
    distances = [np.exp(neighbours_of(query, shared)[0, 0]) for query in queries if query.input_hash < 1000]
    assert min(distances) > 0.01
    assert shared.near > alone.near / 2


@pytest.mark.parametrize("d", [3, 12, 40])
def test_energies_are_those_of_the_inverse_covariance(d: int) -> None:
    rng = np.random.default_rng(d)
    x = rng.normal(size=(400, d)) @ (rng.normal(size=(d, d)) + np.eye(d)) + 5
    frame = fit_frame(list(x.astype(np.float32)), np.full(400, -1))
    z = np.clip((x - x.mean(axis=0)) / x.std(axis=0), -Z_MAX, Z_MAX)
    covariance = np.cov(z.T)
    floor = VARIANCE_FLOOR_SHARE * np.trace(covariance) / d
    inverse = np.linalg.inv(covariance + floor * np.eye(d))
    expected = np.log(np.einsum("ij,jk,ik->i", z, inverse, z) / d)
    standardised = standardise(x.astype(np.float32), frame)
    got = energies(standardised, multiply(standardised, frame.basis), frame)
    np.testing.assert_allclose(got[:, 0], expected, atol=2e-3)
    values, directions = np.linalg.eigh(covariance)
    rest = ((z @ directions) ** 2 / (values + floor))[:, ::-1][:, frame.n_main :]
    np.testing.assert_allclose(got[:, 1], np.log(rest.sum(axis=1) / (d - frame.n_main)), atol=2e-2)
