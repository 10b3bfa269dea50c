"""What scores promise beside what they gave: how many account-days came under each chance."""

from typing import Any

import numpy as np

from copycatch.records.columns import Evaluations, FloatArray, Scores
from copycatch.units import MS_PER_DAY

ACCOUNT_DAYS_MAX = 100_000  # some 15 MB; the oldest make room
CHANCES: FloatArray = np.logspace(-5, 0, 41)

AccountDay = tuple[str | None, str, str, int]
"""Tenant, account, model, day."""


class AccountDayTails:
    """The least chance of each account and day that was evaluated, 1 where it had no score.

    Examples
    --------
    >>> AccountDayTails().curve(set())["account_days"]
    0
    """

    def __init__(self) -> None:
        self._least: dict[AccountDay, float] = {}

    def take(self, evaluations: Evaluations, scores: Scores) -> None:
        """Add evaluations and their scores, along each other."""
        days = (evaluations.event_times_ms // MS_PER_DAY).tolist()
        tails = np.nan_to_num(scores.tail_probs, nan=2.0).tolist()
        for key, tail in zip(
            zip(evaluations.tenant_ids, evaluations.account_ids, evaluations.model_ids, days, strict=True),
            tails,
            strict=True,
        ):
            known = self._least.get(key)
            if known is None or tail < known:
                self._least[key] = tail
        if len(self._least) > ACCOUNT_DAYS_MAX:
            for key in list(self._least)[: len(self._least) - ACCOUNT_DAYS_MAX * 9 // 10]:
                del self._least[key]

    def copy(self) -> "AccountDayTails":
        """One that does not change while this takes more."""
        other = AccountDayTails()
        other._least = self._least.copy()
        return other

    def n_accounts(self, model_id: str) -> int:
        """Accounts that were evaluated on the model."""
        return len({key[:2] for key in self._least if key[2] == model_id})

    def curve(self, alerted: set[str]) -> dict[str, Any]:
        """Account-days that came under each of `CHANCES`, as shares: of all, and of those not alerted on.

        Parameters
        ----------
        alerted : set of str
            Accounts that alerts name.
        """
        scored = {key: tail for key, tail in self._least.items() if tail <= 1}
        all_tails = np.sort(np.array(list(scored.values())))
        quiet = np.sort(np.array([tail for key, tail in scored.items() if key[1] not in alerted]))
        return {
            "account_days": len(self._least),
            "scored": len(scored),
            "chances": [float(f"{chance:.3g}") for chance in CHANCES],
            "all": _shares(all_tails),
            "not_alerted": _shares(quiet),
        }


def _shares(tails: FloatArray) -> list[float]:
    if not len(tails):
        return []
    found = np.searchsorted(tails, CHANCES, side="right") / len(tails)
    return [round(float(share), 6) for share in found]
