"""The detector against thieves among honest users, judged by the same code as `copycatch replay`.

Bounds are statistical: wide enough to hold for any seed, tight enough that a broken feature shows. Over nine
seeds 71 of 72 thieves were named, a seed's thieves got 21 to 54 answers on average, and 4 to 8 of 160 honest
accounts were alerted on. By hand: without the component `novelty` of `scoring.components` the others still
find 5 or 6 of 8, but after 141 and 114 answers on average (seeds 12, 13), and these tests fail.

`make nightly` draws a new seed each time. A failure prints its seed; `COPYCATCH_TEST_SEED=<seed>` repeats it.
"""

import os
import statistics
from dataclasses import dataclass
from pathlib import Path

import pytest

from copycatch.records.policy import Policy
from copycatch.redteam.campaign import AttackSpec, CampaignPlan, simulate
from copycatch.redteam.judging import judge_log
from copycatch.redteam.trace import write_campaign
from copycatch.redteam.verdicts import BenignResult, GroupResult, Verdicts
from copycatch.redteam.victims import build_victim

# The two whose embeddings and answers differ most: images with a network, rows with a forest.
VICTIMS = ("digits", "tabular")
ATTACKS = ("uniform", "uniform", "knockoff_random", "knockoff_random")
QUERIES = 300
SEED = 12
# Fewer honest accounts give the detector too little to learn from in the two days before the thieves come.
N_BENIGN = 80

# All the tests share one set of campaigns, so they belong to one worker.
pytestmark = pytest.mark.xdist_group("regression")


@dataclass(frozen=True)
class Judged:
    """All campaigns of one seed, and the verdicts."""

    seed: int
    thieves: tuple[GroupResult, ...]
    honest: tuple[tuple[str, BenignResult], ...]

    def __str__(self) -> str:
        thieves = ", ".join(
            f"{each.kind} {each.alert.queries if each.alert.is_hit else 'missed'}" for each in self.thieves
        )
        honest = ", ".join(f"{kind} {each.alerted}" for kind, each in self.honest if each.alerted)
        return f"COPYCATCH_TEST_SEED={self.seed}; queries at the alert: {thieves}; honest alerted: {honest}"


def judged(seed: int, folder: Path) -> Judged:
    """Steal from each victim among honest users, and let the product read the logs."""
    verdicts = [_verdicts(victim, seed, folder / victim) for victim in VICTIMS]
    thieves = tuple(thief for each in verdicts for thief in each.groups)
    return Judged(seed, thieves, tuple(kind for each in verdicts for kind in each.benign.items()))


def _verdicts(victim: str, seed: int, folder: Path) -> Verdicts:
    attacks = tuple(AttackSpec(attack, budget=QUERIES) for attack in ATTACKS)
    plan = CampaignPlan(victim, seed, days=5, n_benign=N_BENIGN, attacks=attacks)
    write_campaign(simulate(plan, build_victim(victim, seed)), folder)
    return judge_log(folder, Policy())


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    seed = int(os.environ.get("COPYCATCH_TEST_SEED", SEED))
    print(f"COPYCATCH_TEST_SEED={seed}")
    return judged(seed, tmp_path_factory.mktemp("campaigns"))


def test_thieves_with_strange_data_are_found(campaigns: Judged) -> None:
    assert len(campaigns.thieves) == len(VICTIMS) * len(ATTACKS)
    assert sum(each.alert.is_hit for each in campaigns.thieves) >= 6, str(campaigns)


def test_they_are_found_early(campaigns: Judged) -> None:
    """What thieves get answered on average; one who is never named gets it all."""
    answered = [QUERIES if each.alert.queries is None else each.alert.queries for each in campaigns.thieves]
    assert statistics.fmean(answered) <= 100, str(campaigns)


def test_honest_users_are_left_alone(campaigns: Judged) -> None:
    alerted = sum(each.alerted for _, each in campaigns.honest)
    assert sum(each.accounts for _, each in campaigns.honest) == len(VICTIMS) * N_BENIGN
    assert alerted <= 0.1 * len(VICTIMS) * N_BENIGN, str(campaigns)
