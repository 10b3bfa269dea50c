"""Files and standard output as an `OutcomeSink`.

A unit is written, flushed and synced; then a small ledger (atomic rename) says how long each file is and how
far the sources are judged. After a crash, what stands behind the ledger's lengths is moved aside: each
outcome stands in the files once. Standard output has no ledger and no way back.
"""

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from copycatch.adapters.messages import messages_of
from copycatch.adapters.outputs import lock, write_all
from copycatch.alert_formats.catalog import AlertFormat
from copycatch.errors import ConfigError, RecoverableError, StateError, TransportError
from copycatch.ports import Committed, Delivery, Kind, Message, Shard
from copycatch.whole_files import write_whole

log = structlog.get_logger(__name__)

STDOUT = "-"


class _Ledger(msgspec.Struct):
    lengths: dict[str, int] = {}
    committed: dict[str, tuple[int, int, str]] = {}


class FileSink:
    """Appends outcomes as lines.

    Parameters
    ----------
    target_by_kind : mapping of Kind to str
        Path or "-" per kind of outcome; kinds without a target are not written. Kinds that share a target
        are wrapped as `{"kind": ..., "key": ..., "value": ...}`, one a line.
    ledger : Path or None
        Where to keep lengths and positions; None adds to the files that there are.
    """

    def __init__(
        self, target_by_kind: Mapping[Kind, str], alert_format: AlertFormat, ledger: Path | None = None
    ) -> None:
        self._target_by_kind = dict(target_by_kind)
        self._alert_format = alert_format
        self._ledger_path = ledger
        targets = list(self._target_by_kind.values())
        self._shared = {target for target in targets if targets.count(target) > 1}
        self._ledger = _read_ledger(ledger)
        self._file_by_target: dict[str, BinaryIO] = {}
        for target in dict.fromkeys(targets):
            self._file_by_target[target] = self._open(target)

    def _open(self, target: str) -> BinaryIO:
        if target == STDOUT:
            return sys.stdout.buffer
        path = Path(target)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not path.exists()
            file = path.open("ab" if is_new else "r+b", buffering=0)
            if self._ledger_path is None:  # else the state folder is locked
                lock(file, f"{target}: another process writes it; name another file")
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file
            length = self._ledger.lengths.get(str(path.resolve()))
            if self._ledger_path is not None and length is not None and not is_new:
                self._cut(path, file, length)
            file.seek(0, os.SEEK_END)
        except OSError as error:
            msg = f"{target}: cannot be written: {error.strerror}"
            raise ConfigError(msg) from error
        return file

    def _cut(self, path: Path, file: BinaryIO, length: int) -> None:
        """Move aside what no ledger vouches for: part of a unit, or lines of somebody else."""
        size = os.fstat(file.fileno()).st_size
        if size < length:
            file.close()
            msg = (
                f"{path}: is shorter than the {length} bytes that {self._ledger_path} knows of; "
                "remove the ledger to begin anew"
            )
            raise StateError(msg)
        if size == length:
            return
        aside = path.with_name(f"{path.name}.cut-at-{length}")
        file.seek(length)
        with aside.open("ab") as kept:
            while chunk := file.read(1 << 20):
                kept.write(chunk)
            kept.flush()
            os.fsync(kept.fileno())
        log.warning("lines that were not committed are cut off", file=str(path), kept_in=str(aside))
        file.truncate(length)

    def deliver(self, delivery: Delivery) -> None:
        lines_by_target: dict[str, list[bytes]] = {}
        for kind, message in messages_of(delivery.outcomes, self._alert_format, now_ms=0):
            target = self._target_by_kind.get(kind)
            if target is not None and message.value is not None:
                line = _wrap(kind, message) if target in self._shared else message.value
                lines_by_target.setdefault(target, []).append(line)
        written: list[tuple[BinaryIO, int]] = []
        try:
            for target, lines in lines_by_target.items():
                file = self._file_by_target[target]
                if target != STDOUT:
                    written.append((file, file.tell()))
                write_all(file, b"\n".join(lines) + b"\n")
            self._note(delivery, [file for file, _ in written])
        except BrokenPipeError as error:
            msg = "the reader of the output has gone away"
            raise TransportError(msg) from error
        except OSError as error:
            for file, length in written:
                with contextlib.suppress(OSError):  # cut again at the next attempt, or at the next start
                    file.truncate(length)
                    file.seek(length)
            msg = f"writing outcomes: {error.strerror}"
            raise RecoverableError(msg) from error

    def _note(self, delivery: Delivery, files: list[BinaryIO]) -> None:
        if self._ledger_path is None:
            return
        for file in files:
            os.fsync(file.fileno())
        for shard, position in delivery.positions.items():
            self._ledger.committed[str(shard)] = (position, delivery.sequence, delivery.run_id)
        for target, file in self._file_by_target.items():
            if target != STDOUT:
                self._ledger.lengths[str(Path(target).resolve())] = file.tell()
        write_whole(self._ledger_path, msgspec.json.encode(self._ledger))

    def committed(self, shards: Iterable[Shard]) -> dict[Shard, Committed]:
        return {
            shard: Committed(*done) for shard in shards if (done := self._ledger.committed.get(str(shard)))
        }

    def reopen(self) -> None:
        """Nothing is ever open: a unit that failed was cut off."""

    def close(self) -> None:
        for target, file in self._file_by_target.items():
            if target == STDOUT:
                with contextlib.suppress(BrokenPipeError):  # nobody listens any more
                    file.flush()
            else:
                file.close()


def _read_ledger(path: Path | None) -> _Ledger:
    if path is None or not path.exists():
        return _Ledger()
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Ledger)
    except (OSError, msgspec.DecodeError) as error:
        msg = f"{path}: is no ledger of ours ({error}); remove it to begin anew"
        raise StateError(msg) from error


def _wrap(kind: Kind, message: Message) -> bytes:
    assert message.value is not None, "tombstones are not written to files"
    is_json = message.value.startswith(b"{")
    value = msgspec.Raw(message.value) if is_json else message.value.decode("utf-8", "backslashreplace")
    return msgspec.json.encode({"kind": kind, "key": message.key.decode(), "value": value})
