"""Where a drill goes in and where it comes out: topics of a broker, or files beside a pipe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol

import msgspec

from copycatch.adapters.kafka.client import NO_SENSORS, common_options, translated
from copycatch.adapters.kafka.publish import publish
from copycatch.errors import ConfigError, TransportError
from copycatch.ports import Message
from copycatch.settings.service import Kafka

Outcome = Literal["alert", "recommendation", "ack"]
POLL_MS = 200


class Seen(NamedTuple):
    """A message that came out; `value` is None for a tombstone."""

    outcome: Outcome
    key: str
    value: bytes | None


class DrillEnds(Protocol):
    """Both ends; only what comes after it was opened is seen."""

    input_name: str

    def send(self, messages: Sequence[Message]) -> None:
        """Returns when they are kept."""
        ...

    def poll(self) -> list[Seen]:
        """What has come since, waiting some tenths of a second at most."""
        ...

    def sees(self, outcome: Outcome) -> bool:
        """Whether messages of this kind can be seen here."""
        ...


class TopicEnds:
    """Topics of a broker.

    Raises
    ------
    TransportError
        If the broker cannot be reached, or a topic is missing.
    """

    def __init__(self, settings: Kafka, input_topic: str, topics: Mapping[Outcome, str]) -> None:
        from kafka import KafkaConsumer, TopicPartition

        self.input_name = input_topic
        self._settings = settings
        self._outcome_by_topic: dict[str, Outcome] = {topic: outcome for outcome, topic in topics.items()}
        with translated("opening the outcome topics"):
            self._consumer = KafkaConsumer(
                **common_options(settings), **NO_SENSORS, group_id=None, enable_auto_commit=False,
                isolation_level="read_committed",
            )  # fmt: skip
            shards = []
            for topic in (input_topic, *topics.values()):
                partitions = self._consumer.partitions_for_topic(topic)
                if not partitions:
                    self._consumer.close()
                    msg = f"Kafka: there is no topic {topic!r}; make it, or name the one that there is"
                    raise TransportError(msg)
                if topic != input_topic:
                    shards += [TopicPartition(topic, number) for number in sorted(partitions)]
            self._consumer.assign(shards)
            for shard, end in self._consumer.end_offsets(shards).items():
                self._consumer.seek(shard, end)

    def __enter__(self) -> "TopicEnds":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def send(self, messages: Sequence[Message]) -> None:
        publish(self._settings, self.input_name, messages)

    def poll(self) -> list[Seen]:
        with translated("reading outcomes"):
            found = self._consumer.poll(timeout_ms=POLL_MS)
        return [self._seen(message) for messages in found.values() for message in messages]

    def _seen(self, message: Any) -> Seen:
        key = (message.key or b"").decode("utf-8", "replace")
        return Seen(self._outcome_by_topic[message.topic], key, message.value)

    def sees(self, outcome: Outcome) -> bool:
        return outcome in self._outcome_by_topic.values()


class _Line(msgspec.Struct):
    """Enough of a line of `run --sink` to tell what it is."""

    kind: str | None = None
    key: str | None = None
    uid: str | None = None
    decision_key: str | None = None


_LINE = msgspec.json.Decoder(_Line)


class FileEnds:
    """The log that a pipe reads, and the files that `run --sink` writes.

    Raises
    ------
    ConfigError
        If the log cannot be written, or a file of outcomes does not exist.
    """

    def __init__(self, log: Path, outcomes: Sequence[Path], sleep: Any) -> None:
        self.input_name = str(log)
        self._log, self._sleep = log, sleep
        self._files: list[BinaryIO] = []
        self._rests: list[bytes] = []
        for path in outcomes:
            try:
                file = path.open("rb")
            except OSError as error:
                msg = f"{path}: cannot be read: {error.strerror}; name the file that `copycatch run` writes"
                raise ConfigError(msg) from error
            file.seek(0, 2)
            self._files.append(file)
            self._rests.append(b"")

    def __enter__(self) -> "FileEnds":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()

    def send(self, messages: Sequence[Message]) -> None:
        try:
            with self._log.open("ab") as file:
                file.write(b"".join(each.value + b"\n" for each in messages if each.value is not None))
        except OSError as error:
            msg = f"{self._log}: cannot be written: {error.strerror}"
            raise TransportError(msg) from error

    def poll(self) -> list[Seen]:
        seen = []
        for number, file in enumerate(self._files):
            *lines, self._rests[number] = (self._rests[number] + file.read()).split(b"\n")
            seen += [found for line in lines if (found := _seen_in(line)) is not None]
        if not seen:
            self._sleep(POLL_MS / 1000)
        return seen

    def sees(self, outcome: Outcome) -> bool:
        return outcome != "ack"


def _seen_in(line: bytes) -> Seen | None:
    try:
        found = _LINE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # other programs may write there, too
    if found.kind == "alert" and found.key is not None:
        return Seen("alert", found.key, line)
    if found.kind == "recommendation" and found.key is not None:
        return Seen("recommendation", found.key, line)
    if found.decision_key is not None:
        return Seen("recommendation", found.decision_key, line)
    return None if found.uid is None else Seen("alert", found.uid, line)
