"""Decoded records to one `RecordBatch` of columns; what cannot be taken becomes `Rejected`."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import msgspec
import numpy as np
import numpy.typing as npt

from copycatch.intake.accounts import CanonicalAccounts
from copycatch.intake.context import context_columns
from copycatch.intake.embed import Embedder, is_shouted
from copycatch.intake.labels import MISSING_LABEL, code_labels
from copycatch.intake.options import OptionReader
from copycatch.intake.pseudonymise import Pseudonymiser
from copycatch.intake.vectors import blocks_of, hash_rows
from copycatch.records.columns import (
    Charge,
    Float32Array,
    IntArray,
    RawBatch,
    RecordBatch,
    Uint64Array,
    VectorBlock,
)
from copycatch.records.decoding import Decoded
from copycatch.records.rejects import reject
from copycatch.records.wire import Blob, InferenceRecord, Rejected, RejectReason
from copycatch.units import LOG_MS_MAX, LOG_MS_MIN, UNIX_MS_MAX, UNIX_MS_MIN, event_time_ms, odd_time_text

# Rounded vectors sum to 1 only about; what is far outside is logits or a bug, and its margin would lie.
PROB_TOLERANCE = 1e-3
# Two embedders of 64 dimensions agree by chance at about 0 +- .13; rounding to 3 digits leaves .9999.
SAME_EMBEDDER_COS = 0.99
_COMMON_TIME = "2026-01-05T00:00:00.000Z"
_COMMON_CHARS = np.frombuffer(_COMMON_TIME.encode(), dtype=np.uint8)
_IS_DIGIT = np.array([each.isdigit() for each in _COMMON_TIME])

Fields = dict[str, Sequence[Any]]
"""Values of the records by field name, one a record; None where missing."""


class ColumnBuilder:
    """Turns decoded records of any format into columns.

    The same records give the same columns, whatever came before.

    Parameters
    ----------
    hmac_key : bytes
        Secret for the pseudonyms of API key ids and the hashes of inputs.
    embedder : Embedder or None, for text inputs that bring no embedding
    """

    def __init__(self, hmac_key: bytes, embedder: Embedder | None) -> None:
        self._pseudonymiser = Pseudonymiser(hmac_key)
        self.link_key = self._pseudonymiser.link_key
        self._accounts = CanonicalAccounts()
        self._embedder = embedder
        self._code_by_label: dict[str, int] = {}
        self._options = OptionReader()

    def forget_names(self) -> None:
        """Empty the cache of accounts' spellings."""
        self._accounts = CanonicalAccounts()

    def build(self, raw: RawBatch, decoded: Decoded) -> tuple[RecordBatch, list[Rejected]]:
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
        records, positions = decoded.records, decoded.positions
        fields = _fields_of(records)
        found = _Faults(raw, positions, fields["account_id"])
        times_ms = _times_of(fields["event_time"], found)
        if found.reason_by_row:
            rejects += found.rejects()
            keep = [row for row in range(len(records)) if row not in found.reason_by_row]
            batch, more = self.build(raw, decoded.only(keep))
            return batch, rejects + more
        texts, vectors = _texts_and_vectors(fields["input"])
        # What is wrong with a vector costs the vector, never the query.
        inputs, unread = blocks_of(vectors, fields["model_id"])
        embeddings, bad_embeddings = blocks_of(fields["embedding"], fields["model_id"])
        probabilities, bad = blocks_of(fields["probabilities"], fields["model_id"])
        probabilities, n_outside = _in_unit_range(probabilities)
        fields["top_scores"], n_disordered = _descending(fields["top_scores"])
        decoded.notes["unread"] += len(unread) + len(bad_embeddings) + len(bad) + n_outside + n_disordered
        self._fold_case(texts, embeddings)
        embeddings += self._embed_texts(texts, fields["model_id"], embeddings)
        batch = self._batch_of(raw, positions, fields, times_ms, texts, (inputs, embeddings, probabilities))
        for row, charge in decoded.charges.items():
            batch.charges[row] = charge
        batch.charges[[*unread, *bad_embeddings]] = Charge.UNREAD
        context, n_bad_context = context_columns(fields, self._pseudonymiser)
        decoded.notes["unread"] += n_bad_context
        return replace(batch, **context) if context else batch, rejects

    def event_times_ms(self, raw: RawBatch, decoded: Decoded) -> list[int | None]:
        """Event times of decoded records; None of those that `build` would reject for it."""
        fields = _fields_of(decoded.records)
        found = _Faults(raw, decoded.positions, fields["account_id"])
        times_ms = _times_of(fields["event_time"], found).tolist()
        return [None if row in found.reason_by_row else each for row, each in enumerate(times_ms)]

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
            if block.values.shape[1] != self._embedder.length:
                continue
            for index, row in enumerate(block.rows.tolist()):
                text = texts[row]
                if text is None or not is_shouted(text):
                    continue
                as_is, folded = self._embedder.embed_many([text, text.lower()])
                if _cosine(as_is, block.values[index]) > SAME_EMBEDDER_COS:
                    block.values[index] = folded

    def _batch_of(
        self,
        raw: RawBatch,
        positions: list[int],
        fields: Fields,
        times_ms: IntArray,
        texts: list[str | None],
        blocks: tuple[list[VectorBlock], list[VectorBlock], list[VectorBlock]],
    ) -> RecordBatch:
        inputs, embeddings, probabilities = blocks
        labels = code_labels(fields["predicted_label"], self._code_by_label)
        margins, entropies = _confidences_of(fields["top_scores"], probabilities, labels)
        options = self._options.of(fields["params"])
        return RecordBatch(
            raw=raw,
            positions=np.array(positions, dtype=np.int64),
            event_ids=list(fields["event_id"]),
            event_times_ms=times_ms,
            account_ids=self._accounts.canonical_many(fields["account_id"]),
            tenant_ids=list(fields["tenant_id"]),
            model_ids=list(fields["model_id"]),
            api_key_hashes=self._pseudonymiser.hash_many(fields["api_key_id"]),
            client_ips=list(fields["client_ip"]),
            user_agents=list(fields["user_agent"]),
            texts=texts,
            output_texts=list(fields["output_text"]),
            input_hashes=_input_hashes_of(texts, inputs, self._pseudonymiser.input_key),
            label_codes=labels,
            statuses=_statuses_of(fields["status"]),
            charges=np.zeros(len(positions), dtype=np.int8),
            **options._asdict(),
            input_tokens=_column(fields["input_tokens"]),
            output_tokens=_column(fields["output_tokens"]),
            margins=margins,
            entropies=entropies,
            inputs=inputs,
            embeddings=embeddings,
            probabilities=probabilities,
        )


def _cosine(a: Float32Array, b: Float32Array) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)  # squares of what float32 holds
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))


class _Faults:
    """The first fault of each bad record."""

    def __init__(self, raw: RawBatch, positions: Sequence[int], account_ids: Sequence[str]) -> None:
        self._raw = raw
        self._account_ids = account_ids
        self._positions = positions
        self.reason_by_row: dict[int, tuple[RejectReason, str, str]] = {}

    def add(self, row: int, reason: RejectReason, field: str, message: str) -> None:
        self.reason_by_row.setdefault(row, (reason, field, message))

    def rejects(self) -> list[Rejected]:
        return [
            reject(self._raw, self._positions[row], reason, field, message, self._account_ids[row])
            for row, (reason, field, message) in sorted(self.reason_by_row.items())
        ]


def _fields_of(records: Sequence[InferenceRecord]) -> Fields:
    names = InferenceRecord.__struct_fields__
    if not records:
        return dict.fromkeys(names, ())
    # One tuple a record and one transposition: a third of the cost of a look at each attribute of each.
    # Not strict: records that are read lazily have a field more, behind these.
    return dict(zip(names, zip(*map(msgspec.structs.astuple, records), strict=False), strict=False))


def _is_absent(values: Sequence[object]) -> bool:
    """Whether the field is missing from all records, as most optional ones are."""
    return values.count(None) == len(values)


def _missing(n: int) -> Float32Array:
    return np.full(n, np.nan, dtype=np.float32)


def _column(values: Sequence[float | None]) -> Float32Array:
    if _is_absent(values):
        return _missing(len(values))
    # None becomes NaN within numpy, several times faster than a look at each value in Python.
    with np.errstate(over="ignore"):  # 1e39 becomes infinite
        return np.array(values, dtype=np.float64).astype(np.float32)


def _statuses_of(values: Sequence[int | None]) -> npt.NDArray[np.int16]:
    if None in values:
        values = [200 if value is None else value for value in values]
    return np.array(values, dtype=np.int16)


def _texts_and_vectors(
    values: Sequence[str | list[float] | Blob | None],
) -> tuple[list[str | None], Sequence[list[float] | Blob | None]]:
    """Inputs that are text, and those that are numbers; None where they are the other."""
    texts = [value if isinstance(value, str) else None for value in values]
    return texts, [None if isinstance(value, str) else value for value in values]


def _common_times_of(values: Sequence[str | int]) -> IntArray | None:
    """Times all written as 2026-01-05T00:00:00.250Z, at a third of the cost of one parse a record."""
    if set(map(type, values)) != {str} or set(map(len, cast("Sequence[str]", values))) != {len(_COMMON_TIME)}:
        return None
    try:
        text = "".join(cast("Sequence[str]", values)).encode("ascii")
        chars = np.frombuffer(text, dtype=np.uint8).reshape(len(values), -1)
        # numpy reads more than RFC 3339 allows, so every character is looked at first.
        if not (np.where(_IS_DIGIT, chars - ord("0") <= 9, chars == _COMMON_CHARS)).all():
            return None
        times_ms = chars[:, :-1].copy().view(f"S{len(_COMMON_TIME) - 1}").astype("datetime64[ms]")
    except ValueError:
        return None  # one of them is bad: the caller finds out which
    as_int = times_ms.ravel().astype(np.int64)
    return as_int if (as_int >= UNIX_MS_MIN).all() else None


def _times_of(values: Sequence[str | int], found: _Faults) -> IntArray:
    common = _common_times_of(values)
    times_ms = _each_time_of(values, found) if common is None else common
    for row in np.flatnonzero((times_ms < LOG_MS_MIN) | (times_ms >= LOG_MS_MAX)).tolist():
        found.add(row, "schema", "event_time", odd_time_text(int(times_ms[row])))
    return times_ms


def _each_time_of(values: Sequence[str | int], found: _Faults) -> IntArray:
    times_ms = np.zeros(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        try:
            time_ms = event_time_ms(value)
        except ValueError as error:
            found.add(row, "schema", "event_time", f"no RFC 3339 time: {error}")
            continue
        if not UNIX_MS_MIN <= time_ms <= UNIX_MS_MAX:
            message = f"{value} is no epoch time within the years 1 to 9999"
            found.add(row, "schema", "event_time", message)
            continue
        times_ms[row] = time_ms
    return times_ms


def _in_unit_range(blocks: Sequence[VectorBlock]) -> tuple[list[VectorBlock], int]:
    """The vectors that hold probabilities, and how many do not."""
    kept, n_outside = [], 0
    for block in blocks:
        is_prob = ((block.values >= -PROB_TOLERANCE) & (block.values <= 1 + PROB_TOLERANCE)).all(axis=1)
        if is_prob.all():
            kept.append(block)
            continue
        n_outside += int((~is_prob).sum())
        if is_prob.any():
            kept.append(VectorBlock(block.model_id, block.rows[is_prob], block.values[is_prob]))
    return kept, n_outside


def _descending(values: Sequence[list[float] | None]) -> tuple[Sequence[list[float] | None], int]:
    """Scores that are finite and descend, None for the others, and how many of these there are."""
    if _is_absent(values):
        return values, 0
    kept = [None if scores is None or not _descends(scores) else scores for scores in values]
    return kept, kept.count(None) - values.count(None)


def _descends(scores: list[float]) -> bool:
    pairs = itertools.pairwise(scores)
    return bool(np.isfinite(scores).all()) and all(upper >= lower for upper, lower in pairs)


def _confidences_of(
    top_scores: Sequence[list[float] | None], probabilities: Sequence[VectorBlock], labels: IntArray
) -> tuple[Float32Array, Float32Array]:
    """Margin and normalised entropy; fills the labels that only the probabilities tell."""
    n = len(top_scores)
    margins, entropies = _missing(n), _missing(n)
    if not _is_absent(top_scores):
        for row, scores in enumerate(top_scores):
            if scores is not None and len(scores) > 1:
                margins[row] = scores[0] - scores[1]
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
    return margins, entropies


def _input_hashes_of(texts: Sequence[str | None], inputs: Sequence[VectorBlock], key: bytes) -> Uint64Array:
    if _is_absent(texts):
        hashes = np.zeros(len(texts), dtype=np.uint64)
    else:
        hashes = np.array([0 if text is None else text_hash(text, key) for text in texts], dtype=np.uint64)
    for block in inputs:
        hashes[block.rows] = hash_rows(block.values, key)
    return hashes


def text_hash(text: str, key: bytes = b"") -> int:
    """A 64-bit hash of a text, the same in every process with the same key, never 0.

    Examples
    --------
    >>> text_hash("a") == text_hash("a"), text_hash("a") == text_hash("b")
    (True, False)
    """
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), key=key, digest_size=8).digest()
    return max(int.from_bytes(digest, "little"), 1)
