"""An end of a transaction that arrives late, after the client has sent it again (KAFKA-17754).

Brokers take it for the end of the transaction that is open by then, unless the producer has got another
epoch in between. Both client libraries send again by themselves, and neither asks for the newer protocol of
transactions that tells them apart. So the sink begins the next unit with a new epoch where that may be.
"""

from collections.abc import Callable, Iterator

import pytest

from copycatch.adapters.kafka.sink import KafkaSink
from copycatch.adapters.kafka.source import KafkaSource
from copycatch.alert_formats.catalog import ALERT_FORMATS
from copycatch.ports import Delivery, OutcomeSink, RecordSource
from copycatch.records.columns import Outcomes
from copycatch.settings.service import Service
from copycatch.units import UnixMs
from kafka import KafkaConsumer, TopicPartition
from tests.conftest import no_server
from tests.contracts.conftest import kafka_settings
from tests.support.broker import Broker, running_broker
from tests.support.counting import alert
from tests.support.holding_proxy import END_TXN, HoldingProxy
from tests.support.maven import ServerMissing
from tests.support.service import Topics
from tests.support.traffic import NOW_MS

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def proxied() -> Iterator[tuple[Broker, HoldingProxy]]:
    proxy, listeners = HoldingProxy(), {"PROXIED": "PLAINTEXT"}
    try:
        with running_broker(listeners=listeners, advertised={"PROXIED": proxy.port}) as broker:
            proxy.connect_to = broker.port_by_listener["PROXIED"]
            yield broker, proxy
    except ServerMissing as reason:
        no_server("Kafka", reason)
    finally:
        proxy.close()


class Late:
    """Before the commit that it is armed for, the held end arrives; then it looks at what readers see."""

    def __init__(self, broker: Broker, proxy: HoldingProxy, topics: Topics) -> None:
        self._broker, self._proxy, self._topics = broker, proxy, topics
        self.is_armed = False
        self.send_all: Callable[[], object] = lambda: None
        self.seen: list[str] = []

    def __call__(self) -> None:
        if self.is_armed:
            self.send_all()
            assert self._proxy.release()
            self.seen = self.visible()

    def visible(self) -> list[str]:
        """Uids of the alerts that a reader of committed ones gets."""
        consumer = KafkaConsumer(
            bootstrap_servers=self._broker.servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        consumer.assign([TopicPartition(self._topics.alerts, 0)])
        found = []
        for _ in range(4):
            for records in consumer.poll(timeout_ms=500).values():
                found += [record.key.decode() for record in records]
        consumer.close()
        return found


def ends_of(client: str, settings: Service, late: Late) -> tuple[RecordSource, OutcomeSink]:
    formatted = ALERT_FORMATS["native"]
    if client == "kafka-python":
        source = KafkaSource(settings)
        return source, KafkaSink(settings, source, formatted, lambda: UnixMs(NOW_MS), None, late)
    pytest.importorskip("confluent_kafka")
    from copycatch.adapters.confluent.sink import ConfluentSink
    from copycatch.adapters.confluent.source import ConfluentSource

    other = ConfluentSource(settings)
    sink = ConfluentSink(settings, other, formatted, lambda: UnixMs(NOW_MS), late)
    late.send_all = lambda: sink._producer.flush(5.0)  # else it sends only when it commits
    return other, sink


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_late_end_does_not_end_the_next_unit(proxied: tuple[Broker, HoldingProxy], client: str) -> None:
    broker, proxy = proxied
    topics = Topics.make(broker.servers)
    late = Late(broker, proxy, topics)
    source, sink = ends_of(client, kafka_settings(f"localhost:{proxy.port}", topics), late)
    proxy.is_held.clear()
    proxy.hold_next(END_TXN)
    sink.deliver(Delivery(Outcomes(alerts=[alert("a", 1)]), {}, 1, "run"))
    assert proxy.is_held.is_set(), "the library has sent it again"
    late.is_armed = True
    sink.deliver(Delivery(Outcomes(alerts=[alert("a", 2)]), {}, 2, "run"))
    assert late.seen == ["a-1"], "the second was not ended by the late end of the first"
    assert late.visible() == ["a-1", "a-2"]
    sink.close()
    source.close()
