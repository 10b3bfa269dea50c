"""Every case and every sample of ../shared is recognised as `inspect` does and gives what is right there."""

# ruff: noqa: E501 - tables of cases, one a line
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.unit.formats.test_shared_cases import CASES, ROOT

from copycatch.adapters.peek import peek_file
from copycatch.alert_formats.ecs import encode_ecs
from copycatch.cli.format_options import options_of
from copycatch.cli.inspect import _fitting
from copycatch.contracts.examples import EXAMPLES
from copycatch.features.catalog import SPECS
from copycatch.formats.catalog import make_decoder
from copycatch.formats.shared.format import FormatOptions
from copycatch.records.wire import Alert, InferenceRecord
from copycatch.service.inspection import inspect_batch
from copycatch.service.recognition import format_of

SAMPLES = ROOT.parent / "shared" / "samples"


class Case(NamedTuple):
    file: str
    format_name: str
    n_records: int
    options: tuple[str, ...] = ()
    check: Callable[[list[InferenceRecord]], bool] = lambda _records: True


ROLE = "arn:aws:sts::111122223333:assumed-role/AgentCoreRole-ab"
EXPECTED: tuple[Case, ...] = (
    Case("azure-event-hub-records/in.jsonl", "mapping", 3, ("mapping=azure_openai",)),
    Case("bedrock-cloudwatch-envelope/in.jsonl", "bedrock", 3),
    Case("bedrock-cloudwatch-envelope/firehose.json.gz", "bedrock", 9),
    Case("bedrock-cloudwatch-envelope/extracted.gz", "bedrock", 3),
    Case("bedrock-role-sessions/in.jsonl", "bedrock", 20, (), lambda found: {each.account_id for each in found} == {ROLE} and len({each.model_id for each in found}) == 1),
    Case("date-folders/AWSLogs", "bedrock", 2),
    Case("hf-all-scores/in.jsonl", "sagemaker", 1, ("model_id=m",), lambda found: (found[0].predicted_label, found[0].top_scores) == ("POSITIVE", [0.98, 0.02])),
    Case("kserve-data-base64/in.jsonl", "kserve", 1, (), lambda found: (found[0].input, found[0].predicted_label) == ([1, 2], 1)),
    Case("kserve-streamed-answer/in.jsonl", "kserve", 1, (), lambda found: (found[0].account_id, found[0].input, found[0].output_text) == ("cust-1", "name a lake", "Como")),
    Case("litellm-before-call-id/in.jsonl", "litellm", 5, (), lambda found: {(each.account_id, each.tenant_id, each.status) for each in found} == {("u-7", "team-1", 200)}),
    Case("litellm-default-user/in.jsonl", "litellm", 6, (), lambda found: {each.account_id for each in found} == {"cust-0", "cust-1", "cust-2"}),
    Case("litellm-embedding-batch/in.jsonl", "litellm", 50, (), lambda found: all(each.embedding is not None for each in found)),
    Case("lone-surrogate/in.jsonl", "native", 1, (), lambda found: "�" in str(found[0].input)),
    Case("mapping-batch-rows/azureml.jsonl", "mapping", 4, ("mapping=azureml",), lambda found: [each.input for each in found] == [[i, 2.5] for i in range(4)] and [each.predicted_label for each in found] == ["0", "1"] * 2),
    Case("mapping-batch-rows/vertex.jsonl", "mapping", 3, ("mapping=vertex_custom_model",), lambda found: [each.probabilities for each in found] == [[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]]),
    Case("naive-times/in.jsonl", "openai", 1, ("times=UTC",), lambda found: found[0].event_time == 1782900000123),
    Case("naive-times/in.jsonl", "openai", 1, ("times=Europe/Berlin",), lambda found: found[0].event_time == 1782900000123 - 7_200_000),
    Case("naive-times/in.jsonl", "openai", 0),
    Case("naive-times/spendlogs.jsonl", "litellm", 4),
    Case("openai-embeddings-base64/in.jsonl", "openai", 2, (), lambda found: all(each.embedding is not None for each in found)),
    Case("openai-embeddings-base64/litellm.jsonl", "litellm", 1, (), lambda found: found[0].embedding is not None),
    Case("openai-streamed-answer/in.jsonl", "openai", 2, (), lambda found: [each.status for each in found] == [None, 504] and all(each.input for each in found)),
    Case("otel-content-events/in.jsonl", "otel", 1, (), lambda found: found[0].input == "name a lake"),
    Case("otel-content-events/azure.jsonl", "otel", 1, (), lambda found: found[0].input == "name a lake"),
    Case("otel-indexed-parts/in.jsonl", "otel", 2, (), lambda found: [each.input for each in found] == ["what is in it", "what is it"]),
    Case("otel-operation-names/in.jsonl", "otel", 6),
    Case("otel-time-zero/in.jsonl", "otel", 1, (), lambda found: int(found[0].event_time) > 1_780_000_000_000),
    Case("pointer-into-json-text/in.jsonl", "databricks", 1, ("account_pointer=/request/user",), lambda found: found[0].account_id == "end-7"),
    Case("replay-json-document/array.json", "native", 5),
    Case("rotated-suffix/logs", "native", 3, (), lambda found: [int(each.event_time) for each in found] == sorted(int(each.event_time) for each in found)),
    Case("sagemaker-xgboost-one-line/in.jsonl", "sagemaker", 3, ("model_id=m",), lambda found: [each.probabilities for each in found] == [[0.1], [0.9], [0.02, 0.97, 0.01]]),
)  # fmt: skip


def records_of(path: Path, format_name: str, options: tuple[str, ...]) -> list[InferenceRecord]:
    batch = peek_file(str(path), 500)
    if format_name != "mapping":
        assert format_of(batch) == format_name
    given = options_of(format_name, list(options))
    report = inspect_batch(batch, SPECS, given, format_name if format_name == "mapping" else None)
    decoded = make_decoder(format_name, given).decode(batch)
    assert report.n_records == len(decoded.records)
    assert bool(report.rejects) == (not decoded.records)
    return decoded.records


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not next to the project")
@pytest.mark.parametrize("case", EXPECTED, ids=lambda case: f"{case.file} {' '.join(case.options)}")
def test_case(case: Case) -> None:
    records = records_of(CASES / case.file, case.format_name, case.options)
    assert len(records) == case.n_records
    assert case.check(records)


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not next to the project")
def test_case_of_an_address_with_a_zone() -> None:
    address = (CASES / "ecs-ipv6-zone" / "in.txt").read_text().split()
    alert = msgspec.structs.replace(msgspec.convert(EXAMPLES["Alert"][0], Alert), client_ips=address)
    document: Any = msgspec.json.decode(encode_ecs(alert))
    assert "%" not in str([document.get("source"), document["related"]["ip"]])


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not next to the project")
def test_no_case_is_forgotten() -> None:
    assert {case.file.partition("/")[0] for case in EXPECTED} | {"ecs-ipv6-zone"} == {
        each.name for each in CASES.iterdir()
    }


SAMPLE_FILES = sorted(SAMPLES.glob("in_*.json")) if SAMPLES.is_dir() else []


@pytest.mark.skipif(not SAMPLE_FILES, reason="the samples are not next to the project")
@pytest.mark.parametrize("path", SAMPLE_FILES, ids=lambda path: path.stem)
def test_sample_is_recognised_as_it_lies_there(path: Path) -> None:
    batch = peek_file(str(path), 500)
    assert format_of(batch) is not None or _fitting(batch) is not None
    name = format_of(batch)
    options = FormatOptions() if name else options_of("mapping", [f"mapping={_fitting(batch)}"])
    decoder = make_decoder(name or "mapping", options)
    decoded = decoder.decode(batch)
    decoder.flush(0)
    waiting = len(decoder.flush(1 << 52).rejects)
    faults = {reject.field for reject in decoded.rejects}
    assert decoded.records or waiting or faults <= {"account_id", "model_id", "event_time"}, (
        "what one has to name"
    )
