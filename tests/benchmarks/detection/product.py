"""The product over one trace: the engine of `run`, through `replay`, with the default policy."""

import dataclasses
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
from copycatch.records.columns import FloatArray, IntArray, Outcomes
from copycatch.records.policy import Policy
from copycatch.redteam.trace import LOG_NAME
from copycatch.scoring.catalog import GROUPS, SCORERS
from copycatch.scoring.scored_features import SCORED_FEATURES
from copycatch.service.replay import replay
from copycatch.units import UnixMs
from tests.benchmarks.engine import NOW_MS

ALERTS, RECOMMENDATIONS, LOOKS = "alerts.jsonl", "recommendations.jsonl", "looks.npz"


@dataclass(frozen=True)
class EvaluationBatch:
    """Every evaluation of a run."""

    accounts: list[str]
    models: list[str]
    times_ms: IntArray
    values: FloatArray
    tail_probs: FloatArray


def read_looks(folder: Path) -> EvaluationBatch:
    with np.load(folder / LOOKS) as found:
        return EvaluationBatch(
            found["accounts"].tolist(),
            found["models"].tolist(),
            found["times_ms"],
            found["values"],
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
    entering = {tail.feature for tail in SCORED_FEATURES}
    return tuple(dict.fromkeys(spec.family for spec in catalog.SPECS if spec.name in entering))


def scorer_names() -> tuple[str, ...]:
    """Scorers, and the groups of families that share a voice."""
    return tuple(dict.fromkeys((*(spec.name for spec in SCORERS), *(group.name for group in GROUPS))))


def run_product(
    trace: str, out: str, budget: float | None = None, off: str | None = None, off_scorer: str | None = None
) -> dict[str, Any]:
    """Replay a trace and write alerts, recommendations and looks to `out`; runs in a child."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if off is not None:
        switch_off(off)
    if off_scorer is not None:
        switch_off_scorer(off_scorer)
    policy = Policy()
    if budget is not None:
        policy = dataclasses.replace(policy, alerts_per_1000_accounts_per_day=budget)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    encode = msgspec.json.Encoder().encode
    looks: list[tuple[list[str], list[str], IntArray, FloatArray, FloatArray]] = []
    began_s = time.process_time()
    with (folder / ALERTS).open("wb") as alerts, (folder / RECOMMENDATIONS).open("wb") as recommendations:

        def write(outcomes: Outcomes) -> None:
            alerts.writelines(encode(each) + b"\n" for each in outcomes.alerts)
            recommendations.writelines(encode(each) + b"\n" for each in outcomes.recommendations)
            for evaluations, scores in outcomes.evaluations:
                looks.append(
                    (
                        evaluations.account_ids,
                        evaluations.model_ids,
                        evaluations.event_times_ms,
                        evaluations.values,
                        scores.tail_probs,
                    )
                )

        summary = replay([str(Path(trace) / LOG_NAME)], policy, write, now_ms=UnixMs(NOW_MS))
    np.savez_compressed(
        folder / LOOKS,
        accounts=np.array([name for each in looks for name in each[0]]),
        models=np.array([name for each in looks for name in each[1]]),
        times_ms=np.concatenate([each[2] for each in looks]),
        values=np.concatenate([each[3] for each in looks]),
        tail_probs=np.concatenate([each[4] for each in looks]),
    )
    return {"records": summary.counts.total, "alerts": summary.alerts, "cpu_s": time.process_time() - began_s}
