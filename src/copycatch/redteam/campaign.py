"""A campaign: a victim, honest users and attackers, on one clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from copycatch.errors import ConfigError
from copycatch.redteam.arrivals import ARRIVALS
from copycatch.redteam.attacks.catalog import ATTACKS, AttackKind
from copycatch.redteam.attacks.language import layer_share
from copycatch.redteam.attacks.thief import Thief
from copycatch.redteam.benign import BENIGN_KINDS, draw_kinds, draw_queries
from copycatch.redteam.disguises import (
    DISGUISES,
    attack_budget,
    cover_queries,
    dress_of,
    mix_in_cover,
    shard,
)
from copycatch.redteam.extras import require_quietly
from copycatch.redteam.inputs import Rng, draw_style
from copycatch.redteam.oracle import Oracle, Transcript
from copycatch.redteam.schedules import (
    USER_AGENTS,
    Schedule,
    account_ids,
    benign_answers,
    draw_ip,
    draw_network,
)
from copycatch.redteam.students import curve_queries, fidelity_curve
from copycatch.redteam.victims import Victim
from copycatch.units import MS_PER_DAY

START_MS = 1_767_571_200_000  # 2026-01-05T00:00:00Z, a Monday, as in the development traces
Report = Callable[[str], None]


@dataclass(frozen=True)
class AttackSpec:
    """One attack to run.

    Examples
    --------
    >>> AttackSpec("jbda", "ring10").kind
    'jbda+ring10'
    """

    attack: str
    disguise: str = "plain"
    budget: int = 1500
    arrivals: str | None = None

    @property
    def kind(self) -> str:
        return self.attack if self.disguise == "plain" else f"{self.attack}+{self.disguise}"


@dataclass(frozen=True)
class CampaignPlan:
    """What to simulate.

    Attributes
    ----------
    victim : str
        Goes into `model_id`.
    seed : int
        Everything follows from it.
    days, warmup_days : float
        Attackers start after the warm-up.
    n_benign : int
        Honest accounts.
    attacks : tuple of AttackSpec
    volume_share : float
        Honest users ask this share of their usual number of queries.
    """

    victim: str
    seed: int
    days: float = 7.0
    warmup_days: float = 2.0
    n_benign: int = 150
    attacks: tuple[AttackSpec, ...] = ()
    volume_share: float = 1.0
    start_ms: int = START_MS

    @property
    def end_ms(self) -> int:
        return self.start_ms + round(self.days * MS_PER_DAY)

    @property
    def attack_start_ms(self) -> int:
        return self.start_ms + round(self.warmup_days * MS_PER_DAY)


@dataclass
class Campaign:
    """What was simulated: every account's schedule, and what each attack learnt.

    Attributes
    ----------
    plan : CampaignPlan
    victim : Victim
    schedules : list of Schedule
    fidelity : list of dict
        As `fidelity.json` of a trace.
    """

    plan: CampaignPlan
    victim: Victim
    schedules: list[Schedule] = field(default_factory=list)
    fidelity: list[dict[str, Any]] = field(default_factory=list)


def check_plan(plan: CampaignPlan, victim: Victim) -> None:
    """Refuse a plan that names what does not exist or does not fit the victim.

    Raises
    ------
    ConfigError
    """
    for spec in plan.attacks:
        if spec.attack not in ATTACKS:
            message = f"no attack {spec.attack!r}; there are: {', '.join(ATTACKS)}"
            raise ConfigError(message)
        if spec.disguise not in DISGUISES:
            message = f"no disguise {spec.disguise!r}; there are: {', '.join(DISGUISES)}"
            raise ConfigError(message)
        kind = ATTACKS[spec.attack]
        if victim.domain.kind not in kind.kinds or (kind.is_on_logits and victim.head is None):
            message = f"the attack {spec.attack!r} does not fit {victim.name!r} ({victim.domain.kind} input)"
            raise ConfigError(message)
        if kind.needs is not None:
            require_quietly(kind.needs)
        if spec.budget < 1:
            message = f"the budget of {spec.kind!r} must be at least 1"
            raise ConfigError(message)
    if not 0 <= plan.warmup_days < plan.days:
        raise ConfigError("warmup_days must be at least 0 and less than days")


def simulate(plan: CampaignPlan, victim: Victim, report: Report = lambda step: None) -> Campaign:
    """Run every attack for real, and honest users beside them.

    Parameters
    ----------
    plan : CampaignPlan
    victim : Victim
    report : callable
        Given the name of each step as it begins; there are `n_steps(plan)` of them.

    Examples
    --------
    >>> from copycatch.redteam.victims import build_victim
    >>> attacks = (AttackSpec("uniform", budget=20),)
    >>> plan = CampaignPlan("wine", seed=1, days=2, warmup_days=1, n_benign=3, attacks=attacks)
    >>> campaign = simulate(plan, build_victim("wine", seed=1))
    >>> len(campaign.schedules), campaign.fidelity[0]["attack"]
    (4, 'uniform')
    """
    check_plan(plan, victim)
    campaign = Campaign(plan, victim)
    rng = np.random.default_rng([plan.seed, 2])
    n_accounts = plan.n_benign + sum(DISGUISES[s.disguise].n_accounts for s in plan.attacks)
    names = account_ids(plan.victim[0], n_accounts, rng)
    report("honest users")
    for kind in draw_kinds(plan.n_benign, rng):
        campaign.schedules.append(_benign_schedule(plan, victim, kind, next(names), rng))
    for index, spec in enumerate(plan.attacks):
        report(spec.kind)
        # Each attack has its own stream: adding one changes no other.
        _run_attack(campaign, spec, names, np.random.default_rng([plan.seed, 3, index]))
    return campaign


def queries_of(plan: CampaignPlan) -> int:
    """How many attack queries a plan asks the victim in all."""
    days = plan.days - plan.warmup_days
    return sum(attack_budget(DISGUISES[s.disguise], s.budget, days) for s in plan.attacks)


def n_steps(plan: CampaignPlan) -> int:
    """How often `simulate` reports."""
    return 1 + len(plan.attacks)


def _benign_schedule(plan: CampaignPlan, victim: Victim, kind: str, account_id: str, rng: Rng) -> Schedule:
    row = BENIGN_KINDS[kind]
    # One in five comes while the detector already runs.
    is_newcomer = rng.random() < 0.2
    begin_ms = (
        round(rng.uniform(plan.start_ms, plan.end_ms - 0.3 * (plan.end_ms - plan.start_ms)))
        if is_newcomer
        else plan.start_ms
    )
    days = (plan.end_ms - begin_ms) / MS_PER_DAY
    n_queries = max(15, round(draw_queries(kind, days, rng) * plan.volume_share))
    arrivals = ARRIVALS[row.arrivals[int(rng.integers(len(row.arrivals)))]]
    inputs = row.compose(victim.domain, victim.usual, n_queries, draw_style(rng), rng)
    return Schedule(
        account_id=account_id,
        kind=f"benign:{kind}",
        group=account_id,
        is_attack=False,
        times_ms=arrivals(n_queries, begin_ms, plan.end_ms, rng),
        inputs=inputs,
        probabilities=victim.usual(inputs),
        is_answered=benign_answers(n_queries, rng),
        is_attack_query=np.zeros(n_queries, dtype=bool),
        params=[victim.api.draw_params(rng)] * n_queries,
        client_ips=_ips(rng),
        user_agent=str(rng.choice(USER_AGENTS)),
    )


def _ips(rng: Rng, network: str | None = None) -> tuple[str, ...]:
    return tuple(draw_ip(rng, network) for _ in range(int(rng.integers(1, 4))))


def _run_attack(campaign: Campaign, spec: AttackSpec, names: Iterator[str], rng: Rng) -> None:
    plan, victim = campaign.plan, campaign.victim
    disguise, kind = DISGUISES[spec.disguise], ATTACKS[spec.attack]
    budget = attack_budget(disguise, spec.budget, plan.days - plan.warmup_days)
    thief = Thief.draw(victim.domain, victim.n_outputs, rng)
    # A language model's answer is a text: its opening word is all there is to train on.
    is_label_only = kind.is_label_only or victim.head is not None
    oracle = Oracle(victim.classify, budget, rng, dress_of(disguise, thief, budget), is_label_only)
    kind.run(oracle, thief)
    transcript = oracle.transcript()
    assert len(transcript) == budget, f"{spec.kind} asked {len(transcript)} of {budget}"
    arrivals = spec.arrivals or (
        "rhythm" if disguise.is_slow else str(rng.choice(["rhythm", "burst", "poisson"]))
    )
    schedules = _attack_schedules(campaign, spec, thief, transcript, arrivals, names, rng)
    campaign.schedules.extend(schedules)
    campaign.fidelity.append(
        {
            "account": schedules[0].account_id if len(schedules) == 1 else None,
            "group": schedules[0].group,
            "model": plan.victim,
            "attack": spec.kind,
            "rep": 0,
            "arrivals": arrivals,
            "curve": _curve(victim, kind, transcript, rng),
        }
    )


def _curve(
    victim: Victim, kind: AttackKind, transcript: Transcript, rng: Rng
) -> list[tuple[int, float, float]]:
    """What the thief has after so many queries, from what the endpoint showed."""
    if kind.is_on_logits:
        assert victim.head is not None
        shares = {n: layer_share(transcript, n, victim.head.space()) for n in curve_queries(len(transcript))}
        return [(n, round(share, 4), round(share, 4)) for n, share in shares.items()]
    return fidelity_curve(victim, transcript, rng)


def _attack_schedules(
    campaign: Campaign, spec: AttackSpec, thief: Thief, transcript: Transcript,
    arrivals: str, names: Iterator[str], rng: Rng,
) -> list[Schedule]:  # fmt: skip
    """Deal an attack's queries, and its cover, to its accounts and to the clock."""
    plan, victim, disguise = campaign.plan, campaign.victim, DISGUISES[spec.disguise]
    n_attack = len(transcript)
    cover, is_attack = mix_in_cover(disguise, thief, n_attack, cover_queries(disguise, n_attack), rng)
    order = np.empty(len(is_attack), dtype=np.int64)
    order[is_attack], order[~is_attack] = np.arange(n_attack), np.arange(n_attack, len(is_attack))
    inputs = np.concatenate([transcript.inputs, cover])[order]
    probabilities = (
        np.concatenate([transcript.probabilities, victim.usual(cover)])[order]
        if len(cover)
        else transcript.probabilities
    )
    of_cover = np.zeros(len(cover), bool) if disguise.cover == "refused" else benign_answers(len(cover), rng)
    is_answered = np.concatenate([transcript.is_answered, of_cover])[order]
    own_params = [*transcript.params, *([None] * len(cover))]
    begin_ms = plan.attack_start_ms
    if not disguise.is_slow:
        begin_ms += round(rng.uniform(0, 0.3) * (plan.end_ms - begin_ms))
    times_ms = ARRIVALS[arrivals](len(is_attack), begin_ms, plan.end_ms, rng)
    owners = shard(disguise, probabilities.argmax(axis=1), rng)
    network = draw_network(rng) if disguise.is_network_shared else None
    schedules = []
    ring = f"ring-{plan.victim}-{spec.kind}-{plan.seed}-{int(rng.integers(1 << 30)):08x}"
    for owner in range(disguise.n_accounts):
        rows = np.flatnonzero(owners == owner)
        account_id = next(names)
        if len(rows) == 0:
            continue
        usual = victim.api.draw_params(rng)
        schedules.append(
            Schedule(
                account_id=account_id,
                kind=spec.kind,
                group=ring if disguise.n_accounts > 1 else account_id,
                is_attack=True,
                times_ms=times_ms[rows],
                inputs=inputs[rows],
                probabilities=probabilities[rows],
                is_answered=is_answered[rows],
                is_attack_query=is_attack[rows],
                params=[own_params[order[r]] or usual for r in rows.tolist()],
                client_ips=_ips(rng, network),
                user_agent=str(rng.choice(USER_AGENTS)),
                is_adaptive=disguise.is_adaptive,
                is_hopping=disguise.is_hopping,
            )
        )
    return schedules
