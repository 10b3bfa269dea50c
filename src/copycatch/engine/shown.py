"""What the state can show of accounts: a few of their queries, as directions, and what they share.

No text and no value stands in the state: queries are projected unit vectors, attributes are keyed hashes.
"""

import math
from collections.abc import Container, Sequence
from typing import Final, NamedTuple

import numpy as np

from copycatch.campaigns.finding import COMMON_OUTSIDE_MAX, COMMON_SHARE
from copycatch.campaigns.fold import LinkColumns
from copycatch.campaigns.layout import KIND_STARTS, KINDS, VECTOR
from copycatch.campaigns.sharing import attributes_of, kind_of
from copycatch.engine.state import EngineState
from copycatch.records.columns import Float32Array, IntArray
from copycatch.windows.slots import NO_ROW, Key

OTHERS_DRAWN: Final = 60  # accounts whose queries stand beside
OTHERS_LOOKED_AT_MAX: Final = 20_000  # of a model, for how many have what members share
MEMBERS_MAX: Final = 200
TIES_MAX: Final = 12
CANDIDATES_MAX: Final = 60  # the most widely shared
UNIT: Final = np.float32(127)


class HashedTie(NamedTuple):
    """What `members` share, by kind and hash; `n_others` accounts of the model beside them have it, about."""

    kind: str
    hash_: int
    members: list[str]
    n_others: int
    weight: float  # nats: -ln of the share of accounts that have it, times the members' share


class Shown(NamedTuple):
    """Queries as float32 (n, VECTOR), each with its account; and ties, weightiest first."""

    own: Float32Array
    own_names: list[str]
    others: Float32Array
    other_names: list[str]
    ties: list[HashedTie]


def shown_of(state: EngineState, keys: Sequence[Key], suspects: Container[str]) -> Shown:
    """Look at some accounts of one model.

    Parameters
    ----------
    keys : sequence of Key
        One account, or the members of a campaign; the first `MEMBERS_MAX` that this worker knows count.
    suspects : container of str
        Accounts whose queries do not stand for others'.
    """
    rows = [row for key in keys[:MEMBERS_MAX] if (row := state.slots.row_of(key)) != NO_ROW]
    members = np.array(rows, dtype=np.int64)
    others = np.setdiff1d(state.slots.rows_of_model(keys[0][2]), members)
    if len(others) > OTHERS_LOOKED_AT_MAX:
        rng = np.random.default_rng(len(others))
        others = np.sort(rng.choice(others, OTHERS_LOOKED_AT_MAX, replace=False))
    columns = state.links.columns
    usual = [row for row in others.tolist() if state.slots.key_of(row)[1] not in suspects]
    drawn = np.random.default_rng(len(usual)).permutation(len(usual))[:OTHERS_DRAWN]
    own, own_names = _queries(state, columns, members)
    beside, other_names = _queries(state, columns, np.array(usual, dtype=np.int64)[np.sort(drawn)])
    return Shown(own, own_names, beside, other_names, _ties(state, columns, members, others))


def _queries(state: EngineState, columns: LinkColumns, rows: IntArray) -> tuple[Float32Array, list[str]]:
    if not len(rows):
        return np.zeros((0, VECTOR), dtype=np.float32), []
    at, slot = np.nonzero((columns.sample_hashes[rows] > 0) & columns.samples[rows].any(axis=2))
    vectors = columns.samples[rows][at, slot].astype(np.float32) / UNIT
    return vectors, [state.slots.key_of(row)[1] for row in rows[at].tolist()]


def _ties(state: EngineState, columns: LinkColumns, members: IntArray, others: IntArray) -> list[HashedTie]:
    if len(members) < 2:
        return []
    holders: dict[int, list[int]] = {}
    for codes in attributes_of(columns, members):
        for at, code in zip(np.nonzero(codes)[0].tolist(), codes[codes > 0].tolist(), strict=True):
            holders.setdefault(code, []).append(at)
    least = max(2, math.ceil(COMMON_SHARE * len(members)))
    names = [state.slots.key_of(row)[1] for row in members.tolist()]
    n_model = len(state.slots.rows_of_model(state.slots.key_of(int(members[0]))[2])) - len(members)
    scale = n_model / max(len(others), 1)
    found = []
    widest = sorted(holders.items(), key=lambda item: (-len(item[1]), item[0]))[:CANDIDATES_MAX]
    for code, own in widest:
        if len(own) < least:
            break
        kind = kind_of(code)
        values = columns.values[others, KIND_STARTS[kind] : KIND_STARTS[kind + 1]]
        n_others = round(scale * int((values == np.uint32(code & 0xFFFFFFFF)).any(axis=1).sum()))
        if n_others > COMMON_OUTSIDE_MAX * max(n_model, 1):
            continue
        rarity = -math.log((len(own) + n_others) / max(n_model + len(members), 1))
        tie = HashedTie(
            KINDS[kind], code & 0xFFFFFFFF, [names[at] for at in own], n_others,
            round(rarity * len(own) / len(members), 3),
        )  # fmt: skip
        found.append(tie)
    return sorted(found, key=lambda tie: (-tie.weight, tie.kind, tie.hash_))[:TIES_MAX]
