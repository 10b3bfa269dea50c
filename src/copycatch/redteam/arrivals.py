"""When queries arrive: sessions by day and week, timers, nightly batches, one long burst.

Every function gives exactly `n_queries` sorted epoch milliseconds within [start_ms, end_ms).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from copycatch.redteam.inputs import FloatArray, IntArray, Rng
from copycatch.units import MS_PER_DAY, MS_PER_S

MS_PER_HOUR = 3_600_000
Arrivals = Callable[[int, int, int, Rng], IntArray]


def _within(times: FloatArray, start_ms: int, end_ms: int, rng: Rng) -> IntArray:
    """What runs past the end is done some other time in the window."""
    is_out = (times >= end_ms) | (times < start_ms)
    placed = np.where(is_out, rng.uniform(start_ms, end_ms, size=len(times)), times)
    return np.sort(placed.astype(np.int64))


def _hour_weights(start_ms: int, end_ms: int, rng: Rng) -> FloatArray:
    """How busy one client is in each hour of the window: its own time zone, weekends and nights."""
    hours = np.arange(start_ms // MS_PER_HOUR, -(-end_ms // MS_PER_HOUR))
    local = hours + round(rng.normal(0, 3))
    daily = np.clip(np.cos(2 * np.pi * (local % 24 - rng.uniform(12, 16)) / 24), 0, None) ** 1.5
    night_share, weekend_share = rng.uniform(0.0, 0.12), rng.choice([0.1, 0.4, 1.0])
    # The epoch's first day was a Thursday.
    is_weekend = ((local // 24) + 3) % 7 >= 5
    weights = (night_share + daily) * np.where(is_weekend, weekend_share, 1.0)
    busy = weights * rng.gamma(2.0, 0.5, size=len(hours)) + 1e-9
    return np.asarray(busy / busy.sum())


def rhythm(n_queries: int, start_ms: int, end_ms: int, rng: Rng) -> IntArray:
    """Sessions with bursts inside a daily and weekly rhythm: people and the services they use.

    Examples
    --------
    >>> times = rhythm(100, 0, 7 * MS_PER_DAY, np.random.default_rng(0))
    >>> len(times), bool((np.diff(times) >= 0).all()), bool(times[-1] < 7 * MS_PER_DAY)
    (100, True, True)
    """
    n_sessions = max(1, round(n_queries / rng.lognormal(1.6, 0.7)))
    weights = _hour_weights(start_ms, end_ms, rng)
    hours = rng.choice(len(weights), size=n_sessions, p=weights)
    first_hour_ms = start_ms - start_ms % MS_PER_HOUR
    starts = first_hour_ms + (hours + rng.random(n_sessions)) * MS_PER_HOUR
    sizes = rng.multinomial(n_queries, rng.dirichlet(np.full(n_sessions, 0.7)))
    gap_ms = rng.lognormal(np.log(8), 1.0) * MS_PER_S
    gaps = rng.gamma(0.6, gap_ms / 0.6, size=n_queries)
    session_ends = np.cumsum(sizes)
    elapsed = np.cumsum(gaps)
    before = np.concatenate([[0.0], elapsed])[session_ends - sizes]
    return _within(np.repeat(starts - before, sizes) + elapsed, start_ms, end_ms, rng)


def timer(n_queries: int, start_ms: int, end_ms: int, rng: Rng) -> IntArray:
    """A cron job: equal steps with a second's jitter."""
    steps = np.linspace(start_ms, end_ms, n_queries, endpoint=False)
    return _within(steps + rng.uniform(0, MS_PER_S, size=n_queries), start_ms, end_ms, rng)


def poisson(n_queries: int, start_ms: int, end_ms: int, rng: Rng) -> IntArray:
    """Day and night at one mean rate."""
    return np.sort(rng.uniform(start_ms, end_ms, size=n_queries).astype(np.int64))


def burst(n_queries: int, start_ms: int, end_ms: int, rng: Rng) -> IntArray:
    """One spell of work, a few queries per second, at a random hour of the window."""
    gaps = rng.gamma(0.7, 1.0, size=n_queries)
    length_ms = min(n_queries / rng.uniform(0.5, 6.0) * MS_PER_S, 0.9 * (end_ms - start_ms))
    begin = rng.uniform(start_ms, end_ms - length_ms)
    elapsed = np.cumsum(gaps)
    return _within(begin + elapsed / elapsed[-1] * length_ms * 0.999, start_ms, end_ms, rng)


def nightly(n_queries: int, start_ms: int, end_ms: int, rng: Rng) -> IntArray:
    """A batch every night, about as large each time."""
    n_nights = max(1, round((end_ms - start_ms) / MS_PER_DAY))
    sizes = rng.multinomial(n_queries, rng.dirichlet(np.full(n_nights, 20.0)))
    hour = rng.uniform(0, 5)
    parts = []
    for night, size in enumerate(sizes):
        begin = start_ms + night * MS_PER_DAY + (hour + rng.normal(0, 0.05)) * MS_PER_HOUR
        parts.append(begin + np.cumsum(rng.gamma(1.0, rng.uniform(2, 20) * MS_PER_S, size=size)))
    return _within(np.concatenate(parts), start_ms, end_ms, rng)


ARRIVALS: dict[str, Arrivals] = {
    "rhythm": rhythm,
    "timer": timer,
    "poisson": poisson,
    "burst": burst,
    "nightly": nightly,
}
