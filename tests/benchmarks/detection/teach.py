"""`make teach`: simulated campaigns teach the pretrained scorer and the components' weights; writes
`pretrained_weights.json`.

python -m tests.benchmarks.detection.teach                     simulates the campaigns of `CAMPAIGNS` anew
python -m tests.benchmarks.detection.teach --traces FOLDERS    whole traces that lie there, instead

The development traces are never used for training: they and fresh campaigns tell whether what was
learned holds elsewhere (`make bench-detection`).
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

import copycatch.scoring
from copycatch.records.columns import BoolArray, FloatArray, IntArray, Outcomes, Scores
from copycatch.records.policy import Policy
from copycatch.redteam.trace import LOG_NAME
from copycatch.scoring.catalog import COMPONENTS, FAMILIES, WEIGHTS
from copycatch.scoring.pretrained_weights import (
    FILE,
    WEIGHT_MAX,
    WEIGHT_MIN,
    PretrainedWeights,
    write_pretrained_weights,
)
from copycatch.scoring.protocol import MIDDLE, within_unit
from copycatch.scoring.scored_features import SCORED_NAMES
from copycatch.service.replay import replay
from copycatch.units import UnixMs
from tests.benchmarks.detection.judging import HARD_TO_FIND
from tests.benchmarks.detection.traces import found_traces
from tests.benchmarks.engine import NOW_MS
from tests.benchmarks.isolated import run_isolated

CAMPAIGNS = (
    ("digits", 22), ("digits", 24), ("tabular", 21), ("tabular", 25), ("intents", 23), ("intents", 26),
)  # fmt: skip
EVALUATIONS_PER_ACCOUNT = 6
QUERIES_MAX = 400  # later evaluations come too late to matter
STRENGTH = 3.0  # of the regression's fit against its coefficients' squares
CAUTION = 0.6  # how much the weights' logarithms cost: little is known from six campaigns
PRETRAINED = "pretrained"  # not weighed: it has seen the same attacks


@dataclass(frozen=True)
class Seen:
    """Evaluations of one campaign at calibrated populations.

    `positions` are those of the scored features, `parts` the components' parts of the score before they are
    weighed, (n, n_components).
    """

    accounts: list[str]
    queries: IntArray
    positions: FloatArray
    parts: FloatArray

    def picked(self, rows: IntArray) -> "Seen":
        names = [self.accounts[row] for row in rows.tolist()]
        return Seen(names, self.queries[rows], self.positions[rows], self.parts[rows])


def unweighed_parts(scores: Scores) -> FloatArray:
    """Each component's part of the score before it is weighed, (n, n_components)."""
    own = [[FAMILIES.index(family) for family in component.families] for component in COMPONENTS]
    weights = np.array([WEIGHTS[component.name] for component in COMPONENTS])
    parts = np.stack([scores.basis.parts[:, columns].sum(axis=1) for columns in own], axis=1)
    unweighed: FloatArray = parts / weights
    return unweighed


def watch(trace: str, out: str) -> dict[str, int]:
    """Replay a trace and keep what the scorers see; runs in a child."""
    kept: list[Seen] = []

    def keep(outcomes: Outcomes) -> None:
        for evaluations, scores in outcomes.evaluations:
            positions, parts = scores.basis.positions, unweighed_parts(scores)
            every = Seen(evaluations.account_ids, evaluations.queries, positions, parts)
            kept.append(every.picked(np.flatnonzero(~np.isnan(scores.basis.levels))))

    replay([str(Path(trace) / LOG_NAME)], Policy(), keep, now_ms=UnixMs(NOW_MS))
    np.savez_compressed(
        out,
        accounts=np.array([name for seen in kept for name in seen.accounts]),
        queries=np.concatenate([seen.queries for seen in kept]),
        positions=np.concatenate([seen.positions for seen in kept]),
        parts=np.concatenate([seen.parts for seen in kept]),
    )
    return {"evaluations": sum(len(seen.accounts) for seen in kept)}


def lesson_of(trace: Path, evaluations: Path) -> tuple[Seen, BoolArray, Seen, BoolArray]:
    """Evaluations for the regression and for the weights, each with who attacks.

    The weights are learned from each honest account's highest evaluation, for that one decides about a false
    alarm. In-domain attackers are left out: nobody can be asked to find them.
    """
    with (trace / "labels.csv").open(newline="") as file:
        kinds = {row["account_id"]: (row["is_attack"] == "1", row["kind"]) for row in csv.DictReader(file)}
    with np.load(evaluations) as found:
        seen = Seen(found["accounts"].tolist(), found["queries"], found["positions"], found["parts"])
    early = np.flatnonzero(seen.queries <= QUERIES_MAX)
    if not len(early):
        message = f"{trace}: nobody was evaluated after calibration; a longer campaign or more accounts"
        raise SystemExit(message)
    rows_by_account: dict[str, list[int]] = {}
    for row in early.tolist():
        rows_by_account.setdefault(seen.accounts[row], []).append(row)
    spread: list[int] = []
    highest: list[int] = []
    for account, rows in rows_by_account.items():
        is_attack, kind = kinds[account]
        if kind.startswith(HARD_TO_FIND):
            continue
        at = np.linspace(0, len(rows) - 1, min(len(rows), EVALUATIONS_PER_ACCOUNT)).round().astype(int)
        picks = [rows[index] for index in at.tolist()]
        spread += picks
        highest += picks if is_attack else [max(rows, key=lambda row: float(seen.parts[row].sum()))]
    one, other = seen.picked(np.array(spread)), seen.picked(np.array(highest))
    attacks = (np.array([kinds[account][0] for account in each.accounts]) for each in (one, other))
    return one, next(attacks), other, next(attacks)


def shares_of(is_attack: BoolArray) -> tuple[FloatArray, FloatArray]:
    """How much each evaluation counts, both kinds the same, and on which side of a threshold it is wrong."""
    share = np.where(is_attack, 0.5 / is_attack.sum(), 0.5 / (~is_attack).sum())
    return share, np.where(is_attack, -1.0, 1.0)


def loss_of(scores: FloatArray, is_attack: BoolArray) -> float:
    """Logistic loss at the best threshold and slope: what the order of the scores is worth."""
    share, sign = shares_of(is_attack)

    def cost(wanted: FloatArray) -> float:
        return float((share * np.logaddexp(0, sign * (np.exp(wanted[1]) * scores - wanted[0]))).sum())

    return float(minimize(cost, np.array([2.0, 0.0]), method="L-BFGS-B").fun)


def learn_weights(parts: FloatArray, is_attack: BoolArray) -> FloatArray:
    """Weights within their bounds that tell attacks from honest accounts' highest evaluations best.

    Logistic loss; the further a weight is from 1 the more it costs.
    """
    free = np.array([each.name != PRETRAINED for each in COMPONENTS])
    share, sign = shares_of(is_attack)

    def cost(wanted: FloatArray) -> float:
        threshold, slope, logs = wanted[0], np.exp(wanted[1]), wanted[2:]
        margins = sign * (slope * (parts @ np.exp(logs)) - threshold)
        return float((share * np.logaddexp(0, margins)).sum() + CAUTION * (logs**2).sum() / free.sum())

    within = (np.log(WEIGHT_MIN), np.log(WEIGHT_MAX))
    bounds = [(None, None), (-3, 3), *(within if each else (0.0, 0.0) for each in free.tolist())]
    found = minimize(cost, np.array([4.0, *np.zeros(1 + len(COMPONENTS))]), bounds=bounds, method="L-BFGS-B")
    weights: FloatArray = np.exp(found.x[2:]).clip(WEIGHT_MIN, WEIGHT_MAX)
    return weights


def weights_that_hold(campaigns: Sequence[tuple[str, FloatArray, BoolArray]]) -> dict[str, float]:
    """Learned weights, or none of them where they do not hold on each kind of victim that was left out.

    Parameters
    ----------
    campaigns : sequence of (victim, parts, is_attack)
    """

    def joined(wanted: set[str]) -> tuple[FloatArray, BoolArray]:
        kept = [(parts, is_attack) for victim, parts, is_attack in campaigns if victim in wanted]
        return np.concatenate([one for one, _ in kept]), np.concatenate([other for _, other in kept])

    victims = {victim for victim, _, _ in campaigns}
    gains = []
    for left_out in sorted(victims):
        weights = learn_weights(*joined(victims - {left_out}))
        parts, is_attack = joined({left_out})
        before, after = loss_of(parts.sum(axis=1), is_attack), loss_of(parts @ weights, is_attack)
        print(f"weights learned without {left_out}: loss there {before:.4f} unweighed, {after:.4f} weighed")
        gains.append(before - after)
    weights = learn_weights(*joined(victims))
    print("weights: " + ", ".join(f"{g.name} {w:.2f}" for g, w in zip(COMPONENTS, weights, strict=True)))
    if min(gains) <= 0:
        print("they do not hold on every victim left out: all stay at 1")
        return {}
    return {each.name: float(weight) for each, weight in zip(COMPONENTS, weights, strict=True)}


def teach(traces: list[Path], evaluations: list[Path]) -> PretrainedWeights:
    """What some campaigns teach."""
    parts = [lesson_of(trace, place) for trace, place in zip(traces, evaluations, strict=True)]
    positions = within_unit(np.concatenate([one.positions for one, _, _, _ in parts]), MIDDLE)
    is_attack = np.concatenate([attack for _, attack, _, _ in parts])
    fitted = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=5000).fit(positions, is_attack)
    campaigns = [json.loads((trace / "meta.json").read_bytes()) for trace in traces]
    victims = ["+".join(each["victims"]) for each in campaigns]
    weights = weights_that_hold(
        [(victim, high.parts, attack) for victim, (_, _, high, attack) in zip(victims, parts, strict=True)]
    )
    trained_on = [f"{name}, seed {each['seed']}" for name, each in zip(victims, campaigns, strict=True)]
    return PretrainedWeights(
        SCORED_NAMES, fitted.coef_[0], float(fitted.intercept_[0]), positions[is_attack], weights, trained_on
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make teach", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--traces", type=Path, nargs="*", help="folders of traces, instead of simulating")
    parser.add_argument("--jobs", type=int, default=2, help="children side by side")
    parser.add_argument(
        "--work", type=Path, default=Path("bench-out") / "teach", help="traces and evaluations"
    )
    parser.add_argument("--out", type=Path, default=Path(copycatch.scoring.__path__[0]) / FILE)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        if args.traces:
            traces = found_traces(args.traces)
        else:
            made = pool.map(partial(_simulate, args.work), CAMPAIGNS)
            traces = [Path(each["folder"]) for each in made]
        evaluations = [args.work / f"{trace.name}.npz" for trace in traces]
        list(pool.map(_watch, traces, evaluations))
    trained = teach(traces, evaluations)
    args.out.write_bytes(write_pretrained_weights(trained))
    print(f"{len(trained.attack_evaluations)} evaluations of attackers, {len(traces)} campaigns: {args.out}")
    return 0


def _simulate(work: Path, campaign: tuple[str, int]) -> dict[str, Any]:
    victim, seed = campaign
    return run_isolated(
        "tests.benchmarks.detection.traces:write_simulated",
        {"victim": victim, "preset": "trace", "seed": seed, "folder": str(work)},
    )


def _watch(trace: Path, out: Path) -> dict[str, Any]:
    return run_isolated("tests.benchmarks.detection.teach:watch", {"trace": str(trace), "out": str(out)})


if __name__ == "__main__":
    sys.exit(main())
