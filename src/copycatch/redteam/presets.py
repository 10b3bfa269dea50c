"""Campaigns worth running by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from copycatch.errors import ConfigError
from copycatch.redteam.attacks.catalog import ATTACKS
from copycatch.redteam.campaign import AttackSpec, CampaignPlan
from copycatch.redteam.disguises import DISGUISES

TEXT_VICTIMS = frozenset({"intents", "llm"})
LANGUAGE_ATTACKS = (
    "topic_sweep",
    "self_instruct",
    "logprob_harvest",
    "reasoning_elicitation",
    "template_campaign",
    "indomain_random",
)
CLASSIC_ATTACKS = (
    "uniform",
    "knockoff_random",
    "jbda",
    "activethief_unc",
    "tramer_linesearch",
    "indomain_random",
)


def trace_plan(victim: str, seed: int, budget: int) -> CampaignPlan:
    """The layout of the development traces: 150 honest accounts, a week, eight attacks."""
    names = LANGUAGE_ATTACKS if victim == "llm" else CLASSIC_ATTACKS
    hidden = (
        AttackSpec("knockoff_random", "lowslow_cover75", budget),
        AttackSpec("template_campaign" if victim == "llm" else "jbda", "ring10", round(budget * 4 / 3)),
    )
    return CampaignPlan(victim, seed, attacks=(*(AttackSpec(n, budget=budget) for n in names), *hidden))


def demo_plan(victim: str, seed: int, budget: int) -> CampaignPlan:
    """Small and fast: five attackers among 80 honest accounts in five days."""
    names = LANGUAGE_ATTACKS[:4] if victim == "llm" else CLASSIC_ATTACKS[:4]
    ring = AttackSpec("template_campaign" if victim == "llm" else "jb_random_targeted", "ring10", budget)
    attacks = (*(AttackSpec(n, budget=budget) for n in names), ring)
    return CampaignPlan(victim, seed, days=5.0, n_benign=80, attacks=attacks)


def small_plan(victim: str, seed: int, budget: int) -> CampaignPlan:
    """Seconds: three attackers among 30 honest accounts, too few for a verdict to mean much."""
    names = LANGUAGE_ATTACKS[:3] if victim == "llm" else CLASSIC_ATTACKS[:3]
    attacks = tuple(AttackSpec(n, budget=budget) for n in names)
    return CampaignPlan(victim, seed, days=4.0, n_benign=30, attacks=attacks, volume_share=0.5)


def all_plan(victim: str, seed: int, budget: int) -> CampaignPlan:
    """Every attack that fits the victim, and every disguise on one of them."""
    kind = "text" if victim in TEXT_VICTIMS else "tabular"
    plain = [
        AttackSpec(name, budget=budget)
        for name, row in ATTACKS.items()
        if kind in row.kinds
        and row.needs is None  # the same campaign wherever it runs
        and (victim == "llm" or not row.is_on_logits)
    ]
    # Thieves must stay few beside 150 honest accounts, or they are what the detector learns as normal.
    hidden = [
        AttackSpec("knockoff_random", disguise, budget) for disguise in DISGUISES if disguise != "plain"
    ]
    hidden += [AttackSpec("jbda", disguise, budget) for disguise in ("cover50", "noise")]
    return CampaignPlan(victim, seed, attacks=(*plain, *hidden))


def hiding_plan(victim: str, seed: int, budget: int) -> CampaignPlan:
    """Attacks that hide by cheap or refused queries, fresh names or many accounts, beside plain ones."""
    names = LANGUAGE_ATTACKS[:2] if victim == "llm" else ("knockoff_random", "jbda")
    hidden = ("plain", "fillers", "refused_prelude", "tenant_hopping")
    attacks = [AttackSpec(name, disguise, budget) for name in names for disguise in hidden]
    return CampaignPlan(victim, seed, attacks=(*attacks, AttackSpec(names[0], "thin", budget)))


def parse_attack(text: str, budget: int) -> AttackSpec:
    """An attack as written on a command line: NAME[+DISGUISE][=QUERIES].

    Examples
    --------
    >>> parse_attack("jbda+ring10=400", 1500)
    AttackSpec(attack='jbda', disguise='ring10', budget=400, arrivals=None)
    >>> parse_attack("uniform", 1500).budget
    1500
    """
    what, _, wanted = text.partition("=")
    attack, _, disguise = what.partition("+")
    if wanted and not wanted.isdecimal():
        message = f"--attack {text}: {wanted!r} is no number of queries; write NAME+DISGUISE=QUERIES"
        raise ConfigError(message)
    return AttackSpec(attack, disguise or "plain", int(wanted) if wanted else budget)


@dataclass(frozen=True)
class Preset:
    """One row of the table of campaigns."""

    make: Callable[[str, int, int], CampaignPlan]
    budget: int
    description: str


PRESETS: dict[str, Preset] = {
    "trace": Preset(trace_plan, 1500, "eight attacks, 150 honest accounts, a week (about 80,000 records)"),
    "demo": Preset(demo_plan, 600, "five attacks, 80 honest accounts, five days (about 30,000 records)"),
    "small": Preset(
        small_plan, 300, "three attacks, 30 honest accounts, four days: plumbing only, too few to judge by"
    ),
    "hiding": Preset(hiding_plan, 600, "two attacks, plain and in the disguises that cost a thief little"),
    "all": Preset(all_plan, 600, "every attack that fits and needs no extra, every disguise on one of them"),
}
