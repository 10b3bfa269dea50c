"""Requests joined with their responses: a bounded table of messages that wait."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from copycatch.errors import StateError
from copycatch.formats.shared.documents import add_readings, message_of
from copycatch.formats.shared.faults import MessageFault, foreign_fault
from copycatch.formats.shared.format import FormatOptions
from copycatch.formats.shared.json_text import lost_parts, read_json
from copycatch.formats.shared.messages import LogMessage, Reading
from copycatch.formats.shared.recognise import Recognise
from copycatch.records.columns import Charge, RawBatch
from copycatch.records.decoding import Decoded, Decoder, Note
from copycatch.units import UNIX_MS_MAX

SNAPSHOT_VERSION = 1
SAME_ID_MAX = 8  # requests, or responses, that wait under one id
_ENTRY_BYTES = 400  # of a waiting message besides its bytes: object, key, entry of the table

Kind = Literal["request", "response"]


class Identity(NamedTuple):
    """Which pair a message belongs to; `kind` None is a message that holds both request and response."""

    key: str
    kind: Kind | None


class Pending(Struct):
    """A message that waits, as it came: bytes are smaller than what they decode to."""

    kind: str  # request or response; the label of a part
    topic: str
    partition: int
    position: int
    value: bytes
    headers: list[tuple[str, bytes]]
    message_key: bytes | None
    arrival_ms: int | None
    # Since the first flush that saw it: times in messages come from outside and could make all others expire.
    since_ms: int | None = None

    @property
    def size_bytes(self) -> int:
        return _ENTRY_BYTES + len(self.value) + sum(len(name) + len(text) for name, text in self.headers)

    @classmethod
    def of(cls, kind: str, batch: RawBatch, row: int, value: bytes) -> "Pending":
        """A message of a batch; `value` are its bytes, or those of a part of it."""
        return cls(
            kind=kind,
            topic=batch.topic,
            partition=batch.partition,
            position=batch.positions[row],
            value=value,
            headers=batch.headers[row] if batch.headers else [],
            message_key=batch.keys[row] if batch.keys else None,
            arrival_ms=batch.timestamps_ms[row] if batch.timestamps_ms else None,
        )

    def batch(self) -> RawBatch:
        """The message as a batch of one."""
        return RawBatch(
            self.topic,
            self.partition,
            [self.position],
            [self.value],
            timestamps_ms=[] if self.arrival_ms is None else [self.arrival_ms],
            headers=[self.headers],
            keys=[self.message_key],
        )


class Waiting(Struct):
    """What waits in a decoder, as its snapshot has it."""

    version: int


Saved = TypeVar("Saved", bound=Waiting)


def read_waiting(state: bytes, kind: type[Saved], format_name: str) -> Saved:
    """What `snapshot` of a decoder wrote.

    Raises
    ------
    StateError
        If it is damaged or of another version.
    """
    try:
        snapshot = msgspec.msgpack.decode(state, type=kind)
    except (ValueError, RecursionError) as error:
        message = f"the pending messages of format {format_name!r} in the snapshot cannot be read: {error}"
        raise StateError(message) from None
    if snapshot.version != SNAPSHOT_VERSION:
        message = f"pending messages of version {snapshot.version}; this copycatch reads {SNAPSHOT_VERSION}"
        raise StateError(message)
    return snapshot


class _Snapshot(Waiting):
    pending: list[tuple[str, Pending]] = msgspec.field(name="halves")  # as older snapshots name it


Identify = Callable[[LogMessage], Identity]
"""Raises `MessageFault` for a message that is neither request nor response."""

ReadPair = Callable[[LogMessage | None, LogMessage | None], list[Reading]]
"""Readings of a request and its response; one of them is None where only the other is there."""


class JoiningDecoder(Decoder):
    """Decodes messages of which two make one query.

    Whichever comes first waits. It is given up, as a reject `unjoined` or as a record of its own if the
    options say so, when it has waited for too long, or when the table is full and it is the oldest. Clients
    choose ids: several requests may wait under one, up to `SAME_ID_MAX`. The latest gets the next answer, so
    that one whose answer is lost does not shift those of all that follow.
    """

    def __init__(
        self,
        name: str,
        identify: Identify,
        read_pair: ReadPair,
        sources: Mapping[str, str],
        options: FormatOptions,
        recognise: Recognise,
    ) -> None:
        self._name = name
        self._identify = identify
        self._read_pair = read_pair
        self._sources = sources
        self._options = options
        self._recognise = recognise
        self._pending: OrderedDict[str, Pending] = OrderedDict()
        self._behind: dict[str, deque[Pending]] = {}  # older ones of the same kind and key
        self._n_behind = 0
        self._pending_bytes = 0

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._pending) + self._n_behind

    def decode(self, batch: RawBatch) -> Decoded:
        decoded = Decoded()
        for row in range(len(batch.values)):
            position = batch.positions[row]
            try:
                documents = _document_of(batch.values[row], _is_binary(batch, row))
            except MessageFault as fault:
                add_readings(decoded, batch, position, [fault], self._sources)
                continue
            decoded.notes["unread"] += lost_parts(documents)
            # A batch of structured CloudEvents is an array; in binary mode an array is the body itself.
            is_array = isinstance(documents, list) and not (documents and _is_binary(batch, row))
            events = documents if is_array else [documents]
            decoded.notes["split"] += max(len(events) - 1, 0)
            decoded.notes["skipped"] += not events
            for document in events:
                message = message_of(batch, row, document, self._options, decoded.notes)
                readings = self._take(decoded, batch, row, message, is_array)
                add_readings(decoded, batch, position, readings, self._sources)
        return decoded

    def flush(self, now_ms: int) -> Decoded:
        decoded = Decoded()
        timeout_ms = round(1000 * self._options.join_timeout_s)
        for key, pending in self._all():
            if pending.since_ms is None:
                pending.since_ms = now_ms
            elif now_ms - pending.since_ms >= timeout_ms:
                waited_s = (now_ms - pending.since_ms) / 1000
                is_end = now_ms > UNIX_MS_MAX  # no clock says so: the source has ended
                within = f"within {waited_s:.0f} s; see join_timeout_s"
                self._give_up(decoded, key, "before the log ended" if is_end else within)
        return decoded

    def _all(self) -> list[tuple[str, Pending]]:
        """What waits, of one key in the order in which it came."""
        return [
            (key, pending)
            for key, latest in self._pending.items()
            for pending in (*self._behind.get(key, ()), latest)
        ]

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(_Snapshot(SNAPSHOT_VERSION, self._all()))

    def restore(self, state: bytes) -> None:
        snapshot = read_waiting(state, _Snapshot, self._name)
        # One decoder serves all shards of its topic, and each shard's snapshot holds all that waits:
        # restoring a second shard must not drop those that are here already.
        here = self._all()
        taken = set(self._pending)
        self._pending, self._behind, self._n_behind, self._pending_bytes = OrderedDict(), {}, 0, 0
        for key, pending in [*(each for each in snapshot.pending if each[0] not in taken), *here]:
            self._append(key, pending)

    def _take(
        self, decoded: Decoded, batch: RawBatch, row: int, message: LogMessage, is_of_array: bool
    ) -> list[Reading]:
        """Readings that the message completes; none while it waits."""
        if not isinstance(message.document, dict) and "ce_id" not in message.headers:
            return [MessageFault("schema", None, f"expected a JSON object of format {self._name!r}")]
        try:
            key, kind = self._identify(message)
        except MessageFault as fault:
            # Only now: a key of another format in a body must not hide a good request.
            found = self._recognise(message.document, message.headers)
            return [fault if found in (None, self._name) else foreign_fault(self._name, found)]
        if kind is None:
            return self._read(decoded.notes, message, message)
        waiting = self._pending.get(key)
        if waiting is not None and waiting.kind != kind:
            self._take_latest(key)
            other = self._message_of(waiting, decoded.notes)
            decoded.notes["joined"] += 1
            pair = (message, other) if kind == "request" else (other, message)
            return self._read(decoded.notes, *pair)
        if len(self._behind.get(key, ())) == SAME_ID_MAX - 1:
            self._give_up(decoded, key, f"before {SAME_ID_MAX} more {kind}s of the same id came")
        value = msgspec.json.encode(message.document) if is_of_array else batch.values[row]
        self._hold(decoded, key, kind, batch, row, value)
        return []

    def _read(
        self, notes: Counter[Note], request: LogMessage | None, response: LogMessage | None
    ) -> list[Reading]:
        try:
            readings = self._read_pair(request, response)
        except MessageFault as fault:
            return [fault]
        if len(readings) > 1:
            notes["split"] += len(readings) - 1
        return readings

    def _hold(self, decoded: Decoded, key: str, kind: Kind, batch: RawBatch, row: int, value: bytes) -> None:
        self._append(key, Pending.of(kind, batch, row, value))
        decoded.notes["held"] += 1
        while len(self) > self._options.pending_max or self._pending_bytes > self._options.pending_bytes_max:
            oldest = next(iter(self._pending))
            self._give_up(decoded, oldest, "before the table of pending messages was full; see pending_max")

    def _append(self, key: str, pending: Pending) -> None:
        if key in self._pending:
            self._behind.setdefault(key, deque()).append(self._pending[key])
            self._n_behind += 1
        self._pending[key] = pending
        self._pending_bytes += pending.size_bytes

    def _take_latest(self, key: str) -> Pending:
        pending = self._pending.pop(key)
        if key in self._behind:
            self._pending[key] = self._pop_behind(key, -1)
            self._pending.move_to_end(key, last=False)  # it has waited for longer
        self._pending_bytes -= pending.size_bytes
        return pending

    def _take_oldest(self, key: str) -> Pending:
        pending = self._pop_behind(key, 0) if key in self._behind else self._pending.pop(key)
        self._pending_bytes -= pending.size_bytes
        return pending

    def _pop_behind(self, key: str, at: int) -> Pending:
        behind = self._behind[key]
        pending = behind[at]
        del behind[at]
        self._n_behind -= 1
        if not behind:
            del self._behind[key]
        return pending

    def _give_up(self, decoded: Decoded, key: str, why: str) -> None:
        pending = self._take_oldest(key)
        batch = pending.batch()
        other = "response" if pending.kind == "request" else "request"
        readings: list[Reading]
        charge = Charge.NONE
        if self._options.unpaired == "keep" and pending.kind == "request":
            readings = self._read(decoded.notes, self._message_of(pending, decoded.notes), None)
            decoded.notes["unpaired"] += len(readings)
            charge = Charge.UNJOINED
        else:
            readings = [
                MessageFault("unjoined", None, f"this {pending.kind} {key[:80]!r} got no {other} {why}")
            ]
        add_readings(decoded, batch, pending.position, readings, self._sources, charge)

    def _message_of(self, pending: Pending, notes: Counter[Note]) -> LogMessage:
        batch = pending.batch()
        document: Any = _document_of(pending.value, _is_binary(batch, 0))
        return message_of(batch, 0, document, self._options, notes)


def _document_of(value: bytes, is_body: bool) -> Any:
    """The message as JSON; a body alone, as an event in binary mode brings it, may be any text."""
    try:
        return read_json(value)
    except MessageFault as fault:
        if not is_body or fault.reason != "not_json" or not value.strip():
            raise
        return value.decode("utf-8", errors="replace")


def _is_binary(batch: RawBatch, row: int) -> bool:
    return bool(batch.headers) and any(name.lower() == "ce_id" for name, _ in batch.headers[row])
