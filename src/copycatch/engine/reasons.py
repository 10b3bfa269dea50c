"""What is said of looks that somebody may be told about: what is normal there, what they resemble, samples.

Only a few looks in a thousand come so far, and this costs several times as much as judging one.
"""

import numpy as np

from copycatch.engine.evaluate import EvaluationBatch, by_model
from copycatch.engine.state import EngineState
from copycatch.features.catalog import FEATURE_INDEX
from copycatch.records.columns import BoolArray, IntArray, Normal, Scores
from copycatch.scoring.looks_like import looks_like
from copycatch.scoring.scored_features import SCORED_COLUMNS
from copycatch.windows.samples import readable_ids


def add_reasons(
    state: EngineState, evaluation_batch: EvaluationBatch, scores: Scores, may_be_announced: BoolArray
) -> None:
    """Fill in normal ranges, chances, resemblances and samples of some looks; changes evaluations and scores.

    Parameters
    ----------
    may_be_announced : ndarray of bool, shape (n,)
        EvaluationBatch that an alert may be about. The others keep NaN and empty lists.
    """
    told = np.flatnonzero(may_be_announced)
    if not len(told):
        return
    evaluations, batch = evaluation_batch.evaluations, evaluation_batch.origin.batch
    events = evaluation_batch.origin.events[told].tolist()
    ids = readable_ids(evaluation_batch.origin.sampled[told], [batch.event_ids[event] for event in events])
    for index, event, sample in zip(told.tolist(), events, ids, strict=True):
        evaluations.sample_event_ids[index] = sample
        evaluations.client_ips[index] = [] if (ip := batch.client_ips[event]) is None else [ip]
    normal, recent_normal = _normal(state, evaluation_batch, told)
    named = looks_like(
        evaluation_batch.lifetime_values[told], normal, evaluations.queries[told], FEATURE_INDEX
    )
    rows, tails = np.nonzero(evaluation_batch.is_recent[told])
    columns = SCORED_COLUMNS[tails]
    for name in ("lows", "highs", "aboves", "belows"):
        getattr(normal, name)[rows, columns] = getattr(recent_normal, name)[rows, columns]
    with np.errstate(invalid="ignore"):
        scores.feature_tail_probs[told] = np.minimum(2 * np.fmin(normal.aboves, normal.belows), 1)
    scores.normal_lows[told], scores.normal_highs[told] = normal.lows, normal.highs
    for index, words in zip(told.tolist(), named, strict=True):
        scores.looks_like[index] = words


def _normal(state: EngineState, evaluation_batch: EvaluationBatch, told: IntArray) -> tuple[Normal, Normal]:
    """What is normal for life and block of these looks, among other accounts of their models."""
    evaluations, shape = evaluation_batch.evaluations, (len(told), evaluation_batch.lifetime_values.shape[1])
    normal, recent_normal = (Normal.unknown(*shape) for _ in range(2))
    hashes = state.rows.account_hashes[evaluations.rows]
    for model_id, places in by_model([evaluations.model_ids[index] for index in told.tolist()]):
        population = state.populations.get(model_id)
        if population is None or not population.is_settled:
            continue
        members = told[places]
        for into, values, n_effective in (
            (normal, evaluation_batch.lifetime_values, evaluation_batch.n_effective),
            (recent_normal, evaluation_batch.recent_values, evaluation_batch.recent_n_effective),
        ):
            found = population.reference.compare(values[members], n_effective[members], hashes[members])
            into.put(places, found)
    return normal, recent_normal
