from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from copycatch.errors import ConfigError
from copycatch.redteam.campaign import AttackSpec, Campaign, CampaignPlan, queries_of, simulate
from copycatch.redteam.disguises import DISGUISES, SLOW_QUERIES_PER_DAY
from copycatch.redteam.playback import Playback
from copycatch.redteam.schedules import Schedule
from copycatch.redteam.victims import Victim
from copycatch.units import MS_PER_DAY, UnixMs, parse_rfc3339

VictimOf = Callable[[str], Victim]


def campaign_of(victim: Victim, *attacks: AttackSpec, seed: int = 3, n_benign: int = 2) -> Campaign:
    plan = CampaignPlan(victim.name, seed, days=4, warmup_days=1, n_benign=n_benign, attacks=attacks)
    return simulate(plan, victim)


def attack_schedules(campaign: Campaign) -> list[Schedule]:
    return [schedule for schedule in campaign.schedules if schedule.is_attack]


@pytest.mark.parametrize(
    ("disguise", "name"),
    [*((d, "wine") for d in DISGUISES), *((d, "intents") for d in ("noise", "matched", "mistaken"))],
)
def test_every_disguise_wraps_an_attack(disguise: str, name: str, victim_of: VictimOf) -> None:
    spec = AttackSpec("knockoff_random", disguise, budget=60)
    campaign = campaign_of(victim_of(name), spec)
    schedules = attack_schedules(campaign)
    row = DISGUISES[disguise]
    attack_queries = sum(int(schedule.is_attack_query.sum()) for schedule in schedules)
    assert attack_queries == queries_of(campaign.plan) == campaign.fidelity[0]["curve"][-1][0]
    assert len(schedules) <= row.n_accounts
    assert len({schedule.group for schedule in schedules}) == 1
    total = sum(len(schedule) for schedule in schedules)
    assert abs(attack_queries / total - (1 - row.cover_share)) < 0.01
    for schedule in schedules:
        assert (np.diff(schedule.times_ms) >= 0).all()
        assert schedule.times_ms[0] >= campaign.plan.attack_start_ms
        assert schedule.times_ms[-1] < campaign.plan.end_ms


def test_low_and_slow_keeps_a_light_users_pace(victim_of: VictimOf) -> None:
    campaign = campaign_of(victim_of("wine"), AttackSpec("uniform", "lowslow", 5000))
    schedule = attack_schedules(campaign)[0]
    assert len(schedule) == SLOW_QUERIES_PER_DAY * 3
    assert (schedule.times_ms[-1] - schedule.times_ms[0]) > 1.5 * MS_PER_DAY


def test_a_ring_shares_the_work_and_sometimes_the_network(victim_of: VictimOf) -> None:
    networks = {}
    for disguise in ("ring10", "ring10_shared", "ring10_topic"):
        campaign = campaign_of(victim_of("digits"), AttackSpec("indomain_random", disguise, 60))
        schedules = attack_schedules(campaign)
        networks[disguise] = {ip.rpartition(".")[0] for schedule in schedules for ip in schedule.client_ips}
        if disguise != "ring10_topic":
            assert {len(schedule) for schedule in schedules} == {6}
            continue
        owners: dict[int, set[str]] = {}
        for schedule in schedules:
            for label in schedule.probabilities.argmax(axis=1).tolist():
                owners.setdefault(label, set()).add(schedule.account_id)
        assert all(len(accounts) == 1 for accounts in owners.values())
    assert len(networks["ring10_shared"]) == 1
    assert len(networks["ring10"]) >= 10


def test_dressed_inputs_are_what_the_victim_answers(victim_of: VictimOf) -> None:
    victim = victim_of("digits")
    plain, noisy, matched = (
        attack_schedules(campaign_of(victim, AttackSpec("uniform", d, 24)))[0]
        for d in ("plain", "noise", "matched")
    )
    np.testing.assert_allclose(victim.classify(noisy.inputs), noisy.probabilities)
    natural = victim.held_out.mean(axis=0)
    assert (
        np.abs(matched.inputs.mean(axis=0) - natural).mean()
        < np.abs(plain.inputs.mean(axis=0) - natural).mean()
    )
    assert not np.array_equal(plain.inputs, noisy.inputs)


def test_fillers_are_near_repeats_of_one_query_and_stand_before_each_of_the_attack(
    victim_of: VictimOf,
) -> None:
    victim = victim_of("digits")
    schedule = attack_schedules(campaign_of(victim, AttackSpec("uniform", "fillers", 50)))[0]
    fillers = schedule.inputs[~schedule.is_attack_query]
    gaps = np.diff(np.flatnonzero(schedule.is_attack_query), prepend=-1)
    assert set(gaps.tolist()) == {10}
    spread = victim.held_out.std(axis=0).mean()
    assert np.abs(fillers - fillers.mean(axis=0)).mean() < 0.2 * spread
    assert len(np.unique(schedule.probabilities[~schedule.is_attack_query].argmax(axis=1))) == 1


def test_a_prelude_is_refused_and_a_hopper_never_shows_one_name_twice(victim_of: VictimOf) -> None:
    prelude = attack_schedules(campaign_of(victim_of("wine"), AttackSpec("uniform", "refused_prelude", 50)))[
        0
    ]
    assert not prelude.is_attack_query[:50].any()
    assert not prelude.is_answered[:50].any()
    campaign = campaign_of(victim_of("wine"), AttackSpec("uniform", "tenant_hopping", 50))
    account_id = attack_schedules(campaign)[0].account_id
    sent = [record for record in Playback(campaign) if record["account_id"] == account_id]
    assert len({record["user_agent"] for record in sent}) == len(sent) == 50


def test_a_mistaken_attack_varies_little_and_lies_off(victim_of: VictimOf) -> None:
    victim = victim_of("digits")
    plain, mistaken = (
        attack_schedules(campaign_of(victim, AttackSpec("knockoff_random", d, 60)))[0]
        for d in ("plain", "mistaken")
    )
    spread = victim.held_out.std(axis=0)
    known = spread > 0.3 * spread.max()
    away = (mistaken.inputs.mean(axis=0) - victim.held_out.mean(axis=0))[known] / spread[known]
    assert (mistaken.inputs.std(axis=0)[known] / spread[known]).mean() < 0.8
    assert np.sqrt((away**2).mean()) > 0.8
    assert mistaken.inputs.std() < plain.inputs.std()


def test_an_adaptive_attacker_moves_and_slows_down(victim_of: VictimOf) -> None:
    spec = AttackSpec("uniform", "adaptive", 200, arrivals="poisson")
    campaign = campaign_of(victim_of("wine"), spec)
    first = attack_schedules(campaign)[0].account_id
    undisturbed = [r for r in Playback(campaign) if r["account_id"] == first]
    playback, seen = Playback(campaign), []
    told_ms, fresh = 0, None
    for record in playback:
        seen.append(record)
        if (
            fresh is None
            and sum(r["account_id"] == first for r in seen) == 50
            and record["account_id"] == first
        ):
            told_ms = parse_rfc3339(record["event_time"])
            fresh = playback.on_alert(first, UnixMs(told_ms))
    counts = Counter(r["account_id"] for r in seen)
    assert fresh is not None
    assert counts[first] == 50
    assert 0 < counts[fresh] <= 150
    fresh_times = [parse_rfc3339(r["event_time"]) for r in seen if r["account_id"] == fresh]
    assert fresh_times[0] - told_ms >= 2 * 3600 * 1000
    gaps = np.diff([parse_rfc3339(r["event_time"]) for r in undisturbed])
    assert np.diff(fresh_times).mean() > 1.5 * gaps.mean()
    assert playback.schedule_of(fresh).group == first
    assert {r["client_ip"] for r in seen if r["account_id"] == fresh}.isdisjoint(
        {r["client_ip"] for r in undisturbed}
    )
    assert [r["event_time"] for r in seen] == sorted(r["event_time"] for r in seen)


def test_other_attackers_do_not_listen(victim_of: VictimOf) -> None:
    campaign = campaign_of(victim_of("wine"), AttackSpec("uniform", budget=20))
    account = attack_schedules(campaign)[0].account_id
    assert Playback(campaign).on_alert(account, UnixMs(campaign.plan.start_ms)) is None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (AttackSpec("nonesuch"), "jbda"),
        (AttackSpec("jbda", "nonesuch"), "ring10"),
        (AttackSpec("topic_sweep"), "does not fit"),
        (AttackSpec("logprob_harvest"), "does not fit"),
        (AttackSpec("jbda", budget=0), "at least 1"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_words(spec: AttackSpec, words: str, victim_of: VictimOf) -> None:
    with pytest.raises(ConfigError, match=words):
        campaign_of(victim_of("wine"), spec)
