"""Messages of any topic to columns: the topic's decoder, then the columns of what it found."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from copycatch.intake.columns import ColumnBuilder
from copycatch.intake.drill_marks import DrillMarks
from copycatch.intake.embed import Embedder
from copycatch.records.columns import RawBatch, RecordBatch
from copycatch.records.decoding import Decoded, Decoder, Note
from copycatch.records.drill import DrillQuery
from copycatch.records.selection import concatenate
from copycatch.records.traces import traceparents_of
from copycatch.records.wire import Rejected

ANY_TOPIC = "*"
# Enough for the fixed costs of a span to vanish (256 take an eighth longer), few enough for what is read of
# them to stay in the processor's cache.
SPAN_RECORDS = 1_024
SPAN_BYTES = 2 << 20
PIECE_RECORDS = 1 << 16
_AFTER_ANY_TIMEOUT_MS = 1 << 62


@dataclass(slots=True)
class Read:
    """What some messages came to: every one is in the batch, among the rejects, or in the notes."""

    batch: RecordBatch
    rejects: list[Rejected]
    notes: Counter[Note]
    drills: list[DrillQuery] = field(default_factory=list)  # records of drills: in nothing else


class Intake:
    """Reads messages of all topics.

    Parameters
    ----------
    hmac_key : bytes
        Secret for the pseudonyms of API key ids and the hashes of inputs.
    embedder : Embedder or None
        Embeds text inputs that bring no embedding; None leaves them without one.
    make_decoder_by_topic : mapping of str to callable
        One decoder a topic; the key "*" serves topics that are not named (files of any name).
    drill_marks : DrillMarks, optional
        Tells records of drills; without it, none is.
    """

    def __init__(
        self,
        hmac_key: bytes,
        embedder: Embedder | None,
        make_decoder_by_topic: Mapping[str, Callable[[], Decoder]],
        drill_marks: DrillMarks | None = None,
    ) -> None:
        self._drill_marks = drill_marks
        self._columns = ColumnBuilder(hmac_key, embedder)
        self.link_key = self._columns.link_key  # of the hashes by which accounts are linked
        self._make_decoder_by_topic = dict(make_decoder_by_topic)
        self._decoder_by_topic: dict[str, Decoder] = {}
        self._looking_by_topic: dict[str, Decoder] = {}  # of those that read ahead, and keep nothing

    def _decoder(self, topic: str) -> Decoder:
        return self._one_of(self._decoder_by_topic, topic)

    def _one_of(self, decoder_by_topic: dict[str, Decoder], topic: str) -> Decoder:
        name = topic if topic in self._make_decoder_by_topic else ANY_TOPIC
        if name not in decoder_by_topic:
            decoder_by_topic[name] = self._make_decoder_by_topic[name]()
        return decoder_by_topic[name]

    def read(self, raw: RawBatch, now_ms: int) -> Read:
        """Columns of a poll's messages, in order of arrival.

        Parameters
        ----------
        raw : RawBatch
        now_ms : int
            Wall clock: requests and responses that have waited too long for each other are given up.
        """
        pieces = list(self.read_in_pieces(raw, now_ms))
        return replace(_joined(raw, pieces), drills=[each for piece in pieces for each in piece.drills])

    def read_in_pieces(self, raw: RawBatch, now_ms: int) -> Iterator[Read]:
        """The same, at most about `PIECE_RECORDS` at a time: a short message may hold thousands of rows.

        All pieces are to be taken before anything else is read.
        """
        decoder = self._decoder(raw.topic)
        reads: list[Read] = []
        for span in _spans(raw):
            reads.append(self._read(span, decoder.decode_lazily(span)))
            if sum(len(read.batch) for read in reads) >= PIECE_RECORDS:
                yield self._without_drills(_joined(raw, reads), now_ms)
                reads = []
        given_up = decoder.flush(now_ms)
        if given_up.records or given_up.rejects or not reads:
            reads.append(self._read(raw, given_up))
        yield self._without_drills(_joined(raw, reads), now_ms)

    def _without_drills(self, read: Read, now_ms: int) -> Read:
        if self._drill_marks is not None:
            read.batch, read.drills = self._drill_marks.split(read.batch, now_ms, read.notes)
        return read

    def see(self, raw: RawBatch) -> None:
        """A first look at messages that are to be read, maybe in parts."""
        for decoders in (self._decoder_by_topic, self._looking_by_topic):
            self._one_of(decoders, raw.topic).see(raw)

    def event_times_ms(self, raw: RawBatch) -> list[int | None]:
        """Event time of each message, the latest where it holds several records; None where it tells none.

        Nothing of it is kept: the messages are still to be read.
        """
        decoder = self._one_of(self._looking_by_topic, raw.topic)
        decoded = decoder.decode_lazily(raw)
        for flush_ms in (0, _AFTER_ANY_TIMEOUT_MS):
            decoder.flush(flush_ms)
        latest: dict[int, int] = {}
        for position, time_ms in zip(
            decoded.positions, self._columns.event_times_ms(raw, decoded), strict=True
        ):
            if time_ms is not None:
                latest[position] = max(time_ms, latest.get(position, time_ms))
        return [latest.get(position) for position in raw.positions]

    def give_up(self, now_ms: int) -> Iterator[Read]:
        """What becomes of requests and responses that have waited too long; for topics that are quiet."""
        for topic, decoder in self._decoder_by_topic.items():
            given_up = decoder.flush(now_ms)
            if given_up.records or given_up.rejects:
                yield self._read(RawBatch(topic, 0, [], []), given_up)

    def end(self) -> Iterator[Read]:
        """The source has ended: what still waits is given up."""
        # The first flush starts the wait of those that no flush has seen, the second ends it.
        for flush_ms in (0, _AFTER_ANY_TIMEOUT_MS):
            yield from self.give_up(flush_ms)

    def _read(self, raw: RawBatch, decoded: Decoded) -> Read:
        batch, rejects = self._columns.build(raw, decoded)
        batch.traceparents = traceparents_of(raw, batch.positions.tolist())
        return Read(batch, rejects, decoded.notes)

    def snapshot(self, topic: str) -> bytes:
        """What waits in the topic's decoder."""
        return self._decoder(topic).snapshot()

    def restore(self, topic: str, state: bytes) -> None:
        """Take back what `snapshot` gave.

        Raises
        ------
        copycatch.errors.StateError
            If the bytes are damaged or of another version.
        """
        if state:
            self._decoder(topic).restore(state)

    def forget_names(self) -> None:
        """Forget names that are kept for speed only."""
        self._columns.forget_names()

    def reset(self) -> None:
        """As if nothing had ever been read."""
        self._decoder_by_topic.clear()
        self._looking_by_topic.clear()


def _joined(raw: RawBatch, reads: list[Read]) -> Read:
    notes = sum((read.notes for read in reads), Counter[Note]())
    batch = concatenate(raw, [read.batch for read in reads])
    return Read(batch, [reject for read in reads for reject in read.rejects], notes)


def _spans(raw: RawBatch) -> Iterator[RawBatch]:
    """The messages in order; one empty span where there are none.

    A span has at most `SPAN_RECORDS` messages, and beyond its first at most `SPAN_BYTES`.
    """
    start, n = 0, len(raw.values)
    while start < n or start == 0:
        stop, n_bytes = min(start + 1, n), 0
        while stop < min(n, start + SPAN_RECORDS) and n_bytes < SPAN_BYTES:
            n_bytes += len(raw.values[stop])
            stop += 1
        part = slice(start, stop)
        start = max(stop, 1)
        yield RawBatch(
            raw.topic, raw.partition, raw.positions[part], raw.values[part], raw.timestamps_ms[part],
            raw.headers[part], raw.keys[part],
        )  # fmt: skip
