"""Messages of which any number make one query: a bounded table of parts that wait for the rest."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from copycatch.formats.shared.documents import add_readings, message_of
from copycatch.formats.shared.faults import MessageFault, foreign_fault
from copycatch.formats.shared.format import FormatOptions
from copycatch.formats.shared.joining import SNAPSHOT_VERSION, Pending, Waiting, read_waiting
from copycatch.formats.shared.json_text import lost_parts, read_json
from copycatch.formats.shared.messages import LogMessage, Reading
from copycatch.formats.shared.recognise import Recognise
from copycatch.records.columns import RawBatch
from copycatch.records.decoding import Decoded, Decoder

PARTS_MAX = 512  # of one query


class Part(NamedTuple):
    """Which query a message belongs to, and which part of it it is."""

    key: str
    label: str


class Gathering(NamedTuple):
    """How a format's parts make a query."""

    identify: Callable[[LogMessage], Part | None]
    """None where the message is about no query; raises `MessageFault`."""
    may_be_whole: Callable[[list[str]], bool]
    """Whether parts with these labels may be all of a query; cheap, asked for each message."""
    read: Callable[[list[LogMessage], list[str], bool], list[Reading] | None]
    """Readings of the parts with their labels. None where more must come, unless the third says that no more
    will; an empty list where they are about no inference. May raise `MessageFault`."""


class _Group(Struct):
    """Parts of one query, in the order in which they came."""

    parts: list[Pending]
    since_ms: int | None = None  # the first flush that saw it


class _Snapshot(Waiting):
    groups: list[tuple[str, _Group]]


class CollectingDecoder(Decoder):
    """Decodes messages of which several make one query.

    A query is read once all of it may be there. It is given up, and read from what is there, when it has
    waited for too long, when the table is full and it is the oldest, or when another part of one label comes:
    some ids are the client's own, and who sends one id twice must not hide a query. The same bytes again are
    the same part.

    Parameters
    ----------
    name : str
    gathering : Gathering
    sources : mapping of str to str
        Where each canonical field comes from, for messages about missing ones.
    options : FormatOptions
        `join_timeout_s`, `pending_max` (messages) and `pending_bytes_max` bound what waits.
    recognise : Recognise
    parse : callable
        Bytes of a message to its document; may raise `MessageFault`.
    """

    def __init__(
        self,
        name: str,
        gathering: Gathering,
        sources: Mapping[str, str],
        options: FormatOptions,
        recognise: Recognise,
        parse: Callable[[bytes], Any] = read_json,
    ) -> None:
        self._name = name
        self._gathering = gathering
        self._sources = sources
        self._options = options
        self._recognise = recognise
        self._parse = parse
        self._groups: OrderedDict[str, _Group] = OrderedDict()
        self._n_pending = self._pending_bytes = 0

    def __len__(self) -> int:
        """How many messages wait."""
        return self._n_pending

    def decode(self, batch: RawBatch) -> Decoded:
        decoded = Decoded()
        for row in range(len(batch.values)):
            try:
                self._take(decoded, batch, row)
            except MessageFault as fault:
                add_readings(decoded, batch, batch.positions[row], [fault], self._sources)
        return decoded

    def flush(self, now_ms: int) -> Decoded:
        decoded = Decoded()
        timeout_ms = round(1000 * self._options.join_timeout_s)
        for key, group in list(self._groups.items()):
            if group.since_ms is None:
                group.since_ms = now_ms
            elif now_ms - group.since_ms >= timeout_ms:
                self._read(decoded, key, is_last=True)
        return decoded

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(_Snapshot(SNAPSHOT_VERSION, list(self._groups.items())))

    def restore(self, state: bytes) -> None:
        snapshot = read_waiting(state, _Snapshot, self._name)
        # One decoder serves all shards of its topic, and each shard's snapshot holds all that waits.
        self._groups = OrderedDict(snapshot.groups) | self._groups
        parts = [part for group in self._groups.values() for part in group.parts]
        self._n_pending, self._pending_bytes = len(parts), sum(part.size_bytes for part in parts)

    def _take(self, decoded: Decoded, batch: RawBatch, row: int) -> None:
        try:
            document = self._parse(batch.values[row])
        except MessageFault as fault:
            found = self._recognise(batch.values[row], {})
            raise fault if found in (None, self._name) else foreign_fault(self._name, found) from None
        decoded.notes["unread"] += lost_parts(document)
        message = message_of(batch, row, document, self._options, decoded.notes)
        if not isinstance(document, dict):
            raise MessageFault("schema", None, f"expected a JSON object of format {self._name!r}")
        try:
            part = self._gathering.identify(message)
        except MessageFault as fault:
            # Only now: a key of another format in a body must not hide a good part.
            found = self._recognise(document, message.headers)
            raise fault if found in (None, self._name) else foreign_fault(self._name, found) from None
        if part is None:
            found = self._recognise(document, message.headers)
            if found not in (None, self._name):
                raise foreign_fault(self._name, found)
            decoded.notes["skipped"] += 1
            return
        self._hold(decoded, part, batch, row)

    def _hold(self, decoded: Decoded, part: Part, batch: RawBatch, row: int) -> None:
        pending = Pending.of(part.label, batch, row, batch.values[row])
        decoded.notes["held"] += 1
        group = self._groups.get(part.key)
        same = next((each for each in group.parts if each.kind == part.label), None) if group else None
        if same is not None and same.value == pending.value:
            decoded.notes["joined"] += 1  # it came twice
            return
        if same is not None:
            self._read(decoded, part.key, is_last=True)
        group = self._groups.setdefault(part.key, _Group([]))
        group.parts.append(pending)
        labels = [each.kind for each in group.parts]
        self._n_pending += 1
        self._pending_bytes += pending.size_bytes
        if len(labels) >= PARTS_MAX:
            self._read(decoded, part.key, is_last=True)
        elif self._gathering.may_be_whole(labels):
            self._read(decoded, part.key, is_last=False)
        while (
            self._n_pending > self._options.pending_max
            or self._pending_bytes > self._options.pending_bytes_max
        ):
            self._read(decoded, next(iter(self._groups)), is_last=True)

    def _read(self, decoded: Decoded, key: str, *, is_last: bool) -> None:
        parts = self._groups[key].parts
        messages = [self._message_of(part, decoded) for part in parts]
        readings: list[Reading] | None
        try:
            readings = self._gathering.read(messages, [part.kind for part in parts], is_last)
        except MessageFault as fault:
            readings = [fault]
        if readings is None:
            if not is_last:
                return
            readings = [MessageFault("unjoined", None, f"of {key[:80]!r} a part never came")]
        del self._groups[key]
        self._n_pending -= len(parts)
        self._pending_bytes -= sum(part.size_bytes for part in parts)
        decoded.notes["joined"] += len(parts) - 1
        decoded.notes["skipped"] += not readings
        decoded.notes["split"] += max(len(readings) - 1, 0)
        add_readings(decoded, parts[-1].batch(), parts[-1].position, readings, self._sources)

    def _message_of(self, part: Pending, decoded: Decoded) -> LogMessage:
        return message_of(part.batch(), 0, self._parse(part.value), self._options, decoded.notes)
