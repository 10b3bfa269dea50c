"""A real Apache Kafka for tests: one KRaft node on free loopback ports, its jars through Maven, cached.

`COPYCATCH_TEST_KAFKA=host:port` names a broker that runs already. `COPYCATCH_CACHE` moves the cache.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
KAFKA_VERSION = "4.1.0"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>copycatch.tests</groupId><artifactId>broker</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
  </dependency></dependencies>
</project>
"""
PR_SET_PDEATHSIG = 1
# Small and quick to start rather than fast: two cores are shared with what is tested.
JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
CONFIG = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "3",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "auto.create.topics.enable": "false",
    "message.max.bytes": str(8 << 20),
    "num.io.threads": "2",
    "num.network.threads": "2",
    "log.cleaner.enable": "false",
    "log.retention.ms": "-1",  # findings bear event time, and the records of tests are of another year
}


class KafkaMissing(Exception):  # noqa: N818 (says what is missing; not an error of the code)
    """Why there is no Kafka to test with."""


def _die_with_parent() -> None:
    """The kernel kills the broker when the test process dies, however it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def jars() -> Path:
    """The folder with Kafka's jars; fetched once, also when several test runs start at a time."""
    cache = Path(os.environ.get("COPYCATCH_CACHE") or ROOT / ".cache") / f"kafka-{KAFKA_VERSION}"
    if (cache / "complete").exists():
        return cache / "libs"
    for tool, package in (("java", "a Java runtime, 17 or newer"), ("mvn", "Maven")):
        if shutil.which(tool) is None:
            msg = f"{tool} is not installed ({package}); or set COPYCATCH_TEST_KAFKA=host:port"
            raise KafkaMissing(msg)
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (cache / "complete").exists():
            return cache / "libs"
        (cache / "pom.xml").write_text(POM)
        shutil.rmtree(cache / "libs", ignore_errors=True)
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
        try:
            done = subprocess.run(
                [*command, f"-DoutputDirectory={cache / 'libs'}"],
                cwd=cache, capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            msg = "Maven did not fetch Kafka's jars within 10 minutes"
            raise KafkaMissing(msg) from error
        if done.returncode != 0:
            words = [line for line in done.stdout.splitlines() if "ERROR" in line]
            raise KafkaMissing(
                "Maven cannot fetch Kafka's jars: " + (words[0] if words else done.stderr[-500:])
            )
        (cache / "complete").touch()
    return cache / "libs"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """A node of its own, in a folder of its own; it can be stopped, started, frozen and thawed.

    Parameters
    ----------
    extra : mapping
        More lines for server.properties; `{port}` of further listeners is for the caller to choose.
    listeners : mapping of str to str
        Further listeners, name to protocol; their ports are in `port_by_listener`.
    scram : mapping of str to str
        Users and passwords for SCRAM-SHA-512.
    """

    def __init__(
        self,
        extra: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
        scram: Mapping[str, str] | None = None,
    ) -> None:
        self._libs = jars()
        self._folder = Path(tempfile.mkdtemp(prefix="copycatch-kafka-"))
        self._scram = dict(scram or {})
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **(listeners or {})}
        self.port_by_listener = {name: free_port() for name in protocols}
        bound = {name: f"{name}://127.0.0.1:{port}" for name, port in self.port_by_listener.items()}
        advertised = {name: text.replace("127.0.0.1", "localhost") for name, text in bound.items()}
        config = CONFIG | {
            "listeners": ",".join(bound.values()),
            "advertised.listeners": ",".join(
                text for name, text in advertised.items() if name != "CONTROLLER"
            ),
            "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, kind in protocols.items()),
            "controller.quorum.voters": f"1@127.0.0.1:{self.port_by_listener['CONTROLLER']}",
            "log.dirs": str(self._folder / "data"),
        }
        config |= dict(extra or {})
        self._config_file = self._folder / "server.properties"
        self._config_file.write_text("".join(f"{key}={value}\n" for key, value in config.items()))
        self._process: subprocess.Popen[bytes] | None = None
        self._format()

    @property
    def servers(self) -> str:
        return f"localhost:{self.port_by_listener['PLAINTEXT']}"

    def _java(self, *arguments: str) -> list[str]:
        return ["java", *JVM, "-cp", f"{self._libs}/*", *arguments]

    def _format(self) -> None:
        users = [f"SCRAM-SHA-512=[name={name},password={word}]" for name, word in self._scram.items()]
        options = [part for user in users for part in ("--add-scram", user)]
        cluster_id = uuid.uuid4().hex[:22]
        command = self._java(
            "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._config_file)
        )
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            msg = f"Kafka's storage cannot be formatted: {done.stderr[-800:] or done.stdout[-800:]}"
            raise KafkaMissing(msg)

    def start(self, timeout_s: float = 90.0) -> None:
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._config_file)),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self._folder,
                start_new_session=True, preexec_fn=_die_with_parent,  # noqa: PLW1509 (no lock is taken there)
            )  # fmt: skip
        deadline = time.monotonic() + timeout_s
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = (self._folder / "log.txt").read_text(errors="replace")[-1500:]
                self.stop()
                msg = f"Kafka did not start within {timeout_s:.0f} s: {words}"
                raise KafkaMissing(msg)
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        """Whether it answers an ApiVersions request; a client that is refused would leave sockets behind."""
        request = struct.pack(">hhih", 18, 0, 1, -1)  # api key, version, correlation, no client id
        with contextlib.suppress(OSError):
            address = ("127.0.0.1", self.port_by_listener["PLAINTEXT"])
            with socket.create_connection(address, timeout=2) as connection:
                connection.sendall(struct.pack(">i", len(request)) + request)
                return len(connection.recv(10)) == 10
        return False

    def stop(self, *, is_hard: bool = False) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL if is_hard else signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(20)
            self._process = None

    def freeze(self) -> None:
        """As a broker that hangs: connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        self.stop(is_hard=True)
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def running_broker(**options: Mapping[str, str]) -> Iterator[Broker]:
    """A started broker; tried again when another process was quicker to take a port."""
    for attempt in range(3):
        broker = Broker(**options)
        try:
            broker.start()
            break
        except KafkaMissing:
            broker.remove()
            if attempt == 2:
                raise
    try:
        yield broker
    finally:
        broker.remove()
