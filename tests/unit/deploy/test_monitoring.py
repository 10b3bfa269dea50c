"""What deploy/ offers for watching the service fits the metrics that the service has."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

from copycatch.metric_names import METRICS

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES, DASHBOARDS = DEPLOY / "prometheus", sorted((DEPLOY / "grafana").glob("*.json"))
METRIC = re.compile(r"\bcopycatch_[a-z_]+")
LABELS = re.compile(r"(copycatch_[a-z_]+)\{([^}]*)\}")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
NAMES = {spec.name + suffix: spec for spec in METRICS for suffix in SUFFIXES[spec.kind]}
GIVEN_BY_PROMETHEUS = {"job", "instance", "le"}


def _rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((RULES / "copycatch.rules.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def _queries(path: Path) -> Iterator[str]:
    for panel in json.loads(path.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]


EXPRESSIONS = [(rule["alert"], rule["expr"]) for rule in _rules()]
EXPRESSIONS += [(path.stem, query) for path in DASHBOARDS for query in _queries(path)]


@pytest.mark.parametrize(
    ("where", "query"), EXPRESSIONS, ids=[f"{name}-{n}" for n, (name, _) in enumerate(EXPRESSIONS)]
)
def test_every_metric_and_label_is_one_of_the_service(where: str, query: str) -> None:
    used = METRIC.findall(query)
    assert used, where
    for name in used:
        assert name in NAMES, f"{where}: {name}"
    for name, matchers in LABELS.findall(query):
        labels = {matcher.partition("=")[0].rstrip("!~") for matcher in matchers.split(",")}
        assert labels <= {*NAMES[name].labels, *GIVEN_BY_PROMETHEUS}, f"{where}: {name}"


def test_each_rule_says_what_it_costs_and_where_to_look() -> None:
    for rule in _rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert len(rule["annotations"]["description"].split()) >= 8, rule["alert"]


def test_the_rules_hold_under_promtool() -> None:
    promtool = which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian: prometheus)")
    for command in (["check", "rules", "copycatch.rules.yaml"], ["test", "rules", "copycatch.tests.yaml"]):
        done = subprocess.run([promtool, *command], cwd=RULES, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_tested() -> None:
    text = (RULES / "copycatch.tests.yaml").read_text()
    series = set(METRIC.findall(text))
    for rule in _rules():
        assert set(METRIC.findall(rule["expr"])) <= series, rule["alert"]


def test_dashboards_are_two_with_panels_that_say_what_they_show() -> None:
    assert {path.stem for path in DASHBOARDS} == {"copycatch-operators", "copycatch-detection"}
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        assert dashboard["uid"] == path.stem
        places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
        assert len(places) == len(set(places)), "two panels at one place"
        for panel in dashboard["panels"]:
            assert panel["title"]
            assert panel["description"], panel["title"]
            assert panel["datasource"]["uid"] == "${source}"
