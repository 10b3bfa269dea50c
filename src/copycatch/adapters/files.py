"""Log files, folders and standard input as a `RecordSource`; positions are line numbers from 0.

All files of one run are one stream in the order given (folders by name), because a rotated log goes on in
the next file.
"""

import gzip
import io
import os
import select
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard

from copycatch.errors import ConfigError, TransportError
from copycatch.ports import Shard, ShardListener
from copycatch.records.columns import RawBatch
from copycatch.records.wire import MESSAGE_BYTES_MAX

STDIN = "-"
CHUNK_BYTES = 1 << 20
# A line longer than this is cut, so that it is rejected as too large instead of filling the memory.
LINE_BYTES_MAX = MESSAGE_BYTES_MAX + 1
SUFFIXES = (".jsonl", ".ndjson", ".json", ".log", ".gz", ".zst")


def find_files(paths: Iterable[str]) -> list[str]:
    """Files in reading order; a folder gives its log files by name, `-` is standard input.

    Raises
    ------
    ConfigError
        If a path does not exist, or a folder holds no log file.
    """
    found: list[str] = []
    for name in paths:
        if name == STDIN:
            found.append(name)
            continue
        path = Path(name)
        if path.is_dir():
            inside = sorted(
                str(each) for each in path.iterdir() if each.is_file() and each.suffix in SUFFIXES
            )
            if not inside:
                msg = f"{name}: the folder holds no file that ends in {', '.join(SUFFIXES)}"
                raise ConfigError(msg)
            found += inside
        elif path.exists():
            found.append(name)
        else:
            msg = f"{name}: no such file or folder"
            raise ConfigError(msg)
    return found


class _Lines:
    """Lines of one open file: bounded in length, read in chunks."""

    def __init__(self, file: BinaryIO, raw: BinaryIO, name: str, *, is_live: bool) -> None:
        self._file = file
        self._raw = raw
        self._name = name
        self._is_live = is_live
        self._rest = b""
        self._is_cutting = False
        self._ready: list[bytes] = []
        self._first = 0
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
        with _read_errors(self._name):
            chunk = (
                os.read(self._raw.fileno(), CHUNK_BYTES) if self._is_live else self._file.read(CHUNK_BYTES)
            )
        if not chunk:
            self.is_ended = True
            if self._rest:
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


@contextmanager
def _read_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zstandard.ZstdError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        msg = f"{name}: cannot be read on: {reason}"
        raise TransportError(msg) from error


def _open(name: str) -> _Lines:
    if name == STDIN:
        return _Lines(sys.stdin.buffer, sys.stdin.buffer, "standard input", is_live=True)
    with _read_errors(name):
        raw = Path(name).open("rb")  # noqa: SIM115 (closed by _Lines.close)
        file: BinaryIO = raw
        if name.endswith(".gz"):
            file = io.BufferedReader(gzip.GzipFile(fileobj=raw), CHUNK_BYTES)
        elif name.endswith(".zst"):
            file = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
        is_live = not Path(name).is_file()  # a named pipe
    return _Lines(file, raw, name, is_live=is_live)


class FileSource:
    """Reads files one after the other; each is a shard of its own name, partition 0."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._names = find_files(paths)
        self._listener: ShardListener | None = None
        self._is_assigned = False
        self._start_by_name: dict[str, int] = {}
        self._index = 0
        self._lines: _Lines | None = None
        self._bytes_done = 0
        self.gaps = self.records_lost = 0  # a file has no retention
        self._size_by_name = {name: Path(name).stat().st_size for name in self._names if name != STDIN}
        self.bytes_total = sum(self._size_by_name.values())
        """Bytes on disk, compressed as they are; 0 for standard input."""

    @property
    def bytes_read(self) -> int:
        """Bytes of the files on disk that have been read: the progress of a replay."""
        return self._bytes_done + (self._lines.bytes_read if self._lines else 0)

    def start(self, listener: ShardListener) -> None:
        self._listener = listener

    def poll(self, records_max: int, timeout_s: float) -> list[RawBatch]:
        assert self._listener is not None, "poll before start"
        if not self._is_assigned:
            self._is_assigned = True
            self._listener.on_assigned([Shard(name, 0) for name in self._names])
        while self._index < len(self._names):
            name = self._names[self._index]
            if self._lines is None:
                self._lines = _open(name)
                self._lines.skip_to(self._start_by_name.get(name, 0))
            positions, values = self._lines.take(records_max, timeout_s)
            if values:
                return [RawBatch(name, 0, positions, values)]
            if not self._lines.is_done:
                return []
            self._lines.close()
            self._lines = None
            self._bytes_done += self._size_by_name.get(name, 0)
            self._index += 1
        return []

    def seek(self, shard: Shard, position: int) -> None:
        at = self._names.index(shard.topic)
        self._start_by_name[shard.topic] = position
        if self._lines is not None and at <= self._index:
            self._lines.close()
            self._lines = None
        self._index = min(self._index, at)

    def bounds(self, shard: Shard) -> tuple[int, int]:
        """A file's end is not known before it is read."""
        return 0, sys.maxsize

    def start_position(self, shard: Shard) -> int:
        return 0

    def pause(self, shards: Iterable[Shard]) -> None:
        """Files wait anyway."""

    def resume(self, shards: Iterable[Shard]) -> None:
        """Files wait anyway."""

    def lags(self) -> dict[Shard, int]:
        """Files that are done; how much is left of the others is not known."""
        return dict.fromkeys((Shard(name, 0) for name in self._names[: self._index]), 0)

    @property
    def is_exhausted(self) -> bool:
        return self._index >= len(self._names)

    def rejoin(self) -> None:
        assert self._listener is not None, "rejoin before start"
        self._listener.on_lost([Shard(name, 0) for name in self._names])
        self._is_assigned = False
        if self._lines is not None:
            self._lines.close()
        self._lines, self._index, self._bytes_done = None, 0, 0

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None
