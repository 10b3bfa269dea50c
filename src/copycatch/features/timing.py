"""When an account asks."""

import numpy as np

from copycatch.layout.view import WindowView
from copycatch.records.columns import FloatArray

GAPS_MIN = 10


def burstiness(view: WindowView) -> FloatArray:
    """(sd - mean) / (sd + mean) of the gaps between queries [1]_, shape (n,), in [-1, 1].

    -1 for a client on a timer, 0 for a Poisson process, towards 1 for bursts. NaN below ten gaps.

    References
    ----------
    .. [1] Goh and Barabasi, Burstiness and memory in complex systems, EPL 2008.
    """
    gaps = view.tally("gaps")
    mean = view.tally("gap_s") / np.maximum(gaps, 1)
    deviation = np.sqrt(np.maximum(view.tally("gap_s_squared") / np.maximum(gaps, 1) - mean**2, 0))
    value = (deviation - mean) / np.maximum(deviation + mean, 1e-9)
    return np.where(gaps >= GAPS_MIN, value, np.nan)


def hour_entropies(view: WindowView) -> FloatArray:
    """Entropy of the hour of day over log 24, shape (n,): 1 for round the clock. NaN below a day of age."""
    hours = view.span("hours")
    totals = hours.sum(axis=1, keepdims=True)
    shares = hours / np.maximum(totals, 1)
    entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1) / np.log(24)
    age_ms = view.times_ms - view.first_ms
    return np.where(age_ms >= 24 * 3_600_000, entropy, np.nan)


def active_shares(view: WindowView) -> FloatArray:
    """Share of panes since the first query in which the account asked, shape (n,), in [0, 1]."""
    panes = (view.times_ms - view.first_ms) / (1000 * view.short_pane_s) + 1
    return np.minimum(view.tally("active_panes") / panes, 1)
