"""How a query differs from its account's own recent ones: repeats, near-repeats, lines, steps."""

import numpy as np

from copycatch.compiled import njit
from copycatch.layout import row as layout
from copycatch.layout.signals import OWN_INDEX
from copycatch.space.lexicon import count_words
from copycatch.space.model import LOG_FLOOR, SKETCH

RING = layout.RING
IS_DUPLICATE, NEAREST_LOG, IS_NEAR = OWN_INDEX["is_duplicate"], OWN_INDEX["nearest_log"], OWN_INDEX["is_near"]
NEAR_FLIP, NEAR_BOUNDARY = OWN_INDEX["near_flip_excess"], OWN_INDEX["near_boundary_excess"]
NEAR_STEP, IS_FLIP = OWN_INDEX["near_step_excess"], OWN_INDEX["is_flip"]
IS_COLLINEAR, IS_NEAR_COLLINEAR = OWN_INDEX["is_collinear"], OWN_INDEX["is_near_collinear"]
IS_FLAT = OWN_INDEX["is_flat"]
IS_IN_LINE, SAME_LABEL_LOG = OWN_INDEX["is_in_line"], OWN_INDEX["nearest_same_label_log"]
COLLINEAR_COS = 0.85
# A query is near when it is at least a tenth nearer (in log distance) to a recent one of its own than to
# any usual query, or shares half of its words with one: repeats with noise, retries with edits, chains of
# probes.
NEAR_LOG = np.float32(0.1)
WORDS_SHARED = 0.5
WORDS_SHARED_MIN = 3
# A text on the line between two others takes some words of each.
SPLICED_MIN, PIECE_MIN = 5, 2
SPLICE_RING_MIN = 6  # recent texts: among fewer a match is chance
# Of near queries, noisy repeats flip their label in 5 to 17 %, have a low margin in 2 to 18 % and move the
# margin by 0.1 to 0.2; line searches in 45 to 57 %, 22 to 65 % and twice that (development traces, all three
# victims). What is usual is taken off, so that only the excess adds up.
NEAR_FLIP_USUAL = np.float32(0.25)
NEAR_BOUNDARY_USUAL = np.float32(0.25)
NEAR_STEP_USUAL = np.float32(0.2)
FAR = np.float32(1e30)
# A near-repeat whose answer says nothing new is quiet: it takes no place among the recent queries, and counts
# only while its anchor has hardly more quiet repeats than its probes are worth. So noisy repeats keep their
# usual rates, while any number of quiet ones dilutes nothing.
BALANCE_MAX, PROBE_WORTH = np.int8(8), np.int8(3)
BALANCE_MIN = np.int8(-120)
# Fixed point for what the ring keeps: sketches within +-64 to 0.002.
SKETCH_UNIT = np.float32(512)
FIXED_MAX = np.float32(32767)
MISSING = np.int16(-32768)


@njit(cache=True)
def fixed(value, unit):  # type: ignore[no-untyped-def]
    """A value as fixed point; NaN has a code of its own."""
    if np.isnan(value):
        return MISSING
    return np.int16(round(min(max(value * unit, -FIXED_MAX), FIXED_MAX)))


@njit(cache=True)
def short_label(code):  # type: ignore[no-untyped-def]
    """A label's code in four bytes; -1 stays "missing"."""
    return np.int32(code & 0x7FFFFFFF) if code >= 0 else np.int32(-1)


@njit(cache=True)
def short_hash(hash_):  # type: ignore[no-untyped-def]
    """An input's hash in four bytes; 0 stays "no input", and nothing else becomes it."""
    both = np.uint32((hash_ ^ (hash_ >> np.uint64(32))) & np.uint64(0xFFFFFFFF))
    return max(both, np.uint32(hash_ != 0))


@njit(cache=True)
def shared_words(first, second):  # type: ignore[no-untyped-def]
    """Share of the words of two texts that they have in common, by their 64-bit sets."""
    common = count_words(first & second)
    return common / count_words(first | second) if common >= WORDS_SHARED_MIN else 0.0


@njit(cache=True)
def is_spliced(words, ring_words, n):  # type: ignore[no-untyped-def]
    """Whether all words of a text are in two recent ones together, and several of them only in each."""
    size = count_words(words)
    if size < SPLICED_MIN:
        return False
    for j in range(n):
        rest = words & ~ring_words[j]
        missing = count_words(rest)
        if PIECE_MIN <= missing <= size - PIECE_MIN:
            for k in range(n):
                if rest & ~ring_words[k] == 0:
                    return True
    return False


@njit(cache=True)
def compare_with_ring(own, query, ring, ring_n):  # type: ignore[no-untyped-def]  # noqa: PLR0912 - one pass, in order
    """Own signals of one query against the account's recent distinct queries.

    Takes `arrays.Query` and `Ring`; writes to `own`. Gives whether it is an exact repeat, the slot of the
    nearest recent one, by vector and by whatever is known, -1 where there is none, and whether that one is
    near and had no near one before.
    """
    own[:] = np.nan
    sketch, words_seen = query.sketch, query.words_seen
    nearest = second = nearest_same = FAR
    at_nearest = at_second = at_words = -1
    words_shared = 0.0
    for j in range(min(ring_n, RING)):
        if ring.hashes[j] == query.hash_ and query.hash_ != 0:
            own[IS_DUPLICATE] = 1.0
            return True, -1, -1, False
        if words_seen != 0:
            shared = shared_words(words_seen, ring.words[j])
            if shared > words_shared:
                words_shared, at_words = shared, j
        distance = np.float32(0)
        for k in range(SKETCH):
            step = sketch[k] - ring.sketches[j, k] / SKETCH_UNIT
            distance += step * step
        if distance < nearest:
            second, at_second = nearest, at_nearest
            nearest, at_nearest = distance, j
        elif distance < second:
            second, at_second = distance, j
        if ring.labels[j] == query.label and distance < nearest_same:
            nearest_same = distance
    if query.hash_ != 0:
        own[IS_DUPLICATE] = 0.0
    if words_seen != 0 and ring_n >= SPLICE_RING_MIN:
        own[IS_IN_LINE] = is_spliced(words_seen, ring.words, min(ring_n, RING))
    has_vector = at_nearest >= 0 and not np.isnan(sketch[0])
    if not has_vector and words_shared < WORDS_SHARED:
        if words_seen != 0 and ring_n > 0:
            own[IS_NEAR] = 0.0
        return False, -1, -1, False
    is_near = words_shared >= WORDS_SHARED
    if has_vector:
        own[NEAREST_LOG] = 0.5 * np.log(nearest + np.float32(LOG_FLOOR))
        if nearest < query.near * query.near and own[NEAREST_LOG] < query.neighbour_log - NEAR_LOG:
            is_near = True
        if nearest_same < FAR:
            own[SAME_LABEL_LOG] = 0.5 * np.log(nearest_same + np.float32(LOG_FLOOR))
    else:
        at_nearest = at_words
    is_new_cluster = add_near_signals(own, is_near, query, ring, at_nearest)
    if has_vector and at_second >= 0:
        uu = vv = uv = np.float32(0)
        for k in range(SKETCH):
            u = sketch[k] - ring.sketches[at_nearest, k] / SKETCH_UNIT
            v = ring.sketches[at_second, k] / SKETCH_UNIT - ring.sketches[at_nearest, k] / SKETCH_UNIT
            uu += u * u
            vv += v * v
            uv += u * v
        own[IS_COLLINEAR] = abs(uv) > COLLINEAR_COS * np.sqrt(uu * vv) + np.float32(1e-6)
        own[IS_NEAR_COLLINEAR] = own[IS_COLLINEAR] if is_near else 0.0
    return False, at_nearest if has_vector else -1, at_nearest, is_new_cluster


@njit(cache=True)
def add_near_signals(own, is_near, query, ring, at):  # type: ignore[no-untyped-def]
    """What a near query does to the answer, beyond what noise does; whether it is the first near one."""
    other_label, other_margin = ring.labels[at], ring.margins[at]
    own[IS_NEAR] = is_near
    if query.label >= 0 and other_label >= 0:
        is_flip = query.label != other_label
        own[IS_FLIP] = is_flip
        own[NEAR_FLIP] = is_flip - NEAR_FLIP_USUAL if is_near else np.float32(0)
    if not np.isnan(query.is_low_margin):
        own[NEAR_BOUNDARY] = query.is_low_margin - NEAR_BOUNDARY_USUAL if is_near else np.float32(0)
    if not np.isnan(query.margin) and not np.isnan(other_margin):
        own[NEAR_STEP] = abs(query.margin - other_margin) - NEAR_STEP_USUAL if is_near else np.float32(0)
    is_first = is_near and ring.is_clustered[at] == 0
    if is_near:
        ring.is_clustered[at] = 1
    return is_first


@njit(cache=True)
def keep_hot(ring, count):  # type: ignore[no-untyped-def]
    """Where the account's `count`-th distinct query goes: the oldest slot, whose own query may move first.

    One that was nearly repeated since it came, or moved, takes the place of the oldest that was not: else an
    anchor would be forgotten, and its next near-repeat be a novel query again.
    """
    first = count % RING
    if count < RING or ring.is_hot[first] == 0:
        return first
    ring.is_hot[first] = 0
    for k in range(1, RING // 2):  # the other half always goes by age
        at = (first + k) % RING
        if ring.is_hot[at] == 0:
            ring.hashes[at] = ring.hashes[first]
            ring.labels[at] = ring.labels[first]
            ring.margins[at] = ring.margins[first]
            ring.words[at] = ring.words[first]
            ring.is_clustered[at] = ring.is_clustered[first]
            ring.balances[at] = ring.balances[first]
            ring.numbers[at] = ring.numbers[first]
            ring.sketches[at] = ring.sketches[first]
            return first
    return first


@njit(cache=True)
def is_quiet(own):  # type: ignore[no-untyped-def]
    """Whether a query is a near-repeat whose answer says nothing new, and no flat step.

    Directions tell nothing here: small noise points to some earlier query every now and then.
    """
    return own[IS_NEAR] == 1.0 and own[IS_FLIP] != 1.0 and not own[NEAR_STEP] > 0 and own[IS_FLAT] != 1.0


@njit(cache=True)
def weigh(ring, at, quiet):  # type: ignore[no-untyped-def]
    """Put a near-repeat to its anchor's account of quiet ones and probes; whether it counts."""
    balance = ring.balances[at]
    ring.is_hot[at] = 1
    if not quiet:
        ring.balances[at] = max(balance - PROBE_WORTH, BALANCE_MIN)
        return True
    if balance >= BALANCE_MAX:
        return False
    ring.balances[at] = balance + 1
    return True
