"""What the image installs is pinned with hashes, and says what pyproject.toml and the constraints say."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "deploy" / "requirements.lock.txt"


def locked() -> dict[str, tuple[Requirement, list[str]]]:
    """Requirement and hashes by name."""
    logical = LOCK.read_text().replace("\\\n", " ").splitlines()
    found: dict[str, tuple[Requirement, list[str]]] = {}
    for line in logical:
        if line and not line.startswith("#"):
            words, *hashes = re.split(r"\s+--hash=", line.strip())
            requirement = Requirement(words)
            found[str(canonicalize_name(requirement.name))] = (requirement, hashes)
    return found


def test_every_line_is_one_version_with_hashes() -> None:
    for name, (requirement, hashes) in locked().items():
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), name
        assert hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), name


def test_it_has_what_the_package_needs_in_a_version_that_it_takes() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pins = locked()
    for requirement in map(Requirement, asked):
        pinned, _ = pins[str(canonicalize_name(requirement.name))]
        assert requirement.specifier.contains(str(pinned.specifier).removeprefix("==")), str(requirement)


def test_it_agrees_with_the_versions_that_the_tests_ran_with() -> None:
    lines = (ROOT / "deploy" / "constraints.txt").read_text().splitlines()
    tested = {
        str(canonicalize_name(each.name)): str(each.specifier)
        for each in (Requirement(line) for line in lines if line and not line.startswith("#"))
    }
    for name, (requirement, _) in locked().items():
        if requirement.marker is None:  # those of other systems are not installed here
            assert str(requirement.specifier) == tested[name], name


def test_the_image_installs_nothing_that_is_not_in_it() -> None:
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    # The service's own; what the compose file plays traffic with has more.
    installs = [line for line in lines if "pip install" in line and "[redteam]" not in line]
    assert installs
    for line in installs:
        assert "--require-hashes -r deploy/requirements.lock.txt" in line or "--no-deps" in line, line


def test_it_names_no_registry() -> None:
    assert "://" not in LOCK.read_text()
