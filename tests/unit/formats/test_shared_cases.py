"""Logs as users brought them (../shared/cases, where they are), by what they have to do with accounts."""

# ruff: noqa: E501 - tables of samples, one a line
import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.formats.support import batch_of, decode

from copycatch.formats.catalog import recognise
from copycatch.formats.shared.format import FormatOptions

ROOT = Path(__file__).parents[3]
CASES = ROOT.parent / "shared" / "cases" / "formats"


def case(folder: str, file: str = "in.jsonl") -> list[bytes]:
    """Lines of a case; skips the test where the cases are not next to the project."""
    path = CASES / folder / file
    if not path.is_file():
        pytest.skip("the shared cases are not next to the project")
    return path.read_bytes().splitlines()


def accounts(name: str, documents: list[Any], **options: Any) -> list[str]:
    decoded = decode(name, batch_of(documents), FormatOptions(**options))
    assert [reject.message for reject in decoded.rejects] == []
    return [record.account_id for record in decoded.records]


def test_shared_role_sessions_and_profiles() -> None:
    records = decode("bedrock", batch_of(case("bedrock-role-sessions"))).records
    assert {each.account_id for each in records} == {
        "arn:aws:sts::111122223333:assumed-role/AgentCoreRole-ab"
    }
    assert len({each.model_id for each in records}) == 1


def test_shared_placeholder_users() -> None:
    assert set(accounts("litellm", case("litellm-default-user"))) == {"cust-0", "cust-1", "cust-2"}


def test_shared_payload_without_call_id() -> None:
    records = decode("litellm", batch_of(case("litellm-before-call-id"))).records
    assert {(each.account_id, each.tenant_id, each.status) for each in records} == {("u-7", "team-1", 200)}
    assert len(records) == 5


def test_shared_pointer_into_text() -> None:
    found = accounts("databricks", case("pointer-into-json-text"), account_pointer="/request/user")
    assert found == ["end-7"]


TIME = "2026-03-01T10:00:00Z"


def litellm(**metadata: Any) -> dict[str, Any]:
    return {
        "id": "e", "litellm_call_id": "c", "call_type": "acompletion", "startTime": 1772359200.0,
        "model_group": "m", "end_user": "claimed", "metadata": {"user_api_key_org_id": "org", **metadata},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"user_api_key_user_id": "u", "user_api_key_hash": "h"}, "u"),
        ({"user_api_key_hash": "h"}, "h"),
        ({"user_api_key_user_id": "default_user_id", "user_api_key_hash": "h"}, "claimed"),
        ({"user_api_key_user_id": "Default_User_Id", "user_api_key_end_user_id": "eu"}, "eu"),
    ],
)
def test_who_pays_for_a_key_is_judged(metadata: dict[str, Any], expected: str) -> None:
    assert accounts("litellm", [litellm(**metadata)]) == [expected]


def test_headers_of_the_client_name_no_tenant_unless_an_option_says_so() -> None:
    custom = {"x-tenant-id": "forged"}
    event = {
        "specversion": "1.0", "source": "s", "id": "e", "time": TIME, "inferenceservicename": "m",
        "namespace": "n", "metadata": {"x-account-id": ["a1"], "x-tenant-id": ["forged"]},
    }  # fmt: skip
    kind = "org.kubeflow.serving.inference."
    samples: dict[str, list[Any]] = {
        "litellm": [litellm(user_api_key_user_id="u", requester_custom_headers=custom)],
        "kserve": [{**event, "type": kind + "request", "data": {"instances": [[1]]}},
                   {**event, "type": kind + "response", "data": {"predictions": [1]}}],
        "openai": [{"account_id": "a1", "time": TIME, "headers": custom, "request": {"model": "m", "prompt": "x"}}],
    }  # fmt: skip
    without = {"litellm": "org", "kserve": "n", "openai": None}
    for name, documents in samples.items():
        [record] = decode(name, batch_of(documents)).records
        assert record.tenant_id == without[name], name
        [named] = decode(name, batch_of(documents), FormatOptions(tenant_headers=("x-tenant-id",))).records
        assert named.tenant_id == ("org" if name == "litellm" else "forged"), "what is authenticated wins"


@pytest.mark.parametrize("claim", ["user", "safety_identifier"])
def test_the_client_does_not_say_who_it_is(claim: str) -> None:
    document = {"time": TIME, "request": {"model": "m", "prompt": "x", claim: "victim"}, "response": {}}
    decoded = decode("openai", batch_of([document]))
    assert [reject.field for reject in decoded.rejects] == ["account_id"]
    assert accounts("openai", [document], account_pointer=f"/request/{claim}") == ["victim"]
    assert accounts("openai", [{**document, "request": json.dumps(document["request"])}],
                    account_pointer=f"/request/{claim}") == ["victim"]  # fmt: skip


def test_of_headers_sent_twice_the_gateways_own_counts() -> None:
    batch = batch_of([{"time": TIME, "request": {"model": "m", "prompt": "x"}}])
    batch.headers = [[("X-Account-Id", b"forged"), ("x-account-id", b"a1")]]
    assert decode("openai", batch).records[0].account_id == "a1"
    capture = {
        "captureData": {"endpointInput": {"data": "1", "encoding": "CSV"}},
        "eventMetadata": {"eventId": "e", "inferenceTime": TIME, "customAttributes": ["account=forged;account=a1"]},
    }  # fmt: skip
    assert accounts("sagemaker", [capture], model_id="m") == ["a1"]


@pytest.mark.parametrize("key", ["litellm_call_id", "captureData", "databricks_request_id", "resourceSpans"])
def test_a_key_of_another_format_hides_no_query(key: str) -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    asked = {"id": "e", "inputs": [tensor], key: 1}
    answered = {"id": "e", "model_name": "m", "outputs": [tensor]}
    batch = batch_of([asked, answered], {"x-account-id": "a1"}, [1000, 1001])
    assert [record.account_id for record in decode("oip", batch).records] == ["a1"]
    envelope = {
        "account_id": "a1",
        "time": TIME,
        "request": {"model": "m", "prompt": "x"},
        "response": {},
        key: 1,
    }
    assert accounts("openai", [envelope]) == ["a1"]


@pytest.mark.parametrize(
    ("folder", "file", "expected"),
    [
        ("otel-content-events", "in.jsonl", ["name a lake"]),
        ("otel-content-events", "azure.jsonl", ["name a lake"]),
        ("otel-indexed-parts", "in.jsonl", ["what is in it", "what is it"]),
        ("otel-operation-names", "in.jsonl", ["name a lake"] * 6),
        ("otel-time-zero", "in.jsonl", [None]),
    ],
)
def test_shared_spans(folder: str, file: str, expected: list[str | None]) -> None:
    decoded = decode("otel", batch_of(case(folder, file)))
    assert decoded.rejects == []
    assert [record.input for record in decoded.records] == expected
    assert all(int(record.event_time) > 1_780_000_000_000 for record in decoded.records)


def span(*attributes: tuple[str, Any], **more: Any) -> dict[str, Any]:
    given = [("user.id", "a1"), ("gen_ai.request.model", "m"), *attributes]
    found = [{"key": key, "value": {"stringValue": value}} for key, value in given]
    times = {"startTimeUnixNano": "1784000000000000000", "traceId": "t", "spanId": "s"}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [{**times, "attributes": found, **more}]}]}]}


@pytest.mark.parametrize(
    "operation", ["chat", "responses", "acompletion", "generate_content", "speech", "own"]
)
def test_any_operation_that_is_no_enclosing_one_asks_a_model(operation: str) -> None:
    assert accounts("otel", [span(("gen_ai.operation.name", operation))]) == ["a1"]


@pytest.mark.parametrize("operation", ["invoke_agent", "create_agent", "execute_tool", "invoke_workflow"])
def test_enclosing_operations_are_skipped(operation: str) -> None:
    decoded = decode("otel", batch_of([span(("gen_ai.operation.name", operation))]))
    assert (decoded.records, decoded.rejects, decoded.notes["skipped"]) == ([], [], 1)


def test_content_in_events_of_the_span_and_in_log_records() -> None:
    body = {"kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "ask"}}]}}
    ids = {"traceId": "t", "spanId": "s"}
    record = {**ids, "eventName": "gen_ai.user.message", "body": body, "timeUnixNano": "0"}
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    attributes = [
        {"key": "gen_ai.event.content", "value": {"stringValue": '{"role":"user","content":"ask"}'}}
    ]
    inside = span(events=[{"name": "gen_ai.user.message", "attributes": attributes}])
    for documents in ([logs, span()], [inside]):
        assert [each.input for each in decode("otel", batch_of(documents)).records] == ["ask"]


SPEND = {
    "request_id": "s0", "call_type": "acompletion", "api_key": "h", "spend": 0.1, "startTime": "2026-07-01 10:00:00.5",
    "endTime": "2026-07-01 10:00:01.5", "model": "gpt-x", "model_group": "m", "user": "default_user_id",
    "team_id": "t1", "metadata": '{"user_api_key_user_id": "default_user_id"}', "end_user": "c1", "messages": "{}",
    "response": "{}", "status": "success",
}  # fmt: skip


def test_rows_of_spend_logs() -> None:
    assert recognise(SPEND, {}) == "litellm"
    [record] = decode("litellm", batch_of([SPEND])).records
    assert (record.event_id, record.account_id, record.tenant_id, record.status) == ("s0", "c1", "t1", 200)
    assert record.event_time == 1782900000500
    assert accounts("litellm", [{**SPEND, "user": "u", "metadata": "{}"}]) == ["u"]


def test_shared_rows_of_spend_logs() -> None:
    lines = case("naive-times", "spendlogs.jsonl")
    assert {recognise(json.loads(line), {}) for line in lines} == {"litellm"}
    assert len(accounts("litellm", lines)) == len(lines)
