"""Log files, folders and standard input as a `RecordSource`; positions count lines, values or rows from 0.

Up to `OPEN_MAX` files are open at once, in the order given (folders by name), and are read in turn: logs of
several servers cover the same days. Whoever reads them brings them in line by event time, so that a rotated
log goes on in the next file.
"""

import codecs
import os
import select
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from copycatch.adapters.file_identities import FileIdentities
from copycatch.adapters.file_names import STDIN, find_files
from copycatch.adapters.file_values import (
    CHUNK_BYTES,
    LINE_BYTES_MAX,
    Tail,
    read_errors,
    unpacked,
    values_in,
)
from copycatch.errors import TransportError
from copycatch.ports import Shard, ShardListener
from copycatch.records.columns import RawBatch

OPEN_MAX = 32


class _Lines:
    """Lines of one open file: bounded in length, read in chunks."""

    def __init__(
        self, file: BinaryIO, raw: BinaryIO, name: str, *, is_live: bool, tail: Tail | None = None
    ) -> None:
        self.tail = tail or Tail()
        self._file = file
        self._raw = raw
        self._name = name
        self._is_live = is_live
        self._rest = b""
        self._is_cutting = False
        self._is_at_start = True
        self._ready: list[bytes] = []
        self._read: Callable[[int], bytes] = getattr(file, "read1", file.read)  # no more than is there
        self.is_ended = False
        self.line = 0

    def take(self, lines_max: int, timeout_s: float) -> tuple[list[int], list[bytes]]:
        """Numbers and texts of the next lines; blank ones are counted but not given."""
        while not self._ready and not self.is_ended:
            if self._is_live and not select.select([self._raw], [], [], timeout_s)[0]:
                return [], []
            self._fill()
        lines = self._ready[:lines_max]
        del self._ready[:lines_max]
        positions = list(range(self.line, self.line + len(lines)))
        self.line += len(lines)
        if any(not each or each.isspace() for each in lines):
            kept = [
                (at, each) for at, each in zip(positions, lines, strict=True) if each and not each.isspace()
            ]
            return [at for at, _ in kept], [each for _, each in kept]
        return positions, lines

    def skip_to(self, line: int) -> None:
        while self.line < line and not (self.is_ended and not self._ready):
            self.take(line - self.line, 0.1)

    def _fill(self) -> None:
        with read_errors(self._name):
            chunk = os.read(self._raw.fileno(), CHUNK_BYTES) if self._is_live else self._read(CHUNK_BYTES)
        if self._is_at_start and chunk:
            self._is_at_start = False
            self._check_is_text(chunk)
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
        if not chunk:
            self.is_ended = True
            if self._rest and not self.tail.keeps(self._rest):
                self._ready.append(self._rest)
            self._rest = b""
            return
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if self._is_cutting and lines:
            lines[0] = lines[0][:LINE_BYTES_MAX]
            self._is_cutting = False
        if len(self._rest) > LINE_BYTES_MAX:
            self._rest = self._rest[:LINE_BYTES_MAX]
            self._is_cutting = True
        self._ready += lines

    def _check_is_text(self, chunk: bytes) -> None:
        packed = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zX", b"PAR1")
        if self._is_live and chunk.startswith(packed):
            msg = f"{self._name}: is compressed, or Parquet; unpack it first (zcat), or name the file"
            raise TransportError(msg)

    @property
    def is_done(self) -> bool:
        return self.is_ended and not self._ready

    @property
    def bytes_read(self) -> int:
        return 0 if self._is_live else self._raw.tell()

    def close(self) -> None:
        if not self._is_live:
            self._file.close()
            self._raw.close()


class _Values:
    """Messages of one file that is not made of lines."""

    def __init__(self, values: Generator[bytes], raw: BinaryIO, name: str, tail: Tail) -> None:
        self.tail = tail
        self._values = values
        self._raw = raw
        self._name = name
        self._fault: TransportError | None = None
        self.position = 0
        self.is_done = False

    def take(self, values_max: int, _timeout_s: float) -> tuple[list[int], list[bytes]]:
        """Numbers and texts of the next messages; blank ones are counted but not given."""
        if self._fault is not None:
            raise self._fault
        values: list[bytes] = []
        try:
            with read_errors(self._name):
                values.extend(islice(self._values, values_max))
        except TransportError as fault:
            if not values:
                raise
            self._fault = fault  # told when what came before it is taken
        self.is_done = len(values) < values_max and self._fault is None
        first, self.position = self.position, self.position + len(values)
        kept = [(at, each) for at, each in enumerate(values, first) if each and not each.isspace()]
        return [at for at, _ in kept], [each for _, each in kept]

    def skip_to(self, position: int) -> None:
        while self.position < position and not self.is_done:
            self.take(min(position - self.position, 1000), 0.0)

    @property
    def bytes_read(self) -> int:
        return 0 if self._raw.closed else self._raw.tell()

    def close(self) -> None:
        self._raw.close()
        self._values.close()


def _open(name: str, *, may_grow: bool) -> _Lines | _Values:
    if name == STDIN:
        return _Lines(sys.stdin.buffer, sys.stdin.buffer, "standard input", is_live=True)
    with read_errors(name):
        raw = Path(name).open("rb")  # noqa: SIM115 (closed by the reader's close)
        if not Path(name).is_file():  # a named pipe
            return _Lines(raw, raw, name, is_live=True)
        try:
            file = unpacked(raw)
            tail = Tail(waits=may_grow and file is raw)  # what is packed has ended
            values = values_in(name, raw, tail)
            if values is not None:
                return _Values(values, raw, name, tail)
            return _Lines(file, raw, name, is_live=False, tail=tail)
        except BaseException:
            raw.close()
            raise


class FileSource:
    """Reads files in turn; each is a shard of its own name, partition 0.

    Parameters
    ----------
    paths : iterable of str
        Files, folders, or "-".
    identities : FileIdentities, optional
        Knows files that were read before by their content; else a file's name is its path.
    goes_on : bool
        Whether a file that breaks off is left for the next one, and told in `faults`.
    may_grow : bool
        Whether who writes the files may still be at it: a last line or value that has no end yet is kept
        back, told in `unended`, and read from its beginning by the next start.
    """

    def __init__(
        self,
        paths: Iterable[str],
        identities: FileIdentities | None = None,
        goes_on: bool = False,
        *,
        may_grow: bool = False,
    ) -> None:
        self._goes_on, self._may_grow = goes_on, may_grow
        self.faults: list[str] = []
        self.unended: list[str] = []
        files = find_files(paths)
        self._names = files if identities is None else identities.names_of(files)
        self._path_by_name = dict(zip(self._names, files, strict=True))
        self._listener: ShardListener | None = None
        self._is_assigned = False
        self._start_by_name: dict[str, int] = {}
        self._open: dict[str, _Lines | _Values] = {}  # the next in turn first
        self._waiting = deque(self._names)
        self._done: set[str] = set()
        self._paused: set[str] = set()
        self._bytes_done = 0
        self.gaps = self.records_lost = 0  # a file has no retention
        self._size_by_name = {
            name: Path(path).stat().st_size for name, path in self._path_by_name.items() if path != STDIN
        }
        self.bytes_total = sum(self._size_by_name.values())
        """Bytes on disk, compressed as they are; 0 for standard input."""

    @property
    def bytes_read(self) -> int:
        """Bytes of the files on disk that have been read: the progress of a replay."""
        return self._bytes_done + sum(lines.bytes_read for lines in self._open.values())

    def start(self, listener: ShardListener) -> None:
        self._listener = listener

    def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
        assert self._listener is not None, "poll before start"
        if not self._is_assigned:
            self._is_assigned = True
            self._listener.on_assigned([Shard(name, 0) for name in self._names])
        self._open_more()
        for name in [name for name in self._open if name not in self._paused]:
            lines = self._open.pop(name)
            self._open[name] = lines  # last in turn
            try:
                positions, values = lines.take(records_max, timeout_s)
            except TransportError as fault:
                if not self._goes_on:
                    raise
                self.faults.append(str(fault))
                self._end(name)
                self._open_more()
                continue
            if lines.is_done and not values:
                self._end(name)
                self._open_more()
            elif values:
                return [RawBatch(name, 0, positions, values)]
        return []

    def _open_more(self) -> None:
        while self._waiting and len(self._open) < OPEN_MAX:
            name = self._waiting.popleft()
            lines = self._open[name] = _open(self._path_by_name[name], may_grow=self._may_grow)
            lines.skip_to(self._start_by_name.get(name, 0))

    def _end(self, name: str) -> None:
        lines = self._open.pop(name)
        lines.close()
        if lines.tail.is_unended:
            self.unended.append(self._path_by_name[name])
        self._done.add(name)
        self._bytes_done += self._size_by_name.get(name, 0)

    def seek(self, shard: Shard, position: int) -> None:
        name = shard.topic
        self._start_by_name[name] = position
        if name in self._open:
            self._open.pop(name).close()
        elif name in self._done:
            self._done.remove(name)
            self._bytes_done -= self._size_by_name.get(name, 0)
        else:
            return
        self._waiting.appendleft(name)

    def bounds(self, shard: Shard) -> tuple[int, int]:
        """A file's end is not known before it is read."""
        return 0, sys.maxsize

    def start_position(self, shard: Shard) -> int:
        return 0

    def pause(self, shards: Iterable[Shard]) -> None:
        self._paused |= {shard.topic for shard in shards}

    def resume(self, shards: Iterable[Shard]) -> None:
        self._paused -= {shard.topic for shard in shards}

    def lags(self) -> dict[Shard, int]:
        """None of files that are done or whose turn has not come; how much others hold is not known."""
        return {Shard(name, 0): 0 for name in (*self._done, *self._waiting)}

    @property
    def is_exhausted(self) -> bool:
        return len(self._done) == len(self._names)

    def rejoin(self) -> None:
        assert self._listener is not None, "rejoin before start"
        self._listener.on_lost([Shard(name, 0) for name in self._names])
        self.close()
        self._is_assigned, self._waiting, self._bytes_done = False, deque(self._names), 0
        self._done.clear()
        self._paused.clear()

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()
