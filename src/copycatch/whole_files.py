"""Files that are written whole or not at all, though the process be killed or the disk be full."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600  # what holds accounts' names or keys is for nobody else to read


@contextmanager
def replacing(path: Path, mode: int = PRIVATE) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once the block has ended; a fault leaves what was there.

    Its name until then ends in the process's number and `.part`: several processes may write one file.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb", buffering=1 << 20) as file:
            os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_directory(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """`replacing` for a content at hand."""
    with replacing(path, mode) as file:
        file.write(content)


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
