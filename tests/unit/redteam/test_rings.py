"""Rings drawn by the red team are found; accounts that merely share something are not."""

import functools

import numpy as np
import pytest

from copycatch.campaigns.words import describe
from copycatch.redteam.rings import RINGS, SHARINGS, Seen, Town, nightly_job, ring_seen, search_town

CROWD = 40


def town_of(seed: int) -> Town:
    town = Town(seed)
    town.crowd(CROWD)
    return town


@pytest.mark.parametrize("name", SHARINGS)
def test_innocent_sharing_is_no_campaign(name: str) -> None:
    town = town_of(1)
    accounts = SHARINGS[name](town)
    seen = search_town(town)
    assert len(accounts) >= 5
    assert seen.named_ms == {}


@pytest.mark.parametrize("name", ["ring5", "ring10", "ring10_scattered", "ring60_thin", "ring10_relay"])
def test_a_ring_is_found_and_nobody_else(name: str) -> None:
    town = town_of(2)
    ring = town.ring(RINGS[name])
    seen = search_town(town)
    is_found, named, kept = ring_seen(seen, town.events(), ring)
    assert is_found
    assert named >= 0.8
    assert kept <= 0.7
    assert set(seen.named_ms) <= set(ring)


@functools.cache
def after_a_block() -> tuple[list[int], Seen]:
    town = town_of(3)
    ring = town.ring(RINGS["ring20_moving_on"])
    return ring, search_town(town)


def test_fresh_accounts_after_a_block_join_the_campaign() -> None:
    ring, seen = after_a_block()
    size = RINGS["ring20_moving_on"].size
    fresh = [account for account in ring[size:] if account in seen.named_ms]
    assert len(fresh) >= 0.8 * (len(ring) - size)
    assert len(seen.state.campaigns) == 1
    first_ms = seen.state.columns.first_ms[fresh]
    waits_h = (np.array([seen.named_ms[account] for account in fresh]) - first_ms) / 3_600_000
    assert np.median(waits_h) < 24


def test_a_companys_own_nightly_job_is_reported_with_how_to_allow_it() -> None:
    town = town_of(4)
    keys = nightly_job(town)
    seen = search_town(town)
    assert set(seen.named_ms) == set(keys)
    words = describe(next(each for each in seen.findings if each.change == "found"))
    assert "allow its accounts" in words
    assert "with an end" in words


def test_a_town_is_the_same_for_a_seed() -> None:
    one, other = town_of(5).events(), town_of(5).events()
    assert one.times_ms.tobytes() == other.times_ms.tobytes()
    assert one.vectors.tobytes() == other.vectors.tobytes()
