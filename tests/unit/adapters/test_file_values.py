"""Files as they come: every shape gives the same messages, whatever their name."""

import bz2
import codecs
import csv
import datetime as dt
import gzip
import io
import json
from pathlib import Path

import pandas as pd
import pytest
import zstandard

from copycatch.adapters.file_identities import FileIdentities
from copycatch.adapters.file_names import find_files
from copycatch.adapters.file_values import HEAD_BYTES
from copycatch.adapters.files import FileSource
from copycatch.errors import TransportError
from tests.contracts.listening import Recorder

ROWS = [{"id": f"e{n}", "text": f'say "{n}", [then] {{stop}}\n' + "é" * n} for n in range(50)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
LONG = [{"id": "long", "text": "x" * (2 * HEAD_BYTES)}, {"id": "next"}]


def read(path: Path, records_max: int = 7) -> list[bytes]:
    source = FileSource([str(path)])
    source.start(Recorder(source))
    found: list[bytes] = []
    try:
        while not source.is_exhausted:
            for batch in source.poll(records_max, 0.05):
                assert batch.positions == list(range(len(found), len(found) + len(batch.values)))
                found.extend(batch.values)
    finally:
        source.close()
    return found


SHAPES = {
    "lines": LINES,
    "one object": json.dumps(ROWS[0], indent=2),
    "array": json.dumps(ROWS),
    "pretty array": json.dumps(ROWS, indent=1),
    "array over lines": "[" + ",\n".join(map(json.dumps, ROWS)) + "]\n",
    "concatenated": "".join(map(json.dumps, ROWS)),
    "pretty and concatenated": "\n".join(json.dumps(row, indent=2, ensure_ascii=False) for row in ROWS),
    "long line": "".join(json.dumps(row) + "\n" for row in LONG),
    "long array": json.dumps(LONG),
    "long and pretty": json.dumps(LONG, indent=2),
    "long and concatenated": "".join(map(json.dumps, LONG)),
}
EXPECTED = {"one object": ROWS[:1]} | {name: LONG for name in SHAPES if name.startswith("long")}


@pytest.mark.parametrize("name", SHAPES)
def test_json_in_every_shape(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log.log"
    for text in (
        SHAPES[name].encode(),
        codecs.BOM_UTF8 + SHAPES[name].encode(),
        SHAPES[name].encode("utf-16"),
    ):
        path.write_bytes(text)
        assert [json.loads(value) for value in read(path)] == EXPECTED.get(name, ROWS)


@pytest.mark.parametrize("name", ["app.jsonl", "app.log.1", "app.gz", "noext"])
def test_compression_is_told_by_the_first_bytes(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    for pack in (gzip.compress, bz2.compress, zstandard.compress, lambda data: data):
        for shape in ("lines", "pretty array"):
            path.write_bytes(pack(SHAPES[shape].encode()))
            assert [json.loads(value) for value in read(path)] == ROWS


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, oops}\n{"a": 2}\n',
        '{"a": 1\n{"a": 2}\n',
        '["no end\n{"a": 2}\n',
        "[x] text\n[y] text\n",
        "[1]\n[2]\n",
    ],
)
def test_bad_lines_of_a_log_stay_lines(text: str, tmp_path: Path) -> None:
    (tmp_path / "log.log").write_text(text)
    assert read(tmp_path / "log.log") == [line.encode() for line in text.splitlines()]


def test_a_document_that_breaks_off_is_told_with_the_entry(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ROWS, indent=1)[:-300])
    with pytest.raises(TransportError, match=r"a.json: cannot be read on: entry \d+ is not JSON"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".csv", ";"), (".tsv", "\t")])
def test_rows_of_csv_are_objects(suffix: str, separator: str, tmp_path: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["id", "text", "none"], delimiter=separator)
    writer.writeheader()
    writer.writerows({**row, "none": ""} for row in ROWS)
    for name, data in ((f"a{suffix}", text.getvalue().encode("utf-8-sig")), (f"b{suffix}.gz", b"")):
        (tmp_path / name).write_bytes(data or gzip.compress(text.getvalue().encode()))
        assert [json.loads(value) for value in read(tmp_path / name)] == ROWS


def test_rows_of_parquet_are_objects(tmp_path: Path) -> None:
    when = dt.datetime(2026, 3, 1, 10, tzinfo=dt.UTC)
    rows = [{"id": f"e{n}", "at": when, "v": [0.5, n], "none": None, "nested": {"a": n}} for n in range(2500)]
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    found = [json.loads(value) for value in read(tmp_path / "a.parquet", records_max=900)]
    assert found[1] == {"id": "e1", "at": "2026-03-01T10:00:00Z", "v": [0.5, 1.0], "nested": {"a": 1}}
    assert len(found) == 2500
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-100])
    with pytest.raises(TransportError, match=r"b.parquet: cannot be read on"):
        read(tmp_path / "b.parquet")


def test_folders_within_folders_and_rotated_logs_oldest_first(tmp_path: Path) -> None:
    rotated = [
        "app.log-20260701",
        "app.log-20260702.gz",
        "app.log.10.gz",
        "app.log.2.gz",
        "app.log.1",
        "app.log",
    ]
    dated = ["2026/07/01/10/b.jsonl", "2026/07/01/11/a.jsonl", "2026/07/02/00/A.JSON"]
    for name in (*rotated, *dated, ".hidden/a.log", "_SUCCESS", "readme.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [str(Path(each).relative_to(tmp_path)) for each in find_files([str(tmp_path)])]
    assert found == [*rotated, *dated]


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    log, state = tmp_path / "gw.jsonl", tmp_path / "files.json"
    log.write_text(LINES)
    assert FileIdentities(state).names_of([str(log)]) == [str(log)]
    with log.open("a") as file:
        file.write(LINES)  # it grows
    assert FileIdentities(state).names_of([str(log)]) == [str(log)]
    rotated = tmp_path / "gw.jsonl.1.gz"
    rotated.write_bytes(gzip.compress(log.read_bytes()))
    log.write_text(LINES.replace("e", "d"))  # the next day
    old, new = FileIdentities(state).names_of([str(rotated), str(log)])
    assert old == str(log)
    assert new.startswith(f"{log}@")
    assert FileIdentities(state).names_of([str(log), str(rotated)]) == [new, old]
