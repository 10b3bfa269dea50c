"""All signals of a batch, model by model."""

from collections.abc import Mapping

import numpy as np

from copycatch.records.columns import Float32Array, IntArray, RecordBatch, SignalBlock, VectorBlock
from copycatch.records.space import SKETCH_LENGTH, ModelSpace
from copycatch.signals.catalog import SIGNAL_INDEX, SIGNALS
from copycatch.signals.geometry import cells_of, fouriers_of, project, standardise
from copycatch.signals.inputs import text_signals, value_signals
from copycatch.signals.neighbours import COLUMNS, compare_with_bank

RAW_LENGTH = 24
FOURIER_LENGTH = 32


def compute_signals(
    batch: RecordBatch, spaces: Mapping[str, ModelSpace], account_hashes: IntArray
) -> SignalBlock:
    """Signals of every record of a batch.

    Parameters
    ----------
    batch : RecordBatch
    spaces : mapping of model id to ModelSpace
        Models without one are still warming up: signals that need it are NaN.
    account_hashes : ndarray of int64, shape (n,)
        A number per account, so that an account is not its own neighbour.

    Returns
    -------
    SignalBlock
        float32, one row a record.
    """
    n = len(batch)
    block = SignalBlock(
        signals=np.full((n, len(SIGNALS)), np.nan, dtype=np.float32),
        sketches=np.full((n, SKETCH_LENGTH), np.nan, dtype=np.float32),
        raws=np.full((n, RAW_LENGTH), np.nan, dtype=np.float32),
        cells=np.full(n, -1, dtype=np.int64),
        fouriers=np.full((n, FOURIER_LENGTH), np.nan, dtype=np.float32),
        nears=np.zeros(n, dtype=np.float32),
    )
    _put(block, "margin", batch.margins)
    _put(block, "output_entropy", batch.entropies)
    _put(block, "top1_prob", batch.top1_probs)
    _put(block, "temperature", batch.temperatures)
    _put(block, "top_logprobs", batch.top_logprobs)
    _put(block, "latency_log", np.log1p(np.maximum(batch.latencies_ms, 0)))
    _put(block, "output_tokens_log", np.log1p(np.maximum(batch.output_tokens, 0)))
    if any(text is not None for text in batch.texts):
        texts = text_signals(batch.texts)
        _put(block, "byte_entropy", texts[:, 0])
        _put(block, "text_length_log", texts[:, 1])
    for is_input, blocks in ((True, batch.inputs), (False, batch.embeddings)):
        for vectors in blocks:
            space = spaces.get(vectors.model_id)
            if space is not None and _fits(vectors, space, is_input=is_input):
                _add_space(block, batch, vectors, space, account_hashes)
    return block


def _put(block: SignalBlock, name: str, values: Float32Array) -> None:
    block.signals[:, SIGNAL_INDEX[name]] = values


def _fits(vectors: VectorBlock, space: ModelSpace, *, is_input: bool) -> bool:
    return is_input == space.uses_inputs and vectors.values.shape[1] == len(space.means)


def _add_space(
    block: SignalBlock, batch: RecordBatch, vectors: VectorBlock, space: ModelSpace, account_hashes: IntArray
) -> None:
    rows, signals = vectors.rows, block.signals
    z = standardise(vectors.values, space)
    sketches, whitened_log, residual_log = project(z, space)
    block.sketches[rows] = sketches
    block.cells[rows] = cells_of(sketches)
    block.fouriers[rows] = fouriers_of(sketches, space)
    block.nears[rows] = space.near
    columns = space.raw_columns
    block.raws[rows[:, None], np.arange(len(columns))] = z[:, columns]
    signals[rows, SIGNAL_INDEX["whitened_log"]] = whitened_log
    signals[rows, SIGNAL_INDEX["residual_log"]] = residual_log
    margins, entropies = batch.margins[rows], batch.entropies[rows]
    near = compare_with_bank(
        sketches, account_hashes[rows], batch.input_hashes[rows].view(np.int64), batch.label_codes[rows],
        margins, entropies, space,
    )  # fmt: skip
    for index, name in enumerate(COLUMNS):
        signals[rows, SIGNAL_INDEX[name]] = near[:, index]
    signals[rows, SIGNAL_INDEX["is_far"]] = np.where(np.isnan(near[:, 0]), np.nan, near[:, 0] > space.far_log)
    signals[rows, SIGNAL_INDEX["is_low_margin"]] = np.where(
        np.isnan(margins), np.nan, margins < space.low_margin
    )
    if space.uses_inputs:
        values = value_signals(z)
        signals[rows, SIGNAL_INDEX["edge_share"]] = values[:, 0]
        signals[rows, SIGNAL_INDEX["value_entropy"]] = values[:, 1]
