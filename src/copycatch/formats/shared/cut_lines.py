"""Lines that container runtimes cut (at 16 KiB, mostly), put together again before anything reads them."""

import re
from collections import Counter, OrderedDict
from typing import Any, Final

import msgspec
from msgspec import Struct

from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import FormatOptions
from copycatch.formats.shared.joining import SNAPSHOT_VERSION, Pending, Waiting, read_waiting
from copycatch.formats.shared.json_text import read_json
from copycatch.formats.shared.messages import count_of, dig, first_name
from copycatch.records.columns import RawBatch
from copycatch.records.decoding import Decoded
from copycatch.records.rejects import reject
from copycatch.records.wire import MESSAGE_BYTES_MAX, RejectReason
from copycatch.units import UNIX_MS_MAX

STREAMS_MAX: Final = 1_024  # lines that wait for their end
PARTS_MAX: Final = 4_096  # of one line
CUT_CHARS_MIN: Final = 16_000  # of a part that nothing but its length tells; runtimes cut at 16,384 bytes
_SNAPSHOT_MARK: Final = b"cut lines\n"  # no state of a format begins so
_CRI = re.compile(rb"(\S{20,40} (stdout|stderr) )([PF])(?::\S*)? ")  # of containerd and CRI-O
_TEXT_KEY = re.compile(rb'"(?:log|message|MESSAGE)"\s*:\s*"')
_TEXT_KEYS = ("log", "message", "MESSAGE")
_TAGS = (
    b'"partial_message"',
    b'"CONTAINER_PARTIAL_MESSAGE"',
    b'"logtag"',
    b'"_p"',
    b" stdout P ",
    b" stderr P ",
)
_HEAD_BYTES = 1024
_PREFIX_CHARS = 128
_WHERE = (
    *(
        ("container_id",),
        ("kubernetes", "docker_id"),
        ("kubernetes", "container_id"),
        ("docker", "container_id"),
    ),
    *(("container", "id"), ("kubernetes", "pod_id"), ("kubernetes", "pod_name"), ("CONTAINER_ID",)),
)


class _Part(Struct):
    """A piece of a line, as its runtime tells it."""

    stream: str  # which line it belongs to, in its topic and partition
    text: str
    is_last: bool | None  # None: where it ends is told by what it holds
    number: int | None = None  # from 1, where the parts are numbered
    key: str = ""  # of the object that holds it; none of a line of containerd
    prefix: bytes = b""


class _Cut(Struct):
    """The parts of a line that has not ended."""

    texts: list[tuple[int, str]]
    latest: Pending
    n_chars: int = 0
    last_number: int | None = None


class _Snapshot(Waiting):
    cuts: list[tuple[tuple[str, int, str], _Cut]]
    inner: bytes


class CutLines:
    """Holds parts of lines until their ends come; bounded in lines, parts, bytes and seconds.

    Docker's json-file logs (a part has no newline), fluentd's and journald's tags (`partial_message`,
    `CONTAINER_PARTIAL_MESSAGE`), the tags of containerd and CRI-O (`P`, `F`), alone or parsed by Fluent Bit.
    """

    def __init__(self, options: FormatOptions) -> None:
        self._options = options
        self._cuts: OrderedDict[tuple[str, int, str], _Cut] = OrderedDict()
        self._n_by_shard: Counter[tuple[str, int]] = Counter()
        self._n_chars = 0

    def joined(self, batch: RawBatch, decoded: Decoded) -> RawBatch:
        """The messages with cut lines in one piece, each where its last part stood.

        Notes and rejects go into `decoded`; the given batch comes back where nothing is cut.
        """
        values: dict[int, bytes] = {}
        held: set[int] = set()
        for row, value in enumerate(batch.values):
            part = self._part_of(batch, value)
            if part is None:
                continue
            whole = self._take(decoded, batch, row, part)
            if whole is None:
                held.add(row)
            elif whole is not value:
                values[row] = whole
        if not held and not values:
            return batch
        rows = [row for row in range(len(batch.values)) if row not in held]
        return RawBatch(
            batch.topic,
            batch.partition,
            [batch.positions[row] for row in rows],
            [values.get(row, batch.values[row]) for row in rows],
            timestamps_ms=[batch.timestamps_ms[row] for row in rows] if batch.timestamps_ms else [],
            headers=[batch.headers[row] for row in rows] if batch.headers else [],
            keys=[batch.keys[row] for row in rows] if batch.keys else [],
        )

    def _part_of(self, batch: RawBatch, value: bytes) -> _Part | None:
        """The part that a message is; None for a message that is whole."""
        is_pending = self._n_by_shard[batch.topic, batch.partition] > 0
        if value[:1] != b"{":
            found = _CRI.match(value, 0, 128)
            if found is None or (found[3] == b"F" and not is_pending):
                return None
            text = value[found.end() :].decode("utf-8", "surrogateescape")
            return _Part(found[2].decode(), text, found[3] == b"F", prefix=found[1])
        if len(value) > MESSAGE_BYTES_MAX or _TEXT_KEY.search(value, 0, _HEAD_BYTES) is None:
            return None
        if not (is_pending or len(value) >= CUT_CHARS_MIN or any(tag in value for tag in _TAGS)):
            return None
        try:
            document = read_json(value)
        except MessageFault:
            return None
        return _part_in(document) if isinstance(document, dict) else None

    def _take(self, decoded: Decoded, batch: RawBatch, row: int, part: _Part) -> bytes | None:
        """The whole message that the part ends; None where it waits."""
        value = batch.values[row]
        name = (batch.topic, batch.partition, part.stream)
        cut = self._cuts.get(name)
        is_whole = part.number is None and _is_whole(part.text)
        if cut is not None and is_whole:  # no part of what waits
            self._give_up(decoded, name, "another line came instead")
            cut = None
        is_begun = part.is_last is False or part.number is not None
        is_long = part.is_last is None and len(part.text) >= CUT_CHARS_MIN
        if cut is None and (is_whole or not (is_begun or is_long)):
            return value
        decoded.notes["held"] += 1
        pending = Pending.of("part", batch, row, value if cut is None else b"")
        if cut is None:
            cut = self._cuts[name] = _Cut([], pending)
            self._n_by_shard[name[:2]] += 1
        first, cut.latest = cut.latest, pending
        cut.latest.value = first.value or value  # a dead letter shows how it began
        cut.latest.since_ms = first.since_ms
        cut.texts.append((len(cut.texts) + 1 if part.number is None else part.number, part.text))
        cut.n_chars += len(part.text)
        self._n_chars += len(part.text)
        if part.is_last and part.number is not None:
            cut.last_number = part.number
        if self._is_ended(cut, part):
            decoded.notes["joined"] += len(cut.texts) - 1
            return self._end(name, part, value)
        if len(cut.texts) >= PARTS_MAX or cut.n_chars > MESSAGE_BYTES_MAX:
            self._give_up(decoded, name, f"it is longer than {MESSAGE_BYTES_MAX:,} bytes", "too_large")
        while len(self._cuts) > STREAMS_MAX or self._n_chars > self._options.pending_bytes_max:
            self._give_up(decoded, next(iter(self._cuts)), "too many lines waited for their ends")
        return None

    def _is_ended(self, cut: _Cut, part: _Part) -> bool:
        if part.number is not None:
            return cut.last_number is not None and len(cut.texts) >= cut.last_number
        if part.is_last is None:
            return part.text.rstrip().endswith(("}", "]")) and _is_whole(_text_of(cut))
        return part.is_last

    def _end(self, name: tuple[str, int, str], part: _Part, value: bytes) -> bytes:
        text = _text_of(self._pop(name))
        if not part.key:
            return part.prefix + b"F " + text.encode("utf-8", "surrogateescape")
        document = read_json(value)
        return msgspec.json.encode({**document, part.key: text})

    def _pop(self, name: tuple[str, int, str]) -> _Cut:
        cut = self._cuts.pop(name)
        self._n_by_shard[name[:2]] -= 1
        self._n_chars -= cut.n_chars
        return cut

    def _give_up(
        self, decoded: Decoded, name: tuple[str, int, str], why: str, reason: RejectReason = "unjoined"
    ) -> None:
        cut = self._pop(name)
        n = len(cut.texts)
        decoded.notes["joined"] += n - 1
        message = (
            f"a line that a container runtime cut, of which {n} part{'' if n == 1 else 's'} came: {why}; "
            "have the shipper join them, or log to a file or a topic instead of the console"
        )
        decoded.rejects.append(reject(cut.latest.batch(), cut.latest.position, reason, None, message))

    def flush(self, now_ms: int) -> Decoded:
        """Give up lines whose end has not come in time."""
        decoded = Decoded()
        timeout_ms = round(1000 * self._options.join_timeout_s)
        for name, cut in list(self._cuts.items()):
            since_ms = cut.latest.since_ms
            if since_ms is None:
                cut.latest.since_ms = now_ms
            elif now_ms - since_ms >= timeout_ms:
                is_end = now_ms > UNIX_MS_MAX  # no clock says so: the source has ended
                why = (
                    "the log ended" if is_end else f"no end within {timeout_ms / 1000:.0f} s (join_timeout_s)"
                )
                self._give_up(decoded, name, why)
        return decoded

    def snapshot(self, inner: bytes) -> bytes:
        """What waits, with the state of the decoder behind; that alone where nothing does."""
        if not self._cuts:
            return inner
        return _SNAPSHOT_MARK + msgspec.msgpack.encode(
            _Snapshot(SNAPSHOT_VERSION, list(self._cuts.items()), inner)
        )

    def restore(self, state: bytes) -> bytes:
        """Take back what `snapshot` gave, and give the state of the decoder behind.

        Raises
        ------
        copycatch.errors.StateError
            If the bytes are damaged or of another version.
        """
        if not state.startswith(_SNAPSHOT_MARK):
            return state
        snapshot = read_waiting(state[len(_SNAPSHOT_MARK) :], _Snapshot, "cut lines")
        self._cuts = OrderedDict(snapshot.cuts) | self._cuts
        self._n_by_shard = Counter(name[:2] for name in self._cuts)
        self._n_chars = sum(cut.n_chars for cut in self._cuts.values())
        return snapshot.inner


def _part_in(document: dict[str, Any]) -> _Part | None:
    """The part that an object holds, by its tags, or as Docker writes it."""
    key = next((each for each in _TEXT_KEYS if isinstance(document.get(each), str)), None)
    if key is None:
        return None
    text, stream = document[key], first_name(document.get("stream"), document.get("source")) or ""
    where = first_name(*(dig(document, *path) for path in _WHERE)) or ""
    within = _CRI.match(text[:_PREFIX_CHARS].encode("utf-8", "replace"))
    if within is not None:  # the shipper took the line as it stood
        is_last = within[3] == b"F"
        return _Part(f"{where}|{within[2].decode()}", text[within.end() :], is_last, key=key)
    for before in ("partial_", "CONTAINER_PARTIAL_"):
        tags = {
            name: document.get(before + (name if before[0] == "p" else name.upper())) for name in _PARTIAL
        }
        if _is_true(tags["message"]):
            number = count_of(tags["ordinal"])
            number = number if isinstance(number, int) and number > 0 else None
            own = first_name(tags["id"]) or f"{where}|{stream}"
            return _Part(own, text, _is_true(tags["last"]), number, key)
    tag = first_name(document.get("logtag"), document.get("_p"))
    if tag in ("P", "F"):
        return _Part(f"{where}|{stream}", text, tag == "F", key=key)
    if key != "log" or not stream:
        return None
    return _Part(f"{where}|{stream}", text, True if text.endswith("\n") else None, key=key)


_PARTIAL = ("message", "id", "ordinal", "last")


def _is_true(tag: Any) -> bool:
    return tag is True or tag == "true"


def _text_of(cut: _Cut) -> str:
    return "".join(text for _, text in sorted(cut.texts, key=lambda each: each[0]))


def _is_whole(text: str) -> bool:
    """Whether text is a JSON object or array."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        msgspec.json.decode(text.encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True
