"""The other client library keeps the same promises: each outcome once, whatever happens, on real Kafka."""

from pathlib import Path

import pytest

from tests.support.delivery import check_at_least_once, check_kill_at_step, check_workers_come_and_go

pytest.importorskip("confluent_kafka")
pytestmark = pytest.mark.kafka
CLIENT = {"client": "confluent"}


@pytest.mark.parametrize("step", ["before deliver:3", "after deliver:3", "after snapshot:2"])
def test_kill_at_every_step_changes_no_outcome(kafka_servers: str, tmp_path: Path, step: str) -> None:
    check_kill_at_step(kafka_servers, tmp_path, step, CLIENT)


def test_at_least_once_repeats_the_same_uids_only(kafka_servers: str, tmp_path: Path) -> None:
    check_at_least_once(kafka_servers, tmp_path, CLIENT)


def test_workers_come_and_go_under_load(kafka_servers: str, tmp_path: Path) -> None:
    check_workers_come_and_go(kafka_servers, tmp_path, "moving-rd", CLIENT)
