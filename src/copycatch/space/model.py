"""A model's space as data, and the sizes and limits that fit and transform share."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.records.columns import Float32Array, FloatArray, IntArray

SKETCH = 16  # leading whitened dimensions kept per query
RAW = 16  # input coordinates sampled per query, for the shape of steps
CELL_BITS = 5  # signs of leading dimensions that make a topic cell
CELLS = 1 << CELL_BITS
FOURIER = 32  # random Fourier features per query
PAIR_BINS = 8  # bins of half a standard deviation per coordinate in the pair likelihood
N_NEIGHBOURS = 8
Z_MAX = 8.0  # standardised coordinates are clipped here: one wild value must not hide the rest
LOG_FLOOR = 1e-6  # added to a mean square before its logarithm


@dataclass(frozen=True, slots=True)
class Frame:
    """Coordinates of one kind of vector, with its usual values; `d` is its length, `r` the rank kept.

    `n_main` is how many leading directions hold four fifths of the variance. `partners` names, for each
    coordinate, the one it is most correlated with, and `pair_logs` the log of p(coordinate | partner) over
    their bins. The class means are leading scores of each label, the last row that of labels never seen;
    `class_weights` whitens what is left after a query's class mean is taken off.
    """

    means: Float32Array  # (d,)
    scales: Float32Array  # (d,)
    basis: Float32Array  # (d, r) leading eigenvectors of the standardised pool
    variances: Float32Array  # (r,) floored eigenvalues
    residual_variance: float  # per dimension beyond r
    n_main: int
    partners: IntArray  # (d,)
    pair_logs: Float32Array  # (d, PAIR_BINS * PAIR_BINS)
    class_labels: IntArray  # (k,), ascending
    class_means: Float32Array  # (k + 1, SKETCH)
    class_weights: Float32Array  # (SKETCH, SKETCH)


class Lexicon(NamedTuple):
    """Hashed words and neighbouring pairs of words, each with how many accounts used it.

    Counts saturate; `*_last` is the account that voted last, so that no account makes its own words known.
    The arrays change at learning steps only.
    """

    word_votes: npt.NDArray[np.uint8]
    word_last: npt.NDArray[np.uint32]
    pair_votes: npt.NDArray[np.uint8]
    pair_last: npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class ModelSpace:
    """The frozen geometry and neighbourhood of one model's normal queries.

    Built from a pool with a bounded number of distinct queries per account, so that no account shapes it
    more than any other. `queries` is where neighbours are sought (embedding, else numeric input), `inputs`
    the numeric input beside an embedding; `m` the rows of the reference_set.
    """

    version: int  # rises at each rebuild of the geometry: sketches of different versions do not compare
    uses_inputs: bool  # `queries` is about numeric inputs (the log has no embeddings)
    queries: Frame
    inputs: Frame | None
    raw_columns: IntArray  # coordinates sampled for step shapes
    raw_means: Float32Array  # of those
    raw_scales: Float32Array  # their spreads
    reference_sketches: Float32Array  # (m, SKETCH), zero-padded
    reference_accounts: IntArray  # (m,) number of the account each row came from
    reference_hashes: IntArray  # (m,) input hashes viewed as int64: identical inputs are no neighbours
    reference_labels: IntArray  # (m,)
    reference_margins: Float32Array  # (m,)
    reference_entropies: Float32Array  # (m,)
    far_log: float  # 95 % quantile of the reference_set's own mean log distance to its neighbours
    farther_log: float  # 99 %
    odd_log: float  # 95 % quantile of the reference_set's residual energy
    odder_log: float  # 99 %
    flat_logs: Float32Array  # (2,) flatness below which honest steps hardly ever come by chance
    coupling: float  # mean squared correlation of the usual inputs' sampled coordinates; NaN where unknown
    near: float  # 75 % quantile of the distance to the nearest: what is farther is never "near"
    low_margin: float  # 10 % quantile of margins
    new_pairs: float  # 90 % quantile of the share of new word pairs
    fourier_weights: Float32Array  # (SKETCH, FOURIER)
    fourier_phases: Float32Array  # (FOURIER,)
    fourier_mean: FloatArray  # (FOURIER,) mean features of the reference_set
    lexicon: Lexicon | None


REFERENCE_COLUMNS = ("sketches", "accounts", "hashes", "labels", "margins", "entropies")


def without_account(space: ModelSpace, account_hash: int) -> ModelSpace:
    """The same geometry without the reference rows of one account; what was measured on all of them stays."""
    is_kept = space.reference_accounts != account_hash
    if is_kept.all():
        return space
    names = [f"reference_{column}" for column in REFERENCE_COLUMNS]
    return replace(space, **{name: getattr(space, name)[is_kept] for name in names})
