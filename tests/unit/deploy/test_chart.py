"""The Helm chart, rendered by Helm and checked against the schemas of Kubernetes and of the operators."""

import copy
import json
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from copycatch.features.catalog import NAMES
from copycatch.service.bootstrap import as_learner
from copycatch.settings.policy import load_policy
from copycatch.settings.service import load_service

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "copycatch"
NEEDED = ("helm_python", "kubernetes_validate", "cloudcoil")
MISSING = [name for name in NEEDED if find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"needs {', '.join(MISSING)}: pip install copycatch[deploy] (no wheel for some machines)",
)

IMAGE: dict[str, Any] = {"image": {"repository": "registry.example/copycatch"}}
EVERYTHING: dict[str, Any] = IMAGE | {
    "replicaCount": 2,
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboards": {"enabled": True},
    "keda": {"enabled": True, "authenticationRef": "kafka"},
    "snapshots": {"existingClaim": "copycatch-shared"},
    "secretName": "copycatch-kafka",
    "processor": {"name": "x86-64-v3", "features": ""},
    "podLabels": {"team": "soc"},
    "podAnnotations": {"example.com/a": "b"},
    "extraEnv": [{"name": "COPYCATCH_ACCOUNTS_MAX", "value": "50000"}],
    "networkPolicy": {
        "kafkaTo": [{"podSelector": {"matchLabels": {"app": "kafka"}}}],
        "extraEgress": [{"ports": [{"protocol": "TCP", "port": 443}]}],
    },
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}},
    "priorityClassName": "high",
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "copycatch"}},
        }
    ],
}
TOPICS = {"inputs": "copycatch.learning-inputs", "versions": "copycatch.versions"}
LEARNER: dict[str, Any] = EVERYTHING | {
    "keda": {"enabled": False},
    "learner": {"enabled": True, "resources": {"requests": {"memory": "3Gi"}}},
    "settings": {"version": 1, "learner": TOPICS},
}
REFUSED = {
    "no image": ({}, "image.repository"),
    "two workers apart": (IMAGE | {"replicaCount": 2}, "snapshots that all of them reach"),
    "keda with volumes apart": (IMAGE | {"keda": {"enabled": True}}, "snapshots that all of them reach"),
    "typing error": (IMAGE | {"replicas": 2}, "replicas"),
    "short drain": (IMAGE | {"drainSeconds": 5}, "drainSeconds"),
    "learner without topics": (LEARNER | {"settings": {"version": 1}}, "settings.learner.inputs"),
    "learner with volumes apart": (
        LEARNER | {"snapshots": {}, "replicaCount": 1},
        "workers and learner need",
    ),
    "topics without a learner": (LEARNER | {"learner": {"enabled": False}}, "nobody learns"),
    "port that the chart sets": (IMAGE | {"settings": {"version": 1, "http": {"port": 1}}}, "settings.http"),
}
CASES = [
    IMAGE,
    EVERYTHING,
    IMAGE | {"snapshots": {"url": "s3://b/c"}},
    LEARNER,
    *(values for values, _ in REFUSED.values()),
]


def _broken() -> list[dict[str, Any]]:
    """Documents with one mistake each, which the checks must see."""
    pod = {"containers": [{"name": "a", "image": "b", "securityContext": {"readOnlyRootFs": True}}]}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod},
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "ServiceMonitor",
            "metadata": {"name": "x"},
            "spec": {"selector": {}, "endpoints": [{"prot": "http"}]},
        },
    ]


@cache
def _answers() -> dict[str, Any]:
    """All renderings in one process: loading Helm and the schemas takes seconds."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.chart", str(CHART)],
        input=json.dumps({"cases": CASES, "documents": _broken()}),
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def _kinds(number: int) -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in _answers()["cases"][number]["documents"]}


def _named(number: int, kind: str, name: str) -> dict[str, Any]:
    documents = _answers()["cases"][number]["documents"]
    (found,) = [each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    assert isinstance(found, dict)
    return found


def _config(number: int, name: str) -> str:
    documents = _answers()["cases"][number]["documents"]
    (found,) = [each["data"] for each in documents if name in each.get("data", {})]
    return str(found[name])


def _worker(number: int) -> dict[str, Any]:
    pod = copy.deepcopy(_kinds(number)["StatefulSet"]["spec"]["template"]["spec"])
    assert isinstance(pod, dict)
    return pod


@pytest.mark.parametrize("number", [0, 1, 2, 3], ids=["least", "everything", "snapshots at a url", "learner"])
def test_what_helm_renders_is_what_kubernetes_takes(number: int) -> None:
    answer = _answers()["cases"][number]
    assert "error" not in answer, answer["error"]
    assert answer["lint"] == []
    assert answer["faults"] == []


def test_the_checks_see_a_mistake() -> None:
    core, operator = _answers()["documents"]
    assert any("readOnlyRootFs" in fault for fault in core)
    assert any("prot" in fault for fault in operator)


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=list(REFUSED))
def test_values_that_would_run_badly_are_refused_by_name(number: int) -> None:
    wanted = list(REFUSED.values())[number][1]
    assert wanted in _answers()["cases"][4 + number]["error"]


def test_the_worker_has_no_rights_that_it_does_not_need() -> None:
    pod = _worker(0)
    (container,) = pod["containers"]
    of_pod, own = pod["securityContext"], container["securityContext"]
    assert of_pod["runAsNonRoot"]
    assert of_pod["runAsUser"] == 10001 == of_pod["fsGroup"]
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert "USER 10001" in (DEPLOY / "Dockerfile").read_text()


def test_the_policy_is_mounted_as_a_folder_so_that_it_reloads() -> None:
    pod = _worker(0)
    mounts = {each["name"]: each for each in pod["containers"][0]["volumeMounts"]}
    assert not any("subPath" in each for each in mounts.values())
    environment = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert environment["COPYCATCH_POLICY"] == f"{mounts['policy']['mountPath']}/policy.yaml"
    # A new policy must not restart the worker: the checksum is of the settings alone.
    annotations = _kinds(0)["StatefulSet"]["spec"]["template"]["metadata"]["annotations"]
    assert list(annotations) == ["checksum/settings"]


def test_the_service_takes_what_the_chart_gives_it(tmp_path: Path) -> None:
    """As the pod has it; the variables of a Service named copycatch would be unknown settings."""
    for number, directory in ((0, "/var/lib/copycatch"), (1, "/var/lib/copycatch"), (2, "s3://b/c")):
        pod = _worker(number)
        environment = {
            each["name"]: each.get("value", "demo-copycatch-0") for each in pod["containers"][0]["env"]
        }
        settings_file, policy_file = tmp_path / "settings.yaml", tmp_path / "policy.yaml"
        settings_file.write_text(_config(number, "settings.yaml"))
        policy_file.write_text(_config(number, "policy.yaml"))
        settings = load_service(settings_file, environment)
        assert settings.kafka.instance_id == "demo-copycatch-0"
        assert settings.http.bind == "0.0.0.0"
        assert settings.snapshots.directory == directory
        assert load_policy(policy_file, NAMES).mode == "shadow"
        assert pod["enableServiceLinks"] is False
        assert pod["terminationGracePeriodSeconds"] > settings.drain_timeout + 5


def test_a_learner_runs_beside_the_workers_with_one_that_stands_by(tmp_path: Path) -> None:
    worker = _named(3, "StatefulSet", "demo-copycatch")["spec"]
    learner = _named(3, "StatefulSet", "demo-copycatch-learner")["spec"]
    assert learner["replicas"] == 2
    (own,), (theirs,) = (each["template"]["spec"]["containers"] for each in (learner, worker))
    assert (own["args"], theirs["args"]) == (["learn"], ["run"])
    # The same pod but for the command, its memory, and that a learner without a partition is ready.
    assert own["readinessProbe"]["httpGet"]["path"] == "/live"
    assert own["resources"]["requests"]["memory"] == "3Gi"
    for name in ("args", "readinessProbe", "resources"):
        del own[name], theirs[name]
    assert learner["template"]["spec"] == worker["template"]["spec"]
    # Nothing that selects workers finds it, and the other way round.
    selectors = [each["selector"]["matchLabels"] for each in (worker, learner)]
    labels = [each["template"]["metadata"]["labels"] for each in (worker, learner)]
    fits = [[selector.items() <= label.items() for label in labels] for selector in selectors]
    assert fits == [[True, False], [False, True]]
    budget = _named(3, "PodDisruptionBudget", "demo-copycatch-learner")["spec"]
    assert (budget["maxUnavailable"], budget["selector"]["matchLabels"]) == (1, selectors[1])
    for kind in ("Service", "ServiceMonitor", "NetworkPolicy"):
        _named(3, kind, "demo-copycatch-learner")
    rules = [
        _named(3, "NetworkPolicy", name)["spec"] for name in ("demo-copycatch", "demo-copycatch-learner")
    ]
    assert [rules[0][key] == rules[1][key] for key in ("ingress", "egress", "policyTypes")] == [True] * 3
    settings_file = tmp_path / "settings.yaml"
    settings_file.write_text(_config(3, "settings.yaml"))
    settings = as_learner(load_service(settings_file, {}))
    assert [each.topic for each in settings.inputs] == [TOPICS["inputs"]]
    assert "learn what is normal" not in _answers()["cases"][3]["notes"]
    assert not any("learner" in each["metadata"]["name"] for each in _answers()["cases"][1]["documents"])


def test_rules_and_dashboards_are_the_same_files() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "copycatch.rules.yaml").read_text())
    assert _kinds(1)["PrometheusRule"]["spec"] == rules
    for path in (DEPLOY / "grafana").glob("*.json"):
        assert json.loads(_config(1, path.name)) == json.loads(path.read_text())


def test_scaling_is_off_and_warns_where_it_is_on() -> None:
    assert "ScaledObject" not in _kinds(0)
    assert _kinds(0)["StatefulSet"]["spec"]["replicas"] == 1
    assert "replicas" not in _kinds(1)["StatefulSet"]["spec"], "Helm and KEDA would fight over it"
    assert "learn what is normal each from its own accounts only" in _answers()["cases"][1]["notes"]
    (trigger,) = _kinds(1)["ScaledObject"]["spec"]["triggers"]
    assert trigger["metadata"]["bootstrapServers"] == "kafka-bootstrap:9092"
    assert trigger["metadata"]["consumerGroup"] == "copycatch"


def test_every_worker_has_a_volume_of_its_own_or_all_share_one() -> None:
    assert "volumeClaimTemplates" in _kinds(0)["StatefulSet"]["spec"]
    assert "volumeClaimTemplates" not in _kinds(1)["StatefulSet"]["spec"]
    claims = [each for each in _worker(1)["volumes"] if "persistentVolumeClaim" in each]
    assert claims == [{"name": "state", "persistentVolumeClaim": {"claimName": "copycatch-shared"}}]
