"""Snapshots in a directory: atomic, checksummed, signed.

A file is `MAGIC`, the length of a JSON header, the header, the content, a CRC-32 of all that, and a keyed
BLAKE2b of all that. The checksum tells damage from foreignness; the signature is what we trust: content
comes from a disk that others may reach, so nothing is parsed before it is verified.
"""

import hashlib
import hmac
import os
import re
import struct
import threading
import urllib.parse
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import structlog

from copycatch.errors import ConfigError, RecoverableError, StateError
from copycatch.ports import Shard, SnapshotInfo, SnapshotWriter
from copycatch.whole_files import replacing

log = structlog.get_logger(__name__)

MAGIC = b"copycatch-snapshot-1\n"
MAC_BYTES = 32
TRAILER_BYTES = 4 + MAC_BYTES
FOLDER = "shard-"
KEY_BYTES_MIN = 16
KEY_BYTES = 32  # of keys that are made
HEADER_BYTES_MAX = 1 << 16  # a header is a few hundred bytes; more is not ours
NAME = re.compile(r"(\d{12})-(\d{1,19})\.snapshot")
ENTRY = re.compile(r"(\d{12})-(\d{12})\.note")


def named(info: SnapshotInfo) -> str:
    """Name of a snapshot's file; `NAME` reads it.

    Examples
    --------
    >>> named(SnapshotInfo(Shard("logs", 0), 7, 120, 0, ""))
    '000000000007-120.snapshot'
    """
    return f"{info.generation:012d}-{info.position}.snapshot"


def entry_name(info: SnapshotInfo) -> str:
    """Name of the file of a journal's entry; `ENTRY` reads it, and names sort by age.

    Examples
    --------
    >>> entry_name(SnapshotInfo(Shard("logs", 0), 7, 120, 31, "run"))
    '000000000007-000000000031.note'
    """
    return f"{info.generation:012d}-{info.sequence:012d}.note"


def read_entry(data: bytes, key: bytes, name: str, shard: Shard) -> tuple[SnapshotInfo, bytes] | None:
    """Verify an entry of the journal; None, with a warning, for one that is damaged or of somebody else."""
    try:
        info, content = read_snapshot(memoryview(data), key, name)
    except StateError as error:
        log.warning("an entry of the journal is left out", reason=str(error))
        return None
    if info.shard != shard or not name.endswith(entry_name(info)):
        log.warning("an entry of the journal is left out: it belongs elsewhere", name=name)
        return None
    return info, bytes(content)


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    shard: str
    generation: int
    position: int
    sequence: int
    run_id: str


class _Signed:
    """Passes pieces on and sums them up."""

    def __init__(self, write: Callable[[bytes | memoryview], object], key: bytes) -> None:
        self._write = write
        self._mac = hashlib.blake2b(key=key[:64], digest_size=MAC_BYTES)
        self._crc = 0
        self.size_bytes = 0

    def write(self, piece: bytes | memoryview) -> None:
        self._mac.update(piece)
        self._crc = zlib.crc32(piece, self._crc)
        self.size_bytes += piece.nbytes if isinstance(piece, memoryview) else len(piece)
        self._write(piece)

    def finish(self) -> None:
        self._write(struct.pack("<I", self._crc) + self._mac.digest())


def write_snapshot(
    write: Callable[[bytes | memoryview], object], info: SnapshotInfo, content: SnapshotWriter, key: bytes
) -> int:
    """Write a snapshot in the file format to any `write`; gives its size in bytes."""
    signed = _Signed(write, key)
    header = msgspec.json.encode(
        _Header(str(info.shard), info.generation, info.position, info.sequence, info.run_id)
    )
    signed.write(MAGIC + struct.pack("<I", len(header)) + header)
    content(signed.write)
    signed.finish()
    return signed.size_bytes + TRAILER_BYTES


def read_snapshot(data: memoryview, key: bytes, name: str) -> tuple[SnapshotInfo, memoryview]:
    """Verify a whole snapshot file and give its header and content.

    Raises
    ------
    StateError
        If it is of another format, damaged, or signed with another key; says which.
    """
    head_bytes = len(MAGIC) + 4
    if len(data) < head_bytes + TRAILER_BYTES or data[: len(MAGIC)] != MAGIC:
        msg = f"{name}: no snapshot of this version of copycatch (wrong first bytes or too short)"
        raise StateError(msg)
    body, trailer = data[:-TRAILER_BYTES], data[-TRAILER_BYTES:]
    (crc,) = struct.unpack("<I", trailer[:4])
    if zlib.crc32(body) != crc:
        msg = f"{name}: the snapshot is damaged (checksum differs); an older one is used if there is any"
        raise StateError(msg)
    mac = hashlib.blake2b(body, key=key[:64], digest_size=MAC_BYTES).digest()
    if not hmac.compare_digest(mac, bytes(trailer[4:])):
        msg = f"{name}: the snapshot is signed with another key; check snapshots.key_file"
        raise StateError(msg)
    (header_bytes,) = struct.unpack("<I", body[len(MAGIC) : head_bytes])
    if header_bytes > min(HEADER_BYTES_MAX, len(body) - head_bytes):
        msg = f"{name}: the header is longer than any we write"
        raise StateError(msg)
    header = msgspec.json.decode(bytes(body[head_bytes : head_bytes + header_bytes]), type=_Header)
    info = SnapshotInfo(
        Shard.parse(header.shard), header.generation, header.position, header.sequence, header.run_id
    )
    return info, body[head_bytes + header_bytes :]


def check_named(found: SnapshotInfo, info: SnapshotInfo, name: str) -> None:
    """Refuse a signed snapshot under another's name: an old one must not pass for the newest.

    Raises
    ------
    StateError
        If shard, generation or position of the header are not those of the name.
    """
    if (found.shard, found.generation, found.position) != (info.shard, info.generation, info.position):
        msg = (
            f"{name}: the snapshot is of {found.shard}, generation {found.generation}, "
            f"position {found.position}"
        )
        raise StateError(msg)


def put(content: bytes, write: Callable[[bytes | memoryview], object]) -> None:
    """A `SnapshotWriter`, once the content is given."""
    write(content)


def random_key() -> bytes:
    return os.urandom(KEY_BYTES)


def kept_key(
    directory: Path,
    name: str,
    given: bytes | None,
    setting: str,
    make: Callable[[], bytes] = random_key,
) -> bytes:
    """The operator's key, or one that is made at first start and kept with mode 0600 in `directory`.

    Raises
    ------
    ConfigError
        If the key is too short or the directory cannot be used.
    """
    if given is not None:
        if len(given) < KEY_BYTES_MIN:
            msg = f"{setting}: {len(given)} bytes are too short; use {KEY_BYTES_MIN} or more"
            raise ConfigError(msg)
        return given
    path = directory / name
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _make_key(path, make())
        key = path.read_bytes()
    except OSError as error:
        msg = f"snapshots.directory: cannot use {directory}: {error.strerror}"
        raise ConfigError(msg) from error
    if len(key) < KEY_BYTES_MIN:
        msg = f"{path}: the key is too short; remove the file to have a new one made"
        raise ConfigError(msg)
    return key


def _make_key(path: Path, key: bytes) -> None:
    """Whole or not at all, though the disk be full; of several workers that start at once the first one's."""
    part = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)
        except OSError:  # another worker was first, or the file system has no hard links
            if not path.exists():
                part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def shards_in(directory: Path) -> list[Shard]:
    """Every shard that has a folder of snapshots there."""
    names = [path.name for path in _listing(directory) if path.name.startswith(FOLDER)]
    return sorted(Shard.parse(urllib.parse.unquote(name.removeprefix(FOLDER))) for name in names)


class DirectorySnapshots:
    """One folder a shard, one file a snapshot; the last `keep` stay."""

    def __init__(self, directory: Path, key: bytes, keep: int = 3) -> None:
        self._directory = directory
        self._key = key
        self._keep = keep
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            msg = f"snapshots.directory: cannot make {directory}: {error.strerror}"
            raise ConfigError(msg) from error

    def _folder(self, shard: Shard) -> Path:
        # Topics may hold dots, files slashes: percent-encoding keeps every name inside the directory.
        return self._directory / (FOLDER + urllib.parse.quote(str(shard), safe=""))

    def _path(self, info: SnapshotInfo) -> Path:
        return self._folder(info.shard) / named(info)

    def save(self, info: SnapshotInfo, content: SnapshotWriter) -> int:
        return self._write(self._path(info), info, content)

    def _write(self, path: Path, info: SnapshotInfo, content: SnapshotWriter) -> int:
        path.parent.mkdir(exist_ok=True, mode=0o700)
        with replacing(path) as file:
            return write_snapshot(file.write, info, content, self._key)

    def candidates(self, shard: Shard) -> list[SnapshotInfo]:
        folder = self._folder(shard)
        found = [match for path in _listing(folder) if (match := NAME.fullmatch(path.name))]
        infos = [SnapshotInfo(shard, int(match[1]), int(match[2]), 0, "") for match in found]
        return sorted(infos, key=lambda info: (-info.generation, -info.position))

    def load(self, info: SnapshotInfo) -> tuple[SnapshotInfo, memoryview]:
        path = self._path(info)
        try:
            data = path.read_bytes()
        except OSError as error:
            msg = f"{path}: cannot be read: {error.strerror}"
            raise StateError(msg) from error
        found, content = read_snapshot(memoryview(data), self._key, str(path))
        check_named(found, info, str(path))
        return found, content

    def prune(self, shard: Shard, keep: int | None = None) -> None:
        for info in self.candidates(shard)[keep or self._keep :]:
            self._path(info).unlink(missing_ok=True)
        for part in _listing(self._folder(shard)):
            # Left by a writer that was killed; one that still lives has its pid in the name.
            if part.name.endswith(".part") and not _is_alive(int(part.name.rsplit(".", 2)[1])):
                part.unlink(missing_ok=True)
        oldest = min((info.generation for info in self.candidates(shard)), default=0)
        for path in _listing(self._folder(shard)):
            if (match := ENTRY.fullmatch(path.name)) and int(match[1]) < oldest:
                path.unlink(missing_ok=True)

    def append_entry(self, info: SnapshotInfo, content: bytes) -> None:
        self._write(self._folder(info.shard) / entry_name(info), info, partial(put, content))

    def entries(self, shard: Shard) -> list[tuple[SnapshotInfo, bytes]]:
        paths = sorted(path for path in _listing(self._folder(shard)) if ENTRY.fullmatch(path.name))
        try:
            found = [read_entry(path.read_bytes(), self._key, str(path), shard) for path in paths]
        except OSError as error:
            msg = f"the journal of {shard} cannot be read: {error}"
            raise RecoverableError(msg) from error
        return [entry for entry in found if entry is not None]

    def drop_entry(self, info: SnapshotInfo) -> None:
        (self._folder(info.shard) / entry_name(info)).unlink(missing_ok=True)


def _listing(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
