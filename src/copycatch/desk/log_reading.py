"""The log once more: queries of the accounts that a page is about, beside queries of all others."""

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from copycatch.adapters.peek import batches_of
from copycatch.records.decoding import Decoder
from copycatch.records.wire import InferenceRecord
from copycatch.units import MS_PER_HOUR, epoch_ms, parse_rfc3339

OWN_KEPT_MAX = 2000
OTHERS_KEPT_MAX = 500
RECORDS_PER_POLL = 2000


class Group(NamedTuple):
    """Whose queries are wanted: one account's or those of a campaign; `model_id` None means of all models."""

    accounts: frozenset[str]
    model_id: str | None


class Kept:
    """The records with the least hashes of their ids: the same ones however the log is cut.

    Parameters
    ----------
    n_max : int
        How many at most.
    """

    def __init__(self, n_max: int) -> None:
        self._n_max = n_max
        self._heap: list[tuple[int, int, InferenceRecord]] = []
        self.n_seen = 0

    def offer(self, record: InferenceRecord) -> None:
        self.n_seen += 1
        digest = hashlib.blake2b(record.event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        entry = (-int.from_bytes(digest, "big"), -self.n_seen, record)
        if len(self._heap) < self._n_max:
            heapq.heappush(self._heap, entry)
        elif entry[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, entry)

    @property
    def records(self) -> list[InferenceRecord]:
        return [record for _, _, record in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


@dataclass(slots=True)
class GroupLog:
    """What the log holds of a group.

    `own` and `others` are at most `OWN_KEPT_MAX` and `OTHERS_KEPT_MAX` records with an input, drawn by the
    hash of their ids, of the model that the group asks most; `activity` counts all of its records by account
    and time, in steps of `step_ms`.
    """

    own: list[InferenceRecord] = field(default_factory=list)
    others: list[InferenceRecord] = field(default_factory=list)
    n_own: int = 0
    activity: Counter[tuple[str, int]] = field(default_factory=Counter)


def read_groups(
    paths: Sequence[str],
    make_decoder: Callable[[], Decoder],
    groups: Mapping[str, Group],
    suspects: Collection[str],
    step_ms: int = MS_PER_HOUR,
    on_record: Callable[[InferenceRecord], None] = lambda _record: None,
) -> dict[str, GroupLog]:
    """Read a log and keep what the groups need.

    Parameters
    ----------
    paths : sequence of str
        Files and folders; standard input cannot be read twice.
    groups : mapping of str to Group
    suspects : collection of str
        Accounts that were alerted on: none of their queries counts as usual.
    step_ms : int
        Length of the steps of `GroupLog.activity`.
    on_record : callable
        Told each record.

    Returns
    -------
    dict
        One entry each of `groups`.

    Raises
    ------
    TransportError
        If a file breaks off.
    """
    found = {name: GroupLog() for name in groups}
    own: dict[str, dict[str, Kept]] = {name: {} for name in groups}
    others: dict[str, Kept] = {}
    names_by_account: dict[str, list[str]] = {}
    for name, group in groups.items():
        for account_id in group.accounts:
            names_by_account.setdefault(account_id, []).append(name)
    models = {group.model_id for group in groups.values()}
    for record in records_of(paths, make_decoder):
        on_record(record)
        names = names_by_account.get(record.account_id)
        if names is None:
            if record.account_id not in suspects and (record.model_id in models or None in models):
                _offer(others, record, OTHERS_KEPT_MAX)
            continue
        for name in names:
            if groups[name].model_id in (None, record.model_id):
                found[name].activity[record.account_id, _time_ms(record) // step_ms * step_ms] += 1
                _offer(own[name], record, OWN_KEPT_MAX)
    for name, kept_by_model in own.items():
        if kept_by_model:
            model_id, kept = max(kept_by_model.items(), key=lambda item: (item[1].n_seen, item[0]))
            log = found[name]
            log.own, log.n_own = kept.records, kept.n_seen
            log.others = others[model_id].records if model_id in others else []
    return found


def records_of(paths: Sequence[str], make_decoder: Callable[[], Decoder]) -> Iterator[InferenceRecord]:
    """All records of the files that can be decoded, in their order.

    Raises
    ------
    TransportError
        If a file breaks off.
    """
    decoder = make_decoder()
    for batch in batches_of(paths, RECORDS_PER_POLL):
        yield from decoder.decode(batch).records


def _offer(kept_by_model: dict[str, Kept], record: InferenceRecord, n_max: int) -> None:
    if record.input is None:
        return
    kept = kept_by_model.get(record.model_id)
    if kept is None:
        kept = kept_by_model[record.model_id] = Kept(n_max)
    kept.offer(record)


def _time_ms(record: InferenceRecord) -> int:
    """Event time; 0 where the record names none that can be read (the judge rejects it)."""
    if isinstance(record.event_time, int):
        return epoch_ms(record.event_time)
    try:
        return parse_rfc3339(record.event_time)
    except ValueError:
        return 0
