"""Some records of a batch are those records, in every column."""

from dataclasses import fields

import numpy as np
import pytest
from tests.support.traffic import columns, raw_batch, record

from copycatch.records.columns import RecordBatch, VectorBlock
from copycatch.records.selection import select

BLOCKS = ("inputs", "embeddings", "probabilities")


def a_batch() -> RecordBatch:
    records = [record(index, model_id=f"m{index % 3}") for index in range(12)]
    for index in (2, 5, 6):
        del records[index]["input"], records[index]["probabilities"]
    batch, rejects = columns(raw_batch(records))
    assert not rejects
    assert all(getattr(batch, name) for name in ("inputs", "probabilities"))
    return batch


def vectors(blocks: list[VectorBlock]) -> dict[int, tuple[str, list[float]]]:
    return {
        row: (block.model_id, values)
        for block in blocks
        for row, values in zip(block.rows.tolist(), block.values.tolist(), strict=True)
    }


@pytest.mark.parametrize("picks", [[3, 4, 5, 6], [0, 1], [11], [0, 4, 6, 11], [5, 6], []])
def test_selected_records_are_those_of_the_batch(picks: list[int]) -> None:
    batch = a_batch()
    some = select(batch, np.array(picks, dtype=np.int64))
    assert len(some) == len(picks)
    for field in fields(batch):
        whole, part = getattr(batch, field.name), getattr(some, field.name)
        if field.name in BLOCKS:
            of_all = vectors(whole)
            assert vectors(part) == {i: of_all[pick] for i, pick in enumerate(picks) if pick in of_all}
        elif field.name != "raw":
            np.testing.assert_array_equal(np.asarray(part), np.asarray(whole)[picks])
