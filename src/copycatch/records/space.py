"""What the signals need to know of a model's traffic: built by `population`, read by `signals`."""

from dataclasses import dataclass

from copycatch.records.columns import Float32Array, FloatArray, IntArray

SKETCH_LENGTH = 16  # leading whitened dimensions kept per query; windows/layout.py keeps as many
CELL_BITS = 6  # 2^6 topic cells, as windows/layout.py keeps


@dataclass(frozen=True, slots=True)
class ModelSpace:
    """The frozen geometry and neighbourhood of one model's normal queries.

    Built from a pool with a bounded number of distinct queries per account, so that no account shapes it
    more than any other. `d` is the length of the vector used (numeric input, else embedding), `r` the rank
    kept, `m` the rows of the bank.
    """

    version: int  # rises at each rebuild of the geometry: sketches of different versions do not compare
    uses_inputs: bool  # vectors are numeric inputs (else embeddings)
    means: Float32Array  # (d,)
    scales: Float32Array  # (d,)
    basis: Float32Array  # (d, r) leading eigenvectors of the standardised pool
    variances: Float32Array  # (r,) floored eigenvalues
    residual_variance: float  # per dimension beyond r
    raw_columns: IntArray  # coordinates sampled for step shapes
    bank_sketches: Float32Array  # (m, SKETCH_LENGTH), zero-padded
    bank_accounts: IntArray  # (m,) number of the account each row came from
    bank_hashes: IntArray  # (m,) input hashes viewed as int64: identical inputs are no neighbours
    bank_labels: IntArray  # (m,)
    bank_margins: Float32Array  # (m,)
    bank_entropies: Float32Array  # (m,)
    far_log: float  # 95 % quantile of the bank's own log distance to its nearest other-account row
    near: float  # 5 % quantile of the same distance: closer than this is "near"
    low_margin: float  # 10 % quantile of margins
    fourier_weights: Float32Array  # (SKETCH_LENGTH, FOURIER)
    fourier_phases: Float32Array  # (FOURIER,)
    fourier_mean: FloatArray  # (FOURIER,) mean features of the bank
