"""The engine of a shard, as executors run it: messages in, rows out, state as bytes."""

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import zstandard

from copycatch.adapters.memory import MemoryMetrics
from copycatch.embedding.embedder import TextEmbedder
from copycatch.formats.catalog import make_decoder
from copycatch.intake.read import Intake
from copycatch.ports import Shard
from copycatch.records.columns import Outcomes, RawBatch
from copycatch.records.policy import Policy
from copycatch.service.judging import EngineJudge
from copycatch.service.remote_learning import RemoteLearning
from copycatch.settings.formats import format_options
from copycatch.settings.service import Input
from copycatch.units import UnixMs

TOPIC: Final = "spark"
ACCOUNTS_MAX: Final = 1_000_000
RECORDS_MAX: Final = 5_000  # judged at once
PART_BYTES: Final = 1 << 18
_LENGTH_BYTES: Final = 8


class Reading(NamedTuple):
    """How messages are read, and the secret of pseudonyms; travels to the executors."""

    policy: Policy
    log: Input
    hmac_key: bytes


@cache
def _embedder() -> TextEmbedder:
    """One a process: its tables take .2 s."""
    return TextEmbedder()


class ShardJudge:
    """Judges the messages of one shard, in order of arrival, and counts them."""

    def __init__(
        self, reading: Reading, shard: int, metrics: MemoryMetrics, remote: RemoteLearning | None = None
    ):
        options = format_options(reading.log.format, reading.log.options, file="log")
        make = {"*": lambda: make_decoder(reading.log.format, options)}
        intake = Intake(reading.hmac_key, _embedder(), make)
        self.judge = EngineJudge(reading.policy, ACCOUNTS_MAX, intake, metrics, remote)
        self.shard, self.position, self._metrics = Shard(TOPIC, shard), 0, metrics

    def step(self, values: Sequence[bytes], now_ms: UnixMs) -> Outcomes:
        """Of all messages together, without evaluations."""
        outcomes = Outcomes()
        for start in range(0, len(values), RECORDS_MAX):
            own = list(values[start : start + RECORDS_MAX])
            positions = list(range(self.position, self.position + len(own)))
            self.position += len(own)
            found = self.judge.step(RawBatch(TOPIC, self.shard.partition, positions, own), now_ms)
            found.evaluations.clear()
            outcomes.add(found)
        return outcomes

    def notes(self) -> dict[str, float]:
        """What was counted beside records since it began: unread parts, bounds that were met."""
        return {
            "".join((name, *(f",{label}={value}" for label, value in labels))): amount
            for (name, labels), amount in self._metrics.values.items()
            if amount and name.endswith("_total")
        }

    def pack(self) -> list[bytes]:
        """The state, in parts: one message of many megabytes would take Spark's heap several times over."""
        pieces = [self.position.to_bytes(_LENGTH_BYTES, "little")]
        self.judge.snapshot(self.shard, lambda piece: pieces.append(bytes(piece)))
        packed = zstandard.ZstdCompressor(level=1).compress(b"".join(pieces))
        return [packed[at : at + PART_BYTES] for at in range(0, len(packed), PART_BYTES)]

    def unpack(self, parts: Sequence[bytes]) -> None:
        """Take back what `pack` gave.

        Raises
        ------
        StateError
            If it is of a version of copycatch that this one does not read.
        """
        data = memoryview(zstandard.ZstdDecompressor().decompress(b"".join(parts)))
        self.position = int.from_bytes(data[:_LENGTH_BYTES], "little")
        self.judge.restore(self.shard, data[_LENGTH_BYTES:])
