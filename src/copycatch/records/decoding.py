"""What lies between a log format and the columns: decoded records, and what every decoder offers."""

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from copycatch.records.columns import Charge, RawBatch
from copycatch.records.wire import InferenceRecord, Rejected

Note = Literal[
    "skipped",  # messages or parts of them that are about no inference (other spans, health checks)
    "unknown",  # parts that may be about an inference, of which no rule tells what was asked of which model
    "split",  # what a message held beyond the first: instances of a request, spans of an export
    "held",  # requests and responses that began to wait for each other
    "joined",  # pairs: two messages, one reading
    "sampled",  # messages whose source says that it logs only a share of the traffic
    "unread",  # parts of records that could not be read: the part is missing, the query counts
    "unpaired",  # requests given as a record without response, because the options say so
    "drill_forged",  # marked as a drill, by a mark that does not hold: judged as any other record
    "drill_stale",  # marked as a drill, too long ago: likewise
]
"""Nothing is lost without being counted: once nothing waits any more,
messages + split == records + rejects + skipped + unknown + joined."""


@dataclass(slots=True)
class Decoded:
    """What a batch held; `positions` has one entry a record: where its (last) message stood."""

    records: list[InferenceRecord] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    rejects: list[Rejected] = field(default_factory=list)
    notes: Counter[Note] = field(default_factory=Counter)
    charges: dict[int, Charge] = field(default_factory=dict)  # by place in `records`, where there is one

    def only(self, rows: list[int]) -> "Decoded":
        """These of its records, in this order, and no rejects."""
        charges = {at: self.charges[row] for at, row in enumerate(rows) if row in self.charges}
        records, positions = [self.records[row] for row in rows], [self.positions[row] for row in rows]
        return Decoded(records, positions, notes=self.notes, charges=charges)

    def add(self, other: "Decoded") -> None:
        """Take over what `other` holds, after what is here."""
        n_before = len(self.records)
        self.charges |= {n_before + index: charge for index, charge in other.charges.items()}
        self.records += other.records
        self.positions += other.positions
        self.rejects += other.rejects
        self.notes += other.notes


class Decoder(ABC):
    """Turns messages of one topic into canonical records.

    A format that logs a request and its response as two messages keeps what waits; others need `decode` only.
    """

    @abstractmethod
    def decode(self, batch: RawBatch) -> Decoded:
        """Decode every message of `batch`; a bad one becomes a reject, and nothing is raised."""

    def see(self, batch: RawBatch) -> None:  # noqa: B027 - most know their format
        """A first look at messages that are to be decoded, maybe in parts: keeps none of them."""

    def decode_lazily(self, batch: RawBatch) -> Decoded:
        """The same for the intake: vectors may still be JSON (`msgspec.Raw`): it reads many at once."""
        return self.decode(batch)

    def decode_sure(self, batch: RawBatch) -> tuple[Decoded, list[int]]:
        """Records as `decode_lazily` gives them of messages that are surely whole, of this format and in no
        envelope; and the rows of all other messages.
        """
        return Decoded(), list(range(len(batch.values)))

    def flush(self, now_ms: int) -> Decoded:
        """Give up on what has waited longer than the timeout; call it about once a second."""
        return Decoded()

    def snapshot(self) -> bytes:
        """What waits, as versioned bytes; empty for formats where nothing does."""
        return b""

    def restore(self, state: bytes) -> None:  # noqa: B027 - nothing waits here
        """Take back what `snapshot` gave.

        Raises
        ------
        copycatch.errors.StateError
            If the bytes are damaged or of another version.
        """
