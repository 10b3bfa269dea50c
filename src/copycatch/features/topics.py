"""How an account's queries spread over the model's space, and how far they lie from usual traffic."""

import numpy as np

from copycatch.compiled import njit
from copycatch.layout.row import CO_DIMS, SPANS, TALLY
from copycatch.layout.view import WindowView
from copycatch.records.columns import Float32Array, FloatArray
from copycatch.space.model import CELLS

NOVEL_MIN = 8
SHARE_MIN = 1e-12


@njit(cache=True)
def _entropies(counts, out):  # type: ignore[no-untyped-def]
    for i in range(counts.shape[0]):
        total, entropy, n_filled = 0.0, 0.0, 0
        for k in range(counts.shape[1]):
            total += counts[i, k]
        total = max(total, 1.0)
        for k in range(counts.shape[1]):
            share = counts[i, k] / total
            if share > 0:
                entropy -= share * np.log(max(share, SHARE_MIN))
                n_filled += 1
        out[i] = entropy + (n_filled - 1) / (2 * total)


def _bins_entropy(counts: Float32Array) -> FloatArray:
    """Shannon entropy in nats with Miller-Madow correction [1]_ of each row of counts.

    References
    ----------
    .. [1] Miller, Note on the bias of information estimates, 1955.
    """
    corrected = np.empty(len(counts))
    _entropies(counts, corrected)
    return corrected


def topic_counts(view: WindowView) -> FloatArray:
    """Effective number of topic cells, exp(H), shape (n,), 1 to 32: a sweep is wide, a tunnel narrow."""
    counts = view.sums[:, SPANS["cells"].columns]
    value = np.minimum(np.exp(_bins_entropy(counts)), CELLS)
    return np.where(counts.sum(axis=1) >= NOVEL_MIN, value, np.nan)


@njit(cache=True)
def _covariances(sums, novel_at, means_at, products_at, trace, diagonal, off):  # type: ignore[no-untyped-def]
    for i in range(len(sums)):
        n = max(np.float64(sums[i, novel_at]), 1.0)
        at = products_at
        for a in range(CO_DIMS):
            mean = np.float64(sums[i, means_at + a]) / n
            for b in range(a, CO_DIMS):
                value = np.float64(sums[i, at]) / n - mean * (np.float64(sums[i, means_at + b]) / n)
                at += 1
                if a == b:
                    trace[i] += value
                    diagonal[i] += value * value
                else:
                    off[i] += 2 * value * value


def covariances(view: WindowView) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Trace of the covariance of each account's novel queries; sums of squares on and off its diagonal."""
    trace, diagonal, off = (np.zeros(len(view)) for _ in range(3))
    _covariances(view.sums, TALLY["novel"], SPANS["co_means"].start, SPANS["co_products"].start, trace,
                 diagonal, off)  # fmt: skip
    return trace, diagonal, off


def spreads(view: WindowView) -> FloatArray:
    """Log total variance of the account's novel queries in the model's space, shape (n,)."""
    trace, _, _ = covariances(view)
    return np.where(view.tally("novel") >= NOVEL_MIN, np.log(np.maximum(trace, 0) + 1e-6), np.nan)


def effective_dimensions(view: WindowView) -> FloatArray:
    """(trace C)^2 / |C|^2 of the account's covariance, sampling noise taken off, shape (n,), 1 to 12."""
    n = view.tally("novel")
    trace, diagonal, off = covariances(view)
    noise = (trace**2 - diagonal) / np.maximum(n, 1)
    value = trace**2 / np.maximum(diagonal + np.maximum(off - noise, 1e-3 * trace**2), 1e-12)
    return np.where(n >= NOVEL_MIN, np.clip(value, 1, CO_DIMS), np.nan)


def mmd_squared(view: WindowView) -> FloatArray:
    """Unbiased squared maximum mean discrepancy to the model's usual traffic [1]_, shape (n,).

    With phi the random Fourier features of a query, S their sum over n queries and mu the reference's mean:
    (|S|^2 - n) / (n (n - 1)) - 2 (S / n) . mu + |mu|^2, where |phi|^2 is 1 in the mean.

    References
    ----------
    .. [1] Gretton et al., A Kernel Two-Sample Test, JMLR 2012; random features: Rahimi and Recht, 2007.
    """
    n = view.tally("novel")
    total = view.span("fourier")
    mu = view.fourier_means
    own = ((total**2).sum(axis=1) - n) / np.maximum(n * (n - 1), 1)
    value = own - 2 * (total / np.maximum(n, 1)[:, None] * mu).sum(axis=1) + (mu**2).sum(axis=1)
    return np.where(n >= NOVEL_MIN, value, np.nan)


def label_divergences(view: WindowView) -> FloatArray:
    """Jensen-Shannon divergence of the account's labels to the model's usual ones, nats, shape (n,)."""
    counts = view.sums[:, SPANS["labels"].columns]
    value = np.empty(len(view))
    _divergences(counts, view.label_shares, value)
    return value


def label_balances(view: WindowView) -> FloatArray:
    """Entropy of the account's labels in nats, Miller-Madow corrected, shape (n,): high where rebalanced."""
    counts = view.sums[:, SPANS["labels"].columns]
    return np.where(counts.sum(axis=1) >= NOVEL_MIN, _bins_entropy(counts), np.nan)


@njit(cache=True)
def _divergences(counts, usual, out):  # type: ignore[no-untyped-def]
    for i in range(counts.shape[0]):
        total, known = 0.0, 0.0
        for k in range(counts.shape[1]):
            total += counts[i, k]
            known += usual[i, k]
        out[i] = np.nan
        if total < NOVEL_MIN or np.isnan(known):
            continue
        out[i] = 0.0
        for k in range(counts.shape[1]):
            p, q = counts[i, k] / total, usual[i, k]
            middle = max((p + q) / 2, SHARE_MIN)
            if p > 0:
                out[i] += p * np.log(max(p, SHARE_MIN) / middle) / 2
            if q > 0:
                out[i] += q * np.log(max(q, SHARE_MIN) / middle) / 2
