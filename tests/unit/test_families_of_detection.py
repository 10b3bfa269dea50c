"""The table of families: alarms computed anew from a run's values, with a family only or without it."""

from pathlib import Path

import numpy as np

from copycatch.features.catalog import SPECS
from copycatch.scoring.catalog import FAMILIES, SCORERS
from copycatch.scoring.distillation import shipped_forest
from tests.benchmarks.detection.families import (
    MEASURE_FAMILIES,
    Row,
    Seen,
    first_alarms,
    rows,
    whole,
    with_only,
    without,
)
from tests.benchmarks.detection.product import EvaluationLog

ACCOUNTS, LOOKS = 60, 20
MS_PER_DAY = 86_400_000
THIEF = "a0"
NOVELTY = Row("novelty", (), ("novelty", "oddities", "neighbours", "drift", "likelihood"))
STEP = Row("step", (), ("step",))


def one_thief() -> Seen:
    """Honest accounts over four days, and one who is novel from its tenth evaluation on."""
    rng = np.random.default_rng(0)
    order = np.tile(np.arange(ACCOUNTS), LOOKS)
    nth = np.repeat(np.arange(LOOKS), ACCOUNTS)
    families = np.full((len(order), len(FAMILIES)), np.nan)
    columns = [FAMILIES.index(name) for name in (*NOVELTY.families, *STEP.families)]
    families[:, columns] = rng.exponential(0.2, (len(order), len(columns)))
    stolen = (order == 0) & (nth >= 10)
    families[np.ix_(stolen, columns[:-1])] = 4.0
    log = EvaluationLog(
        accounts=[f"a{number}" for number in order.tolist()],
        models=["m"] * len(order),
        times_ms=MS_PER_DAY * 20_000 + nth * 5 * 3_600_000 + order,
        queries=20 + 4 * nth,
        answered=20 + 4 * nth,
        values=np.full((len(order), len(SPECS)), np.nan),
        families=families,
        tail_probs=np.where(nth > 4, 1.0, np.nan),
    )
    return Seen(Path("made up"), log, order, shipped_forest())


def test_what_a_family_finds_it_finds_alone_and_nobody_does_without_it() -> None:
    seen = one_thief()
    at = 20_000 * MS_PER_DAY + 10 * 5 * 3_600_000
    for values in (whole, with_only):
        assert first_alarms(seen, values(seen, NOVELTY)) == {THIEF: at}
    assert first_alarms(seen, without(seen, NOVELTY)) == {}
    assert first_alarms(seen, with_only(seen, STEP)) == {}


def test_the_table_has_every_family_scorer_and_measure() -> None:
    names = [row.name for row in rows()]
    assert {spec.family for spec in SPECS} - set(names) == {"usage", "unjudged"}
    assert {f"scorer {spec.name}" for spec in SCORERS} <= set(names)
    assert {f"use: {name}" for name in MEASURE_FAMILIES} <= set(names)
    assert len(names) == len(set(names))
