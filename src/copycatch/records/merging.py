"""Two batches of one poll as one, in order of arrival."""

from dataclasses import fields
from typing import Any

import numpy as np

from copycatch.records.columns import IntArray, RecordBatch, VectorBlock

_BLOCKS = frozenset({"inputs", "embeddings", "probabilities"})


def merge(first: RecordBatch, second: RecordBatch) -> RecordBatch:
    """All records of both, ordered by their position in the source.

    Parameters
    ----------
    first, second : RecordBatch
        Of one `raw`; positions ascend in each.

    Returns
    -------
    RecordBatch
        One of the two itself where the other is empty.
    """
    if not len(second):
        return first
    if not len(first):
        return second
    order = np.argsort(np.concatenate([first.positions, second.positions]), kind="stable")
    picks = order.tolist()
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    columns: dict[str, Any] = {"raw": first.raw}
    for field in fields(RecordBatch):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if field.name in _BLOCKS:
            columns[field.name] = _merged(one, other, places[: len(first)], places[len(first) :])
        elif isinstance(one, np.ndarray):
            columns[field.name] = np.concatenate([one, other])[order]
        elif field.name != "raw":
            both = one + other
            columns[field.name] = [both[pick] for pick in picks]
    return RecordBatch(**columns)


def _merged(
    one: list[VectorBlock], other: list[VectorBlock], one_places: IntArray, other_places: IntArray
) -> list[VectorBlock]:
    """Blocks by model, length and origin; rows ascend, blocks in order of first appearance."""
    parts: dict[tuple[str, int, bool], list[VectorBlock]] = {}
    for blocks, places in ((one, one_places), (other, other_places)):
        for block in blocks:
            kind = (block.model_id, block.values.shape[1], block.is_derived)
            moved = VectorBlock(block.model_id, places[block.rows], block.values, block.is_derived)
            parts.setdefault(kind, []).append(moved)
    found = []
    for (model_id, _, is_derived), blocks in parts.items():
        rows = np.concatenate([block.rows for block in blocks])
        order = np.argsort(rows)
        values = np.concatenate([block.values for block in blocks])[order]
        found.append(VectorBlock(model_id, rows[order], values, is_derived))
    return sorted(found, key=lambda block: int(block.rows[0]))
