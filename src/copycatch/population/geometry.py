"""Build a model's frozen space from its pool."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from copycatch.population.frames import Z_MAX, fit_frame
from copycatch.population.lexicon import share_of_new_pairs
from copycatch.population.pool import Query
from copycatch.population.steps import flat_logs
from copycatch.records.columns import Float32Array, FloatArray
from copycatch.records.layout import FOURIER, RAW
from copycatch.records.space import SKETCH_LENGTH, Frame, Lexicon, ModelSpace

REFERENCE_SET_ROWS = 512  # more rows find nearer neighbours at proportional cost
QUERIES_MIN = 200
ACCOUNTS_MIN = 10
NEIGHBOURS = 8
NEAR_QUANTILE, FAR_QUANTILE, FARTHER_QUANTILE, LOW_MARGIN_QUANTILE = 0.75, 0.95, 0.99, 0.10
NEW_PAIRS_QUANTILE = 0.90


def build_space(
    rows: Sequence[Query], reference_set: Sequence[Query], *, uses_inputs: bool, version: int,
    lexicon: Lexicon | None = None,
) -> ModelSpace:  # fmt: skip
    """Fit the geometry on `rows` and put `reference_set` in it.

    Parameters
    ----------
    rows : sequence of Query
        At least `QUERIES_MIN` of at least `ACCOUNTS_MIN` accounts.
    reference_set : sequence of Query
        At most `REFERENCE_SET_ROWS`.
    uses_inputs : bool
        Whether the vectors are numeric inputs (else embeddings).
    version : int
    lexicon : Lexicon, optional
        Of the model's texts.

    Returns
    -------
    ModelSpace
    """
    labels = np.array([query.label for query in rows], dtype=np.int64)
    queries = fit_frame([query.vector for query in rows], labels)
    beside = [query for query in rows if len(query.input_vector)]
    inputs = None
    if len(beside) >= QUERIES_MIN:
        of_beside = np.array([query.label for query in beside], dtype=np.int64)
        inputs = fit_frame([query.input_vector for query in beside], of_beside)
    stepped = inputs if inputs is not None else queries
    raw_columns = np.linspace(0, len(stepped.means) - 1, min(RAW, len(stepped.means))).astype(np.int64)
    raw_scales = stepped.scales[raw_columns]
    raws = [
        (query.account_hash, (vector[raw_columns] - stepped.means[raw_columns]) / raw_scales)
        for query in rows
        if len(vector := query.vector if inputs is None else query.input_vector)
    ]
    empty = np.zeros(0, dtype=np.int64)
    none = np.zeros(0, dtype=np.float32)
    space = ModelSpace(
        version=version,
        uses_inputs=uses_inputs,
        queries=queries,
        inputs=inputs,
        raw_columns=raw_columns,
        raw_means=stepped.means[raw_columns],
        raw_scales=raw_scales,
        reference_sketches=np.zeros((0, SKETCH_LENGTH), dtype=np.float32),
        reference_accounts=empty,
        reference_hashes=empty,
        reference_labels=empty,
        reference_margins=none,
        reference_entropies=none,
        far_log=np.nan,
        farther_log=np.nan,
        odd_log=np.nan,
        odder_log=np.nan,
        flat_logs=flat_logs(raws, raw_scales),
        near=0.0,
        low_margin=np.nan,
        new_pairs=np.nan,
        fourier_weights=np.zeros((SKETCH_LENGTH, FOURIER), dtype=np.float32),
        fourier_phases=np.zeros(FOURIER, dtype=np.float32),
        fourier_mean=np.zeros(FOURIER),
        lexicon=lexicon,
    )
    return rebuild_reference_set(space, reference_set, is_new=True)


def rebuild_reference_set(
    space: ModelSpace, reference_set: Sequence[Query], *, is_new: bool = False
) -> ModelSpace:
    """The same geometry with a fresh reference_set; sketches stay comparable."""
    sketches = _sketches(np.stack([query.vector for query in reference_set]), space.queries)
    accounts = np.array([query.account_hash for query in reference_set], dtype=np.int64)
    margins = np.array([query.margin for query in reference_set], dtype=np.float32)
    nearest = distances_to_others(sketches, accounts)
    seen = nearest[np.isfinite(nearest[:, 0]), 0]
    mean_logs = np.log(np.maximum(nearest[np.isfinite(nearest).all(axis=1)], 1e-3)).mean(axis=1)
    weights, phases = space.fourier_weights, space.fourier_phases
    if is_new:
        rng = np.random.default_rng(0)  # the features need random directions, the same in every process
        unit = max(float(np.median(seen)), 1e-3) if len(seen) else 1.0
        weights = (rng.normal(size=(SKETCH_LENGTH, FOURIER)) / unit / 2).astype(np.float32)
        phases = rng.uniform(0, 2 * np.pi, FOURIER).astype(np.float32)
    fouriers: FloatArray = np.sqrt(2 / FOURIER) * np.cos(sketches @ weights.astype(np.float64) + phases)
    odd = _residual_logs(reference_set, space)
    pairs = np.empty(0)
    if space.lexicon is not None:
        pairs = share_of_new_pairs(
            space.lexicon, [(q.account_hash, q.words) for q in reference_set if len(q.words)]
        )
    return replace(
        space,
        reference_sketches=sketches,
        reference_accounts=accounts,
        reference_hashes=np.array([query.input_hash for query in reference_set], dtype=np.uint64).view(
            np.int64
        ),
        reference_labels=np.array([query.label for query in reference_set], dtype=np.int64),
        reference_margins=margins,
        reference_entropies=np.array([query.entropy for query in reference_set], dtype=np.float32),
        far_log=_quantile(mean_logs, FAR_QUANTILE),
        farther_log=_quantile(mean_logs, FARTHER_QUANTILE),
        odd_log=_quantile(odd, FAR_QUANTILE),
        odder_log=_quantile(odd, FARTHER_QUANTILE),
        near=_quantile(seen, NEAR_QUANTILE, 0.0),
        low_margin=_quantile(margins, LOW_MARGIN_QUANTILE),
        new_pairs=_quantile(pairs, NEW_PAIRS_QUANTILE),
        fourier_weights=weights,
        fourier_phases=phases,
        fourier_mean=fouriers.mean(axis=0),
    )


def _quantile(values: np.ndarray, share: float, otherwise: float = np.nan) -> float:
    known = values[~np.isnan(values)]
    return float(np.quantile(known, share)) if len(known) else otherwise


def _sketches(vectors: Float32Array, frame: Frame) -> Float32Array:
    z = np.clip((vectors - frame.means) / frame.scales, -Z_MAX, Z_MAX)
    kept = min(frame.basis.shape[1], SKETCH_LENGTH)
    sketches = np.zeros((len(z), SKETCH_LENGTH), dtype=np.float32)
    sketches[:, :kept] = (z @ frame.basis[:, :kept]) / np.sqrt(np.sqrt(frame.variances[:kept]))
    return sketches


def _residual_logs(reference_set: Sequence[Query], space: ModelSpace) -> FloatArray:
    """Log residual energy of the reference_set's inputs, as `signals.geometry.energies` measures it."""
    if space.inputs is not None:
        vectors = [query.input_vector for query in reference_set if len(query.input_vector)]
    else:
        vectors = [query.vector for query in reference_set]
    if not vectors:
        return np.empty(0)
    frame = space.inputs or space.queries
    z = np.clip((np.stack(vectors) - frame.means) / frame.scales, -Z_MAX, Z_MAX).astype(np.float64)
    scores = z @ frame.basis
    beyond = np.maximum((z**2).sum(axis=1) - (scores**2).sum(axis=1), 0) / frame.residual_variance
    if z.shape[1] == frame.basis.shape[1]:
        beyond = np.zeros(len(z))
    whitened = (scores**2 / frame.variances)[:, frame.n_main :].sum(axis=1)
    logs: FloatArray = np.log((whitened + beyond) / max(z.shape[1] - frame.n_main, 1) + 1e-6)
    return logs


def distances_to_others(sketches: Float32Array, accounts: np.ndarray) -> FloatArray:
    """Distance of each row to its nearest rows of other accounts, ascending; infinite where there are fewer.

    Returns
    -------
    ndarray of float64, shape (n, 8)

    Examples
    --------
    >>> sketches = np.array([[0.0], [1.0], [3.0]], dtype=np.float32)
    >>> distances_to_others(sketches, np.array([1, 1, 2]))[:, 0].tolist()
    [3.0, 2.0, 2.0]
    """
    exact = sketches.astype(np.float64)
    squares = (exact**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * exact @ exact.T
    distances[accounts[:, None] == accounts[None, :]] = np.inf
    nearest = np.full((len(sketches), NEIGHBOURS), np.inf)
    kept = min(NEIGHBOURS, len(sketches))
    if kept:
        nearest[:, :kept] = np.sort(np.partition(distances, kept - 1, axis=1)[:, :kept], axis=1)
    lengths: FloatArray = np.sqrt(np.maximum(nearest, 0))
    return lengths
