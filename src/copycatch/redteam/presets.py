"""Campaigns worth running by name."""

from __future__ import annotations

from collections.abc import Callable

from copycatch.redteam.campaign import AttackSpec, CampaignPlan


def trace_plan(victim: str, seed: int, budget: int = 1500) -> CampaignPlan:
    """The layout of the development traces: 150 honest accounts, a week, eight attacks."""
    names = ("uniform", "knockoff_random", "jbda", "activethief_unc", "tramer_linesearch", "indomain_random")
    hidden = (
        AttackSpec("knockoff_random", "lowslow_cover75", budget),
        AttackSpec("jbda", "ring10", round(budget * 4 / 3)),
    )
    return CampaignPlan(victim, seed, attacks=(*(AttackSpec(n, budget=budget) for n in names), *hidden))


def demo_plan(victim: str, seed: int, budget: int = 600) -> CampaignPlan:
    """Small and fast: five attackers among 80 honest accounts in five days."""
    attacks = (
        AttackSpec("knockoff_random", budget=budget),
        AttackSpec("jbda", budget=budget),
        AttackSpec("activethief_unc", budget=budget),
        AttackSpec("uniform", budget=budget // 2),
        AttackSpec("jb_random_targeted", "ring10", budget=budget),
    )
    return CampaignPlan(victim, seed, days=5.0, n_benign=80, attacks=attacks)


PRESETS: dict[str, Callable[[str, int, int], CampaignPlan]] = {"trace": trace_plan, "demo": demo_plan}
