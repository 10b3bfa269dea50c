"""The layout of a row follows from the table of signals, whatever its order."""

import numpy as np
import pytest

from copycatch.layout import row
from copycatch.layout.signals import (
    IS_DISTINCT,
    OWN_INDEX,
    OWN_NAMES,
    OWN_SIGNALS,
    SIGNAL_INDEX,
    SIGNALS,
    SUM_INDEX,
    SignalSpec,
    _ordered,
)


@pytest.mark.parametrize("seed", range(5))
def test_rows_may_stand_anywhere_in_the_table(seed: int) -> None:
    table = [
        *SIGNALS,
        SignalSpec("new", "novel", "spread", "x"),
        SignalSpec("late", "novel", "lifetime", "y"),
    ]
    shuffled = [table[index] for index in np.random.default_rng(seed).permutation(len(table))]
    kinds = [spec.sums for spec in _ordered(tuple(shuffled))]
    n_squared, n_lifetime = kinds.count("spread"), kinds.count("lifetime")
    assert kinds[:n_squared] == ["spread"] * n_squared
    assert kinds[len(kinds) - n_lifetime :] == ["lifetime"] * n_lifetime
    assert sorted(_ordered(tuple(shuffled))) == sorted(table)


def test_counts_and_indices_are_those_of_the_table() -> None:
    assert row.N_SIGNALS == len(SIGNALS) == len(IS_DISTINCT)
    assert [spec.sums == "spread" for spec in SIGNALS] == [k < row.N_SQUARED for k in range(row.N_SIGNALS)]
    assert [spec.sums != "lifetime" for spec in SIGNALS] == [k < row.N_RECENT for k in range(row.N_SIGNALS)]
    assert row.SPANS["signals"].length == row.SUM_FIELDS * (len(SIGNALS) + len(OWN_SIGNALS))
    assert list(SUM_INDEX) == [*SIGNAL_INDEX, *OWN_NAMES]
    assert list(SUM_INDEX.values()) == list(range(row.N_SUMMED))
    assert list(OWN_INDEX.values()) == list(range(row.N_OWN))


def test_spans_lie_end_to_end() -> None:
    stops = [0, *(span.stop for span in row.SPANS.values())]
    assert [span.start for span in row.SPANS.values()] == stops[:-1]
    assert stops[-1] == row.WIDTH
