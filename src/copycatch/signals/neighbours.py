"""The eight nearest usual queries of each query, and how its answer differs from theirs."""

import numpy as np
from numba import njit

from copycatch.records.columns import Float32Array, IntArray
from copycatch.records.space import SKETCH_LENGTH, ModelSpace

N_NEIGHBOURS = 8
COLUMNS = (
    "neighbour_log",
    "neighbours_log",
    "label_agreement",
    "margin_residual",
    "entropy_residual",
    "same_label_log",
    "label_gap_log",
)
STRETCH = 16  # rows of the bank whose least distance is looked at first
# 1e30 as float32, read as an integer: beyond every distance; NaN lies beyond it, too.
BEYOND = np.float32(1e30).view(np.int32)
NO_SAME_LABEL = 1.0  # log distance beyond the neighbours where the bank has no row of the label


@njit(cache=True)
def _nearest(squares, m, nearest, at, floors):  # type: ignore[no-untyped-def]
    """The eight smallest of `squares` and where they are, the first of equals first.

    The eighth smallest of the least of each stretch bounds the eighth smallest of all, so that only the few
    rows below it are put in order.
    """
    n_stretches = (m + STRETCH - 1) // STRETCH
    nearest[:] = BEYOND
    at[:] = -1
    for g in range(n_stretches):
        least = BEYOND
        if g * STRETCH + STRETCH <= m:
            for k in range(STRETCH):
                least = min(least, squares[g * STRETCH + k])
        else:
            for j in range(g * STRETCH, m):
                least = min(least, squares[j])
        floors[g] = least
        if least < nearest[N_NEIGHBOURS - 1]:
            p = N_NEIGHBOURS - 1
            while p > 0 and nearest[p - 1] > least:
                nearest[p] = nearest[p - 1]
                p -= 1
            nearest[p] = least
    bound = nearest[N_NEIGHBOURS - 1]
    nearest[:] = BEYOND
    for g in range(n_stretches):
        if floors[g] > bound or floors[g] >= nearest[N_NEIGHBOURS - 1]:
            continue
        for j in range(g * STRETCH, min(g * STRETCH + STRETCH, m)):
            square = squares[j]
            if square <= bound and square < nearest[N_NEIGHBOURS - 1]:
                p = N_NEIGHBOURS - 1
                while p > 0 and nearest[p - 1] > square:
                    nearest[p] = nearest[p - 1]
                    at[p] = at[p - 1]
                    p -= 1
                nearest[p] = square
                at[p] = j


@njit(cache=True)
def _search(  # type: ignore[no-untyped-def]
    sketches, accounts, hashes, labels, margins, entropies, bank, bank_accounts, bank_hashes, bank_labels,
    bank_margins, bank_entropies, out,
):  # fmt: skip
    n, m = len(sketches), bank.shape[1]
    squares = np.empty(m, dtype=np.float32)
    # Floats that are not negative keep their order when they are read as integers, and the least of integers
    # is vector code.
    as_integers = squares.view(np.int32)
    nearest = np.empty(N_NEIGHBOURS, dtype=np.int32)
    near = nearest.view(np.float32)
    at = np.empty(N_NEIGHBOURS, dtype=np.int64)
    same_square = np.empty(1, dtype=np.int32)
    floors = np.empty((m + STRETCH - 1) // STRETCH, dtype=np.int32)
    for i in range(n):
        x = sketches[i]
        for j in range(m):  # the inner loop is unrolled, so that this one becomes vector code along the bank
            total = np.float32(0)
            for k in range(SKETCH_LENGTH):
                step = x[k] - bank[k, j]
                total += step * step
            squares[j] = total
        account, hash_, label = accounts[i], hashes[i], labels[i]
        has_hash = hash_ != 0
        same = BEYOND
        for j in range(m):
            is_own = (bank_accounts[j] == account) | ((bank_hashes[j] == hash_) & has_hash)
            square = BEYOND if is_own else as_integers[j]
            as_integers[j] = square
            same = min(same, square if bank_labels[j] == label else BEYOND)
        _nearest(as_integers, m, nearest, at, floors)
        if at[N_NEIGHBOURS - 1] < 0:
            continue
        log_sum = agreement = margin = entropy = np.float32(0)
        for p in range(N_NEIGHBOURS):
            log_sum += np.float32(0.5) * np.log(near[p] + np.float32(1e-6))
            agreement += bank_labels[at[p]] == labels[i]
            margin += bank_margins[at[p]]
            entropy += bank_entropies[at[p]]
        out[i, 0] = np.float32(0.5) * np.log(near[0] + np.float32(1e-6))
        out[i, 1] = log_sum / N_NEIGHBOURS
        if labels[i] >= 0:
            out[i, 2] = agreement / N_NEIGHBOURS
        out[i, 3] = margins[i] - margin / N_NEIGHBOURS
        out[i, 4] = entropies[i] - entropy / N_NEIGHBOURS
        if labels[i] >= 0:
            out[i, 5] = out[i, 1] + NO_SAME_LABEL
            if same < BEYOND:
                same_square[0] = same
                out[i, 5] = 0.5 * np.log(same_square.view(np.float32)[0] + np.float32(1e-6))
            out[i, 6] = out[i, 5] - out[i, 0]


def compare_with_bank(
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
    sketches : ndarray of float32, shape (n, SKETCH_LENGTH)
    accounts, hashes, labels : ndarray of int64, shape (n,)
    margins, entropies : ndarray of float32, shape (n,)
    space : ModelSpace

    Returns
    -------
    ndarray of float32, shape (n, 7)
        In the order of `COLUMNS`; NaN where the bank has fewer than eight rows of other accounts.
    """
    out = np.full((len(sketches), len(COLUMNS)), np.nan, dtype=np.float32)
    bank = np.ascontiguousarray(space.bank_sketches.T)
    assert len(bank) == SKETCH_LENGTH
    _search(sketches, accounts, hashes, labels, margins, entropies, bank, space.bank_accounts,
    space.bank_hashes,
            space.bank_labels, space.bank_margins, space.bank_entropies, out)  # fmt: skip
    return out
