"""What the members of a campaign share, with whom else, read from the log: the graph of its links."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import msgspec

from copycatch.campaigns.attributes import SKELETON_CHARS, network_of
from copycatch.campaigns.finding import COMMON_OUTSIDE_MAX, COMMON_SHARE
from copycatch.desk.log_reading import records_of
from copycatch.records.decoding import Decoder
from copycatch.records.wire import InferenceRecord

VALUES_MAX = 50_000  # different attributes of a campaign that are counted
CANDIDATES_MAX = 60
SHOWN = 12
OTHERS_COUNTED_MAX = 10_000
VALUE_CHARS_MAX = 120

KINDS: Final = {
    "network": "network",
    "agent": "user agent",
    "key": "API key",
    "parameters": "request parameters",
    "opening": "opening of prompts",
    "ending": "ending of prompts",
    "asn": "autonomous system",
    "system": "system prompt",
    "tools": "set of tools",
    "input": "input, word for word",
    "conversation": "conversation",
    "reasoning": "reasoning block",
}
FEW: Final = frozenset({"conversation", "reasoning", "input"})  # shared by two members they are telling

Attribute = tuple[str, str]
"""Kind and value."""


@dataclass(slots=True)
class Shared:
    """What members have, as the log is read: attribute -> members who have it, at most `VALUES_MAX`."""

    members: frozenset[str]
    holders: dict[Attribute, set[str]] = field(default_factory=dict)
    n_left_out: int = 0

    def take(self, record: InferenceRecord) -> None:
        if record.account_id not in self.members:
            return
        for attribute in attributes_of(record):
            known = self.holders.get(attribute)
            if known is not None:
                known.add(record.account_id)
            elif len(self.holders) < VALUES_MAX:
                self.holders[attribute] = {record.account_id}
            else:
                self.n_left_out += 1

    def candidates(self) -> list[Attribute]:
        """Those that enough members have, the most widely shared first."""
        least = max(2, math.ceil(COMMON_SHARE * len(self.members)))
        shared = [
            attribute
            for attribute, holders in self.holders.items()
            if len(holders) >= (2 if attribute[0] in FEW else least)
        ]
        return sorted(shared, key=lambda each: (-len(self.holders[each]), each))[:CANDIDATES_MAX]


@dataclass(frozen=True, slots=True)
class Tie:
    """One attribute of the graph; `members` are those who have it, `n_others` accounts beside them."""

    kind: str
    value: str
    members: list[str]
    n_others: int
    weight: float


def attributes_of(record: InferenceRecord) -> Iterator[Attribute]:
    """What other accounts may share with the one that sent it."""
    if record.client_ip is not None and (network := _network(record.client_ip)) is not None:
        yield "network", network
    plain = {
        "agent": record.user_agent,
        "key": record.api_key_id,
        "asn": None if record.asn is None else str(record.asn),
        "system": record.system_hash,
        "tools": record.tools_hash,
        "conversation": record.conversation_id,
    }
    for kind, value in plain.items():
        if value:
            yield kind, value
    if record.params is not None:
        given = {
            name: value for name, value in msgspec.to_builtins(record.params).items() if value is not None
        }
        yield "parameters", msgspec.json.encode(given, order="sorted").decode()
    if isinstance(record.input, str) and record.input:
        yield "opening", record.input[:SKELETON_CHARS]
        yield "ending", record.input[-SKELETON_CHARS:]
        yield "input", record.input[:VALUE_CHARS_MAX]
    for block in (*(record.reasoning_refs or ()), *(record.reasoning_issued or ())):
        yield "reasoning", block


@lru_cache(maxsize=100_000)
def _network(address: str) -> str | None:
    return network_of(address)


def ties_of(
    paths: Sequence[str], make_decoder: Callable[[], Decoder], shared_by_name: Mapping[str, Shared]
) -> dict[str, list[Tie]]:
    """Count who else has what members share, and keep what tells them from others.

    Reads the log once; nothing is read where no campaign shares anything.

    Parameters
    ----------
    shared_by_name : mapping of str to Shared
        Of each campaign, after one reading.

    Returns
    -------
    dict
        By name, the weightiest first: -ln of the share of all accounts that have it, times the share of the
        members that do. Left out is what more than a tenth of all others have.

    Raises
    ------
    TransportError
        If a file breaks off.
    """
    candidates = {name: shared.candidates() for name, shared in shared_by_name.items()}
    wanted: dict[Attribute, set[str]] = {each: set() for found in candidates.values() for each in found}
    accounts: set[str] = set()
    if wanted:
        for record in records_of(paths, make_decoder):
            accounts.add(record.account_id)
            _count(record, wanted)
    return {
        name: _weighed(found, shared_by_name[name], wanted, len(accounts))
        for name, found in candidates.items()
    }


def _count(record: InferenceRecord, wanted: Mapping[Attribute, set[str]]) -> None:
    for attribute in attributes_of(record):
        holders = wanted.get(attribute)
        if holders is not None and len(holders) < OTHERS_COUNTED_MAX:
            holders.add(record.account_id)


def _weighed(
    found: Iterable[Attribute], shared: Shared, wanted: Mapping[Attribute, set[str]], n_accounts: int
) -> list[Tie]:
    ties = []
    for kind, value in found:
        members = shared.holders[kind, value]
        n_others = len(wanted[kind, value] - shared.members)
        if n_others > COMMON_OUTSIDE_MAX * max(n_accounts - len(shared.members), 1):
            continue
        rarity = -math.log((len(members) + n_others) / n_accounts)
        weight = rarity * len(members) / len(shared.members)
        ties.append(Tie(kind, _named(kind, value), sorted(members), n_others, round(weight, 3)))
    return sorted(ties, key=lambda tie: (-tie.weight, tie.kind, tie.value))[:SHOWN]


def _named(kind: str, value: str) -> str:
    """What the page says; an id of an API key is nobody's business, beyond its ending."""
    if kind == "key":
        return f"…{value[-4:]}"
    return value if len(value) <= VALUE_CHARS_MAX else f"{value[: VALUE_CHARS_MAX - 1]}…"


def graph_of(members: Collection[str], ties: Sequence[Tie]) -> dict[str, object]:
    """Ties and members for a drawing: members with the same ties stand together."""
    signature = {name: tuple(name not in tie.members for tie in ties) for name in members}
    ordered = sorted(members, key=lambda name: (signature[name], name))
    place = {name: at for at, name in enumerate(ordered)}
    return {
        "members": ordered,
        "ties": [
            {
                "kind": KINDS[tie.kind],
                "value": tie.value,
                "members": [place[name] for name in tie.members if name in place],
                "others": tie.n_others,
            }
            for tie in ties
        ],
    }
