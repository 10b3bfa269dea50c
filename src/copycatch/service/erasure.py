"""Requests to delete an account's data: files in the state folder, which every worker of a group reads.

A request `ID.json` names the account while it is open. Each worker that has taken the account out of its
state and of its snapshots leaves `ID.SHARD.done` for each of its shards; once every shard that has snapshots
is done, the request goes and with it the account's name. What stays is `audit.jsonl`: when, who, why, what
was there, and a keyed hash of the account, by which whoever has the key can check that it was this one.
"""

import hashlib
import os
import urllib.parse
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec
import structlog

from copycatch.adapters.remote_snapshots import is_url
from copycatch.adapters.snapshots import shards_in
from copycatch.engine import Erased
from copycatch.errors import StateError
from copycatch.ports import Clock, Shard
from copycatch.settings.service import Service
from copycatch.units import UnixMs, format_rfc3339
from copycatch.whole_files import write_whole

log = structlog.get_logger(__name__)

CHECK_EVERY_S = 1.0
REQUEST_BYTES_MAX = 16_384
AUDIT = "audit.jsonl"


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """Whose data are to go, and who asked for it, when and why."""

    id: str
    account_id: str
    tenant_id: str | None
    by: str
    reason: str
    time: str


class Done(msgspec.Struct):
    """What one worker took out, as one line of the audit."""

    id: str
    shard: str
    account_hash: str
    by: str
    reason: str
    asked: str
    done: str
    rows: int
    cases: int
    campaigns: int
    learned: int


def account_hash(tenant_id: str | None, account_id: str, key: bytes) -> str:
    """Of the audit: the same for the same account and key.

    Examples
    --------
    >>> account_hash(None, "a", b"k") == account_hash("", "a", b"k")
    False
    """
    text = msgspec.json.encode([tenant_id, account_id])
    return hashlib.blake2b(text, key=key[:64], digest_size=16).hexdigest()


class Erasures:
    """The requests of one group.

    Parameters
    ----------
    folder : Path
        Of the requests; made with the first.
    snapshots : Path
        Of the group's snapshots: every shard that has some must have done a request before it goes.
    key : bytes
        Of the account's hash in the audit.
    """

    def __init__(self, folder: Path, snapshots: Path, clock: Clock, key: bytes) -> None:
        self._folder = folder
        self._snapshots = snapshots
        self._clock = clock
        self._key = key
        self._next_s = 0.0

    def ask(self, request: Request) -> None:
        """Put down a request for all workers."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self._path(request), msgspec.json.encode(request))

    def due(self, shards: Collection[Shard]) -> list[Request]:
        """Requests that some of these shards have not done; looks every `CHECK_EVERY_S`."""
        if self._clock.monotonic_s() < self._next_s:
            return []
        self._next_s = self._clock.monotonic_s() + CHECK_EVERY_S
        return [each for each in self.open() if not all(self._mark(each, shard).exists() for shard in shards)]

    def open(self) -> list[Request]:
        """All that are not done; one that cannot be read is said and left.

        Raises
        ------
        StateError
            If the folder cannot be read.
        """
        try:
            paths = sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []
        except OSError as error:
            msg = f"{self._folder}: requests to delete cannot be read: {error.strerror}"
            raise StateError(msg) from error
        found = []
        for path in paths:
            try:
                with path.open("rb") as file:
                    found.append(msgspec.json.decode(file.read(REQUEST_BYTES_MAX), type=Request))
            except FileNotFoundError:
                continue  # another worker was the last to do it
            except (OSError, msgspec.DecodeError) as error:
                log.error("a request to delete cannot be read", file=str(path), reason=str(error))  # noqa: TRY400
        return found

    def waits_for(self, request: Request) -> list[str]:
        """Shards that have snapshots and have not done it."""
        if not self._path(request).exists():
            return []
        return [str(shard) for shard in shards_in(self._snapshots) if not self._mark(request, shard).exists()]

    def is_open(self, request: Request) -> bool:
        return self._path(request).exists()

    def finish(
        self, request: Request, shards: Iterable[Shard], erased: Erased, rewrite: Callable[[], None]
    ) -> None:
        """Write snapshots without it, and note what was done for these shards; else it is tried again.

        The last worker to do so removes the request.
        """
        try:
            rewrite()
            self._note(request, shards, erased)
        except OSError as error:
            log.error("snapshots still hold what was to be deleted; tried again", reason=str(error))  # noqa: TRY400

    def _note(self, request: Request, shards: Iterable[Shard], erased: Erased) -> None:
        shards = sorted(shards)
        whose = account_hash(request.tenant_id, request.account_id, self._key)
        done = Done(
            request.id, " ".join(map(str, shards)), whose,
            request.by, request.reason, request.time, format_rfc3339(UnixMs(self._clock.now_ms())),
            erased.rows, erased.cases, erased.campaigns, erased.learned,
        )  # fmt: skip
        line = msgspec.json.encode(done)
        _append(self._folder / AUDIT, line + b"\n")
        for shard in shards:
            write_whole(self._mark(request, shard), line)
        if not self.waits_for(request):
            for path in self._folder.glob(f"{request.id}.*"):
                path.unlink(missing_ok=True)
        log.info(
            "an account's data were deleted", request=request.id, shards=done.shard, rows=done.rows,
            cases=done.cases, campaigns=done.campaigns, learned=done.learned,
        )  # fmt: skip

    def _path(self, request: Request) -> Path:
        return self._folder / f"{request.id}.json"

    def _mark(self, request: Request, shard: Shard) -> Path:
        return self._folder / f"{request.id}.{urllib.parse.quote(str(shard), safe='')}.done"


def make_erasures(settings: Service, clock: Clock, key: bytes) -> Erasures | None:
    """Those of the settings' group; None where snapshots are at a URL, which is no folder."""
    if is_url(settings.snapshots.directory):
        return None
    directory, group = Path(settings.snapshots.directory), settings.kafka.group_id
    return Erasures(directory / f"erasures-{group}", directory / f"group-{group}", clock, key)


def _append(path: Path, line: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
