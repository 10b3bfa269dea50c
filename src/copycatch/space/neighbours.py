"""The eight nearest usual queries of each query, and how its answer differs from theirs."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.compiled import njit
from copycatch.records.columns import Float32Array, IntArray
from copycatch.space.model import LOG_FLOOR, N_NEIGHBOURS, SKETCH, ModelSpace

Int32Array = npt.NDArray[np.int32]

COLUMNS = (
    "neighbour_log",
    "neighbours_log",
    "label_agreement",
    "margin_residual",
    "entropy_residual",
    "same_label_log",
    "label_gap_log",
)
(NEIGHBOUR_LOG, NEIGHBOURS_LOG, LABEL_AGREEMENT, MARGIN_RESIDUAL, ENTROPY_RESIDUAL, SAME_LABEL_LOG,
 LABEL_GAP_LOG) = range(len(COLUMNS))  # fmt: skip
GROUPS = (
    64  # rows of the reference_set that lie so far apart make a group; the least of each is looked at first
)
# 1e30 as float32, read as an integer: beyond every distance; NaN lies beyond it, too.
BEYOND = np.float32(1e30).view(np.int32)
SPARE, FOUND_MAX = 4, 32  # more groups than needed are no harm; so many squares are compared all with all
NO_SAME_LABEL = 1.0  # log distance beyond the neighbours where the reference_set has no row of the label


@njit(cache=True)
def _bound(least):  # type: ignore[no-untyped-def]
    """A square that at least eight of `least` reach and hardly more; below BEYOND, whoever reaches it.

    Found by halving and counting, which has no branch to be guessed wrong.
    """
    low, high = least.min(), min(least.max(), BEYOND - 1)
    while low < high:
        middle = (low + high) // 2
        count = 0
        for g in range(GROUPS):
            count += least[g] <= middle
        if count < N_NEIGHBOURS:
            low = middle + 1
        else:
            high = middle
            if count <= N_NEIGHBOURS + SPARE:
                break
    return high


@njit(cache=True)
def _nearest(squares, least, near_groups, found, keys):  # type: ignore[no-untyped-def]
    """Keys of the eight smallest of `squares`, in any order, the first of equals first; how many there are.

    A key is the square, as an integer, above its index. `squares` has a column for each group. What eight of
    the least of each group reach bounds the eighth smallest of all, and hardly ever more than a dozen do.
    """
    least[:] = squares[0]
    for r in range(1, squares.shape[0]):
        for g in range(GROUPS):
            least[g] = min(least[g], squares[r, g])
    bound = _bound(least)
    n_groups = n_found = 0
    for g in range(GROUPS):
        near_groups[n_groups] = g
        n_groups += least[g] <= bound
    for index in range(n_groups):
        g = near_groups[index]
        for r in range(squares.shape[0]):
            found[n_found] = (np.int64(squares[r, g]) << np.int64(32)) | (r * GROUPS + g)
            n_found += squares[r, g] <= bound
    if n_found > FOUND_MAX:  # many at one distance: rare, and the same in order
        found[:n_found].sort()
        keys[:] = found[:N_NEIGHBOURS]
        return N_NEIGHBOURS
    n_keys = 0
    for index in range(n_found):
        before = 0
        for other in range(n_found):
            before += found[other] < found[index]
        keys[min(n_keys, N_NEIGHBOURS - 1)] = (
            found[index] if before < N_NEIGHBOURS else keys[N_NEIGHBOURS - 1]
        )
        n_keys += before < N_NEIGHBOURS
    return n_keys


@njit(cache=True)
def _leave_out(squares, number, numbers, rows):  # type: ignore[no-untyped-def]
    """Put rows of the reference set that have this number beyond every distance; `numbers` are in order."""
    for at in range(np.searchsorted(numbers, number), len(numbers)):
        if numbers[at] != number:
            break
        squares[rows[at]] = BEYOND


class _Queries(NamedTuple):
    sketches: Float32Array
    accounts: IntArray
    hashes: IntArray
    labels: IntArray
    codes: Int32Array  # of the labels
    margins: Float32Array
    entropies: Float32Array


class _References(NamedTuple):
    sketches: Float32Array  # (SKETCH, m filled up to whole groups)
    accounts: IntArray  # ascending, and which row each belongs to
    account_rows: IntArray
    hashes: IntArray
    hash_rows: IntArray
    codes: Int32Array
    margins: Float32Array
    entropies: Float32Array


@njit(cache=True)
def _search(queries, references, out):  # type: ignore[no-untyped-def]
    reference_set, m = references.sketches, len(references.codes)
    width = reference_set.shape[1]
    squares = np.empty(width, dtype=np.float32)
    # Floats that are not negative keep their order when they are read as integers, and the least of integers
    # is vector code.
    as_integers = squares.view(np.int32)
    in_groups = as_integers.reshape(width // GROUPS, GROUPS)
    least = np.empty(GROUPS, dtype=np.int32)
    near_groups = np.empty(GROUPS + 1, dtype=np.int64)
    found = np.empty(width + 1, dtype=np.int64)
    keys = np.empty(N_NEIGHBOURS, dtype=np.int64)
    integer = np.empty(1, dtype=np.int32)
    single = integer.view(np.float32)
    for i in range(len(queries.sketches)):
        x = queries.sketches[i]
        for j in range(width):  # the inner loop is unrolled: this one becomes vector code along the rows
            total = np.float32(0)
            for k in range(SKETCH):
                step = x[k] - reference_set[k, j]
                total += step * step
            squares[j] = total
        as_integers[m:] = BEYOND
        _leave_out(as_integers, queries.accounts[i], references.accounts, references.account_rows)
        if queries.hashes[i] != 0:
            _leave_out(as_integers, queries.hashes[i], references.hashes, references.hash_rows)
        if _nearest(in_groups, least, near_groups, found, keys) < N_NEIGHBOURS:
            continue
        nearest, product, agreement, margin, entropy = keys[0], 1.0, 0, 0.0, 0.0
        for p in range(N_NEIGHBOURS):
            nearest = min(nearest, keys[p])
            at = keys[p] & np.int64(0xFFFFFFFF)
            integer[0] = keys[p] >> np.int64(32)
            product *= single[0] + LOG_FLOOR
            agreement += references.codes[at] == queries.codes[i]
            margin += references.margins[at]
            entropy += references.entropies[at]
        integer[0] = nearest >> np.int64(32)
        out[i, NEIGHBOUR_LOG] = 0.5 * np.log(single[0] + LOG_FLOOR)
        out[i, NEIGHBOURS_LOG] = 0.5 * np.log(product) / N_NEIGHBOURS
        out[i, MARGIN_RESIDUAL] = queries.margins[i] - margin / N_NEIGHBOURS
        out[i, ENTROPY_RESIDUAL] = queries.entropies[i] - entropy / N_NEIGHBOURS
        if queries.labels[i] >= 0:
            out[i, LABEL_AGREEMENT] = agreement / N_NEIGHBOURS
            same = BEYOND
            for j in range(m):
                same = min(same, as_integers[j] if references.codes[j] == queries.codes[i] else BEYOND)
            out[i, SAME_LABEL_LOG] = out[i, NEIGHBOURS_LOG] + NO_SAME_LABEL
            if same < BEYOND:
                integer[0] = same
                out[i, SAME_LABEL_LOG] = 0.5 * np.log(single[0] + LOG_FLOOR)
            out[i, LABEL_GAP_LOG] = out[i, SAME_LABEL_LOG] - out[i, NEIGHBOUR_LOG]


def _in_order(numbers: IntArray) -> tuple[IntArray, IntArray]:
    """Numbers ascending, and the row of each."""
    rows: IntArray = np.argsort(numbers, kind="stable")
    return numbers[rows], rows


def _coded(labels: IntArray, reference_labels: IntArray) -> tuple[Int32Array, Int32Array]:
    """Small numbers for the labels of queries and reference set; -1 for those that the set does not have."""
    names, of_reference = np.unique(reference_labels, return_inverse=True)
    at = np.minimum(np.searchsorted(names, labels), len(names) - 1)
    return np.where(names[at] == labels, at, -1).astype(np.int32), of_reference.astype(np.int32)


def compare_with_reference_set(
    sketches: Float32Array,
    accounts: IntArray,
    hashes: IntArray,
    labels: IntArray,
    margins: Float32Array,
    entropies: Float32Array,
    space: ModelSpace,
) -> Float32Array:
    """Distances and answers of the nearest usual queries, the account's own and identical inputs left out.

    An identical input of another account is never a neighbour: a shared pool of inputs (a public test set, a
    popular prompt) would make "never seen elsewhere" a matter of fashion.

    Parameters
    ----------
    sketches : ndarray of float32, shape (n, SKETCH)
    accounts, hashes, labels : ndarray of int64, shape (n,)
    margins, entropies : ndarray of float32, shape (n,)
    space : ModelSpace

    Returns
    -------
    ndarray of float32, shape (n, 7)
        In the order of `COLUMNS`; NaN where the reference set has fewer than eight rows of other accounts.
    """
    out = np.full((len(sketches), len(COLUMNS)), np.nan, dtype=np.float32)
    m = len(space.reference_sketches)
    reference_set = np.zeros((SKETCH, -(-m // GROUPS) * GROUPS), dtype=np.float32)
    reference_set[:, :m] = space.reference_sketches.T
    label_codes, reference_codes = _coded(labels, space.reference_labels)
    queries = _Queries(sketches, accounts, hashes, labels, label_codes, margins, entropies)
    references = _References(
        reference_set, *_in_order(space.reference_accounts), *_in_order(space.reference_hashes),
        reference_codes, space.reference_margins, space.reference_entropies,
    )  # fmt: skip
    _search(queries, references, out)
    return out
