"""Which vectors a model is judged by: what the answered queries of most accounts carry.

No single record decides. An account has one vote, the newest; only the accounts that voted last are counted,
so what a log carries from some day on wins within hours, and whoever wants the majority has to be most of
the accounts that are active at a time.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

HOUR_MS = 3_600_000
SEVERAL = 3  # accounts that it takes for a model to be born
VOTERS_MAX = 256
VOTE_MS = 24 * HOUR_MS  # so long a vote counts
RIVAL_MS = HOUR_MS  # so long a rival has to lead before a settled population starts afresh
CLEAR_SHARE = 2 / 3  # of the voters, against a settled population


class Shape(NamedTuple):
    """Numeric inputs or embeddings, and their length."""

    uses_inputs: bool
    length: int


@dataclass(slots=True)
class Votes:
    """The newest vote of each account, in order of time.

    Examples
    --------
    >>> votes = Votes()
    >>> for account in range(3):
    ...     votes.cast(account, Shape(uses_inputs=True, length=16), time_ms=5)
    >>> votes.leader(now_ms=10)
    (Shape(uses_inputs=True, length=16), 3, 3)
    """

    by_account: dict[int, tuple[Shape, int]] = field(default_factory=dict)
    rival: Shape | None = None
    rival_since_ms: int = 0

    def cast(self, account_hash: int, shape: Shape, time_ms: int) -> None:
        """Count an account's newest answered query; who voted longest ago gives way."""
        self.by_account.pop(account_hash, None)
        self.by_account[account_hash] = shape, time_ms
        if len(self.by_account) > VOTERS_MAX:
            del self.by_account[next(iter(self.by_account))]

    def leader(self, now_ms: int) -> tuple[Shape | None, int, int]:
        """The shape that most accounts have, how many those are, and how many voted in all."""
        counts = Counter(shape for shape, ms in self.by_account.values() if ms > now_ms - VOTE_MS)
        if not counts:
            return None, 0, 0
        leader, n = counts.most_common(1)[0]
        return leader, n, counts.total()

    def is_ousted(self, shape: Shape, now_ms: int, *, is_settled: bool) -> bool:
        """Whether another shape has taken over from `shape`.

        Before the population has settled the majority suffices; afterwards it has to be a clear one for an
        hour.
        """
        leader, n, total = self.leader(now_ms)
        share = CLEAR_SHARE if is_settled else 0.5
        if leader is None or leader == shape or n < SEVERAL or n <= share * total:
            self.rival = None
            return False
        if leader != self.rival:
            self.rival, self.rival_since_ms = leader, now_ms
        return not is_settled or now_ms - self.rival_since_ms >= RIVAL_MS
