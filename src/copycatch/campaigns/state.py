"""What outlives a search: link rows of all accounts, and the campaigns named so far."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from copycatch.campaigns.fold import LinkColumns, columns_of
from copycatch.campaigns.layout import FIRST_KINDS, KIND_STARTS, LINKS, SLOTS, SLOTS_BY_KIND
from copycatch.layout.structs import Columns, Rows, grown, put, take
from copycatch.records.columns import IntArray

CAMPAIGNS_MAX: Final = 256
MEMBERS_MAX: Final = 2_048
ROWS_MIN: Final = 256


@dataclass(slots=True)
class Campaign:
    """Accounts named as one thief; `members` are rows with the event time at which each was named."""

    id: str
    found_ms: int
    reason: str  # which evidence weighed most
    weight: float
    parts: dict[str, float]
    statistics: dict[str, float]
    members: dict[int, int] = field(default_factory=dict)
    queries_checked: int = 0  # of its members, when it was last checked as a whole


@dataclass(slots=True)
class CampaignState:
    """Link rows, one an account and model, and campaigns.

    Examples
    --------
    >>> state = CampaignState()
    >>> state.grow(1)
    >>> state.n_rows >= 1
    True
    """

    links: Rows = field(default_factory=lambda: np.zeros(0, dtype=LINKS))
    campaigns: list[Campaign] = field(default_factory=list)
    log_start_ms: int = 0  # event time of the first record; 0 before
    groups_dropped: int = 0  # shared by too many, or too many in one search
    campaigns_dropped: int = 0
    members_dropped: int = 0
    joiners_skipped: int = 0  # newcomers not looked at in a search: too many were like the members

    @property
    def n_rows(self) -> int:
        return len(self.links)

    @property
    def columns(self) -> LinkColumns:
        return columns_of(self.links)

    def grow(self, n_rows: int) -> None:
        """Make room for at least `n_rows` rows, doubling."""
        if n_rows > self.n_rows:
            self.links = grown(self.links, max(n_rows, 2 * self.n_rows, ROWS_MIN))

    def clear(self, rows: IntArray) -> None:
        """Forget these accounts; they leave their campaigns."""
        self.links[rows] = np.zeros(1, dtype=LINKS)
        gone = set(rows.tolist())
        for campaign in self.campaigns:
            for row in gone & campaign.members.keys():
                del campaign.members[row]

    def take(self, rows: IntArray) -> dict[str, np.ndarray]:
        """A copy of these rows, a column a field."""
        return take(self.links, rows)

    def put(self, rows: IntArray, columns: Columns) -> None:
        """Overwrite these rows with what `take` gave."""
        put(self.links, rows, columns)


def aligned_links(columns: Columns, slots_by_kind: dict[str, int] | None) -> dict[str, np.ndarray]:
    """Columns of link rows, as `CampaignState.take` gave them, of a version with other kinds or fields.

    Parameters
    ----------
    columns : mapping of str to ndarray
        What is missing starts empty.
    slots_by_kind : dict of str to int or None
        `SLOTS_BY_KIND` of that version; None of one that did not say.

    Raises
    ------
    KeyError, ValueError
        If there are not as many counters as slots.
    """
    n = len(columns["account"])
    empty = take(np.zeros(n, dtype=LINKS), np.arange(n))
    found = {name: columns.get(name, column) for name, column in empty.items()}
    theirs = FIRST_KINDS if slots_by_kind is None else slots_by_kind
    if list(theirs.items()) == list(SLOTS_BY_KIND.items()):
        return found
    for name in ("counts", "values"):
        before = columns[name]
        if before.shape != (n, sum(theirs.values())):
            message = f"{name} has shape {before.shape} for {n} accounts"
            raise ValueError(message)
        found[name] = np.zeros((n, SLOTS), dtype=before.dtype)
        start = 0
        for kind, slots in theirs.items():
            if SLOTS_BY_KIND.get(kind) == slots:
                at = KIND_STARTS[list(SLOTS_BY_KIND).index(kind)]
                found[name][:, at : at + slots] = before[:, start : start + slots]
            start += slots
    return found
