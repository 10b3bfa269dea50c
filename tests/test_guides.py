"""Every command of the guides, run as it stands there; what it prints is what stands under it.

A block that begins with ```console holds commands after `$ `; lines below one are its output, where `...`
stands for anything, as in a doctest. The commands of a page run in one folder, in their order; the red team's
page comes first, and the others read its log.
"""

import doctest
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / "deploy" / "guides"
PAGES = [ROOT / "README.md", *sorted(GUIDES.glob("*.md"))]
PATIENCE_S = 600.0
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

pytestmark = pytest.mark.xdist_group("guides")


def steps_of(page: Path) -> list[tuple[str, str]]:
    """Commands and what they print."""
    steps: list[tuple[str, str]] = []
    is_inside = False
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("```"):
            is_inside = line == "```console"
        elif is_inside and line.startswith("$ "):
            steps.append((line.removeprefix("$ "), ""))
        elif is_inside:
            command, printed = steps[-1]
            steps[-1] = command, f"{printed}{line}\n"
    return steps


def play(page: Path, folder: Path) -> None:
    programs = folder / ".programs"
    programs.mkdir(exist_ok=True)
    program = programs / "copycatch"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m copycatch "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "COLUMNS": "100",
        "TERM": "dumb",
        "NO_COLOR": "1",
    }
    for command, printed in steps_of(page):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=environment, timeout=PATIENCE_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{page.name}: {command}\n{done.stdout}"
        is_same = doctest.OutputChecker().check_output(printed, done.stdout, FLAGS)
        assert is_same, f"{page.name}: {command}\nprinted:\n{done.stdout}\nthe page says:\n{printed}"


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the red team's page."""
    folder = tmp_path_factory.mktemp("red-team")
    play(GUIDES / "red-team.md", folder)
    return folder


def test_the_red_teams_page(trial: Path) -> None:
    assert (trial / "trial" / "fidelity.png").is_file()


@pytest.mark.parametrize("name", ["analyst", "platform"])
def test_a_page_on_the_log_of_the_trial(name: str, trial: Path, tmp_path: Path) -> None:
    shutil.copy(trial / "trial" / "log.jsonl.gz", tmp_path / "gateway.jsonl.gz")
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    play(GUIDES / f"{name}.md", tmp_path)


def test_every_command_stands_in_a_page_that_is_played() -> None:
    played = {"red-team.md", "analyst.md", "platform.md"}
    assert {page.name for page in PAGES if steps_of(page)} == played


def test_links_lead_somewhere() -> None:
    for page in (*PAGES, ROOT / ".github/benchmark/README.md", ROOT / "deploy/RUNBOOK.md"):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
