"""Event-to-alert latency under load, through real Kafka: from the record that decides to the alert in hand.

The service is warmed with some days of records, then a producer in a process of its own sends a steady
stream and, every tenth of a second, a burst from a fresh account that a limit rule names at its first look.
The alert says when its last record was written; whoever reads the alerts topic looks at the same clock.
"""

import json
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kafka import KafkaConsumer, KafkaProducer
from tests.benchmarks.files import ACCOUNTS, WARM_DAYS
from tests.benchmarks.isolated import MeasurementFailed, compile_ahead, run_isolated
from tests.benchmarks.kafka_loop import Client, account_of, broker_servers, clients
from tests.benchmarks.measure import Figure, Part, Target
from tests.benchmarks.scale import Scale
from tests.benchmarks.traffic import Draw, Pool, Shape
from tests.support.maven import ServerMissing
from tests.support.service import ServiceProcess, Topics, ended, produce, wait_drained

LOADS = (0.25, 0.50, 0.80)
CANARY_QUERIES = 15  # the first look
CANARY_EVERY_S = 0.1
SLICE_S = 0.02
SETTLE_S = 3.0
DEADLINE_S = 240.0
POLICY = """\
version: 1
budget: {alerts_per_1000_accounts_per_day: 1.0, recommendations_per_1000_accounts_per_day: 0.2,
  alerts_per_minute_max: 100000}
rules:
  - name: canary
    when: {feature: one_token_share, above: 0.9, for: 0s}
    severity: high
"""


def send_steadily(servers: str, topic: str, per_s: float, seconds: float, tag: str) -> dict[str, float]:
    """The load; runs in a child. Gives the rate that it really came to."""
    pool = Pool(Shape(), 5_000, seed=11)
    send, flush = _sender(servers, topic)
    draw = Draw(ACCOUNTS, "zipf", 11)
    canary_of = json.loads(next(pool.lines(1, draw, 0, 1.0)))
    canary_of["params"] = {"max_tokens": 1}
    began_s = time.time()
    sent, canaries = 0, 0
    while (now_s := time.time()) < began_s + seconds:
        due = int((now_s - began_s) * per_s) - sent
        if due > 0:
            for line in pool.lines(due, draw, int(now_s * 1000), 1e9):
                send(account_of(line).encode(), line)
            sent += due
        if now_s - began_s > canaries * CANARY_EVERY_S:
            canaries += 1
            account = f"canary-{tag}-{canaries}"
            for n in range(CANARY_QUERIES):
                record = canary_of | {
                    "event_id": f"{account}-{n}",
                    "event_time": int(time.time() * 1000),
                    "account_id": account,
                }
                send(account.encode(), json.dumps(record).encode())
        time.sleep(SLICE_S)
    flush()
    return {"per_s": sent / (time.time() - began_s), "canaries": canaries}


def _sender(servers: str, topic: str) -> tuple[Callable[[bytes, bytes], Any], Callable[[], Any]]:
    """The lightest producer that there is: the load must not need the service's core."""
    try:
        from confluent_kafka import Producer
    except ImportError:
        producer = KafkaProducer(bootstrap_servers=servers, compression_type="lz4", linger_ms=5)
        return (lambda key, value: producer.send(topic, key=key, value=value)), producer.flush
    light = Producer(
        {
            "bootstrap.servers": servers,
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
        }
    )

    def send(key: bytes, value: bytes) -> None:
        light.produce(topic, key=key, value=value)

    return send, light.flush


class Alerts(threading.Thread):
    """Reads the alerts topic and notes how old each canary's alert is."""

    def __init__(self, servers: str, topic: str) -> None:
        super().__init__(daemon=True)
        self._consumer = KafkaConsumer(
            topic,
            bootstrap_servers=servers,
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=10,
        )
        self._is_over = threading.Event()
        self.latencies_ms: dict[str, float] = {}

    def run(self) -> None:
        while not self._is_over.is_set():
            for records in self._consumer.poll(timeout_ms=50).values():
                now_ms = time.time() * 1000
                for record in records:
                    alert = json.loads(record.value)
                    account = alert["entity"]["id"]
                    if account.startswith("canary") and account not in self.latencies_ms:
                        self.latencies_ms[account] = now_ms - _ms(alert["last_seen"])
        self._consumer.close()

    def end(self) -> None:
        self._is_over.set()
        self.join(10)


def _ms(text: str) -> float:
    from copycatch.units import parse_rfc3339

    return float(parse_rfc3339(text))


def measure(client: Client, servers: str, scale: Scale, part: Part) -> None:
    topics = Topics.make(servers, 1)
    with tempfile.TemporaryDirectory(prefix="copycatch-bench-") as folder:
        service = ServiceProcess(
            servers,
            topics,
            Path(folder),
            policy=POLICY,
            more={
                "kafka": {"client": client, "session_timeout": "30s"},
                "snapshots": {"directory": str(Path(folder) / "state"), "interval": "60s"},
                "poll_records_max": 5000,
            },
        )
        warm = scale.warm_records
        start_ms = int((time.time() - WARM_DAYS * 86_400 - 3600) * 1000)
        pool = Pool(Shape(), 5_000, seed=12)
        lines = pool.lines(warm, Draw(400, "uniform", 12), start_ms, warm / (WARM_DAYS * 86_400))
        produce(servers, topics.records, ((account_of(line), line) for line in lines))
        alerts = Alerts(servers, topics.alerts)
        alerts.start()
        with ended(service):
            service.start()
            wait_drained(service, warm, DEADLINE_S)
            most = _most(service, warm, scale)
            for load in LOADS:
                _at_load(part, client, servers, service, alerts, load, most, scale)
            service.stop()
        alerts.end()


def _most(service: ServiceProcess, done: int, scale: Scale) -> float:
    """Records a second when there is always more: what the loads are shares of."""
    n = max(2_000, scale.kafka_records // 4)
    pool = Pool(Shape(), 5_000, seed=13)
    now_ms = int(time.time() * 1000)
    lines = [(account_of(line), line) for line in pool.lines(n, Draw(ACCOUNTS, "zipf", 13), now_ms, 1e9)]
    assert service.process is not None
    service.process.send_signal(signal.SIGSTOP)  # the backlog is complete first
    produce(service.servers, service.topics.records, lines)
    service.process.send_signal(signal.SIGCONT)
    began_s = time.perf_counter()
    wait_drained(service, done + n, DEADLINE_S)
    return n / (time.perf_counter() - began_s)


def _at_load(
    part: Part,
    client: Client,
    servers: str,
    service: ServiceProcess,
    alerts: Alerts,
    load: float,
    most: float,
    scale: Scale,
) -> None:
    tag = f"{load:g}".replace(".", "")
    sent = run_isolated(
        "tests.benchmarks.latency:send_steadily",
        {
            "servers": servers,
            "topic": service.topics.records,
            "per_s": most * load,
            "seconds": scale.latency_s,
            "tag": tag,
        },
    )
    time.sleep(SETTLE_S)
    own = [value for name, value in alerts.latencies_ms.items() if name.startswith(f"canary-{tag}-")]
    name = f"p99 at {load:.0%} of the maximum rate, {client}"
    if len(own) < sent["canaries"] / 2:
        part.skipped.append(
            f"{name}: {len(own)} of {sent['canaries']:.0f} alerts came within {SETTLE_S:g} s of the end"
        )
        return
    note = (
        f"median {np.median(own):.0f} ms; {len(own)} of {sent['canaries']:.0f} alerts; "
        f"{sent['per_s']:,.0f} of at most {most:,.0f} records/s"
    )
    target = Target("at most", 1000) if load == LOADS[-1] else None
    p99 = float(np.quantile(own, 0.99))
    part.figures.append(Figure(part.key, name, "ms", [p99], target=target, note=note, at=load, line=client))


def run(scale: Scale) -> Part:
    """Part (d)."""
    part = Part("latency", "Event to alert", axis="share of the maximum rate", is_log=False)
    try:
        compile_ahead()
        with broker_servers() as servers:
            for client in clients():
                try:
                    measure(client, servers, scale, part)
                except (MeasurementFailed, AssertionError) as error:
                    part.skipped.append(f"{client}: {error}")
    except (ServerMissing, MeasurementFailed) as error:
        part.skipped.append(str(error))
    return part
