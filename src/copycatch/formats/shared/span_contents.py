"""Content of spans that comes in log records of its own: joined with its span, whichever comes first.

Exporters of spans and of log records have timers of their own, so that either may come first.
"""

from collections import OrderedDict
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from copycatch.formats.shared.format import FormatOptions
from copycatch.formats.shared.joining import SNAPSHOT_VERSION, Pending, Waiting, read_waiting
from copycatch.formats.shared.messages import LogMessage
from copycatch.records.wire import MESSAGE_BYTES_MAX

SERVICES_MAX: Final = 1_024  # whose content comes in log records; the latest that sent some
MESSAGES_MAX: Final = 10_000  # of one trace
KEPT_TIMES: Final = 10  # as long as a span waits for content: a question is logged before its answer is made
_ENTRY_BYTES = 200

Side = Literal["asked", "answered"]
Messages = list[dict[str, Any]]


class _Kept(Struct):
    """Messages of one trace by span, or by the trace where a record names no span."""

    by_span: dict[str, Messages]
    n_messages: int = 0
    size_bytes: int = _ENTRY_BYTES
    since_ms: int | None = None


class _Snapshot(Waiting):
    kept: list[tuple[str, _Kept]]
    waiting: list[tuple[str, list[tuple[str, Pending]]]]
    services: list[tuple[str, list[Side]]]


class SpanContents:
    """What waits of spans and of their content; bounded in entries, bytes and seconds by the options.

    A span waits only where its service is known to send what it lacks.
    """

    def __init__(self, options: FormatOptions) -> None:
        self._options = options
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._waiting: OrderedDict[str, dict[str, Pending]] = OrderedDict()
        self._services: OrderedDict[str, set[Side]] = OrderedDict()
        self._kept_bytes = self._waiting_bytes = self._n_waiting = 0

    def __len__(self) -> int:
        """How many spans, and log records that need one, wait."""
        return self._n_waiting

    def __bool__(self) -> bool:
        return bool(self._kept or self._waiting)

    def __contains__(self, trace: str) -> bool:
        return trace in self._kept or trace in self._waiting

    def sends(self, service: str, side: Side) -> bool:
        """Whether a service is known to send questions or answers in log records."""
        return side in self._services.get(service, ())

    def note(self, service: str, *sides: Side) -> None:
        """A log record of a service held questions or answers."""
        self._services.setdefault(service, set()).update(sides)
        self._services.move_to_end(service)
        if len(self._services) > SERVICES_MAX:
            self._services.popitem(last=False)

    def keep(self, trace: str, key: str, said: dict[str, Any]) -> None:
        """Keep a message of a span until the span comes; the trace that has waited longest makes room."""
        if trace not in self._kept:
            self._kept[trace] = _Kept({})
            self._kept_bytes += _ENTRY_BYTES
        kept = self._kept[trace]
        if kept.n_messages == MESSAGES_MAX:
            return
        kept.by_span.setdefault(key, []).append(said)
        kept.n_messages += 1
        self._grow(kept, _size_of(said))
        while self._kept and (
            len(self._kept) > self._options.pending_max or self._kept_bytes > self._options.pending_bytes_max
        ):
            self._kept_bytes -= self._kept.popitem(last=False)[1].size_bytes

    def messages_of(self, trace: str, key: str, *, is_last: bool = False) -> Messages:
        """Messages of a span: under its id, under its trace alone; at last, under the only other id there."""
        kept = self._kept.get(trace)
        return [] if kept is None else kept.by_span.get(self._name_in(kept, trace, key, is_last) or "", [])

    def _name_in(self, kept: _Kept, trace: str, key: str, is_last: bool) -> str | None:
        if key in kept.by_span:
            return key
        [name] = kept.by_span if len(kept.by_span) == 1 else [None]
        others = self._waiting.get(trace, {})
        return name if name == trace or (is_last and name not in others) else None

    def drop(self, trace: str, key: str, *, is_last: bool = False) -> None:
        """Forget the messages of a span: it has them."""
        kept = self._kept.get(trace)
        if kept is None:
            return
        gone = kept.by_span.pop(self._name_in(kept, trace, key, is_last) or "", [])
        kept.n_messages -= len(gone)
        self._grow(kept, -sum(map(_size_of, gone)))
        if not kept.by_span:
            self._kept_bytes -= self._kept.pop(trace).size_bytes

    def _grow(self, kept: _Kept, n_bytes: int) -> None:
        kept.size_bytes += n_bytes
        self._kept_bytes += n_bytes

    def wait(self, message: LogMessage, trace: str, key: str, kind: str, document: Any) -> bool:
        """Let a span, or a log record that needs one, wait as a document, if it is short enough."""
        value = msgspec.json.encode(document)
        if len(value) > MESSAGE_BYTES_MAX or self.pending(trace, key) is not None:
            return False
        pending = Pending.of(kind, message.batch, message.row, value)
        self._waiting.setdefault(trace, {})[key] = pending
        self._waiting_bytes += pending.size_bytes
        self._n_waiting += 1
        message.notes["held"] += 1
        return True

    def waiting_in(self, trace: str, kind: str) -> list[str]:
        """Keys of what waits in a trace."""
        return [key for key, pending in self._waiting.get(trace, {}).items() if pending.kind == kind]

    def pending(self, trace: str, key: str) -> Pending | None:
        """What waits under a key."""
        return self._waiting.get(trace, {}).get(key)

    def take(self, trace: str, key: str) -> Pending | None:
        """What waits under a key; it waits no longer."""
        pending = self._waiting.get(trace, {}).pop(key, None)
        if pending is not None:
            self._waiting_bytes -= pending.size_bytes
            self._n_waiting -= 1
            if not self._waiting[trace]:
                del self._waiting[trace]
        return pending

    def crowded(self) -> tuple[str, str] | None:
        """What has waited longest, where more waits than the options allow."""
        is_full = (
            self._n_waiting > self._options.pending_max
            or self._waiting_bytes > self._options.pending_bytes_max
        )
        if not is_full:
            return None
        trace, by_key = next(iter(self._waiting.items()))
        return trace, next(iter(by_key))

    def late(self, now_ms: int) -> list[tuple[str, str]]:
        """What has waited too long."""
        found: list[tuple[str, str]] = []
        for trace, by_key in self._waiting.items():
            for key, pending in by_key.items():
                if pending.since_ms is None:
                    pending.since_ms = now_ms
                elif now_ms - pending.since_ms >= round(1000 * self._options.join_timeout_s):
                    found.append((trace, key))
        return found

    def forget(self, now_ms: int) -> None:
        """Forget content that no span came for in time."""
        for trace, kept in list(self._kept.items()):
            if kept.since_ms is None:
                kept.since_ms = now_ms
            elif now_ms - kept.since_ms >= KEPT_TIMES * round(1000 * self._options.join_timeout_s):
                self._kept_bytes -= self._kept.pop(trace).size_bytes

    def snapshot(self) -> bytes:
        """All that waits; empty where nothing does."""
        if not self and not self._services:
            return b""
        waiting = [(trace, list(by_key.items())) for trace, by_key in self._waiting.items()]
        services = [(name, sorted(sides)) for name, sides in self._services.items()]
        return msgspec.msgpack.encode(
            _Snapshot(SNAPSHOT_VERSION, list(self._kept.items()), waiting, services)
        )

    def restore(self, state: bytes, format_name: str) -> None:
        """Take back what `snapshot` gave; one decoder serves all shards of its topic.

        Raises
        ------
        StateError
            If the bytes are damaged or of another version.
        """
        snapshot = read_waiting(state, _Snapshot, format_name)
        self._kept = OrderedDict(snapshot.kept) | self._kept
        self._waiting = OrderedDict((trace, dict(each)) for trace, each in snapshot.waiting) | self._waiting
        self._services = OrderedDict((name, set(sides)) for name, sides in snapshot.services) | self._services
        self._kept_bytes = sum(kept.size_bytes for kept in self._kept.values())
        pending = [each for by_key in self._waiting.values() for each in by_key.values()]
        self._n_waiting, self._waiting_bytes = len(pending), sum(each.size_bytes for each in pending)


def _size_of(said: dict[str, Any]) -> int:
    return len(msgspec.json.encode(said))
