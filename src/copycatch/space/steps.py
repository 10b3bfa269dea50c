"""How flat honest accounts' steps between their own queries are by chance."""

from collections.abc import Sequence

import numpy as np

from copycatch.records.columns import Float32Array, FloatArray
from copycatch.space.model import Z_MAX

STEP_MIN = 0.15  # root mean square of a step, in spreads: less is noise, whatever its shape
# Coordinates that move less than this share of the root mean square are noise or background. The shape of a
# step is that of the others, where they are at least half of all; the fewer they are the less flat it counts,
# since on a grid of whole numbers a few always move alike by chance.
STEP_SHARE_MIN = 0.25
STILL_WEIGHT = 0.5
# Of honest steps between two queries of an account so many are flat: of queries beside a full memory, fewer
# than one in a hundred.
CHANCE = 0.000155
FLAT_LOG_MIN = 0.02  # rounding alone
ACCOUNTS_MAX = 64  # a thousand queries, compared with two dozen others each, tell the quantile
PER_ACCOUNT_MIN = 8
COUPLED_MIN, COUPLED_SPREAD_MIN = 4, 1e-3  # coordinates that vary, and by how many of the usual spreads


def flat_logs(raws: Sequence[tuple[int, Float32Array]], scales: Float32Array) -> Float32Array:
    """Log flatness that honest steps hardly ever reach, from those between an account's own queries.

    Parameters
    ----------
    raws : sequence of (int, ndarray of float32, shape (k,))
        Account and sampled coordinates of each pooled query, in units of their spreads.
    scales : ndarray of float32, shape (k,)
        Those spreads.

    Returns
    -------
    ndarray of float32, shape (2,)
        In units of the spreads, and in one unit for all coordinates.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> raws = [(account, rng.normal(size=16)) for account in range(20) for _ in range(10)]
    >>> bool((flat_logs(raws, np.ones(16, dtype=np.float32)) > FLAT_LOG_MIN).all())
    True
    """
    by_account: dict[int, list[Float32Array]] = {}
    for account, raw in raws:
        by_account.setdefault(account, []).append(raw)
    limits = np.full(2, FLAT_LOG_MIN, dtype=np.float32)
    groups = [np.stack(each) for each in by_account.values() if len(each) >= PER_ACCOUNT_MIN][:ACCOUNTS_MAX]
    if not groups:
        return limits
    others = np.mean([len(each) - 1 for each in groups])
    for index, units in enumerate((np.ones(len(scales)), scales / scales.mean())):
        flattest = np.concatenate([_flattest(each * units) for each in groups])
        limit = np.quantile(flattest, CHANCE * others, method="lower")
        if np.isfinite(limit):
            limits[index] = max(limit, FLAT_LOG_MIN)
    return limits


def _flattest(raws: FloatArray) -> FloatArray:
    """Log flatness of the flattest step to each row from another one; infinite where none is a step."""
    width = raws.shape[1]
    squares = (raws[:, None, :] - raws[None, :, :]) ** 2
    energy = squares.sum(axis=2)
    squares = np.where(squares > STEP_SHARE_MIN**2 * energy[:, :, None] / width, squares, 0.0)
    moved, second, fourth = (squares > 0).sum(axis=2), squares.sum(axis=2), (squares**2).sum(axis=2)
    is_step = (2 * moved >= width) & (energy >= STEP_MIN**2 * width)
    kurtosis = np.where(is_step, fourth * moved, 1.0) / np.where(is_step, second**2, 1.0)
    logs = np.log(kurtosis) + STILL_WEIGHT * np.log(width / np.maximum(moved, 1))
    flattest: FloatArray = np.where(is_step, logs, np.inf).min(axis=1)
    return flattest


def coupling(raws: Sequence[Float32Array]) -> float:
    """How far coordinates go together: their mean squared correlation beyond that of unrelated ones.

    NaN below four coordinates that vary.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> unrelated = rng.normal(size=(500, 6))
    >>> abs(round(coupling(unrelated), 2)), round(coupling(unrelated[:, [0, 0, 1, 1]] + 0.0), 2)
    (0.0, 0.33)
    """
    values = np.clip(np.stack(raws).astype(np.float64), -Z_MAX, Z_MAX)
    values = values[:, values.std(axis=0) > COUPLED_SPREAD_MIN]
    k = values.shape[1]
    if k < COUPLED_MIN:
        return float("nan")
    squares = np.corrcoef(values.T) ** 2
    return float((squares.sum() - k) / (k * (k - 1)) - 1 / (len(values) - 1))
