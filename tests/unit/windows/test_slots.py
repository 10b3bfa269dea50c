"""Rows are bounded; a flood of newcomers pushes nobody out who matters."""

import numpy as np
from tests.support.streams import row_by_key

from copycatch.windows.slots import Slots, rows_to_evict


def keys(prefix: str, n: int) -> list[tuple[str | None, str, str]]:
    return [(None, f"{prefix}{index}", "m") for index in range(n)]


def test_flood_of_new_accounts_evicts_itself() -> None:
    slots = Slots(accounts_max=1000)
    slots.rows_for(keys("old", 900), 0)
    last_seen = np.zeros(1000, dtype=np.int64)
    queries = np.ones(1000, dtype=np.int64)
    is_suspect = np.zeros(1000, dtype=bool)
    queries[:900] = 200
    is_suspect[:5] = True
    last_seen[5:900] = 10
    for wave in range(20):
        rows = slots.rows_for(keys(f"flood{wave}-", 500), 0)
        assert (rows == -1).sum() >= 400, "no room within a segment, and counted"
        last_seen[rows[rows >= 0]] = 100 + wave
        evicted = rows_to_evict(slots, last_seen, queries, is_suspect)
        assert (evicted >= 900).all(), "only newcomers go"
        slots.release(evicted.tolist())
    known = {key[1] for key in row_by_key(slots)}
    assert {f"old{index}" for index in range(900)} <= known
    assert len(slots) <= 1000
    assert slots.refused > 0


def test_idle_go_before_active_and_suspects_last() -> None:
    slots = Slots(accounts_max=100)
    slots.rows_for(keys("a", 100), 0)
    last_seen = np.arange(100, dtype=np.int64)
    queries = np.full(100, 50, dtype=np.int64)
    is_suspect = np.zeros(100, dtype=bool)
    is_suspect[:4] = True
    evicted = rows_to_evict(slots, last_seen, queries, is_suspect)
    assert evicted.tolist() == list(range(4, 14)), "the longest idle without suspicion"


def test_rows_are_used_again() -> None:
    slots = Slots(accounts_max=10)
    first = slots.rows_for(keys("a", 3), 0)
    slots.release([int(first[1])])
    assert slots.rows_for([(None, "new", "m")], 0).tolist() == [int(first[1])]
    assert slots.n_rows == 3


def test_rows_are_those_of_a_plain_dictionary() -> None:
    rng, slots = np.random.default_rng(5), Slots(accounts_max=60)
    known: dict[tuple[str | None, str, str], int] = {}
    for turn in range(40):
        tenants = [None, "t"] if turn % 2 else [None]
        asked = [
            (tenants[rng.integers(len(tenants))], f"a{rng.integers(30)}", f"m{rng.integers(1 + turn % 3)}")
            for _ in range(20)
        ]
        rows = slots.rows_of([k[0] for k in asked], [k[1] for k in asked], [k[2] for k in asked], shard=turn)
        for key, row in zip(asked, rows.tolist(), strict=True):
            assert known.setdefault(key, row) == row or row == -1
            if row == -1:
                del known[key]
            else:
                assert slots.key_of(row) == key
        assert row_by_key(slots) == known
        assert len(slots) == len(known) == len(set(known.values()))
        gone = [key for key in known if rng.random() < 0.2]
        slots.release([known.pop(key) for key in gone])
        assert sorted(slots.rows_of_model("m0").tolist()) == sorted(
            r for k, r in known.items() if k[2] == "m0"
        )
    assert slots.refused > 0
