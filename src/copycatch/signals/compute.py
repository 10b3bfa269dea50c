"""All signals of a batch, model by model."""

from collections.abc import Mapping

import numpy as np

from copycatch.layout.signals import SIGNAL_INDEX, SIGNALS
from copycatch.records.columns import Charge, Float32Array, IntArray, RecordBatch, SignalColumns, VectorBlock
from copycatch.signals.elicitation import elicitation_of
from copycatch.signals.inputs import byte_entropies, value_signals
from copycatch.space.lexicon import hash_tokens, token_novelty, token_sets
from copycatch.space.model import FOURIER, RAW, SKETCH, Frame, ModelSpace
from copycatch.space.neighbours import COLUMNS, compare_with_reference_set
from copycatch.space.transform import (
    cells_of,
    class_residuals,
    energies,
    fouriers_of,
    multiply,
    pair_likelihoods,
    scaled,
    sketches_of,
    standardise,
)

RAW_MAX = 40.0
HTTP_ERROR = 400  # from here on a server refused: what it could not take need not be readable


def compute_signals(
    batch: RecordBatch, spaces: Mapping[str, ModelSpace], account_hashes: IntArray
) -> SignalColumns:
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
    SignalColumns
        float32, one row a record.
    """
    signals = _empty(len(batch))
    _put(signals, "margin", batch.margins)
    _add_low_margins(signals, batch, spaces)
    if any(text is not None for text in batch.texts):
        _add_texts(signals, batch, spaces, account_hashes)
    has_space = np.array([model_id in spaces for model_id in batch.model_ids], dtype=np.bool_)
    unfit = np.where(has_space & (batch.charges == Charge.UNREAD), 1.0, np.nan).astype(np.float32)
    measured = np.zeros(len(batch), dtype=np.bool_)
    for is_input, vector_blocks in ((True, batch.inputs), (False, batch.embeddings)):
        for vectors in vector_blocks:
            space = spaces.get(vectors.model_id)
            if space is None:
                continue
            if not vectors.is_derived:
                unfit[vectors.rows] = 1.0
            if is_input == space.uses_inputs and vectors.values.shape[1] == len(space.queries.means):
                _add_queries(signals, batch, vectors, space, account_hashes)
                measured[vectors.rows] = True
            elif is_input and space.inputs is not None and vectors.values.shape[1] == len(space.inputs.means):
                _add_inputs(signals, batch, vectors, space, space.inputs)
    unfit[measured] = 0.0
    unfit[batch.statuses >= HTTP_ERROR] = np.nan
    _put(signals, "is_unfit", unfit)
    return signals


def _empty(n: int) -> SignalColumns:
    def missing(width: int) -> Float32Array:
        return np.full((n, width), np.nan, dtype=np.float32)

    return SignalColumns(
        signals=missing(len(SIGNALS)),
        sketches=missing(SKETCH),
        residuals=missing(SKETCH),
        input_residuals=missing(SKETCH),
        raws=missing(RAW),
        cells=np.full(n, -1, dtype=np.int64),
        fouriers=missing(FOURIER),
        nears=np.zeros(n, dtype=np.float32),
        raw_ratios=np.zeros((n, RAW), dtype=np.float32),
        flat_logs=np.zeros((n, 2), dtype=np.float32),
        words_seen=np.zeros(n, dtype=np.uint64),
        word_starts=np.zeros(n + 1, dtype=np.int64),
        words=np.empty(0, dtype=np.uint64),
    )


def _put(signals: SignalColumns, name: str, values: Float32Array) -> None:
    signals.signals[:, SIGNAL_INDEX[name]] = values


def _put_at(signals: SignalColumns, rows: IntArray | slice, name: str, values: Float32Array) -> None:
    signals.signals[rows, SIGNAL_INDEX[name]] = values


def _indices(rows: IntArray, n: int) -> IntArray | slice:
    """The same rows, as a slice where they are all: that costs less."""
    return slice(None) if len(rows) == n else rows


def _above(values: Float32Array, limit: float) -> Float32Array:
    """1 where above the limit, 0 where not, NaN where either is unknown."""
    is_known = ~np.isnan(values) & (not np.isnan(limit))
    return np.where(is_known, values > limit, np.nan).astype(np.float32)


def _add_low_margins(signals: SignalColumns, batch: RecordBatch, spaces: Mapping[str, ModelSpace]) -> None:
    names = set(batch.model_ids)
    limit_by_model = {
        name: space.low_margin if (space := spaces.get(name)) is not None else np.nan for name in names
    }
    limits: float | Float32Array = np.nan
    if len(names) == 1:
        limits = limit_by_model[batch.model_ids[0]]
    elif names:
        limits = np.array([limit_by_model[name] for name in batch.model_ids], dtype=np.float32)
    is_low = batch.margins < np.asarray(limits, dtype=np.float32)
    _put(signals, "is_low_margin", np.where(np.isnan(batch.margins) | np.isnan(limits), np.nan, is_low))


def _add_texts(
    signals: SignalColumns, batch: RecordBatch, spaces: Mapping[str, ModelSpace], account_hashes: IntArray
) -> None:
    _put(signals, "byte_entropy", byte_entropies(batch.texts))
    _put(signals, "elicitation", elicitation_of(batch.texts))
    signals.word_starts, signals.words = hash_tokens(batch.texts)
    signals.words_seen = token_sets(signals.word_starts, signals.words)
    models = np.array(batch.model_ids, dtype=object)
    for model_id, space in spaces.items():
        if space.lexicon is None:
            continue
        rows = np.flatnonzero(models == model_id)
        novelty = token_novelty(rows, account_hashes[rows], signals.word_starts, signals.words, space.lexicon)
        _put_at(signals, rows, "unknown_words", novelty[:, 0])
        _put_at(signals, rows, "new_pairs", novelty[:, 1])
        _put_at(signals, rows, "is_new_pairs", _above(novelty[:, 1], space.new_pairs))


def _add_frame(
    signals: SignalColumns, rows: IntArray | slice, z: Float32Array, space: ModelSpace, frame: Frame
) -> Float32Array:
    """Signals of the input itself; gives its scores back."""
    scores = multiply(z, frame.basis)
    energy = energies(z, scores, frame)
    _put_at(signals, rows, "whitened_log", energy[:, 0])
    _put_at(signals, rows, "residual_log", energy[:, 1])
    _put_at(signals, rows, "is_odd", _above(energy[:, 1], space.odd_log))
    _put_at(signals, rows, "is_odder", _above(energy[:, 1], space.odder_log))
    _put_at(signals, rows, "pair_likelihood", pair_likelihoods(z, frame))
    return scores


def _add_raws(
    signals: SignalColumns, rows: IntArray | slice, values: Float32Array, space: ModelSpace
) -> None:
    n_kept = len(space.raw_columns)
    signals.raws[rows, :n_kept] = scaled(
        values[:, space.raw_columns], space.raw_means, space.raw_scales, RAW_MAX
    )
    signals.raw_ratios[rows, :n_kept] = space.raw_scales / space.raw_scales.mean()
    signals.flat_logs[rows] = space.flat_logs


def _add_inputs(
    signals: SignalColumns, batch: RecordBatch, vectors: VectorBlock, space: ModelSpace, frame: Frame
) -> None:
    """Numeric inputs that come beside embeddings."""
    rows = _indices(vectors.rows, len(signals.cells))
    z = standardise(vectors.values, frame)
    scores = _add_frame(signals, rows, z, space, frame)
    signals.input_residuals[rows], _, _ = class_residuals(scores, batch.label_codes[rows], frame)
    _add_raws(signals, rows, vectors.values, space)
    values = value_signals(z)
    _put_at(signals, rows, "edge_share", values[:, 0])
    _put_at(signals, rows, "value_entropy", values[:, 1])


def _add_queries(
    signals: SignalColumns,
    batch: RecordBatch,
    vectors: VectorBlock,
    space: ModelSpace,
    account_hashes: IntArray,
) -> None:
    """Embeddings, or numeric inputs where the log has none: neighbours, classes, drift, topics."""
    rows, frame = _indices(vectors.rows, len(signals.cells)), space.queries
    z = standardise(vectors.values, frame)
    if space.inputs is None:
        scores = _add_frame(signals, rows, z, space, frame)
        if space.uses_inputs:
            _add_raws(signals, rows, vectors.values, space)
            values = value_signals(z)
            _put_at(signals, rows, "edge_share", values[:, 0])
            _put_at(signals, rows, "value_entropy", values[:, 1])
    else:
        scores = multiply(z, frame.basis)
        _put_at(signals, rows, "embedding_log", energies(z, scores, frame)[:, 0])
    sketches, labels = sketches_of(scores, frame), batch.label_codes[rows]
    residuals, class_log, class_gap_log = class_residuals(scores, labels, frame)
    signals.sketches[rows] = sketches
    signals.residuals[rows] = residuals
    signals.cells[rows] = cells_of(sketches)
    signals.fouriers[rows] = fouriers_of(sketches, space.fourier_weights, space.fourier_phases)
    signals.nears[rows] = space.near
    _put_at(signals, rows, "class_log", class_log)
    _put_at(signals, rows, "class_gap_log", class_gap_log)
    near = compare_with_reference_set(
        sketches, account_hashes[rows], batch.input_hashes[rows].view(np.int64), labels, batch.margins[rows],
        batch.entropies[rows], space,
    )  # fmt: skip
    for index, name in enumerate(COLUMNS):
        _put_at(signals, rows, name, near[:, index])
    _put_at(signals, rows, "is_far", _above(near[:, 1], space.far_log))
    _put_at(signals, rows, "is_farther", _above(near[:, 1], space.farther_log))
