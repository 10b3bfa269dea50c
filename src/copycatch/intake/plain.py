"""Columns of plain records, which a compiled reader has found without making an object per number."""

import hashlib

import numpy as np
import numpy.typing as npt

from copycatch.intake.labels import MISSING_LABEL, code_labels
from copycatch.intake.pseudonymise import Pseudonymiser
from copycatch.intake.vectors import hash_rows
from copycatch.records.columns import (
    Float32Array,
    IntArray,
    RawBatch,
    RecordBatch,
    Uint64Array,
    VectorBlock,
)
from copycatch.records.scan import NAME_AT, NUMBER_AT, TEXT_AT, VECTOR_AT, Scan

OK = 200


class PlainNames:
    """The strings of a scan: each distinct one is made once."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._is_ascii = scan.text.isascii()
        # Slices of one string of characters cost half of what slices of bytes and their decoding do.
        self._chars = scan.text.decode("ascii") if self._is_ascii else ""
        self.distinct = self._slices(scan.distinct)

    def _slices(self, places: IntArray) -> list[str]:
        starts, stops = places[:, 0].tolist(), places[:, 1].tolist()
        if self._is_ascii:
            chars = self._chars
            return [chars[start:stop] for start, stop in zip(starts, stops, strict=True)]
        text = self._scan.text  # what is not UTF-8 stands in no record of the scan
        return [text[start:stop].decode(errors="replace") for start, stop in zip(starts, stops, strict=True)]

    def codes(self, name: str) -> npt.NDArray[np.int32]:
        codes: npt.NDArray[np.int32] = self._scan.names[:, NAME_AT[name]]
        return codes

    def required(self, name: str) -> list[str]:
        return list(map(self.distinct.__getitem__, self.codes(name).tolist()))

    def optional(self, name: str) -> list[str | None]:
        """None where missing."""
        codes = self.codes(name)
        if len(codes) == 0 or int(codes.max()) < 0:
            return [None] * len(codes)
        with_none: list[str | None] = [*self.distinct, None]  # -1 is its last place
        return list(map(with_none.__getitem__, codes.tolist()))

    def texts(self, name: str) -> list[str]:
        places = self._scan.texts[:, TEXT_AT[name]]
        found = self._slices(places)
        unescaped = self._scan.unescaped
        if unescaped:
            starts = places[:, 0].tolist()
            found = [unescaped.get(start, text) for start, text in zip(starts, found, strict=True)]
        return found

    def texts_where(self, name: str, is_there: npt.NDArray[np.bool_]) -> list[str | None]:
        if not is_there.any():
            return [None] * len(is_there)
        found = self.texts(name)
        return [text if there else None for text, there in zip(found, is_there.tolist(), strict=True)]


def plain_blocks(scan: Scan, field: str, model_ids: list[str]) -> list[VectorBlock]:
    """Vectors of one field by model and length; rows ascend, blocks in order of first appearance."""
    which = VECTOR_AT[field]
    lengths, places = scan.vector_lengths[:, which], scan.vector_at[:, which]
    rows = np.flatnonzero(lengths)
    if not len(rows):
        return []
    models = scan.names[rows, NAME_AT["model_id"]].astype(np.int64)
    kinds = models * (1 << 32) + lengths[rows]
    blocks = []
    for kind in dict.fromkeys(kinds.tolist()):
        members = rows if kind == kinds[0] and (kinds == kind).all() else rows[kinds == kind]
        length = int(lengths[members[0]])
        values = scan.values[places[members][:, None] + np.arange(length)]
        blocks.append(VectorBlock(model_ids[members[0]], members, values))
    return blocks


def plain_labels(scan: Scan, names: PlainNames, code_by_label: dict[str, int]) -> IntArray:
    """Labels that were numbers as they are, strings by `code_labels`, -1 where missing."""
    codes = names.codes("predicted_label")
    labels = scan.labels.copy()
    rows = np.flatnonzero(codes >= 0)
    if len(rows):
        used, at = np.unique(codes[rows], return_inverse=True)
        labels[rows] = code_labels([names.distinct[code] for code in used.tolist()], code_by_label)[at]
    assert MISSING_LABEL == -1
    return labels


def plain_hashes(texts: list[str | None], inputs: list[VectorBlock], key: bytes) -> Uint64Array:
    """Of the exact input, keyed; 0 where there is none."""
    hashes = np.zeros(len(texts), dtype=np.uint64)
    for row, text in enumerate(texts):
        if text is not None:
            hashes[row] = text_hash(text, key)
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


def plain_batch(
    raw: RawBatch, scan: Scan, pseudonymiser: Pseudonymiser, code_by_label: dict[str, int]
) -> RecordBatch:
    """All columns but what is derived from them: scores, margins, entropies and made embeddings are NaN or
    missing still.
    """
    names = PlainNames(scan)
    model_ids = names.required("model_id")
    inputs, embeddings, probabilities = (
        plain_blocks(scan, field, model_ids) for field in ("input", "embedding", "probabilities")
    )
    texts = names.texts_where("input", scan.has_text)
    keys = names.codes("api_key_id")
    if (keys >= 0).any():
        used, at = np.unique(keys, return_inverse=True)
        hidden = pseudonymiser.hash_many(
            [None if code < 0 else names.distinct[code] for code in used.tolist()]
        )
        api_key_hashes = list(map(hidden.__getitem__, at.tolist()))
    else:
        api_key_hashes = [None] * len(scan)

    def column(name: str) -> Float32Array:
        with np.errstate(over="ignore"):
            values: Float32Array = scan.numbers[:, NUMBER_AT[name]].astype(np.float32)
        return values

    statuses = scan.numbers[:, NUMBER_AT["status"]]
    nothing = np.full(len(scan), np.nan, dtype=np.float32)
    first, second = (scan.numbers[:, NUMBER_AT[name]] for name in ("score_first", "score_second"))
    positions = np.array(raw.positions, dtype=np.int64)[scan.rows]
    return RecordBatch(
        raw=raw, positions=positions, event_ids=names.texts("event_id"), event_times_ms=scan.times_ms,
        account_ids=names.required("account_id"), tenant_ids=names.optional("tenant_id"), model_ids=model_ids,
        api_key_hashes=api_key_hashes, client_ips=names.optional("client_ip"),
        user_agents=names.optional("user_agent"), texts=texts,
        output_texts=names.texts_where("output_text", scan.has_output),
        input_hashes=plain_hashes(texts, inputs, pseudonymiser.input_key),
        label_codes=plain_labels(scan, names, code_by_label),
        statuses=np.where(np.isnan(statuses), OK, statuses).astype(np.int16),
        has_logprobs=column("has_logprobs"), logit_biases=column("logit_bias"), choices=column("n"),
        max_tokens=column("max_tokens"), input_tokens=column("input_tokens"),
        output_tokens=column("output_tokens"), margins=(first - second).astype(np.float32), entropies=nothing,
        inputs=inputs, embeddings=embeddings, probabilities=probabilities,
    )  # fmt: skip
