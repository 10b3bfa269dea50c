"""How a query's input moved from those its account asked before: flat steps, and lines.

Augmentation by the sign of a gradient moves every coordinate by the same amount, away from a parent that lies
as far back as the attack has seeds [1]_; hence a memory of recent queries and of a sample of all older ones.

References
----------
.. [1] Papernot et al., Practical Black-Box Attacks against Machine Learning, 2017; Juuti et al., PRADA, 2019.
"""

import numpy as np
from numba import njit

from copycatch.records import layout

RAW, RECENT, RESERVOIR = layout.RAW, layout.RECENT, layout.RESERVOIR
# A byte a coordinate, in the square root of its spreads: within +-40 spreads, at 1 to 0.03, near 0 to 0.003.
# Images have borders that hardly ever vary, where foreign ones differ by dozens of spreads.
SPREADS_MAX = np.float32(40)
CODE_MAX = np.float32(127)
CODE_UNIT = SPREADS_MAX / (CODE_MAX * CODE_MAX)
MISSING = np.int8(-128)
REMEMBERED_MIN = 6  # fewer say nothing
# Coordinates that move less than a quarter of the step's root mean square are noise or background. The shape
# of a step is that of the others, where they are at least half of all; the fewer they are the less flat it
# counts, since on a grid of whole numbers a few always move alike by chance.
STEP_SHARE_MIN = np.float32(0.25)
STEP_MIN = np.float32(0.15)  # root mean square, in spreads: less is noise, whatever its shape
STILL_WEIGHT = np.float32(0.5)
MOVED_MIN = 4  # coordinates, below which a step has no shape
IN_LINE_COS = np.float32(0.93)
# Dear evidence: every query of an account's beginning, then one in so many.
EVERY_UP_TO, THEN_ONE_IN = 128, 4


@njit(cache=True)
def fixed_raw(raw, out):  # type: ignore[no-untyped-def]
    """Input coordinates as fixed point; NaN has a code of its own."""
    for k in range(RAW):
        if np.isnan(raw[k]):
            out[k] = MISSING
        else:
            code = round(np.sqrt(min(abs(raw[k]), SPREADS_MAX) / CODE_UNIT))
            out[k] = np.int8(code if raw[k] >= 0 else -code)


@njit(cache=True)
def spreads(code):  # type: ignore[no-untyped-def]
    """The value that a code stands for."""
    value = np.float32(code)
    return value * abs(value) * CODE_UNIT


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


@njit(cache=True, fastmath=True)
def shape_of(squares, known):  # type: ignore[no-untyped-def]
    """Log kurtosis of a step over the coordinates that move, how many these are, and the sum of squares.

    Parameters are the squared moves of the coordinates and how many of them are known.
    """
    total = np.float32(0)
    for k in range(RAW):
        total += squares[k]
    limit = total * STEP_SHARE_MIN * STEP_SHARE_MIN / known
    moved = second = fourth = np.float32(0)
    for k in range(RAW):
        square = squares[k] if squares[k] > limit else np.float32(0)
        moved += np.float32(1) if squares[k] > limit else np.float32(0)
        second += square
        fourth += square * square
    if second <= 0:
        return np.float32(0), moved, total
    return np.log(fourth * moved / (second * second)), moved, total


@njit(cache=True)
def is_flat_step(squares, known, flat_log):  # type: ignore[no-untyped-def]
    """Whether a step moves most coordinates by the same amount, and by more than noise does."""
    kurtosis, moved, total = shape_of(squares, known)
    if 2 * moved < known or total < known * STEP_MIN * STEP_MIN:
        return False
    return kurtosis + STILL_WEIGHT * np.log(known / moved) < flat_log


@njit(cache=True)
def compare_with_memory(own, raw, ratios, memory, count, at_ring, flat_logs):  # type: ignore[no-untyped-def]
    """Whether the query is a flat step from a remembered one, and whether it lies on a line with two.

    Flat in units of each coordinate's own spread, or in one unit for all (`ratios` are the spreads in it).
    """
    n = n_remembered(count)
    if n < REMEMBERED_MIN or raw[0] == MISSING or (count >= EVERY_UP_TO and count % THEN_ONE_IN):
        return
    known = np.float32(0)
    for k in range(RAW):
        known += np.float32(raw[k] != MISSING)
    own_values = np.empty(RAW, dtype=np.float32)
    for k in range(RAW):
        own_values[k] = spreads(raw[k])
    own_squares = np.empty(RAW, dtype=np.float32)
    raw_squares = np.empty(RAW, dtype=np.float32)
    nearest, at_nearest = np.float32(1e30), 0
    is_flat = False
    for j in range(n):
        total = np.float32(0)
        for k in range(RAW):
            step = own_values[k] - spreads(memory[j, k])
            own_squares[k] = step * step
            raw_squares[k] = step * step * ratios[k] * ratios[k]
            total += step * step
        if total < nearest:
            nearest, at_nearest = total, j
        if not is_flat:
            is_flat = is_flat_step(own_squares, known, flat_logs[0])
        if not is_flat:
            is_flat = is_flat_step(raw_squares, known, flat_logs[1])
    own[8] = is_flat
    own[9] = in_line(own_values, memory, n, at_nearest)
    if at_ring >= 0:
        newest = count - 1
        at = (newest - (newest - at_ring) % layout.RING) % RECENT
        for k in range(RAW):
            step = (own_values[k] - spreads(memory[at, k])) * ratios[k]
            raw_squares[k] = step * step
        kurtosis, moved, _ = shape_of(raw_squares, known)
        if moved >= MOVED_MIN:
            own[11] = kurtosis


@njit(cache=True, fastmath=True)
def in_line(own_values, memory, n, at_nearest):  # type: ignore[no-untyped-def]
    """Whether the step from the nearest remembered query points to, or away from, any other."""
    for j in range(n):
        uu = vv = uv = np.float32(0)
        for k in range(RAW):
            base = spreads(memory[at_nearest, k])
            u = own_values[k] - base
            v = spreads(memory[j, k]) - base
            uu += u * u
            vv += v * v
            uv += u * v
        if uu > 0 and vv > 0 and uv * uv > IN_LINE_COS * IN_LINE_COS * uu * vv:
            return True
    return False
