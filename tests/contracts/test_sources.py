"""What the runner relies on in every source."""

import threading
import time
from typing import Any

import pytest

from copycatch.ports import Shard
from copycatch.records.columns import RawBatch
from tests.contracts.conftest import VALUES, SourceCase, kafka_settings
from tests.contracts.listening import DEADLINE_S, Recorder, poll_all, poll_until_assigned
from tests.support.service import Topics, produce


def by_shard(batches: list[RawBatch]) -> dict[Shard, list[bytes]]:
    found: dict[Shard, list[bytes]] = {}
    for batch in batches:
        found.setdefault(Shard(batch.topic, batch.partition), []).extend(batch.values)
    return found


def test_gives_every_record_once_and_in_order(source_case: SourceCase) -> None:
    source = source_case.source
    source.start(Recorder(source))
    batches = poll_all(source, len(VALUES))
    assert by_shard(batches) == source_case.values_by_shard
    for batch in batches:
        assert len(batch.positions) == len(batch.values)
        assert batch.positions == sorted(set(batch.positions))
    assert source.poll(10, 0.05) == []


def test_never_gives_more_than_asked(source_case: SourceCase) -> None:
    source = source_case.source
    source.start(Recorder(source))
    for _ in range(30):
        assert sum(len(batch.values) for batch in source.poll(7, 0.1)) <= 7


def test_begins_where_the_listener_says(source_case: SourceCase) -> None:
    source = source_case.source
    starts = {shard: min(3, len(values)) for shard, values in source_case.values_by_shard.items()}
    recorder = Recorder(source, starts)
    source.start(recorder)
    n = sum(len(values) - starts[shard] for shard, values in source_case.values_by_shard.items())
    batches = poll_all(source, n)
    assert sorted(recorder.assigned) == sorted(source_case.values_by_shard)
    expected = {shard: values[starts[shard] :] for shard, values in source_case.values_by_shard.items()}
    assert by_shard(batches) == {shard: values for shard, values in expected.items() if values}
    firsts = {Shard(batch.topic, batch.partition): batch.positions[0] for batch in reversed(batches)}
    assert firsts == {shard: starts[shard] for shard in firsts}


def test_rejoining_begins_anew(source_case: SourceCase) -> None:
    source = source_case.source
    recorder = Recorder(source)
    source.start(recorder)
    poll_all(source, len(VALUES) // 2)
    source.rejoin()
    assert sorted(recorder.lost) == sorted(source_case.values_by_shard)
    assert by_shard(poll_all(source, len(VALUES))) == source_case.values_by_shard


def test_bounds_hold_all_records(source_case: SourceCase) -> None:
    source = source_case.source
    source.start(Recorder(source))
    poll_all(source, 1)
    for shard, values in source_case.values_by_shard.items():
        first, end = source.bounds(shard)
        assert first == 0
        assert end >= len(values)
        assert source.start_position(shard) == 0


@pytest.mark.kafka
def test_rejoining_amid_a_metadata_request_knows_its_topics(
    kafka_servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that was asked for before the topics were named must not count as theirs."""
    from copycatch.adapters.kafka.source import KafkaSource

    topics = Topics.make(kafka_servers)
    produce(kafka_servers, topics.records, (("key", value) for value in VALUES))
    source = KafkaSource(kafka_settings(kafka_servers, topics))
    connect = source._connect

    def connect_amid_a_request() -> Any:
        consumer = connect()
        cluster = consumer._cluster
        ask, is_asked = cluster.metadata_request, threading.Event()

        def ask_slowly() -> Any:
            cluster.metadata_request = ask
            request = ask()
            is_asked.set()
            time.sleep(0.5)  # on the library's thread: this one goes on to subscribe
            return request

        cluster.metadata_request = ask_slowly
        cluster.request_update()
        assert is_asked.wait(DEADLINE_S)
        return consumer

    monkeypatch.setattr(source, "_connect", connect_amid_a_request)
    try:
        source.start(Recorder(source))
        poll_all(source, len(VALUES))
        source.rejoin()
        batches = poll_all(source, len(VALUES), timeout_s=0.001)
        assert sum(len(batch.values) for batch in batches) == len(VALUES)
    finally:
        source.close()


@pytest.mark.kafka
def test_new_partitions_are_taken_up_however_short_the_polls(kafka_servers: str) -> None:
    """A poll may end while the group is joined again; the next ones have to see it through, or join anew."""
    from kafka.admin import KafkaAdminClient

    from copycatch.adapters.kafka.source import KafkaSource

    topics = Topics.make(kafka_servers)
    source = KafkaSource(kafka_settings(kafka_servers, topics))
    recorder = Recorder(source)
    try:
        source.start(recorder)
        poll_until_assigned(source, Shard(topics.records, 0))
        admin = KafkaAdminClient(bootstrap_servers=kafka_servers)
        admin.create_partitions({topics.records: 2})
        admin.close()
        deadline_s = time.monotonic() + DEADLINE_S
        while len(recorder.assigned) < 2:
            assert time.monotonic() < deadline_s, "the new partition was not taken up"
            source._consumer._cluster.request_update()  # not to wait for the minute to pass
            source.poll(10, 0.001)
        produce(kafka_servers, topics.records, ((f"key-{n}", value) for n, value in enumerate(VALUES)))
        assert {batch.partition for batch in poll_all(source, len(VALUES))} == {0, 1}
    finally:
        source.close()


@pytest.mark.kafka
def test_a_join_left_half_done_is_begun_anew(kafka_servers: str) -> None:
    """Should a poll give up amid a join all the same, the member is not deaf for ever."""
    from kafka.admin import KafkaAdminClient

    from copycatch.adapters.kafka.source import KafkaSource

    topics = Topics.make(kafka_servers)
    source = KafkaSource(kafka_settings(kafka_servers, topics))
    recorder = Recorder(source)
    first = Shard(topics.records, 0)
    try:
        source.start(recorder)
        poll_until_assigned(source, first)
        admin = KafkaAdminClient(bootstrap_servers=kafka_servers)
        admin.create_partitions({topics.records: 2})
        admin.close()
        consumer, coordinator = source._consumer, source._consumer._coordinator
        deadline_s = time.monotonic() + DEADLINE_S
        while not coordinator.rejoining or coordinator.need_rejoin():
            assert time.monotonic() < deadline_s, "no join was left half done"
            consumer._cluster.request_update()
            source._gate.open()
            consumer.poll(timeout_ms=1)
            source._gate.shut()
        produce(kafka_servers, topics.records, ((f"key-{n}", value) for n, value in enumerate(VALUES)))
        assert {batch.partition for batch in poll_all(source, len(VALUES))} == {0, 1}
        assert recorder.lost == [first]
    finally:
        source.close()
