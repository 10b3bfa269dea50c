"""What passed from one account to another: reasoning blocks, conversations, and a joint move to a model.

A block that an answer issued is known to who was answered. Who sends it back from another account has it from
there, and nobody can guess one. Yet conversations are exported and imported: one is no sign, and who only
issued blocks is tied to nobody, as anybody who was shown them can send them back. Ids of conversations are
the client's own, may be counters, and pass between colleagues: they are never enough by themselves.
"""

from typing import Final, NamedTuple

import numpy as np

from copycatch.campaigns.fold import LinkColumns
from copycatch.campaigns.lives import common_start
from copycatch.records.columns import FloatArray, IntArray, Uint64Array
from copycatch.units import MS_PER_DAY

CONVERSATIONS_MIN: Final = 2  # that an account took over: one may have been exported
SENDERS_MAX: Final = 64  # accounts that send back one block: more have it from a public place
HOLDERS_MAX: Final = 8  # accounts that use one id: more use a counter or a default
TIES_MAX: Final = 50_000  # looked at in a search


class Ties(NamedTuple):
    """Account by account: who took over which conversation from whom. Rows of links, and conversations."""

    takers: IntArray
    givers: IntArray
    conversations: Uint64Array
    dropped: int  # blocks and ids that too many have

    def taken_from(self, columns: LinkColumns, group: IntArray) -> IntArray:
        """How many conversations each row's account took over from accounts of the group, by row."""
        accounts = columns.account
        is_inside = np.isin(accounts[self.givers], accounts[group])
        return _distinct(self.takers[is_inside], self.conversations[is_inside], len(accounts))

    def within(self, columns: LinkColumns, group: IntArray) -> tuple[int, float]:
        """How many conversations passed between accounts of the group, and the share of them that took any.

        Who took over from an account outside with others of the group is one of them.
        """
        accounts = columns.account
        is_taker = np.isin(accounts[self.takers], accounts[group])
        givers, conversations = self.givers[is_taker], self.conversations[is_taker]
        takers = accounts[self.takers[is_taker]]
        if not len(takers):
            return 0, 0.0
        _, source = np.unique(accounts[givers], return_inverse=True)
        pairs = np.unique(np.stack([source, takers], axis=1), axis=0)
        is_of_it = np.isin(accounts[givers], accounts[group]) | (np.bincount(pairs[:, 0])[source] > 1)
        if not is_of_it.any():
            return 0, 0.0
        n_takers = len(np.unique(takers[is_of_it]))
        return len(np.unique(conversations[is_of_it])), n_takers / len(group)


def replays_of(columns: LinkColumns, rows: IntArray) -> Ties:
    """Reasoning blocks issued to one account and sent back by another."""
    issued, owner = _flat(columns.issued[rows], rows)
    order = np.lexsort((columns.first_ms[owner], issued))
    issued, owner = issued[order], owner[order]
    issued, firsts = np.unique(issued, return_index=True)
    owner = owner[firsts]
    sent, takers = _flat(columns.replayed[rows], rows)
    conversations, _ = _flat(columns.replayed_in[rows], rows, columns.replayed[rows] > 0)
    if not len(issued) or not len(sent):
        return _ties(columns, rows[:0], rows[:0], sent[:0], 0)
    at = np.minimum(np.searchsorted(issued, sent), len(issued) - 1)
    is_known = (issued[at] == sent) & (columns.account[owner[at]] != columns.account[takers])
    _, which, counts = np.unique(sent, return_inverse=True, return_counts=True)
    is_few = counts[which] <= SENDERS_MAX
    kept = is_known & is_few
    dropped = len(np.unique(sent[is_known & ~is_few]))
    # One conversation of one giver: ids of conversations are short here, and blocks without one are by giver.
    keys = (columns.account[owner[at]].astype(np.uint64) << np.uint64(16)) | conversations
    return _ties(columns, takers[kept], owner[at][kept], keys[kept], dropped)


def handed_of(columns: LinkColumns, rows: IntArray) -> Ties:
    """Conversations whose ids several accounts use: the first that was seen gave them."""
    ids, holders = _flat(columns.conversations[rows], rows)
    order = np.lexsort((columns.account[holders], columns.first_ms[holders], ids))
    ids, holders = ids[order], holders[order]
    _, firsts, which, counts = np.unique(ids, return_index=True, return_inverse=True, return_counts=True)
    givers = holders[firsts[which]] if len(ids) else holders
    is_other = columns.account[givers] != columns.account[holders]
    is_few = counts[which] <= HOLDERS_MAX
    kept = is_other & is_few
    dropped = len(np.unique(ids[is_other & ~is_few]))
    return _ties(columns, holders[kept], givers[kept], ids[kept], dropped)


def groups_of_ties(columns: LinkColumns, ties: Ties) -> list[IntArray]:
    """Accounts that took over conversations of each other or of one another account; rows, ascending."""
    root: dict[int, int] = {}

    def find(account: int) -> int:
        while root.setdefault(account, account) != account:
            root[account] = root[root[account]]
            account = root[account]
        return account

    accounts = columns.account
    for taker, giver in zip(accounts[ties.takers].tolist(), accounts[ties.givers].tolist(), strict=True):
        root[find(taker)] = find(giver)
    found: dict[int, set[int]] = {}
    for row, account in zip(ties.takers.tolist(), accounts[ties.takers].tolist(), strict=True):
        found.setdefault(find(account), set()).add(row)
    return [np.array(sorted(rows), dtype=np.int64) for rows in found.values()]


def moves_of(columns: LinkColumns, rows: IntArray, seen_from_ms: int) -> IntArray:
    """When each account last began with a model, a day or more after its first; 0 where it did not.

    Returns
    -------
    ndarray of int64, shape (all rows,)
        The same for all rows of an account.
    """
    _, which = np.unique(columns.account[rows], return_inverse=True)
    n = int(which.max()) + 1 if len(rows) else 0
    first, last = np.full(n, np.iinfo(np.int64).max), np.zeros(n, dtype=np.int64)
    np.minimum.at(first, which, columns.first_ms[rows])
    np.maximum.at(last, which, columns.first_ms[rows])
    last[(last < first + MS_PER_DAY) | (last < seen_from_ms)] = 0
    found = np.zeros(len(columns.account), dtype=np.int64)
    found[rows] = last[which]
    return found


def moved_together(moves_ms: IntArray, group: IntArray, others: IntArray, n_days: int) -> float:
    """Surprise, in nats, that so many of the group moved within one day, beside how many others did then."""
    times: FloatArray = np.sort(moves_ms[group][moves_ms[group] > 0]).astype(np.float64)
    if len(times) < CONVERSATIONS_MIN:
        return 0.0
    counts = np.searchsorted(times, times + MS_PER_DAY, side="right") - np.arange(len(times))
    begin = times[int(np.argmax(counts))]
    theirs = moves_ms[others]
    n_theirs = int(((theirs >= begin) & (theirs <= begin + MS_PER_DAY)).sum())
    return common_start(int(counts.max()), len(group), n_theirs, len(others), max(n_days, 1))


def _flat(
    values: np.ndarray, rows: IntArray, is_there: np.ndarray | None = None
) -> tuple[Uint64Array, IntArray]:
    """What is not zero, and the row of each."""
    which, slot = np.nonzero(values if is_there is None else is_there)
    return values[which, slot].astype(np.uint64), rows[which]


def _ties(
    columns: LinkColumns, takers: IntArray, givers: IntArray, conversations: Uint64Array, dropped: int
) -> Ties:
    """Those of accounts that took over several conversations."""
    _, which = np.unique(columns.account[takers], return_inverse=True)
    n_taken = _distinct(which, conversations, len(takers))
    kept = np.flatnonzero(n_taken[which] >= CONVERSATIONS_MIN)
    dropped += max(0, len(kept) - TIES_MAX)
    kept = kept[:TIES_MAX]
    return Ties(takers[kept], givers[kept], conversations[kept], dropped)


def _distinct(places: IntArray, values: Uint64Array, n: int) -> IntArray:
    """How many different values each place has, (n,)."""
    order = np.lexsort((values, places))
    places, values = places[order], values[order]
    is_new = np.append(True, (places[1:] != places[:-1]) | (values[1:] != values[:-1]))[: len(places)]
    counts: IntArray = np.bincount(places[is_new], minlength=n)
    return counts
