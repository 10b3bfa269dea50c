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
NO_SAME_LABEL = 1.0  # log distance beyond the neighbours where the bank has no row of the label


@njit(cache=True)
def _search(  # type: ignore[no-untyped-def]  # noqa: PLR0912 - one pass over the bank
    sketches, accounts, hashes, labels, margins, entropies, bank, bank_accounts, bank_hashes, bank_labels,
    bank_margins, bank_entropies, out,
):  # fmt: skip
    n, m = len(sketches), bank.shape[1]
    squares = np.empty(m, dtype=np.float32)
    for i in range(n):
        x = sketches[i]
        for j in range(m):  # the inner loop is unrolled, so that this one becomes vector code along the bank
            total = np.float32(0)
            for k in range(SKETCH_LENGTH):
                step = x[k] - bank[k, j]
                total += step * step
            squares[j] = total
        nearest = np.full(N_NEIGHBOURS, np.float32(1e30), dtype=np.float32)
        at = np.full(N_NEIGHBOURS, -1)
        same = np.float32(1e30)
        for j in range(m):
            square = squares[j]
            if square >= nearest[N_NEIGHBOURS - 1] and (bank_labels[j] != labels[i] or square >= same):
                continue
            if bank_accounts[j] == accounts[i] or (bank_hashes[j] == hashes[i] and hashes[i] != 0):
                continue
            if bank_labels[j] == labels[i] and square < same:
                same = square
            if square < nearest[N_NEIGHBOURS - 1]:
                p = N_NEIGHBOURS - 1
                while p > 0 and nearest[p - 1] > square:
                    nearest[p] = nearest[p - 1]
                    at[p] = at[p - 1]
                    p -= 1
                nearest[p] = square
                at[p] = j
        if at[N_NEIGHBOURS - 1] < 0:
            continue
        log_sum = agreement = margin = entropy = np.float32(0)
        for p in range(N_NEIGHBOURS):
            log_sum += np.float32(0.5) * np.log(nearest[p] + np.float32(1e-6))
            agreement += bank_labels[at[p]] == labels[i]
            margin += bank_margins[at[p]]
            entropy += bank_entropies[at[p]]
        out[i, 0] = np.float32(0.5) * np.log(nearest[0] + np.float32(1e-6))
        out[i, 1] = log_sum / N_NEIGHBOURS
        if labels[i] >= 0:
            out[i, 2] = agreement / N_NEIGHBOURS
        out[i, 3] = margins[i] - margin / N_NEIGHBOURS
        out[i, 4] = entropies[i] - entropy / N_NEIGHBOURS
        if labels[i] >= 0:
            out[i, 5] = out[i, 1] + NO_SAME_LABEL
            if same < 1e29:
                out[i, 5] = 0.5 * np.log(same + np.float32(1e-6))
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
