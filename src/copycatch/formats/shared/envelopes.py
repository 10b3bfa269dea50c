"""What log pipelines wrap around the messages of a gateway, taken off before any format reads them."""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec

from copycatch.formats.shared.cut_lines import CutLines
from copycatch.formats.shared.envelope_kinds import (
    BASE64,
    CRI_LINE,
    MAGIC,
    TAKERS,
    TEXT_BEFORE,
    bare,
    is_json_text,
    otlp_bodies,
)
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import FormatOptions
from copycatch.formats.shared.json_text import read_json
from copycatch.formats.shared.kafka_dumps import opened
from copycatch.formats.shared.messages import dig
from copycatch.formats.shared.recognise import Recognise
from copycatch.records.columns import RawBatch
from copycatch.records.decoding import Decoded, Decoder, Note
from copycatch.records.wire import MESSAGE_BYTES_MAX

INNER_MAX = 10_000  # messages of one envelope
DEPTH_MAX = 4  # envelopes within envelopes: a container's log of a file of a stream
_HEAD_BYTES = 1024
_KEYS = re.compile(
    rb'"(?:messageType|logEvents|records|jsonPayload|insertId|log|message|@message|@timestamp|payload|schema'
    rb"|resourceLogs|MESSAGE|textPayload|Message|detail-type|sourcetype|awslogs|Records|log_processed|json"
    rb'|before)"|"(?:data|data_base64|Body|msg|short_message|LogEntry|LogMessage|original)"\s*:\s*"'
)
# Exports and queries of log stores, and events: taken out only where what is within is of a known format.
_HOLDERS = re.compile(
    rb'"(?:_source|_raw|hits|line|eventType|specversion)"|"(?:entries|items|logs|data)"\s*:\s*\['
    rb'|"(?:data|content|attributes|result|stream|properties|event|msg|LogMessage)"\s*:\s*\{|"streams"\s*:\s*\['
)
_KUBEFLOW = b"org.kubeflow"  # CloudEvents that are a format of their own
_HELD = (
    *(("_source",), ("line",), ("_raw",), ("result", "_raw"), ("attributes",), ("content", "attributes")),
    *(("attributes", "attributes"), ("data",), ("properties",), ("event",), ("msg",), ("LogMessage",)),
    *(("content", "message"), ("event", "original")),
)
_LISTED = (
    ("entries",),
    ("items",),
    ("logs",),
    ("data",),
    ("hits", "hits"),
    ("data", "result"),
    ("values",),
    ("streams",),
)

Inner = list[bytes] | None
"""Messages within an envelope; None where there is none."""


class UnwrappingDecoder(Decoder):
    """Takes envelopes off the messages of a topic, then decodes what was within.

    Parameters
    ----------
    inner : Decoder
    recognise : callable
        Tells formats: what is in one is no envelope.
    is_pointed : bool
        Whether pointers say what is where, so that exports of log stores stay as they are.
    options : FormatOptions, optional
        What bounds the parts of cut lines that wait for their ends.
    """

    def __init__(
        self,
        inner: Decoder,
        recognise: Recognise,
        is_pointed: bool = False,
        options: FormatOptions | None = None,
    ) -> None:
        self._cut_lines = CutLines(options or FormatOptions())
        self._inner = inner
        self._recognise = recognise
        self._is_pointed = is_pointed

    def decode(self, batch: RawBatch) -> Decoded:
        decoded = Decoded()
        batch = self._cut_lines.joined(batch, decoded)
        unwrapped, notes = unwrap_batch(batch, self._recognise, self._is_pointed)
        decoded.add(self._inner.decode(unwrapped))
        decoded.notes += notes
        return decoded

    def decode_lazily(self, batch: RawBatch) -> Decoded:
        """Envelopes are looked for only where the message is not plainly of the format that is expected."""
        sure, rows = self._inner.decode_sure(batch)
        if not rows:
            return sure
        rest = self.decode(picked(batch, rows))
        return in_order(batch, sure, rest) if sure.records or sure.notes else rest

    def flush(self, now_ms: int) -> Decoded:
        decoded = self._cut_lines.flush(now_ms)
        decoded.add(self._inner.flush(now_ms))
        return decoded

    def snapshot(self) -> bytes:
        return self._cut_lines.snapshot(self._inner.snapshot())

    def restore(self, state: bytes) -> None:
        inner = self._cut_lines.restore(state)
        if inner:
            self._inner.restore(inner)


def unwrap_batch(
    batch: RawBatch, recognise: Recognise, is_pointed: bool = False
) -> tuple[RawBatch, Counter[Note]]:
    """The messages within a batch's envelopes, each at the position of its envelope; see `UnwrappingDecoder`.

    Returns
    -------
    batch : RawBatch
        The given one where nothing is wrapped.
    notes : Counter
        `split` for messages beyond the first of an envelope, `skipped` for envelopes that hold none.
    """
    notes: Counter[Note] = Counter()
    batch = opened(batch)
    inner_by_row: dict[int, list[bytes]] = {}
    for row, value in enumerate(batch.values):
        if not _may_be_wrapped(value):
            continue
        inner = _unwrap(value, recognise, 0, is_pointed)
        if inner is not None:
            inner_by_row[row] = inner
            notes["split"] += max(len(inner) - 1, 0)
            notes["skipped"] += not inner
    if not inner_by_row:
        return batch, notes
    rows: list[int] = []
    values: list[bytes] = []
    for row, value in enumerate(batch.values):
        found = inner_by_row.get(row, [value])
        values += found
        rows += [row] * len(found)
    return replace(picked(batch, rows), values=values), notes


def picked(batch: RawBatch, rows: list[int]) -> RawBatch:
    """Some of the messages; a row may be there more than once."""
    if len(rows) == len(batch.values) and rows == list(range(len(rows))):
        return batch
    return RawBatch(
        batch.topic,
        batch.partition,
        [batch.positions[row] for row in rows],
        [batch.values[row] for row in rows],
        timestamps_ms=[batch.timestamps_ms[row] for row in rows] if batch.timestamps_ms else [],
        headers=[batch.headers[row] for row in rows] if batch.headers else [],
        keys=[batch.keys[row] for row in rows] if batch.keys else [],
    )


def in_order(batch: RawBatch, first: Decoded, second: Decoded) -> Decoded:
    """Both, their records in the order of the messages of the batch."""
    row_by_position = {position: row for row, position in enumerate(batch.positions)}
    both = Decoded()
    both.add(first)
    both.add(second)
    order = sorted(range(len(both.records)), key=lambda index: row_by_position.get(both.positions[index], -1))
    ordered = both.only(order)
    ordered.rejects = both.rejects
    return ordered


def _may_be_wrapped(value: bytes) -> bool:
    """A look at the beginning, so that messages without envelope cost next to nothing."""
    if not value or len(value) > MESSAGE_BYTES_MAX:
        return False
    if value[0] == MAGIC or _KEYS.search(value, 0, _HEAD_BYTES) is not None:
        return True
    if _HOLDERS.search(value, 0, _HEAD_BYTES) is not None and _KUBEFLOW not in value[:_HEAD_BYTES]:
        return True
    if value[0] in b"{[":
        return False
    found = CRI_LINE.match(value, 0, 128) or BASE64.match(value, 0, 128) or TEXT_BEFORE.match(value, 0, 600)
    return found is not None


def _unwrap(value: bytes, recognise: Recognise, depth: int, is_pointed: bool = False) -> Inner:
    inner = _taken(value, recognise, depth, is_pointed)
    return inner if inner is not None or is_pointed else _held(value, recognise, depth)


def _taken(value: bytes, recognise: Recognise, depth: int, is_pointed: bool) -> Inner:
    """What envelopes that are told by their keys hold."""
    if depth == DEPTH_MAX:
        return None
    opened_value = bare(value)
    if opened_value is not None:
        inner = _unwrap(opened_value, recognise, depth + 1, is_pointed)
        return [opened_value] if inner is None else inner
    try:
        document = read_json(value)
    except MessageFault:
        return None
    if not isinstance(document, dict):
        return None
    for take in TAKERS:
        found = take(document)
        # A log that has the keys of an envelope by chance is in a known format.
        if found is None or (take is not otlp_bodies and recognise(document, {}) is not None):
            continue
        is_parsed = take is otlp_bodies and not any(isinstance(each, str) for each in found)
        if is_parsed and _each_known(found, recognise, depth) is None:
            continue  # maps of another program
        messages: list[bytes] = []
        for each in found[:INNER_MAX]:
            encoded = _encoded_line(each)
            inner = _unwrap(encoded, recognise, depth + 1, is_pointed)
            messages += [encoded] if inner is None else inner
        return messages[:INNER_MAX]
    return None


def _held(value: bytes, recognise: Recognise, depth: int) -> Inner:
    """What exports of log stores hold, where that is of a known format or an envelope itself."""
    before = TEXT_BEFORE.match(value, 0, 600)
    if before is not None and depth < DEPTH_MAX:
        return _known(value[before.end() :].decode("utf-8", "replace"), recognise, depth)
    if depth == DEPTH_MAX or _HOLDERS.search(value, 0, _HEAD_BYTES) is None:
        return None
    try:
        document = read_json(value)
    except MessageFault:
        return None
    some = document[:8] if isinstance(document, list) else [document]
    if not any(isinstance(each, dict) and recognise(each, {}) is None for each in some):
        return None
    if isinstance(document, list):
        return _each_known(document, recognise, depth)
    return _held_by(document, recognise, depth)


def _held_by(document: dict[str, Any], recognise: Recognise, depth: int) -> Inner:
    for path in _HELD:
        inner = _known(dig(document, *path), recognise, depth)
        if inner is not None:
            return inner
    for path in _LISTED:
        entries = dig(document, *path)
        if not isinstance(entries, list) or not entries:
            continue
        # Loki's are pairs of a time and a line.
        entries = [each[-1] if isinstance(each, list) and each else each for each in entries[:INNER_MAX]]
        inner = _each_known(entries, recognise, depth)
        if inner is not None:
            return inner
    return None


def _each_known(entries: list[Any], recognise: Recognise, depth: int) -> Inner:
    """What entries hold, where one of them holds something known; the others stay as they are."""
    entries = entries[:INNER_MAX]
    found = [_known(each, recognise, depth) for each in entries]
    if all(each is None for each in found):
        return None
    lines = [
        [_encoded_line(entry)] if each is None else each for entry, each in zip(entries, found, strict=True)
    ]
    return [line for each in lines for line in each][:INNER_MAX]


def _known(held: Any, recognise: Recognise, depth: int) -> Inner:
    if isinstance(held, str) and not is_json_text(held):
        return None
    if not isinstance(held, str | dict):
        return None
    encoded = _encoded_line(held)
    inner = _unwrap(encoded, recognise, depth + 1)
    if inner is not None:
        return inner
    try:
        return [encoded] if recognise(read_json(encoded), {}) is not None else None
    except MessageFault:
        return None


def _encoded_line(held: Any) -> bytes:
    return held.encode(errors="replace") if isinstance(held, str) else msgspec.json.encode(held)
