"""Whose scores calibrate: flagged accounts only as far as they are false alarms."""

import numpy as np

from copycatch.engine.learning import FALSE_ALARM_SHARE, _without_flagged


def test_as_many_flagged_accounts_calibrate_as_are_false_alarms() -> None:
    maxima = np.concatenate([np.linspace(0, 1, 300), [5.0, 6.0, 7.0, 8.0, 9.0, -np.inf]])
    is_flagged = np.arange(306) >= 300
    kept = _without_flagged(maxima, is_flagged)
    n_false = int(np.ceil(FALSE_ALARM_SHARE * 306))
    assert (~is_flagged[kept]).sum() == 300
    assert sorted(maxima[kept[is_flagged[kept]]].tolist()) == sorted(maxima[:305])[-n_false:]
