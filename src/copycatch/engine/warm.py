"""Have everything compiled before the first record counts.

Compiled passes are built at their first call, which takes 47 s of CPU on a machine that has never run them
(4 s where their cache is kept). A consumer that is silent for so long loses its membership.
"""

import numpy as np

from copycatch.engine.state import new_state
from copycatch.engine.step import step
from copycatch.intake.columns import ColumnBuilder
from copycatch.layout.structs import as_bytes
from copycatch.population.reference import Reference
from copycatch.records.columns import Baseline, RawBatch
from copycatch.records.decoding import Decoded
from copycatch.records.policy import Policy
from copycatch.records.wire import InferenceRecord
from copycatch.scoring.ensemble import LEARNERS
from copycatch.scoring.half_space import WINDOW
from copycatch.units import LOG_MS_MIN, UnixMs
from copycatch.usage.layout import USAGE
from copycatch.usage.measures import MEASURES, measure_rows
from copycatch.usage.others import with_nobody

RECORDS = 900
ACCOUNTS = 15
SPACING_MS = 20_000  # five hours in all: the model's geometry is built on the way


def _judge_some(rng: np.random.Generator) -> None:
    """What no evaluation needs before a model's population has settled, a day after its first record."""
    values, n_effective, accounts = rng.normal(size=(40, 2)), np.full(40, 25), np.arange(1, 41)
    reference = Reference(n_features=2)
    for account, row in zip(accounts.tolist(), values, strict=True):
        reference.learn(account, 25, row)
    reference.compare(values, n_effective, accounts)
    reference.put_baselines(Baseline.unknown(40, 2), np.arange(40), np.arange(2), n_effective, accounts)
    for spec in LEARNERS:
        scorer, evaluation_batch = spec.make(), rng.uniform(size=(WINDOW, spec.n_inputs))
        scorer.learn_many(np.arange(WINDOW), evaluation_batch)
        scorer.score_many(evaluation_batch)
    measure_rows(
        as_bytes(np.zeros(1, dtype=USAGE)),
        np.zeros(1, dtype=np.int64),
        with_nobody(1),
        np.empty((1, len(MEASURES))),
    )


def compile_ahead() -> int:
    """Run a little made-up traffic, numbers and text, through a state that is thrown away.

    Returns
    -------
    int
        How many evaluations were made on the way: 0 would mean that little was compiled.

    Examples
    --------
    >>> compile_ahead() > 0
    True
    """
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(RECORDS, 6)).round(3).tolist()
    vocabulary = np.array(["card", "lost", "where", "pay", "transfer", "limit", "please", "help"])
    records = []
    for index in range(RECORDS):
        is_text = index % 3 == 0
        is_generated = is_text and index % 2 == 0  # as a language model answers: no label, no probabilities
        text = " ".join(vocabulary[rng.integers(0, len(vocabulary), 5)])
        records.append(
            InferenceRecord(
                event_id=str(index),
                event_time=LOG_MS_MIN + SPACING_MS * index,
                account_id=f"a{index % ACCOUNTS}",
                model_id="text" if is_text else "numbers",
                input=text if is_text else vectors[index],
                embedding=vectors[index],
                predicted_label=None if is_generated else index % 2,
                probabilities=None if is_generated else [0.75, 0.25],
            )
        )
    raw = RawBatch("warm-up", 0, list(range(RECORDS)), [])
    batch, _ = ColumnBuilder(b"", None).build(raw, Decoded(records, list(range(RECORDS))))
    _judge_some(rng)
    outcomes = step(
        new_state(Policy(), ACCOUNTS * 2), batch, UnixMs(LOG_MS_MIN + SPACING_MS * RECORDS), Policy()
    )
    return sum(len(evaluation_batch) for evaluation_batch, _ in outcomes.evaluations)
