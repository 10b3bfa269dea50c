"""Fit a model's frozen space on its pool.

The thresholds are quantiles over the reference set, measured by the functions that later measure every query:
see `transform` and `neighbours`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from copycatch.records.columns import Float32Array
from copycatch.space.fit_frame import fit_frame
from copycatch.space.lexicon import token_novelty
from copycatch.space.model import FOURIER, LOG_FLOOR, RAW, SKETCH, Frame, Lexicon, ModelSpace
from copycatch.space.neighbours import COLUMNS, compare_with_reference_set
from copycatch.space.query import Query
from copycatch.space.steps import coupling, flat_logs
from copycatch.space.transform import energies, fouriers_of, multiply, sketches_of, standardise

REFERENCE_SET_ROWS = 512  # more rows find nearer neighbours at proportional cost
QUERIES_MIN = 200
ACCOUNTS_MIN = 10
NEAR_QUANTILE, FAR_QUANTILE, FARTHER_QUANTILE, LOW_MARGIN_QUANTILE = 0.75, 0.95, 0.99, 0.10
NEW_PAIRS_QUANTILE = 0.90
UNIT_MIN = 1e-3  # least width of the random Fourier features, where half of the reference set coincides


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
        reference_sketches=np.zeros((0, SKETCH), dtype=np.float32),
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
        coupling=coupling([raw for _, raw in raws]),
        near=0.0,
        low_margin=np.nan,
        new_pairs=np.nan,
        fourier_weights=np.zeros((SKETCH, FOURIER), dtype=np.float32),
        fourier_phases=np.zeros(FOURIER, dtype=np.float32),
        fourier_mean=np.zeros(FOURIER),
        lexicon=lexicon,
    )
    return rebuild_reference_set(space, reference_set, is_new=True)


def rebuild_reference_set(
    space: ModelSpace, reference_set: Sequence[Query], *, is_new: bool = False
) -> ModelSpace:
    """The same geometry with a fresh reference set; sketches stay comparable."""
    sketches = _sketches(np.stack([query.vector for query in reference_set]), space.queries)
    space = replace(
        space,
        reference_sketches=sketches,
        reference_accounts=np.array([query.account_hash for query in reference_set], dtype=np.int64),
        reference_hashes=np.array([query.input_hash for query in reference_set], dtype=np.uint64).view(
            np.int64
        ),
        reference_labels=np.array([query.label for query in reference_set], dtype=np.int64),
        reference_margins=np.array([query.margin for query in reference_set], dtype=np.float32),
        reference_entropies=np.array([query.entropy for query in reference_set], dtype=np.float32),
    )
    neighbours = _compare_with_itself(space)
    nearest_logs = neighbours[:, COLUMNS.index("neighbour_log")]
    mean_logs = neighbours[:, COLUMNS.index("neighbours_log")]
    nearest = np.sqrt(np.maximum(np.exp(2 * nearest_logs.astype(np.float64)) - LOG_FLOOR, 0))
    weights, phases = space.fourier_weights, space.fourier_phases
    if is_new:
        rng = np.random.default_rng(0)  # the features need random directions, the same in every process
        unit = max(_quantile(nearest, 0.5, 1.0), UNIT_MIN)
        weights = (rng.normal(size=(SKETCH, FOURIER)) / unit / 2).astype(np.float32)
        phases = rng.uniform(0, 2 * np.pi, FOURIER).astype(np.float32)
    residual_logs = _residual_logs(reference_set, space)
    return replace(
        space,
        far_log=_quantile(mean_logs, FAR_QUANTILE),
        farther_log=_quantile(mean_logs, FARTHER_QUANTILE),
        odd_log=_quantile(residual_logs, FAR_QUANTILE),
        odder_log=_quantile(residual_logs, FARTHER_QUANTILE),
        near=_quantile(nearest, NEAR_QUANTILE, 0.0),
        low_margin=_quantile(space.reference_margins, LOW_MARGIN_QUANTILE),
        new_pairs=_quantile(_shares_of_new_pairs(reference_set, space.lexicon), NEW_PAIRS_QUANTILE),
        fourier_weights=weights,
        fourier_phases=phases,
        fourier_mean=fouriers_of(sketches, weights, phases).mean(axis=0, dtype=np.float64),
    )


def _quantile(values: np.ndarray, share: float, otherwise: float = np.nan) -> float:
    known = values[~np.isnan(values)].astype(np.float64)
    return float(np.quantile(known, share)) if len(known) else otherwise


def _sketches(vectors: Float32Array, frame: Frame) -> Float32Array:
    return sketches_of(multiply(standardise(vectors, frame), frame.basis), frame)


def _compare_with_itself(space: ModelSpace) -> Float32Array:
    """Each row of the reference set against those of other accounts, as every later query is compared."""
    return compare_with_reference_set(
        space.reference_sketches,
        space.reference_accounts,
        space.reference_hashes,
        space.reference_labels,
        space.reference_margins,
        space.reference_entropies,
        space,
    )


def _residual_logs(reference_set: Sequence[Query], space: ModelSpace) -> Float32Array:
    """Log residual energy of the reference set's inputs, float32 (m,)."""
    if space.inputs is not None:
        vectors = [query.input_vector for query in reference_set if len(query.input_vector)]
    else:
        vectors = [query.vector for query in reference_set]
    if not vectors:
        return np.empty(0, dtype=np.float32)
    frame = space.inputs or space.queries
    z = standardise(np.stack(vectors), frame)
    return energies(z, multiply(z, frame.basis), frame)[:, 1]


def _shares_of_new_pairs(reference_set: Sequence[Query], lexicon: Lexicon | None) -> Float32Array:
    """Share of new pairs of words in each text of the reference set, float32 (m,)."""
    if lexicon is None:
        return np.empty(0, dtype=np.float32)
    accounts = np.array([query.account_hash for query in reference_set], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum([len(query.words) for query in reference_set])]).astype(np.int64)
    words = np.concatenate([query.words for query in reference_set])
    return token_novelty(np.arange(len(accounts)), accounts, starts, words, lexicon)[:, 1]
