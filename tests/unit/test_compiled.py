"""The cache of compiled code is of one version of the sources, this machine's, and nobody else's."""

import fcntl
import os
import pwd
import re
import shutil
import site
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from copycatch import compiled

ROOT = Path(__file__).parents[2]

CALLER = """
from copycatch.compiled import njit
from copycatch.units_of_a_test import FACTOR, scaled

@njit(cache=True)
def total(n):
    found = 0.0
    for i in range(n):
        found += scaled(i) + FACTOR
    return found
"""
CALLEE = """
from copycatch.compiled import njit

FACTOR = {factor}

@njit(cache=True)
def scaled(x):
    return x * {scale}
"""


def sum_of(folder: Path, *, environment: dict[str, str]) -> tuple[float, int]:
    """What the copied tree computes, and how many kernels it had to compile."""
    script = (
        "from copycatch.caller_of_a_test import total; "
        "print(total(4), sum(total.stats.cache_misses.values()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(folder)} | environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    value, misses = done.stdout.split()
    return float(value), int(misses)


def rewrite(path: Path, text: str) -> None:
    """As an upgrade from a reproducible image does: other content, the same time."""
    times_ns = path.stat() if path.exists() else None
    path.write_text(text)
    if times_ns is not None:
        os.utime(path, ns=(times_ns.st_atime_ns, times_ns.st_mtime_ns))


def test_an_edited_callee_or_constant_is_seen_by_its_callers(tmp_path: Path) -> None:
    """Numba alone looks at the caller's file only, and would run the old callee from its cache."""
    package = tmp_path / "tree" / "copycatch"
    package.mkdir(parents=True)
    for name in ("__init__.py", "compiled.py"):
        shutil.copy(compiled.PACKAGE / name, package / name)
    rewrite(package / "caller_of_a_test.py", CALLER)
    callee = package / "units_of_a_test.py"
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    rewrite(callee, CALLEE.format(factor=1, scale=2))
    assert sum_of(package.parent, environment=environment) == (12 + 4, 1)
    assert sum_of(package.parent, environment=environment) == (12 + 4, 0)  # from the cache
    rewrite(callee, CALLEE.format(factor=1, scale=3))
    assert sum_of(package.parent, environment=environment) == (18 + 4, 1)
    rewrite(callee, CALLEE.format(factor=5, scale=3))
    assert sum_of(package.parent, environment=environment) == (18 + 20, 1)
    assert len(list((tmp_path / "cache").glob(f"{compiled.PREFIX}*"))) == 3


def test_all_kernels_come_through_the_one_door() -> None:
    for path in compiled.PACKAGE.rglob("*.py"):
        if path != compiled.PACKAGE / "compiled.py":
            text = path.read_text()
            found = re.search(r"^\s*(from|import) (numba|llvmlite)\b", text, re.MULTILINE)
            assert found is None, f"{path}: kernels are made by copycatch.compiled.njit"
            assert "fastmath=" not in text, f"{path}: sums would depend on the processor's vectors"


def test_the_stamp_is_of_the_kernels_sources_numba_and_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "copycatch"
    shutil.copytree(compiled.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    first = compiled.stamp(package)
    for name in ("windows/fold.py", "layout/row.py", "compiled.py"):
        text = (package / name).read_text()
        (package / name).write_text(text + "\n# edited\n")
        assert compiled.stamp(package) != first, name
        (package / name).write_text(text)
    (package / "cli" / "run.py").write_text("# no kernel sees it\n")
    assert compiled.stamp(package) == first
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    of_generic = compiled.stamp(package)
    assert of_generic != first
    monkeypatch.setattr(compiled, "version", lambda _: "0.0")
    assert compiled.stamp(package) not in {first, of_generic}


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty place for caches, of which this process has taken none."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(compiled, "stamp", lambda: "0" * 16)
    monkeypatch.setattr(compiled, "SHIPPED", tmp_path / "shipped")
    compiled.cache_folder.cache_clear()
    yield tmp_path / "cache"
    compiled.cache_folder.cache_clear()


def test_what_was_shipped_is_copied_if_it_fits(base: Path, tmp_path: Path) -> None:
    for name, text in (("0" * 16, "ours"), ("1" * 16, "of another version")):
        shipped = tmp_path / "shipped" / f"copycatch-{name}"
        shipped.mkdir(parents=True)
        (shipped / "kernel.nbc").write_text(text)
    folder = compiled.cache_folder()
    assert folder == base / "copycatch-0000000000000000"
    assert (folder / "kernel.nbc").read_text() == "ours"
    assert [each.name for each in base.iterdir()] == [folder.name]


def test_who_ships_and_who_copies_need_not_be_one_user(base: Path, tmp_path: Path) -> None:
    built = compiled.cache_folder()
    (built / "features").mkdir()
    (built / "features" / "kernel.nbc").write_text("compiled")
    (built / "features").chmod(0o555)  # as on a read-only root
    assert built.stat().st_mode & 0o055 == 0o055, "others may read it"
    (built / compiled.IN_USE).chmod(0)  # the lock is the builder's
    base.rename(tmp_path / "shipped")
    compiled.cache_folder.cache_clear()
    copied = compiled.cache_folder() / "features"
    assert (copied / "kernel.nbc").read_text() == "compiled"
    assert copied.stat().st_mode & 0o700 == 0o700, "numba writes there, and it is removed again"


def test_what_was_shipped_for_another_user_alone_is_compiled_anew_and_said(
    base: Path, tmp_path: Path
) -> None:
    shipped = tmp_path / "shipped" / f"copycatch-{'0' * 16}"
    shipped.mkdir(parents=True)
    (shipped / "kernel.nbc").symlink_to(tmp_path / "gone")  # for root, too, it cannot be read
    with pytest.warns(RuntimeWarning, match="cannot be read"):
        assert compiled.cache_folder().is_dir()


def test_old_folders_are_removed_but_for_the_newest_and_those_in_use(base: Path) -> None:
    old = [base / f"copycatch-{n:016x}" for n in range(1, 13)]
    for age, folder in enumerate(old):
        folder.mkdir(parents=True)
        (folder / compiled.IN_USE).touch()
        os.utime(folder, (1e9 - age, 1e9 - age))
    foreign = base / "copycatch-notes"
    foreign.mkdir()
    os.utime(foreign, (1, 1))
    with (old[-1] / compiled.IN_USE).open() as other_process:
        fcntl.flock(other_process, fcntl.LOCK_SH)
        folder = compiled.cache_folder()
    left = {folder, foreign, old[-1], *old[: compiled.FOLDERS_KEPT]}
    assert set(base.iterdir()) == left


def test_code_that_others_can_write_is_not_loaded(base: Path) -> None:
    folder = base / "copycatch-0000000000000000"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="not this user's alone"):
        own = compiled.cache_folder()
    assert base not in own.parents
    assert own.stat().st_mode & 0o022 == 0
    shutil.rmtree(own.parent)


def test_a_place_that_cannot_be_written_is_named(base: Path) -> None:
    base.write_text("a file, no folder")
    with pytest.warns(RuntimeWarning, match=re.escape(str(base))):
        own = compiled.cache_folder()
    shutil.rmtree(own.parent)


@pytest.mark.usefixtures("base")
def test_a_user_without_a_home_gets_what_was_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster may run a container under a number that no account has."""

    def unknown(uid: int) -> NoReturn:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    shipped = tmp_path / "shipped" / f"copycatch-{'0' * 16}"
    shipped.mkdir(parents=True)
    (shipped / "kernel.nbi").write_bytes(b"compiled")
    folder = compiled.cache_folder()
    assert (folder / "kernel.nbi").read_bytes() == b"compiled"
    assert not folder.stat().st_mode & 0o022


def test_an_image_with_warm_code_compiles_nothing(tmp_path: Path) -> None:
    """The step of deploy/Dockerfile, and then a start of a user without a home, as in the image."""
    recipe = (ROOT / "deploy" / "Dockerfile").read_text()
    step = re.search(r"NUMBA_CACHE_DIR=/opt/copycatch/(\S+) /opt/copycatch/bin/copycatch (\w+) ", recipe)
    assert step is not None
    prefix = tmp_path / "venv"
    venv.create(prefix, with_pip=False)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), *site.getsitepackages()])

    def run(**more: str) -> str:
        command = [prefix / "bin" / "python", "-m", "copycatch", step[2]]
        done = subprocess.run(command, env=environment | more, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    shipped, known = prefix / step[1], compiled.cache_folder()
    shutil.copytree(known, shipped / known.name, ignore=shutil.ignore_patterns(compiled.IN_USE))
    run(NUMBA_CACHE_DIR=str(shipped))
    kernels = sorted(each.relative_to(shipped) for each in shipped.rglob("*.nb[ic]"))
    assert len(kernels) > 100
    out = tmp_path / "kept"
    said = run(NUMBA_CACHE_DIR=str(out))
    assert sorted(each.relative_to(out) for each in out.rglob("*.nb[ic]")) == kernels
    assert {each.stat().st_ino for each in shipped.rglob("*.nbc")}.isdisjoint(
        each.stat().st_ino for each in out.rglob("*.nbc")
    )
    assert str(out) in said
    homeless = run(HOME="/proc/none", XDG_CACHE_HOME="")
    assert "copycatch-numba-" in homeless
    assert not Path(homeless.rpartition(" ")[2].strip()).exists()  # gone with its process


def test_help_compiles_nothing(tmp_path: Path) -> None:
    """Every command pays for what its imports run: on a fresh machine a kernel takes seconds."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "copycatch", "--help"]
    subprocess.run(command, env=environment, capture_output=True, check=True)
    assert list(tmp_path.rglob("*.nb[ic]")) == []
