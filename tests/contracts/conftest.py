"""The parts that keep the ports: real ones and their twins, made alike for the suites here."""

import gzip
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zstandard

from copycatch.adapters.file_sink import FileSink
from copycatch.adapters.files import FileSource
from copycatch.adapters.memory import MemoryLog, MemorySink, MemorySource
from copycatch.adapters.messages import NATIVE
from copycatch.ports import OutcomeSink, RecordSource, Shard
from copycatch.settings.service import Service
from copycatch.units import UnixMs
from tests.support.service import Topics, produce, read_all


@dataclass
class SourceCase:
    """A source over known records, and how many shards it shows."""

    source: RecordSource
    values_by_shard: dict[Shard, list[bytes]]
    again: Callable[[], RecordSource]


@dataclass
class SinkCase:
    """A sink, another one that takes over from it, and what stands in the outputs."""

    sink: OutcomeSink
    shard: Shard
    reopened: Callable[[], OutcomeSink]
    written: Callable[[], list[tuple[str, bytes | None]]]  # (kind, value), committed ones


VALUES = [b'{"n": %d}' % n for n in range(250)]


def kafka_settings(servers: str, topics: Topics, group: str | None = None) -> Service:
    return Service.model_validate(
        {
            "kafka": {
                "bootstrap_servers": [servers],
                "group_id": group or f"group-{uuid.uuid4().hex[:8]}",
                "session_timeout": "6s",
                "request_timeout": "10s",
                "transaction_timeout": "10s",
            },
            "inputs": [{"topic": topics.records}],
            "outputs": {
                "alerts": topics.alerts,
                "recommendations": topics.recommendations,
                "dead_letters": topics.dead_letters,
            },
        }
    )


def write_log(path: Path, values: Iterable[bytes]) -> None:
    data = b"\n".join(values) + b"\n"
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = zstandard.compress(data)
    path.write_bytes(data)


@pytest.fixture(
    params=[
        "memory",
        "jsonl",
        "gz",
        "zst",
        "folder",
        pytest.param("kafka-python", marks=pytest.mark.kafka),
        pytest.param("confluent", marks=pytest.mark.kafka),
    ]
)
def source_case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SourceCase]:
    kind: str = request.param
    with ExitStack() as stack:
        if kind == "memory":
            log = MemoryLog({Shard("a", 0): VALUES[:150], Shard("a", 1): VALUES[150:]})
            case = SourceCase(MemorySource(log), log.records_by_shard, lambda: MemorySource(log))
        elif kind in {"kafka-python", "confluent"}:
            case = _kafka_source(request.getfixturevalue("kafka_servers"), stack, kind)
        elif kind == "folder":
            write_log(tmp_path / "log-1.jsonl", VALUES[:150])
            write_log(tmp_path / "log-2.jsonl.gz", VALUES[150:])
            names = [str(tmp_path / "log-1.jsonl"), str(tmp_path / "log-2.jsonl.gz")]
            parts = {Shard(names[0], 0): VALUES[:150], Shard(names[1], 0): VALUES[150:]}
            case = SourceCase(FileSource([str(tmp_path)]), parts, lambda: FileSource([str(tmp_path)]))
        else:
            name = str(tmp_path / f"log.{kind}")
            write_log(Path(name), VALUES)
            case = SourceCase(FileSource([name]), {Shard(name, 0): VALUES}, lambda: FileSource([name]))
        stack.callback(case.source.close)
        yield case


def make_kafka_source(settings: Service, client: str) -> Any:
    """A source through either client library."""
    if client == "confluent":
        pytest.importorskip("confluent_kafka")
        from copycatch.adapters.confluent.source import ConfluentSource

        return ConfluentSource(settings)
    from copycatch.adapters.kafka.source import KafkaSource

    return KafkaSource(settings)


def make_kafka_sink(settings: Service, source: Any, client: str) -> OutcomeSink:
    """The sink that belongs to the source."""
    if client == "confluent":
        from copycatch.adapters.confluent.sink import ConfluentSink

        return ConfluentSink(settings, source, NATIVE, lambda: UnixMs(0))
    from copycatch.adapters.kafka.sink import KafkaSink

    return KafkaSink(settings, source, NATIVE, lambda: UnixMs(0))


def _kafka_source(servers: str, stack: ExitStack, client: str) -> SourceCase:
    topics = Topics.make(servers, partitions=2)
    produce(servers, topics.records, ((f"key-{n % 7}", value) for n, value in enumerate(VALUES)))
    values: dict[Shard, list[bytes]] = {}
    for each in read_all(servers, topics.records):
        values.setdefault(Shard(topics.records, each.partition), []).append(each.value)
    settings = kafka_settings(servers, topics)

    def make() -> RecordSource:
        source: RecordSource = make_kafka_source(settings, client)
        stack.callback(source.close)
        return source

    return SourceCase(make(), values, make)


@pytest.fixture(
    params=[
        "memory",
        "files",
        "one file",
        pytest.param("kafka-python", marks=pytest.mark.kafka),
        pytest.param("confluent", marks=pytest.mark.kafka),
    ]
)
def sink_case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SinkCase]:
    kind: str = request.param
    with ExitStack() as stack:
        if kind == "memory":
            log = MemoryLog()
            yield SinkCase(
                MemorySink(log),
                Shard("records", 0),
                lambda: MemorySink(log),
                lambda: [(each.kind, each.message.value) for each in log.written],
            )
        elif kind in {"kafka-python", "confluent"}:
            yield _kafka_sink(request.getfixturevalue("kafka_servers"), stack, kind)
        else:
            yield _file_sink(tmp_path, stack, is_shared=kind == "one file")


def _file_sink(folder: Path, stack: ExitStack, *, is_shared: bool) -> SinkCase:
    import msgspec

    kinds: Any = ("alert", "recommendation", "dead_letter")
    targets: Any = {kind: str(folder / ("all" if is_shared else kind)) for kind in kinds}

    def make() -> OutcomeSink:
        sink = FileSink(targets, NATIVE, folder / "ledger.json")
        stack.callback(sink.close)
        return sink

    def written() -> list[tuple[str, bytes | None]]:
        if is_shared:
            lines = [
                msgspec.json.decode(line, type=dict[str, msgspec.Raw])
                for line in (folder / "all").read_bytes().splitlines()
            ]
            return [(msgspec.json.decode(line["kind"]), bytes(line["value"])) for line in lines]
        return [(kind, line.strip()) for kind in kinds for line in (folder / kind).read_bytes().splitlines()]

    return SinkCase(make(), Shard("records", 0), make, written)


def _kafka_sink(servers: str, stack: ExitStack, client: str) -> SinkCase:
    from tests.contracts.listening import Recorder, poll_until_assigned

    topics = Topics.make(servers)
    settings = kafka_settings(servers, topics)
    source = make_kafka_source(settings, client)
    stack.callback(source.close)
    source.start(Recorder(source))
    poll_until_assigned(source, Shard(topics.records, 0))

    def make() -> OutcomeSink:
        sink = make_kafka_sink(settings, source, client)
        stack.callback(sink.close)
        return sink

    def written() -> list[tuple[str, bytes | None]]:
        by_kind = {
            "alert": topics.alerts,
            "recommendation": topics.recommendations,
            "dead_letter": topics.dead_letters,
        }
        return [(kind, each.value) for kind, topic in by_kind.items() for each in read_all(servers, topic)]

    return SinkCase(make(), Shard(topics.records, 0), make, written)
