"""What `pip install copycatch` brings: the wheel holds every data file that the package reads."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"


def test_the_wheel_holds_all_code_and_data(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    wanted = {
        path.relative_to(SOURCE).as_posix()
        for path in (SOURCE / "copycatch").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    mappings = {f"copycatch/mappings/{path.name}" for path in (ROOT / "deploy" / "mappings").glob("*.yaml")}
    assert len(mappings) >= 6
    assert mappings <= packed
    assert "copycatch/redteam/grammars/shop_intents.json" in wanted
    assert not wanted - packed, f"not in the wheel: {sorted(wanted - packed)}"


def test_the_source_archive_makes_the_same_wheel(tmp_path: Path) -> None:
    """Built from what the archive holds and nothing beside it."""
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run([*build, "-t", "sdist"], cwd=ROOT, check=True, capture_output=True, timeout=120)
    subprocess.run([*build, "-t", "wheel"], cwd=ROOT, check=True, capture_output=True, timeout=120)
    (archive,), (wheel,) = tmp_path.glob("*.tar.gz"), tmp_path.glob("*.whl")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "source", filter="data")
    (folder,) = (tmp_path / "source").iterdir()
    again = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again")]
    subprocess.run(again, cwd=folder, check=True, capture_output=True, timeout=120)
    (second,) = (tmp_path / "again").glob("*.whl")
    names = [sorted(zipfile.ZipFile(each).namelist()) for each in (wheel, second)]
    assert names[0] == names[1]


def test_every_extra_that_is_named_exists_and_the_services_own_are_installed_in_ci() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    texts = [ROOT / "README.md", *(ROOT / "deploy").rglob("*.md"), *SOURCE.rglob("*.py")]
    named = {
        extra
        for path in texts
        for found in re.findall(r"copycatch\[([a-z,]+)\]", path.read_text("utf-8"))
        for extra in found.split(",")
    }
    assert {"confluent", "otel", "remote"} <= named
    assert named <= extras.keys()
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    installed = "".join(ci["jobs"]["install"]["strategy"]["matrix"]["extra"])
    for extra in ("confluent", "remote", "report", "evidence", "otel"):
        assert extra in installed


def test_what_an_extra_brings_is_not_loaded_by_the_command_line() -> None:
    """A bare install has none of it, and every command has its options and help."""
    asked = requires("copycatch") or []
    names = {each: re.split(r"[^A-Za-z0-9._-]", each)[0].lower() for each in asked}
    bare = {name for each, name in names.items() if "extra ==" not in each}
    of_extras = {name for each, name in names.items() if "extra ==" in each} - bare
    code = "import sys; from copycatch.__main__ import make_parser; make_parser(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    modules = {name.partition(".")[0] for name in done.stdout.split()}
    packages = packages_distributions()
    loaded = {package.lower() for module in modules for package in packages.get(module, ())}
    assert of_extras
    assert not of_extras & loaded
