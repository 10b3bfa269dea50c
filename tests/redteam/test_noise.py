"""Noise on a model of thirty columns is no client with wrong units, as in two of three seeds it once was.

Every coordinate of uniform noise lies far off, all alike, which looked like a mistake of preprocessing:
its novelty counted a fifth. What tells it is that its coordinates do not go together (`input_coupling`). Over
seeds 1, 2, 3 and 51 all eight thieves were named, after 13 to 204 of 300 queries; 15 teach all of this model.
"""

import os
from pathlib import Path

import pytest

from copycatch.records.policy import Policy
from copycatch.redteam.campaign import AttackSpec, CampaignPlan, simulate
from copycatch.redteam.judging import judge_log
from copycatch.redteam.trace import write_campaign
from copycatch.redteam.verdicts import Verdicts
from copycatch.redteam.victims import build_victim

VICTIM, QUERIES, SEED, N_BENIGN = "cancer", 300, 2, 60  # breast tumours, thirty columns that go together


def noise_judged(seed: int, folder: Path) -> Verdicts:
    """Two thieves who ask uniform noise, among honest users, and what the product says of them."""
    attacks = (AttackSpec("uniform", budget=QUERIES), AttackSpec("uniform", budget=QUERIES))
    plan = CampaignPlan(VICTIM, seed, days=4, n_benign=N_BENIGN, attacks=attacks)
    write_campaign(simulate(plan, build_victim(VICTIM, seed)), folder)
    return judge_log(folder, Policy())


@pytest.mark.xdist_group("noise")
def test_noise_passes_for_no_client_with_wrong_units(tmp_path: Path) -> None:
    seed = int(os.environ.get("COPYCATCH_TEST_SEED", SEED))
    found = noise_judged(seed, tmp_path)
    answered = [each.alert.queries for each in found.groups]
    assert len(answered) == 2
    assert all(n is not None and n <= 250 for n in answered), f"COPYCATCH_TEST_SEED={seed}: {answered}"
