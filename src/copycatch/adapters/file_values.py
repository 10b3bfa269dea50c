"""Log files as messages: decompressed by their first bytes, and cut into lines, JSON values or rows."""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import zstandard

from copycatch.adapters.file_names import base_name
from copycatch.errors import TransportError
from copycatch.records.wire import MESSAGE_BYTES_MAX

CHUNK_BYTES = 1 << 20
# A line longer than this is cut, so that it is rejected as too large instead of filling the memory.
LINE_BYTES_MAX = MESSAGE_BYTES_MAX + 1
HEAD_BYTES = 1 << 16
PARQUET_MAGIC = b"PAR1"
_TAR, _TAR_AT = b"ustar", 257
_ROWS = 1000
_SEPARATORS = ",;\t|"


@dataclass(slots=True)
class Tail:
    """The end of a file that may grow: what its writer has not ended yet is kept back."""

    waits: bool = False
    is_unended: bool = False  # something was kept back

    def keeps(self, line: bytes) -> bool:
        """Whether a last line without ending is kept back; one that is a whole object or array is not."""
        if not self.waits or not line.strip():
            return False
        try:
            is_whole = line.lstrip()[:1] in (b"{", b"[") and msgspec.json.decode(line) is not None
        except (ValueError, RecursionError):
            is_whole = False
        self.is_unended = not is_whole
        return self.is_unended

    def ended(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines, without a last one that is kept back."""
        for line in lines:
            if not line.endswith(("\n", "\r")) and self.keeps(line.encode("utf-8", "surrogateescape")):
                return
            yield line


@contextmanager
def read_errors(name: str) -> Iterator[None]:
    """Turn what a library says of a damaged file into a `TransportError` that names the file."""
    try:
        yield
    except (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError, csv.Error, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        msg = f"{name}: cannot be read on: {reason}"
        raise TransportError(msg) from error


class _Whole(io.RawIOBase):
    """What is unpacked, as far as it can be: a file that breaks off gives all before that."""

    def __init__(self, file: gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = self._file.read1(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def unpacked(raw: BinaryIO) -> BinaryIO:
    """The content of a file from its beginning, decompressed as its first bytes say."""
    magic = raw.read(4)
    raw.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return io.BufferedReader(_Whole(gzip.GzipFile(fileobj=raw)), CHUNK_BYTES)
    if magic == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    if magic[:3] == b"BZh":
        return io.BufferedReader(_Whole(bz2.BZ2File(raw)), CHUNK_BYTES)
    if magic == b"\xfd7zX":
        return io.BufferedReader(_Whole(lzma.LZMAFile(raw)), CHUNK_BYTES)
    if magic == b"PK\x03\x04":
        msg = "it is a zip archive; unpack it first"
        raise ValueError(msg)
    return raw


def head_of(name: str, n_bytes: int = HEAD_BYTES) -> bytes:
    """The first bytes of a file's content."""
    with read_errors(name), Path(name).open("rb") as raw:
        file = unpacked(raw)
        read: Callable[[int], bytes] = getattr(file, "read1", file.read)  # no more than is there
        head = b""
        try:
            while len(head) < n_bytes and (chunk := read(n_bytes - len(head))):
                head += chunk
        except EOFError:  # whoever reads on is told
            if not head:
                raise
        return head


def values_in(name: str, raw: BinaryIO, tail: Tail | None = None) -> Generator[bytes] | None:
    """Messages of a file that is not made of lines: rows as JSON objects, or JSON values; else None."""
    tail = tail or Tail()
    head = head_of(name, _TAR_AT + len(_TAR))
    if head[_TAR_AT:] == _TAR:
        msg = "it is a tar archive; unpack it first"
        raise ValueError(msg)
    if head.startswith(PARQUET_MAGIC):
        return _parquet_rows(unpacked(raw))
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    suffix = Path(base_name(Path(name).name)).suffix.lower()
    is_table = suffix in (".csv", ".tsv")
    is_document = not is_table and _is_document(name, encoding)
    if encoding == "utf-8-sig" and not is_table and not is_document:
        return None
    text = io.TextIOWrapper(unpacked(raw), encoding, errors="surrogateescape", newline="")
    if is_table:
        return _csv_rows(text, tail)
    return _json_values(text, name, tail) if is_document else _lines(text, tail)


def _is_document(name: str, encoding: str) -> bool:
    """Whether JSON values go over lines, stand several on a line, or are the entries of one array."""
    for n_bytes in (HEAD_BYTES, LINE_BYTES_MAX):
        head = head_of(name, n_bytes)
        is_cut = len(head) == n_bytes
        text = head.decode(encoding, "replace").lstrip()
        line, _, rest = text.partition("\n")
        if rest or not is_cut:
            break  # else a line longer than the head: look further
    if not text.startswith(("[", "{")):
        return False
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        # A bad line of a log stays one: only what goes on behind the line, or within it, is a document.
        may_go_on = error.msg == "Extra data" or error.pos >= len(line.rstrip())
        return may_go_on and _begins_with_value(text, is_cut=is_cut)
    except RecursionError:
        return False
    return line.startswith("[") and not rest.strip()


def _begins_with_value(text: str, *, is_cut: bool) -> bool:
    try:
        json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        # Of a long document the head ends somewhere within an entry.
        return text.startswith("[") or (is_cut and _is_cut(error, text))
    except RecursionError:
        return False
    return True


def _lines(file: io.TextIOWrapper, tail: Tail) -> Generator[bytes]:
    with file:
        for line in tail.ended(file):
            yield line.rstrip("\r\n").encode("utf-8", "surrogateescape")


def _json_values(file: io.TextIOWrapper, name: str, tail: Tail) -> Generator[bytes]:
    with file:
        yield from _json_values_of(file, name, tail)


def _json_values_of(file: io.TextIOWrapper, name: str, tail: Tail) -> Generator[bytes]:
    decode = json.JSONDecoder().raw_decode
    text, at, n = "", 0, 0
    is_in_array = is_ended = False
    while True:
        while at < len(text) and (text[at].isspace() or (is_in_array and text[at] == ",")):
            at += 1
        if at < len(text) and text[at] == ("]" if is_in_array else "["):
            is_in_array = not is_in_array
            at += 1
            continue
        try:
            _, end = decode(text, at)
        except (json.JSONDecodeError, RecursionError) as error:
            if is_ended and at >= len(text) and not is_in_array:
                return
            if is_ended and tail.waits and _is_cut(error, text):
                tail.is_unended = True
                return
            if is_ended or len(text) - at > LINE_BYTES_MAX:
                why = (
                    "is nested too deep, or longer than a record may be"
                    if not is_ended
                    else f"is not JSON: {error}"
                )
                msg = f"{name}: cannot be read on: entry {n + 1} {why}; write one JSON object a line (jq -c)"
                raise TransportError(msg) from error
            chunk = file.read(max(CHUNK_BYTES, len(text) - at))
            text, at, is_ended = text[at:] + chunk, 0, not chunk
            continue
        yield text[at:end].encode("utf-8", "surrogateescape")
        at, n = end, n + 1


def _is_cut(error: Exception, text: str) -> bool:
    """Whether text ends within a JSON value, as far as the error of the parser tells."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.pos >= len(text) - 1 or error.msg.startswith("Unterminated")


def _csv_rows(file: io.TextIOWrapper, tail: Tail) -> Generator[bytes]:
    csv.field_size_limit(LINE_BYTES_MAX)
    with file:
        lines = tail.ended(file)
        header = next(lines, "")
        separator = max(_SEPARATORS, key=header.count)
        names = next(csv.reader([header], delimiter=separator), [])
        n_quotes = 0

        def counted() -> Iterator[str]:
            nonlocal n_quotes
            for line in lines:
                n_quotes += line.count('"')
                yield line

        held: dict[str, Any] | None = None
        for row in csv.DictReader(counted(), names, delimiter=separator):
            if held is not None:
                yield _object(held)
            held = {name: value for name, value in row.items() if isinstance(name, str) and value}
        if held is not None and tail.waits and n_quotes % 2:  # it ends within a quoted cell
            tail.is_unended = True
        elif held is not None:
            yield _object(held)


def _parquet_rows(file: BinaryIO) -> Generator[bytes]:
    import pyarrow.parquet

    with file, pyarrow.parquet.ParquetFile(file) as rows:
        for batch in rows.iter_batches(_ROWS):
            for row in batch.to_pylist():
                yield _object({name: value for name, value in row.items() if value is not None})


def _object(row: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(row, enc_hook=str)
    except (ValueError, TypeError):  # lone surrogates, keys of another type: the decoder says what is wrong
        return json.dumps(row, default=str).encode()
