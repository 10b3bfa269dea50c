"""Which format a log is in, by its first messages: the same for `inspect`, `replay` and `run`."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from copycatch.errors import StateError
from copycatch.formats.catalog import FORMATS, make_decoder, recognise
from copycatch.formats.shared.cut_lines import CutLines
from copycatch.formats.shared.envelopes import unwrap_batch
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.format import FormatOptions
from copycatch.formats.shared.json_text import read_json
from copycatch.formats.shared.messages import lower_headers
from copycatch.records.columns import RawBatch
from copycatch.records.decoding import Decoded, Decoder
from copycatch.settings.formats import format_options

MESSAGES_MAX = 500
UNRECOGNISED = "native"
NAMES_MAX = 200  # of files in a snapshot


def recognise_all(batch: RawBatch) -> Counter[str]:
    """How many messages are in which format; `unknown JSON` and `not JSON` for those in none."""
    found: Counter[str] = Counter()
    batch, _ = unwrap_batch(CutLines(FormatOptions()).joined(batch, Decoded()), recognise)
    for row, value in enumerate(batch.values[:MESSAGES_MAX]):
        try:
            document = read_json(value)
        except MessageFault as fault:
            name = recognise(value, {}) if fault.reason == "not_json" else None
            found[name or ("not JSON" if fault.reason == "not_json" else fault.reason)] += 1
            continue
        # Loggers that batch send arrays; the first entry tells.
        if isinstance(document, list) and document:
            document = document[0]
        headers = lower_headers(batch.headers[row]) if batch.headers else {}
        found[recognise(document, headers) or "unknown JSON"] += 1
    return found


def format_of(batch: RawBatch) -> str | None:
    """The format that most messages are in, of those that are known."""
    return next((name for name, _ in recognise_all(batch).most_common() if name in FORMATS), None)


class _State(msgspec.Struct):
    format_name: str  # the first that was recognised
    waiting: bytes
    others: dict[str, bytes] = {}  # of further formats: what waits
    format_by_topic: dict[str, str] = {}


class RecognisingDecoder(Decoder):
    """Decodes each file in the format that most of its first messages are in.

    Files of one format share a decoder, so that what one file asks is joined with what another answers. Until
    a file holds a known format, it is read as the first file that did, and before any did as copycatch's own:
    that says what is wrong with a message.

    Parameters
    ----------
    make_decoder : callable
        Gives the decoder of a format by name.
    on_recognised : callable
        Told the name of a file and its format, once for each file.
    """

    def __init__(
        self,
        make_decoder: Callable[[str], Decoder],
        on_recognised: Callable[[str, str], None] = lambda _topic, _name: None,
    ) -> None:
        self._make_decoder = make_decoder
        self._on_recognised = on_recognised
        self._format_by_topic: dict[str, str] = {}
        self._by_format: dict[str, Decoder] = {}  # the first that was recognised comes first
        self._unrecognised = make_decoder(UNRECOGNISED)

    def see(self, batch: RawBatch) -> None:
        self._decoder_for(batch)

    def decode(self, batch: RawBatch) -> Decoded:
        return self._decoder_for(batch).decode(batch)

    def decode_lazily(self, batch: RawBatch) -> Decoded:
        return self._decoder_for(batch).decode_lazily(batch)

    def _decoder_for(self, batch: RawBatch) -> Decoder:
        name = self._format_by_topic.get(batch.topic)
        if name is None and batch.values:
            name = format_of(batch)
            if name is not None:
                self._format_by_topic[batch.topic] = name
                self._on_recognised(batch.topic, name)
        if name is not None:
            return self._of(name)
        return next(iter(self._by_format.values()), self._unrecognised)

    def _of(self, format_name: str) -> Decoder:
        if format_name not in self._by_format:
            self._by_format[format_name] = self._make_decoder(format_name)
        return self._by_format[format_name]

    def flush(self, now_ms: int) -> Decoded:
        decoded = Decoded()
        for decoder in (self._unrecognised, *self._by_format.values()):
            decoded.add(decoder.flush(now_ms))
        return decoded

    def snapshot(self) -> bytes:
        waiting = [(name, decoder.snapshot()) for name, decoder in self._by_format.items()]
        if not waiting:
            return b""
        (first, first_waiting), *others = waiting
        # Each shard has this in its snapshot: files of the first format are recognised again.
        named = [(topic, name) for topic, name in self._format_by_topic.items() if name != first]
        state = _State(first, first_waiting, dict(others), dict(named[-NAMES_MAX:]))
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes) -> None:
        try:
            saved = msgspec.msgpack.decode(state, type=_State)
        except msgspec.DecodeError as error:
            msg = f"the format that a snapshot was written with cannot be read: {error}"
            raise StateError(msg) from error
        waiting_by_name = {saved.format_name: saved.waiting, **saved.others}
        for name in (*waiting_by_name, *saved.format_by_topic.values()):
            if name not in FORMATS:
                msg = f"the snapshot is of format {name!r}, which this copycatch does not have"
                raise StateError(msg)
        for name, waiting in waiting_by_name.items():
            decoder = self._of(name)
            if waiting:
                decoder.restore(waiting)
        self._format_by_topic |= saved.format_by_topic


def recognising_maker(
    options: Mapping[str, Any], on_recognised: Callable[[str, str], None] = lambda _topic, _name: None
) -> Callable[[], Decoder]:
    """Makes a decoder that finds out formats by itself; each file and its format is told once.

    Raises
    ------
    ConfigError
        If an option is none of any format's, or is for a format that must be named.
    """
    checked = format_options(UNRECOGNISED, options, Path(), "--option")
    told: set[str] = set()

    def tell_once(topic: str, name: str) -> None:
        if topic not in told:
            told.add(topic)
            on_recognised(topic, name)

    return lambda: RecognisingDecoder(lambda name: make_decoder(name, checked), tell_once)
