"""Some of the records of a batch as a batch, and batches end to end."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from copycatch.records.columns import IntArray, RawBatch, RecordBatch, VectorBlock

_BLOCKS = frozenset({"inputs", "embeddings", "probabilities"})


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
        if field.name == "raw" or column is None:
            continue
        if isinstance(column, np.ndarray):
            columns[field.name] = column[indices]
        elif field.name in _BLOCKS:
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
        if field.name in _BLOCKS:
            columns[field.name] = []
            for block in column:
                first, last = np.searchsorted(block.rows, [start, stop]).tolist()
                if first < last:
                    rows, values = block.rows[first:last] - start, block.values[first:last]
                    columns[field.name].append(replace(block, rows=rows, values=values))
        elif field.name != "raw" and column is not None:
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


def concatenate(raw: RawBatch, batches: Sequence[RecordBatch]) -> RecordBatch:
    """Batches end to end.

    Parameters
    ----------
    raw : RawBatch
        Where the records of all came from.
    batches : sequence of RecordBatch, at least one
        In order; one alone is given back as it is.

    Returns
    -------
    RecordBatch
        Blocks of one model and length are one block.
    """
    if len(batches) == 1:
        return batches[0]
    columns: dict[str, Any] = {}
    for field in fields(RecordBatch):
        parts = [getattr(batch, field.name) for batch in batches]
        if field.name in _BLOCKS:
            columns[field.name] = _concatenate_blocks(parts, [len(batch) for batch in batches])
        elif field.name == "raw":
            columns["raw"] = raw
        elif any(part is None for part in parts):
            columns[field.name] = _filled(parts, [len(batch) for batch in batches])
        elif isinstance(parts[0], np.ndarray):
            columns[field.name] = np.concatenate(parts)
        else:
            columns[field.name] = [value for part in parts for value in part]
    return RecordBatch(**columns)


def _filled(parts: Sequence[Any], lengths: Sequence[int]) -> Any:
    """Optional columns end to end, what is missing filled up; None where no part has the column."""
    given = [part for part in parts if part is not None]
    if not given:
        return None
    if isinstance(given[0], np.ndarray):
        pieces = zip(parts, lengths, strict=True)
        return np.concatenate([np.full(n, -1) if part is None else part for part, n in pieces])
    return [value for part, n in zip(parts, lengths, strict=True) for value in part or [None] * n]


def _concatenate_blocks(parts: Sequence[Sequence[VectorBlock]], lengths: Sequence[int]) -> list[VectorBlock]:
    starts = np.cumsum([0, *lengths[:-1]])
    pieces: dict[tuple[str, int, bool], list[tuple[IntArray, VectorBlock]]] = {}
    for start, blocks in zip(starts.tolist(), parts, strict=True):
        for block in blocks:
            kind = (block.model_id, block.values.shape[1], block.is_derived)
            pieces.setdefault(kind, []).append((block.rows + start, block))
    return [
        VectorBlock(
            model_id,
            np.concatenate([rows for rows, _ in found]),
            np.concatenate([block.values for _, block in found]),
            is_derived,
        )
        for (model_id, _, is_derived), found in pieces.items()
    ]
