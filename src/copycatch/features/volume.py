"""How much an account asks, at several horizons."""

import numpy as np

from copycatch.compiled import njit
from copycatch.layout.row import LONG_PANES, SHORT_PANES, SPANS
from copycatch.layout.view import WindowView
from copycatch.records.columns import FloatArray


@njit(cache=True)
def _totals(sums, start, n_panes, totals):  # type: ignore[no-untyped-def]
    for i in range(len(sums)):
        for pane in range(n_panes):
            totals[i] += sums[i, start + pane]


def _pane_totals(view: WindowView, span: str) -> FloatArray:
    """Sums over all panes of a window, shape (n,).

    An evaluation follows a record of its account, and that record has cleared every pane that had passed:
    what the ring holds is the window.
    """
    totals = np.zeros(len(view))
    _totals(view.sums, SPANS[span].start, SPANS[span].length, totals)
    return totals


def short_rates(view: WindowView) -> FloatArray:
    """Queries per second over the short window, or since the first query where that is later, shape (n,)."""
    queries = _pane_totals(view, "short_panes")
    rates: FloatArray = queries / _observed_s(view, SHORT_PANES * view.short_pane_s, view.short_pane_s)
    return rates


def long_rates(view: WindowView) -> FloatArray:
    """Queries per second over the long window, or since the first query where that is later, shape (n,)."""
    queries = _pane_totals(view, "long_panes")
    rates: FloatArray = queries / _observed_s(view, LONG_PANES * view.long_pane_s, view.long_pane_s)
    return rates


def _observed_s(view: WindowView, window_s: float, pane_s: float) -> FloatArray:
    age_s = (view.times_ms - view.first_ms) / 1000.0
    return np.clip(age_s, pane_s, window_s)


def total_queries(view: WindowView) -> FloatArray:
    """Log of 1 + the queries within the memory of the windows, shape (n,): older ones fade."""
    totals: FloatArray = np.log1p(np.maximum(view.span("hours").sum(axis=1), 0))
    return totals


def token_rates(view: WindowView) -> FloatArray:
    """Tokens per second over the long window; NaN where the log gives no token counts, shape (n,)."""
    tokens = _pane_totals(view, "long_tokens")
    rates = tokens / _observed_s(view, LONG_PANES * view.long_pane_s, view.long_pane_s)
    is_known = view.tally("input_tokens") + view.tally("output_tokens") > 0
    return np.where(is_known, rates, np.nan)


def ramps(view: WindowView) -> FloatArray:
    """Log2 of the short-window rate over the long-window rate, shape (n,): above 0 where use grows."""
    ratio = np.maximum(short_rates(view), 1e-6) / np.maximum(long_rates(view), 1e-6)
    return np.log2(ratio)


def charged_shares(tally: str, view: WindowView) -> FloatArray:
    """Share of an account's records with this tally of what was not judged or not as a whole, shape (n,)."""
    own = view.tally(tally)
    n = sum((view.tally(name) for name in ("answered", "refused", "rejected", "late")), np.zeros(len(view)))
    return own / np.maximum(n + (own if tally == "repeated" else 0), 1)


def refused_shares(view: WindowView) -> FloatArray:
    """Share of queries answered 401, 403, 429 or with a server error, shape (n,)."""
    return view.tally("refused") / np.maximum(view.tally("refused") + view.tally("answered"), 1)
