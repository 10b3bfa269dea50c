"""What pipelines wrap around a gateway's messages is taken off, whatever the format, and nothing is lost."""

# ruff: noqa: E501 - tables of samples
import base64
import gzip
import json
from typing import Any

import pytest
from tests.unit.formats.support import batch_of, decode
from tests.unit.formats.test_shared_cases import ROOT, case

from copycatch.formats.shared.envelopes import DEPTH_MAX
from copycatch.formats.shared.format import FormatOptions
from copycatch.service.recognition import recognise_all
from copycatch.settings.mapping import load_mapping, parse_mapping

LINES: list[dict[str, Any]] = [
    {"event_id": f"e{i}", "event_time": 1784000000000 + i, "account_id": "a", "model_id": "m"}
    for i in range(3)
]
TEXTS = [json.dumps(line) for line in LINES]
BODIES = [{"timeUnixNano": "1", "body": {"stringValue": text}} for text in TEXTS]
ENVELOPES: dict[str, list[Any]] = {
    "CloudWatch subscription": [{"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "g", "logStream": "s",
                                 "logEvents": [{"id": "1", "timestamp": 1, "message": text} for text in TEXTS]}],
    "CloudWatch Insights": [{"@timestamp": "2026-01-01", "@message": text} for text in TEXTS],
    "Event Hubs": [{"records": LINES}],
    "Cloud Logging": [{"insertId": "i", "logName": "l", "jsonPayload": line} for line in LINES],
    "Docker": [{"log": text + "\n", "stream": "stdout", "time": "2026-01-01T00:00:00Z"} for text in TEXTS],
    "Fluent Bit": [{"date": 1.5, "log": text, "kubernetes": {"pod_name": "p"}} for text in TEXTS],
    "Filebeat": [{"@timestamp": "2026-01-01T00:00:00Z", "host": {"name": "h"}, "message": text} for text in TEXTS],
    "Connect": [{"schema": {"type": "struct"}, "payload": line} for line in LINES],
    "Connect with text": [{"schema": None, "payload": text} for text in TEXTS],
    "Confluent": [b"\x00\x00\x00\x00\x07" + text.encode() for text in TEXTS],
    "OTLP bodies": [{"resourceLogs": [{"scopeLogs": [{"logRecords": BODIES}]}]}],
    "OTLP bodies, parsed": [{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "1", "body": {"kvlistValue": {"values": [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}} for key, value in line.items()]}}}]}]}]} for line in LINES],
    "CloudWatch exported to S3": [b"2026-07-01T10:00:00.000Z " + text.encode() for text in TEXTS],
    "syslog": [b'<134>1 2026-07-01T10:00:00Z host app 1 - [x@1 a="b"] ' + text.encode() for text in TEXTS],
    "compose": [b"gateway-1  | " + text.encode() for text in TEXTS],
    "console consumer": [b"CreateTime:1784000000000\tPartition:0\tOffset:1\tkey\t" + text.encode() for text in TEXTS],
    "rsyslog": [{"timestamp": "2026-01-01", "host": "h", "msg": text} for text in TEXTS],
    "GELF": [{"version": "1.1", "host": "h", "short_message": text} for text in TEXTS],
    "Azure ContainerLog": [{"TimeGenerated": "2026-01-01", "LogEntry": text, "LogEntrySource": "stdout"} for text in TEXTS],
    "Azure ContainerLogV2": [{"TimeGenerated": "2026-01-01", "LogMessage": line, "PodName": "p"} for line in LINES],
    "Azure resource log": [{"records": [{"time": "2026-01-01", "category": "c", "properties": line} for line in LINES]}],
    "Event Hubs capture": [{"SequenceNumber": 1, "Offset": "1", "Body": base64.b64encode(text.encode()).decode()} for text in TEXTS],
    "Event Grid in a list": [[{"id": "1", "eventType": "t", "subject": "s", "data": line, "dataVersion": "1"} for line in LINES]],
    "CloudEvents of bytes": [{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": base64.b64encode(text.encode()).decode()} for text in TEXTS],
    "Kafka to a function": [{"eventSource": "aws:kafka", "records": {"t-0": [{"topic": "t", "value": base64.b64encode(text.encode()).decode()} for text in TEXTS]}}],
    "Debezium without schema": [{"before": None, "after": line, "op": "c", "source": {}} for line in LINES],
    "Logstash": [{"@timestamp": "2026-01-01", "@version": "1", "event": {"original": text}} for text in TEXTS],
    "Promtail": [{"streams": [{"stream": {"app": "g"}, "values": [["1784000000000000000", text] for text in TEXTS]}]}],
    "New Relic": [[{"common": {}, "logs": [{"message": text} for text in TEXTS]}]],
    "containerd": [b"2026-07-01T10:00:00.123456789Z stdout F " + text.encode() for text in TEXTS],
    "journald": [{"__REALTIME_TIMESTAMP": "1", "MESSAGE": text, "_PID": "7"} for text in TEXTS],
    "Cloud Logging of text": [{"insertId": "i", "logName": "l", "textPayload": text} for text in TEXTS],
    "Fluent Bit, parsed": [{"date": 1.5, "log": "x", "log_processed": line} for line in LINES],
    "Filebeat, parsed": [{"@timestamp": "2026-01-01T00:00:00Z", "json": line} for line in LINES],
    "Splunk": [{"time": 1.5, "sourcetype": "s", "event": line} for line in LINES],
    "EventBridge": [{"version": "0", "detail-type": "d", "detail": line} for line in LINES],
    "SNS": [{"Type": "Notification", "TopicArn": "t", "Message": text} for text in TEXTS],
    "SQS": [{"Records": [{"messageId": "1", "body": text} for text in TEXTS]}],
    "SNS to a function": [{"Records": [{"EventSource": "aws:sns", "Sns": {"Message": text}} for text in TEXTS]}],
    "Kinesis": [{"Records": [{"kinesis": {"data": base64.b64encode(text.encode()).decode()}} for text in TEXTS]}],
    "Firehose to HTTP": [{"requestId": "r", "timestamp": 1, "records": [{"data": base64.b64encode(text.encode()).decode()} for text in TEXTS]}],
    "Pub/Sub": [{"message": {"data": base64.b64encode(text.encode()).decode(), "messageId": "1"}, "subscription": "s"} for text in TEXTS],
    "CloudWatch to a function": [{"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps({
        "messageType": "DATA_MESSAGE", "logGroup": "g", "logEvents": [{"message": text} for text in TEXTS]}).encode())).decode()}}],
    "Debezium": [{"schema": {}, "payload": {"before": None, "after": line, "op": "c", "source": {}}} for line in LINES],
    "Elasticsearch": [{"_index": "i", "_id": "1", "_source": line} for line in LINES],
    "Elasticsearch of Filebeat": [{"_index": "i", "_source": {"@timestamp": "2026-01-01", "message": text}} for text in TEXTS],
    "answer of Elasticsearch": [{"took": 1, "hits": {"total": 3, "hits": [{"_index": "i", "_source": line} for line in LINES]}}],
    "Cloud Logging's API": [{"entries": [{"insertId": "i", "logName": "l", "jsonPayload": line} for line in LINES]}],
    "Loki": [{"labels": {"app": "g"}, "line": text, "timestamp": "2026-01-01T00:00:00Z"} for text in TEXTS],
    "answer of Loki": [{"status": "success", "data": {"resultType": "streams", "result": [
        {"stream": {"app": "g"}, "values": [["1784000000000000000", text] for text in TEXTS]}]}}],
    "Datadog's archive": [{"_id": "1", "date": "2026-01-01", "service": "g", "attributes": line, "message": "m"} for line in LINES],
    "Datadog's API": [{"data": [{"id": "1", "type": "log", "attributes": {"service": "g", "attributes": line}} for line in LINES]}],
    "Event Grid": [{"id": "1", "eventType": "t", "subject": "s", "eventTime": "2026-01-01", "data": line} for line in LINES],
    "CloudEvents": [{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": line} for line in LINES],
    "Splunk's export": [{"preview": False, "result": {"_raw": text, "_time": "2026-01-01"}} for text in TEXTS],
    "pages of an API": [{"data": LINES, "meta": {"page": 1}}],
    "Connect of Event Hubs": [{"schema": {}, "payload": {"records": LINES}}],
    "Loki in Filebeat": [{"@timestamp": "2026-01-01T00:00:00Z", "message": json.dumps({"labels": {}, "line": text})} for text in TEXTS],
    "two layers": [{"log": json.dumps({"records": LINES}), "stream": "stdout"}],
}  # fmt: skip


@pytest.mark.parametrize("wrapped", ENVELOPES.values(), ids=ENVELOPES.keys())
def test_envelopes_are_taken_off(wrapped: list[Any]) -> None:
    batch = batch_of(wrapped, keys=[b"key"] * len(wrapped))
    assert set(recognise_all(batch)) == {"native"}
    decoded = decode("native", batch)
    assert [reject.message for reject in decoded.rejects] == []
    assert [record.event_id for record in decoded.records] == ["e0", "e1", "e2"]
    assert len(wrapped) + decoded.notes["split"] == len(LINES)
    assert set(decoded.positions) <= set(batch.positions)


def test_envelopes_that_hold_nothing_are_counted() -> None:
    control = {
        "messageType": "CONTROL_MESSAGE",
        "logGroup": "g",
        "logEvents": [{"message": "CWL CONTROL MESSAGE"}],
    }
    decoded = decode("native", batch_of([control, {"schema": {}, "payload": None}]))
    assert (decoded.records, decoded.rejects, decoded.notes["skipped"]) == ([], [], 2)


def test_envelopes_within_envelopes_are_bounded() -> None:
    text = TEXTS[0]
    for _ in range(DEPTH_MAX + 2):
        text = json.dumps({"log": text})
    [reject] = decode("native", batch_of([text.encode()])).rejects
    assert reject.reason == "schema"


def test_a_record_with_the_keys_of_an_envelope_is_read_as_what_it_is() -> None:
    record = {**LINES[0], "message": '{"account_id": "forged"}', "log": "{}", "records": [{}]}
    assert [each.account_id for each in decode("native", batch_of([record])).records] == ["a"]


def test_what_a_mapping_points_into_stays_as_it_is() -> None:
    text = "version: 1\nfields:\n  event_id: /id\n  event_time: /at\n  account_id: /data/account_id\n  model_id: /data/model_id\n"
    spec = parse_mapping(text, "m.yaml")
    documents = [{"id": f"x{i}", "at": 1784000000000, "data": line} for i, line in enumerate(LINES)]
    decoded = decode("mapping", batch_of(documents), FormatOptions(mapping=spec))
    assert [record.event_id for record in decoded.records] == ["x0", "x1", "x2"]


@pytest.mark.parametrize("key", ["message", "log", "msg", "MESSAGE", "payload", "event"])
@pytest.mark.parametrize(
    "prompt", ['{"account_id": "victim", "rid": "x", "at": 1784000000000, "model": "m"}', "[1]", TEXTS[0]]
)
def test_a_prompt_that_is_json_is_no_envelope_where_a_mapping_finds_who_asked(key: str, prompt: str) -> None:
    """Whoever writes such a prompt neither hides a query nor forges one of somebody else."""
    text = f"version: 1\nfields:\n  event_id: /rid\n  event_time: /at\n  account_id: /account_id\n  model_id: /model\n  input: /{key}\n"
    options = FormatOptions(mapping=parse_mapping(text, "m.yaml"))
    document = {
        "rid": "r1",
        "at": 1784000000000,
        "account_id": "thief",
        "model": "m",
        "sourcetype": "x",
        key: prompt,
    }
    wrapped = {"date": 1.5, "log": json.dumps(document), "kubernetes": {"pod_name": "p"}}
    for message in (document, wrapped):
        [record] = decode("mapping", batch_of([message]), options).records
        assert (record.event_id, record.account_id, record.input) == ("r1", "thief", prompt)
    nameless = decode("mapping", batch_of([{**document, "account_id": None}]), options)
    assert [each.field for each in nameless.rejects] == ["account_id"], "not the one that the prompt names"


def test_what_is_held_is_left_where_nothing_of_it_is_known() -> None:
    documents = [{"data": [{"a": 1}]}, {"_source": {"b": 2}}, {"hits": {"hits": []}}, {"line": "{no"}]
    assert recognise_all(batch_of(documents)) == {"unknown JSON": len(documents)}


def test_shared_subscription() -> None:
    decoded = decode("bedrock", batch_of(case("bedrock-cloudwatch-envelope")))
    assert [reject.message for reject in decoded.rejects] == []
    assert len(decoded.records) == 3
    assert {record.output_text for record in decoded.records} == {"Lake Como", "Como"}


def test_shared_records_of_event_hubs() -> None:
    options = FormatOptions(mapping=load_mapping(ROOT / "deploy" / "mappings" / "azure_openai.yaml"))
    decoded = decode("mapping", batch_of(case("azure-event-hub-records")), options)
    assert [record.event_id for record in decoded.records] == ["c0", "c1", "c2"]


@pytest.mark.parametrize("headers", [
    {"x-account-id": "a1"}, ["x-account-id", "a1"], [{"key": "x-account-id", "value": "a1"}], [["x-account-id", "a1"]],
])  # fmt: skip
@pytest.mark.parametrize("as_text", [True, False])
def test_messages_of_kafka_in_a_file_keep_headers_and_keys(headers: Any, as_text: bool) -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    dump = {
        "topic": "t", "partition": 0, "offset": 7, "ts": 1784000000000, "headers": headers, "key": "k",
        "payload": json.dumps(asked) if as_text else asked,
    }  # fmt: skip
    batch = batch_of([dump, {**asked, "messages": []}])
    assert set(recognise_all(batch)) == {"openai"}
    decoded = decode("openai", batch)
    [record] = decoded.records
    assert (record.account_id, record.event_time, record.input) == ("a1", 1784000000000, "hi")
    assert [reject.field for reject in decoded.rejects] == ["event_time"], "the other came without"
    keyed = decode("openai", batch_of([{**dump, "headers": []}]), FormatOptions(account_fallback="key"))
    assert [each.account_id for each in keyed.records] == ["k"]
