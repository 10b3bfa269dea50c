"""Snapshots at an fsspec URL: S3 and its like, in the same file format as in a directory."""

import os
import posixpath
import re
import urllib.parse
from functools import partial
from typing import Any

import structlog

from copycatch.adapters.snapshots import (
    ENTRY,
    NAME,
    check_named,
    entry_name,
    named,
    put,
    read_entry,
    read_snapshot,
    write_snapshot,
)
from copycatch.errors import ConfigError, RecoverableError, StateError
from copycatch.ports import Shard, SnapshotInfo, SnapshotWriter

log = structlog.get_logger(__name__)

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*(::|://).+")
_PASSWORD = re.compile(r"(?<=//)[^/@:]*:[^/@]*(?=@)")


def is_url(directory: str) -> bool:
    """Whether snapshots are to be kept elsewhere than in a local directory.

    Examples
    --------
    >>> is_url("s3://bucket/copycatch"), is_url("/var/lib/copycatch"), is_url("copycatch-state")
    (True, False, False)
    """
    return _URL.fullmatch(directory) is not None


def _is_refusal(error: Exception) -> bool:
    """Whether the store, or its library for want of credentials, refuses us: waiting will not help.

    Every library has an error of its own for credentials that it cannot find; they agree on the word.
    """
    return isinstance(error, PermissionError) or "credential" in type(error).__name__.lower()


class RemoteSnapshots:
    """One prefix a shard, one object a snapshot; the last `keep` stay.

    Objects appear whole or not at all: they are written within the file system's transaction. Errors of the
    store while a shard begins are worth another try, so that an outage never looks like lost state. A bucket
    is never made: one that is not there is a mistyped one.

    Raises
    ------
    ConfigError
        If the URL's protocol is unknown, the package that speaks it is not installed, the bucket is not there
        or the store refuses our credentials.
    """

    def __init__(self, url: str, key: bytes, keep: int = 3) -> None:
        self._url = url
        self._key = key
        self._keep = keep
        self._opened: tuple[int, Any, str] | None = None
        self._is_checked = False
        try:
            self._check()
        except RecoverableError as error:
            log.warning("snapshots cannot be reached yet; tried again when a shard begins", reason=str(error))

    def _open(self) -> tuple[Any, str]:
        """The file system and the path in it; anew in a forked child, where connections are not ours."""
        if self._opened is not None and self._opened[0] == os.getpid():
            return self._opened[1], self._opened[2]
        try:
            from fsspec.core import url_to_fs
        except ModuleNotFoundError as error:
            msg = "snapshots.directory is a URL: that needs the extra: pip install 'copycatch[remote]'"
            raise ConfigError(msg) from error
        try:
            file_system, root = url_to_fs(self._url, skip_instance_cache=True)
        except (ImportError, ValueError) as error:
            msg = f"snapshots.directory: {self._named_url()} cannot be opened: {error}"
            raise ConfigError(msg) from error
        self._opened = os.getpid(), file_system, root
        return file_system, root

    def _named_url(self) -> str:
        """The URL without the password that some protocols take in it."""
        return _PASSWORD.sub("***", self._url)

    def _bucket(self) -> str | None:
        """The first part of a path in a store of objects; None where paths begin at a root, as on disks."""
        root = self._open()[1]
        return None if root.startswith("/") or "://" in root else root.partition("/")[0]

    def _check(self) -> None:
        """Once: that the bucket is there and lets us in."""
        bucket = self._bucket()
        if self._is_checked or bucket is None:
            return
        try:
            is_there = self._is_there(bucket)
        except Exception as error:
            if _is_refusal(error):
                msg = f"snapshots.directory: {self._named_url()}: {self._refused(error)}"
                raise ConfigError(msg) from error
            raise self._passing(self._open()[1], error) from error
        if not is_there:
            msg = (
                f"snapshots.directory: {self._named_url()}: there is no bucket {bucket!r}; "
                "correct the URL, or make the bucket (copycatch makes none)"
            )
            raise ConfigError(msg)
        self._is_checked = True

    def _is_there(self, bucket: str) -> bool:
        file_system, root = self._open()
        try:
            file_system.ls(root, detail=False)
        except FileNotFoundError:  # nothing was written yet, or there is no such bucket
            try:
                file_system.info(bucket)
            except FileNotFoundError:
                return False
            except PermissionError:
                return True  # it let us list below the prefix: these credentials are good for no more
        return True

    def _refused(self, error: Exception) -> str:
        return (
            f"the store refuses us ({type(error).__name__}: {error}); give credentials that may list, read, "
            "write and delete there, in the environment or files that its library reads (for s3:// "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_PROFILE, and AWS_ENDPOINT_URL)"
        )

    def _folder(self, shard: Shard) -> str:
        return posixpath.join(self._open()[1], "shard-" + urllib.parse.quote(str(shard), safe=""))

    def _path(self, info: SnapshotInfo) -> str:
        return posixpath.join(self._folder(info.shard), named(info))

    def save(self, info: SnapshotInfo, content: SnapshotWriter) -> int:
        return self._write(self._path(info), info, content)

    def _write(self, path: str, info: SnapshotInfo, content: SnapshotWriter) -> int:
        file_system = self._open()[0]
        try:
            if self._bucket() is None:  # stores of objects have no folders, and would make the bucket
                file_system.makedirs(posixpath.dirname(path), exist_ok=True)
            with file_system.transaction, file_system.open(path, "wb") as file:
                return write_snapshot(file.write, info, content, self._key)
        except OSError:
            raise
        except Exception as error:  # every store brings errors of its own library
            msg = f"{path}: {type(error).__name__}: {error}"
            raise OSError(msg) from error

    def _names(self, shard: Shard) -> list[str]:
        self._check()
        file_system, folder = self._open()[0], self._folder(shard)
        try:
            file_system.invalidate_cache(folder)
            return [posixpath.basename(path) for path in file_system.ls(folder, detail=False)]
        except FileNotFoundError:
            return []
        except Exception as error:
            raise self._passing(folder, error) from error

    def candidates(self, shard: Shard) -> list[SnapshotInfo]:
        found = [match for name in self._names(shard) if (match := NAME.fullmatch(name))]
        infos = [SnapshotInfo(shard, int(match[1]), int(match[2]), 0, "") for match in found]
        return sorted(infos, key=lambda info: (-info.generation, -info.position))

    def _read(self, path: str) -> bytes:
        try:
            data: bytes = self._open()[0].cat_file(path)
        except FileNotFoundError as error:
            msg = f"{path}: is not there any more"
            raise StateError(msg) from error
        except Exception as error:
            raise self._passing(path, error) from error
        return data

    def load(self, info: SnapshotInfo) -> tuple[SnapshotInfo, memoryview]:
        path = self._path(info)
        data = self._read(path)
        found, content = read_snapshot(memoryview(data), self._key, path)
        check_named(found, info, path)
        return found, content

    def _passing(self, path: str, error: Exception) -> RecoverableError:
        text = self._refused(error) if _is_refusal(error) else f"{type(error).__name__}: {error}"
        return RecoverableError(f"snapshots at {path}: {text}")

    def prune(self, shard: Shard, keep: int | None = None) -> None:
        n_kept = keep or self._keep
        file_system, folder = self._open()[0], self._folder(shard)
        try:
            names = self._names(shard)
            matches = sorted((m for name in names if (m := NAME.fullmatch(name))), key=lambda m: -int(m[1]))
            oldest = min((int(match[1]) for match in matches[:n_kept]), default=0)
            entries = [m for name in names if (m := ENTRY.fullmatch(name)) and int(m[1]) < oldest]
            for match in [*matches[n_kept:], *entries]:
                file_system.rm_file(posixpath.join(folder, match[0]))
        except Exception as error:
            # The next snapshot prunes again; one too many harms nobody.
            msg = f"snapshots could not be pruned: {type(error).__name__}: {error}"
            raise OSError(msg) from error

    def _entry_path(self, info: SnapshotInfo) -> str:
        return posixpath.join(self._folder(info.shard), entry_name(info))

    def append_entry(self, info: SnapshotInfo, content: bytes) -> None:
        self._write(self._entry_path(info), info, partial(put, content))

    def entries(self, shard: Shard) -> list[tuple[SnapshotInfo, bytes]]:
        folder = self._folder(shard)
        paths = [posixpath.join(folder, name) for name in sorted(self._names(shard)) if ENTRY.fullmatch(name)]
        found = [read_entry(self._read(path), self._key, path, shard) for path in paths]
        return [entry for entry in found if entry is not None]

    def drop_entry(self, info: SnapshotInfo) -> None:
        path = self._entry_path(info)
        try:
            self._open()[0].rm_file(path)
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._passing(path, error) from error
