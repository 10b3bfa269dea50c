"""The house keeps its shape: import contracts, sizes, banned calls, top level."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "copycatch"
MODULES = sorted(SOURCE.rglob("*.py"))
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 8
TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "deploy",
    "pyproject.toml",
    "schemas",
    "src",
    "tests",
}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "base", "misc"}
STAGES = (
    "formats",
    "intake",
    "embedding",
    "signals",
    "windows",
    "population",
    "scoring",
    "campaigns",
    "decisions",
    "alert_formats",
)

# Who may ask for the time, and why nobody else may: the same records must give the same outcomes.
CLOCK_CALLS = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.sleep",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
}
CLOCK_FILES = {"adapters/clock.py"}
# Modules that turn bytes into objects by running what the bytes say.
UNSAFE_MODULES = {"pickle", "cloudpickle", "dill", "shelve", "marshal"}


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def _dotted(node: ast.expr) -> str:
    """The last two parts of `a.b.c`: `b.c`."""
    match node:
        case ast.Attribute(value=ast.Attribute(attr=parent), attr=attr):
            return f"{parent}.{attr}"
        case ast.Attribute(value=ast.Name(id=parent), attr=attr):
            return f"{parent.removeprefix('dt.')}.{attr}"
        case ast.Name(id=name):
            return name
    return ""


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for path in MODULES:
        yield _name(path), ast.parse(path.read_text("utf-8"), filename=str(path))


def test_imports_run_one_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from importlinter.cli import lint_imports

    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0, (
        capsys.readouterr().out
    )


def test_files_are_short() -> None:
    long = {
        _name(path): n
        for path in MODULES
        if (n := len(path.read_text("utf-8").splitlines())) >= FILE_LINES_MAX
    }
    assert not long, f"split these files (lines): {long}"


def test_functions_are_short() -> None:
    long = {}
    for name, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                if lines >= FUNCTION_LINES_MAX:
                    long[f"{name}:{node.name}"] = lines
    assert not long, f"split these functions (lines without docstring): {long}"


def test_functions_take_few_parameters() -> None:
    many = {}
    for name, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                of = node.args
                names = [each.arg for each in (*of.posonlyargs, *of.args, *of.kwonlyargs)]
                n = len(names) - (names[:1] in (["self"], ["cls"]))
                if n > PARAMETERS_MAX:
                    many[f"{name}:{node.name}"] = n
    assert not many, f"put values that belong together in a class, a kernel's in a named tuple: {many}"


def test_only_the_clock_asks_for_the_time() -> None:
    found = [
        f"{name}:{node.lineno} {called}"
        for name, tree in _trees()
        if name not in CLOCK_FILES
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (called := _dotted(node.func)) in CLOCK_CALLS
    ]
    assert not found, f"time is an argument; ask a Clock: {found}"


def test_no_error_is_swallowed() -> None:
    found = []
    for name, tree in _trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            is_broad = node.type is None or _dotted(node.type) in {"Exception", "BaseException"}
            if is_broad and all(isinstance(each, ast.Pass | ast.Continue) for each in node.body):
                found.append(f"{name}:{node.lineno}")
    assert not found, f"an error is handled, typed or a crash, never skipped: {found}"


def test_nothing_unpickles() -> None:
    found = []
    for name, tree in _trees():
        for node in ast.walk(tree):
            imported = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            found += [f"{name}:{module}" for module in imported if module.split(".")[0] in UNSAFE_MODULES]
    assert not found, f"bytes that run code when read: {found}"


def test_names_say_what_is_inside() -> None:
    parts = {part for path in MODULES for part in Path(_name(path)).with_suffix("").parts}
    assert not parts & VAGUE_NAMES


def test_packages_say_what_they_take_give_and_never_do() -> None:
    silent = []
    for path in SOURCE.rglob("__init__.py"):
        words = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        is_package_root = path.parent == SOURCE
        if not is_package_root and not all(word in words for word in ("Takes", "Gives", "Never")):
            silent.append(_name(path))
    assert not silent, f"docstrings without Takes / Gives / Never: {silent}"


def test_no_stage_imports_another() -> None:
    # The layers contract says so too; this one names the line.
    found = []
    for name, tree in _trees():
        stage = name.split("/")[0]
        if stage not in STAGES:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("copycatch."):
                other = node.module.split(".")[1]
                if other in STAGES and other != stage:
                    found.append(f"{name}:{node.lineno} imports {other}")
    assert not found


def test_tests_of_compiled_code_run_with_checked_indices() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    listed = makefile.partition("KERNEL_TESTS := ")[2].partition("))")[0].partition("tests/unit/,")[2]
    packages = {path.split("/")[0] for path in listed.replace("\\", " ").split()}
    compiled = {
        name.split("/")[0]
        for name, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module == "copycatch.compiled"
        and "njit" in [each.name for each in node.names]
    }
    assert compiled
    assert compiled <= packages, f"add to KERNEL_TESTS in the Makefile: {sorted(compiled - packages)}"


def test_top_level_is_tidy() -> None:
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], check=False, capture_output=True, text=True, timeout=60
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout (a release archive): git ls-files says what belongs to the project")
    names = {line.split("/")[0] for line in listing.stdout.splitlines()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_docs_name_no_registry_and_no_machine_path() -> None:
    # Settings of the machine it was made on do not belong into what others install.
    files = [ROOT / "Makefile", ROOT / "deploy/constraints.txt", ROOT / ".ci/run", ROOT / "pyproject.toml"]
    for path in files:
        text = path.read_text("utf-8")
        for word in ("index-url", "extra-index", "--trusted-host", "file://", "/root/", "/home/"):
            assert word not in text, f"{path.name} names {word}"
