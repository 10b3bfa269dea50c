"""Do accounts act as one? Their activity in panes of ten minutes, beyond what each would do by itself.

`x_a` is the square root of account a's count in a pane less what its own level times the common profile of
the day leads one to expect. Were the accounts independent, the variance of the sum of their `x` would be the
sum of the variances. The ratio of the two is compared with what it is when every member is moved in time by
itself, which keeps its bursts and breaks only what it has in common with others. Two moves are tried: by
whole days, give or take three hours (`together`), and by about an hour (`in_step`): people who work
at the same hours pass the first test, accounts fed from one queue pass both.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.campaigns.fold import LEVEL_ROOTS, LEVELS, LinkColumns, get_level
from copycatch.campaigns.layout import PANE_MS, PANES, PANES_PER_DAY
from copycatch.compiled import njit
from copycatch.records.columns import Float32Array, FloatArray, IntArray

NULLS: Final = 24
SD_FLOOR: Final = 0.05  # of the ratio under the null: a few nulls may agree by chance
MEMBERS_TRIED_MAX: Final = 96  # of a larger group an even sample tells as much
NEAR_PANES: Final = 18  # three hours
STEP_PANES: Final = (
    3,
    9,
)  # half an hour to one and a half: less may still be in step, more leaves the common hours
PROFILE_ROWS_MAX: Final = 2_048  # accounts that the common profile is taken from
PROFILE_SMOOTH: Final = 13  # panes
ROOT_IN_PROFILE_MAX: Final = 2.0  # one busy account does not make the common day


def _expected_roots() -> tuple[FloatArray, FloatArray]:
    """Mean of `LEVEL_ROOTS` over Poisson counts, by the rate."""
    rates = np.geomspace(1e-6, 256.0, 200)
    counts = np.arange(512)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    logs = counts * np.log(rates)[:, None] - rates[:, None] - log_factorials
    roots = LEVEL_ROOTS[np.searchsorted(LEVELS, counts, side="right") - 1]
    return rates, np.exp(logs) @ roots.astype(np.float64)


RATES, EXPECTED_ROOTS = _expected_roots()
DAY_SHIFTS: Final = np.array(
    [day * PANES_PER_DAY + near for day in range(1, 7) for near in range(-NEAR_PANES, NEAR_PANES + 1, 6)]
)
_NEAR: Final = np.arange(STEP_PANES[0], STEP_PANES[1] + 1)
STEP_SHIFTS: Final = np.concatenate([_NEAR, PANES - _NEAR])


class Together(NamedTuple):
    """How much a group acts as one, in standard deviations of its nulls."""

    together: float
    in_step: float


@njit(cache=True)
def residual(columns, row, now_pane, profile, out):  # type: ignore[no-untyped-def]
    """Activity of an account beyond its own level times the profile: (PANES,), the last one is `now_pane`."""
    oldest = now_pane - PANES + 1
    first = max(columns.first_ms[row] // PANE_MS - oldest, 0)
    newest = columns.newest_pane[row] - oldest
    panes = columns.panes[row]
    total, share = 0.0, 0.0
    for at in range(PANES):
        out[at] = 0.0
        if at < first:
            continue
        share += profile[(oldest + at) % PANES_PER_DAY]
        # What stands in panes after the newest, or before those of a week up to it, is of another week.
        if newest - PANES < at <= newest:
            out[at] = LEVEL_ROOTS[get_level(panes, (oldest + at) % PANES)]
            total += out[at] * out[at]
    expected = np.interp(profile * (total / max(share, 1e-9)), RATES, EXPECTED_ROOTS)
    for at in range(first, PANES):
        out[at] -= expected[(oldest + at) % PANES_PER_DAY]


@njit(cache=True)
def residuals(columns, rows, now_pane, profile):  # type: ignore[no-untyped-def]
    """The same of several accounts: float32 (k, PANES)."""
    found = np.zeros((len(rows), PANES), dtype=np.float32)
    for index in range(len(rows)):
        residual(columns, rows[index], now_pane, profile, found[index])
    return found


@njit(cache=True)
def summed_roots(columns, rows, now_pane):  # type: ignore[no-untyped-def]
    """Activity of all these accounts by time of day, (PANES_PER_DAY,)."""
    found = np.zeros(PANES_PER_DAY)
    oldest = now_pane - PANES + 1
    for row in rows:
        newest = columns.newest_pane[row] - oldest
        for at in range(max(newest - PANES + 1, 0), min(newest, PANES - 1) + 1):
            root = LEVEL_ROOTS[get_level(columns.panes[row], (oldest + at) % PANES)]
            found[(oldest + at) % PANES_PER_DAY] += min(root, ROOT_IN_PROFILE_MAX)
    return found


def common_profile(columns: LinkColumns, rows: IntArray, now_pane: int) -> FloatArray:
    """The common profile of a day in panes, of mean 1, from an even sample of the accounts."""
    stride = max(1, -(-len(rows) // PROFILE_ROWS_MAX))
    sums = summed_roots(columns, rows[::stride], now_pane) + 1e-3
    half = PROFILE_SMOOTH // 2
    around = np.concatenate([sums[-half:], sums, sums[:half]])
    smooth = np.convolve(around, np.ones(PROFILE_SMOOTH) / PROFILE_SMOOTH, "valid")
    profile: FloatArray = smooth / smooth.mean()
    return profile


@njit(cache=True)
def variance_ratios(activity, shifts):  # type: ignore[no-untyped-def]
    """Variance of the sum over the sum of variances, for each row of shifts (m, k) of the members."""
    k, width = activity.shape
    own = 0.0
    for member in range(k):
        own += np.var(activity[member])
    ratios = np.zeros(len(shifts))
    summed = np.zeros(width, dtype=np.float32)
    for trial in range(len(shifts)):
        summed[:] = 0
        for member in range(k):
            shift = shifts[trial, member]
            summed[shift:] += activity[member, : width - shift]
            summed[:shift] += activity[member, width - shift :]
        ratios[trial] = np.var(summed) / max(own, 1e-9)
    return ratios


def joint_activity(activity: Float32Array) -> Together:
    """How much the members act as one.

    Parameters
    ----------
    activity : ndarray of float32, shape (k, PANES)
        As `residuals` gives it.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> bursts = rng.random(PANES) < 0.1
    >>> alone = rng.poisson(0.1, (8, PANES)).astype(np.float32)
    >>> fed = rng.poisson(np.where(bursts, 1.0, 0.02), (8, PANES)).astype(np.float32)
    >>> joint_activity(alone).together < 4, joint_activity(fed).together > 10, joint_activity(fed).in_step > 5
    (True, True, True)
    """
    activity = activity[:: -(-len(activity) // MEMBERS_TRIED_MAX)]
    k = len(activity)
    rng = np.random.default_rng(k)  # the same group has the same nulls, wherever and whenever it is looked at
    still = np.zeros((1, k), dtype=np.int64)
    days = rng.integers(1, PANES // PANES_PER_DAY, (NULLS, k)) * PANES_PER_DAY
    days += rng.integers(-NEAR_PANES, NEAR_PANES + 1, (NULLS, k))
    steps = rng.choice(STEP_SHIFTS, (NULLS, k))
    ratios = variance_ratios(activity, np.concatenate([still, days, steps]))
    found, by_days, by_steps = ratios[0], ratios[1 : NULLS + 1], ratios[NULLS + 1 :]
    return Together(*(float((found - null.mean()) / (null.std() + SD_FLOOR)) for null in (by_days, by_steps)))


@njit(cache=True)
def _own(activity, total, is_member, shifts):  # type: ignore[no-untyped-def]
    k, width = activity.shape
    found = np.zeros(k)
    others = np.zeros(width)
    for member in range(k):
        for at in range(width):
            others[at] = total[at] - (activity[member, at] if is_member else 0.0)
        others -= others.mean()
        here = 0.0
        for at in range(width):
            here += activity[member, at] * others[at]
        summed, squared = 0.0, 0.0
        for shift in shifts:
            there = 0.0
            for at in range(width):
                moved = at + shift
                there += activity[member, at] * others[moved if moved < width else moved - width]
            summed += there
            squared += there * there
        mean = summed / len(shifts)
        spread = np.sqrt(max(squared / len(shifts) - mean * mean, 0.0))
        # Moved to days on which one of the two was silent, they have nothing in common at all: chance is at
        # least what it would be if both were noise.
        energy = 0.0
        for at in range(width):
            energy += activity[member, at] * activity[member, at]
        spread = max(spread, np.sqrt(energy * np.mean(others * others)))
        found[member] = (here - mean) / spread if spread > 0 else 0.0
    return found


def own_parts(
    activity: Float32Array, total: FloatArray, *, is_member: bool, shifts: IntArray = DAY_SHIFTS
) -> FloatArray:
    """How much each account acts with a group, in standard deviations over moves of it in time.

    Parameters
    ----------
    activity : ndarray of float32, shape (n, PANES)
    total : ndarray of float64, shape (PANES,)
        Sum of the group's activity.
    is_member : bool
        Whether the accounts are part of that sum: their own part is then taken out.
    shifts : ndarray of int64
        The moves, in panes: `DAY_SHIFTS` or `STEP_SHIFTS`.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    found: npt.NDArray[np.float64] = _own(activity, total, is_member, shifts)
    return found
