"""The Dockerfile and the CI workflows, by the linters of their own trades."""

import subprocess
import sys
import tomllib
from pathlib import Path
from shutil import which

import pytest

ROOT = Path(__file__).parents[3]
BIN = str(Path(sys.executable).parent)


def _tool(name: str) -> str:
    found = which(name, path=BIN) or which(name)
    if found is None:
        pytest.skip(f"needs {name}: pip install copycatch[deploy]")
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    _run(_tool("hadolint"), "--failure-threshold", "info", "deploy/Dockerfile")


def test_compose_and_workflows_fit_their_schemas() -> None:
    tool = _tool("check-jsonschema")
    _run(tool, "--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml")
    workflows = [str(path) for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    assert len(workflows) >= 2
    _run(tool, "--builtin-schema", "vendor.github-workflows", *workflows)


def test_the_build_has_every_file_that_the_wheel_is_made_of() -> None:
    """Else the image cannot be built at all."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    for name in needed | {*wheel["packages"], *wheel["force-include"]}:
        assert any(name == each or name.startswith(f"{each}/") for each in copied), f"COPY {name}"
