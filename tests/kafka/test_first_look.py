"""The compose file's story, each part a process: traffic with a theft in it, the service, Prometheus."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

from copycatch.__main__ import main
from tests.support.maven import free_port
from tests.support.service import ServiceProcess, Topics, ended, wait_until

ROOT = Path(__file__).parents[2]
FIVE_MINUTES_S = 300.0
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


@contextmanager
def _prometheus(folder: Path, service_port: int) -> Iterator[Callable[[str], float]]:
    """Real Prometheus with the deployed rules; gives what a query comes to, 0 for nothing."""
    binary = which("prometheus")
    assert binary is not None
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{service_port}"]}]
    config["rule_files"] = [str(ROOT / "deploy/prometheus/copycatch.rules.yaml")]
    path, port = folder / "prometheus.yaml", free_port()
    path.write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [binary, f"--config.file={path}", f"--storage.tsdb.path={folder / 'tsdb'}",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def value(query: str) -> float:
        try:
            text = urllib.parse.urlencode({"query": query})
            found = _get(f"http://127.0.0.1:{port}/api/v1/query?{text}")["data"]["result"]
        except OSError:
            return 0.0  # it starts
        return float(found[0]["value"][1]) if found else 0.0

    try:
        yield value
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.kafka
def test_a_theft_is_on_the_dashboard_within_five_minutes(kafka_servers: str, tmp_path: Path) -> None:
    if which("prometheus") is None:
        pytest.skip("needs prometheus (Debian: prometheus)")
    assert "--topic inference-logs --partitions 6\n" in COMPOSE["topics"]["command"][-1], "as here"
    topics, port = Topics.make(kafka_servers, 6), free_port()
    service = ServiceProcess(
        kafka_servers, topics, tmp_path, instance="first-look", more={"http": {"port": port}}
    )
    words = [word for word in COMPOSE["simulator"]["command"] if not word.startswith("--out=")]
    panels = json.loads((ROOT / "deploy/grafana/copycatch-detection.json").read_text())["panels"]
    (alerts_opened,) = [each["targets"][0]["expr"] for each in panels if each["title"] == "Alerts opened"]
    with ended(service.start()), _prometheus(tmp_path, port) as value:
        assert main([*words, f"--out=kafka://{kafka_servers}/{topics.records}"]) == 0
        total = 'sum(copycatch_alerts_total{op="open"})'
        wait_until(lambda: value(total) > 0, FIVE_MINUTES_S, lambda: service.log[-3000:], service)
        assert re.search(r'copycatch_alerts_total\{op="open"\}', alerts_opened), "the panel shows this metric"
        status = _get(f"http://127.0.0.1:{port}/status")
        assert status["is_ready"]
        assert status["assigned"] == status["restored"] == 6
        assert status["totals"]["alerts"] >= 1
        assert value("sum(copycatch_shards)") == 6
        assert service.stop() == 0
