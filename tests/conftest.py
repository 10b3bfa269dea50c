"""Fixtures for all tests: a real Kafka, topics of a test's own, a real S3 API."""

import os
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
import structlog
from hypothesis import settings
from kafka.admin import KafkaAdminClient, NewTopic

from tests.support.broker import Broker, running_broker
from tests.support.bucket import S3Server, running_s3
from tests.support.maven import ServerMissing

# With CI set hypothesis draws the same examples each time; `make nightly` wants new ones everywhere.
settings.register_profile("nightly", derandomize=False, deadline=None, print_blob=True)


def no_server(name: str, reason: object) -> NoReturn:
    required = f"COPYCATCH_REQUIRE_{name.upper()}"
    if os.environ.get(required):
        pytest.fail(f"{required} is set, and there is no {name}: {reason}")
    pytest.skip(f"no {name}: {reason}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # One broker for all of them: with several test workers they go to the same one.
    for item in items:
        if config.pluginmanager.hasplugin("xdist") and item.get_closest_marker("kafka"):
            item.add_marker(pytest.mark.xdist_group("kafka"))


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """A command that was run in this process has set logging to a stream that ends with its test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def kafka_servers() -> Iterator[str]:
    """Bootstrap servers of a real Kafka: the one that COPYCATCH_TEST_KAFKA names, or one of our own."""
    named = os.environ.get("COPYCATCH_TEST_KAFKA")
    if named:
        yield named
        return
    try:
        with running_broker() as broker:
            yield broker.servers
    except ServerMissing as reason:
        no_server("Kafka", reason)


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """A broker that the test may stop, freeze and break."""
    try:
        with running_broker() as broker:
            yield broker
    except ServerMissing as reason:
        no_server("Kafka", reason)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A store of objects behind the S3 API."""
    try:
        with running_s3() as server:
            yield server
    except ServerMissing as reason:
        no_server("S3", reason)


TopicMaker = Callable[[str, int], str]


@pytest.fixture
def make_topic(kafka_servers: str, request: pytest.FixtureRequest) -> Iterator[TopicMaker]:
    """Creates topics whose names no other test has, and removes them after it."""
    import uuid

    made: list[str] = []
    admin = KafkaAdminClient(bootstrap_servers=kafka_servers)

    def make(name: str, partitions: int) -> str:
        topic = f"{name}.{uuid.uuid4().hex[:8]}"
        admin.create_topics([NewTopic(topic, partitions, 1)])
        made.append(topic)
        return topic

    yield make
    if made:
        admin.delete_topics(made)
    admin.close()
