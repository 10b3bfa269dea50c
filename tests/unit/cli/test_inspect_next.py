"""What `inspect` says to do next can be done as it is printed, and overwrites nothing; mappings and drafts decode."""

# ruff: noqa: E501 - tables of samples
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from copycatch.__main__ import main
from copycatch.cli.format_options import options_of
from copycatch.features.catalog import SPECS
from copycatch.formats.shared.format import FormatOptions
from copycatch.formats.shared.mapping_draft import draft_mapping
from copycatch.records.columns import RawBatch
from copycatch.service.inspection import Inspection, inspect_batch
from copycatch.settings.mapping import parse_mapping
from copycatch.settings.shipped import shipped_mappings

TIME = "2026-07-01T10:00:00.123Z"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def azureml(kind: str, index: int, data: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": f"i{index}", "source": "/ep", "type": f"azureml.inference.{kind}", "time": TIME,
            "correlationid": f"k{index}", "modelversion": "3", "data": data}  # fmt: skip


LOGS: dict[str, list[Any]] = {
    "azure_openai": [
        {"time": TIME, "category": "RequestResponse", "operationName": "ChatCompletions_Create", "durationMs": 8, "resultSignature": "200",
         "correlationId": f"c{i}", "callerIpAddress": "203.0.113.***", "resourceId": "/R", "properties": {"modelDeploymentName": "m", "objectId": f"o{i % 2}"}}
        for i in range(3)
    ],
    "azureml": [azureml(kind, i, data) for i in range(2) for kind, data in (
        ("inputs", [{"a": 1, "b": 2, "account_id": "a1"}, {"a": 3, "b": 4, "account_id": "a1"}]), ("outputs", [{"label": 1}, {"label": 0}]))],
    "cloudflare_ai_gateway": [
        {"id": f"c{i}", "created_at": TIME, "model": "m", "provider": "p", "tokens_in": 3, "tokens_out": 4, "duration": 8, "status_code": 200,
         "metadata": json.dumps({"user": "u1"})} for i in range(3)
    ],
    "mlflow_gateway": [
        {"trace_id": "t", "span_id": f"s{i}", "start_time_unix_nano": 1784000000000000000, "trace_metadata": {"mlflow.trace.user": "u1"},
         "attributes": {"mlflow.spanInputs": {**CHAT, "temperature": 0.5, "n": 1}, "mlflow.spanOutputs": {"model": "m", "choices": [{"message": {"role": "assistant", "content": "yo"}}]},
                        "mlflow.chat.tokenUsage": {"input_tokens": 1, "output_tokens": 1}}} for i in range(3)
    ],
    "vertex_custom_model": [
        {"endpoint": "e1", "deployed_model_id": "d1", "logging_time": "2026-07-01 10:00:00.123456 UTC", "request_id": f"7{i}", "account_id": "a1",
         "request_payload": ['{"instances":[[1,2],[3,4]]}'], "response_payload": ['{"predictions":[[0.1,0.9],[0.8,0.2]]}']} for i in range(3)
    ],
    "vertex_gemini": [
        {"request_id": f"7{i}", "logging_time": TIME, "model": "gemini", "model_version": "g-1", "metadata": {"account_id": "a1"},
         "full_request": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"temperature": 0, "candidateCount": 1}},
         "full_response": {"candidates": [{"content": {"parts": [{"text": "yo"}]}, "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}}}
        for i in range(3)
    ],
}  # fmt: skip
N_RECORDS = {"azureml": 4, "vertex_custom_model": 6}


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, list[list[str]]]:
    """What a command prints, and the commands that it says to run next."""
    assert main(arguments) in (0, 1)
    out = capsys.readouterr().out
    lines = [line.strip().removeprefix("next").strip() for line in out.splitlines()]
    return out, [shlex.split(line)[1:] for line in lines if line.startswith("copycatch ")]


@pytest.mark.parametrize("name", sorted(shipped_mappings()))
def test_every_shipped_mapping_is_proposed_for_its_log_and_decodes_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in LOGS[name]))
    for taken in ("settings.yaml", "alerts.jsonl"):
        Path(taken).write_text("mine\n")
    out, [again] = printed(["inspect", "my log.jsonl"], capsys)
    assert f"The mapping {name} that comes with copycatch fits" in out
    out, [write, replay] = printed(again, capsys)
    assert f"decoded   {N_RECORDS.get(name, 3)} records" in out
    assert "most of " in out
    assert "rejected" not in out
    assert main(write) == 0
    assert f"mapping: {name}" in Path("settings-2.yaml").read_text()
    assert replay[0] == "replay"
    assert "alerts-2.jsonl" in replay
    assert [Path(taken).read_text() for taken in ("settings.yaml", "alerts.jsonl")] == ["mine\n", "mine\n"]


def test_the_replay_that_is_printed_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in LOGS["azure_openai"]))
    _, [again] = printed(["inspect", "log.jsonl"], capsys)
    _, [_, replay] = printed(again, capsys)
    assert main(replay) == 1, "done, but nothing could be scored"
    assert "3 accepted" in "".join(capsys.readouterr())
    assert Path("alerts.jsonl").is_file()


def test_names_of_files_are_taken_for_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-dash.jsonl", "it's $x.jsonl"):
        Path(name).write_text(
            "\x1e" + json.dumps({"time": TIME, "account_id": "a", "request": CHAT, "response": {}})
        )
        _, commands = printed(["inspect", "--", name], capsys)
        for command in commands:
            assert main([*command, "--force"] if command[0] == "replay" else command) in (0, 1)
            assert "usage" not in capsys.readouterr().err
        Path("settings.yaml").unlink()


def test_options_go_with_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    document = {"time": TIME, "id": "e", "request": {**CHAT, "user": "u-9"}, "response": {}}
    Path("log.jsonl").write_text(json.dumps(document))
    option = ["--option", "account_pointer=/request/user"]
    out, commands = printed(["inspect", "log.jsonl", *option], capsys)
    assert "most of u-9 (100 %)" in out
    assert all(command[2:6] == ["--format", "openai", *option] for command in commands)


def kserve(kind: str, data: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "e", "source": "s", "type": f"org.kubeflow.serving.inference.{kind}", "time": TIME,
            "inferenceservicename": "m", "namespace": "n", "metadata": {"x-account-id": ["a1"]}, "data": data}  # fmt: skip


def test_half_of_a_pair_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = tmp_path / "half.jsonl"
    half.write_text(json.dumps(kserve("response", {"predictions": [1]})))
    out, commands = printed(["inspect", str(half)], capsys)
    assert "Only answers are here: log their requests, too." in out
    assert commands == []
    half.write_text(json.dumps(kserve("request", {"instances": [[1, 2]]})))
    out, [_, replay] = printed(["inspect", str(half)], capsys)
    assert "decoded   1 records of 1 accounts" in out, "as replay counts it"
    assert "1 requests taken without their response" in out
    assert replay[0] == "replay"
    out, commands = printed(["inspect", str(half), "--option", "unpaired=reject"], capsys)
    assert "leave out --option unpaired=reject" in out


@pytest.mark.parametrize(
    ("document", "options"),
    [
        ({"time": TIME, "client_ip": "203.0.113.7", "request": CHAT}, ["account_fallback=client_ip"]),
        ({"time": TIME, "account_id": "a", "request": {"prompt": "hi"}}, ["model_id=my-model"]),
        ({"time": TIME, "request": {**CHAT, "user": "u"}}, ["account_pointer=/request/user"]),
        ({"time": "2026-07-01 10:00:00", "account_id": "a", "request": CHAT}, ["times=UTC"]),
        ({"time": "2026-07-01 10:00:00", "client_ip": "203.0.113.7", "request": {"prompt": "hi"}},
         ["account_fallback=client_ip", "model_id=my-model", "times=UTC"]),
    ],
)  # fmt: skip
def test_options_that_a_log_needs_are_proposed_and_help(
    document: Any, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({**document, "response": {}}))
    out, [again] = printed(["inspect", str(log)], capsys)
    assert [word for word in again if "=" in word] == options
    assert "better, have the log say it" in out
    out, [_, replay] = printed(again, capsys)
    assert "decoded   1 records" in out
    assert [word for word in replay if "=" in word] == options


def test_a_kserve_log_without_account_is_told_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    events = [
        {**kserve("request", {"instances": [[1, 2]]}), "metadata": {}},
        kserve("response", {"predictions": [1]}),
    ]
    events[1]["metadata"] = {}
    Path("log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in events))
    out, [again] = printed(["inspect", "log.jsonl"], capsys)
    assert "takes what /namespace holds for the account; better, have the log say it." in out
    out, _ = printed(again, capsys)
    assert "most of n (100 %)" in out
    for event in events:
        del event["namespace"]
    Path("log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in events))
    out, commands = printed(["inspect", "log.jsonl"], capsys)
    assert "next      Nothing here names the account" in out
    assert commands == []


def test_times_in_the_future_are_told_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    documents = [{"event_id": f"e{n}", "event_time": time, "account_id": "a", "model_id": "m", "input": "x"}
                 for n, time in enumerate([TIME, "2098-01-01T00:00:00Z"])]  # fmt: skip
    log.write_text("".join(json.dumps(each) + "\n" for each in documents))
    assert main(["inspect", str(log)]) == 1
    out = capsys.readouterr().out
    assert "decoded   1 records" in out
    assert (
        "1 x far_future, first at 1: event_time: 2098-01-01T00:00:00.000Z is more than 300 s after now" in out
    )
    assert "check the clocks of the gateway and of this machine" in out
    log.write_text(json.dumps(documents[1]) + "\n")
    out, commands = printed(["inspect", str(log)], capsys)
    assert "mend what is rejected above" in out
    assert commands == []


def test_files_of_several_formats_are_each_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    logs = Path("logs")
    logs.mkdir()
    native = {"event_id": "e", "event_time": TIME, "account_id": "a", "model_id": "m", "input": "x"}
    openai = {"time": TIME, "account_id": "b", "request": CHAT, "response": {"id": "r", "choices": []}}
    (logs / "a.jsonl").write_text(json.dumps(native) + "\n" + json.dumps({**native, "event_id": "f"}) + "\n")
    (logs / "b.jsonl").write_text(
        "".join(
            json.dumps(each) + "\n"
            for each in (native | {"event_id": "g"}, openai, openai | {"time": "2026-07-01T10:00:05Z"})
        )
    )
    halves = [kserve("request", {"instances": [[1, 2]]}), kserve("response", {"predictions": [1]})]
    for name, half in zip(("c", "d"), halves, strict=True):
        (logs / f"{name}.jsonl").write_text(json.dumps(half) + "\n")
    out, commands = printed(["inspect", "logs"], capsys)
    assert "Files may differ: replay and run recognise each by itself." in out
    assert "--format" not in commands[-1]
    assert main(commands[-1]) == 1
    said = capsys.readouterr().err
    assert "format: native\nformat: openai in logs/b.jsonl\nformat: kserve in logs/c.jsonl\n" in said
    assert "6 records: 5 accepted, 0 duplicates, 0 late, 1 rejected" in said, "halves of two files are joined"
    assert "logs/b.jsonl, line 1: this is a record of format 'native'" in said
    monkeypatch.setenv("COPYCATCH_SNAPSHOTS__DIRECTORY", "state")
    for out, words in (("1.jsonl", "(1 of 6)"), ("2.jsonl", "nothing new. Already read")):
        assert main(["run", "--source", "logs", "--sink", out, "--log-level", "error"]) == 1
        assert words in capsys.readouterr().err


def test_no_option_helps_where_there_is_no_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"account_id": "a", "request": CHAT, "response": {}}))
    out, commands = printed(["inspect", str(log)], capsys)
    assert "event_time is missing" in out
    assert commands == []


def test_the_format_that_a_log_is_in_is_proposed_where_another_was_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"time": TIME, "account_id": "a", "request": CHAT, "response": {}}))
    _, [again] = printed(["inspect", str(log), "--format", "litellm"], capsys)
    assert again[-2:] == ["--format", "openai"]
    out, _ = printed(again, capsys)
    assert "decoded   1 records" in out


def inspected(documents: list[Any], text: str) -> Inspection:
    values = [json.dumps(each).encode() for each in documents]
    batch = RawBatch("log", 0, list(range(len(values))), values)
    return inspect_batch(batch, SPECS, FormatOptions(mapping=parse_mapping(text, "draft.yaml")), "mapping")


OTHERS: dict[str, list[Any]] = {
    "trace ids": [{"trace_id": "t", "traceId": "t", "request_id": f"r{i}", "user": {"id": "u1"}, "ts": 1784000000, "model": "m", "prompt": "hi"} for i in range(3)],
    "ids of others": [{"id": f"e{i}", "session": {"id": "s"}, "user": {"id": "u1"}, "created": 1784000000.5, "model": "m"} for i in range(3)],
    "microseconds": [{"uuid": f"e{i}", "customer": "u1", "timestamp": 1784000000000000, "model": "m", "query": "hi"} for i in range(3)],
    "nanoseconds as text": [{"uuid": f"e{i}", "customer": "u1", "timestamp": "1784000000000000000", "model": "m"} for i in range(3)],
}  # fmt: skip


@pytest.mark.parametrize("name", [*LOGS, *OTHERS])
def test_a_draft_takes_no_trace_id_for_an_event_id_and_gives_no_1970(name: str) -> None:
    documents = {**LOGS, **OTHERS}[name]
    text = draft_mapping(documents, name)
    rules = dict(
        line.strip().split(": ", 1) for line in text.splitlines() if line.startswith("  ") and "#" not in line
    )
    for shared in ("trace", "session", "user", "correlationid") if name != "azureml" else ("trace",):
        assert shared not in rules.get("event_id", "").lower() or name == "azure_openai"
    report = inspected(documents, text)
    assert report.first_time is None or report.first_time.startswith("2026-")
    if name in OTHERS:
        assert (report.n_records, report.rejects) == (3, [])
        assert [account for account, _ in report.biggest_accounts] == ["u1"]


def test_a_draft_of_nothing_but_trace_ids_leaves_the_event_id_open() -> None:
    text = draft_mapping(
        [{"trace_id": f"t{i}", "user": "u", "ts": 1784000000, "model": "m"} for i in range(3)], "x"
    )
    assert "# event_id: /FILL/IN" in text


def test_a_shipped_mapping_goes_by_its_name() -> None:
    spec = options_of("mapping", ["mapping=vertex_gemini"]).mapping
    assert spec is not None
    assert spec.name == "vertex_gemini"
