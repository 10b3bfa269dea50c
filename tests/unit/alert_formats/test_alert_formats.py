"""Every output format, on hostile alerts: valid by its schema, bounded, and read back by others' parsers."""

import json
import re
from functools import cache
from typing import Any

import jsonschema
import msgspec
import pycef  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ocsf_models.events.findings import detection_finding as foreign  # type: ignore[import-untyped]

from copycatch.alert_formats.catalog import ALERT_FORMATS
from copycatch.contracts.examples import EXAMPLES
from copycatch.contracts.schemas import MESSAGES, alert_format_schemas, message_schema
from copycatch.records.wire import Alert
from copycatch.safe_text import printable

EXAMPLE = msgspec.convert(EXAMPLES["Alert"][0], Alert)
HOSTILE_IDS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.sampled_from(
        ["a|b=c\\d\ne", "x=1 cs1=forged", "\x1b[2J", "CEF:0|a|b|c|d|e|1|", "a" * 512, "é\u2028\u202e"]
    ),
)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
PROBS = st.floats(0, 1)
REASONS = st.fixed_dictionaries(
    {
        "feature": st.sampled_from(["queries", "low_margin_share"]),
        "value": st.floats(-1e9, 1e9),
        "normal_low": st.none() | PROBS,
        "normal_high": st.none() | PROBS,
        "tail_prob": st.none() | PROBS,
        "share": PROBS,
        "words": WORDS,
    }
)
ALERTS = st.fixed_dictionaries(
    {
        "uid": st.just("9b1c0f5e7d2a4c63"),
        "op": st.sampled_from(["open", "update", "close", "reopen"]),
        "time": st.just("2026-11-22T00:43:44.000Z"),
        "first_seen": st.just("2026-11-21T23:43:44.000Z"),
        "last_seen": st.just("2026-11-22T00:43:40.000Z"),
        "severity": st.sampled_from(["low", "medium", "high", "critical"]),
        "mode": st.sampled_from(["enforce", "shadow"]),
        "tenant_id": st.none() | HOSTILE_IDS,
        "model_id": HOSTILE_IDS,
        "entity": st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["account", "campaign"]),
                "id": HOSTILE_IDS,
                "accounts": st.lists(HOSTILE_IDS, max_size=3),
                "accounts_total": st.integers(1, 10_000),
            }
        ),
        "score": st.fixed_dictionaries(
            {"tail_prob": st.none() | PROBS, "rank": WORDS, "attack_prob": st.none() | PROBS}
        ),
        "rule": HOSTILE_IDS,
        "policy_version": st.just("9f2c"),
        "detector_version": st.just("0.1.0"),
        "window_s": st.just(3600.0),
        "queries": st.integers(1, 10**9),
        "reasons": st.lists(REASONS, max_size=3),
        "sample_event_ids": st.lists(HOSTILE_IDS, max_size=2),
        "techniques": st.lists(st.sampled_from(["AML.T0024", "AML.T0024.002", "AML.T9999"]), max_size=3),
        "recommendation": st.none() | HOSTILE_IDS,
        "words": st.one_of(WORDS, st.just("long " * 2000)),
        "client_ips": st.lists(st.sampled_from(["203.0.113.7", "2001:db8::1", "203.0.113.***", "'; drop"])),
        "looks_like": st.lists(WORDS, max_size=2),
    }
).map(lambda fields: msgspec.convert(fields, Alert))


@cache
def check_of(name: str) -> jsonschema.Draft202012Validator:
    alert = next(message for message in MESSAGES if message.cls is Alert)
    schema: dict[str, Any] = (
        message_schema(alert) if name == "native" else alert_format_schemas()[f"{name}.schema.json"]
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def parsed(name: str, line: bytes) -> Any:
    return line.decode() if name == "cef" else json.loads(line)


@pytest.mark.parametrize("name", sorted(ALERT_FORMATS))
@given(alert=ALERTS)
@settings(max_examples=60, deadline=None)
def test_what_is_written_validates_and_is_one_bounded_line(name: str, alert: Alert) -> None:
    line = ALERT_FORMATS[name].encode(alert)
    check_of(name).validate(parsed(name, line))
    assert b"\n" not in line
    assert b"\r" not in line
    assert b"\x1b" not in line
    assert len(line) < 64_000


@pytest.mark.parametrize("name", ["ocsf", "ecs"])
def test_the_schemas_refuse_what_is_not_written(name: str) -> None:
    document = parsed(name, ALERT_FORMATS[name].encode(EXAMPLE))
    document["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        check_of(name).validate(document)


@pytest.mark.parametrize(
    ("op", "activity", "status"), [("open", 1, 1), ("update", 2, 1), ("close", 3, 4), ("reopen", 99, 1)]
)
def test_ocsf_activities(op: Any, activity: int, status: int) -> None:
    finding = parsed("ocsf", ALERT_FORMATS["ocsf"].encode(msgspec.structs.replace(EXAMPLE, op=op)))
    assert finding["activity_id"] == activity
    assert finding["type_uid"] == 2004 * 100 + activity
    assert finding["status_id"] == status
    assert finding["finding_info"]["uid"] == EXAMPLE.uid
    assert finding["metadata"]["uid"].startswith(f"{EXAMPLE.uid}:{op}:")


def test_ocsf_marks_shadow_as_experimental_and_carries_the_reasons() -> None:
    finding = parsed("ocsf", ALERT_FORMATS["ocsf"].encode(msgspec.structs.replace(EXAMPLE, mode="shadow")))
    assert finding["finding_info"]["analytic"]["state_id"] == 3
    assert finding["is_alert"] is False
    [analysis] = finding["anomaly_analyses"]
    assert analysis["anomalies"][0]["observation_parameter"] == "low_margin_share"
    assert [seen["value"] for seen in analysis["baselines"][0]["observations"]] == ["0.02", "0.11"]


def test_ocsf_core_is_read_by_an_independent_model() -> None:
    finding = parsed("ocsf", ALERT_FORMATS["ocsf"].encode(EXAMPLE))
    # Those models stop at OCSF 1.5: observable type 31 (user unique id) came later.
    finding["observables"] = [entry for entry in finding["observables"] if entry["type_id"] <= 30]
    read = foreign.DetectionFinding.model_validate(finding)
    assert read.class_uid == 2004
    assert read.severity_id == 4
    assert read.activity_id == 1
    assert read.finding_info.uid == EXAMPLE.uid
    assert read.metadata.tenant_uid == "acme"
    assert read.finding_info.analytic is not None
    assert read.finding_info.analytic.uid == "extraction"


def test_cef_is_read_by_an_independent_parser() -> None:
    read = pycef.parse(ALERT_FORMATS["cef"].encode(EXAMPLE).decode())
    assert read["DeviceVendor"] == "copycatch"
    assert read["DeviceEventClassID"] == "extraction"
    assert read["Severity"] == "8"
    assert read["suid"] == "acct-7f3a"
    assert read["model"] == "fraud-v3"
    assert read["atlasTechnique"] == "AML.T0024.002"
    assert read["msg"] == EXAMPLE.words
    assert float(read["tailProbability"]) == 0.0002


_UNESCAPE = {r"\=": "=", r"\\": "\\", r"\n": "\n", r"\r": "\r", r"\|": "|"}


def read_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """The specification's own words as a parser: header fields, and extension by key."""
    *header, extension = re.split(r"(?<!\\)(?:\\\\)*\|", line, maxsplit=7)
    starts = list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=", extension))
    ends = [found.start() for found in starts[1:]] + [len(extension)]
    fields = {}
    for found, end in zip(starts, ends, strict=True):
        text = extension[found.end() : end]
        fields[found[1]] = re.sub(r"\\[=\\nr]", lambda escape: _UNESCAPE[escape[0]], text)
    return header, fields


@given(alert=ALERTS)
@settings(max_examples=100, deadline=None)
def test_no_id_can_forge_a_cef_field(alert: Alert) -> None:
    honest = read_cef(ALERT_FORMATS["cef"].encode(EXAMPLE).decode())[1]
    header, fields = read_cef(ALERT_FORMATS["cef"].encode(alert).decode())
    assert len(header) == 7
    assert set(fields) <= set(honest) | {"cfp2", "cfp2Label", "c6a2", "c6a2Label"}
    assert fields["cnt"] == str(alert.queries)
    assert fields["cs2"] == printable(alert.model_id, 4000)


def test_addresses_that_are_none_stay_out_of_typed_fields() -> None:
    alert = msgspec.structs.replace(EXAMPLE, client_ips=["203.0.113.***", "2001:db8::1"])
    document = parsed("ecs", ALERT_FORMATS["ecs"].encode(alert))
    assert document["source"]["ip"] == "2001:db8::1"
    assert document["related"]["ip"] == ["2001:db8::1"]
    assert "c6a2=2001:db8::1" in ALERT_FORMATS["cef"].encode(alert).decode()


@pytest.mark.parametrize("name", ["ecs", "ocsf"])
def test_addresses_leave_without_the_zone_of_an_interface(name: str) -> None:
    alert = msgspec.structs.replace(EXAMPLE, client_ips=["fe80::1%eth0", "fe80::2%12"])
    document = parsed(name, ALERT_FORMATS[name].encode(alert))
    found = document["source"] if name == "ecs" else document["evidences"][0]["src_endpoint"]
    assert found["ip"] == "fe80::1"
    if name == "ecs":
        assert document["related"]["ip"] == ["fe80::1", "fe80::2"]


def test_cef_writes_addresses_without_the_zone_of_an_interface() -> None:
    alert = msgspec.structs.replace(EXAMPLE, client_ips=["fe80::1%eth0"])
    _, fields = read_cef(ALERT_FORMATS["cef"].encode(alert).decode())
    assert fields["c6a2"] == "fe80::1"
