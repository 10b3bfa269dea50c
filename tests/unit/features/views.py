"""Views of accounts whose sums a test sets by name."""

import numpy as np
from numpy.typing import ArrayLike

from copycatch.layout.row import LABEL_BINS, SPANS, TALLY, WIDTH
from copycatch.layout.view import WindowView
from copycatch.records.columns import FloatArray
from copycatch.space.model import FOURIER
from copycatch.usage.measures import MEASURES

DAY_MS = 24 * 3_600_000


def view_of(
    n: int, *, age_ms: int = DAY_MS, usual: dict[str, FloatArray] | None = None, **sums: ArrayLike
) -> WindowView:
    """`n` accounts; `sums` are tallies (n,) or spans (n, length) by name, all others 0."""
    rows = np.zeros((n, WIDTH), dtype=np.float32)
    for name, values in sums.items():
        rows[:, SPANS[name].columns if name in SPANS else TALLY[name]] = np.asarray(values)
    usual = usual or {}
    return WindowView(
        sums=rows,
        queries=np.full(n, 100, dtype=np.int64),
        first_ms=np.zeros(n, dtype=np.int64),
        times_ms=np.full(n, age_ms, dtype=np.int64),
        fourier_means=usual.get("fourier", np.zeros((n, FOURIER))),
        label_shares=usual.get("labels", np.full((n, LABEL_BINS), 1 / LABEL_BINS)),
        short_pane_s=3600.0,
        long_pane_s=6 * 3600.0,
        moments=np.zeros((n, 3)),
        usage=np.full((n, len(MEASURES)), np.nan),
    )
