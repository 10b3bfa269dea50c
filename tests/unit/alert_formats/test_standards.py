"""Alerts of every kind against the standards: what OCSF 1.8 and ECS 9 require, and the types of an index.

The tables hold the parts of the two public schemas that copycatch writes (Apache-2.0 both): a field that is
not in them is refused here, as a strict index does.
"""

# ruff: noqa: E501, ISC004 - tables of names

import datetime as dt
import ipaddress
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from copycatch.alert_formats.ecs import encode_ecs
from copycatch.alert_formats.ocsf import encode_ocsf
from copycatch.contracts.examples import EXAMPLES
from copycatch.records.wire import Alert, Entity, Score

EXAMPLE = msgspec.convert(EXAMPLES["Alert"][0], Alert)
NO_SCORE = Score(tail_prob=None, rank="a limit was passed")
BARE: dict[str, Any] = {
    "reasons": [],
    "sample_event_ids": [],
    "recommendation": None,
    "score": NO_SCORE,
    "client_ips": [],
}
CAMPAIGN = Entity(kind="campaign", id="c-1", accounts=["a1", "a2"], accounts_total=40)
MODEL = Entity(kind="model", id="m", accounts=[], accounts_total=0)
KINDS: dict[str, Alert] = {
    "score": EXAMPLE,
    "limit": msgspec.structs.replace(EXAMPLE, rule="changing_bias", score=NO_SCORE),
    "flood": msgspec.structs.replace(
        EXAMPLE, rule="flood_cap", entity=CAMPAIGN, techniques=["AML.T0024"], **BARE
    ),
    "campaign": msgspec.structs.replace(
        EXAMPLE, rule="campaign", entity=CAMPAIGN, score=NO_SCORE, reasons=[]
    ),
    "member": msgspec.structs.replace(EXAMPLE, part_of="uid-of-the-campaign"),
    "model": msgspec.structs.replace(
        EXAMPLE, rule="model_not_judged", entity=MODEL, techniques=[], tenant_id=None, **BARE
    ),
    "set aside": msgspec.structs.replace(
        EXAMPLE,
        model_id="*",
        rule="records_set_aside",
        policy_version="none",
        window_s=0.0,
        entity=MODEL,
        techniques=[],
        **BARE,
    ),
}
ADDRESSES = ["fe80::1%eth0", "203.0.113.***", "2001:db8::1", "unknown", "203.0.113.7:443"]

# Of each object of OCSF 1.8: what it requires, and what else is written of it.
OCSF: dict[str, tuple[str, str]] = {
    "": (
        "activity_id category_uid class_uid finding_info metadata severity_id time type_uid",
        "activity_name category_name class_name type_name start_time end_time severity status_id status risk_score "
        "risk_level_id risk_level confidence_score is_alert action_id action disposition_id disposition message "
        "resources evidences anomaly_analyses observables remediation unmapped",
    ),
    "metadata": ("product version", "profiles uid correlation_uid log_name logged_time tenant_uid"),
    "metadata.product": ("name vendor_name", "version"),
    "finding_info": (
        "title uid",
        "desc types created_time first_seen_time last_seen_time related_events_count related_events analytic attacks",
    ),
    "finding_info.related_events": ("uid", "type_uid"),
    "finding_info.analytic": ("type_id", "uid name type version state_id state"),
    "finding_info.attacks": ("", "version tactic technique sub_technique"),
    "finding_info.attacks.tactic": ("uid", "name src_url"),
    "finding_info.attacks.technique": ("uid", "name src_url"),
    "finding_info.attacks.sub_technique": ("uid", "name src_url"),
    "resources": ("", "uid name type role_id"),
    "evidences": ("data", "uid name user src_endpoint"),
    "evidences.user": ("", "uid type_id"),
    "evidences.src_endpoint": ("", "ip"),
    "anomaly_analyses": ("analysis_targets anomalies", "baselines"),
    "anomaly_analyses.analysis_targets": ("name", "type"),
    "anomaly_analyses.anomalies": ("observation_parameter observations", "observation_type"),
    "anomaly_analyses.anomalies.observations": ("value", "count"),
    "anomaly_analyses.baselines": ("observation_parameter observations", "observation_type"),
    "anomaly_analyses.baselines.observations": ("value", "count"),
    "observables": ("type_id", "name type value"),
    "remediation": ("desc", ""),
}
FREE = {"unmapped", "evidences.data"}
ENUMS = {
    "activity_id": {1: "Create", 2: "Update", 3: "Close", 99: "Reopen"},
    "severity_id": {1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical", 6: "Fatal"},
    "status_id": {1: "New", 2: "In Progress", 3: "Suppressed", 4: "Resolved", 5: "Archived", 6: "Deleted"},
    "risk_level_id": {0: "Info", 1: "Low", 2: "Medium", 3: "High", 4: "Critical"},
    "action_id": {1: "Allowed", 2: "Denied", 3: "Observed", 4: "Modified"},
    "disposition_id": {1: "Allowed", 2: "Blocked", 15: "Detected", 19: "Alert"},
}

ECS: dict[str, str] = {
    "@timestamp": "date", "ecs.version": "keyword", "message": "text", "event.kind": "alert", "event.category": "keyword",
    "event.type": "keyword", "event.action": "keyword", "event.id": "keyword", "event.module": "keyword",
    "event.dataset": "keyword", "event.provider": "keyword", "event.severity": "long", "event.risk_score": "float",
    "event.reason": "keyword", "event.start": "date", "event.end": "date", "event.created": "date",
    "rule.id": "keyword", "rule.name": "keyword", "rule.version": "keyword", "rule.category": "keyword",
    "rule.reference": "keyword", "threat.framework": "keyword", "threat.tactic.id": "keyword", "threat.tactic.name": "keyword",
    "threat.tactic.reference": "keyword", "threat.technique.id": "keyword", "threat.technique.name": "keyword",
    "threat.technique.reference": "keyword", "threat.technique.subtechnique.id": "keyword",
    "threat.technique.subtechnique.name": "keyword", "threat.technique.subtechnique.reference": "keyword",
    "user.id": "keyword", "user.risk.calculated_score": "float", "user.risk.calculated_score_norm": "float",
    "user.risk.calculated_level": "keyword", "source.ip": "ip", "related.ip": "ip", "related.user": "keyword",
    "gen_ai.request.model": "keyword", "organization.id": "keyword",
}  # fmt: skip
EXPECTED = {
    "event.category": {"threat", "api"},
    "event.type": {"info", "indicator"},
    "user.risk.calculated_level": {"Unknown", "Low", "Moderate", "High", "Critical"},
}


def objects(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a document with the path to it; entries of lists have the path of their list."""
    if path in FREE:
        return
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            yield from objects(inner, f"{path}.{key}".strip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner, path)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}".strip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value


@pytest.fixture(params=KINDS, name="kind")
def _kind(request: pytest.FixtureRequest) -> Alert:
    return KINDS[request.param]


@pytest.mark.parametrize("op", ["open", "update", "close", "reopen"])
@pytest.mark.parametrize("mode", ["enforce", "shadow"])
@pytest.mark.parametrize("ips", [[], ADDRESSES], ids=["no address", "odd addresses"])
def test_ocsf(kind: Alert, op: Any, mode: Any, ips: list[str]) -> None:
    finding = msgspec.json.decode(
        encode_ocsf(msgspec.structs.replace(kind, op=op, mode=mode, client_ips=ips))
    )
    for path, each in objects(finding):
        required, optional = OCSF[path]
        assert set(required.split()) <= each.keys(), path
        assert each.keys() <= {*required.split(), *optional.split()}, path
    for name, captions in ENUMS.items():
        sibling = name.removesuffix("_id") if name != "activity_id" else "activity_name"
        assert captions[finding[name]] == finding[sibling]
    assert finding["type_uid"] == finding["class_uid"] * 100 + finding["activity_id"]
    assert all(isinstance(finding[name], int) for name in ("time", "start_time", "end_time"))
    for path, value in leaves(finding):
        if path.endswith(".ip"):
            assert str(ipaddress.ip_address(value)) == value
            assert "%" not in value
    assert all(each["value"] for each in finding["observables"])


@pytest.mark.parametrize("op", ["open", "update", "close", "reopen"])
@pytest.mark.parametrize("ips", [[], ADDRESSES], ids=["no address", "odd addresses"])
def test_ecs(kind: Alert, op: Any, ips: list[str]) -> None:
    document = msgspec.json.decode(encode_ecs(msgspec.structs.replace(kind, op=op, client_ips=ips)))
    for path, value in leaves(document):
        if path.startswith("copycatch."):
            continue
        kind_of = ECS[path]
        if kind_of == "date":
            assert dt.datetime.fromisoformat(value).tzinfo is not None
        elif kind_of == "ip":
            assert "%" not in value
            assert str(ipaddress.ip_address(value)) == value
        elif kind_of == "long":
            assert isinstance(value, int)
        elif kind_of == "float":
            assert isinstance(value, int | float)
        elif kind_of == "alert":
            assert value == "alert"
        else:
            assert isinstance(value, str)
            assert kind_of == "text" or len(value) <= 1024, path
        assert value in EXPECTED.get(path, {value}), path
    assert ("user" in document) == (kind.entity.kind == "account"), "a campaign and a model are no users"
