"""`copycatch replay` and `run --source`: silence is no all-clear, and no file of theirs is lost."""

import gzip
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.unit.formats.test_formats import LITELLM

from copycatch.__main__ import main


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """`run` sends all logs of the process to a standard error that ends with the test."""
    before, handlers = structlog.get_config(), logging.getLogger().handlers[:]
    yield
    structlog.configure(**before)
    logging.getLogger().handlers[:] = handlers


START_MS = 1_772_359_200_000  # 2026-03-01


def native(n: int, **more: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{n}",
        "event_time": START_MS + 1000 * n,
        "account_id": f"a{n % 3}",
        "model_id": "m",
        **more,
    }


def write(path: Path, *documents: Any) -> str:
    path.write_text(
        "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in documents)
    )
    return str(path)


def test_the_format_is_recognised_as_inspect_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write(tmp_path / "log.jsonl", "no json", LITELLM, LITELLM, native(1))
    assert main(["replay", log]) == 1
    told = capsys.readouterr().err
    assert "format: litellm" in told
    assert "4 records: 1 accepted, 1 duplicates, 0 late, 2 rejected" in told
    assert main(["replay", log, "--option", "acount_pointer=/x"]) == 2
    with Path(log).open("rb") as stdin:

        class Stdin:
            buffer = stdin

        monkeypatch.setattr(sys, "stdin", Stdin)
        assert main(["replay", "-"]) == 1
    assert "format: litellm" in capsys.readouterr().err


def test_nothing_decoded_names_reasons_and_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "log.jsonl", {"x": 1}, "text", "text", {"x": 2}, {"x": 3})
    assert main(["replay", log, "--quiet"]) == 1
    told = capsys.readouterr().err
    assert "NOT JUDGED: none of 5 records was accepted; `copycatch inspect` says" in told
    assert f"3 x schema, first at {log}, line 1: event_id is missing" in told
    assert f"2 x not_json, first at {log}, line 2" in told


def test_a_notable_share_of_rejects_is_told_without_dead_letters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [{**native(n), "status": text} for n, text in ((90, "x"), (91, "y"))]
    bad += [
        {**native(92), "account_id": 7},
        {**native(93), "model_id": None},
        {**native(94), "event_time": "?"},
    ]
    log = write(tmp_path / "log.jsonl", *(native(n) for n in range(60)), *bad)
    assert main(["replay", log]) == 1
    told = capsys.readouterr().err
    assert "NOT JUDGED: 7.7% of the records (5 of 65)" in told
    assert f"2 x schema, first at {log}, line 61: status" in told
    assert told.count(" x schema, first at ") == 3
    assert "and 1 more reasons" in told


def test_warm_up_and_missing_fields_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "a.jsonl", *(native(n, input=f"text {n}") for n in range(300)))
    assert main(["replay", log]) == 1
    told = capsys.readouterr().err
    assert "evaluations has a score" in told
    assert "model m is still warming up until 2026-03-03T10:00:00.000Z" in told
    log = write(tmp_path / "b.jsonl", *(native(n) for n in range(300)))
    assert main(["replay", log]) == 1
    assert (
        "Scores are made of fields that this log does not give: embedding, input" in capsys.readouterr().err
    )


def test_messages_about_no_inference_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spans = {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "GET /", "attributes": []}]}]}]}
    assert main(["replay", write(tmp_path / "a.jsonl", spans), "--format", "otel"]) == 1
    assert "NOT JUDGED: 1 messages hold no inference" in capsys.readouterr().err
    (tmp_path / "empty.jsonl").write_bytes(b"")
    assert main(["replay", str(tmp_path / "empty.jsonl")]) == 1
    assert "no record was read; is the log empty?" in capsys.readouterr().err


def test_outputs_are_checked_before_a_byte_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "log.jsonl", native(1))
    before = Path(log).read_bytes()
    old = tmp_path / "old.jsonl"
    old.write_text("old\n")
    one, new = str(tmp_path / "one"), str(tmp_path / "new")
    assert main(["replay", log, "--alerts", log, "--force"]) == 2
    assert main(["replay", log, "--alerts", one, "--dead-letters", one]) == 2
    assert main(["replay", log, "--features", one, "--dead-letters", one]) == 2
    assert main(["replay", log, "--alerts", str(old), "--recommendations", new]) == 2
    assert main(["replay", str(tmp_path), "--alerts", new]) == 2
    assert (Path(log).read_bytes(), old.read_text()) == (before, "old\n")
    capsys.readouterr()
    assert main(["replay", log, "--dead-letters", str(old), "--append"]) == 1
    assert old.read_text() == "old\n"
    assert main(["replay", log, "--dead-letters", str(old), "--force"]) == 1
    assert old.read_text() == ""


def test_a_full_disk_ends_with_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "log.jsonl", "broken")
    assert main(["replay", log, "--dead-letters", "/dev/full"]) == 3
    told = capsys.readouterr().err
    assert "/dev/full cannot be written: No space left on device; make room and start again" in told
    assert "Traceback" not in told
    assert main(["replay", write(tmp_path / "b.jsonl", native(1)), "--features", "/dev/full"]) == 3
    assert "cannot be written" in capsys.readouterr().err


def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str) -> int:
    monkeypatch.setenv("COPYCATCH_SNAPSHOTS__DIRECTORY", str(tmp_path / "state"))
    return main(["run", "--source", log, "--sink", f"{tmp_path / 'out'}/", "--log-level", "error"])


def test_what_was_read_before_is_told_with_its_position(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    log = write(tmp_path / "log.jsonl", *(native(n) for n in range(7)))
    assert served(tmp_path, monkeypatch, log) == 1
    assert "NOT JUDGED: no account sent enough queries" in capsys.readouterr().err
    assert served(tmp_path, monkeypatch, log) == 1
    assert f"NOT JUDGED: nothing new. Already read: {log} up to line 7." in capsys.readouterr().err


def test_a_run_never_writes_what_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(native(1)).encode()))
    monkeypatch.setenv("COPYCATCH_SNAPSHOTS__DIRECTORY", str(tmp_path / "state"))
    for sink in (f"{logs}/", str(logs / "new.jsonl"), str(logs / "a.jsonl.gz")):
        assert main(["run", "--source", str(logs), "--sink", sink]) == 2
        assert "is read as a log" in capsys.readouterr().err
    monkeypatch.setenv("COPYCATCH_SNAPSHOTS__DIRECTORY", str(logs / "state"))
    assert main(["run", "--source", str(logs), "--sink", str(tmp_path / "out.jsonl")]) == 2
    assert "snapshots.directory" in capsys.readouterr().err
