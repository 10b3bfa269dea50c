"""One account over several models that are alike is judged over all of them: the smallest campaign.

Split over models, versions or aliases, an attack leaves on each of them too little to be judged by. So what
an account asks of models that are asked the same kind of thing is folded once more, as if it had asked all of
one of them, the *head*, and compared with accounts of the head at as many queries. Models are alike where the
vectors of their usual queries are; a model that few use joins those whose vectors have its shape. What its
users ask is decided from their queries alone, never from its name.

Rows over models are in tables of their own, bounded as those of accounts are. They teach nothing. Their key
is (tenant, account, head); verdicts on them name the model `*`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from copycatch.decisions.campaigns import ALL_MODELS
from copycatch.engine.evaluate import fold_segment
from copycatch.engine.span import BatchSpan
from copycatch.engine.state import EngineState
from copycatch.population.shape import Shape
from copycatch.records.columns import Evaluations, IntArray, RecordBatch, VectorBlock, pick
from copycatch.records.policy import Policy
from copycatch.records.selection import select
from copycatch.signals.compute import compute_signals
from copycatch.space.model import Frame
from copycatch.units import MS_PER_HOUR
from copycatch.windows.slots import NO_ROW

# Halves and eighths of the users of one model: at most .05 and .12; users of code, of an agent, of an editor
# beside users of all kinds: .27 to .54 and .19 to .37.
GAP_MAX: Final = 0.1  # mean squared distance of the means, in spreads
SPREAD_LOG_MAX: Final = 0.25  # mean distance of the logarithms of the spreads
FAR_AWAY: Final = 1 << 62


@dataclass(slots=True)
class OverSpan:
    """Records of a span that count over models: as a batch that asks their heads, and where they stood."""

    batch: RecordBatch
    positions: IntArray
    evaluations: Evaluations

    def evaluations_of(self, first: int, stop: int) -> Evaluations:
        """Those that records `first` to `stop` of the span made due."""
        at = self.positions[self.evaluations.records]
        begin, end = np.searchsorted(at, [first, stop]).tolist()
        return pick(self.evaluations, slice(begin, end))


def is_alike(one: Frame, other: Frame) -> bool:
    """Whether two models are asked the same kind of thing, by means and spreads of their usual vectors."""
    if len(one.means) != len(other.means):
        return False
    spreads = np.maximum(one.scales, 1e-9), np.maximum(other.scales, 1e-9)
    gap = float(np.mean(((one.means - other.means) / spreads[0]) ** 2))
    return gap <= GAP_MAX and float(np.mean(np.abs(np.log(spreads[1] / spreads[0])))) <= SPREAD_LOG_MAX


def decide_heads(state: EngineState, now_ms: int) -> None:
    """Once an hour of event time: which models are alike, and which of them stands for the others."""
    hour = now_ms // MS_PER_HOUR
    if hour <= state.heads_h:
        return
    state.heads_h = hour
    heads: dict[str, str] = {}
    frames: dict[str, tuple[bool, Frame]] = {}
    settled = [(each.born_ms, name) for name, each in state.populations.items() if each.is_settled]
    for _, name in sorted(settled):
        space = state.populations[name].space
        if space is None:
            continue
        kind = space.uses_inputs, space.queries
        heads[name] = name
        if state.heads.get(name) != name:
            alike = (head for head, known in frames.items() if _is_same_kind(known, kind))
            heads[name] = next(alike, name)
        if heads[name] == name:
            frames[name] = kind
    sizes = Counter(heads.values())
    for name in sorted(state.populations.keys() - heads.keys()):
        shape, _, _ = state.populations[name].votes.leader(now_ms)
        fitting = [head for head, (uses, frame) in frames.items() if shape == Shape(uses, len(frame.means))]
        if fitting:
            heads[name] = max(fitting, key=lambda head: sizes[head])
    sizes = Counter(heads.values())
    state.heads = {name: head for name, head in heads.items() if sizes[head] > 1}


def _is_same_kind(one: tuple[bool, Frame], other: tuple[bool, Frame]) -> bool:
    return one[0] == other[0] and is_alike(one[1], other[1])


def fold_over_models(state: EngineState, span: BatchSpan, shard: str, policy: Policy) -> OverSpan | None:
    """Fold what accounts ask of several models that are alike; None where nobody does.

    Parameters
    ----------
    state : EngineState
        Its rows over models are changed in place.
    span : BatchSpan
        Already folded by model.
    shard : str
    policy : Policy
    """
    over = state.over
    if over is None or not state.heads.keys() & set(span.batch.model_ids):
        return None
    positions = _positions(state, over, span)
    if not len(positions):
        return None
    batch = _asked_of_heads(select(span.batch, positions), state.heads)
    number = state.shard_number(shard)
    rows = over.slots.rows_of(batch.tenant_ids, batch.account_ids, batch.model_ids, number)
    over.name_new_rows()
    hashes = np.where(rows >= 0, over.rows.account_hashes[np.maximum(rows, 0)], 0)
    signals = compute_signals(batch, over.learned.spaces(), hashes)
    return OverSpan(batch, positions, fold_segment(over, batch, rows, signals, policy))


def _positions(state: EngineState, over: EngineState, span: BatchSpan) -> IntArray:
    """Records of accounts that have asked two models of a family by then."""
    batch = span.batch
    models: dict[str, list[str]] = {}
    for model_id, head in state.heads.items():
        models.setdefault(head, []).append(model_id)
    born_at = {int(span.rows[at]): at for at in span.newcomers.tolist()}
    start_by_key: dict[tuple[str | None, str, str], int] = {}
    found = []
    asked = zip(batch.tenant_ids, batch.account_ids, batch.model_ids, strict=True)
    for at, (tenant_id, account_id, model_id) in enumerate(asked):
        if model_id not in state.heads:
            continue
        head = state.heads[model_id]
        key = tenant_id, account_id, head
        start = start_by_key.get(key)
        if start is None:
            start = start_by_key[key] = _start(state, over, key, models[head], born_at)
        if at >= start:
            found.append(at)
    return np.array(found, dtype=np.int64)


def _start(
    state: EngineState,
    over: EngineState,
    key: tuple[str | None, str, str],
    models: Sequence[str],
    born_at: Mapping[int, int],
) -> int:
    """Position from which an account's records count over models: where it first asked the second of them."""
    if over.slots.row_of(key) != NO_ROW:
        return 0
    rows = [state.slots.row_of((key[0], key[1], model_id)) for model_id in models]
    begun = sorted(born_at.get(row, 0) for row in rows if row != NO_ROW)
    return begun[1] if len(begun) > 1 else FAR_AWAY


def _asked_of_heads(batch: RecordBatch, heads: Mapping[str, str]) -> RecordBatch:
    """The same records, as if each had been asked of its model's head."""

    def of_heads(blocks: Sequence[VectorBlock]) -> list[VectorBlock]:
        return [replace(block, model_id=heads.get(block.model_id, block.model_id)) for block in blocks]

    return replace(
        batch,
        model_ids=[heads[model_id] for model_id in batch.model_ids],
        inputs=of_heads(batch.inputs),
        embeddings=of_heads(batch.embeddings),
        probabilities=of_heads(batch.probabilities),
    )


def named_all_models(evaluations: Evaluations) -> Evaluations:
    """The same evaluations as verdicts on them name the model."""
    return replace(evaluations, model_ids=[ALL_MODELS] * len(evaluations))


def flag_models(state: EngineState, evaluations: Evaluations, over: IntArray) -> None:
    """Who is over a threshold over models teaches nothing on any of them."""
    for index in over.tolist():
        for model_id in state.heads:
            key = evaluations.tenant_ids[index], evaluations.account_ids[index], model_id
            if (row := state.slots.row_of(key)) != NO_ROW:
                state.rows.flagged_ms[row] = evaluations.event_times_ms[index]
                state.changed.add(row)
