"""How an account's queries spread over the model's space, and how far they lie from usual traffic."""

import numpy as np

from copycatch.records.columns import FloatArray
from copycatch.records.layout import CELLS, CO_DIMS
from copycatch.records.view import WindowView

NOVEL_MIN = 8


def _bins_entropy(counts: FloatArray) -> FloatArray:
    """Shannon entropy in nats with Miller-Madow correction [1]_ of each row of counts.

    References
    ----------
    .. [1] Miller, Note on the bias of information estimates, 1955.
    """
    totals = np.maximum(counts.sum(axis=1), 1)
    shares = counts / totals[:, None]
    plain = -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1)
    corrected: FloatArray = plain + ((counts > 0).sum(axis=1) - 1) / (2 * totals)
    return corrected


def topic_counts(view: WindowView) -> FloatArray:
    """Effective number of topic cells, exp(H), shape (n,), 1 to 32: a sweep is wide, a tunnel narrow."""
    counts = view.span("cells")
    value = np.minimum(np.exp(_bins_entropy(counts)), CELLS)
    return np.where(counts.sum(axis=1) >= NOVEL_MIN, value, np.nan)


def covariances(view: WindowView) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Novel queries (n,), mean sketch (n, CO_DIMS) and covariance (n, CO_DIMS, CO_DIMS) of each account."""
    n = view.tally("novel")
    means = view.span("co_means") / np.maximum(n, 1)[:, None]
    products = np.zeros((len(view), CO_DIMS, CO_DIMS))
    upper = np.triu_indices(CO_DIMS)
    products[:, upper[0], upper[1]] = view.span("co_products")
    products[:, upper[1], upper[0]] = products[:, upper[0], upper[1]]
    covariance = products / np.maximum(n, 1)[:, None, None] - means[:, :, None] * means[:, None, :]
    return n, means, covariance


def spreads(view: WindowView) -> FloatArray:
    """Log total variance of the account's novel queries in the model's space, shape (n,)."""
    n, _, covariance = covariances(view)
    return np.where(n >= NOVEL_MIN, np.log(np.maximum(np.einsum("nii->n", covariance), 0) + 1e-6), np.nan)


def effective_dimensions(view: WindowView) -> FloatArray:
    """(trace C)^2 / |C|^2 of the account's covariance, sampling noise taken off, shape (n,), 1 to 12."""
    n, _, covariance = covariances(view)
    trace = np.einsum("nii->n", covariance)
    diagonal = (np.einsum("nii->ni", covariance) ** 2).sum(axis=1)
    off = (covariance**2).sum(axis=(1, 2)) - diagonal
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
    counts = view.span("labels")
    totals = counts.sum(axis=1)
    p = counts / np.maximum(totals, 1)[:, None]
    q = view.label_shares
    m = (p + q) / 2
    value = _relative(p, m) / 2 + _relative(q, m) / 2
    return np.where((totals >= NOVEL_MIN) & ~np.isnan(q).any(axis=1), value, np.nan)


def label_balances(view: WindowView) -> FloatArray:
    """Entropy of the account's labels in nats, Miller-Madow corrected, shape (n,): high where rebalanced."""
    counts = view.span("labels")
    return np.where(counts.sum(axis=1) >= NOVEL_MIN, _bins_entropy(counts), np.nan)


def _relative(p: FloatArray, q: FloatArray) -> FloatArray:
    value: FloatArray = (p * np.log(np.maximum(p, 1e-12) / np.maximum(q, 1e-12))).sum(axis=1)
    return value
