"""What was announced stands after a replay, whatever the replay has come to."""

import msgspec
import pytest

from copycatch.decisions.case import ActiveRecommendation, Case, CaseTable, Episode
from copycatch.decisions.journal import AnnouncementJournal
from copycatch.errors import StateError
from copycatch.records.wire import Score

KEY = (None, "a", "m")


def episode(uid: str, sent_ms: int, queries: int = 12) -> Episode:
    return Episode(
        "extraction", uid, 0, "high", "observe", 1000, 0, 0, 0, queries,
        Score(tail_prob=1e-4, rank=""), [], [], [], [], sent_ms=sent_ms,
    )  # fmt: skip


def case(uid: str = "u", sent_ms: int = 5, revision: int = 2, queries: int = 12, account: str = "a") -> Case:
    return Case(
        None, account, "m",
        episodes={"extraction": episode(uid, sent_ms, queries)},
        active=ActiveRecommendation("observe", {}, "enforce", 5, 1000, "extraction"),
        revision=revision,
    )  # fmt: skip


def table_of(*cases: Case) -> CaseTable:
    table = CaseTable(10)
    for each in cases:
        table.add(each)
    return table


def entry_of(*cases: Case, keys: tuple[tuple[str | None, str, str], ...] = ()) -> bytes:
    return AnnouncementJournal(table_of(*cases)).entry([*(each.key for each in cases), *keys])


def replayed(entries: list[bytes], *outcome: Case) -> tuple[CaseTable, int]:
    """A shard whose snapshot was empty, after a replay that came to `outcome`."""
    table = table_of()
    journal = AnnouncementJournal(table)
    journal.load(entries)
    for each in outcome:
        table.add(each)
    return table, journal.reconcile()


def test_an_announcement_that_the_replay_missed_is_put_back() -> None:
    table, n_changed = replayed([entry_of(case())])
    assert n_changed == 1
    assert table.case_by_key[KEY].revision == 2
    assert table.case_by_key[KEY].episodes["extraction"].uid == "u"


def test_what_the_replay_alone_would_have_announced_is_forgotten() -> None:
    table, n_changed = replayed([], case())
    assert n_changed == 1
    assert KEY not in table.case_by_key, "it is announced when it is judged again"


def test_where_both_differ_the_announced_one_stands_with_what_was_observed_since() -> None:
    table, n_changed = replayed([entry_of(case(revision=3))], case(revision=7, queries=40))
    assert n_changed == 1
    assert table.case_by_key[KEY].revision == 3, "no revision is given twice"
    assert table.case_by_key[KEY].episodes["extraction"].queries == 40


def test_where_both_agree_the_replayed_one_stays() -> None:
    ours = case(queries=40)
    table, n_changed = replayed([entry_of(case())], ours)
    assert n_changed == 0
    assert table.case_by_key[KEY] is ours


def test_what_nobody_was_sent_stays_as_the_replay_left_it() -> None:
    silent = case(sent_ms=-1)
    silent.active = None
    table, n_changed = replayed([], silent)
    assert n_changed == 0
    assert table.case_by_key[KEY] is silent


def test_later_entries_win_and_one_may_end_a_case() -> None:
    table, _ = replayed([entry_of(case(revision=2)), entry_of(case(revision=4))])
    assert table.case_by_key[KEY].revision == 4
    table, _ = replayed([entry_of(case()), entry_of(keys=(KEY,))])
    assert KEY not in table.case_by_key


def test_revisions_go_on_above_those_that_were_forgotten() -> None:
    old = table_of()
    old.revision_floor = 9
    table, _ = replayed([AnnouncementJournal(old).entry([KEY])])
    assert table.revision_floor == 9


def test_without_a_replay_there_is_nothing_to_reconcile() -> None:
    table = table_of(case())
    journal = AnnouncementJournal(table)
    assert not journal.is_loaded
    assert journal.reconcile() == 0
    assert KEY in table.case_by_key


@pytest.mark.parametrize("damaged", [b"", b"\xc1", msgspec.msgpack.encode({"format": 1})])
def test_a_damaged_entry_is_refused(damaged: bytes) -> None:
    with pytest.raises(StateError, match="cannot be read"):
        AnnouncementJournal(table_of()).load([damaged])


def test_an_entry_of_another_format_is_refused() -> None:
    entry = msgspec.msgpack.decode(entry_of(case()))
    entry["format"] = 99
    with pytest.raises(StateError, match="format 99"):
        AnnouncementJournal(table_of()).load([msgspec.msgpack.encode(entry)])
