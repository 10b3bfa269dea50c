"""How a query's input moved from those its account asked before: flat steps, and lines.

Augmentation by the sign of a gradient moves every coordinate by the same amount, away from a parent that lies
as far back as the attack has seeds [1]_; hence a memory of recent queries and of a sample of all older ones.

References
----------
.. [1] Papernot et al., Practical Black-Box Attacks against Machine Learning, 2017; Juuti et al., PRADA, 2019.
"""

import numpy as np

from copycatch.compiled import njit
from copycatch.layout import row as layout
from copycatch.layout.signals import OWN_INDEX
from copycatch.space.model import RAW, Z_MAX
from copycatch.space.steps import STEP_MIN, STEP_SHARE_MIN, STILL_WEIGHT

RECENT, RESERVOIR, MEMORY = layout.RECENT, layout.RESERVOIR, layout.MEMORY
# A byte a coordinate, in the square root of its spreads: within +-40 spreads, at 1 to 0.03, near 0 to 0.003.
# Images have borders that hardly ever vary, where foreign ones differ by dozens of spreads.
SPREADS_MAX = np.float32(40)
CODE_MAX = np.float32(127)
CODE_UNIT = SPREADS_MAX / (CODE_MAX * CODE_MAX)
MISSING = np.int8(-128)
# What a byte stands for, in units of CODE_UNIT: whole numbers, whose differences float32 holds exactly.
_CODES = np.arange(256).astype(np.uint8).view(np.int8).astype(np.float32)
VALUES = _CODES * np.abs(_CODES)
IS_FLAT, IS_IN_LINE, STEP_KURTOSIS = OWN_INDEX["is_flat"], OWN_INDEX["is_in_line"], OWN_INDEX["step_kurtosis"]
REMEMBERED_MIN = 6  # rows of the memory: fewer do not suffice
STEP_MIN_SQUARED = np.float32((np.float32(STEP_MIN) / CODE_UNIT) ** 2)
MOVED_SHARE = np.float32(STEP_SHARE_MIN**2)  # of a step's mean square
# The fourth powers of a flat step, still coordinates too, sum to less than its squared energy over the known
# coordinates times sqrt(2) exp(limit) + 1/16 (MOVED_SHARE): few other steps need to be examined.
FLAT_FACTOR, FLAT_REST = np.float32(1.4156), np.float32(0.0626)
MOVED_MIN = 4  # coordinates, below which a step has no shape
IN_LINE_COS = np.float32(0.93)
# Shift and spread of the remembered inputs. Coordinates are clipped as those of a frame; the widest eighth of
# the spreads is left out, because one coordinate in a wrong unit tells nothing about the others.
MOMENT_ROWS_MIN, KNOWN_MIN, WIDEST = 12, 4, 8
CLIP = np.float32(Z_MAX)
VARIANCE_MIN = 1e-6  # of a coordinate that can go together with another
# The comparison is expensive: every query of an account's beginning, then one in so many.
EVERY_UP_TO, THEN_ONE_IN = 128, 4
# Working space of a comparison: remembered rows lie side by side, so that one instruction serves eight.
LANES, WORK_ROWS = 48, RAW + 7
assert LANES >= MEMORY
assert STILL_WEIGHT == 0.5, "any_flat squares instead of taking logarithms"


@njit(cache=True)
def fixed_raw(raw, out):  # type: ignore[no-untyped-def]
    """Input coordinates as fixed point; NaN has a code of its own."""
    for k in range(RAW):
        value = raw[k]
        code = np.rint(np.sqrt(min(abs(value), SPREADS_MAX) / CODE_UNIT))
        signed = code if value >= 0 else -code
        out[k] = MISSING if np.isnan(value) else np.int8(signed)


@njit(cache=True)
def n_remembered(count):  # type: ignore[no-untyped-def]
    """How many rows of the memory are filled after `count` distinct queries."""
    return min(count, RECENT) + min(max(count - RECENT, 0), RESERVOIR)


@njit(cache=True)
def remember(memory, raw, count):  # type: ignore[no-untyped-def]
    """Put in the account's `count`-th distinct query; the one that it pushes out may join the sample.

    Each older query is as likely to be in the sample as any other; the draw depends on its number alone,
    so that a replay under another key of the hashes remembers the same.
    """
    at = count % RECENT
    older = count - RECENT
    if older >= 0:
        slot = older
        if older >= RESERVOIR:
            mixed = np.uint64(older + 1) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            slot = np.int64((mixed >> np.uint64(31)) % np.uint64(older + 1))
        if slot < RESERVOIR:
            memory[RECENT + slot] = memory[at]
    memory[at] = raw


@njit(cache=True)
def mean_squared_correlation(standardised, n):  # type: ignore[no-untyped-def]
    """Over pairs of rows, beyond what `n` unrelated values have by chance; NaN below `KNOWN_MIN` rows."""
    n_rows = len(standardised)
    if n_rows < KNOWN_MIN:
        return np.nan
    total = 0.0
    for first in range(n_rows):
        for second in range(first):
            product = 0.0
            for j in range(n):
                product += standardised[first, j] * standardised[second, j]
            total += product * product
    return total / (n_rows * (n_rows - 1) / 2) - 1 / (n - 1)


@njit(cache=True)
def moments_of(memory, count):  # type: ignore[no-untyped-def]
    """Where the remembered inputs lie: the mean square of their centre, their variance around it, and how far
    their coordinates go together, as `space.steps.coupling` says of the usual ones.

    The first two in squares of the usual inputs' spread of each coordinate, which have 0 and 1. Unbiased; NaN
    below `MOMENT_ROWS_MIN` rows or `KNOWN_MIN` coordinates.
    """
    n = n_remembered(count)
    variances = np.empty(RAW)
    whole = np.empty((RAW, n))  # standardised values of the coordinates that all rows know and that vary
    n_whole = 0
    known, shift = 0, 0.0
    for k in range(RAW):
        there, total, squares = 0, 0.0, 0.0
        for j in range(n):
            if memory[j, k] != MISSING:
                value = VALUES[np.uint8(memory[j, k])] * CODE_UNIT
                value = min(max(value, -CLIP), CLIP)
                there += 1
                total += value
                squares += value * value
        if there >= MOMENT_ROWS_MIN:
            mean = total / there
            variance = max(squares / there - mean * mean, 0.0) * there / (there - 1)
            variances[known] = variance
            if there == n and variance > VARIANCE_MIN:
                for j in range(n):
                    value = VALUES[np.uint8(memory[j, k])] * CODE_UNIT
                    value = min(max(value, -CLIP), CLIP)
                    whole[n_whole, j] = (value - mean) / np.sqrt(variance * (n - 1))
                n_whole += 1
            shift += mean * mean - variance / there
            known += 1
    if known < KNOWN_MIN:
        return np.nan, np.nan, np.nan
    kept = np.sort(variances[:known])[: known - known // WIDEST]
    return max(shift / known, 0.0), kept.mean(), mean_squared_correlation(whole[:n_whole], n)


@njit(cache=True)
def unpack(memory, n, values):  # type: ignore[no-untyped-def]
    """What the first `n` rows of the memory stand for, (RAW, LANES), a column each."""
    for j in range(n):
        for k in range(RAW):
            values[k, j] = VALUES[np.uint8(memory[j, k])]


@njit(cache=True)
def energies_of(own, weights, values, second, fourth):  # type: ignore[no-untyped-def]
    """Sums of the weighted squares of all steps' moves, and of the squares of these."""
    for j in range(LANES):  # the inner loop is unrolled, so that this one becomes vector code along the rows
        energy = fourths = np.float32(0)
        for k in range(RAW):
            step = own[k] - values[k, j]
            square = step * step * weights[k]
            energy += square
            fourths += square * square
        second[j] = energy
        fourth[j] = fourths


@njit(cache=True)
def products_of(step, base, values, products, lengths):  # type: ignore[no-untyped-def]
    """Scalar products of a step from `base` with those to all rows, and the squared lengths of these."""
    for j in range(LANES):
        product = length = np.float32(0)
        for k in range(RAW):
            other = values[k, j] - base[k]
            product += step[k] * other
            length += other * other
        products[j] = product
        lengths[j] = length


@njit(cache=True)
def shape_of(own, weights, values, at, known, energy):  # type: ignore[no-untyped-def]
    """Kurtosis of the step from a row over the coordinates that move (0 where none does), and how many do."""
    limit = energy * MOVED_SHARE / known
    moved = second = fourth = np.float32(0)
    for k in range(RAW):
        step = own[k] - values[k, at]
        square = step * step * weights[k]
        is_moved = np.float32(1) if square > limit else np.float32(0)
        square *= is_moved
        moved += is_moved
        second += square
        fourth += square * square
    if second <= 0:
        return np.float32(0), moved
    return fourth * moved / (second * second), moved


@njit(cache=True)
def any_flat(own, weights, values, n, known, flat_log, second, fourth):  # type: ignore[no-untyped-def]
    """Whether the step from any row moves most coordinates alike, and by more than noise does."""
    flat = np.float32(np.exp(flat_log))
    bound = (FLAT_FACTOR * flat + FLAT_REST) / known
    # log kurtosis + half of log(known / moved) < flat_log, without a logarithm
    limit = flat * flat / known
    for j in range(n):
        energy = second[j]
        if fourth[j] < bound * energy * energy and energy >= known * STEP_MIN_SQUARED:
            kurtosis, moved = shape_of(own, weights, values, j, known, energy)
            if 2 * moved >= known and kurtosis * kurtosis < limit * moved:
                return True
    return False


@njit(cache=True)
def any_in_line(own, values, n, at, work):  # type: ignore[no-untyped-def]
    """Whether the step from row `at`, the nearest one, points to, or away from, any other."""
    base, step, products, lengths = work[0], work[1], work[2], work[3]
    squared = np.float32(0)
    for k in range(RAW):
        base[k] = values[k, at]
        step[k] = own[k] - base[k]
        squared += step[k] * step[k]
    if squared <= 0:
        return False
    products_of(step, base, values, products, lengths)
    limit = IN_LINE_COS * IN_LINE_COS * squared
    found = False
    for j in range(n):
        found |= (lengths[j] > 0) & (products[j] * products[j] > limit * lengths[j])
    return found


@njit(cache=True)
def compare_with_memory(own, raw, ratios, memory, count, number, flat_logs, work):  # type: ignore[no-untyped-def]
    """Whether the query is a flat step from a remembered one, and whether it lies on a line with two.

    Flat in units of each coordinate's own spread, or in one unit for all (`ratios` are the spreads in it).
    `number` is that of the nearest recent query, -1 where there is none.
    """
    n = n_remembered(count)
    if n < REMEMBERED_MIN or raw[0] == MISSING or (count >= EVERY_UP_TO and count % THEN_ONE_IN):
        return
    values, rest = work[:RAW], work[RAW:]
    here, ones, scales = rest[4], rest[5], rest[6]
    known = np.float32(0)
    for k in range(RAW):
        known += np.float32(raw[k] != MISSING)
        here[k] = VALUES[np.uint8(raw[k])]
        ones[k] = np.float32(1)
        scales[k] = ratios[k] * ratios[k]
    unpack(memory, n, values)
    second, fourth = rest[0], rest[1]
    energies_of(here, ones, values, second, fourth)
    nearest = 0
    for j in range(1, n):
        if second[j] < second[nearest]:
            nearest = j
    is_flat = any_flat(here, ones, values, n, known, flat_logs[0], second, fourth)
    energies_of(here, scales, values, second, fourth)
    own[IS_FLAT] = is_flat or any_flat(here, scales, values, n, known, flat_logs[1], second, fourth)
    if number >= 0 and 0 <= count - 1 - number < RECENT:
        at = number % RECENT
        kurtosis, moved = shape_of(here, scales, values, at, known, second[at])
        if moved >= MOVED_MIN:
            own[STEP_KURTOSIS] = np.log(kurtosis)
    own[IS_IN_LINE] = any_in_line(here, values, n, nearest, rest)
