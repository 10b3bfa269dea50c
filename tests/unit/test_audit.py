"""`make audit ADVISORIES=<folder>`: a vulnerable pin fails, and what was not audited never looks clean."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.audit import main

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "deploy" / "constraints.txt"


def advisory(
    name: str = "pkg",
    versions: tuple[str, ...] = (),
    events: tuple[Mapping[str, str], ...] = (),
    modified: str = "2024-10-10T17:35:05Z",
    **others: Any,
) -> dict[str, Any]:
    affected: dict[str, Any] = {"package": {"name": name, "ecosystem": "PyPI"}}
    if versions:
        affected["versions"] = list(versions)
    if events:
        affected["ranges"] = [
            {"type": "GIT", "repo": "r", "events": [{"introduced": "0"}, {"fixed": "abc"}]},
            {"type": "ECOSYSTEM", "events": [dict(each) for each in events]},
        ]
    return {
        "id": "PYSEC-2024-1",
        "aliases": ["CVE-2024-1"],
        "modified": modified,
        "affected": [affected],
    } | others


def keep(entry: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entry) if path.suffix == ".json" else yaml.safe_dump(entry))


def audit(tmp_path: Path, pins: str, *entries: Mapping[str, Any], suffix: str = ".yaml") -> int:
    for i, entry in enumerate(entries):
        keep(entry, tmp_path / "vulns" / f"{i}{suffix}")
    (tmp_path / "pins.txt").write_text(pins)
    return main([str(tmp_path / "pins.txt"), str(tmp_path)])


LISTED = advisory(versions=("1.0", "1.10"))
HALF_OPEN = advisory(events=({"introduced": "0"}, {"fixed": "1.9"}))
# As they come in databases: out of order, and mended on two branches.
BRANCHES = advisory(events=({"fixed": "2.1"}, {"introduced": "1.0"}, {"fixed": "1.9"}, {"introduced": "2.0"}))
LAST = advisory(events=({"introduced": "1.5"}, {"last_affected": "1.9"}))
LIMITED = advisory(events=({"introduced": "1.5"}, {"limit": "2"}))


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
@pytest.mark.parametrize(
    ("entry", "vulnerable", "clean"),
    [
        (LISTED, ("1.0", "1.0.0", "1.10", "1.10+local"), ("1.1", "1.0.1", "1.10rc1")),
        (HALF_OPEN, ("0.dev0", "0", "1.8.9", "1.9rc1"), ("1.9", "1.9.post1", "1.10", "2")),
        (BRANCHES, ("1.0", "1.8", "2.0", "2.0.9"), ("0.9", "1.9", "1.99", "2.0rc1", "2.1", "3")),
        (LAST, ("1.5", "1.9", "1.9.0"), ("1.4", "1.9.1", "1.10")),
        (LIMITED, ("1.5", "1.10"), ("1.4", "2", "3")),
    ],
    ids=["listed", "half open", "branches", "last_affected", "limit"],
)
def test_versions_are_told_apart(
    tmp_path: Path, entry: dict[str, Any], vulnerable: tuple[str, ...], clean: tuple[str, ...], suffix: str
) -> None:
    told = {each: audit(tmp_path, f"pkg=={each}\n", entry, suffix=suffix) for each in vulnerable + clean}
    assert told == dict.fromkeys(vulnerable, 1) | dict.fromkeys(clean, 0)


def test_the_report_says_what_was_found_and_how_old_the_copy_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pins = "# pins\nother==1.0\nBig_Name.x==1.0 # why\nnumpy==1.0; python_version > '3'\n"
    named = advisory("big.Name-X", events=({"introduced": "0"}, {"fixed": "1.0.1"}))
    older = advisory("unrelated", ("1.0",), modified="2023-01-01T00:00:00Z", published="2023-06-01T00:00:00Z")
    assert audit(tmp_path, pins, named, older) == 1
    found, summary = capsys.readouterr().out.splitlines()
    assert found.startswith("big-name-x 1.0: PYSEC-2024-1 CVE-2024-1; fixed in 1.0.1 (")
    assert found.endswith("0.yaml)")
    assert "3 pins" in summary
    assert "2 advisories, 1 of them on a pinned package" in summary
    assert "Vulnerable pins: 1." in summary
    assert "newest advisory is of 2024-10-10" in summary

    assert audit(tmp_path, "big-name-x==1.0.1\n") == 0
    assert "Vulnerable pins: 0." in capsys.readouterr().out


def test_withdrawn_advisories_and_those_of_other_ecosystems_accuse_nobody(tmp_path: Path) -> None:
    assert audit(tmp_path, "pkg==1.0\n", advisory(versions=("1.0",), withdrawn=None)) == 1
    elsewhere = advisory(versions=("1.0",))
    elsewhere["affected"][0]["package"]["ecosystem"] = "npm"
    withdrawn = advisory(versions=("1.0",), withdrawn="2024-01-01T00:00:00Z")
    assert audit(tmp_path, "pkg==1.0\n", withdrawn, elsewhere, advisory("unrelated", ("1.0",))) == 0


def test_an_advisory_that_names_no_versions_is_found(tmp_path: Path) -> None:
    assert audit(tmp_path, "pkg==1.0\n", advisory()) == 1


def test_a_version_in_yaml_needs_no_quotes(tmp_path: Path) -> None:
    text = yaml.safe_dump(LISTED).replace("'1.10'", "1.10")
    assert "- 1.10" in text
    assert audit(tmp_path, "other==1.0\n", LISTED) == 0
    (tmp_path / "vulns" / "0.yaml").write_text(text)
    assert audit(tmp_path, "pkg==1.1\n") == 0
    assert audit(tmp_path, "pkg==1.10\n") == 1


def test_what_lies_beside_the_advisories_is_not_read(tmp_path: Path) -> None:
    for beside in (".github/ci.yml", "triage/words.yaml", "vulns/.cache/x.json"):
        keep({"no": "advisory"}, tmp_path / beside)
    assert audit(tmp_path, "pkg==1.0\n", LISTED) == 1


@pytest.mark.parametrize(
    "kind", ["missing", "a file", "empty", "no advisory", "other ecosystem", "withdrawn"]
)
def test_a_folder_without_advisories_is_an_error_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    folder = tmp_path / "folder"
    entry = advisory(versions=("1.0",))
    match kind:
        case "a file":
            folder.write_text("")
        case "empty":
            folder.mkdir()
        case "no advisory":
            folder.mkdir()
            (folder / "words.txt").write_text("HEAD")
        case "other ecosystem":
            entry["affected"][0]["package"]["ecosystem"] = "npm"
            keep(entry, folder / "1.json")
        case "withdrawn":
            keep(entry | {"withdrawn": "2024-01-01T00:00:00Z"}, folder / "1.json")
    assert main([str(CONSTRAINTS), str(folder)]) == 2
    told = capsys.readouterr()
    assert not told.out
    assert "NOTHING was audited" in told.err
    assert str(folder) in told.err
    assert "give a checkout of an advisory database" in told.err


BROKEN = {
    "empty.yaml": ("", "mapping"),
    "cut.json": ('{"id": "PYSEC', "Unterminated string"),
    "cut.yaml": ("affected: [", "parsing"),
    "bytes.yaml": ("\udcff", "utf-8"),
    "list.json": ("[]", "mapping"),
    "id.json": (json.dumps({key: LISTED[key] for key in LISTED if key != "id"}), "has no 'id'"),
    "modified.json": (json.dumps(LISTED | {"modified": None}), "has no 'modified'"),
    "date.json": (json.dumps(LISTED | {"modified": "lately"}), "lately"),
    "withdrawn.json": (json.dumps(LISTED | {"withdrawn": "yes"}), "yes"),
    "schema.json": (json.dumps(LISTED | {"schema_version": "2.0.0"}), "schema_version 2.0.0"),
    "affected.json": (json.dumps(LISTED | {"affected": {"package": "pkg"}}), "affected"),
    "nameless.json": (
        json.dumps(LISTED | {"affected": [{"package": {"ecosystem": "PyPI"}}]}),
        "has no 'name'",
    ),
    "event.json": (json.dumps(advisory(events=({"introduced": "0", "mended": "1"},))), "mended"),
    "open.json": (json.dumps(advisory(events=({"fixed": "1"},))), "introduced"),
    "version.json": (json.dumps(advisory(events=({"introduced": "0"}, {"fixed": "1-n1"}))), "1-n1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_advisory_is_an_error_that_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    text, words = BROKEN[name]
    shelf = tmp_path / "vulns"
    shelf.mkdir()
    (shelf / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert audit(tmp_path, "pkg==1.0\n", LISTED) == 2
    told = capsys.readouterr()
    assert not told.out
    assert f"NOTHING was audited: {shelf / name} is no advisory" in told.err
    assert words in told.err
    assert "fresh checkout" in told.err


def test_a_version_that_cannot_be_compared_matters_only_on_a_pinned_package(tmp_path: Path) -> None:
    strange = advisory("unrelated", events=({"introduced": "0"}, {"fixed": "0.2.0-n653"}))
    old = advisory(versions=("2004d", "1.0"))
    assert audit(tmp_path, "pkg==1.1\n", strange, old) == 0


@pytest.mark.parametrize(
    "line", ["pkg>=1.0", "pkg", "pkg==1.*", "pkg===1.0", "pkg==1.0,!=1.1", "-r x", "pkg==", ""]
)
def test_a_line_that_is_no_pin_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    before = "# comment\nother==1.0\n" if line else ""
    assert audit(tmp_path, f"{before}{line}\n", LISTED) == 2
    told = capsys.readouterr().err
    assert (f"pins.txt:3: {line!r} is not a pin" if line else "pins.txt has no pins") in told


def test_the_pins_of_the_project_can_all_be_read(tmp_path: Path) -> None:
    keep(advisory("NumPy", events=({"introduced": "0"},)), tmp_path / "1.json")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.audit", str(CONSTRAINTS), str(tmp_path)],
        check=False, capture_output=True, text=True, cwd=ROOT, timeout=120,
    )  # fmt: skip
    lines = [
        line for line in CONSTRAINTS.read_text("utf-8").splitlines() if line and not line.startswith("#")
    ]
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout.startswith("numpy ")
    assert f"{len(lines)} pins" in ran.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("given", [["ADVISORIES=/a b"], ["ADVISORIES="], []])
def test_make_asks_the_folder_that_it_was_given_and_the_services_otherwise(given: list[str]) -> None:
    surroundings = {
        key: os.environ[key] for key in os.environ.keys() - {"ADVISORIES", "MAKEFLAGS", "MAKELEVEL"}
    }
    told = subprocess.run(
        ["make", "--dry-run", "audit", *given],
        check=True, capture_output=True, text=True, cwd=ROOT, env=surroundings, timeout=60,
    ).stdout  # fmt: skip
    is_offline = 'tests.support.audit deploy/constraints.txt "/a b"' in told
    assert is_offline == (given == ["ADVISORIES=/a b"])
    assert ("pip-audit" in told) != is_offline
