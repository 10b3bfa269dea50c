"""Which file is which: by what it begins with, because rotation gives its name to another."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from copycatch.adapters.file_names import STDIN
from copycatch.adapters.file_values import head_of
from copycatch.errors import StateError
from copycatch.whole_files import write_whole

FINGERPRINT_BYTES = 4096


class _Known(msgspec.Struct):
    name: str  # under which positions are kept
    n_bytes: int  # of the beginning, decompressed
    digest: str


class FileIdentities:
    """Names under which positions in files are kept, in a file of the state folder.

    A file that was read keeps its name wherever it is moved, compressed or not; other content under a known
    name gets a name of its own.

    Parameters
    ----------
    path : Path
        Where to keep them.

    Raises
    ------
    StateError
        If the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: list[_Known] = []
        if path.exists():
            try:
                self._known = msgspec.json.decode(path.read_bytes(), type=list[_Known])
            except (OSError, msgspec.DecodeError) as error:
                msg = f"{path}: cannot be read ({error}); remove it to read all files anew"
                raise StateError(msg) from error

    def names_of(self, paths: Sequence[str]) -> list[str]:
        """A name for each path, no two alike; remembers them."""
        names: list[str] = []
        for path in paths:
            names.append(path if path == STDIN or not Path(path).is_file() else self._name_of(path, names))
        self._save()
        return names

    def _name_of(self, path: str, taken: list[str]) -> str:
        head = head_of(path, FINGERPRINT_BYTES)
        if not head:
            return path if path not in taken else f"{path}@empty"
        digest = _digest(head)
        for known in self._known:
            is_same = known.n_bytes <= len(head) and _digest(head[: known.n_bytes]) == known.digest
            if is_same and known.name not in taken:
                known.n_bytes, known.digest = len(head), digest  # it may have grown
                return known.name
        is_used = path in taken or any(known.name == path for known in self._known)
        name = f"{path}@{digest[:12]}" if is_used else path
        self._known.append(_Known(name, len(head), digest))
        return name

    def _save(self) -> None:
        write_whole(self._path, msgspec.json.encode(self._known))


def _digest(head: bytes) -> str:
    return hashlib.blake2b(head, digest_size=16).hexdigest()
