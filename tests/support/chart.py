"""Renders and checks the Helm chart: `python -m tests.support.chart CHART`, JSON in and out.

A process of its own, since Helm is a Go library that must not be in a process that forks.
"""

import json
import sys
from importlib import import_module
from typing import Any

import yaml

MODELS = {
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
    "keda.sh/v1alpha1": "cloudcoil.models.keda.v1alpha1",
}
KUBERNETES = "1.31"


def render(chart: str, values: dict[str, Any]) -> dict[str, Any]:
    """`documents`, or the `error` that Helm gave."""
    helm: Any = import_module("helm_python")
    try:
        with helm.Chart.load(chart) as loaded:
            loaded.validate_schema(values)
            files = loaded.render(values, name="demo", namespace="watch")
    except helm.HelmError as error:
        return {"error": str(error)}
    documents = [
        document
        for name, text in sorted(files.items())
        if name.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]
    notes = [text for name, text in files.items() if name.endswith("NOTES.txt")]
    return {"documents": documents, "notes": "".join(notes), "lint": lint(helm, chart, values)}


def lint(helm: Any, chart: str, values: dict[str, Any]) -> list[str]:
    """Warnings and errors of `helm lint`."""
    return [each["error"] for each in helm.lint(chart, values)["messages"] if each["severity"] >= 2]


def lost(given: Any, kept: Any, at: str = "") -> list[str]:
    """Where a typed reading has dropped something that was given: keys that the type does not have."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [
            place
            for key, each in given.items()
            for place in ([f"{at}.{key}"] if key not in kept else lost(each, kept[key], f"{at}.{key}"))
        ]
    if isinstance(given, list) and isinstance(kept, list):
        return [
            place
            for n, (one, other) in enumerate(zip(given, kept, strict=True))
            for place in lost(one, other, f"{at}[{n}]")
        ]
    return []


def faults(document: dict[str, Any]) -> list[str]:
    """What Kubernetes, or the operator whose kind it is, would refuse or ignore."""
    module = MODELS.get(document["apiVersion"])
    if module is not None:
        model: Any = getattr(import_module(module), document["kind"])
        try:
            read = model.model_validate(document)
        except ValueError as error:
            return [str(error)]
        return lost(document, read.model_dump(mode="json", by_alias=True, exclude_unset=True))
    validate: Any = import_module("kubernetes_validate")
    try:
        validate.validate(document, KUBERNETES, strict=True)
    except validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    return []


def main() -> None:
    """In: `cases`, each the values of one rendering, and `documents` to check. Out: the same, answered."""
    asked = json.load(sys.stdin)
    cases = [render(sys.argv[1], values) for values in asked["cases"]]
    for case in cases:
        case["faults"] = [
            f"{each['kind']}: {fault}" for each in case.get("documents", []) for fault in faults(each)
        ]
    json.dump({"cases": cases, "documents": [faults(each) for each in asked["documents"]]}, sys.stdout)


if __name__ == "__main__":
    main()
