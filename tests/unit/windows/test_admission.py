"""Lateness and repeats, within stated bounds."""

import numpy as np

from copycatch.windows import admission
from copycatch.windows.admission import Shard


def test_a_repeat_beyond_the_horizon_counts_again(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(admission, "HORIZON_RECORDS", 10)
    shard = Shard()
    ids = [f"id-{index}" for index in range(100)]
    assert not shard.is_duplicate(ids).any()
    assert shard.is_duplicate(ids[-10:]).all(), "the last horizon is remembered"
    assert not shard.is_duplicate(ids[:10]).any(), "twice the horizon ago is forgotten"
    assert len(shard.ids_newer) + len(shard.ids_older) <= 20


def test_watermark_is_the_same_however_cut() -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.integers(-400, 500, 300))
    whole, _ = Shard().is_late(times, 1000)
    shard = Shard()
    parts = [shard.is_late(part, 1000)[0] for part in np.array_split(times, [1, 7, 100, 101])]
    assert (np.concatenate(parts) == whole).all()
    assert whole.any()
    latest = -(10**15)
    for time, late in zip(times.tolist(), whole.tolist(), strict=True):
        latest = max(latest, time)
        assert late == (time < latest - 1000)
