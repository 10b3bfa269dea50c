"""Some records of a batch are those records, in every column."""

from dataclasses import fields

import numpy as np
import pytest
from tests.support.traffic import columns, raw_batch, record

from copycatch.records.columns import RecordBatch, VectorBlock
from copycatch.records.selection import concatenate, select

BLOCKS = ("inputs", "embeddings", "probabilities")


def a_batch() -> RecordBatch:
    records = [record(index, model_id=f"m{index % 3}") for index in range(12)]
    for index in (1, 5, 7):
        records[index] |= {"turn": index, "system_hash": "s", "asn": 64500, "plan": "free"}
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
        elif whole is None:
            assert part is None
        elif field.name != "raw":
            np.testing.assert_array_equal(np.asarray(part), np.asarray(whole)[picks])


def test_batches_end_to_end_have_the_optional_columns_of_any() -> None:
    batch = a_batch()
    cut = [select(batch, np.arange(*span)) for span in ((0, 1), (1, 6), (6, 12))]
    bare, rejects = columns(raw_batch([record(index) for index in range(2)]))
    assert not rejects
    assert (bare.turns, bare.plans, bare.reasoning_refs) == (None, None, None)
    whole = concatenate(batch.raw, [*cut, bare])
    assert whole.turns is not None
    assert whole.turns.tolist() == [-1, 1, -1, -1, -1, 5, -1, 7, -1, -1, -1, -1, -1, -1]
    assert whole.plans == [{1: "free", 5: "free", 7: "free"}.get(index) for index in range(14)]
    assert whole.system_hashes is not None
    assert {each for each in whole.system_hashes if each} == {batch.system_hashes[1]}  # type: ignore[index]
    assert concatenate(bare.raw, [bare, bare]).turns is None
