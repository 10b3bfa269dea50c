"""Files that are written to: none that is read, none twice, none of somebody else's."""

import contextlib
import fcntl
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from copycatch.errors import ConfigError, TransportError

STDOUT = "-"
Existing = Literal["refuse", "append", "replace"]


def check_outputs(outputs: Mapping[str, str], inputs: Sequence[str]) -> None:
    """Refuse outputs that are read, or that are one file; nothing is touched.

    Parameters
    ----------
    outputs : mapping of str to str
        Option to path, as the user wrote both.
    inputs : sequence of str
        Files and folders that are read; nothing may be written below such a folder, because the next run
        would read it.

    Raises
    ------
    ConfigError
        Names both files, and says to choose another.
    """
    seen: dict[str, str] = {}
    for option, target in outputs.items():
        other = seen.get(_identity(target))
        if other is not None:
            msg = f"{option} {target}: {other} is written there already; name another file"
            raise ConfigError(msg)
        if not _is_device(target):
            seen[_identity(target)] = option
        for place in inputs:
            if place != STDOUT and _is_in(target, place):
                msg = f"{option} {target}: is read as a log ({place}); name a file elsewhere"
                raise ConfigError(msg)


def _identity(target: str) -> str:
    try:
        found = Path(target).stat()
    except OSError:
        return target if target == STDOUT else str(Path(target).resolve())
    return f"{found.st_dev}:{found.st_ino}"  # hard links and spellings of one file


def _is_device(target: str) -> bool:
    """Whether several may write there: /dev/null and other devices, not files and not pipes."""
    try:
        return target != STDOUT and stat.S_ISCHR(Path(target).stat().st_mode)
    except OSError:
        return False


def _is_in(target: str, place: str) -> bool:
    if target == STDOUT or _is_device(target):
        return False
    if Path(place).is_dir():
        return Path(target).resolve().is_relative_to(Path(place).resolve())
    return _identity(target) == _identity(place)


class OutputFile:
    """Takes lines, whole or not at all; a second process is kept off while it is open.

    Parameters
    ----------
    target : str
        Path, or "-" for standard output.
    existing : {"refuse", "append", "replace"}
        What to do where the file has content. A replaced one is emptied at the first write or at `begin`.

    Raises
    ------
    ConfigError
        If it exists and may not be touched, or another process writes it.
    TransportError
        If it cannot be opened.
    """

    def __init__(self, target: str, existing: Existing) -> None:
        self.name = target
        self._existing = existing
        self._file: BinaryIO | None = None if target == STDOUT else self._open(target)

    def _open(self, target: str) -> BinaryIO:
        # Nothing is emptied by opening: another output may yet be refused.
        try:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            message = f"{target} cannot be written: {error.strerror}; name another file"
            raise TransportError(message) from error
        file = os.fdopen(descriptor, "wb", buffering=0)
        status = os.fstat(descriptor)
        self._is_regular = stat.S_ISREG(status.st_mode)
        try:
            lock(file, f"{target}: another process writes it; name another file")
            self._check_is_free(status.st_size)
        except ConfigError:
            file.close()
            raise
        return file

    def _check_is_free(self, size_bytes: int) -> None:
        if self._is_regular and size_bytes and self._existing == "refuse":
            message = f"{self.name}: is there already; --append adds to it, --force begins it anew"
            raise ConfigError(message)

    def begin(self) -> None:
        """Empty the file, or go to its end."""
        if self._file is None or not self._is_regular:
            return
        if self._existing == "replace":
            self._file.truncate(0)
        self._file.seek(0, os.SEEK_END)

    def write(self, data: bytes) -> None:
        """Add lines; a part that was written before the disk was full is cut off again.

        Raises
        ------
        BrokenPipeError
            If whoever reads it has gone.
        TransportError
            If they cannot be written.
        """
        if not data:
            return
        file = self._file or sys.stdout.buffer
        start = file.tell() if self._file is not None and self._is_regular else None
        try:
            write_all(file, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            if start is not None:
                with contextlib.suppress(OSError):
                    file.truncate(start)
            if self._file is None:  # what is left in the buffer would fail once more when Python ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            name = "standard output" if self.name == STDOUT else self.name
            message = f"{name} cannot be written: {error.strerror}; make room and start again"
            raise TransportError(message) from error

    def close(self) -> None:
        """Let go; what was written is on its way to the disk."""
        if self._file is not None:
            self._file.close()


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write every byte, also where the file takes a part at a time."""
    view = memoryview(data)
    while view:
        n = file.write(view)
        view = view[n:]
    file.flush()


def lock(file: BinaryIO, message: str) -> None:
    """Keep other processes off a regular file until it is closed; closes it where one of them has it.

    Raises
    ------
    ConfigError
        With this message, if another one has it.
    """
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ConfigError(message) from error


def lock_folder(folder: Path) -> BinaryIO:
    """Keep other processes off a state folder until the file that is given back is closed.

    Raises
    ------
    ConfigError
        If another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "lock").open("ab")
    lock(
        file,
        f"{folder}: another copycatch keeps its state there; stop it, or name another folder "
        "(COPYCATCH_SNAPSHOTS__DIRECTORY)",
    )
    return file
