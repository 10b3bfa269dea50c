"""The compiled comparison with remembered inputs equals the slow obvious form."""

import numpy as np
import pytest

from copycatch.layout.row import MEMORY, N_OWN, RECENT, RING
from copycatch.records.columns import Float32Array, FloatArray
from copycatch.space.model import RAW
from copycatch.space.steps import STEP_MIN, STEP_SHARE_MIN, _flattest
from copycatch.windows.memory import (
    CLIP,
    CODE_UNIT,
    IN_LINE_COS,
    IS_FLAT,
    IS_IN_LINE,
    KNOWN_MIN,
    LANES,
    MISSING,
    MOMENT_ROWS_MIN,
    MOVED_MIN,
    STEP_KURTOSIS,
    WORK_ROWS,
    compare_with_memory,
    fixed_raw,
    moments_of,
    n_remembered,
)

MARGIN = 1e-4  # relative, of what is compared: nearer to a limit float32 may say either


def decoded(codes: np.ndarray) -> FloatArray:
    wide = codes.astype(np.float64)
    return wide * np.abs(wide) * float(CODE_UNIT)


def shape(squares: FloatArray, known: int) -> tuple[float, int, bool]:
    """Log kurtosis over the coordinates that move, how many do, and whether that is beyond doubt."""
    limit = STEP_SHARE_MIN**2 * squares.sum() / known
    moved = squares[squares > limit]
    is_sure = bool((np.abs(squares - limit) > MARGIN * limit).all())
    if not len(moved):
        return np.nan, 0, is_sure
    return float(np.log((moved**2).sum() * len(moved) / moved.sum() ** 2)), len(moved), is_sure


def is_flat(steps: FloatArray, known: int, flat_log: float) -> bool | None:
    """Whether any step is flat; None where rounding may decide."""
    doubt = False
    for step in steps:
        squares = step**2
        kurtosis, moved, is_sure = shape(squares, known)
        least = known * STEP_MIN**2
        if 2 * moved < known or squares.sum() < least * (1 - MARGIN):
            doubt |= not is_sure
            continue
        measure = kurtosis + 0.5 * np.log(known / moved)
        if not is_sure or abs(measure - flat_log) < MARGIN or squares.sum() < least * (1 + MARGIN):
            doubt = True
        elif measure < flat_log:
            return True
    return None if doubt else False


def is_in_line(own: FloatArray, memory: FloatArray) -> bool | None:
    nearest = ((own - memory) ** 2).sum(axis=1).argmin()
    u, v = own - memory[nearest], np.delete(memory, nearest, axis=0) - memory[nearest]
    scale = (u**2).sum() * (v**2).sum(axis=1)
    share = (v @ u) ** 2 / np.where(scale > 0, scale, np.inf)
    if (share > IN_LINE_COS**2 * (1 + MARGIN)).any():
        return True
    return None if (share > IN_LINE_COS**2 * (1 - MARGIN)).any() else False


def an_input(rng: np.random.Generator, memory: Float32Array, kind: int) -> FloatArray:
    first, second = memory[3].astype(np.float64), memory[5].astype(np.float64)
    found: FloatArray = first + rng.normal(0, 0.01, RAW)  # hardly a step at all
    if kind == 0:
        found = rng.normal(size=RAW)
    elif kind == 1:  # a sign step, some of it still
        found = first + rng.choice([0.5, 1.0]) * rng.choice([-1, 1], RAW) * (rng.random(RAW) < 0.95)
    elif kind == 2:  # between two others
        share = rng.uniform(0.1, 0.9)
        found = share * first + (1 - share) * second + rng.normal(0, 0.05, RAW)
    return found


@pytest.mark.parametrize("is_grid", [False, True])
@pytest.mark.parametrize("width", [4, 9, RAW])
def test_steps_and_lines_are_those_of_the_slow_form(width: int, is_grid: bool) -> None:
    rng = np.random.default_rng([width, is_grid])
    work = np.zeros((WORK_ROWS, LANES), dtype=np.float32)
    ratios = rng.uniform(0.5, 2.0, RAW).astype(np.float32)
    flat_logs = np.array([0.12, 0.2], dtype=np.float32)
    told: dict[int, list[bool]] = {IS_FLAT: [], IS_IN_LINE: []}
    for index in range(240):
        count = int(rng.integers(6, 60))
        values = rng.normal(size=(MEMORY, RAW)).astype(np.float32)
        codes, raw = np.zeros((MEMORY, RAW), dtype=np.int8), np.zeros(RAW, dtype=np.int8)
        if is_grid:
            values = (np.round(values * 2) / 2).astype(np.float32)
        value = an_input(rng, values, index % 4).astype(np.float32)
        values[:, width:] = value[width:] = np.nan
        for row, each in zip(codes, values, strict=True):
            fixed_raw(each, row)
        fixed_raw(value, raw)
        newest = int(rng.integers(0, min(count, RING)))
        own = np.full(N_OWN, np.nan, dtype=np.float32)
        compare_with_memory(own, raw, ratios, codes, count, count - 1 - newest, flat_logs, work)
        known, mine, others = int((raw != MISSING).sum()), decoded(raw), decoded(codes)
        steps = mine - others[: n_remembered(count)]
        flat = [is_flat(steps, known, 0.12), is_flat(steps * ratios, known, 0.2)]
        expected = True if True in flat else None if None in flat else False
        if expected is not None:
            assert own[IS_FLAT] == expected
            if known == RAW:  # the fit, which sets the limits, measures the same steps
                rows = np.vstack([mine, others[: n_remembered(count)]])
                fitted = [_flattest(rows)[0] < 0.12, _flattest(rows * ratios)[0] < 0.2]
                assert any(fitted) == expected
            told[IS_FLAT].append(expected)
        line = is_in_line(mine, others[: n_remembered(count)])
        if line is not None:
            assert own[IS_IN_LINE] == line
            told[IS_IN_LINE].append(line)
        step = (mine - others[(count - 1 - newest) % RECENT]) * ratios
        kurtosis, moved, is_sure = shape(step**2, known)
        if is_sure and moved >= MOVED_MIN:
            assert own[STEP_KURTOSIS] == pytest.approx(kurtosis, abs=1e-4)
    for answers in told.values():
        assert len(answers) > 100
        assert 20 < sum(answers) < len(answers)


def test_too_few_or_missing_inputs_say_nothing() -> None:
    work = np.zeros((WORK_ROWS, LANES), dtype=np.float32)
    codes, ones = np.ones((MEMORY, RAW), dtype=np.int8), np.ones(RAW, dtype=np.float32)
    limits = np.ones(2, dtype=np.float32)
    for count, code in ((5, 1), (40, int(MISSING)), (129, 1)):
        own = np.full(N_OWN, np.nan, dtype=np.float32)
        raw = np.full(RAW, code, dtype=np.int8)
        compare_with_memory(own, raw, ones, codes, count, -1, limits, work)
        assert np.isnan(own).all()


@pytest.mark.parametrize("seed", range(20))
def test_shift_and_spread_are_the_moments_of_what_is_remembered(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, n_known = int(rng.integers(0, 80)), int(rng.integers(1, RAW + 1))
    memory = np.full((MEMORY, RAW), MISSING)
    centre, scale = rng.normal(0, 2, RAW), rng.uniform(0.1, 6, RAW)
    for row in memory:
        fixed_raw(np.where(np.arange(RAW) < n_known, rng.normal(centre, scale), np.nan), row)
    n = n_remembered(count)
    memory[: n // 3, 0] = MISSING  # a field that some inputs lack
    values = np.where(memory == MISSING, np.nan, np.clip(decoded(memory), -CLIP, CLIP))[:n]
    there = (~np.isnan(values)).sum(axis=0)
    known = values[:, there >= MOMENT_ROWS_MIN]
    shift, spread, coupled = moments_of(memory, count)
    if known.shape[1] < KNOWN_MIN:
        assert np.isnan(shift)
        assert np.isnan(spread)
        return
    variances = np.nanvar(known, axis=0, ddof=1)
    unbiased = np.nanmean(known, axis=0) ** 2 - variances / there[there >= MOMENT_ROWS_MIN]
    assert np.isclose(shift, max(unbiased.mean(), 0), rtol=1e-5, atol=1e-6)
    whole = values[:, there == n]
    whole = whole[:, whole.std(axis=0) > 0.01]
    if whole.shape[1] >= KNOWN_MIN:
        squares = np.corrcoef(whole.T)[np.tril_indices(whole.shape[1], -1)] ** 2
        assert np.isclose(coupled, squares.mean() - 1 / (n - 1), atol=1e-4)
    else:
        assert np.isnan(coupled)
    assert np.isclose(spread, np.sort(variances)[: len(variances) - len(variances) // 8].mean(), rtol=1e-5)
