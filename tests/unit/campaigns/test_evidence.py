"""Each piece of evidence against what is known of it."""

import math

import numpy as np
import pytest
from tests.unit.campaigns.rings import START_MS, Traffic, new_links

from copycatch.campaigns.activity import Together, joint_activity, own_parts
from copycatch.campaigns.deck import measure_deck
from copycatch.campaigns.evidence import IN_STEP_MIN, TURNS_MIN, TURNS_PART_MAX, turns_of
from copycatch.campaigns.finding import Finding, Link
from copycatch.campaigns.fold import fold
from copycatch.campaigns.layout import PANES
from copycatch.campaigns.lives import common_start, succession
from copycatch.campaigns.words import REASONS, describe


def test_spread_is_about_one_for_one_deck_and_large_for_many() -> None:
    traffic = Traffic(seed=1)
    fed = np.array(traffic.fed(20, {}, 0, 2))
    honest = np.array(traffic.honest(20))
    state = new_links(traffic.n_rows)
    fold(state.links, traffic.log())
    one, many = measure_deck(state.columns, fed), measure_deck(state.columns, honest)
    assert one is not None
    assert many is not None
    assert 0.7 < one.spread < 1.3 < 2.6 < many.spread
    assert np.nanmax(one.own) < 2.5
    mixed = measure_deck(state.columns, np.append(fed, honest[0]))
    assert mixed is not None
    assert mixed.own[-1] > 5


def test_the_same_questions_are_repeated_also_among_many() -> None:
    traffic = Traffic(seed=2)
    pupils = np.array(traffic.fed(20, {}, 0, 2, contents=30))
    ring = np.array(traffic.fed(60, {}, 0, 2, per_account=25))
    state = new_links(traffic.n_rows)
    fold(state.links, traffic.log())
    of_class, of_ring = measure_deck(state.columns, pupils), measure_deck(state.columns, ring)
    assert of_class is not None
    assert of_ring is not None
    assert of_class.repeated > 0.5
    assert of_ring.repeated < 0.05


def test_too_few_accounts_have_no_deck() -> None:
    state = new_links(5)
    assert measure_deck(state.columns, np.arange(5)) is None


@pytest.mark.parametrize("k", [4, 12, 60])
def test_independent_accounts_seldom_act_together(k: int) -> None:
    rng = np.random.default_rng(k)
    found = [
        joint_activity(rng.poisson(rng.uniform(0.02, 0.5, (k, 1)), (k, PANES)).astype(np.float32)).together
        for _ in range(20)
    ]
    assert max(found) < 4


def test_accounts_that_work_at_the_same_hours_are_not_in_step() -> None:
    rng = np.random.default_rng(3)
    days = rng.random(7) < 0.5  # one office: the same free days
    hours = np.maximum(np.sin(np.arange(PANES) / 144 * 2 * np.pi), 0)
    rate = 0.5 * np.repeat(days, 144) * hours
    activity = rng.poisson(rate, (10, PANES)).astype(np.float32)
    found = joint_activity(activity)
    assert found.together > 5
    assert found.in_step < IN_STEP_MIN


def test_own_parts_tell_members_from_others() -> None:
    rng = np.random.default_rng(4)
    rate = np.where(rng.random(PANES) < 0.05, 1.0, 0.01)
    members = rng.poisson(rate, (10, PANES)).astype(np.float32)
    other = rng.poisson(0.06, (1, PANES)).astype(np.float32)
    total = members.sum(axis=0, dtype=np.float64)
    assert own_parts(members, total, is_member=True).min() > 4
    assert own_parts(other, total, is_member=False)[0] < 3
    silent = np.zeros((1, PANES), dtype=np.float32)
    assert own_parts(silent, total, is_member=False)[0] == 0


def test_a_chain_is_a_surprise_and_a_crowd_is_not() -> None:
    traffic = Traffic(seed=5)
    traffic.n_rows = 20
    for row in range(10):
        for time_ms in traffic.times(50, 0.5 * row, 0.5 * row + 0.5):
            traffic.ask(row, time_ms, 1, {})
        for time_ms in traffic.times(50, 0, 5):
            traffic.ask(10 + row, time_ms, 1, {})
    state = new_links(20)
    fold(state.links, traffic.log())
    assert succession(state.columns, np.arange(10)) > 3
    assert succession(state.columns, np.arange(10, 20)) == 0
    assert succession(state.columns, np.array([0])) == 0


def test_common_start_is_the_binomial_tail_paid_for_every_bucket() -> None:
    n_buckets, chance = 20, max(1 / 20, (0 + 1) / (30 + 20))
    tail = sum(math.comb(10, k) * chance**k * (1 - chance) ** (10 - k) for k in range(8, 11))
    assert common_start(8, 10, 0, 30, n_buckets) == pytest.approx(-math.log(tail) - math.log(n_buckets))
    assert common_start(8, 10, 25, 30, n_buckets) == 0


@pytest.mark.parametrize("reason", list(REASONS))
def test_words_tell_who_why_and_what_to_do(reason: str) -> None:
    statistics = dict.fromkeys((*REASONS, "spread"), 9.0)
    finding = Finding(
        "c", "found", START_MS, START_MS, START_MS, START_MS, reason, 2.0, {reason: 1.5},
        statistics, 100, (), (),
        (Link("network", 11, 0, 3.0), Link("agent", 9, 12, 1.0)),
    )  # fmt: skip
    words = describe(finding)
    assert "11 share a network" in words
    assert "nobody else uses" in words
    assert "12 others use" in words
    assert "allow its accounts" in words


def test_accounts_that_take_turns_act_less_together_than_chance_has_it() -> None:
    rng = np.random.default_rng(3)
    owners = rng.integers(8, size=PANES)
    dealt = (owners[None, :] == np.arange(8)[:, None]).astype(np.float32)
    alone = rng.poisson(0.15, dealt.shape).astype(np.float32)
    assert turns_of(joint_activity(dealt - dealt.mean(axis=1, keepdims=True))) > TURNS_MIN / 2
    assert turns_of(joint_activity(alone - alone.mean(axis=1, keepdims=True))) < TURNS_MIN / 2
    assert turns_of(Together(-3.0, 0.5)) == 0
    assert TURNS_PART_MAX < 1  # never enough by itself
