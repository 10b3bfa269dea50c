"""Acknowledgements while no broker takes them: nothing waits for them, and losses are said."""

from itertools import count

import pytest
from structlog.testing import capture_logs

from copycatch.enforcement import acks as acks_module
from copycatch.enforcement.acks import AckSender
from copycatch.records.wire import Ack
from copycatch.settings.service import Kafka

NOBODY = Kafka(bootstrap_servers=["127.0.0.1:9"])
ACK = Ack(decision_key="k", revision=1, result="applied", time=0)


def test_acks_that_cannot_be_sent_hold_nothing_up_and_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acks_module, "WAITING_MAX", 5)
    seconds = count(0, 40)
    sender = AckSender(NOBODY, "acks", lambda: float(next(seconds)))
    with capture_logs() as logs:
        for _ in range(9):
            sender.send(b"k", ACK)
    assert sender.lost == 4
    assert 1 <= len(logs) <= 3
    assert (logs[0]["topic"], logs[0]["log_level"]) == ("acks", "warning")
    assert "--acks-topic" in logs[0]["event"]
