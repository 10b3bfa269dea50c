"""The service as its own process, and what it wrote to Kafka."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import RetriableError

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

ROOT = Path(__file__).parents[2]
PYTHONPATH = f"{ROOT / 'src'}:{ROOT}"  # these sources, whatever is installed
# Waited for conditions only, so a passing test never takes it; a busy machine may be many times slower.
PATIENCE_S = 300.0


@dataclass
class Topics:
    """Topics of one test."""

    records: str
    alerts: str
    recommendations: str
    dead_letters: str

    @classmethod
    def make(cls, servers: str, partitions: int = 1) -> "Topics":
        tag = uuid.uuid4().hex[:8]
        topics = cls(*(f"{name}-{tag}" for name in ("records", "alerts", "recommendations", "dead-letters")))
        admin = KafkaAdminClient(bootstrap_servers=servers)
        admin.create_topics([NewTopic(topics.records, partitions, 1)])
        for name in (topics.alerts, topics.recommendations, topics.dead_letters):
            admin.create_topics([NewTopic(name, 1, 1)])
        admin.close()
        return topics


@dataclass
class ServiceProcess:
    """`copycatch run` with settings of its own; several may share a group."""

    servers: str
    topics: Topics
    folder: Path
    group: str = field(default_factory=lambda: f"group-{uuid.uuid4().hex[:8]}")
    instance: str | None = None
    policy: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    module: str = "copycatch"
    command: str = "run"
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def settings(self) -> dict[str, Any]:
        kafka: dict[str, Any] = {
            "bootstrap_servers": [self.servers],
            "group_id": self.group,
            "session_timeout": "6s",
            "request_timeout": "10s",
            "transaction_timeout": "10s",
        }
        if self.instance:
            kafka["instance_id"] = self.instance
        tree: dict[str, Any] = {
            "version": 1,
            "kafka": kafka,
            "inputs": [{"topic": self.topics.records}],
            "outputs": {
                "alerts": self.topics.alerts,
                "recommendations": self.topics.recommendations,
                "dead_letters": self.topics.dead_letters,
            },
            "snapshots": {"directory": str(self.folder / "state"), "interval": "1s"},
            "http": {"port": 0},
            "poll_timeout": "100ms",
        }
        for key, value in self.more.items():
            if isinstance(value, dict):
                tree.setdefault(key, {}).update(value)
            else:
                tree[key] = value
        return tree

    def start(
        self, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
    ) -> "ServiceProcess":
        self.folder.mkdir(parents=True, exist_ok=True)
        name = self.instance or "worker"
        settings = self.folder / f"{name}.yaml"
        settings.write_text(yaml.safe_dump(self.settings()))
        command = [sys.executable, "-m", self.module, self.command, "--settings", str(settings), *arguments]
        if self.policy is not None:
            policy = self.folder / "policy.yaml"
            if not policy.exists():
                policy.write_text(self.policy)
            command += ["--policy", str(policy)]
        plain = {key: value for key, value in os.environ.items() if not key.startswith("COPYCATCH_")}
        self.starts = len(self.events("starting")) if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT,
                env=plain | {"PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1"} | dict(environment or {}),
            )  # fmt: skip
        return self

    @property
    def log_file(self) -> Path:
        return self.folder / f"{self.instance or 'worker'}.log"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def events(self, words: str) -> list[dict[str, Any]]:
        """Log lines whose event contains `words`."""
        whole = self.log.rpartition("\n")[0]  # the last line may be half written
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if words in line.get("event", "")]

    def wait_for(self, words: str, timeout_s: float = PATIENCE_S, times: int = 1) -> None:
        wait_until(
            lambda: len(self.events(words)) >= times, timeout_s, lambda: f"no {words!r} in:\n{self.log}", self
        )

    def stop(self) -> int:
        """SIGTERM as soon as it would drain, and the exit code."""
        assert self.process is not None
        process = self.process
        wait_until(
            lambda: process.poll() is not None or len(self.events("starting")) > self.starts,
            PATIENCE_S, lambda: f"never started:\n{self.log[-3000:]}",
        )  # fmt: skip
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def wait_end(self) -> int:
        """The exit code, when it ends by itself."""
        assert self.process is not None
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_S)

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


@contextlib.contextmanager
def ended(*services: ServiceProcess) -> Iterator[None]:
    """No process outlives the test."""
    try:
        yield
    finally:
        for service in services:
            if service.is_alive:
                service.kill()


def wait_until(
    condition: Any,
    timeout_s: float,
    words: Any = lambda: "it did not happen",
    service: ServiceProcess | None = None,
) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if service is not None and not service.is_alive and not condition():
            message = f"the service has ended: {words()}"
            raise AssertionError(message)
        if time.monotonic() > deadline:
            message = f"after {timeout_s} s: {words()}"
            raise AssertionError(message)
        time.sleep(0.1)


def produce(servers: str, topic: str, records: Iterable[tuple[str, bytes]], **options: Any) -> None:
    """As a gateway does it: keyed by account."""
    producer = KafkaProducer(bootstrap_servers=servers, compression_type="lz4", linger_ms=20, **options)
    for account, value in records:
        producer.send(topic, key=account.encode(), value=value)
    producer.flush(timeout=PATIENCE_S)
    producer.close()


def read_all(servers: str, topic: str, **options: Any) -> list[Any]:
    """Every committed record of a topic.

    Up to the very end: to a reader of committed records the broker names the place where a transaction begins
    that a killed worker left open, and what others have committed since is hidden until it has timed out.
    """
    consumer = KafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_committed", auto_offset_reset="earliest",
        enable_auto_commit=False, **options,
    )  # fmt: skip
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(partitions)
    with contextlib.closing(KafkaConsumer(bootstrap_servers=servers)) as of_all:
        ends = of_all.end_offsets(partitions)
    records = []
    give_up_s = time.monotonic() + PATIENCE_S
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        assert time.monotonic() < give_up_s, f"{topic}: a transaction stays open"
        for batch in consumer.poll(timeout_ms=500).values():
            records += batch
    consumer.close()
    return records


def wait_drained(service: ServiceProcess, n_records: int, timeout_s: float = PATIENCE_S) -> None:
    """Until the group has committed `n_records` of the input topic."""
    admin = KafkaAdminClient(bootstrap_servers=service.servers)

    def is_drained() -> bool:
        try:
            offsets = admin.list_group_offsets(service.group)[service.group]
        except RetriableError:
            return False  # the first group of a new broker: its offsets topic is being made
        done = [
            each.offset for partition, each in offsets.items() if partition.topic == service.topics.records
        ]
        return bool(sum(offset for offset in done if offset > 0) >= n_records)

    try:
        wait_until(is_drained, timeout_s, lambda: f"not drained:\n{service.log[-3000:]}", service)
    finally:
        admin.close()
