"""Traces end to end: a gateway's header in, an alert with its context out, spans at a collector."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka import KafkaProducer
from tests.kafka.test_quarantine import metrics_of
from tests.support.collector import running_collector
from tests.support.records import traffic
from tests.support.service import (
    PATIENCE_S,
    ServiceProcess,
    Topics,
    ended,
    read_all,
    wait_drained,
    wait_until,
)

pytestmark = pytest.mark.kafka
N = 2_000
POLICY = """\
version: 1
rules:
  - {name: hard_limits, when: {feature: queries_per_s, above: 1.0, for: 1m}, action: throttle}
"""


def send(servers: str, topic: str) -> Iterator[str]:
    """Records as an instrumented gateway writes them; gives the trace of each, in order."""
    producer = KafkaProducer(bootstrap_servers=servers, linger_ms=20)
    for n, (account, value) in enumerate(traffic(N)):
        context = f"00-{n + 1:032x}-{n + 1:016x}-01"
        headers = [("traceparent", context.encode())]
        producer.send(topic, key=account.encode(), value=value, headers=headers)
        yield context
    producer.flush(timeout=PATIENCE_S)
    producer.close()


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_the_trace_of_a_query_is_on_its_alert(kafka_servers: str, tmp_path: Path, client: str) -> None:
    topics = Topics.make(kafka_servers)
    contexts = list(send(kafka_servers, topics.records))
    with running_collector() as collector:
        more = {"otel": {"endpoint": collector.endpoint}, "kafka": {"client": client}, "log_level": "debug"}
        service = ServiceProcess(kafka_servers, topics, tmp_path, policy=POLICY, more=more)
        with ended(service):
            service.start()
            wait_drained(service, N)
            wait_until(lambda: bool(collector.named("commit")), PATIENCE_S)
            assert metrics_of(service)['copycatch_spans_total{outcome="sent"}'] > 0
            assert service.stop() == 0
    alerts = read_all(kafka_servers, topics.alerts)
    assert alerts
    for each in alerts:
        value = json.loads(each.value)
        assert value["traceparent"] in contexts
        assert dict(each.headers)["traceparent"].decode() == value["traceparent"]
    # From the alert to the batch that judged it, and on to what the log says of that batch.
    batches = collector.named("batch")
    linked = {link.trace_id.hex(): batch.trace_id.hex() for batch in batches for link in batch.links}
    batch_trace = linked[json.loads(alerts[0].value)["traceparent"].split("-")[1]]
    assert batch_trace in {line.get("trace_id") for line in service.events("delivered")}
    names = {span.name for span in collector.spans if span.trace_id.hex() == batch_trace}
    assert names == {"batch", "poll", "decode", "judge", "commit"}
