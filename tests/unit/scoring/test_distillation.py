"""The shipped forest on accounts that a test makes up, and the snapshot of its scorer."""

import numpy as np
import pytest
from tests.unit.usage.support import events_for, unit_vectors

from copycatch.errors import StateError
from copycatch.records.columns import FloatArray
from copycatch.records.packing import pack
from copycatch.scoring.activity import ACTIVITY
from copycatch.scoring.distillation import DistillationForest, shares_of_use, shipped_forest
from copycatch.scoring.ensemble import Ensemble
from copycatch.scoring.protocol import Inputs
from copycatch.usage.events import UNIT, UsageEvents
from copycatch.usage.measures import MEASURES
from copycatch.usage.state import UsageRows

N = 64
SHARED = 0.35  # of a prompt's vector: any two prompts of a language are somewhat alike


def asked(topics: FloatArray, own: float, seed: int) -> UsageEvents:
    """One account that asks about these topics, one a query, `own` of each query being new."""
    events = events_for(np.zeros(len(topics), dtype=np.int64), seed)
    vectors = SHARED * unit_vectors(1, 99) + topics + own * unit_vectors(len(topics), seed)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    endings = np.random.default_rng(seed).integers(1, 1 << 31, len(topics)).astype(np.uint32)
    return events._replace(vectors=np.rint(unit * UNIT).astype(np.int8), endings=endings)


def sweep(seed: int) -> UsageEvents:
    """Ever new topics, two settings."""
    events = asked(unit_vectors(N, seed + 50), 0.3, seed)
    return events._replace(
        settings=np.where(np.random.default_rng(seed).random(N) < 0.5, 3, 4).astype(np.uint32)
    )


def chat(seed: int) -> UsageEvents:
    """Eight conversations about three topics: follow-ups of unequal length, nobody asks for reasons."""
    topics = unit_vectors(3, seed + 50)[np.repeat(np.arange(8) % 3, N // 8)]
    lengths = np.random.default_rng(seed).uniform(2.0, 6.0, N).astype(np.float32)
    return asked(topics, 0.35, seed)._replace(lengths=lengths, reasons=np.zeros(N, dtype=np.bool_))


def measures_of(events: UsageEvents) -> FloatArray:
    return UsageRows().add(events, events.rows, np.array([N - 1]))


def test_a_sweep_over_ever_new_topics_stands_out_and_a_chat_does_not() -> None:
    scorer = DistillationForest(MEASURES)
    sweeps = np.concatenate([scorer.score_many(measures_of(sweep(seed))) for seed in range(5)])
    chats = np.concatenate([scorer.score_many(measures_of(chat(seed))) for seed in range(5)])
    assert sweeps.min() > 3.5  # one in thirty honest accounts
    assert chats.max() < 2.5


def test_it_says_nothing_without_text() -> None:
    values = measures_of(sweep(0))
    values[0, MEASURES.index("breadth")] = np.nan
    assert np.isnan(DistillationForest(MEASURES).score_many(values)).all()


def test_its_shares_are_those_of_what_speaks_for_a_campaign() -> None:
    shares = shares_of_use(np.concatenate([measures_of(sweep(0)), measures_of(chat(0))]))
    assert (shares >= 0).all()
    assert shares.sum(axis=1) == pytest.approx(1.0)


def test_it_says_what_it_was_trained_on() -> None:
    forest = shipped_forest()
    assert forest.trained_on
    assert len(forest.digest) == 16
    assert set(forest.names) == set(MEASURES)


def test_its_snapshot_is_taken_back_and_a_damaged_one_refused() -> None:
    scorer = DistillationForest(MEASURES)
    assert scorer.restore(scorer.snapshot()) is None
    with pytest.raises(StateError, match="digest"):
        scorer.restore(pack([1]))


def test_an_ensemble_takes_snapshots_from_before_there_was_use() -> None:
    one, other = Ensemble(), Ensemble()
    positions, families = (np.zeros((1, _width(one, name))) for name in ("positions", "families"))
    inputs = Inputs(positions, families, np.zeros((1, len(MEASURES))), np.zeros((1, len(ACTIVITY))))
    one.wait(5, inputs)
    plain = one.snapshot()
    del plain["inputs"]["usage"], plain["scorers"]["distillation"]
    del plain["inputs"]["activity"], plain["scorers"]["activity"]
    assert other.restore(plain) == []
    assert np.isnan(other.waiting[5].usage).all()


def _width(ensemble: Ensemble, takes: str) -> int:
    return len(ensemble.snapshot()["inputs"][takes][0])
