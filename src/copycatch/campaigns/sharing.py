"""Who shares what: attributes of all accounts as sorted columns, and groups that share one or two of them.

A network, an API key, an opening or an ending of texts that few use makes a group by itself; a user agent, a
parameter set and the hours in which accounts began do so in pairs only. Nobody can blow this up: an account
has at most `SLOTS` values, what more than `GROUP_MAX` accounts share makes no group, and no more than
`GROUPS_MAX` are looked at in a search, those with most queries first; what is left out is counted.
"""

from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from copycatch.campaigns.fold import LinkColumns
from copycatch.campaigns.layout import KIND_STARTS, KINDS
from copycatch.campaigns.lives import START_MS
from copycatch.records.columns import IntArray, Uint64Array

GROUP_MIN: Final = 4
GROUP_MAX: Final = 400
GROUP_SHARE_MAX: Final = 0.35  # of all active accounts: more is what everybody does
GROUPS_MAX: Final = 4_096
START: Final = len(KINDS)  # kinds of their own, which only pairs have
INPUT: Final = len(KINDS) + 1
CONVERSATION: Final = len(KINDS) + 2  # tells what ties; groups by conversations: `ties.py`
KIND_NAMES: Final = (*KINDS, "start", "input", "conversation")
START_PAIRS: Final = frozenset({"network", "agent", "parameters", "system"})
INPUT_PAIRS: Final = frozenset({"network", "agent", "parameters", "key", "system"})
ALONE: Final = frozenset({"network", "key", "opening", "ending"})
# Least share of an account's queries for a value to be one of its attributes.
SHARE_MINS: Final = {
    "network": 0.2,
    "agent": 0.3,
    "key": 0.2,
    "parameters": 0.3,
    "opening": 0.08,
    "ending": 0.08,
    "asn": 0.3,
    "system": 0.3,
    "tools": 0.3,
}
TWICE: Final = frozenset({"opening", "ending"})  # once may be a coincidence
PAIRED_MAX: Final = 4  # values of one kind that enter pairs
KIND_BITS: Final = np.uint64(32)
HALF_START_MS: Final = START_MS // 2
MIX: Final = np.uint64(0x9E3779B97F4A7C15)


class Sharing(NamedTuple):
    """Attributes of accounts as pairs (code, row), ascending by code."""

    codes: Uint64Array
    rows: IntArray
    distinct: Uint64Array
    starts: IntArray  # of each distinct code in `codes`; one more at the end

    def holders(self, code: int) -> IntArray:
        """Rows that have the attribute, ascending."""
        at = int(np.searchsorted(self.distinct, np.uint64(code)))
        if at == len(self.distinct) or self.distinct[at] != code:
            return np.empty(0, dtype=np.int64)
        return self.rows[self.starts[at] : self.starts[at + 1]]

    def counts_of(self, codes: Uint64Array) -> IntArray:
        """How many accounts have each attribute."""
        if not len(self.distinct):
            return np.zeros(len(codes), dtype=np.int64)
        at = np.minimum(np.searchsorted(self.distinct, codes), len(self.distinct) - 1)
        counts: IntArray = np.where(self.distinct[at] == codes, np.diff(self.starts)[at], 0)
        return counts


@dataclass(slots=True)
class Group:
    """Accounts that share something; `codes` say what."""

    codes: tuple[int, ...]
    rows: IntArray
    start: int = 0  # code of the hours in which all of them began, where the same accounts share those too


@dataclass(slots=True)
class Groups:
    """Those of one search; `dropped` were too many to be looked at."""

    groups: list[Group] = field(default_factory=list)
    dropped: int = 0


def kind_of(code: int) -> int:
    """Index into `KIND_NAMES`."""
    return code >> 32


def sharing_of(codes: Uint64Array, rows: IntArray) -> Sharing:
    """Sort pairs of attribute and account."""
    order = np.lexsort((rows, codes))
    codes, rows = codes[order], rows[order]
    distinct, starts = np.unique(codes, return_index=True)
    return Sharing(codes, rows, distinct, np.append(starts, len(codes)).astype(np.int64))


def attributes_of(columns: LinkColumns, rows: IntArray) -> list[npt.NDArray[np.uint64]]:
    """By kind, the codes of each account's attributes, (n, slots) with most used first and 0 where none."""
    weight = columns.weight[rows].astype(np.float64)
    found = []
    for kind, name in enumerate(KINDS):
        span = slice(KIND_STARTS[kind], KIND_STARTS[kind + 1])
        values, counts = columns.values[rows, span], columns.counts[rows, span]
        least = np.maximum(SHARE_MINS[name] * weight, 2 if name in TWICE else 1)[:, None]
        codes = np.where((values > 0) & (counts >= least), values.astype(np.uint64), 0)
        codes[codes > 0] |= np.uint64(kind) << KIND_BITS
        order = np.argsort(-counts.astype(np.int64), axis=1, kind="stable")
        found.append(np.take_along_axis(codes, order, axis=1))
    return found


def starts_of(columns: LinkColumns, rows: IntArray, seen_from_ms: int) -> npt.NDArray[np.uint64]:
    """Codes of the hours in which accounts began, (n, 2): two divisions of time, since one may cut a group.

    0 for accounts that were there when the log was not yet a day old: when they began is not known.
    """
    first = columns.first_ms[rows]
    buckets = np.stack([first // START_MS * 2, (first + HALF_START_MS) // START_MS * 2 + 1], axis=1)
    codes = buckets.astype(np.uint64) | (np.uint64(START) << KIND_BITS)
    codes[first < seen_from_ms] = 0
    return codes


def context_codes(columns: LinkColumns, rows: IntArray) -> list[npt.NDArray[np.uint64]]:
    """Codes of sampled inputs and of conversations, (n, slots) each."""
    return [
        np.where(values > 0, values.astype(np.uint64) | (np.uint64(kind) << KIND_BITS), np.uint64(0))
        for kind, values in (
            (INPUT, columns.sample_hashes[rows]),
            (CONVERSATION, columns.conversations[rows]),
        )
    ]


def flat(codes: list[npt.NDArray[np.uint64]], rows: IntArray) -> Sharing:
    """All attributes as one table."""
    wide = np.concatenate(codes, axis=1)
    which, slot = np.nonzero(wide)
    return sharing_of(wide[which, slot], rows[which])


def skeletons_of(columns: LinkColumns, rows: IntArray) -> Sharing:
    """Openings and endings of texts, however rare in an account: several use a kit, each rarely."""
    return flat(skeleton_codes(columns, rows), rows)


def skeleton_codes(columns: LinkColumns, rows: IntArray) -> list[npt.NDArray[np.uint64]]:
    """Codes of all openings and endings that are counted, (n, slots) each."""
    codes = []
    for name in TWICE:
        kind = KINDS.index(name)
        values = columns.values[rows, KIND_STARTS[kind] : KIND_STARTS[kind + 1]].astype(np.uint64)
        codes.append(np.where(values > 0, values | (np.uint64(kind) << KIND_BITS), np.uint64(0)))
    return codes


def groups_of(
    codes: list[npt.NDArray[np.uint64]], starts: npt.NDArray[np.uint64], rows: IntArray, sharing: Sharing
) -> Groups:
    """Groups that share one attribute that suffices, or two, without repetition.

    Parameters
    ----------
    codes : list of ndarray
        As `attributes_of` gives them for `rows`, and after them those of `context_codes`.
    starts : ndarray
        As `starts_of` gives them.
    rows : ndarray of int64, shape (n,)
    sharing : Sharing
        `codes` as a table.
    """
    largest = min(GROUP_MAX, int(GROUP_SHARE_MAX * len(rows)))
    found = Groups()
    seen: dict[bytes, Group] = {}
    for kind, name in enumerate(KINDS):
        if name in ALONE:
            begin = int(np.searchsorted(sharing.distinct, np.uint64(kind) << KIND_BITS))
            end = int(np.searchsorted(sharing.distinct, np.uint64(kind + 1) << KIND_BITS))
            sizes = np.diff(sharing.starts[begin : end + 1])
            found.dropped += int((sizes > largest).sum())
            for at in (np.flatnonzero((sizes >= GROUP_MIN) & (sizes <= largest)) + begin).tolist():
                members = sharing.rows[sharing.starts[at] : sharing.starts[at + 1]]
                _add(found, seen, (int(sharing.distinct[at]),), members)
    frequent = [_frequent(each, sharing) for each in codes]
    for a, b in combinations(range(len(KINDS)), 2):
        _pairs(found, seen, frequent[a], frequent[b], rows, largest)
    for a, name in enumerate(KINDS):
        if name in START_PAIRS:
            _pairs(found, seen, frequent[a], starts, rows, largest)
        if name in INPUT_PAIRS:
            _pairs(found, seen, frequent[a], frequent[len(KINDS)], rows, largest)
    return found


def _frequent(codes: npt.NDArray[np.uint64], sharing: Sharing) -> npt.NDArray[np.uint64]:
    """The most used attributes of each account that enough others have too."""
    counts = sharing.counts_of(codes.ravel()).reshape(codes.shape)
    return np.where(counts >= GROUP_MIN, codes, 0)[:, :PAIRED_MAX]


def _pairs(
    found: Groups,
    seen: dict[bytes, Group],
    left: npt.NDArray[np.uint64],
    right: npt.NDArray[np.uint64],
    rows: IntArray,
    largest: int,
) -> None:
    both = (left[:, :, None] > 0) & (right[:, None, :] > 0)
    which, i, j = np.nonzero(both)
    if len(which) < GROUP_MIN:
        return
    first, second = left[which, i], right[which, j]
    with np.errstate(over="ignore"):
        keys = (first * MIX) ^ second
    order = np.argsort(keys, kind="stable")
    keys, which, first, second = keys[order], which[order], first[order], second[order]
    edges = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    sizes = np.diff(np.append(edges, len(keys)))
    found.dropped += int((sizes > largest).sum())
    for at in np.flatnonzero((sizes >= GROUP_MIN) & (sizes <= largest)).tolist():
        begin, size = int(edges[at]), int(sizes[at])
        members = rows[which[begin : begin + size]]
        _add(found, seen, (int(first[begin]), int(second[begin])), members)


def _add(found: Groups, seen: dict[bytes, Group], codes: tuple[int, ...], members: IntArray) -> None:
    key = members.tobytes()
    start = next((code for code in codes if kind_of(code) == START), 0)
    if key not in seen:
        seen[key] = Group(codes, members, start)
        found.groups.append(seen[key])
    elif start and not seen[key].start:
        seen[key].start = start
