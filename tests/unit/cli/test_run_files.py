"""`copycatch run --source` of files that are still being written, and of a state folder that is in use."""

import codecs
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.listening import Recorder

from copycatch.__main__ import main
from copycatch.adapters.files import FileSource
from copycatch.ports import Shard


def native(n: int) -> dict[str, Any]:
    return {
        "event_id": f"e{n}",
        "event_time": f"2026-07-01T10:00:{n:02d}Z",
        "account_id": f"a{n}",
        "model_id": "m",
        "input": [1.0 * n, 2.0],
    }


TEXTS = [json.dumps(native(n)) for n in range(6)]
CELLS = ["id,text", "1,a", '2,"b ""x""', 'more of b"', "3,c"]


def read(path: Path, start: int) -> tuple[dict[int, bytes], bool]:
    """Messages by position, and whether something was kept back."""
    source = FileSource([str(path)], may_grow=True)
    source.start(Recorder(source))
    if start:
        source.seek(Shard(str(path), 0), start)
    found: dict[int, bytes] = {}
    try:
        while not source.is_exhausted:
            for batch in source.poll(1000, 0.05):
                found |= zip(batch.positions, batch.values, strict=True)
    finally:
        source.close()
    return found, bool(source.unended)


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("lines.jsonl", "\n".join(TEXTS).encode() + b"\n"),
        (
            "lines.log",
            "".join(f"2026-07-01T10:00:00.123456789Z stdout F {each}\n" for each in TEXTS).encode(),
        ),
        ("array.json", b"[\n" + ",\n".join(TEXTS).encode() + b"\n]\n"),
        ("pretty.json", "\n".join(json.dumps(native(n), indent=1) for n in range(4)).encode()),
        ("rows.csv", "\n".join(CELLS).encode() + b"\n"),
        ("wide.jsonl", codecs.BOM_UTF16_LE + ("\n".join(TEXTS[:3]) + "\n").encode("utf-16-le")),
    ],
)
def test_however_far_a_file_is_written_nothing_is_read_by_half(
    name: str, whole: bytes, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(whole)
    expected, is_unended = read(path, 0)
    assert expected
    assert not is_unended
    step = 2 if name == "wide.jsonl" else 1
    for n_bytes in range(len(whole) // 3 // 2 * 2, len(whole), 7 * step):
        path.write_bytes(whole[:n_bytes])
        first, _ = read(path, 0)
        assert first.items() <= expected.items()
        path.write_bytes(whole)
        rest, _ = read(path, max(first, default=-1) + 1)
        assert first | rest == expected


def test_a_whole_record_needs_no_line_end_and_a_bad_one_is_judged_when_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(TEXTS[0])
    assert read(path, 0) == ({0: TEXTS[0].encode()}, False)
    path.write_text("{no")
    assert read(path, 0) == ({}, True)
    path.write_text("{no\n")
    assert read(path, 0) == ({0: b"{no"}, False)


def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Path) -> int:
    monkeypatch.setenv("COPYCATCH_SNAPSHOTS__DIRECTORY", str(tmp_path / "state"))
    return main(["run", "--source", str(log), "--sink", f"{tmp_path / 'out'}/", "--log-level", "error"])


def test_a_line_that_is_being_written_is_read_by_the_next_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    log = tmp_path / "gw.jsonl"
    log.write_text("\n".join([*TEXTS[:3], TEXTS[3][:40]]))
    served(tmp_path, monkeypatch, log)
    assert f"NOT YET JUDGED: the last line of {log} has no end yet" in capsys.readouterr().err
    log.write_text("\n".join(TEXTS) + "\n")
    served(tmp_path, monkeypatch, log)
    assert "NOT YET" not in capsys.readouterr().err
    served(tmp_path, monkeypatch, log)
    assert f"nothing new. Already read: {log} up to line 6." in capsys.readouterr().err
    assert (tmp_path / "out" / "dead-letters.jsonl").read_text() == ""


def test_a_file_that_has_ended_is_judged_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "gw.jsonl"
    log.write_text("\n".join([*TEXTS[:3], TEXTS[3][:40]]))
    assert main(["replay", str(log)]) == 1
    assert "4 records: 3 accepted, 0 duplicates, 0 late, 1 rejected" in capsys.readouterr().err


def test_of_two_runs_on_one_state_folder_the_second_is_refused(tmp_path: Path) -> None:
    """Two processes; the first waits for a named pipe."""
    pipe, state = tmp_path / "pipe.jsonl", tmp_path / "state"
    os.mkfifo(pipe)
    (tmp_path / "log.jsonl").write_text(TEXTS[0] + "\n")
    environment = {**os.environ, "COPYCATCH_SNAPSHOTS__DIRECTORY": str(state)}

    def command(source: str) -> list[str]:
        sink = str(tmp_path / f"of-{source}")
        return [sys.executable, "-m", "copycatch", "run", "--source", str(tmp_path / source), "--sink", sink]

    with subprocess.Popen(command("pipe.jsonl"), env=environment, stderr=subprocess.PIPE) as first:
        try:
            wait_for_lock(state / "lock")
            second = subprocess.run(
                command("log.jsonl"), env=environment, capture_output=True, text=True, timeout=60, check=False
            )
            assert second.returncode == 2
            assert (
                f"{state}: another copycatch keeps its state there; stop it, or name another" in second.stderr
            )
            assert "Traceback" not in second.stderr
            assert not (tmp_path / "of-log.jsonl").exists()
            assert first.poll() is None
        finally:
            first.kill()


def wait_for_lock(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            with path.open("ab") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
        time.sleep(0.1)
    pytest.fail("the first run never locked its folder")
