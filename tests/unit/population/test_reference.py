"""Quantiles of a reference equal those of numpy, without the account itself."""

import numpy as np
import pytest

from copycatch.population.reference import ACCOUNTS_MIN, Reference
from copycatch.records.columns import Baseline


@pytest.mark.parametrize("seed", range(5))
def test_reference_leaves_the_account_itself_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = Reference(n_features=3)
    rows = rng.normal(size=(40, 3)).round(1)  # ties
    rows[rng.random(rows.shape) < 0.2] = np.nan
    for account, row in enumerate(rows, start=1):
        reference.learn(account, 25, row)
    values = rng.normal(size=(6, 3)).round(1)
    accounts = np.array([1, 2, 3, 17, 40, 999])
    normal = reference.compare(values, np.full(6, 25), accounts)
    for i, account in enumerate(accounts.tolist()):
        others = np.delete(rows, account - 1, axis=0) if account <= 40 else rows
        for f in range(3):
            column = others[~np.isnan(others[:, f]), f]
            assert len(column) >= ACCOUNTS_MIN
            q = np.quantile(column, [0.05, 0.5, 0.8, 0.9, 0.95])
            assert normal.lows[i, f] == pytest.approx(q[0])
            assert normal.medians[i, f] == pytest.approx(q[1])
            assert normal.ups[i, f] == pytest.approx(max((q[2] - q[1]) / 0.8416, (q[3] - q[1]) / 1.2816))
            assert normal.highs[i, f] == pytest.approx(q[4])
            assert normal.aboves[i, f] == pytest.approx((column >= values[i, f]).mean())
            assert normal.belows[i, f] == pytest.approx((column <= values[i, f]).mean())
    columns, places = np.array([2, 0]), np.array([7, 1, 2, 3, 4, 5])
    middle = Baseline.unknown(8, 2)
    reference.put_baselines(middle, places, columns, np.full(6, 25), accounts)
    for name in ("medians", "ups", "downs"):
        np.testing.assert_allclose(getattr(middle, name)[places], getattr(normal, name)[:, columns])
        assert np.isnan(getattr(middle, name)[[0, 6]]).all()
