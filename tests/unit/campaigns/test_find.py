"""Rings are named, whole and early; who only shares something is not."""

import copy

import numpy as np
import pytest
from tests.unit.campaigns.rings import DAY_MS, START_MS, Traffic, named, new_links, play, some

from copycatch.campaigns import find
from copycatch.campaigns.find import LOOKS_MAX, SEARCH_MS, search, within_looks
from copycatch.campaigns.fold import fold
from copycatch.campaigns.layout import KINDS
from copycatch.campaigns.sharing import Group
from copycatch.campaigns.state import Campaign, CampaignState


def test_a_ring_behind_one_network_is_named_whole_and_nobody_else() -> None:
    traffic = Traffic()
    traffic.honest(60)
    ring = traffic.fed(12, {"network": 7}, 2.0, 5.0)
    state = new_links(traffic.n_rows)
    findings = play(state, traffic.log())
    assert named(findings) == set(ring)
    first = next(each for each in findings if each.change == "found")
    assert first.time_ms < START_MS + 3.5 * DAY_MS
    assert {link.kind for link in first.links} == {"network"}
    assert abs(sum(member.share for member in findings[-1].members) - 1) < 0.01


def test_a_ring_on_scattered_networks_is_seen_by_its_parameters_and_common_start() -> None:
    traffic = Traffic(seed=2)
    traffic.honest(60)
    ring = traffic.fed(12, {"parameters": 77}, 2.0, 5.0, is_bursty=False)
    findings = play(new_links(traffic.n_rows), traffic.log())
    assert named(findings) == set(ring)


def test_a_kit_of_endings_is_evidence() -> None:
    traffic = Traffic(seed=3)
    traffic.honest(60)
    rows = list(range(traffic.n_rows, traffic.n_rows + 8))
    traffic.n_rows += 8
    for row in rows:  # each begins on a day of its own, from a network of its own
        for time_ms in traffic.times(60, 1.2 + 0.3 * (row % 8), 5.0):
            ending = 600 + int(traffic.rng.integers(0, 4))
            topic = int(traffic.rng.integers(0, 400))
            traffic.ask(row, time_ms, topic, {"network": 9_000 + row, "agent": 900 + row, "ending": ending})
    findings = play(new_links(traffic.n_rows), traffic.log())
    assert named(findings) == set(rows)
    assert findings[-1].statistics["kit"] == 4


def test_accounts_that_follow_one_another_are_one() -> None:
    traffic = Traffic(seed=4)
    traffic.honest(60, days=7)
    rows = list(range(traffic.n_rows, traffic.n_rows + 10))
    traffic.n_rows += 10
    for index, row in enumerate(rows):
        for time_ms in traffic.times(80, 1.5 + 0.5 * index, 2.0 + 0.5 * index):
            topic = int(traffic.rng.integers(0, 400))
            traffic.ask(row, time_ms, topic, {"network": 9_000 + row, "agent": 55, "parameters": 66})
    findings = play(new_links(traffic.n_rows), traffic.log())
    assert named(findings) == set(rows)


@pytest.mark.parametrize("kind", ["network", "parameters"])
def test_people_with_work_of_their_own_who_share_an_attribute_are_not_named(kind: str) -> None:
    traffic = Traffic(seed=5)
    traffic.honest(60)
    first = traffic.n_rows
    traffic.honest(14)
    for _, row, values, *_ in traffic.queries:
        if row >= first:
            values[KINDS.index(kind)] = 7
    assert named(play(new_links(traffic.n_rows), traffic.log())) == set()


def test_a_class_with_the_same_homework_is_not_named() -> None:
    traffic = Traffic(seed=6)
    traffic.honest(60)
    traffic.fed(14, {"network": 7, "agent": 8}, 2.0, 5.0, contents=25)
    assert named(play(new_links(traffic.n_rows), traffic.log())) == set()


def test_a_rival_is_not_framed_by_one_attribute() -> None:
    traffic = Traffic(seed=7)
    traffic.honest(60)
    rival = traffic.honest(1)[0]
    network = 1_000 + rival  # the ring moves in beside the rival, whose network nobody else had
    ring = traffic.fed(12, {"network": network}, 2.0, 5.0)
    found = named(play(new_links(traffic.n_rows), traffic.log()))
    assert rival not in found
    assert found == set(ring)


def test_a_new_member_is_named_within_half_an_hour_of_acting_along() -> None:
    traffic = Traffic(seed=8)
    traffic.honest(60)
    kit = {"parameters": 77}
    traffic.fed(10, {"network": 7} | kit, 2.0, 4.0)
    rows = list(range(traffic.n_rows, traffic.n_rows + 1))
    traffic.n_rows += 1
    late = rows[0]
    bursts = sorted(
        {
            time_ms
            for time_ms, row, *_ in traffic.queries
            if row == late - 1 and time_ms > START_MS + 3 * DAY_MS
        }
    )
    for time_ms in bursts:
        traffic.ask(late, time_ms, int(traffic.rng.integers(0, 400)), {"network": 7} | kit)
    state = new_links(traffic.n_rows)
    findings = play(state, traffic.log())
    assert late in named(findings)


def test_a_search_looks_at_so_many_newcomers_those_most_like_the_members_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who replays the members' reasoning comes before all (-1)."""
    monkeypatch.setattr(find, "JOINERS_MAX", 8)
    state = CampaignState()
    own = np.array([0.4, np.inf, -1.0, 0.1, 0.3, 0.2, 0.5, 0.6, 0.7, 0.8, 0.9])
    seen = find._nearest(state, np.arange(len(own)), own)
    assert seen.tolist() == [0, 2, 3, 4, 5, 6, 7, 8]
    assert state.joiners_skipped == 3


@pytest.mark.parametrize("n", [1, 8, 64, 256])
def test_all_campaigns_together_look_at_no_more_than_one_search_may_cost(n: int) -> None:
    state = CampaignState()
    state.campaigns = [Campaign(str(number), 0, "sharing", 1.0, {}, {}) for number in range(n)]
    looked = n * len(find._nearest(state, np.arange(5000), np.zeros(5000)))
    assert looked <= find.JOIN_LOOKS_MAX
    assert looked + state.joiners_skipped * n == 5000 * n


def test_cuts_of_batches_do_not_matter() -> None:
    traffic = Traffic(seed=9)
    traffic.honest(40)
    traffic.fed(8, {"network": 7}, 2.0, 4.0)
    events = traffic.log()
    whole, cut = new_links(traffic.n_rows), new_links(traffic.n_rows)
    assert play(whole, events) == play(cut, events, cut=17)
    assert whole.links.tobytes() == cut.links.tobytes()


def test_a_state_taken_and_put_goes_on_as_if_nothing_had_been() -> None:
    traffic = Traffic(seed=10)
    traffic.honest(40)
    traffic.fed(8, {"network": 7}, 2.0, 4.0)
    events = traffic.log()
    straight = new_links(traffic.n_rows)
    findings = play(straight, events)
    middle_ms = START_MS + 2 * DAY_MS + 18 * SEARCH_MS
    half = int(np.searchsorted(events.times_ms, middle_ms))
    before = new_links(traffic.n_rows)
    early = play(before, some(events, 0, half))
    rows = np.arange(traffic.n_rows)
    after = new_links(traffic.n_rows)
    after.put(rows, before.take(rows))
    after.campaigns = copy.deepcopy(before.campaigns)
    assert early + play(after, events, from_ms=middle_ms) == findings


def test_what_everybody_shares_makes_no_group_and_is_counted() -> None:
    traffic = Traffic(seed=11)
    traffic.fed(40, {"network": 7}, 0.0, 2.0, per_account=20)
    state = new_links(traffic.n_rows)
    assert named(play(state, traffic.log())) == set()
    assert state.groups_dropped > 0


def test_an_account_with_a_row_for_each_of_many_models_is_no_group() -> None:
    traffic = Traffic(seed=12)
    traffic.honest(60)
    rows = traffic.fed(10, {"network": 7}, 2.0, 5.0)
    state = new_links(traffic.n_rows)
    state.links["account"][rows] = 999
    assert named(play(state, traffic.log())) == set()


def test_a_campaign_ends_when_its_accounts_have_been_silent_for_a_week() -> None:
    traffic = Traffic(seed=13)
    traffic.honest(40)
    traffic.fed(8, {"network": 7}, 2.0, 4.0)
    state = new_links(traffic.n_rows)
    play(state, traffic.log())
    assert len(state.campaigns) == 1
    endings = search(state, START_MS + 12 * DAY_MS)
    assert [each.change for each in endings] == ["ended"]
    assert not state.campaigns


def test_nothing_is_named_on_the_first_day() -> None:
    traffic = Traffic(seed=14)
    traffic.honest(40, days=1)
    traffic.fed(8, {"network": 7}, 0.0, 0.9)
    assert play(new_links(traffic.n_rows), traffic.log()) == []


def test_rows_given_to_others_leave_their_campaign() -> None:
    traffic = Traffic(seed=15)
    traffic.honest(40)
    ring = traffic.fed(8, {"network": 7}, 2.0, 4.0)
    state = new_links(traffic.n_rows)
    play(state, traffic.log())
    state.clear(np.array(ring[:2]))
    assert set(state.campaigns[0].members) == set(ring[2:])


def test_a_search_of_nothing_finds_nothing() -> None:
    state = CampaignState()
    state.grow(3)
    traffic = Traffic()
    traffic.honest(1)
    fold(state.links, some(traffic.log(), 0, 0))
    assert search(state, START_MS) == []


def test_two_groups_that_overlap_become_one_campaign() -> None:
    traffic = Traffic(seed=16)
    traffic.honest(60)
    ring = traffic.fed(16, {"agent": 55}, 2.0, 5.0)
    for _, row, values, *_ in traffic.queries:  # two networks that a third of the ring both use
        if row in ring:
            at = ring.index(row)
            network = 7 if at < 6 or (at < 10 and traffic.rng.random() < 0.5) else 8
            values[KINDS.index("network")] = network
    state = new_links(traffic.n_rows)
    findings = play(state, traffic.log())
    assert len(state.campaigns) == 1
    assert set(state.campaigns[0].members) == set(ring)
    assert named(findings) == set(ring)


def test_who_shares_everything_with_everyone_hides_nobody_and_is_counted() -> None:
    traffic = Traffic(seed=17)
    traffic.honest(40)
    ring = traffic.fed(10, {"network": 7}, 2.0, 4.0)
    flood = traffic.honest(60, queries=150)
    for _, row, values, *_ in traffic.queries:  # busier than the ring, in dozens of groups each
        if row in flood:
            for kind in ("network", "agent", "parameters", "opening", "ending"):
                slots = 4 if kind != "opening" and kind != "ending" else 12
                values[KINDS.index(kind)] = 50_000 + int(traffic.rng.integers(0, slots))
    state = new_links(traffic.n_rows)
    assert named(play(state, traffic.log())) == set(ring)
    assert state.groups_dropped > 0


def test_a_group_too_many_is_left_out_but_an_account_in_few_is_looked_at() -> None:
    many = [Group((code,), np.arange(10)) for code in range(LOOKS_MAX + 5)]
    alone = Group((99,), np.arange(10, 20))
    kept = within_looks([*many, alone], 20)
    assert kept == [*many[:LOOKS_MAX], alone]
