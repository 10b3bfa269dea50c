"""From a file of recommendations into the table, for logs that are judged without a broker."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from copycatch.enforcement.table import DecisionTable

log = structlog.get_logger(__name__)

POLL_S = 0.5
READ_BYTES = 1 << 20
LINE_BYTES_MAX = 1 << 20


class _Keyed(msgspec.Struct):
    decision_key: str


class FileFeed:
    """Keeps a `DecisionTable` up to date from a growing file of one recommendation a line.

    A file that was replaced or cut short is read again from its start: what is known already is stale and
    changes nothing. While there is no file, nothing is in force.

    Parameters
    ----------
    path : Path
    table : DecisionTable
    now_ms : callable
    """

    def __init__(self, path: Path, table: DecisionTable, now_ms: Callable[[], int]) -> None:
        self._path = path
        self._table = table
        self._now_ms = now_ms
        self._is_stopped = threading.Event()
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="copycatch-feed", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether the file has once been read to its end."""
        return self._is_ready.is_set()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the file has once been read to its end."""
        return self._is_ready.wait(timeout_s)

    def stop(self) -> None:
        """End, and wait for it."""
        self._is_stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._is_stopped.is_set():
            try:
                with self._path.open("rb") as file:
                    self._follow(file)
            except OSError as error:
                log.warning("recommendations cannot be read; trying again", error=str(error))
            self._is_stopped.wait(POLL_S)

    def _follow(self, file: BinaryIO) -> None:
        """Take the lines of an open file until another one has its name or it was cut short."""
        identity, rest = self._path.stat().st_ino, b""
        while not self._is_stopped.is_set():
            more = file.read(READ_BYTES)
            if more:
                *lines, rest = (rest + more).split(b"\n")
                for line in lines:
                    self._take(line)
                if len(rest) > LINE_BYTES_MAX:
                    rest = b""  # what goes on is no recommendation either and is counted as unreadable
                continue
            self._is_ready.set()
            self._is_stopped.wait(POLL_S)
            now = self._path.stat()
            if now.st_ino != identity or now.st_size < file.tell():
                return

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            key = msgspec.json.decode(line, type=_Keyed).decision_key
        except (ValueError, RecursionError):
            key = ""  # the table counts what it cannot read
        self._table.apply(key, line, self._now_ms())
