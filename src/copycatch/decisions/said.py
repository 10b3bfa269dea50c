"""What has been said of a shard's accounts, kept apart from what a replay would say.

After a restart the records since the last snapshot are judged again in silence, because what followed from
them has been delivered. With one shard that gives the same verdicts. With several it need not: they share
what is normal, and come in another order than the first time. What the replay decides may therefore differ
from what was said: an alert that nobody was sent would count as sent, a revision would be given twice.

So each unit that says something leaves a *note*: the holds that it spoke of, as they were then. The holds of
the snapshot with the notes after it are what was said; at the end of a replay they stand.
"""

from collections.abc import Iterable, Sequence

import msgspec

from copycatch.decisions.case import Case, CaseTable
from copycatch.decisions.plan import EntityKey
from copycatch.errors import StateError

NOTE_FORMAT = 1


class _Note(msgspec.Struct):
    format: int
    revision_floor: int
    cases: list[Case]
    gone: list[EntityKey]  # spoken of, and forgotten at once


def note_of(table: CaseTable, keys: Iterable[EntityKey]) -> bytes:
    """The holds of these entities as plain bytes.

    Examples
    --------
    >>> table = CaseTable(10)
    >>> table.add(Case(None, "a", "m", revision=3))
    >>> note = note_of(table, [(None, "a", "m"), (None, "b", "m")])
    >>> recalled(CaseTable(10), [note])[None, "a", "m"].revision
    3
    """
    found = {key: table.get(key) for key in sorted(keys, key=lambda key: (key[0] or "", *key[1:]))}
    return msgspec.msgpack.encode(
        _Note(
            NOTE_FORMAT,
            table.revision_floor,
            [case for case in found.values() if case is not None],
            [key for key, case in found.items() if case is None],
        )
    )


def recalled(table: CaseTable, notes: Sequence[bytes]) -> dict[EntityKey, Case]:
    """What was said: the holds as they are, and after them the notes, oldest first.

    Raises
    ------
    StateError
        If a note is of another format or damaged.
    """
    said = {key: _copied(case) for key, case in table.case_by_key.items()}
    for data in notes:
        try:
            note = msgspec.msgpack.decode(data, type=_Note)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"a note of what was said cannot be read: {error}"
            raise StateError(message) from error
        if note.format != NOTE_FORMAT:
            message = f"a note of what was said has format {note.format}, this version reads {NOTE_FORMAT}"
            raise StateError(message)
        for key in note.gone:
            said.pop(key, None)
        said |= {case.key: case for case in note.cases}
        table.revision_floor = max(table.revision_floor, note.revision_floor)
    return said


def agree(table: CaseTable, said: dict[EntityKey, Case]) -> int:
    """Let stand what was said, whatever a replay has come to; gives how many holds it had otherwise.

    A hold of which both say the same stays as the replay left it: it knows more (timers, what was held back).
    """
    others = 0
    for key in list(table.case_by_key):
        ours, known = table.case_by_key[key], said.get(key)
        if known is None and _spoken(ours) != _NOTHING:
            others += 1
            del table.case_by_key[key]
        elif known is not None and _spoken(ours) != _spoken(known):
            others += 1
            table.case_by_key[key] = _with_sightings(known, ours)
    for key in said.keys() - table.case_by_key.keys():
        if _spoken(said[key]) != _NOTHING:
            others += 1
            table.case_by_key[key] = said[key]
    table.requeue()
    return others


_Spoken = tuple[int, bytes, tuple[tuple[str, bool, int, str], ...]]
_NO_ACTIVE = msgspec.msgpack.encode(None)
_NOTHING: _Spoken = (0, _NO_ACTIVE, ())


def _spoken(case: Case) -> _Spoken:
    """All of a hold that others have been told."""
    episodes = tuple(
        (e.uid, e.is_open, e.sent_ms, e.sent_severity)
        for _, e in sorted(case.episodes.items())
        if e.is_announced
    )
    if not episodes and case.active is None:
        return _NOTHING  # its revision is only where it would begin
    return case.revision, msgspec.msgpack.encode(case.active), episodes


def _with_sightings(known: Case, ours: Case) -> Case:
    """The known hold, with what the replay has seen of the same episodes since."""
    for rule, episode in known.episodes.items():
        seen = ours.episodes.get(rule)
        if seen is not None and seen.uid == episode.uid:
            episode.last_over_ms = max(episode.last_over_ms, seen.last_over_ms)
            episode.last_seen_ms = max(episode.last_seen_ms, seen.last_seen_ms)
            episode.queries = max(episode.queries, seen.queries)
    return known


def _copied(case: Case) -> Case:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(case), type=Case)
