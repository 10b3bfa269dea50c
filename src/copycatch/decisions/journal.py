"""The journal of what was announced of a shard's accounts, kept apart from what a replay comes to.

After a restart the records since the last snapshot are judged again without announcing anything, because what
followed from them has been delivered. With one shard that gives the same verdicts. With several it need not:
they share what is normal, and come in another order than the first time. What the replay decides may differ
from what was announced: an alert that nobody was sent would count as sent, a revision would be given twice.

So each unit that announces something appends an *entry*: the cases that it is about, as they were then. The
snapshot's cases with the entries after it are what was announced; at the end of a replay they win.
"""

from collections.abc import Iterable, Sequence

import msgspec

from copycatch.decisions.case import Case, CaseTable
from copycatch.decisions.plan import EntityKey
from copycatch.errors import StateError

ENTRY_FORMAT = 1


class _Entry(msgspec.Struct):
    format: int
    revision_floor: int
    cases: list[Case]
    gone: list[EntityKey]  # announced, and forgotten at once
    epoch_floor: int = 0


class AnnouncementJournal:
    """The journal of one shard's cases.

    Examples
    --------
    >>> table = CaseTable(10)
    >>> table.add(Case(None, "a", "m", revision=3))
    >>> journal = AnnouncementJournal(table)
    >>> entry = journal.entry([(None, "a", "m"), (None, "b", "m")])
    >>> AnnouncementJournal(CaseTable(10)).load([entry])
    1
    """

    def __init__(self, table: CaseTable) -> None:
        self._table = table
        self._announced: dict[EntityKey, Case] | None = None  # while a replay is under way

    @property
    def is_loaded(self) -> bool:
        """Whether a replay is under way."""
        return self._announced is not None

    def entry(self, keys: Iterable[EntityKey]) -> bytes:
        """The cases of these entities, of which something has just been announced, as plain bytes."""
        found = {key: self._table.get(key) for key in sorted(keys, key=lambda key: (key[0] or "", *key[1:]))}
        return msgspec.msgpack.encode(
            _Entry(
                ENTRY_FORMAT,
                self._table.revision_floor,
                [case for case in found.values() if case is not None],
                [key for key, case in found.items() if case is None],
                self._table.epoch_floor,
            )
        )

    def load(self, entries: Sequence[bytes]) -> int:
        """A replay begins: keep what was announced, by the cases and the entries after them, oldest first.

        Returns
        -------
        int
            How many cases that are.

        Raises
        ------
        StateError
            If an entry is of another format or damaged.
        """
        announced = {key: _copied(case) for key, case in self._table.case_by_key.items()}
        for data in entries:
            entry = _decoded(data)
            for key in entry.gone:
                announced.pop(key, None)
            announced |= {case.key: case for case in entry.cases}
            self._table.revision_floor = max(self._table.revision_floor, entry.revision_floor)
            self._table.epoch_floor = max(self._table.epoch_floor, entry.epoch_floor)
        self._announced = announced
        return len(announced)

    def reconcile(self) -> int:
        """The replay is over: what was announced stands, whatever the replay has come to.

        A case of which both say the same stays as the replay left it: it knows more (timers, what was held
        back).

        Returns
        -------
        int
            How many cases the replay had come to otherwise; 0 where none was under way.
        """
        if self._announced is None:
            return 0
        announced, self._announced = self._announced, None
        cases = self._table.case_by_key
        n_changed = 0
        for key in list(cases):
            replayed, known = cases[key], announced.get(key)
            if known is None and _content(replayed) != _NOTHING:
                n_changed += 1
                del cases[key]
            elif known is not None and _content(replayed) != _content(known):
                n_changed += 1
                cases[key] = _with_observations(known, replayed)
        for key in announced.keys() - cases.keys():
            if _content(announced[key]) != _NOTHING:
                n_changed += 1
                cases[key] = announced[key]
        self._table.requeue()
        return n_changed


_Content = tuple[int, bytes, tuple[tuple[str, bool, int, str], ...]]
_NO_RECOMMENDATION = msgspec.msgpack.encode(None)
_NOTHING: _Content = (0, _NO_RECOMMENDATION, ())


def _content(case: Case) -> _Content:
    """All of a case that was announced."""
    episodes = tuple(
        (e.uid, e.is_seen_open, e.sent_ms, e.sent_severity)
        for _, e in sorted(case.episodes.items())
        if e.is_announced
    )
    if not episodes and case.active is None:
        return _NOTHING  # its revision is only where it would begin
    return case.revision, msgspec.msgpack.encode(case.active), episodes


def _with_observations(known: Case, replayed: Case) -> Case:
    """The announced case, with what the replay has observed of the same episodes since."""
    for rule, episode in known.episodes.items():
        observed = replayed.episodes.get(rule)
        if observed is not None and observed.uid == episode.uid:
            episode.last_over_ms = max(episode.last_over_ms, observed.last_over_ms)
            episode.last_seen_ms = max(episode.last_seen_ms, observed.last_seen_ms)
            episode.queries = max(episode.queries, observed.queries)
    return known


def _decoded(data: bytes) -> _Entry:
    try:
        entry = msgspec.msgpack.decode(data, type=_Entry)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"an entry of the journal of announcements cannot be read: {error}"
        raise StateError(message) from error
    if entry.format != ENTRY_FORMAT:
        message = f"an entry of the journal has format {entry.format}, this version reads {ENTRY_FORMAT}"
        raise StateError(message)
    return entry


def _copied(case: Case) -> Case:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(case), type=Case)
