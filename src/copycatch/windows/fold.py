"""The sequential pass over events: each record is added to its account's row, in order of arrival.

Array operations over all accounts at once would need one round per repeat of an account within the batch
and could not stop at an account's evaluation points; a compiled loop does both exactly, at about the cost
of the memory it touches. `tests/properties/reference.py` keeps the slow obvious form as the meaning.
"""

import numpy as np
from numba import njit

from copycatch.records import layout
from copycatch.windows.schedule import next_look

SIGNALS = layout.SPANS["signals"].start
HOURS = layout.SPANS["hours"].start
SHORT = layout.SPANS["short_panes"].start
LONG = layout.SPANS["long_panes"].start
CO_MEANS = layout.SPANS["co_means"].start
CO_PRODUCTS = layout.SPANS["co_products"].start
LABELS = layout.SPANS["labels"].start
CELLS_AT = layout.SPANS["cells"].start
FOURIER_AT = layout.SPANS["fourier"].start
T = layout.TALLY
EVIDENCE, REFUSED, DISTINCT, NOVEL = T["evidence"], T["refused"], T["distinct"], T["novel"]
INPUT_TOKENS, OUTPUT_TOKENS = T["input_tokens"], T["output_tokens"]
PARAMS_KNOWN, GAPS, GAP_S, GAP_S_SQUARED, ACTIVE = (
    T["params_known"],
    T["gaps"],
    T["gap_s"],
    T["gap_s_squared"],
    T["active_panes"],
)
N_SIGNALS, N_OWN, N_SUMMED, SUM_FIELDS = layout.N_SIGNALS, layout.N_OWN, layout.N_SUMMED, layout.SUM_FIELDS
SKETCH, RAW, RING, CO_DIMS = layout.SKETCH, layout.RAW, layout.RING, layout.CO_DIMS
LABEL_BINS, CELLS, FOURIER = layout.LABEL_BINS, layout.CELLS, layout.FOURIER
SHORT_PANES, LONG_PANES, PANE_SUMS = layout.SHORT_PANES, layout.LONG_PANES, layout.PANE_SUMS

# A recent mean over about the last 46 queries (half weight after 32): long enough to be steady, short enough
# to see an account that turns.
DECAY = np.float32(0.5 ** (1 / 32))
# float32 sums lose single units above 2^24; halving all sums of a very long life keeps them exact enough and
# forgets slowly, which is what the memory horizon asks for.
AGING_QUERIES = 1 << 20
COLLINEAR_COS = 0.85
FAR = np.float32(1e30)
# Fixed point for what the ring keeps: sketches within +-64 to 0.002, standardised inputs within +-8 to 0.00025.
SKETCH_UNIT = np.float32(512)
RAW_UNIT = np.float32(4000)
FIXED_MAX = np.float32(32767)
MISSING = np.int16(-32768)


@njit(cache=True)
def fixed(value, unit):  # type: ignore[no-untyped-def]
    """A value as fixed point; NaN has a code of its own."""
    if np.isnan(value):
        return MISSING
    return np.int16(round(min(max(value * unit, -FIXED_MAX), FIXED_MAX)))


@njit(cache=True)
def add_signal(sums, index, value):  # type: ignore[no-untyped-def]
    """Add one value of one signal to a row's sums; NaN is missing and adds nothing."""
    if np.isnan(value):
        return
    at = SIGNALS + index * SUM_FIELDS
    sums[at] += 1
    sums[at + 1] += value
    sums[at + 2] += value * value
    sums[at + 3] = sums[at + 3] * DECAY + 1
    sums[at + 4] = sums[at + 4] * DECAY + value


@njit(cache=True)
def add_pane(sums, start, n_panes, pane, last_pane, tokens):  # type: ignore[no-untyped-def]
    """Count a query in a ring of panes, clearing the panes that passed since the last one."""
    if pane > last_pane:
        first = max(last_pane + 1, pane - n_panes + 1)
        for passed in range(first, pane + 1):
            at = start + (passed % n_panes) * PANE_SUMS
            sums[at] = 0
            sums[at + 1] = 0
    elif pane <= last_pane - n_panes:
        return  # late by more than the whole ring: the pane is gone
    at = start + (pane % n_panes) * PANE_SUMS
    sums[at] += 1
    sums[at + 1] += tokens


@njit(cache=True)
def compare_with_ring(
    own,
    hash_,
    label,
    margin,
    sketch,
    raw,
    ring_n,
    ring_sketch,
    ring_raw,
    ring_hash,
    ring_label,
    ring_margin,
    near,
):  # type: ignore[no-untyped-def]
    """Own signals of one query against the account's recent distinct queries; True for an exact repeat."""
    own[:] = np.nan
    nearest = second = nearest_same = FAR
    at_nearest = at_second = -1
    for j in range(min(ring_n, RING)):
        if ring_hash[j] == hash_ and hash_ != 0:
            own[0] = 1.0
            return True
        distance = np.float32(0)
        for k in range(SKETCH):
            step = sketch[k] - ring_sketch[j, k] / SKETCH_UNIT
            distance += step * step
        if distance < nearest:
            second, at_second = nearest, at_nearest
            nearest, at_nearest = distance, j
        elif distance < second:
            second, at_second = distance, j
        if ring_label[j] == label and distance < nearest_same:
            nearest_same = distance
    if hash_ != 0:
        own[0] = 0.0
    if at_nearest < 0 or np.isnan(sketch[0]):
        return False
    own[1] = 0.5 * np.log(nearest + np.float32(1e-6))
    is_near = nearest < near * near
    own[2] = is_near
    if label >= 0 and ring_label[at_nearest] >= 0:
        own[4] = label != ring_label[at_nearest]
        own[3] = is_near and label != ring_label[at_nearest]
    if at_second >= 0:
        uu = vv = uv = np.float32(0)
        for k in range(SKETCH):
            u = sketch[k] - ring_sketch[at_nearest, k] / SKETCH_UNIT
            v = ring_sketch[at_second, k] / SKETCH_UNIT - ring_sketch[at_nearest, k] / SKETCH_UNIT
            uu += u * u
            vv += v * v
            uv += u * v
        own[5] = abs(uv) > COLLINEAR_COS * np.sqrt(uu * vv) + np.float32(1e-6)
    second_moment = fourth_moment = np.float32(0)
    changed = 0
    for k in range(RAW):
        if np.isnan(raw[k]) or ring_raw[at_nearest, k] == MISSING:
            continue
        step = raw[k] - ring_raw[at_nearest, k] / RAW_UNIT
        if abs(step) > 1e-3:
            changed += 1
            second_moment += step * step
            fourth_moment += step * step * step * step
    if changed >= 4:
        own[6] = np.log(fourth_moment * changed / (second_moment * second_moment))
    if not np.isnan(raw[0]):
        own[7] = changed / np.float32(RAW)
    if not np.isnan(margin):
        own[8] = abs(margin - ring_margin[at_nearest])
    if nearest_same < FAR:
        own[9] = 0.5 * np.log(nearest_same + np.float32(1e-6))
    return False


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
def add_tallies(sums, last_ms, time_ms, queries, short_ms, long_ms, is_evidence, extras):  # type: ignore[no-untyped-def]
    """Volume, timing and request options of one record."""
    tokens = np.float32(0)
    if not np.isnan(extras[0]):
        sums[INPUT_TOKENS] += extras[0]
        tokens += extras[0]
    if not np.isnan(extras[1]):
        sums[OUTPUT_TOKENS] += extras[1]
        tokens += extras[1]
    short_pane, long_pane = time_ms // short_ms, time_ms // long_ms
    last_short = last_ms // short_ms if queries else short_pane - SHORT_PANES
    last_long = last_ms // long_ms if queries else long_pane - LONG_PANES
    add_pane(sums, SHORT, SHORT_PANES, short_pane, last_short, tokens)
    add_pane(sums, LONG, LONG_PANES, long_pane, last_long, tokens)
    if short_pane > last_short:
        sums[ACTIVE] += 1
    sums[HOURS + (time_ms // 3_600_000) % 24] += 1
    if queries and time_ms >= last_ms:
        gap_s = np.float32((time_ms - last_ms) / 1000.0)
        sums[GAPS] += 1
        sums[GAP_S] += gap_s
        sums[GAP_S_SQUARED] += gap_s * gap_s
    sums[EVIDENCE if is_evidence else REFUSED] += 1
    if not np.isnan(extras[2]):
        sums[PARAMS_KNOWN] += 1
        for k in range(4):
            sums[PARAMS_KNOWN + 1 + k] += extras[2 + k]


@njit(cache=True)
def fold(
    rows,
    times_ms,
    is_evidence,
    hashes,
    labels,
    margins,
    signals,
    scopes,
    sketches,
    raws,
    cells,
    fouriers,
    extras,
    nears,
    short_ms,
    long_ms,
    queries,
    next_looks,
    first_ms,
    last_ms,
    sums,
    ring_count,
    ring_sketch,
    ring_raw,
    ring_hash,
    ring_label,
    ring_margin,
    due_events,
    due_sums,
    due_counts,
):  # type: ignore[no-untyped-def]
    """Add events to rows in order; copy the row's sums wherever an account becomes due.

    Returns the number of due accounts; `due_events` holds the position of the event that made each due,
    `due_counts` the account's (queries, first_ms) then.
    """
    n_due = 0
    own = np.empty(N_OWN, dtype=np.float32)
    for i in range(len(rows)):
        row = rows[i]
        if row < 0:
            continue
        row_sums = sums[row]
        if queries[row] == 0:
            first_ms[row] = times_ms[i]
            next_looks[row] = next_look(0)
        add_tallies(
            row_sums, last_ms[row], times_ms[i], queries[row], short_ms, long_ms, is_evidence[i], extras[i]
        )
        queries[row] += 1
        last_ms[row] = max(last_ms[row], times_ms[i])
        if is_evidence[i]:
            is_repeat = compare_with_ring(
                own,
                hashes[i],
                labels[i],
                margins[i],
                sketches[i],
                raws[i],
                ring_count[row],
                ring_sketch[row],
                ring_raw[row],
                ring_hash[row],
                ring_label[row],
                ring_margin[row],
                nears[i],
            )
            for k in range(N_OWN):
                add_signal(row_sums, N_SIGNALS + k, own[k])
            is_novel = not is_repeat and own[2] != 1.0
            for k in range(N_SIGNALS):
                if scopes[k] == 0 or (scopes[k] == 1 and not is_repeat) or (scopes[k] == 2 and is_novel):
                    add_signal(row_sums, k, signals[i, k])
            if not is_repeat:
                row_sums[DISTINCT] += 1
                at = ring_count[row] % RING
                ring_count[row] += 1
                ring_hash[row, at] = hashes[i]
                ring_label[row, at] = labels[i]
                ring_margin[row, at] = margins[i]
                for k in range(SKETCH):
                    ring_sketch[row, at, k] = fixed(sketches[i, k], SKETCH_UNIT)
                for k in range(RAW):
                    ring_raw[row, at, k] = fixed(raws[i, k], RAW_UNIT)
            if is_novel:
                row_sums[NOVEL] += 1
                add_shape(row_sums, sketches[i], cells[i], fouriers[i], labels[i])
        if queries[row] % AGING_QUERIES == 0:
            for k in range(len(row_sums)):
                row_sums[k] *= np.float32(0.5)
        if queries[row] >= next_looks[row]:
            next_looks[row] = next_look(queries[row])
            due_events[n_due] = i
            due_sums[n_due] = row_sums
            due_counts[n_due, 0] = queries[row]
            due_counts[n_due, 1] = first_ms[row]
            n_due += 1
    return n_due
