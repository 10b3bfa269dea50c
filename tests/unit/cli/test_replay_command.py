"""`copycatch replay` and `run --source`: silence is no all-clear, and no file of theirs is lost."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.formats.test_formats import LITELLM

from copycatch.__main__ import main

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
    bad: list[dict[str, Any]] = [{**native(n), "account_id": None} for n in (90, 91)]
    bad += [
        {**native(92), "event_id": None},
        {**native(93), "model_id": None},
        {**native(94), "event_time": "?"},
    ]
    log = write(tmp_path / "log.jsonl", *(native(n) for n in range(60)), *bad)
    assert main(["replay", log]) == 1
    told = capsys.readouterr().err
    assert "NOT JUDGED: 7.7% of the records (5 of 65)" in told
    assert f"2 x schema, first at {log}, line 61: account_id" in told
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
    assert "NOT JUDGED: 1 messages or parts of them hold no inference" in capsys.readouterr().err
    named = {
        "spans": [
            {"name": "chat", "attributes": [{"key": "gen_ai.agent.name", "value": {"stringValue": "x"}}]}
        ]
    }
    unknown = {"resourceSpans": [{"scopeSpans": [named]}]}
    assert main(["replay", write(tmp_path / "b.jsonl", spans, unknown), "--format", "otel"]) == 1
    said = capsys.readouterr().err
    assert (
        "NOT JUDGED: 1 messages or parts of them may hold one, but name neither model nor operation" in said
    )
    assert "NOTED: 1 about no inference (other spans, other routes): skipped" in said
    assert "NOTED: 1 spans of language models that name neither model nor operation: NOT judged" in said
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


def test_a_log_that_breaks_off_is_judged_up_to_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "".join(json.dumps({**native(1), "event_id": f"e{i}"}) + "\n" for i in range(500))
    broken = tmp_path / "a.jsonl.gz"
    broken.write_bytes(gzip.compress(lines.encode())[:-20])
    assert main(["replay", str(broken)]) == 3
    told = capsys.readouterr().err
    n = int(told.split(" records: ")[0].split()[-1])
    assert 400 < n <= 500
    assert "NOT JUDGED: what follows where a file breaks off: " in told
    assert "a.jsonl.gz: cannot be read on: Compressed file ended" in told


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


@pytest.mark.parametrize("per_ms", [0.001, 1, 1000, 1_000_000])
def test_the_unit_of_a_time_is_told_by_its_size(
    per_ms: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "log.jsonl", {**native(1), "event_time": int(START_MS * per_ms)})
    assert main(["inspect", log]) == 0
    assert "from 2026-03-01T10:00:00.000Z to 2026-03-01T10:00:00.000Z" in capsys.readouterr().out
    main(["replay", log])
    assert "1 records: 1 accepted" in capsys.readouterr().err


@pytest.mark.parametrize("time", [0, 17, 20_515, "1970-01-21T12:19:19Z", "2009-12-31T23:59:59.000Z"])
def test_times_that_lie_years_away_are_refused_with_the_remedy(
    time: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "log.jsonl", {**native(1), "event_time": time})
    assert main(["inspect", log]) == 1
    assert "lies years before any inference log; is it another unit?" in capsys.readouterr().out
    assert main(["replay", log]) == 1
    assert "as: epoch_s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("time", "side"), [(1_772_359, "before"), ("1772359", "before"), (4_102_444_800, "after")]
)
def test_a_number_of_1970_is_not_taken_for_another_unit_later(
    time: Any, side: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    log = write(tmp_path / "log.jsonl", {"time": time, "account_id": "a", "request": chat, "response": {}})
    assert main(["inspect", log]) == 1
    assert f"lies years {side} any inference log" in capsys.readouterr().out
    log = write(tmp_path / "native.jsonl", {**native(1), "event_time": "2100-01-01T00:00:00Z"})
    assert main(["replay", log]) == 1
    assert "lies years after any inference log" in capsys.readouterr().err


@pytest.mark.parametrize("time", [f"{START_MS // 1000}", f"{START_MS}000", "2026-03-01t10:00:00z"])
def test_other_spellings_of_native_times(
    time: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "log.jsonl", {**native(1), "event_time": time})
    assert main(["inspect", log]) == 0
    capsys.readouterr()
    main(["replay", log])
    assert "1 records: 1 accepted" in capsys.readouterr().err


def test_a_time_of_zero_is_one_that_nobody_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "user.id": "u"}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in named.items()]
    entry = {"timeUnixNano": "0", "observedTimeUnixNano": f"{START_MS}000005", "attributes": attributes}
    log = write(tmp_path / "a", {"resourceLogs": [{"scopeLogs": [{"logRecords": [entry]}]}]})
    assert main(["inspect", log]) == 0
    assert "from 2026-03-01T10:00:00.000Z to" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("zone", "time", "utc"),
    [
        ("UTC", "2026-03-01 10:00:00.5", "10:00:00.500Z"),
        ("Europe/Berlin", "2026-07-01T10:00:00", "08:00:00.000Z"),
    ],
)
def test_times_without_offset_take_the_zone_of_an_option(
    zone: str, time: str, utc: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = {"messages": [{"role": "user", "content": "x"}], "model": "m"}
    other = {"account_id": "a", "timestamp": time, "request": chat, "response": {}}
    for document in ({**native(1), "event_time": time}, other):
        log = write(tmp_path / "log.jsonl", document)
        assert main(["inspect", log]) == 1
        assert "times" in capsys.readouterr().out
        assert main(["inspect", log, "--option", f"times={zone}"]) == 0
        assert utc in capsys.readouterr().out
    assert main(["inspect", log, "--option", "times=Nowhere"]) == 2
    assert "no time zone 'Nowhere'" in capsys.readouterr().err


def test_account_pointer_passes_through_json_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], "user": "end-7"})
    row = {"databricks_request_id": "d", "request_time": "2026-07-01T10:00:00Z", "status_code": 200}
    row |= {"requester": "sp@x", "served_entity_id": "e", "request": request, "response": "{}"}
    log = write(tmp_path / "log.jsonl", row)
    assert main(["inspect", log, "--option", "account_pointer=/request/user"]) == 0
    assert "end-7" in capsys.readouterr().out


def test_a_rotated_log_is_read_on_and_its_successor_from_the_beginning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (tmp_path / "out").mkdir()
    log = write(logs / "gw.jsonl", "broken", *(native(n) for n in range(3)))
    assert served(tmp_path, monkeypatch, log) == 1
    Path(log).rename(f"{log}.1")
    write(logs / "gw.jsonl", "broken too", *(native(n) for n in range(10, 12)))
    assert served(tmp_path, monkeypatch, str(logs)) == 1
    assert "NOT JUDGED: 33.3% of the records (1 of 3)" in capsys.readouterr().err
    assert len((tmp_path / "out" / "dead-letters.jsonl").read_text().splitlines()) == 2
    assert served(tmp_path, monkeypatch, str(logs)) == 1
    assert "nothing new. Already read:" in capsys.readouterr().err
