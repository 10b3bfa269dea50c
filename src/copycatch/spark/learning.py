"""The learner between micro-batches: what shards told in one is learned at its end, and judges the next.

It is the learner of the service (`service.learner`), with files in place of topics: `learner-N` and
`versions-N` are what micro-batch N left. They are written once; when N runs again it reads those before N,
and comes to the same.
"""

import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from copycatch.adapters.clock import ManualClock
from copycatch.adapters.memory import MemoryMetrics
from copycatch.errors import StateError
from copycatch.ports import Metrics, Shard
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.packing import pack, unpack
from copycatch.records.policy import Policy
from copycatch.service.learner import LearnerJudge
from copycatch.service.remote_learning import RemoteLearning
from copycatch.spark.rows import write_once
from copycatch.units import UnixMs

INPUTS: Final = Shard("learning", 0)
KEPT: Final = 4  # micro-batches; Spark runs the last one again at most
LEARNED: Final = "learned"
MAC_BYTES: Final = 32


class FolderLink:
    """A `LearnerLink` of a shard in a micro-batch: versions of those before; `told` is for the learner."""

    def __init__(self, folder: Path, batch_id: int, n_shards: int) -> None:
        self.n_shards = n_shards
        self.told: list[tuple[bytes, bytes]] = []
        path = _latest(folder, "versions", batch_id)
        self._versions: list[bytes] = [] if path is None else unpack(path.read_bytes())

    def tell(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        self.told += messages

    def read(self, timeout_s: float = 0.0) -> list[bytes]:
        found, self._versions = self._versions, []
        return found

    def close(self) -> None:
        """Nothing is open."""


def remote_of(link: FolderLink, hmac_key: bytes, metrics: Metrics) -> RemoteLearning:
    """A shard's side: it never waits, as no version comes within a micro-batch."""
    return RemoteLearning(link, _key(hmac_key), metrics, ManualClock(), hold_s=0)


def learn(folder: Path, batch_id: int, told: Sequence[bytes], policy: Policy, hmac_key: bytes) -> Outcomes:
    """Learn what shards told in a micro-batch; gives what is to be said of campaigns and models.

    Raises
    ------
    StateError
        If what was learned before is damaged.
    """
    learner, before = (
        LearnerJudge(policy, _key(hmac_key), MemoryMetrics()),
        _latest(folder, "learner", batch_id),
    )
    if before is not None:
        learner.restore(INPUTS, memoryview(_checked(before, _key(hmac_key))))
    elif _latest(folder, "learner", 1 << 62) is not None:
        message = (
            f"{folder / LEARNED}: what was learned before micro-batch {batch_id} is missing; "
            "restore it, or begin with a new folder"
        )
        raise StateError(message)
    raw = RawBatch(INPUTS.topic, INPUTS.partition, list(range(len(told))), list(told))
    outcomes = learner.step(raw, UnixMs(0))
    pieces: list[bytes] = []
    learner.snapshot(INPUTS, lambda piece: pieces.append(bytes(piece)))
    if outcomes.learning:
        # A learner that was restored publishes its version whole.
        write_once(_path(folder, "versions", batch_id), pack([value for _, value in outcomes.learning]))
    content = b"".join(pieces)
    write_once(_path(folder, "learner", batch_id), _mac(content, _key(hmac_key)) + content)
    for name in ("versions", "learner"):
        for old in _files(folder, name)[:-KEPT]:
            old.unlink(missing_ok=True)
    return outcomes


def _key(hmac_key: bytes) -> bytes:
    return hmac.digest(hmac_key, b"copycatch spark: the learner's messages", "sha256")


def _mac(content: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"copycatch spark: a learner\n" + content, "sha256")


def _checked(path: Path, key: bytes) -> bytes:
    data = path.read_bytes()
    mac, content = data[:MAC_BYTES], data[MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(content, key)):
        message = (
            f"{path} is damaged, or made with another hmac_key; restore the folder, or begin with a new one"
        )
        raise StateError(message)
    return content


def _path(folder: Path, name: str, batch_id: int) -> Path:
    return folder / LEARNED / f"{name}-{batch_id:019d}"


def _files(folder: Path, name: str) -> list[Path]:
    return sorted((folder / LEARNED).glob(f"{name}-*"))


def _latest(folder: Path, name: str, batch_id: int) -> Path | None:
    """What the last micro-batch before this one left."""
    before = [path for path in _files(folder, name) if path < _path(folder, name, batch_id)]
    return before[-1] if before else None
