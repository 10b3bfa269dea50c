"""Adds each query to the usage row of its account: one compiled pass, in order of arrival."""

from typing import Final

import numpy as np

from copycatch.compiled import njit
from copycatch.usage.layout import (
    AT,
    HOUR_MS,
    HOURS,
    PROMPTS,
    QUERIES_MAX,
    RECENT,
    SAMPLE,
    SLOT_STARTS,
    SUM,
    VECTOR,
)
from copycatch.usage.measures import measure

REPEAT, NEAR, UNLIKE, NEW = 0.97, 0.8, 0.6, 0.9  # similarities; two random prompts of one topic have about .5
FOLLOW_UP: Final = 0.7
QUICK_MS: Final = 600_000
UNIT_SQUARED: Final = np.float32(1 / 127**2)
COUNT_MAX: Final = 60_000

LAST_AT, LAST_TO = AT["last_ms"]
SUMS_AT, SUMS_TO = AT["sums"]
MARKS_AT, MARKS_TO = AT["marks"]
VALUES_AT, VALUES_TO = AT["slot_values"]
COUNTS_AT, COUNTS_TO = AT["slot_counts"]
PROMPTS_AT, PROMPTS_TO = AT["prompts"]
HOURS_AT, HOURS_TO = AT["hours"]
BIASES_AT, BIASES_TO = AT["biases"]
SAMPLE_AT, SAMPLE_TO = AT["sample"]
WORDS_AT, WORDS_TO = AT["vocabulary"]
RECENT_AT, RECENT_TO = AT["recent"]
QUERIES, VECTORS, OWN_NEAREST = SUM["queries"], SUM["vectors"], SUM["own_nearest"]
REPEATS, NEARS, UNLIKES = SUM["repeats"], SUM["near"], SUM["unlike"]
STEPS, STEP, QUICK_STEPS, QUICK_STEP = SUM["steps"], SUM["step"], SUM["quick_steps"], SUM["quick_step"]
FOLLOW_UPS, KNOWN, SWITCHES = SUM["follow_ups"], SUM["settings_known"], SUM["switches"]
REBIASED, NEW_COMPLETIONS = SUM["rebiased"], SUM["new_completions"]
READ, LENGTH, LENGTH_SQUARED, WORDS = SUM["read"], SUM["length"], SUM["length_squared"], SUM["words"]
REASONS, GRADES = SUM["reasons"], SUM["grades"]


@njit(cache=True)
def mixed(value):  # type: ignore[no-untyped-def]
    """A well mixed hash of a number (splitmix64)."""
    state = np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@njit(cache=True)
def cosine(a, b):  # type: ignore[no-untyped-def]
    """Of two unit vectors that are kept as bytes."""
    total = np.int32(0)
    for d in range(VECTOR):
        total += np.int32(a[d]) * np.int32(b[d])
    return np.float32(total) * UNIT_SQUARED


@njit(cache=True)
def count_value(values, counts, start, stop, value):  # type: ignore[no-untyped-def]
    """Count a value among the frequent ones; what is rare is forgotten again [1]_.

    References
    ----------
    .. [1] Misra and Gries, Finding repeated elements, 1982: too low by at most one in (slots + 1).
    """
    free = -1
    for slot in range(start, stop):
        if counts[slot] > 0 and values[slot] == value:
            counts[slot] = min(counts[slot] + 1, COUNT_MAX)
            return
        if counts[slot] == 0:
            free = slot
    if free >= 0:
        values[free], counts[free] = value, 1
        return
    for slot in range(start, stop):
        counts[slot] -= 1


@njit(cache=True)
def add_hour(hours, time_ms, last_ms, is_new):  # type: ignore[no-untyped-def]
    """Count a query in its hour of the last day, clearing the hours that passed; not where too late."""
    hour, last = time_ms // HOUR_MS, last_ms // HOUR_MS
    for passed in range(max(last + 1, hour - HOURS + 1), hour + 1):
        hours[passed % HOURS] = 0
    if is_new and hour > last - HOURS:
        hours[hour % HOURS] = min(hours[hour % HOURS] + 1, COUNT_MAX)


@njit(cache=True)
def has_other_bias(prompts, biases, marks, prompt, bias):  # type: ignore[no-untyped-def]
    """Whether the prompt was asked before under another bias; remembers it under this one."""
    for slot in range(PROMPTS):
        if prompts[slot] == prompt:
            is_other = biases[slot] != bias
            biases[slot] = bias
            return is_other
    at = marks[2] % np.uint32(PROMPTS)
    prompts[at], biases[at] = prompt, bias
    marks[2] += np.uint32(1)
    return False


@njit(cache=True)
def nearest_of(vector, sample, recent, n_seen):  # type: ignore[no-untyped-def]
    """Similarity to the nearest of the account's own queries that are kept; 0 where there is none."""
    best = np.float32(-1)
    for k in range(min(n_seen, SAMPLE)):
        best = max(best, cosine(vector, sample[k]))
    for k in range(min(n_seen, RECENT)):
        best = max(best, cosine(vector, recent[k]))
    return best if n_seen > 0 else np.float32(0)


@njit(cache=True)
def keep(vector, sample, recent, n_seen, n_counted, prompt):  # type: ignore[no-untyped-def]
    """Put a query among the newest, and with the chance of a uniform sample in it [1]_.

    The place depends on the keyed hash of the prompt: nobody outside can tell which queries are sampled.

    References
    ----------
    .. [1] Vitter, Random sampling with a reservoir, 1985, algorithm R.
    """
    recent[n_seen % RECENT] = vector
    place = n_seen
    if n_seen >= SAMPLE:
        place = np.int64(
            mixed(np.uint64(prompt) ^ (np.uint64(n_seen) << np.uint64(32)))
            % np.uint64(max(n_counted, SAMPLE))
        )
    if place < SAMPLE:
        sample[place] = vector


@njit(cache=True)
def add_vector(sums, sample, recent, marks, vector, gap_ms, prompt):  # type: ignore[no-untyped-def]
    """Redundancy and order of what is asked; gives the similarity to the nearest of its own."""
    n_seen = np.int64(marks[0])
    nearest = nearest_of(vector, sample, recent, n_seen)
    sums[VECTORS] += 1
    if n_seen > 0:
        sums[OWN_NEAREST] += nearest
        sums[REPEATS] += nearest > REPEAT
        sums[NEARS] += nearest > NEAR
        sums[UNLIKES] += nearest < UNLIKE
        step = cosine(vector, recent[(n_seen - 1) % RECENT])
        sums[STEPS] += 1
        sums[STEP] += step
        if 0 <= gap_ms < QUICK_MS:
            sums[QUICK_STEPS] += 1
            sums[QUICK_STEP] += step
            sums[FOLLOW_UPS] += step > FOLLOW_UP
    keep(vector, sample, recent, n_seen, np.int64(sums[VECTORS]), prompt)
    marks[0] += np.uint32(1)
    return nearest


@njit(cache=True)
def add_words(sums, vocabulary, events, i):  # type: ignore[no-untyped-def]
    """How long it is, which words it uses, and what it asks for."""
    sums[READ] += 1
    sums[LENGTH] += events.lengths[i]
    sums[LENGTH_SQUARED] += events.lengths[i] * events.lengths[i]
    sums[WORDS] += events.word_counts[i]
    sums[REASONS] += events.reasons[i]
    sums[GRADES] += events.grades[i]
    for cell in range(len(vocabulary)):
        vocabulary[cell] |= events.word_bits[i, cell]


@njit(cache=True)
def add_query(row, events, i):  # type: ignore[no-untyped-def]
    """Add one query to the bytes of its account's row."""
    sums = row[SUMS_AT:SUMS_TO].view(np.float32)
    marks = row[MARKS_AT:MARKS_TO].view(np.uint32)
    values, counts = row[VALUES_AT:VALUES_TO].view(np.uint32), row[COUNTS_AT:COUNTS_TO].view(np.uint16)
    last_ms = row[LAST_AT:LAST_TO].view(np.int64)
    sample = row[SAMPLE_AT:SAMPLE_TO].view(np.int8).reshape(SAMPLE, VECTOR)
    recent = row[RECENT_AT:RECENT_TO].view(np.int8).reshape(RECENT, VECTOR)
    sums[QUERIES] += 1
    nearest = np.float32(0)
    if events.has_vector[i]:
        gap_ms = events.times_ms[i] - last_ms[0]
        nearest = add_vector(sums, sample, recent, marks, events.vectors[i], gap_ms, events.prompts[i])
    add_hour(row[HOURS_AT:HOURS_TO].view(np.uint16), events.times_ms[i], last_ms[0], nearest < NEW)
    last_ms[0] = max(last_ms[0], events.times_ms[i])
    count_value(values, counts, SLOT_STARTS[0], SLOT_STARTS[1], events.openings[i])
    count_value(values, counts, SLOT_STARTS[1], SLOT_STARTS[2], events.endings[i])
    vocabulary = row[WORDS_AT:WORDS_TO].view(np.uint64)
    add_words(sums, vocabulary, events, i)
    settings = events.settings[i]
    if settings != 0:
        sums[KNOWN] += 1
        sums[SWITCHES] += marks[1] != 0 and marks[1] != settings
        marks[1] = settings
        count_value(values, counts, SLOT_STARTS[2], SLOT_STARTS[3], settings)
    if events.biases[i] != 0:
        prompts = row[PROMPTS_AT:PROMPTS_TO].view(np.uint32)
        biases = row[BIASES_AT:BIASES_TO].view(np.uint32)
        sums[REBIASED] += has_other_bias(prompts, biases, marks, events.prompts[i], events.biases[i])
    if events.asks_many[i] and events.has_vector[i]:
        sums[NEW_COMPLETIONS] += 1 - max(nearest, np.float32(0))
    if sums[QUERIES] >= QUERIES_MAX:
        for k in range(len(sums)):
            sums[k] *= np.float32(0.5)
        for slot in range(len(counts)):
            counts[slot] >>= 1
        sums[WORDS], vocabulary[:] = np.float32(0), np.uint64(0)  # half of a set of words is none


@njit(cache=True)
def fold(rows, events, due, to, out):  # type: ignore[no-untyped-def]
    """Add the events to the rows of their accounts, and measure each account that is due.

    Parameters
    ----------
    rows : ndarray of uint8, shape (n_rows, bytes)
        Changed in place.
    events : UsageEvents
    due : ndarray of int64, ascending
        Positions of the events after which their account is measured.
    to : Compared
        With what others ask each of these is compared.
    out : ndarray of float64, shape (len(due), n_measures)
        Filled.
    """
    at = 0
    for i in range(len(events.rows)):
        row = events.rows[i]
        if events.is_counted[i]:
            add_query(rows[row], events, i)
        if at < len(due) and due[at] == i:
            if 0 <= row < len(rows):
                measure(rows[row], to, at, out[at])
            at += 1
