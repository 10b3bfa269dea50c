"""Which format a log is in, by its first messages: the same for `inspect`, `replay` and `run`."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from copycatch.errors import StateError
from copycatch.formats.catalog import FORMATS, make_decoder, recognise
from copycatch.formats.shared.envelopes import unwrap_batch
from copycatch.formats.shared.faults import MessageFault
from copycatch.formats.shared.json_text import read_json
from copycatch.formats.shared.messages import lower_headers
from copycatch.records.columns import RawBatch
from copycatch.records.decoding import Decoded, Decoder
from copycatch.settings.formats import format_options

MESSAGES_MAX = 500
UNRECOGNISED = "native"


def recognise_all(batch: RawBatch) -> Counter[str]:
    """How many messages are in which format; `unknown JSON` and `not JSON` for those in none."""
    found: Counter[str] = Counter()
    batch, _ = unwrap_batch(batch, recognise)
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
    format_name: str
    waiting: bytes


class RecognisingDecoder(Decoder):
    """Decodes in the format that the first messages are in.

    Until a batch holds a known format, it is read as copycatch's own: that says what is wrong with a message.

    Parameters
    ----------
    make_decoder : callable
        Gives the decoder of a format by name.
    on_recognised : callable
        Told the name, once.
    """

    def __init__(
        self,
        make_decoder: Callable[[str], Decoder],
        on_recognised: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._make_decoder = make_decoder
        self._on_recognised = on_recognised
        self._format_name: str | None = None
        self._decoder = make_decoder(UNRECOGNISED)

    def _be(self, format_name: str) -> None:
        self._format_name = format_name
        self._decoder = self._make_decoder(format_name)

    def decode(self, batch: RawBatch) -> Decoded:
        self._recognise(batch)
        return self._decoder.decode(batch)

    def decode_lazily(self, batch: RawBatch) -> Decoded:
        self._recognise(batch)
        return self._decoder.decode_lazily(batch)

    def _recognise(self, batch: RawBatch) -> None:
        if self._format_name is None:
            found = format_of(batch)
            if found is not None:
                self._be(found)
                self._on_recognised(found)

    def flush(self, now_ms: int) -> Decoded:
        return self._decoder.flush(now_ms)

    def snapshot(self) -> bytes:
        if self._format_name is None:
            return b""
        return msgspec.msgpack.encode(_State(self._format_name, self._decoder.snapshot()))

    def restore(self, state: bytes) -> None:
        try:
            saved = msgspec.msgpack.decode(state, type=_State)
        except msgspec.DecodeError as error:
            msg = f"the format that a snapshot was written with cannot be read: {error}"
            raise StateError(msg) from error
        if saved.format_name not in FORMATS:
            msg = f"the snapshot is of format {saved.format_name!r}, which this copycatch does not have"
            raise StateError(msg)
        self._be(saved.format_name)
        self._decoder.restore(saved.waiting)


def recognising_maker(
    options: Mapping[str, Any], on_recognised: Callable[[str], None] = lambda _name: None
) -> Callable[[], Decoder]:
    """Makes a decoder that finds out the format by itself; a name is told once, by the first that finds it.

    Raises
    ------
    ConfigError
        If an option is none of any format's, or is for a format that must be named.
    """
    checked = format_options(UNRECOGNISED, options, Path(), "--option")
    told: set[str] = set()

    def tell_once(name: str) -> None:
        if name not in told:
            told.add(name)
            on_recognised(name)

    return lambda: RecognisingDecoder(lambda name: make_decoder(name, checked), tell_once)
