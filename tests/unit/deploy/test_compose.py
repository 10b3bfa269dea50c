"""The parts of deploy/compose.yaml fit together: files, ports, names, and what may be written to."""

import subprocess
from pathlib import Path
from shutil import which

import pytest
import yaml

from copycatch.__main__ import make_parser

DEPLOY = Path(__file__).parents[3] / "deploy"
SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def test_one_command_starts_all_that_a_first_look_needs() -> None:
    assert set(SERVICES) == {"kafka", "topics", "copycatch", "simulator", "prometheus", "grafana"}
    for name in ("copycatch", "simulator"):
        assert SERVICES[name]["read_only"]
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}
    published = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published), "nothing asks who comes"


def test_the_simulator_is_told_what_it_understands() -> None:
    args = make_parser().parse_args(SERVICES["simulator"]["command"])
    assert str(args.out).endswith("kafka:19092/inference-logs")
    assert f"AS {SERVICES['simulator']['build']['target']}\n" in (DEPLOY / "Dockerfile").read_text()


def test_every_mounted_file_is_there() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).is_dir(), f"{name}: {volume}"


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"], "the dashboards' variable takes the default source"
    (provider,) = yaml.safe_load((provisioning / "dashboards/copycatch.yaml").read_text())["providers"]
    mounted = {volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]}
    assert mounted == {"/etc/grafana/provisioning", provider["options"]["path"]}


def test_prometheus_takes_its_configuration() -> None:
    config = DEPLOY / "prometheus" / "prometheus.yaml"
    (job,) = yaml.safe_load(config.read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["copycatch:9464"]}]
    promtool = which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian: prometheus)")
    done = subprocess.run(
        [promtool, "check", "config", str(config)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
