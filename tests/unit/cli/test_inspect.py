"""`copycatch inspect`: what a newcomer reads, and the files that it writes."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.formats.test_formats import LITELLM

from copycatch.__main__ import main
from copycatch.settings.mapping import load_mapping
from copycatch.settings.service import load_service

NATIVE = {
    "event_id": "e",
    "event_time": "2026-03-01T10:00:00Z",
    "account_id": "a",
    "model_id": "m",
    "input": "hi",
}
UNKNOWN = {
    "meta": {"request-id": "r1", "caller": {"user_id": 17}},
    "when": "-",
    "created_at": 1772359200,
    "deployment": "fraud",
    "body": '{"messages": [{"role": "user", "content": "my secret question"}]}',
    "elapsed_ms": 12,
    "code": 200,
}


def write(path: Path, *documents: Any) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in documents))
    return str(path)


def test_a_known_format_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = {**LITELLM, "startTime": "never"}
    place = write(tmp_path / "log.jsonl", LITELLM, LITELLM, bad, NATIVE)
    assert main(["inspect", place]) == 1
    out = capsys.readouterr().out
    assert "format    litellm" in out
    assert "but also  1 x native" in out
    assert "decoded   2 records of 1 accounts" in out
    assert "1 x schema, first at 2: event_time" in out
    assert "1 x wrong_format, first at 3" in out
    assert "metadata.user_api_key_user_id" in out
    assert "without probabilities: no " in out
    assert "hi" not in out.split("next")[0].replace("this", "").replace("which", "")


def test_good_logs_end_well_and_settings_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(NATIVE).encode() + b"\n"))
    settings = tmp_path / "settings.yaml"
    assert main(["inspect", str(path), "--write", str(settings), "--records", "10"]) == 0
    loaded = load_service(settings)
    assert loaded.inputs[0].format == "native"
    assert main(["inspect", str(path), "--write", str(settings)]) == 2
    assert "not overwritten" in capsys.readouterr().err


def test_an_unknown_log_gets_a_mapping_that_decodes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = write(tmp_path / "log.jsonl", UNKNOWN, UNKNOWN)
    drafted = tmp_path / "mapping.yaml"
    assert main(["inspect", place, "--write", str(drafted)]) == 1
    assert "none that is known (2 x unknown JSON)" in capsys.readouterr().out
    sources = load_mapping(drafted).sources()
    assert sources["event_id"] == "/meta/request-id"
    assert sources["account_id"] == "/meta/caller/user_id"
    assert sources["event_time"] == "/created_at"
    assert sources["input"] == "/body/messages"
    assert main(["inspect", place, "--format", "mapping", "--option", f"mapping={drafted}"]) == 0
    out = capsys.readouterr().out
    assert "decoded   2 records of 1 accounts" in out
    assert "text of 18 characters" in out
    assert "secret" not in out


def test_a_draft_is_of_what_envelopes_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [json.dumps({**UNKNOWN, "requestId": f"r{n}", "pad": "x" * 20_000}) for n in range(3)]
    parts = [
        {"log": part, "stream": "stdout"} for text in texts for part in (text[:16_384], text[16_384:] + "\n")
    ]
    place, mapping = write(tmp_path / "log.jsonl", *parts), tmp_path / "m.yaml"
    assert main(["inspect", place, "--write", str(mapping)]) == 1
    assert "event_id: /requestId" in mapping.read_text()
    capsys.readouterr()
    assert main(["inspect", place, "--format", "mapping", "--option", f"mapping={mapping}"]) == 0
    assert "decoded   3 records of 1 accounts" in capsys.readouterr().out


def test_a_draft_names_what_it_could_not_find(tmp_path: Path) -> None:
    place = write(tmp_path / "log.jsonl", {"id": "r1", "text": "hi"})
    drafted = tmp_path / "mapping.yaml"
    main(["inspect", place, "--write", str(drafted)])
    text = drafted.read_text()
    assert "# account_id: /FILL/IN   # who asked" in text
    load_mapping(drafted)


@pytest.mark.parametrize(
    ("content", "words", "code"),
    [
        (b"", "no message to look at", 1),
        (b"\x1f\x00\x80\xff" * 50 + b"\n", "messages are binary", 1),
        (b"just text\n", "one JSON object a message or a line", 1),
        (b'{\n "event_id": "e"\n}\n', "1 message\n", 1),
    ],
)
def test_what_is_no_log(
    content: bytes, words: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.log"
    path.write_bytes(content)
    assert main(["inspect", str(path)]) == code
    assert words in capsys.readouterr().out


def test_one_document_over_many_lines_and_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps([NATIVE, NATIVE], indent=2))
    assert main(["inspect", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["n_messages"], report["n_records"], report["format_name"]) == (2, 2, "native")
    filled = {each["name"]: each["n_filled"] for each in report["fields"]}
    assert (filled["input"], filled["embedding"]) == (2, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.jsonl"], "--kafka HOST:PORT"),
        ([], "name a file"),
        (["LOG", "--format", "litelm"], "did you mean litellm?"),
        (["LOG", "--option", "account_pinter=/x"], "did you mean account_pointer?"),
        (["LOG", "--option", "account_pointer"], "KEY=VALUE"),
        (["LOG", "--records", "0"], "at least one"),
    ],
)
def test_wrong_usage(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "log.jsonl", LITELLM)
    assert main(["inspect", *(log if each == "LOG" else each for each in arguments)]) == 2
    assert words in capsys.readouterr().err


def test_formats_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--formats"]) == 0
    out = capsys.readouterr().out
    envoy = out.partition("envoy_ai_gateway")[2].partition("never gives: ")[2].partition("\n\n")[0]
    assert {"api_key_id", "embedding", "input", "output_text"} <= set(re.findall(r"\w+", envoy))
    assert "model_id" not in envoy
    assert "epoch_ns" in out


def test_an_account_that_changes_its_tenant_with_each_request_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hopping = [
        {**NATIVE, "account_id": "hops[/b]", "tenant_id": f"t{n}", "client_ip": "192.0.2.1"}
        for n in range(20)
    ]
    honest = [{**NATIVE, "account_id": "b", "tenant_id": f"t{n % 3}"} for n in range(30)]
    assert main(["inspect", write(tmp_path / "log.jsonl", *hopping, *honest)]) == 0
    out = capsys.readouterr().out
    [line] = [each for each in out.splitlines() if " values of " in each]
    assert "shows 20 values of tenant_id in 20 records" in line
    assert "hops" in line
