"""The sequential pass over events: each record is added to its account's row, in order of arrival.

Array operations over all accounts at once would need one round per repeat of an account within the batch
and could not stop at an account's evaluation points; a compiled loop does both exactly, at about the cost
of the memory it touches. `tests/unit/windows/test_fold.py` holds it against the slow obvious count.
"""

import numpy as np

from copycatch.compiled import njit
from copycatch.layout import row as layout
from copycatch.layout.signals import IS_DISTINCT, OWN_INDEX, SIGNAL_INDEX
from copycatch.layout.structs import offsets_of
from copycatch.records.columns import Charge
from copycatch.space.model import FOURIER, RAW, SKETCH
from copycatch.windows.arrays import Due, Input, Novel, Query, Ring, Scratch
from copycatch.windows.memory import (
    LANES,
    WORK_ROWS,
    compare_with_memory,
    fixed_raw,
    moments_of,
    remember,
)
from copycatch.windows.ring import (
    SKETCH_UNIT,
    compare_with_ring,
    fixed,
    is_quiet,
    keep_hot,
    short_hash,
    short_label,
    weigh,
)
from copycatch.windows.schedule import next_evaluation
from copycatch.windows.state import HISTORY

SUMS_AT, SUMS_TO = offsets_of(HISTORY, "sums")
WORDS_AT, WORDS_TO = offsets_of(HISTORY, "ring_words")
HASHES_AT, HASHES_TO = offsets_of(HISTORY, "ring_hash")
RING_LABELS_AT, RING_LABELS_TO = offsets_of(HISTORY, "ring_label")
MARGINS_AT, MARGINS_TO = offsets_of(HISTORY, "ring_margin")
CLUSTERED_AT, CLUSTERED_TO = offsets_of(HISTORY, "ring_is_clustered")
HOT_AT, HOT_TO = offsets_of(HISTORY, "ring_is_hot")
NUMBERS_AT, NUMBERS_TO = offsets_of(HISTORY, "ring_number")
BALANCES_AT, BALANCES_TO = offsets_of(HISTORY, "ring_balance")
SKETCHES_AT, SKETCHES_TO = offsets_of(HISTORY, "ring_sketch")
MEMORY_AT, MEMORY_TO = offsets_of(HISTORY, "memory")
SIGNALS = layout.SPANS["signals"].start
RECENT_SIGNALS = layout.SPANS["recent_signals"].start
SQUARES, RECENT_SQUARES = layout.SPANS["squares"].start, layout.SPANS["recent_squares"].start
DRIFT, RECENT_DRIFT = layout.SPANS["drift"].start, layout.SPANS["recent_drift"].start
INPUT_DRIFT, RECENT_INPUT_DRIFT = layout.SPANS["input_drift"].start, layout.SPANS["recent_input_drift"].start
ODD_DRIFT = layout.SPANS["odd_drift"].start
DRIFT_WIDTH = layout.DRIFT
HOURS = layout.SPANS["hours"].start
SHORT = layout.SPANS["short_panes"].start
LONG, LONG_TOKENS = layout.SPANS["long_panes"].start, layout.SPANS["long_tokens"].start
PANES_STOP = layout.SPANS["long_tokens"].stop  # the spans of panes lie side by side
CO_MEANS = layout.SPANS["co_means"].start
CO_PRODUCTS = layout.SPANS["co_products"].start
LABELS = layout.SPANS["labels"].start
CELLS_AT = layout.SPANS["cells"].start
FOURIER_AT = layout.SPANS["fourier"].start
T = layout.TALLY
ANSWERED, REFUSED, DISTINCT, NOVEL = T["answered"], T["refused"], T["distinct"], T["novel"]
RECENT_DISTINCT, RECENT_NOVEL = T["recent_distinct"], T["recent_novel"]
CLUSTERED, RECENT_CLUSTERED = T["clustered"], T["recent_clustered"]
T_REJECTED, T_LATE, T_REPEATED, T_UNJOINED = T["rejected"], T["late"], T["repeated"], T["unjoined"]
REJECTED, LATE, REPEATED, UNJOINED = (
    int(each) for each in (Charge.REJECTED, Charge.LATE, Charge.REPEATED, Charge.UNJOINED)
)
INPUT_TOKENS, OUTPUT_TOKENS = T["input_tokens"], T["output_tokens"]
PARAMS_KNOWN, GAPS, GAP_S, GAP_S_SQUARED, ACTIVE = (
    T["params_known"],
    T["gaps"],
    T["gap_s"],
    T["gap_s_squared"],
    T["active_panes"],
)
IS_LOW_MARGIN, NEIGHBOUR_LOG = SIGNAL_INDEX["is_low_margin"], SIGNAL_INDEX["neighbour_log"]
IS_ODD, IS_FAR, IS_NEAR = SIGNAL_INDEX["is_odd"], SIGNAL_INDEX["is_far"], OWN_INDEX["is_near"]
N_RECENT_SUMMED = layout.N_RECENT_SUMMED
N_SIGNALS, N_OWN, N_RECENT, SUM_FIELDS = layout.N_SIGNALS, layout.N_OWN, layout.N_RECENT, layout.SUM_FIELDS
N_SQUARED = layout.N_SQUARED
RING, RECENT_WINDOW, CO_DIMS = layout.RING, layout.RECENT_WINDOW, layout.CO_DIMS
LABEL_BINS = layout.LABEL_BINS
SHORT_PANES, LONG_PANES = layout.SHORT_PANES, layout.LONG_PANES

# The memory horizon: all sums but the panes are halved each time an account has lived so long again, so that
# what counts is about the last one to two horizons. float32 loses single units above 2^24: the same halving
# after this many queries keeps the sums of very busy accounts exact.
AGING_QUERIES = 1 << 20


@njit(cache=True)
def add_value(sums, at, value):  # type: ignore[no-untyped-def]
    """Add one value of one signal to its sums; NaN is missing and adds nothing."""
    if np.isnan(value):
        return
    sums[at] += 1
    sums[at + 1] += value


@njit(cache=True)
def add_drift(sums, at, residual):  # type: ignore[no-untyped-def]
    """Add one class residual: count, squared norm, sum."""
    if np.isnan(residual[0]):
        return
    sums[at] += 1
    for k in range(SKETCH):
        sums[at + 1] += residual[k] * residual[k]
        sums[at + 2 + k] += residual[k]


@njit(cache=True)
def add_pane(sums, start, n_panes, pane, last_pane, amount):  # type: ignore[no-untyped-def]
    """Add to a ring of panes, clearing the panes that passed since the last one."""
    if pane > last_pane:
        first = max(last_pane + 1, pane - n_panes + 1)
        for passed in range(first, pane + 1):
            sums[start + passed % n_panes] = 0
    elif pane <= last_pane - n_panes:
        return  # late by more than the whole ring: the pane is gone
    sums[start + pane % n_panes] += amount


@njit(cache=True)
def add_shape(sums, sketch, cell, fourier, label):  # type: ignore[no-untyped-def]
    """Add a novel query to the co-moments, topic cells, Fourier features and labels of its account."""
    if label >= 0:
        sums[LABELS + label % LABEL_BINS] += 1
    if np.isnan(sketch[0]):
        return
    at = CO_PRODUCTS
    for i in range(CO_DIMS):
        sums[CO_MEANS + i] += sketch[i]
        for j in range(i, CO_DIMS):
            sums[at] += sketch[i] * sketch[j]
            at += 1
    if cell >= 0:
        sums[CELLS_AT + cell] += 1
    for k in range(FOURIER):
        sums[FOURIER_AT + k] += fourier[k]


@njit(cache=True)
def add_novel(sums, novel):  # type: ignore[no-untyped-def]
    """Add a query that is new to its account, an `arrays.Novel`, to drift and shape."""
    sums[NOVEL] += 1
    sums[RECENT_NOVEL] += 1
    add_drift(sums, DRIFT, novel.residual)
    add_drift(sums, RECENT_DRIFT, novel.residual)
    add_drift(sums, INPUT_DRIFT, novel.input_residual)
    add_drift(sums, RECENT_INPUT_DRIFT, novel.input_residual)
    if novel.is_odd:
        add_drift(sums, ODD_DRIFT, novel.residual)
    add_shape(sums, novel.sketch, novel.cell, novel.fourier, novel.label)


@njit(cache=True)
def add_signals(sums, signals, own, is_repeat, is_novel):  # type: ignore[no-untyped-def]
    """Add all signals of one query to the sums of lifetime and recent window, each over its scope."""
    for k in range(N_OWN):
        add_value(sums, SIGNALS + (N_SIGNALS + k) * SUM_FIELDS, own[k])
        add_value(sums, RECENT_SIGNALS + (N_RECENT + k) * SUM_FIELDS, own[k])
    for k in range(N_SIGNALS):
        if is_novel or (IS_DISTINCT[k] and not is_repeat):
            add_value(sums, SIGNALS + k * SUM_FIELDS, signals[k])
            if k < N_RECENT:
                add_value(sums, RECENT_SIGNALS + k * SUM_FIELDS, signals[k])
            if k < N_SQUARED and not np.isnan(signals[k]):
                sums[SQUARES + k] += signals[k] * signals[k]
                sums[RECENT_SQUARES + k] += signals[k] * signals[k]


@njit(cache=True)
def clear_recent(sums):  # type: ignore[no-untyped-def]
    """Begin a new recent window."""
    sums[RECENT_DISTINCT] = 0
    sums[RECENT_NOVEL] = 0
    sums[RECENT_CLUSTERED] = 0
    for k in range(N_RECENT_SUMMED * SUM_FIELDS):
        sums[RECENT_SIGNALS + k] = 0
    for k in range(N_SQUARED):
        sums[RECENT_SQUARES + k] = 0
    for k in range(DRIFT_WIDTH):
        sums[RECENT_DRIFT + k] = 0
        sums[RECENT_INPUT_DRIFT + k] = 0


@njit(cache=True)
def count_distinct(sums, is_new_cluster, fills):  # type: ignore[no-untyped-def]
    """Count a distinct query, and an earlier one that it is the first to repeat nearly.

    A new recent window begins where the last one is full.
    """
    if fills:
        if sums[RECENT_DISTINCT] >= RECENT_WINDOW:
            clear_recent(sums)
        sums[RECENT_DISTINCT] += 1
        sums[DISTINCT] += 1
    if is_new_cluster:
        sums[CLUSTERED] += 1
        sums[RECENT_CLUSTERED] += 1


@njit(cache=True)
def add_tallies(sums, last_ms, time_ms, queries, limits, is_answered, charge, extras):  # type: ignore[no-untyped-def]
    """Volume, timing and request options of one record, before its account counts it.

    `extras` are input tokens, output tokens, and four request options in the order of the tallies.
    """
    tokens = np.float32(0)
    if not np.isnan(extras[0]):
        sums[INPUT_TOKENS] += extras[0]
        tokens += extras[0]
    if not np.isnan(extras[1]):
        sums[OUTPUT_TOKENS] += extras[1]
        tokens += extras[1]
    short_pane, long_pane = time_ms // limits.short_ms, time_ms // limits.long_ms
    last_short = last_ms // limits.short_ms if queries else short_pane - SHORT_PANES
    last_long = last_ms // limits.long_ms if queries else long_pane - LONG_PANES
    add_pane(sums, SHORT, SHORT_PANES, short_pane, last_short, 1)
    add_pane(sums, LONG, LONG_PANES, long_pane, last_long, 1)
    add_pane(sums, LONG_TOKENS, LONG_PANES, long_pane, last_long, tokens)
    if short_pane > last_short:
        sums[ACTIVE] += 1
    sums[HOURS + (time_ms // 3_600_000) % 24] += 1
    if queries and time_ms >= last_ms:
        gap_s = np.float32((time_ms - last_ms) / 1000.0)
        sums[GAPS] += 1
        sums[GAP_S] += gap_s
        sums[GAP_S_SQUARED] += gap_s * gap_s
    if charge == REJECTED:
        sums[T_REJECTED] += 1
    elif charge == LATE:
        sums[T_LATE] += 1
    else:
        sums[ANSWERED if is_answered else REFUSED] += 1
        sums[T_UNJOINED] += charge == UNJOINED
    if not np.isnan(extras[2]):
        sums[PARAMS_KNOWN] += 1
        for k in range(4):
            sums[PARAMS_KNOWN + 1 + k] += extras[2 + k]


@njit(cache=True)
def age(sums, first_ms, last_ms, time_ms, memory_ms, queries):  # type: ignore[no-untyped-def]
    """Halve all sums of a row for each horizon lived since its last record; panes forget by themselves."""
    lived_before = (max(last_ms, first_ms) - first_ms) // memory_ms
    lived = (max(time_ms, last_ms) - first_ms) // memory_ms
    halvings = lived - lived_before + (1 if queries % AGING_QUERIES == 0 else 0)
    if halvings > 0:
        factor = np.float32(0.5) ** np.float32(min(halvings, 60))
        for k in range(len(sums)):
            if not SHORT <= k < PANES_STOP:
                sums[k] *= factor


@njit(cache=True)
def ring_of(history):  # type: ignore[no-untyped-def]
    """One account's recent queries, as views."""
    return Ring(
        history[SKETCHES_AT:SKETCHES_TO].view(np.int16).reshape(RING, SKETCH),
        history[HASHES_AT:HASHES_TO].view(np.uint32),
        history[RING_LABELS_AT:RING_LABELS_TO].view(np.int32),
        history[MARGINS_AT:MARGINS_TO].view(np.float32),
        history[WORDS_AT:WORDS_TO].view(np.uint64),
        history[CLUSTERED_AT:CLUSTERED_TO],
        history[HOT_AT:HOT_TO],
        history[BALANCES_AT:BALANCES_TO].view(np.int8),
        history[NUMBERS_AT:NUMBERS_TO].view(np.uint32),
    )


@njit(cache=True)
def memory_of(history):  # type: ignore[no-untyped-def]
    """Input coordinates of one account's remembered queries, as a view."""
    return history[MEMORY_AT:MEMORY_TO].view(np.int8).reshape(layout.MEMORY, RAW)


@njit(cache=True)
def put_in_ring(ring, count, query, is_clustered):  # type: ignore[no-untyped-def]
    """The account's `count`-th distinct query takes the place of the oldest that was not nearly repeated."""
    at = keep_hot(ring, count)
    ring.hashes[at] = query.hash_
    ring.labels[at] = query.label
    ring.margins[at] = query.margin
    ring.words[at] = query.words_seen
    ring.is_clustered[at] = is_clustered
    ring.is_hot[at] = 0
    ring.balances[at] = 0
    ring.numbers[at] = count
    for k in range(SKETCH):
        ring.sketches[at, k] = fixed(query.sketch[k], SKETCH_UNIT)


@njit(cache=True)
def keep(room, memory, ring, query, count):  # type: ignore[no-untyped-def]
    """Keep the account's `count`-th distinct query, as `compare` left it, to compare later ones with."""
    remember(memory, room.raw, count)
    put_in_ring(ring, count, query, room.own[IS_NEAR] == 1.0)


@njit(cache=True)
def compare(room, memory, ring, query, step, count):  # type: ignore[no-untyped-def]
    """Own signals of an answered query, in `room.own`; its coordinates in `room.raw`.

    Gives whether it is an exact repeat, whether a quiet near-repeat, whether it counts, and whether it is the
    first one near an earlier query.
    """
    own = room.own
    is_repeat, at_nearest, at_near, is_new_cluster = compare_with_ring(own, query, ring, count)
    if is_repeat:
        return True, False, True, False
    fixed_raw(step.raw, room.raw)
    number = np.int64(ring.numbers[at_nearest]) if at_nearest >= 0 else -1
    compare_with_memory(own, room.raw, step.ratios, memory, count, number, step.flat_logs, room.work)
    if own[IS_NEAR] != 1.0:
        return False, False, True, is_new_cluster
    quiet = is_quiet(own)
    return False, quiet, weigh(ring, at_near, quiet), is_new_cluster


@njit(cache=True)
def fold(events, accounts, limits):  # type: ignore[no-untyped-def]
    """Add events to rows in order; copy the row's sums wherever an account becomes due.

    Takes `arrays.Events`, `Accounts` and `Limits`; gives `Due`, and changes the accounts. What is called for
    each event takes its values only: to pass all arrays would cost as much as the fold itself.
    """
    rows, times_ms, is_answered, charges, hashes, labels, margins, extras, measured = events
    (all_signals, sketches, residuals, input_residuals, raws, cells, fouriers, words_seen, nears, raw_ratios,
     flat_logs) = measured  # fmt: skip
    queries, next_evaluations, answered, next_answered, first_ms, last_ms, ring_counts, histories = accounts
    n_due = 0
    # Room for all, of which few take memory: this allocator, unlike numpy's, asks for no pages of 2 MiB.
    due_events = np.empty(len(rows), dtype=np.int64)
    due_sums = np.empty((len(rows), layout.WIDTH), dtype=np.float32)
    due_counts = np.empty((len(rows), 3), dtype=np.int64)
    due_moments = np.empty((len(rows), 3))
    own = np.empty(N_OWN, dtype=np.float32)
    room = Scratch(own, np.empty(RAW, dtype=np.int8), np.zeros((WORK_ROWS, LANES), dtype=np.float32))
    for i in range(len(rows)):
        row = rows[i]
        if row < 0:
            continue
        history = histories[row]
        sums, memory = history[SUMS_AT:SUMS_TO].view(np.float32), memory_of(history)
        charge = charges[i]
        if charge == REPEATED:
            sums[T_REPEATED] += 1
            continue
        if queries[row] == 0:
            first_ms[row] = times_ms[i]
            next_evaluations[row] = next_answered[row] = next_evaluation(0)
        add_tallies(sums, last_ms[row], times_ms[i], queries[row], limits, is_answered[i], charge,
                    extras[i])  # fmt: skip
        queries[row] += 1
        age(sums, first_ms[row], last_ms[row], times_ms[i], limits.memory_ms, queries[row])
        last_ms[row] = max(last_ms[row], times_ms[i])
        if is_answered[i]:
            signals, count, ring = all_signals[i], ring_counts[row], ring_of(history)
            query = Query(short_hash(hashes[i]), short_label(labels[i]), margins[i], signals[IS_LOW_MARGIN],
                          signals[NEIGHBOUR_LOG], nears[i], words_seen[i], sketches[i])  # fmt: skip
            is_repeat, quiet, counts, is_new_cluster = compare(
                room, memory, ring, query, Input(raws[i], raw_ratios[i], flat_logs[i]), count)  # fmt: skip
            is_novel = not is_repeat and own[IS_NEAR] != 1.0
            answered[row] += counts
            if not is_repeat:
                count_distinct(sums, is_new_cluster, not quiet)
            if counts:
                add_signals(sums, signals, own, is_repeat, is_novel)
            if is_novel:
                add_novel(sums, Novel(residuals[i], input_residuals[i], sketches[i], cells[i], fouriers[i],
                                      labels[i], signals[IS_ODD] == 1 or signals[IS_FAR] == 1))  # fmt: skip
            if not is_repeat and not quiet:
                keep(room, memory, ring, query, count)
                ring_counts[row] += 1
        if queries[row] >= next_evaluations[row] or answered[row] >= next_answered[row]:
            next_evaluations[row] = next_evaluation(queries[row])
            next_answered[row] = next_evaluation(answered[row])
            due_events[n_due] = i
            due_sums[n_due] = sums
            due_counts[n_due] = (queries[row], answered[row], first_ms[row])
            due_moments[n_due] = moments_of(memory, ring_counts[row])
            n_due += 1
    return Due(
        due_events[:n_due], due_sums[:n_due], due_counts[:n_due, 0], due_counts[:n_due, 1],
        due_counts[:n_due, 2], due_moments[:n_due],
    )  # fmt: skip
