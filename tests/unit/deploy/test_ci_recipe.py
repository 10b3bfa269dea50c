"""The CI recipe for policies: its own steps, run in a repository with a good change and with a bad one."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "deploy" / "recipes" / "ci" / "policy.yml"
LIMIT = (
    "rules: [{{name: fast, when: {{feature: queries_per_s, above: {above}}}, severity: high, action: block}}]"
)
START_MS = 1_772_359_200_000


def steps() -> list[dict[str, object]]:
    """Those that run commands of ours; the others are GitHub's."""
    found = yaml.safe_load(RECIPE.read_text())["jobs"]["policy"]["steps"]
    return [step for step in found if "run" in step and "pip install" not in step["run"]]


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=ci", "-c", "user.email=ci@localhost", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A policy with one case: the account that asks once a second must be found, the other left alone."""
    lines: list[dict[str, Any]] = [
        {
            "event_id": f"{account}{n}", "event_time": START_MS + n * gap_ms, "account_id": account,
            "model_id": "m", "input": f"question {n}",
        }
        for account, gap_ms in (("fast", 1000), ("slow", 60_000))
        for n in range(40)
    ]  # fmt: skip
    lines.sort(key=lambda line: line["event_time"])
    (tmp_path / "cases").mkdir()
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "policy.yaml").write_text(f"version: 1\n{LIMIT.format(above=0.05)}\n")
    (tmp_path / "cases" / "week.yaml").write_text(
        "log: ../log.jsonl\nalerted: [fast]\nrestricted: [fast]\nquiet: []\nothers: any\n"
    )
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "begin")
    return tmp_path


def outcome(folder: Path) -> list[tuple[str, int]]:
    """Run every step as the runner does, up to the first that fails."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    command = bin_folder / "copycatch"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m copycatch "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{bin_folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src"),
        "BASE": git(folder, "rev-parse", "HEAD"),
    }  # fmt: skip
    codes = []
    for step in steps():
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", str(step["run"])],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        codes.append((str(step["name"]), done.returncode))
        if done.returncode:
            break
    return codes


def test_a_good_change_passes_and_says_what_changes(repository: Path) -> None:
    (repository / "policy.yaml").write_text(f"version: 1\n{LIMIT.format(above=0.1)}\n")
    assert [code for _, code in outcome(repository)] == [0, 0, 0]
    assert "+ Limit fast: queries_per_s above 0.1" in (repository / "changes.txt").read_text()
    suite = ET.parse(repository / "results.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")


def test_a_policy_that_no_longer_finds_the_thief_fails(repository: Path) -> None:
    (repository / "policy.yaml").write_text(f"version: 1\n{LIMIT.format(above=9)}\n")
    assert outcome(repository)[-1] == ("who must be found, and who left alone", 1)
    assert "fast was not alerted on" in (repository / "results.xml").read_text()


def test_a_placeholder_fails(repository: Path) -> None:
    entry = "allow: [{match: {account_id: slow}, reason: ..., owner: qa, expires: 2099-01-01T00:00:00Z}]"
    (repository / "policy.yaml").write_text(f"version: 1\n{LIMIT.format(above=0.05)}\n{entry}\n")
    assert outcome(repository) == [("every fault, and every note", 1)]
