"""`copycatch drill` on a real Kafka: through the service, a syslog sink and `copycatch enforce`, and back."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from copycatch.__main__ import main
from tests.support.maven import free_port
from tests.support.service import ServiceProcess, Topics, ended, produce, read_all, wait_drained
from tests.support.traffic import record
from tests.unit.sinks.test_sinks import SyslogServer

pytestmark = pytest.mark.kafka
POLICY = "version: 1\nmode: enforce\n"


@contextmanager
def enforcing(servers: str, topics: Topics, acks: str) -> Iterator[str]:
    """`copycatch enforce` as a process; gives its address."""
    command = [
        sys.executable,
        "-m",
        "copycatch",
        "enforce",
        "--kafka",
        servers,
        "--port",
        "0",
        "--acks-topic",
        acks,
    ]
    environment = {**os.environ, "COPYCATCH_OUTPUTS__RECOMMENDATIONS": topics.recommendations}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        while (found := re.search(r"answering on (\S+)", process.stderr.readline())) is None:
            assert process.poll() is None
        reader = threading.Thread(target=process.stderr.read)
        reader.start()
        yield f"http://{found[1]}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    reader.join()
    process.stderr.close()


def drill(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["drill", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_it_comes_through_and_says_where_it_does_not(
    kafka_servers: str,
    make_topic: Callable[[str, int], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topics, acks, port = Topics.make(kafka_servers, 2), make_topic("acks", 1), free_port()
    with SyslogServer() as siem:
        threading.Thread(target=siem.serve_forever, daemon=True).start()
        sink = {"name": "siem", "type": "syslog", "host": "127.0.0.1", "port": siem.port, "format": "cef"}
        service = ServiceProcess(
            kafka_servers,
            topics,
            tmp_path / "s",
            policy=POLICY,
            more={"sinks": [sink], "http": {"port": port}},
        )
        with ended(service.start()):
            settings = service.folder / "worker.yaml"
            service.wait_for("shard begins", times=2)
            usual = ["--settings", str(settings), "--acks-topic", acks, "--model", "m1", "--wait", "60s"]
            produce(
                kafka_servers, topics.records, [("a1", json.dumps(record(n)).encode()) for n in range(30)]
            )
            with enforcing(kafka_servers, topics, acks) as address:
                code, whole = drill(capsys, *usual, "--enforce", address)
            assert [(each["name"], each["result"]) for each in whole["stages"]] == [
                ("sent", "ok"), ("alert", "ok"), ("recommendation", "ok"), ("sinks", "ok"),
                ("acknowledgement", "ok"), ("enforcement", "ok"), ("taken back", "ok"),
                ("acknowledgement of that", "ok"), ("released", "ok"),
            ], whole  # fmt: skip
            assert code == 0
            assert whole["lost_at"] is None
            assert any(whole["uid"].encode() in line and b"DRILL" in line for line in siem.lines)
            for stage in ("no enforcement point", "another key"):
                if stage == "another key":
                    other = yaml.safe_load(settings.read_text())
                    (tmp_path / "key").write_bytes(b"another key of the operator")
                    settings = tmp_path / "other.yaml"
                    settings.write_text(yaml.safe_dump(other | {"hmac_key_file": str(tmp_path / "key")}))
                usual[1], usual[-1] = str(settings), "5s"
                code, whole = drill(capsys, *usual)
                assert code == 1
                lost = whole["stages"][-1]
                assert whole["lost_at"] == lost["name"]
                if stage == "another key":
                    assert (lost["name"], "another hmac_key" in lost["what"]) == ("alert", True), whole
                else:
                    assert (lost["name"], "enforcement point" in lost["what"]) == ("acknowledgement", True), (
                        whole
                    )
            wait_drained(service, 30 + 13 + 13 + 13)
            assert service.stop() == 0
        # Two drills came and were taken back; the one under another key was judged as any other records.
        done = service.events("done")[-1]
        assert (done["accepted"], done["alerts"], done["recommendations"]) == (30 + 13, 0, 0)
        alerts = [json.loads(each.value) for each in read_all(kafka_servers, topics.alerts)]
        assert [(each["op"], each["drill"]) for each in alerts] == [("open", True), ("close", True)] * 2
        last = {each.key: each.value for each in read_all(kafka_servers, topics.recommendations)}
        assert set(last.values()) == {None}, "every recommendation of a drill is taken back"
        code, whole = drill(
            capsys, "--settings", str(service.folder / "worker.yaml"), "--acks-topic", "", "--wait", "2s"
        )
        assert code == 1
        assert "does the service run?" in whole["stages"][-1]["what"]
