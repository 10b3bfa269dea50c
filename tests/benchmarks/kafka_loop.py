"""Kafka end to end beside the bare loop poll + decode + commit of the same client on the same broker."""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from kafka.admin import KafkaAdminClient
from kafka.errors import RetriableError
from kafka.structs import OffsetAndMetadata

from copycatch.records.wire import InferenceRecord
from kafka import KafkaConsumer, TopicPartition
from tests.benchmarks.files import ACCOUNTS, WARM_DAYS, WARM_SHARE
from tests.benchmarks.isolated import ROOT, MeasurementFailed, compile_ahead, run_isolated
from tests.benchmarks.measure import Figure, Part, Target, ratios
from tests.benchmarks.scale import Scale
from tests.benchmarks.traffic import START_MS, Draw, Pool, Shape
from tests.support.broker import running_broker
from tests.support.maven import ServerMissing
from tests.support.service import ServiceProcess, Topics, ended, produce

Client = Literal["kafka-python", "confluent"]
POLL_RECORDS = 5_000
FETCH_BYTES = 8 << 20  # as the service asks for, so that both loops fetch alike
PARTITIONS = 1
DEADLINE_S = 240.0
PEER_PYTHON = Path(os.environ.get("COPYCATCH_CACHE") or ROOT / ".cache") / "peer-venv" / "bin" / "python"
MIXED = Shape(models=4, text_models=2)  # inputs and labels of two types in one topic
QUIX_SHARE = 0.15  # it is slower by so much that fewer records say the same


@contextlib.contextmanager
def broker_servers() -> Iterator[str]:
    """The broker that COPYCATCH_TEST_KAFKA names, or one of our own."""
    named = os.environ.get("COPYCATCH_TEST_KAFKA")
    if named:
        yield named
        return
    with running_broker() as broker:
        yield broker.servers


def clients() -> list[Client]:
    found: list[Client] = ["kafka-python"]
    if importlib.util.find_spec("confluent_kafka") and importlib.util.find_spec(
        "copycatch.adapters.confluent"
    ):
        found.append("confluent")
    return found


def account_of(line: bytes) -> str:
    """As a gateway keys it."""
    return line.partition(b'"account_id":"')[2].partition(b'"')[0].decode()


def fill(servers: str, topic: str, n: int, shape: Shape) -> int:
    """Some quiet days, then a busy span; gives the offset at which that begins."""
    pool = Pool(shape, min(n, 20_000), seed=5)
    n_quiet = round(n * WARM_SHARE)
    quiet_s = WARM_DAYS * 86_400
    quiet = pool.lines(n_quiet, Draw(400, "uniform", 5), START_MS, n_quiet / quiet_s)
    busy = pool.lines(n - n_quiet, Draw(ACCOUNTS, "zipf", 5), START_MS + round(quiet_s * 1000), 200.0)
    for lines in (quiet, busy):
        produce(servers, topic, ((account_of(line), line) for line in lines))
    return n_quiet


def bare_kafka_python(servers: str, topic: str, start: int, stop: int) -> dict[str, float]:
    """Poll, decode, commit: as fast as a Python consumer that does nothing can be; runs in a child."""
    decode = msgspec.json.Decoder(InferenceRecord).decode
    consumer = KafkaConsumer(
        bootstrap_servers=servers,
        group_id=f"bare-{time.time_ns()}",
        enable_auto_commit=False,
        max_poll_records=POLL_RECORDS,
        max_partition_fetch_bytes=FETCH_BYTES,
        metrics_enabled=False,
        isolation_level="read_committed",
    )
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek(partition, start)
    n, wall_s, cpu_s = 0, 0.0, 0.0
    while n < stop - start:
        for records in consumer.poll(timeout_ms=1000).values():
            if not wall_s:
                wall_s, cpu_s = time.perf_counter(), time.process_time()
            else:
                n += len(records)
            for record in records:
                decode(record.value)
            consumer.commit({partition: OffsetAndMetadata(records[-1].offset + 1, "", -1)})
            if records[-1].offset + 1 >= stop:
                stop = start + n
    result = _rates(n, wall_s, cpu_s)
    consumer.close()
    return result


def bare_confluent(servers: str, topic: str, start: int, stop: int) -> dict[str, float]:
    """The same with confluent-kafka; runs in a child."""
    import confluent_kafka

    decode = msgspec.json.Decoder(InferenceRecord).decode
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"bare-{time.time_ns()}",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.message.max.bytes": FETCH_BYTES,
        }
    )
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, start)])
    n, wall_s, cpu_s, last = 0, 0.0, 0.0, start
    while last < stop:
        records = consumer.consume(POLL_RECORDS, timeout=0.25)
        if not records:
            continue
        if not wall_s:
            wall_s, cpu_s = time.perf_counter(), time.process_time()
        else:
            n += len(records)
        for record in records:
            decode(record.value() or b"")
        last = (records[-1].offset() or 0) + 1
        consumer.commit(offsets=[confluent_kafka.TopicPartition(topic, 0, last)], asynchronous=False)
    result = _rates(n, wall_s, cpu_s)
    consumer.close()
    return result


def _rates(n: int, wall_began_s: float, cpu_began_s: float) -> dict[str, float]:
    wall_s, cpu_s = time.perf_counter() - wall_began_s, time.process_time() - cpu_began_s
    return {"per_s": n / wall_s, "cpu_us": cpu_s / n * 1e6}


def service_rates(servers: str, topics: Topics, client: Client, start: int, stop: int) -> dict[str, float]:
    """`copycatch run` over the topic; timed between the commits of the busy span."""
    with tempfile.TemporaryDirectory(prefix="copycatch-bench-") as folder:
        service = ServiceProcess(
            servers,
            topics,
            Path(folder),
            more={
                "kafka": {"client": client, "session_timeout": "30s"},
                "snapshots": {"directory": str(Path(folder) / "state"), "interval": "60s"},
                "poll_records_max": POLL_RECORDS,
            },
        )
        with ended(service):
            service.start()
            begun = _wait_committed(service, start, stop)
            done = _wait_committed(service, stop, stop)
            code = service.stop()
        if code != 0:
            msg = f"copycatch run ended with {code}: {service.log[-600:]}"
            raise MeasurementFailed(msg)
    n = done["offset"] - begun["offset"]
    if n <= 0:
        msg = "the service was through before it could be timed; take more records"
        raise MeasurementFailed(msg)
    return {
        "per_s": n / (done["wall_s"] - begun["wall_s"]),
        "cpu_us": (done["cpu_s"] - begun["cpu_s"]) / n * 1e6,
    }


def _wait_committed(service: ServiceProcess, offset: int, stop: int) -> dict[str, float]:
    admin = KafkaAdminClient(bootstrap_servers=service.servers)
    deadline_s = time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < deadline_s:
            found = _offsets(admin, service.group)
            committed = sum(
                each.offset for place, each in found.items() if place.topic == service.topics.records
            )
            if committed > offset or committed >= stop:
                assert service.process is not None
                return {
                    "offset": committed,
                    "wall_s": time.perf_counter(),
                    "cpu_s": _cpu_s(service.process.pid),
                }
            if not service.is_alive:
                break
            time.sleep(0.05)
    finally:
        admin.close()
    msg = f"the service did not come to {offset}: {service.log[-600:]}"
    raise MeasurementFailed(msg)


def _offsets(admin: KafkaAdminClient, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    try:
        offsets: dict[TopicPartition, OffsetAndMetadata] = admin.list_group_offsets(group)[group]
    except RetriableError:
        return {}  # the first group of a new broker: its offsets topic is being made
    return offsets


def _cpu_s(pid: int) -> float:
    """User and system time of a process, threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quix_rates(servers: str, topic: str, n: int) -> dict[str, float]:
    """Quix Streams with RocksDB state, in an environment of its own: its pins contradict ours."""
    if not PEER_PYTHON.exists():
        msg = "Quix Streams: no environment for it; `python -m tests.benchmarks.peers.environment` makes one"
        raise MeasurementFailed(msg)
    with tempfile.TemporaryDirectory(prefix="copycatch-bench-") as folder:
        command = [
            str(PEER_PYTHON),
            str(Path(__file__).parent / "peers" / "quix_loop.py"),
            servers,
            topic,
            str(n),
            folder,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        except subprocess.TimeoutExpired as error:
            msg = f"Quix Streams took longer than {DEADLINE_S:.0f} s"
            raise MeasurementFailed(msg) from error
    if done.returncode != 0 or not done.stdout.strip():
        msg = f"Quix Streams: {(done.stderr.strip().splitlines() or ['no result'])[-1]}"
        raise MeasurementFailed(msg)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def run(scale: Scale) -> Part:
    """Part (c)."""
    part = Part("kafka", "Kafka end to end beside the bare loop of the same client")
    if shutil.which("java") is None and not os.environ.get("COPYCATCH_TEST_KAFKA"):
        part.skipped.append("no Java for a broker, and COPYCATCH_TEST_KAFKA names none")
        return part
    try:
        compile_ahead()
        with broker_servers() as servers:
            _measure(part, servers, scale)
    except (ServerMissing, MeasurementFailed) as error:
        part.skipped.append(str(error))
    return part


def _measure(part: Part, servers: str, scale: Scale) -> None:
    n = scale.kafka_records
    found: dict[str, list[dict[str, float]]] = {}
    topics = _measure_topic(part, found, servers, scale, Shape())
    _measure_topic(part, found, servers, scale, MIXED)
    _add_figures(part, found)
    try:
        quix = [quix_rates(servers, topics.records, max(100, round(n * QUIX_SHARE)))]
    except MeasurementFailed as error:
        part.skipped.append(str(error))
        return
    ours = found.get("copycatch, kafka-python", [])
    beside = [quix[0]["per_s"] / ours[0]["per_s"]] if ours else []
    part.figures.append(
        Figure(
            part.key,
            "Quix Streams, RocksDB state",
            "records/s",
            [quix[0]["per_s"]],
            "copycatch, kafka-python",
            beside,
            None,
            f"running sums of five families an account; {quix[0]['cpu_us']:.0f} us of CPU a record",
        )
    )


def _measure_topic(
    part: Part, found: dict[str, list[dict[str, float]]], servers: str, scale: Scale, shape: Shape
) -> Topics:
    """Rounds over a topic of records of this shape; gives the topics."""
    topics, n = Topics.make(servers, PARTITIONS), scale.kafka_records
    n_quiet = fill(servers, topics.records, n, shape)
    bare = {"kafka-python": "bare_kafka_python", "confluent": "bare_confluent"}
    for _ in range(scale.kafka_rounds):
        for client in clients():
            name = f"{client}, mixed models" if shape is MIXED else client
            arguments = {"servers": servers, "topic": topics.records, "start": n_quiet, "stop": n}
            try:
                loop = run_isolated(f"tests.benchmarks.kafka_loop:{bare[client]}", arguments)
                product = service_rates(servers, topics, client, n_quiet, n)
            except MeasurementFailed as error:
                part.skipped.append(f"{name}: {error}")
                continue
            found.setdefault(f"bare loop, {name}", []).append(loop)
            found.setdefault(f"copycatch, {name}", []).append(product)
    return topics


def _add_figures(part: Part, found: dict[str, list[dict[str, float]]]) -> None:
    for name, rounds in found.items():
        per_s = [each["per_s"] for each in rounds]
        cpu = sum(each["cpu_us"] for each in rounds) / len(rounds)
        note = f"{cpu:.1f} us of CPU a record, all threads"
        if name.startswith("bare"):
            part.figures.append(Figure(part.key, name, "records/s", per_s, note=note))
            continue
        loop = f"bare loop, {name.partition(', ')[2]}"
        relative = ratios(per_s, [each["per_s"] for each in found[loop]])
        bare_cpu = sum(each["cpu_us"] for each in found[loop]) / len(found[loop])
        note += f"; ratio by CPU {bare_cpu / cpu:.2f}x"
        target = Target("at least", 0.65, "ratio") if name == "copycatch, kafka-python" else None
        part.figures.append(Figure(part.key, name, "records/s", per_s, loop, relative, target, note))
