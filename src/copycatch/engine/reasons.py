"""What alerts say beside the score: what is normal there, what the account resembles, samples of its queries.

Only a few evaluations in a thousand come so far, and this costs several times as much as judging one.
"""

import numpy as np

from copycatch.engine.evaluate import by_model
from copycatch.engine.state import EngineState
from copycatch.features.catalog import FEATURE_INDEX
from copycatch.records.columns import BoolArray, Evaluations, IntArray, Normal, RecordBatch, Scores
from copycatch.scoring.looks_like import looks_like
from copycatch.scoring.scored_features import SCORED_COLUMNS
from copycatch.windows.samples import readable_ids


def add_reasons(
    state: EngineState,
    batch: RecordBatch,
    evaluations: Evaluations,
    scores: Scores,
    may_be_announced: BoolArray,
) -> None:
    """Fill in normal ranges, chances, resemblances and samples; changes evaluations and scores.

    Parameters
    ----------
    batch : RecordBatch
        That `evaluations.records` counts in.
    may_be_announced : ndarray of bool, shape (n,)
        Evaluations that an alert may be about. The others keep NaN and empty lists.
    """
    members = np.flatnonzero(may_be_announced)
    if not len(members):
        return
    records = evaluations.records[members].tolist()
    ids = readable_ids(evaluations.kept_ids[members], [batch.event_ids[record] for record in records])
    for index, record, sample in zip(members.tolist(), records, ids, strict=True):
        evaluations.sample_event_ids[index] = sample
        evaluations.client_ips[index] = [] if (ip := batch.client_ips[record]) is None else [ip]
        if batch.traceparents is not None:
            evaluations.traceparents[index] = batch.traceparents[record] or ""
    normal, recent_normal = _normal(state, evaluations, members)
    lifetime = evaluations.lifetime.values[members]
    kinds = looks_like(lifetime, normal, evaluations.queries[members], FEATURE_INDEX)
    rows, scored = np.nonzero(scores.basis.is_recent[members])
    columns = SCORED_COLUMNS[scored]
    for name in ("lows", "highs", "aboves", "belows"):
        getattr(normal, name)[rows, columns] = getattr(recent_normal, name)[rows, columns]
    with np.errstate(invalid="ignore"):
        scores.feature_tail_probs[members] = np.minimum(2 * np.fmin(normal.aboves, normal.belows), 1)
    scores.normal_lows[members], scores.normal_highs[members] = normal.lows, normal.highs
    for index, descriptions in zip(members.tolist(), kinds, strict=True):
        scores.looks_like[index] = descriptions


def _normal(state: EngineState, evaluations: Evaluations, members: IntArray) -> tuple[Normal, Normal]:
    """What is normal for lifetime and recent window of these, among other accounts of their models."""
    shape = len(members), evaluations.lifetime.values.shape[1]
    normal, recent_normal = (Normal.unknown(*shape) for _ in range(2))
    hashes = state.rows.account_hashes[evaluations.rows]
    for model_id, positions in by_model([evaluations.model_ids[index] for index in members.tolist()]):
        population = state.populations.get(model_id)
        if population is None or not population.is_settled:
            continue
        own = members[positions]
        for into, features in ((normal, evaluations.lifetime), (recent_normal, evaluations.recent)):
            found = population.reference.compare(features.values[own], features.n_effective[own], hashes[own])
            into.put(positions, found)
    return normal, recent_normal
