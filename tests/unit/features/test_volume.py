"""Sums over the panes of a window, and that the run with checked indices really checks."""

import os

import numpy as np
import pytest

from copycatch.features.volume import _totals


def test_panes_of_one_window_are_summed_account_by_account() -> None:
    sums = np.arange(12.0).reshape(2, 6)
    totals = np.zeros(2)
    _totals(sums, 1, 3, totals)
    np.testing.assert_array_equal(totals, sums[:, 1:4].sum(axis=1))


@pytest.mark.skipif("NUMBA_BOUNDSCHECK" not in os.environ, reason="`make test-bounds` checks indices")
def test_an_index_beyond_an_array_is_an_error_where_indices_are_checked() -> None:
    with pytest.raises(IndexError):
        _totals(np.zeros((2, 6)), 4, 3, np.zeros(2))
