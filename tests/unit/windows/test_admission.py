"""Lateness and repeats, within stated bounds."""

import numpy as np

from copycatch.records.columns import BoolArray
from copycatch.windows import seen
from copycatch.windows.admission import Shard
from copycatch.windows.seen import SeenRecords


def test_a_repeat_beyond_the_horizon_counts_again(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(seen, "HORIZON_RECORDS", 10)
    records = SeenRecords()

    def mark(first: int, stop: int) -> BoolArray:
        ids = [f"id-{index}" for index in range(first, stop)]
        return records.mark(np.full(len(ids), 7), ["a"] * len(ids), ids, np.zeros(len(ids), dtype=np.uint64))

    assert not mark(0, 100).any()
    assert mark(90, 100).all(), "the last horizon is remembered"
    assert not mark(0, 10).any(), "twice the horizon ago is forgotten"
    assert (records.newer != 0).sum() + (records.older != 0).sum() <= 20


def test_a_repeat_has_time_account_id_and_input_in_common() -> None:
    """Compared with a plain set, over texts that run into each other when they are put end to end."""
    rng, records = np.random.default_rng(2), SeenRecords()
    texts = ["", "a", "aa", "aaaaaaaa", "aaaaaaaaa", "b\u00e4", "\U0001f600", "\ud800", "a/a", "/a"]
    plain: set[tuple[int, str, str, int]] = set()
    repeats = 0
    for _ in range(60):
        drawn = [
            (int(rng.integers(3)), texts[rng.integers(10)], texts[rng.integers(10)], int(rng.integers(2)))
            for _ in range(9)
        ]
        is_known = records.mark(
            np.array([d[0] for d in drawn]),
            [d[1] for d in drawn],
            [d[2] for d in drawn],
            np.array([d[3] for d in drawn], dtype=np.uint64),
        )
        for each, known in zip(drawn, is_known.tolist(), strict=True):
            assert known == (each in plain)
            plain.add(each)
            repeats += known
    assert 0 < repeats < 540


def test_who_does_not_know_the_key_cannot_tell_what_collides() -> None:
    hashes = []
    for _ in range(2):
        records = SeenRecords()
        records.mark(np.array([1]), ["a"], ["b"], np.zeros(1, dtype=np.uint64))
        hashes.append(int(records.newer.max()))
    assert hashes[0] != hashes[1]


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
