"""Build a model's frozen space from its pool."""

from collections.abc import Sequence

import numpy as np

from copycatch.population.pool import Query
from copycatch.records.columns import Float32Array, FloatArray
from copycatch.records.space import SKETCH_LENGTH, ModelSpace

RANK_MAX = 24
BANK_ROWS = 512  # more rows find nearer neighbours at proportional cost; 512 x 16 is about 2 us a query
RAW_LENGTH = 24
FOURIER_LENGTH = 32
NEAR_QUANTILE, FAR_QUANTILE, LOW_MARGIN_QUANTILE = 0.05, 0.95, 0.10
# A coordinate that hardly varies must not turn rounding noise into distance; the same for a direction.
SCALE_FLOOR_SHARE = 0.05
VARIANCE_FLOOR_SHARE = 0.02
QUERIES_MIN = 200
ACCOUNTS_MIN = 10
Z_MAX = 8.0


def build_space(
    rows: Sequence[Query], bank: Sequence[Query], *, uses_inputs: bool, version: int
) -> ModelSpace:
    """Fit the geometry on `rows` and put `bank` in it.

    Parameters
    ----------
    rows : sequence of Query
        At least `QUERIES_MIN` of at least `ACCOUNTS_MIN` accounts.
    bank : sequence of Query
        At most `BANK_ROWS`.
    uses_inputs : bool
        Whether the vectors are numeric inputs (else embeddings).
    version : int

    Returns
    -------
    ModelSpace
    """
    vectors = np.stack([query.vector for query in rows]).astype(np.float64)
    means = vectors.mean(axis=0)
    deviations = vectors.std(axis=0)
    scales = np.maximum(deviations, SCALE_FLOOR_SHARE * deviations.mean() + 1e-9)
    z = np.clip((vectors - means) / scales, -Z_MAX, Z_MAX)
    values, directions = np.linalg.eigh(np.cov(z.T).reshape(z.shape[1], z.shape[1]))
    values, directions = np.maximum(values[::-1], 0), directions[:, ::-1]
    # Eigenvectors have no sign of their own; fix it, so that rebuilds and restarts agree.
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(len(values))])
    rank = min(RANK_MAX, len(values))
    variances = values[:rank] + VARIANCE_FLOOR_SHARE * values.mean()
    residual = values[rank:].mean() if len(values) > rank else 1.0
    raw_columns = np.linspace(0, len(means) - 1, min(RAW_LENGTH, len(means))).astype(np.int64)
    geometry = _Geometry(
        means.astype(np.float32), scales.astype(np.float32),
        directions[:, :rank].astype(np.float32), variances.astype(np.float32),
    )  # fmt: skip
    return _with_bank(geometry, bank, uses_inputs=uses_inputs, version=version,
                      residual_variance=float(max(residual, 1e-3)), raw_columns=raw_columns)  # fmt: skip


def rebuild_bank(space: ModelSpace, bank: Sequence[Query]) -> ModelSpace:
    """The same geometry with a fresh bank; sketches stay comparable."""
    geometry = _Geometry(space.means, space.scales, space.basis, space.variances)
    return _with_bank(geometry, bank, uses_inputs=space.uses_inputs, version=space.version,
                      residual_variance=space.residual_variance, raw_columns=space.raw_columns)  # fmt: skip


class _Geometry:
    def __init__(
        self, means: Float32Array, scales: Float32Array, basis: Float32Array, variances: Float32Array
    ) -> None:
        self.means, self.scales, self.basis, self.variances = means, scales, basis, variances

    def sketch(self, vectors: Float32Array) -> Float32Array:
        z = np.clip((vectors - self.means) / self.scales, -Z_MAX, Z_MAX)
        kept = min(self.basis.shape[1], SKETCH_LENGTH)
        sketches = np.zeros((len(z), SKETCH_LENGTH), dtype=np.float32)
        sketches[:, :kept] = (z @ self.basis[:, :kept]) / np.sqrt(np.sqrt(self.variances[:kept]))
        return sketches


def _with_bank(
    geometry: _Geometry, bank: Sequence[Query], *, uses_inputs: bool, version: int,
    residual_variance: float, raw_columns: np.ndarray,
) -> ModelSpace:  # fmt: skip
    sketches = geometry.sketch(np.stack([query.vector for query in bank]))
    accounts = np.array([query.account_hash for query in bank], dtype=np.int64)
    margins = np.array([query.margin for query in bank], dtype=np.float32)
    nearest = nearest_of_others(sketches, accounts)
    seen = nearest[np.isfinite(nearest)]
    near, far = np.quantile(seen, [NEAR_QUANTILE, FAR_QUANTILE]) if len(seen) else (0.0, np.inf)
    known_margins = margins[~np.isnan(margins)]
    rng = np.random.default_rng(0)  # the features need random directions, the same in every process
    weights = rng.normal(size=(SKETCH_LENGTH, FOURIER_LENGTH)) / max(float(np.median(seen)), 1e-3) / 2
    phases = rng.uniform(0, 2 * np.pi, FOURIER_LENGTH)
    fouriers: FloatArray = np.sqrt(2 / FOURIER_LENGTH) * np.cos(sketches @ weights + phases)
    return ModelSpace(
        version=version, uses_inputs=uses_inputs, means=geometry.means, scales=geometry.scales,
        basis=geometry.basis, variances=geometry.variances, residual_variance=residual_variance,
        raw_columns=raw_columns, bank_sketches=sketches, bank_accounts=accounts,
        bank_hashes=np.array([query.input_hash for query in bank], dtype=np.uint64).view(np.int64),
        bank_labels=np.array([query.label for query in bank], dtype=np.int64),
        bank_margins=margins,
        bank_entropies=np.array([query.entropy for query in bank], dtype=np.float32),
        far_log=float(np.log(far + 1e-3)), near=float(near),
        low_margin=float(np.quantile(known_margins, LOW_MARGIN_QUANTILE)) if len(known_margins) else np.nan,
        fourier_weights=weights.astype(np.float32), fourier_phases=phases.astype(np.float32),
        fourier_mean=fouriers.mean(axis=0),
    )  # fmt: skip


def nearest_of_others(sketches: Float32Array, accounts: np.ndarray) -> FloatArray:
    """Distance of each row to the nearest row of another account; infinite where there is none.

    Examples
    --------
    >>> nearest_of_others(np.array([[0.0], [1.0], [3.0]], dtype=np.float32), np.array([1, 1, 2])).tolist()
    [3.0, 2.0, 2.0]
    """
    squares = (sketches.astype(np.float64) ** 2).sum(axis=1)
    distances = (
        squares[:, None] + squares[None, :] - 2 * sketches.astype(np.float64) @ sketches.T.astype(np.float64)
    )
    distances[accounts[:, None] == accounts[None, :]] = np.inf
    nearest: FloatArray = np.sqrt(np.maximum(distances.min(axis=1), 0))
    return nearest
