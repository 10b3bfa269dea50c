"""The product over one trace: the engine of `run`, through `replay`, with the default policy."""

import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog

from copycatch import engine
from copycatch.features import catalog
from copycatch.layout.view import WindowView
from copycatch.records.columns import Evaluations, FloatArray, IntArray, Outcomes, Scores
from copycatch.records.policy import Budget, Policy
from copycatch.redteam.trace import LOG_NAME
from copycatch.scoring.catalog import COMPONENTS
from copycatch.scoring.scored_features import SCORED_NAMES
from copycatch.service.replay import replay
from copycatch.units import UnixMs
from tests.benchmarks.engine import NOW_MS

ALERTS, RECOMMENDATIONS, EVALUATIONS = "alerts.jsonl", "recommendations.jsonl", "evaluations.npz"


@dataclass(frozen=True)
class EvaluationLog:
    """Every evaluation of a run."""

    accounts: list[str]
    models: list[str]
    times_ms: IntArray
    queries: IntArray
    answered: IntArray
    values: FloatArray
    families: FloatArray  # (n, n_families): values that calibrate the families' tails
    tail_probs: FloatArray


def read_evaluations(folder: Path) -> EvaluationLog:
    with np.load(folder / EVALUATIONS) as found:
        return EvaluationLog(
            found["accounts"].tolist(),
            found["models"].tolist(),
            found["times_ms"],
            found["queries"],
            found["answered"],
            found["values"],
            found["families"],
            found["tail_probs"],
        )


def switch_off(family: str) -> None:
    """Make the features of a family missing, as if no log had ever had what they need."""

    def nothing(view: WindowView) -> FloatArray:
        return np.full(len(view), np.nan)

    catalog.FEATURES = tuple(
        each._replace(compute=nothing) if each.spec.family == family else each for each in catalog.FEATURES
    )


def switch_off_scorer(name: str) -> None:
    """Run without a scorer or a group of families, by the switches of the scoring package."""
    engine.new_state = partial(engine.new_state, off=frozenset({name}))


def judged_families() -> tuple[str, ...]:
    """Families with a feature that enters the score: without the others nothing can change."""
    return tuple(dict.fromkeys(spec.family for spec in catalog.SPECS if spec.name in SCORED_NAMES))


def scorer_names() -> tuple[str, ...]:
    """Components of the score: families of features that share a cap, and every scorer."""
    return tuple(component.name for component in COMPONENTS)


def run_product(
    trace: str, out: str, budget: float | None = None, off: str | None = None, off_scorer: str | None = None
) -> dict[str, Any]:
    """Replay a trace and write alerts, recommendations and evaluations to `out`; runs in a child."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if off is not None:
        switch_off(off)
    if off_scorer is not None:
        switch_off_scorer(off_scorer)
    policy = Policy()
    if budget is not None:
        policy = policy.model_copy(update={"budget": Budget(alerts_per_1000_accounts_per_day=budget)})
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    encode = msgspec.json.Encoder().encode
    found: list[tuple[Evaluations, Scores]] = []
    began_s = time.process_time()
    with (folder / ALERTS).open("wb") as alerts, (folder / RECOMMENDATIONS).open("wb") as recommendations:

        def write(outcomes: Outcomes) -> None:
            alerts.writelines(encode(each) + b"\n" for each in outcomes.alerts)
            recommendations.writelines(encode(each) + b"\n" for each in outcomes.recommendations)
            found.extend(outcomes.evaluations)

        summary = replay([str(Path(trace) / LOG_NAME)], policy, write, now_ms=UnixMs(NOW_MS))
    np.savez_compressed(
        folder / EVALUATIONS,
        accounts=np.array([name for each, _ in found for name in each.account_ids]),
        models=np.array([name for each, _ in found for name in each.model_ids]),
        times_ms=np.concatenate([each.event_times_ms for each, _ in found]),
        queries=np.concatenate([each.queries for each, _ in found]),
        answered=np.concatenate([each.answered for each, _ in found]),
        values=np.concatenate([scores.values for _, scores in found]),
        families=np.concatenate([scores.basis.families for _, scores in found]),
        tail_probs=np.concatenate([scores.tail_probs for _, scores in found]),
    )
    return {"records": summary.counts.total, "alerts": summary.alerts, "cpu_s": time.process_time() - began_s}
