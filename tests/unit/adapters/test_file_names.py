"""Rotated logs are read oldest first, however they are named; parts of an export upwards."""

from pathlib import Path

import pytest

from copycatch.adapters.file_names import find_files


@pytest.mark.parametrize(
    "names",
    [
        ["app.log.2.gz", "app.log.1", "app.log"],
        ["app.log.10", "app.log.9", "app.log.1", "app.log"],
        ["app.log-20260630", "app.log-20260701.gz", "app.log"],
        ["app.log.2026-06-30", "app.log.2026-07-01", "app.log"],
        ["app.log.2026-06-30.1.gz", "app.log.1", "app.log"],
        ["app.2.log.gz", "app.1.log", "app.log"],
        ["app-2.jsonl", "app-1.jsonl", "app.jsonl"],
        ["app.log.old", "app.log"],
        ["app-2026-06-30.log", "app-2026-07-01.log.gz"],
        ["app-2026-06-30T10-00-00.000.log", "app-2026-07-01T10-00-00.000.log.gz", "app.log"],
        ["part-0.jsonl", "part-1.jsonl", "part-2.jsonl.zst"],
        ["export.1.json", "export.2.json", "export.3.json"],
        ["0.log.20260630-100000.gz", "0.log.20260701-100000", "0.log"],
    ],
)
def test_oldest_first(names: list[str], tmp_path: Path) -> None:
    for name in reversed(names):
        (tmp_path / name).write_text("x")
    assert [Path(found).name for found in find_files([str(tmp_path)])] == names


def test_where_no_name_says_so_the_beginning_of_a_file_does(tmp_path: Path) -> None:
    folder = tmp_path / "2026" / "07" / "01"
    folder.mkdir(parents=True)
    begins = {
        "README": b"# no log",
        "part-0000": b'{"a": 1}',
        "s-1-2026-07-01-10-00-00-0d1f": b"\x1f\x8b\x08",
        "x": b"\xef\xbb\xbf [1]",
    }
    for name, beginning in begins.items():
        (folder / name).write_bytes(beginning)
    found = [Path(each).name for each in find_files([str(tmp_path)])]
    assert sorted(found) == ["part-0000", "s-1-2026-07-01-10-00-00-0d1f", "x"]


def test_two_logs_of_one_folder_stay_together(tmp_path: Path) -> None:
    names = ["a.log.1", "a.log", "b.1.log", "b.log"]
    for name in names:
        (tmp_path / name).write_text("x")
    assert [Path(found).name for found in find_files([str(tmp_path)])] == names
