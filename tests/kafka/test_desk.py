"""The analyst's commands on real topics: decisions made by hand reach the enforcement point."""

from collections.abc import Callable

import pytest

from copycatch.__main__ import main
from copycatch.adapters.clock import SystemClock
from copycatch.enforcement.feed import Feed
from copycatch.enforcement.table import DecisionTable, Subject
from copycatch.settings.service import Kafka
from tests.kafka.test_enforcement import wait_for

pytestmark = pytest.mark.kafka
CLOCK = SystemClock()


def test_what_a_person_decides_is_in_force_until_taken_back(
    kafka_servers: str, make_topic: Callable[[str, int], str], capsys: pytest.CaptureFixture[str]
) -> None:
    topic = make_topic("recommendations", 2)
    there = [topic, "--kafka", kafka_servers]
    why = ["--reason", "a leaked key", "--by", "kim"]
    table = DecisionTable()
    feed = Feed(Kafka(bootstrap_servers=[kafka_servers]), table, CLOCK.now_ms, topic, "")

    def is_refused() -> bool:
        return table.verdict(Subject(account_id="bad"), CLOCK.now_ms()).is_refused

    feed.start()
    try:
        assert (
            main(
                ["decisions", "add", "bad", *there, "--model", "m", "--action", "block", "--for", "1h", *why]
            )
            == 0
        )
        wait_for(is_refused, 60.0)
        capsys.readouterr()
        assert main(["decisions", "list", *there]) == 0
        assert "block         bad on m until" in capsys.readouterr().out
        assert main(["decisions", "revoke", "bad", *there, *why]) == 0
        wait_for(lambda: not is_refused(), 60.0)
        assert main(["decisions", "list", *there]) == 0
        assert "0 decisions" in capsys.readouterr().err
    finally:
        feed.stop()
