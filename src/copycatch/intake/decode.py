"""One poll's messages to one `RecordBatch` of columns; what cannot be taken becomes `Rejected`."""

import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from copycatch.intake.embed import EMBEDDING_LENGTH, Embedder
from copycatch.intake.labels import MISSING_LABEL, code_labels
from copycatch.intake.plain import plain_batch, text_hash
from copycatch.intake.pseudonymise import Pseudonymiser
from copycatch.intake.vectors import blocks_of, hash_rows
from copycatch.records.columns import (
    Float32Array,
    IntArray,
    RawBatch,
    RecordBatch,
    Uint64Array,
    VectorBlock,
)
from copycatch.records.rejects import reject
from copycatch.records.scan import Scan
from copycatch.records.wire import Blob, InferenceRecord, Params, Rejected, RejectReason
from copycatch.units import UNIX_MS_MAX, UNIX_MS_MIN, parse_rfc3339

# Rounded vectors sum to 1 only about; what is far outside is logits or a bug, and its margin would lie.
PROB_TOLERANCE = 1e-3
SHOUTED_CHARS_MIN = 8
# Two embedders of 64 dimensions agree by chance at about 0 +- .13; rounding to 3 digits leaves .9999.
SAME_EMBEDDER_COS = 0.99


class Decoded(Protocol):
    """What a format's decoder gives."""

    @property
    def records(self) -> list[InferenceRecord]: ...
    @property
    def positions(self) -> list[int]: ...
    @property
    def rejects(self) -> list[Rejected]: ...


class Intake:
    """Turns decoded records of any format into columns.

    Holds caches and the embedder only: the same records give the same columns, whatever came before.

    Parameters
    ----------
    hmac_key : bytes
        Secret for the pseudonyms of API key ids.
    embedder : Embedder or None
        Embeds text inputs that bring no embedding; None leaves them without one.
    """

    def __init__(self, hmac_key: bytes, embedder: Embedder | None) -> None:
        self._pseudonymiser = Pseudonymiser(hmac_key)
        self._embedder = embedder
        self._code_by_label: dict[str, int] = {}

    def columns(self, raw: RawBatch, decoded: Decoded) -> tuple[RecordBatch, list[Rejected]]:
        """Columns of the good records, and a reject for each other one.

        Parameters
        ----------
        raw : RawBatch
            The messages, for the excerpts of rejects.
        decoded : Decoded
            Their records and positions, in order, as the format's decoder gave them.

        Returns
        -------
        batch : RecordBatch
        rejects : list of Rejected
            Those of the decoder first, then those found here.
        """
        rejects = list(decoded.rejects)
        found = _Faults(raw, decoded.positions)
        records = decoded.records
        times_ms = _times_of(records, found)
        model_ids = [record.model_id for record in records]
        inputs = _vectors_of([_numeric_input(record) for record in records], model_ids, "input", found)
        embeddings = _vectors_of([record.embedding for record in records], model_ids, "embedding", found)
        probabilities = _probabilities_of(records, model_ids, found)
        _check_top_scores(records, found)
        if found.reason_by_row:
            rejects += found.rejects()
            keep = [row for row in range(len(records)) if row not in found.reason_by_row]
            positions = [decoded.positions[row] for row in keep]
            rest = _Kept([records[row] for row in keep], positions)
            batch, more = self.columns(raw, rest)
            return batch, rejects + more
        texts = [record.input if isinstance(record.input, str) else None for record in records]
        self._fold_case(texts, embeddings)
        embeddings += self._embed_texts(texts, model_ids, embeddings)
        batch = self._batch_of(raw, decoded, times_ms, inputs, embeddings, probabilities)
        return batch, rejects

    def plain_columns(self, raw: RawBatch, scan: Scan) -> RecordBatch:
        """Columns of plain records: the same as `columns` would give of them, without an object a record."""
        batch = plain_batch(raw, scan, self._pseudonymiser, self._code_by_label)
        self._fold_case(batch.texts, batch.embeddings)
        batch.embeddings += self._embed_texts(batch.texts, batch.model_ids, batch.embeddings)
        _fill_confidences(batch.probabilities, batch.label_codes, batch.margins, batch.entropies)
        return batch

    def _embed_texts(
        self, texts: Sequence[str | None], model_ids: Sequence[str], given: Sequence[VectorBlock]
    ) -> list[VectorBlock]:
        if self._embedder is None:
            return []
        has_embedding = np.zeros(len(texts), dtype=bool)
        for block in given:
            has_embedding[block.rows] = True
        rows_by_model: dict[str, list[int]] = {}
        for row, text in enumerate(texts):
            if text is not None and not has_embedding[row]:
                rows_by_model.setdefault(model_ids[row], []).append(row)
        blocks = []
        for model_id, rows in rows_by_model.items():
            values = self._embedder.embed_many([text for row in rows if (text := texts[row]) is not None])
            blocks.append(VectorBlock(model_id, np.array(rows, dtype=np.int64), values, is_derived=True))
        return blocks

    def _fold_case(self, texts: Sequence[str | None], given: Sequence[VectorBlock]) -> None:
        """Embed texts in capitals again, in small letters, where the log was embedded by our own embedder.

        Most embedders take "WHERE IS MY CARD" for another topic than "Where is my card". A client that shouts
        is no thief; with a foreign embedder nothing can be done about it.
        """
        if self._embedder is None:
            return
        for block in given:
            if block.values.shape[1] != EMBEDDING_LENGTH:
                continue
            for place, row in enumerate(block.rows.tolist()):
                text = texts[row]
                if text is None or not is_shouted(text):
                    continue
                as_is, folded = self._embedder.embed_many([text, text.lower()])
                if _cosine(as_is, block.values[place]) > SAME_EMBEDDER_COS:
                    block.values[place] = folded

    def _batch_of(
        self,
        raw: RawBatch,
        decoded: Decoded,
        times_ms: IntArray,
        inputs: list[VectorBlock],
        embeddings: list[VectorBlock],
        probabilities: list[VectorBlock],
    ) -> RecordBatch:
        records = decoded.records
        labels = code_labels([record.predicted_label for record in records], self._code_by_label)
        margins, entropies = _confidences_of(records, probabilities, labels)
        params = [record.params for record in records]
        return RecordBatch(
            raw=raw,
            positions=np.array(decoded.positions, dtype=np.int64),
            event_ids=[record.event_id for record in records],
            event_times_ms=times_ms,
            account_ids=[record.account_id for record in records],
            tenant_ids=[record.tenant_id for record in records],
            model_ids=[record.model_id for record in records],
            api_key_hashes=self._pseudonymiser.hash_many([record.api_key_id for record in records]),
            client_ips=[record.client_ip for record in records],
            user_agents=[record.user_agent for record in records],
            texts=[record.input if isinstance(record.input, str) else None for record in records],
            output_texts=[record.output_text for record in records],
            input_hashes=_input_hashes_of(records, inputs, self._pseudonymiser.input_key),
            label_codes=labels,
            statuses=np.array([200 if r.status is None else r.status for r in records], dtype=np.int16),
            has_logprobs=_column([_has_logprobs(p) for p in params]),
            logit_biases=_column([_logit_biases(p) for p in params]),
            choices=_column([None if p is None else p.n for p in params]),
            max_tokens=_column([None if p is None else p.max_tokens for p in params]),
            input_tokens=_column([record.input_tokens for record in records]),
            output_tokens=_column([record.output_tokens for record in records]),
            margins=margins,
            entropies=entropies,
            inputs=inputs,
            embeddings=embeddings,
            probabilities=probabilities,
        )


def is_shouted(text: str) -> bool:
    """Whether most letters are capitals, in a text long enough to tell.

    Examples
    --------
    >>> is_shouted("WHERE IS MY CARD?"), is_shouted("Where is my IBAN?"), is_shouted("OK")
    (True, False, False)
    """
    if text.islower() or len(text) < SHOUTED_CHARS_MIN:
        return False
    capitals = sum(char.isupper() for char in text)
    return capitals > sum(char.islower() for char in text)


def _cosine(a: Float32Array, b: Float32Array) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))


class _Kept:
    def __init__(self, records: list[InferenceRecord], positions: list[int]) -> None:
        self.records = records
        self.positions = positions
        self.rejects: list[Rejected] = []


class _Faults:
    """The first fault of each bad record."""

    def __init__(self, raw: RawBatch, positions: Sequence[int]) -> None:
        self._raw = raw
        self._positions = positions
        self.reason_by_row: dict[int, tuple[RejectReason, str, str]] = {}

    def add(self, row: int, reason: RejectReason, field: str, message: str) -> None:
        self.reason_by_row.setdefault(row, (reason, field, message))

    def rejects(self) -> list[Rejected]:
        return [
            reject(self._raw, self._positions[row], reason, field, message)
            for row, (reason, field, message) in sorted(self.reason_by_row.items())
        ]


def _column(values: Sequence[float | None]) -> Float32Array:
    # None becomes NaN within numpy, several times faster than a look at each value in Python.
    with np.errstate(over="ignore"):  # 1e39 becomes infinite
        return np.array(values, dtype=np.float64).astype(np.float32)


def _has_logprobs(params: Params | None) -> float | None:
    if params is None:
        return None
    return float(bool(params.logprobs) or bool(params.top_logprobs))


def _logit_biases(params: Params | None) -> float | None:
    if params is None:
        return None
    bias = params.logit_bias
    return float(len(bias)) if isinstance(bias, dict) else float(bias or 0)


def _numeric_input(record: InferenceRecord) -> list[float] | Blob | None:
    return None if isinstance(record.input, str) else record.input


def _times_of(records: Sequence[InferenceRecord], found: _Faults) -> IntArray:
    texts = [record.event_time for record in records]
    if texts and all(type(text) is str and len(text) == 24 and text[-1] == "Z" for text in texts):
        try:  # the common form at a third of the cost of one parse a record
            return np.array([str(text)[:-1] for text in texts], dtype="datetime64[ms]").astype(np.int64)
        except ValueError:
            pass  # one of them is bad: find out which, below
    times_ms = np.zeros(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        try:
            time_ms = text if isinstance(text, int) else parse_rfc3339(text)
        except ValueError as error:
            found.add(row, "schema", "event_time", f"no RFC 3339 time: {error}")
            continue
        if not UNIX_MS_MIN <= time_ms <= UNIX_MS_MAX:
            message = f"{time_ms} is no epoch time in milliseconds within the years 1 to 9999"
            found.add(row, "schema", "event_time", message)
            continue
        times_ms[row] = time_ms
    return times_ms


def _vectors_of(
    given: Sequence[list[float] | Blob | None], model_ids: Sequence[str], field: str, found: _Faults
) -> list[VectorBlock]:
    blocks, faults = blocks_of(given, model_ids)
    _add_faults(faults, field, found)
    return blocks


def _add_faults(faults: dict[int, str], field: str, found: _Faults) -> None:
    for row, message in faults.items():
        reason: RejectReason = "not_finite" if "finite" in message else "schema"
        found.add(row, reason, field, message)


def _probabilities_of(
    records: Sequence[InferenceRecord], model_ids: Sequence[str], found: _Faults
) -> list[VectorBlock]:
    blocks, faults = blocks_of([record.probabilities for record in records], model_ids)
    _add_faults(faults, "probabilities", found)
    for block in blocks:
        is_prob = (block.values >= -PROB_TOLERANCE) & (block.values <= 1 + PROB_TOLERANCE)
        for index in np.flatnonzero(~is_prob.all(axis=1)):
            place = int(np.argmin(is_prob[index]))
            message = f"{block.values[index, place]:.4g} is no probability; expected values in [0, 1]"
            found.add(int(block.rows[index]), "schema", f"probabilities[{place}]", message)
    return blocks


def _check_top_scores(records: Sequence[InferenceRecord], found: _Faults) -> None:
    for row, record in enumerate(records):
        scores = record.top_scores
        if scores is None:
            continue
        if not np.isfinite(scores).all():
            found.add(row, "not_finite", "top_scores", "a score is not finite")
        elif any(lower > upper for upper, lower in itertools.pairwise(scores)):
            found.add(row, "schema", "top_scores", "the scores do not descend")


def _confidences_of(
    records: Sequence[InferenceRecord], probabilities: Sequence[VectorBlock], labels: IntArray
) -> tuple[Float32Array, Float32Array]:
    """Margin and normalised entropy; fills the labels that only the probabilities tell."""
    n = len(records)
    margins, entropies = (np.full(n, np.nan, dtype=np.float32) for _ in range(2))
    for row, record in enumerate(records):
        if record.top_scores is not None and len(record.top_scores) > 1:
            margins[row] = record.top_scores[0] - record.top_scores[1]
    _fill_confidences(probabilities, labels, margins, entropies)
    return margins, entropies


def _fill_confidences(
    probabilities: Sequence[VectorBlock], labels: IntArray, margins: Float32Array, entropies: Float32Array
) -> None:
    """Of records with a whole probability vector."""
    for block in probabilities:
        n_classes = block.values.shape[1]
        if n_classes == 1:  # the score of the positive class
            positive = block.values[:, 0]
            margins[block.rows] = np.abs(2 * positive - 1)
            continue
        highest = np.partition(block.values, n_classes - 2, axis=1)[:, -2:]
        margins[block.rows] = highest[:, 1] - highest[:, 0]
        probs = np.maximum(block.values, np.float32(1e-12))
        entropies[block.rows] = -(probs * np.log(probs)).sum(axis=1) / np.float32(np.log(n_classes))
        is_unlabelled = labels[block.rows] == MISSING_LABEL
        if is_unlabelled.any():
            labels[block.rows[is_unlabelled]] = np.argmax(block.values[is_unlabelled], axis=1)


def _input_hashes_of(
    records: Sequence[InferenceRecord], inputs: Sequence[VectorBlock], key: bytes
) -> Uint64Array:
    hashes = np.zeros(len(records), dtype=np.uint64)
    for row, record in enumerate(records):
        if isinstance(record.input, str):
            hashes[row] = text_hash(record.input, key)
    for block in inputs:
        hashes[block.rows] = hash_rows(block.values, key)
    return hashes
