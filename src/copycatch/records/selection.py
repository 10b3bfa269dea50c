"""Some of the records of a batch, as a batch."""

from dataclasses import fields, replace
from typing import Any

import numpy as np

from copycatch.records.columns import IntArray, RecordBatch, VectorBlock


def select(batch: RecordBatch, indices: IntArray) -> RecordBatch:
    """The records at these positions of the batch, ascending.

    Parameters
    ----------
    batch : RecordBatch
    indices : ndarray of int64, ascending

    Returns
    -------
    RecordBatch
        The same object when all are taken.
    """
    if len(indices) == len(batch):
        return batch
    is_run = len(indices) > 0 and int(indices[-1]) - int(indices[0]) + 1 == len(indices)
    if is_run:  # as ticks cut them: views and slices, nothing is gathered
        return _run_of(batch, int(indices[0]), int(indices[-1]) + 1)
    picks = indices.tolist()
    columns: dict[str, Any] = {}
    for field in fields(batch):
        column = getattr(batch, field.name)
        if field.name == "raw":
            continue
        if isinstance(column, np.ndarray):
            columns[field.name] = column[indices]
        elif field.name in {"inputs", "embeddings", "probabilities"}:
            columns[field.name] = [
                kept for block in column if (kept := _select_block(block, indices)) is not None
            ]
        else:
            columns[field.name] = [column[pick] for pick in picks]
    return replace(batch, **columns)


def _run_of(batch: RecordBatch, start: int, stop: int) -> RecordBatch:
    """Records that stand side by side."""
    columns: dict[str, Any] = {}
    for field in fields(batch):
        column = getattr(batch, field.name)
        if field.name in {"inputs", "embeddings", "probabilities"}:
            columns[field.name] = []
            for block in column:
                first, last = np.searchsorted(block.rows, [start, stop]).tolist()
                if first < last:
                    rows, values = block.rows[first:last] - start, block.values[first:last]
                    columns[field.name].append(replace(block, rows=rows, values=values))
        elif field.name != "raw":
            columns[field.name] = column[start:stop]
    return replace(batch, **columns)


def _select_block(block: VectorBlock, indices: IntArray) -> VectorBlock | None:
    places = np.searchsorted(indices, block.rows)
    places_found = np.minimum(places, len(indices) - 1)
    is_kept = (
        (places < len(indices)) & (indices[places_found] == block.rows)
        if len(indices)
        else np.zeros(len(block.rows), bool)
    )
    if not is_kept.any():
        return None
    return VectorBlock(block.model_id, places[is_kept], block.values[is_kept], block.is_derived)
