"""Versions in parts: a reader makes the next one of what has changed, and of nothing else."""

import numpy as np
import pytest

from copycatch.engine.learned import Learned
from copycatch.engine.version_parts import BLOCK, COUNTS, HEAD, REFERENCE, VersionReader, version_parts
from copycatch.errors import StateError
from copycatch.features.catalog import NAMES
from copycatch.population.reference import ACCOUNTS_MAX, Reference

N_EFFECTIVE = 15


def learned_of(n_accounts: int) -> Learned:
    learned = Learned(version=1)
    population = learned.population("m", 0)
    assert population is not None
    for account in range(1, n_accounts + 1):
        population.reference.learn(account, N_EFFECTIVE, np.full(len(NAMES), float(account)))
    return learned


def reference_of(learned: Learned) -> Reference:
    return learned.populations["m"].reference


def assert_same(found: Reference, wanted: Reference) -> None:
    np.testing.assert_array_equal(found.accounts, wanted.accounts)
    np.testing.assert_array_equal(found.values, wanted.values)
    assert found.index_by_account == wanted.index_by_account


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_one_account_more_changes_one_block() -> None:
    learned, reader = learned_of(3 * BLOCK), VersionReader()
    before = version_parts(learned)
    assert_same(reference_of(reader.read(before)), reference_of(learned))
    reference_of(learned).learn(BLOCK + 2, N_EFFECTIVE, np.zeros(len(NAMES)))
    learned.version = 2
    after = version_parts(learned)
    assert changed(before, after) == {HEAD, f"{REFERENCE}2.1/m"}
    assert_same(reference_of(reader.read(after)), reference_of(learned))


def test_a_block_that_empties_is_gone_for_readers_too() -> None:
    learned, reader = learned_of(BLOCK + 1), VersionReader()
    before = version_parts(learned)
    reader.read(before)
    reference_of(learned).forget(BLOCK + 1)
    after = version_parts(learned)
    assert changed(before, after) == {f"{REFERENCE}2.1/m"}
    found = reference_of(reader.read(after))
    assert not found.knows(BLOCK + 1)
    assert_same(found, reference_of(learned))


def test_an_account_that_goes_and_comes_back_elsewhere_is_where_it_came() -> None:
    learned, reader = learned_of(ACCOUNTS_MAX), VersionReader()
    reader.read(version_parts(learned))
    for account in (*range(10_000, 10_000 + BLOCK + 1), 1):  # takes the first rows, then gets the next
        reference_of(learned).learn(account, N_EFFECTIVE, np.full(len(NAMES), 0.5))
    found = reference_of(reader.read(version_parts(learned)))
    assert found.index_by_account[2][1] == BLOCK + 1
    assert_same(found, reference_of(learned))


def test_what_changes_on_most_ticks_is_small() -> None:
    learned = learned_of(BLOCK)
    before = version_parts(learned)
    learned.populations["m"].answered_ms += 300_000
    after = version_parts(learned)
    assert changed(before, after) == {f"{COUNTS}/m"}
    assert len(after[f"{COUNTS}/m"]) < 1_000
    reader = VersionReader()
    population = reader.read(before).populations["m"]
    again = reader.read(after).populations["m"]
    assert again is population, "nothing else was made anew"
    assert again.answered_ms == learned.populations["m"].answered_ms


@pytest.mark.parametrize(
    "name", [f"{REFERENCE}2.8/m", f"{REFERENCE}10.0/m", f"{REFERENCE}2.-1/m", f"{REFERENCE}x/m"]
)
def test_a_block_that_no_reference_has_is_refused_and_the_reader_goes_on(name: str) -> None:
    parts = version_parts(learned_of(2))
    reader = VersionReader()
    with pytest.raises(StateError, match="part"):
        reader.read(parts | {name: parts[f"{REFERENCE}2.0/m"]})
    assert reader.read(parts).version == 1
