"""What a newcomer does, in a copy of the source: features, a signal and a family come and go.

The copy starts with the shipped weights, goes on from a snapshot that was made before the change, and
teaches.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.growth import BATCH, N_BEFORE, POLICY, grown_batches, grown_outcomes
from tests.support.traffic import NOW_MS

from copycatch.engine import new_state, snapshot, step
from copycatch.features.catalog import NAMES
from copycatch.redteam.campaign import AttackSpec, CampaignPlan, simulate
from copycatch.redteam.trace import write_campaign
from copycatch.redteam.victims import build_victim
from copycatch.scoring.catalog import FAMILIES
from copycatch.scoring.pretrained_weights import read_pretrained_weights
from copycatch.scoring.scored_features import SCORED_NAMES
from copycatch.units import UnixMs

pytestmark = pytest.mark.xdist_group("new_features")  # the changed copy is compiled once
ROOT = Path(__file__).parents[3]
OF_KNOWN_SIGNAL, OF_NEW_SIGNAL, OF_NEW_FAMILY, DROPPED = (
    "flip_spell",
    "output_entropy",
    "edge_use",
    "near_steps",
)
# File, after what, and what a newcomer writes there.
CHANGES = (
    ("features/catalog.py", "FEATURES: tuple[Feature, ...] = (\n", f"""
    _both("{OF_KNOWN_SIGNAL}", "probing", "share", (0, 1), "share of labels that flip", LABEL,
          partial(_mean, "is_flip"), Scored("probing", +1, 0.05)),
    _both("{OF_NEW_SIGNAL}", "boundary", "1", (0, 1), "entropy of the answers", PROBS,
          partial(_mean, "answer_entropy"), Scored("boundary", +1, 0.05)),
    _both("{OF_NEW_FAMILY}", "entropy", "share", (0, 1), "share of values at the edge", ("input",),
          partial(_mean, "edge_share"), Scored("edges", +1, 0.05)),
"""),
    ("scoring/components.py", "FEATURE_COMPONENTS: tuple[Component, ...] = (\n", """
    Component("edges", ("edges",), 2.0),
"""),
    ("layout/signals.py", "_TABLE: tuple[SignalSpec, ...] = (\n", """
    SignalSpec("answer_entropy", "novel", "recent", "entropy of the output"),
"""),
    ("signals/compute.py", '    _put(signals, "margin", batch.margins)\n', """
    _put(signals, "answer_entropy", batch.entropies)
"""),
)  # fmt: skip


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which `copycatch` is the changed copy."""
    source = tmp_path_factory.mktemp("changed") / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name, anchor, added in CHANGES:
        path = source / "copycatch" / name
        text = path.read_text("utf-8")
        assert text.count(anchor) == 1, f"{name} has no single {anchor!r}"
        path.write_text(text.replace(anchor, anchor + added), "utf-8")
    catalog = source / "copycatch" / "features" / "catalog.py"
    lines = catalog.read_text("utf-8").splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if f'"{DROPPED}"' in line)
    after = next(i for i in range(first + 1, len(lines)) if lines[i].startswith("    _"))
    catalog.write_text("".join(lines[:first] + lines[after:]), "utf-8")
    return os.environ | {"PYTHONPATH": str(source)}


def run(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_tiny(victim: str, folder: Path) -> str:
    """Just enough honest accounts for a calibration, and two attacks."""
    attacks = tuple(AttackSpec(name, budget=300) for name in ("uniform", "knockoff_random"))
    plan = CampaignPlan(victim, 3, days=4.0, n_benign=50, attacks=attacks, volume_share=0.5)
    write_campaign(simulate(plan, build_victim(victim, 3), lambda _said: None), folder)
    return str(folder)


def test_a_snapshot_made_before_goes_on(changed: dict[str, str], tmp_path: Path) -> None:
    state, batches = new_state(POLICY), grown_batches()
    for batch in batches[: N_BEFORE // BATCH]:
        step(state, batch, UnixMs(NOW_MS), POLICY)
    with (tmp_path / "before.snapshot").open("wb") as file:
        snapshot(state, "logs:0", file.write)
    expected = grown_outcomes(state)
    run(changed, "tests.support.growth", str(tmp_path / "before.snapshot"), str(tmp_path / "after.npz"))
    with np.load(tmp_path / "after.npz") as found:
        after: dict[str, Any] = dict(found)
    assert after["warnings"].tolist() == []
    names = after["names"].tolist()
    assert set(names) ^ set(NAMES) == {OF_KNOWN_SIGNAL, OF_NEW_SIGNAL, OF_NEW_FAMILY, DROPPED}
    for name in set(names) & set(NAMES):
        np.testing.assert_array_equal(
            after["lifetime"][:, names.index(name)], expected["lifetime"][:, NAMES.index(name)], err_msg=name
        )
    known = {
        name: np.isfinite(after["lifetime"][:, names.index(name)])
        for name in (OF_KNOWN_SIGNAL, OF_NEW_SIGNAL, OF_NEW_FAMILY)
    }
    assert known[OF_NEW_FAMILY].mean() > 0.9, "its signal was summed before"
    assert known[OF_KNOWN_SIGNAL].mean() > 0.5
    assert not known[OF_NEW_SIGNAL][0], "nothing of it was summed before"
    assert known[OF_NEW_SIGNAL][-20:].any()
    assert np.isfinite(expected["tail_probs"]).any()
    np.testing.assert_array_equal(np.isfinite(after["tail_probs"]), np.isfinite(expected["tail_probs"]))
    families = after["families"].tolist()
    assert set(families) - set(FAMILIES) == {"edges"}
    novelty, before = (each["family_values"] for each in (after, expected))
    column, column_before = families.index("novelty"), FAMILIES.index("novelty")
    np.testing.assert_array_equal(novelty[:20, column], before[:20, column_before])


def test_teaching_knows_what_is_new(changed: dict[str, str], tmp_path: Path) -> None:
    traces = [write_tiny(victim, tmp_path / victim) for victim in ("wine", "tabular")]
    out = tmp_path / "weights.json"
    said = run(
        changed, "tests.benchmarks.detection.teach", "--traces", *traces, "--work", str(tmp_path),
        "--out", str(out), "--jobs", "1",
    )  # fmt: skip
    assert "2 campaigns" in said
    trained = read_pretrained_weights(out.read_bytes())
    assert set(trained.names) ^ set(SCORED_NAMES) == {OF_KNOWN_SIGNAL, OF_NEW_SIGNAL, OF_NEW_FAMILY, DROPPED}
    assert json.loads(out.read_bytes())["coefficients"][OF_NEW_SIGNAL] != 0
    here = trained.for_inputs(SCORED_NAMES)
    assert here.coefficients[SCORED_NAMES.index(DROPPED)] == 0
    assert here.attack_evaluations.shape[1] == len(SCORED_NAMES)
