"""What a usage row tells of its account, in the order of `MEASURES`.

All that rests on pairs of queries is an unbiased mean over the pairs of a uniform sample, so that it means
the same at every number of queries.

References
----------
.. [1] Whang, Vander-Zanden and Taylor, A linear-time probabilistic counting algorithm, 1990.
"""

from typing import Final

import numpy as np

from copycatch.compiled import njit
from copycatch.usage.layout import AT, SAMPLE, SLOT_STARTS, SUM, VECTOR
from copycatch.usage.others import coverage
from copycatch.usage.words import WORD_BITS

MEASURES: Final = (
    "pair_similarity",  # mean over pairs of its queries
    "breadth",
    "own_breadth",
    "sample_nearest",
    "sample_nearest_high",
    "own_sample_nearest",
    "own_nearest",
    "repeat_share",
    "alike_share",
    "unlike_share",
    "step_similarity",
    "step_excess",
    "quick_step_excess",
    "follow_up_share",
    "opening_top",
    "opening_common",
    "ending_top",
    "ending_common",
    "settings_entropy",
    "settings_top",
    "settings_switches",
    "settings_two",
    "rebiased_share",
    "new_completions",
    "day_queries",
    "length_spread",
    "vocabulary",
    "reasoning_words",
    "grading_requests",
    "coverage",
)
QUERIES_MIN: Final = 12  # below, nothing is said
QUICK_MIN: Final = 4
COMPLETIONS_MIN: Final = 16  # queries below which a template has not shown yet
COMMON_SHARE: Final = 0.04  # of the queries, from which on a value counts as a template
TWO_SHARE: Final = 0.1
EPSILON: Final = 1e-6
UNIT_SQUARED: Final = 1 / 127**2

SUMS_AT, SUMS_TO = AT["sums"]
MARKS_AT, MARKS_TO = AT["marks"]
COUNTS_AT, COUNTS_TO = AT["slot_counts"]
HOURS_AT, HOURS_TO = AT["hours"]
SAMPLE_AT, SAMPLE_TO = AT["sample"]
WORDS_AT, WORDS_TO = AT["vocabulary"]
QUERIES, VECTORS = SUM["queries"], SUM["vectors"]
STEPS, STEP, QUICK_STEPS, QUICK_STEP = SUM["steps"], SUM["step"], SUM["quick_steps"], SUM["quick_step"]
KNOWN = SUM["settings_known"]
SUM_SWITCHES = SUM["switches"]
SUM_REBIASED, SUM_COMPLETIONS = SUM["rebiased"], SUM["new_completions"]
SUM_NEAREST, SUM_REPEATS, SUM_NEAR = SUM["own_nearest"], SUM["repeats"], SUM["near"]
SUM_UNLIKE, SUM_FOLLOW_UPS = SUM["unlike"], SUM["follow_ups"]
READ, LENGTH, LENGTH_SQUARED, WORDS = SUM["read"], SUM["length"], SUM["length_squared"], SUM["words"]
REASONS, GRADES = SUM["reasons"], SUM["grades"]


@njit(cache=True)
def similarities(sample, n):  # type: ignore[no-untyped-def]
    """Cosines of all pairs of the sample, (n, n)."""
    found = np.empty((n, n))
    for i in range(n):
        for j in range(i, n):
            total = np.int32(0)
            for d in range(VECTOR):
                total += np.int32(sample[i, d]) * np.int32(sample[j, d])
            found[i, j] = found[j, i] = total * UNIT_SQUARED
    return found


@njit(cache=True)
def centred(found):  # type: ignore[no-untyped-def]
    """The same after the mean vector is taken off: without what all of the account's queries share."""
    n = len(found)
    means = np.empty(n)
    for i in range(n):
        means[i] = found[i].mean()
    mean = means.mean()
    lengths = np.empty(n)
    for i in range(n):
        lengths[i] = np.sqrt(max(found[i, i] - 2 * means[i] + mean, EPSILON))
    out = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            out[i, j] = (found[i, j] - means[i] - means[j] + mean) / (lengths[i] * lengths[j])
    return out


@njit(cache=True)
def pairs_of(found, nearest):  # type: ignore[no-untyped-def]
    """Mean similarity of pairs and mean square of the positive ones; fills each query's nearest, sorted."""
    n = len(found)
    total, squares = 0.0, 0.0
    for i in range(n):
        nearest[i] = -1.0
        for j in range(n):
            if j != i:
                nearest[i] = max(nearest[i], found[i, j])
                total += found[i, j]
                squares += max(found[i, j], 0.0) ** 2
    nearest.sort()
    return total / (n * (n - 1)), squares / (n * (n - 1))


@njit(cache=True)
def measure_sample(sample, n, out):  # type: ignore[no-untyped-def]
    """Breadth and redundancy of the sample; gives the mean similarity of its pairs."""
    found = similarities(sample, n)
    nearest = np.empty(n)
    mean, square = pairs_of(found, nearest)
    out[0] = mean
    out[1] = -np.log(square + EPSILON)
    out[3] = nearest[n // 2]
    out[4] = nearest[n * 9 // 10]
    _, square = pairs_of(centred(found), nearest)
    out[2] = -np.log(square + EPSILON)
    out[5] = nearest[n // 2]
    return mean


@njit(cache=True)
def shares_of(counts, start, stop, n):  # type: ignore[no-untyped-def]
    """Share of the most frequent value, and of all that are common."""
    top, common = 0.0, 0.0
    for slot in range(start, stop):
        share = counts[slot] / n
        top = max(top, share)
        if share >= COMMON_SHARE:
            common += share
    return min(top, 1.0), min(common, 1.0)


@njit(cache=True)
def measure_settings(counts, sums, out):  # type: ignore[no-untyped-def]
    """How many settings are in use, and how they change."""
    n = sums[KNOWN]
    entropy, top, rest, frequent = 0.0, 0.0, 1.0, 0
    for slot in range(SLOT_STARTS[2], SLOT_STARTS[3]):
        share = min(counts[slot] / n, 1.0)
        if share > 0:
            entropy -= share * np.log(share)
        top = max(top, share)
        rest -= share
        frequent += share > TWO_SHARE
    out[18] = np.exp(entropy + max(rest, 0.0) * np.log(n))  # what is not counted is taken as used once each
    out[19] = top
    out[20] = sums[SUM_SWITCHES] / n
    out[21] = 1.0 if frequent == 2 else 0.0
    out[22] = sums[SUM_REBIASED] / n


@njit(cache=True)
def measure_words(row, sums, out):  # type: ignore[no-untyped-def]
    """Spread of lengths, words in use, and what is asked for."""
    n = sums[READ]
    if n < QUERIES_MIN:
        return
    mean = sums[LENGTH] / n
    out[25] = np.sqrt(max(sums[LENGTH_SQUARED] / n - mean * mean, 0.0))
    if sums[WORDS] >= QUERIES_MIN:
        in_use = 0
        for cell in row[WORDS_AT:WORDS_TO].view(np.uint64):
            bits = cell
            while bits:
                bits &= bits - np.uint64(1)
                in_use += 1
        # Linear counting [1]_: words that share a bit count too.
        distinct = -WORD_BITS * np.log(max(1 - in_use / WORD_BITS, 1 / WORD_BITS))
        out[26] = distinct / np.sqrt(sums[WORDS])
    out[27], out[28] = sums[REASONS] / n, sums[GRADES] / n


@njit(cache=True)
def measure(row, to, at, out):  # type: ignore[no-untyped-def]
    """Fill what the bytes of a row tell, (n_measures,); NaN where it does not.

    Parameters
    ----------
    row : ndarray of uint8, shape (bytes,)
    to : Compared
        With what others ask it is compared.
    at : int
        Its place there.
    out : ndarray of float64, shape (n_measures,)
    """
    out[:] = np.nan
    sums = row[SUMS_AT:SUMS_TO].view(np.float32)
    n = sums[QUERIES]
    if n < QUERIES_MIN:
        return
    counts = row[COUNTS_AT:COUNTS_TO].view(np.uint16)
    out[14], out[15] = shares_of(counts, SLOT_STARTS[0], SLOT_STARTS[1], n)
    out[16], out[17] = shares_of(counts, SLOT_STARTS[1], SLOT_STARTS[2], n)
    measure_words(row, sums, out)
    if sums[KNOWN] >= QUERIES_MIN:
        measure_settings(counts, sums, out)
    if sums[VECTORS] < QUERIES_MIN:
        return
    out[24] = np.log1p(row[HOURS_AT:HOURS_TO].view(np.uint16).sum())
    marks = row[MARKS_AT:MARKS_TO].view(np.uint32)
    sample = row[SAMPLE_AT:SAMPLE_TO].view(np.int8).reshape(SAMPLE, VECTOR)
    n_sampled = min(np.int64(marks[0]), SAMPLE)
    mean = measure_sample(sample, n_sampled, out)
    out[29] = coverage(sample, n_sampled, to, at)
    if sums[QUERIES] >= COMPLETIONS_MIN and sums[KNOWN] >= QUERIES_MIN:
        out[23] = sums[SUM_COMPLETIONS] / sums[KNOWN] * (1 - max(mean, 0.0))
    steps = sums[STEPS]
    out[6] = sums[SUM_NEAREST] / steps
    out[7] = sums[SUM_REPEATS] / steps
    out[8] = sums[SUM_NEAR] / steps
    out[9] = sums[SUM_UNLIKE] / steps
    out[10] = sums[STEP] / steps
    out[11] = out[10] - mean
    out[12] = sums[QUICK_STEP] / sums[QUICK_STEPS] - mean if sums[QUICK_STEPS] >= QUICK_MIN else 0.0
    out[13] = sums[SUM_FOLLOW_UPS] / steps


@njit(cache=True)
def measure_rows(rows, due, to, out):  # type: ignore[no-untyped-def]
    """Fill the measures of these rows, (len(due), n_measures); those beyond the table stay as they are."""
    for at in range(len(due)):
        if 0 <= due[at] < len(rows):
            measure(rows[due[at]], to, at, out[at])
