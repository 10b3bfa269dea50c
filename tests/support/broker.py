"""A real Apache Kafka for tests: one KRaft node on free loopback ports, its jars through Maven, cached.

`COPYCATCH_TEST_KAFKA=host:port` names a broker that runs already. `COPYCATCH_CACHE` moves the cache.
"""

import contextlib
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
from typing import Any

from tests.support.maven import JVM, ServerMissing, die_with_parent, free_port, jars, pom

KAFKA_VERSION = "4.1.0"
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
    advertised : mapping of str to int
        Ports that clients are sent to instead, by listener: those of a proxy.
    """

    def __init__(
        self,
        extra: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
        scram: Mapping[str, str] | None = None,
        advertised: Mapping[str, int] | None = None,
    ) -> None:
        self._libs = jars(
            f"kafka-{KAFKA_VERSION}",
            pom(f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"),
            instead="; or set COPYCATCH_TEST_KAFKA=host:port",
        )
        self._folder = Path(tempfile.mkdtemp(prefix="copycatch-kafka-"))
        self._scram = dict(scram or {})
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **(listeners or {})}
        self.port_by_listener = {name: free_port() for name in protocols}
        bound = {name: f"{name}://127.0.0.1:{port}" for name, port in self.port_by_listener.items()}
        told = {
            name: f"{name}://localhost:{(advertised or {}).get(name, port)}"
            for name, port in self.port_by_listener.items()
        }
        config = CONFIG | {
            "listeners": ",".join(bound.values()),
            "advertised.listeners": ",".join(text for name, text in told.items() if name != "CONTROLLER"),
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
            raise ServerMissing(msg)

    def start(self, timeout_s: float = 90.0) -> None:
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._config_file)),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self._folder,
                start_new_session=True, preexec_fn=die_with_parent,  # noqa: PLW1509 (no lock is taken there)
            )  # fmt: skip
        deadline = time.monotonic() + timeout_s
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = (self._folder / "log.txt").read_text(errors="replace")[-1500:]
                self.stop()
                msg = f"Kafka did not start within {timeout_s:.0f} s: {words}"
                raise ServerMissing(msg)
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
def running_broker(**options: Any) -> Iterator[Broker]:
    """A started broker; made again when another process was quicker to take a port."""
    for attempt in range(3):
        broker = Broker(**options)
        try:
            broker.start()
            break
        except ServerMissing:
            broker.remove()
            if attempt == 2:
                raise
    try:
        yield broker
    finally:
        broker.remove()
