"""Workers and learners as processes with the same settings, fed burst by burst.

Bursts lie two hours apart in event time, each within one tick: after each one every worker has kept up,
which is where they promise the alerts of one worker.
"""

import json
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.service import (
    PATIENCE_S,
    ServiceProcess,
    Topics,
    produce,
    read_all,
    wait_drained,
    wait_until,
)
from tests.support.telling import HOUR_MS

PARTITIONS = 3
BURST_MS, WITHIN_MS = 2 * HOUR_MS, 240_000
Record = tuple[str, dict[str, Any]]


def in_bursts(records: Iterable[Record], start_ms: int) -> list[Record]:
    """The same, with event times drawn together; `start_ms` is that of the first burst."""
    found = []
    for account, each in records:
        burst, rest_ms = divmod(each["event_time"] - start_ms, BURST_MS)
        time_ms = start_ms + burst * BURST_MS + rest_ms * WITHIN_MS // BURST_MS
        found.append((account, each | {"event_time": time_ms}))
    return found


class Fleet:
    """The processes' topics and group, and the records that they are given.

    Parameters
    ----------
    records : list of (account, record)
        As `in_bursts` gives them, from `start_ms` on.
    hold, session : str
        So long a tick waits for its version; so long the group waits for a killed member.
    """

    def __init__(
        self,
        servers: str,
        folder: Path,
        records: list[Record],
        start_ms: int,
        hold: str = "8s",
        session: str = "6s",
        policy: str = "version: 1\n",
    ) -> None:
        self.servers, self.folder, self.records = servers, folder, records
        self._start_ms, self._hold, self._policy = start_ms, hold, folder / "policy.yaml"
        self._policy.write_text(policy)
        self._session = session
        self.topics = Topics.make(servers, PARTITIONS)
        tag = self.topics.records.rpartition("-")[2]
        self.inputs, self.versions, self.group = f"inputs-{tag}", f"versions-{tag}", f"group-{tag}"
        self.sent = 0

    def burst_of(self, record: dict[str, Any]) -> int:
        return int((record["event_time"] - self._start_ms) // BURST_MS)

    @property
    def n_bursts(self) -> int:
        return self.burst_of(self.records[-1][1]) + 1

    def process(self, name: str, command: str = "run") -> ServiceProcess:
        more = {
            "policy": str(self._policy),
            "kafka": {"session_timeout": self._session},
            "learner": {"inputs": self.inputs, "versions": self.versions, "hold": self._hold},
            "outputs": {"create_missing": True},
        }
        return ServiceProcess(
            self.servers, self.topics, self.folder, self.group, name, more=more, command=command
        )

    def send(self, until: int) -> None:
        """The records before burst `until` that are not sent yet."""
        lines = [
            (name, json.dumps(each).encode())
            for name, each in self.records[self.sent :]
            if self.burst_of(each) < until
        ]
        produce(self.servers, self.topics.records, lines)
        self.sent += len(lines)

    def feed(self, until: int, service: ServiceProcess) -> None:
        for burst in range(self.burst_of(self.records[self.sent][1]), until):
            self.send(burst + 1)
            wait_drained(service, self.sent)

    def alerts(self) -> list[bytes]:
        return [record.value for record in read_all(self.servers, self.topics.alerts)]


def metric(service: ServiceProcess, name: str) -> float:
    service.wait_for("http is up")
    port = service.events("http is up")[-1]["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    whole = f"{name} ", f"{name}{{"  # not those whose names go on
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(whole))


def wait_for_all_shards(*services: ServiceProcess) -> None:
    wait_until(
        lambda: (
            sum(metric(each, "copycatch_shards") for each in services) == PARTITIONS
            and all(metric(each, "copycatch_shards") > 0 for each in services)
        ),
        PATIENCE_S,
        lambda: "\n".join(each.log[-2_000:] for each in services),
    )
