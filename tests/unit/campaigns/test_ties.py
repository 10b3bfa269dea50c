"""What passes from one account to another ties accounts; what was merely shown around does not."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.campaigns.rings import DAY_MS, START_MS, TOPICS, Traffic, named, new_links, play
from tests.unit.campaigns.test_fold import events_at

from copycatch.campaigns.fold import CONTEXT, ISSUED_AT, SENT_AT, fold
from copycatch.campaigns.layout import ISSUED, KINDS, PANE_MS, PANES, REPLAYED, SLOTS_BY_KIND
from copycatch.campaigns.state import aligned_links
from copycatch.campaigns.ties import (
    SENDERS_MAX,
    groups_of_ties,
    handed_of,
    moved_together,
    moves_of,
    replays_of,
)
from copycatch.campaigns.words import describe, reasons_of

Chooser = Callable[[int, int], int]


def conversing(
    traffic: Traffic,
    n: int,
    of: Chooser,
    *,
    blocks: bool = True,
    gaps_ms: tuple[int, int] = (60_000, 900_000),
    conversations: int = 120,
) -> list[int]:
    """Accounts that ask about anything, in conversations of five turns; `of` says who sends which turn."""
    rows = list(range(traffic.n_rows, traffic.n_rows + n))
    traffic.n_rows += n
    starts = traffic.times(conversations, 1.5 + 0.1 * float(traffic.rng.random()), 5.0)
    for number, start_ms in enumerate(starts):
        before, conversation = 0, int(traffic.rng.integers(1, 1 << 32))
        for turn in range(5):
            row = rows[of(number, turn)]
            block = int(traffic.rng.integers(1, 1 << 32))
            time_ms = start_ms + turn * int(traffic.rng.integers(*gaps_ms))
            context = (conversation, block, before) if blocks else (conversation, 0, 0)
            shared = {"network": 30_000 + row, "agent": 900 + row, "parameters": 40 + row % 3}
            traffic.ask(row, time_ms, int(traffic.rng.integers(0, TOPICS)), shared, context=context)
            before = block
    return rows


def anybody(traffic: Traffic, n: int) -> Chooser:
    return lambda _number, _turn: int(traffic.rng.integers(0, n))


def test_accounts_that_send_back_each_others_reasoning_are_one() -> None:
    traffic = Traffic(seed=31)
    traffic.honest(40)
    ring = conversing(traffic, 8, anybody(traffic, 8))
    findings = play(new_links(traffic.n_rows), traffic.log())
    assert named(findings) == set(ring)
    first = next(each for each in findings if each.change == "found")
    assert first.reason == "replayed"
    assert "reasoning blocks that were issued to another account" in describe(first)
    assert "campaign_replayed" in {reason.feature for reason in reasons_of(first)}


def test_accounts_that_go_on_with_their_own_conversations_are_not() -> None:
    traffic = Traffic(seed=31)
    traffic.honest(40)
    conversing(traffic, 8, lambda number, _turn: number % 8)
    state = new_links(traffic.n_rows)
    assert named(play(state, traffic.log())) == set()
    assert not len(replays_of(state.columns, np.arange(traffic.n_rows)).takers)


def test_one_exported_conversation_is_no_tie() -> None:
    """Eight who are dealt cards of one deck import one conversation of a colleague, and go on with it."""
    traffic = Traffic(seed=32)
    traffic.honest(40)
    team = conversing(traffic, 8, lambda number, _turn: number % 8)
    issuer = team[0]
    for row in team:
        for turn in range(4):
            context = (77, int(traffic.rng.integers(1, 1 << 32)), 1_234)
            if row == issuer:
                context = (77, 1_234, 0)
            time_ms = START_MS + 2 * DAY_MS + turn * 60_000 * (row + 1)
            traffic.ask(row, time_ms, turn, {"network": 30_000 + row}, context=context)
    assert named(play(new_links(traffic.n_rows), traffic.log())) == set()


def test_who_publishes_conversations_is_not_framed_by_those_who_send_them_back() -> None:
    traffic = Traffic(seed=33)
    traffic.honest(40)
    victim = conversing(traffic, 1, lambda _number, _turn: 0, conversations=12)[0]
    published = [blocks[ISSUED_AT] for _, row, _, _, _, blocks in traffic.queries if row == victim]
    ring = conversing(traffic, 8, anybody(traffic, 8))
    for number, (_, row, _, _, _, blocks) in enumerate(traffic.queries):
        if row in ring:
            blocks[SENT_AT + 1] = published[number % len(published)]
    assert named(play(new_links(traffic.n_rows), traffic.log())) == set(ring)


@pytest.mark.parametrize("n_ids", [0, 9])
def test_ids_of_conversations_alone_name_nobody(n_ids: int) -> None:
    """A desk whose people take over each other's tickets; and an app that counts its sessions from one."""
    traffic = Traffic(seed=34)
    traffic.honest(40)
    hours = 3_600_000
    desk = conversing(traffic, 8, anybody(traffic, 8), blocks=False, gaps_ms=(4 * hours, 20 * hours))
    if n_ids:
        for _, row, _, _, _, blocks in traffic.queries:
            blocks[0] = 1 + (blocks[0] + row) % n_ids
    state = new_links(traffic.n_rows)
    assert named(play(state, traffic.log())) == set()
    ties = handed_of(state.columns, np.arange(traffic.n_rows))
    assert ties.dropped > 0 if n_ids else set(ties.takers.tolist()) <= set(desk)
    assert bool(len(ties.takers)) != bool(n_ids)


@pytest.mark.parametrize("seed", range(40, 44))
def test_a_desk_that_hands_over_within_minutes_is_no_campaign(seed: int) -> None:
    traffic = Traffic(seed=seed)
    traffic.honest(40)
    conversing(traffic, 8, anybody(traffic, 8), blocks=False)
    assert named(play(new_links(traffic.n_rows), traffic.log())) == set()


def test_conversations_add_to_other_evidence() -> None:
    traffic = Traffic(seed=35)
    traffic.honest(40)
    ring = conversing(traffic, 8, anybody(traffic, 8), blocks=False)
    for time_ms, row, values, *_ in traffic.queries:
        if row in ring:
            values[KINDS.index("ending")] = 70 + time_ms % 2  # two endings of one kit: not enough either
    findings = play(new_links(traffic.n_rows), traffic.log())
    assert named(findings) == set(ring)
    assert findings[-1].parts["handed"] == 0.5


def test_a_block_in_too_many_hands_is_public_and_counted() -> None:
    n = SENDERS_MAX + 6
    state, events = new_links(n), events_at([START_MS] * (2 * n))
    events = events._replace(
        rows=np.tile(np.arange(n), 2), contexts=np.zeros((2 * n, CONTEXT), dtype=np.uint32)
    )
    events.contexts[0, ISSUED_AT], events.contexts[n, ISSUED_AT] = 11, 12
    events.contexts[1:n, SENT_AT], events.contexts[n + 1 :, SENT_AT] = 11, 12
    events.contexts[:n, 0], events.contexts[n:, 0] = 1, 2
    fold(state.links, events)
    ties = replays_of(state.columns, np.arange(n))
    assert (len(ties.takers), ties.dropped) == (0, 2)
    few = replays_of(state.columns, np.arange(10))
    assert (few.dropped, [rows.tolist() for rows in groups_of_ties(state.columns, few)]) == (
        0,
        [list(range(1, 10))],
    )


def test_a_joint_move_to_a_model_counts_beside_how_many_moved_then() -> None:
    state = new_links(60)
    state.links["account"][:60] = np.tile(np.arange(1, 31), 2)  # a row a model
    columns = state.columns
    columns.first_ms[:30] = START_MS
    columns.first_ms[30:60] = START_MS + (3 + np.arange(30) % 20) * DAY_MS
    columns.first_ms[30:38] = START_MS + 9 * DAY_MS + np.arange(8) * 3_600_000
    moves = moves_of(columns, np.arange(60), START_MS)
    group, others = np.arange(8), np.arange(8, 30)
    assert (moves[:8] == moves[30:38]).all()
    assert moved_together(moves, group, others, 20) > 9
    moves[8:30] = START_MS + 9 * DAY_MS  # the old model was switched off: all moved
    assert moved_together(moves, group, others, 20) < 3
    columns.first_ms[30:60] = START_MS + 3_600_000  # who began with both has not moved
    assert not moves_of(columns, np.arange(60), START_MS).any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), min_size=1, max_size=80), st.integers(1, 30))
def test_own_blocks_are_never_taken_for_others(turns: list[tuple[bool, int]], cut: int) -> None:
    """Blocks up to 30 are issued to the account before they are sent; the others never are."""
    issued: list[int] = []
    contexts = np.zeros((len(turns), CONTEXT), dtype=np.uint32)
    for at, (is_foreign, block) in enumerate(turns):
        if is_foreign:
            contexts[at, SENT_AT] = 100 + block
        elif block in issued:
            contexts[at, SENT_AT] = block
        else:
            contexts[at, ISSUED_AT] = block
            issued.append(block)
    events = events_at([START_MS + at for at in range(len(turns))])._replace(contexts=contexts)
    whole, parts = new_links(1), new_links(1)
    fold(whole.links, events)
    for begin in range(0, len(turns), cut):
        fold(parts.links, type(events)._make(column[begin : begin + cut] for column in events))
    assert whole.links.tobytes() == parts.links.tobytes()
    known = sorted(issued)[:ISSUED]
    assert whole.links["issued"][0].tolist() == known + [0] * (ISSUED - len(known))
    replayed = [block for block in whole.links["replayed"][0].tolist() if block]
    assert not set(replayed) & set(issued)
    if len(issued) < ISSUED:
        foreign = {100 + block for is_foreign, block in turns if is_foreign}
        assert replayed == sorted(foreign)[:REPLAYED]


def test_what_passed_is_forgotten_with_the_week() -> None:
    state, events = new_links(1), events_at([START_MS, START_MS + PANES * PANE_MS])
    contexts = np.zeros((2, CONTEXT), dtype=np.uint32)
    contexts[0] = [5, 6, 0, 7, 0, 0, 0]
    fold(state.links, events._replace(contexts=contexts))
    for name in ("issued", "replayed", "replayed_in", "conversations"):
        assert not state.links[name].any()


def test_rows_of_a_version_before_ties_are_put_by_name() -> None:
    old_kinds = dict(list(SLOTS_BY_KIND.items())[:6])
    n_old = sum(old_kinds.values())
    columns = new_links(2).take(np.arange(2))
    for name in ("counts", "values"):
        columns[name] = np.arange(2 * n_old, dtype=columns[name].dtype).reshape(2, n_old)
    for name in ("issued", "replayed", "replayed_in", "conversations"):
        del columns[name]
    found = aligned_links(columns, None)
    assert found["values"].shape == (2, sum(SLOTS_BY_KIND.values()))
    assert (found["values"][:, :n_old] == columns["values"]).all()
    assert not found["values"][:, n_old:].any()
    assert not found["issued"].any()
    turned = dict(reversed(list(SLOTS_BY_KIND.items())))
    again = aligned_links(found, turned)
    assert (aligned_links(again | {}, SLOTS_BY_KIND)["values"] == again["values"]).all()
    with pytest.raises(ValueError, match="counts has shape"):
        aligned_links(found, None)
