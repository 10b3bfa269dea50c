"""OCSF 1.8 Detection Finding (class 2004); the classes are the schema of what is written."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from copycatch.alert_formats.text import (
    ATLAS_VERSION,
    RISK_SCORES,
    TACTIC_ID,
    TACTIC_NAME,
    addresses_of,
    number_text,
    tactic_url,
    technique_of,
    technique_url,
    times_ms,
    title_of,
)
from copycatch.records.wire import ENCODER, Alert, Reason
from copycatch.safe_text import printable

OCSF_VERSION: Literal["1.8.0"] = "1.8.0"
ACCOUNTS_MAX = 32  # as observables; the native alert has more of them
_ACTIVITIES: dict[str, tuple[int, str]] = {
    "open": (1, "Create"),
    "update": (2, "Update"),
    "close": (3, "Close"),
    "reopen": (99, "Reopen"),  # OCSF has no such activity: 99 is another one, named by activity_name
}
_SEVERITIES: dict[str, tuple[int, str]] = {
    "low": (2, "Low"),
    "medium": (3, "Medium"),
    "high": (4, "High"),
    "critical": (5, "Critical"),
}


class Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Objects of OCSF: whatever is not named here is not written."""


class Product(Strict, frozen=True, kw_only=True):
    name: Literal["copycatch"] = "copycatch"
    vendor_name: Literal["copycatch"] = "copycatch"
    version: str


class Metadata(Strict, frozen=True, kw_only=True):
    version: Literal["1.8.0"] = OCSF_VERSION
    profiles: list[Literal["security_control"]]
    uid: str  # of this event; several events are about one finding
    correlation_uid: str
    log_name: Literal["copycatch.alerts"] = "copycatch.alerts"
    logged_time: int
    tenant_uid: str | UnsetType = UNSET
    product: Product


class AtlasItem(Strict, frozen=True, kw_only=True):
    uid: str
    name: str
    src_url: str


class Attack(Strict, frozen=True, kw_only=True):
    version: str = ATLAS_VERSION
    tactic: AtlasItem
    technique: AtlasItem
    sub_technique: AtlasItem | UnsetType = UNSET


class Analytic(Strict, frozen=True, kw_only=True):
    uid: str
    name: str
    type_id: Literal[1, 4]
    type: Literal["Rule", "Learning (ML/DL)"]
    version: str
    state_id: Literal[1, 3]
    state: Literal["Active", "Experimental"]


class RelatedEvent(Strict, frozen=True, kw_only=True):
    uid: str
    type_uid: Literal[200401] = 200401


class FindingInfo(Strict, frozen=True, kw_only=True):
    uid: str
    title: str
    desc: str
    types: list[Literal["model_extraction"]]
    created_time: int
    first_seen_time: int
    last_seen_time: int
    related_events_count: int
    related_events: list[RelatedEvent] | UnsetType = UNSET  # the campaign's finding that goes on
    analytic: Analytic
    attacks: list[Attack]


class Resource(Strict, frozen=True, kw_only=True):
    uid: str
    name: str
    type: Literal["AI Model"] = "AI Model"
    role_id: Literal[1] = 1  # target


class User(Strict, frozen=True, kw_only=True):
    uid: str
    type_id: Literal[1] = 1


class Endpoint(Strict, frozen=True, kw_only=True):
    ip: str


class Evidence(Strict, frozen=True, kw_only=True):
    uid: str
    name: str
    user: User | UnsetType = UNSET
    src_endpoint: Endpoint | UnsetType = UNSET
    data: dict[str, Any]


class AnalysisTarget(Strict, frozen=True, kw_only=True):
    name: str
    type: Literal["account", "campaign", "model"]


class Observation(Strict, frozen=True, kw_only=True):
    value: str
    count: int | UnsetType = UNSET


class Observed(Strict, frozen=True, kw_only=True):
    observation_parameter: str
    observation_type: str
    observations: list[Observation]


class AnomalyAnalysis(Strict, frozen=True, kw_only=True):
    analysis_targets: list[AnalysisTarget]
    anomalies: list[Observed]
    baselines: list[Observed]


class Observable(Strict, frozen=True, kw_only=True):
    name: str
    type_id: Literal[2, 10, 31]
    type: Literal["IP Address", "Resource UID", "User Unique ID"]
    value: str


class Remediation(Strict, frozen=True, kw_only=True):
    desc: str


class DetectionFinding(Strict, frozen=True, kw_only=True):
    """A Detection Finding as copycatch writes it."""

    activity_id: Literal[1, 2, 3, 99]
    activity_name: Literal["Create", "Update", "Close", "Reopen"]
    category_uid: Literal[2] = 2
    category_name: Literal["Findings"] = "Findings"
    class_uid: Literal[2004] = 2004
    class_name: Literal["Detection Finding"] = "Detection Finding"
    type_uid: Literal[200401, 200402, 200403, 200499]
    type_name: str
    time: int
    start_time: int
    end_time: int
    severity_id: Literal[2, 3, 4, 5]
    severity: Literal["Low", "Medium", "High", "Critical"]
    status_id: Literal[1, 4]
    status: Literal["New", "Resolved"]
    risk_score: int
    risk_level_id: Literal[1, 2, 3, 4]
    risk_level: Literal["Low", "Medium", "High", "Critical"]
    confidence_score: int | UnsetType = UNSET
    is_alert: bool
    action_id: Literal[3] = 3
    action: Literal["Observed"] = "Observed"
    disposition_id: Literal[15] = 15
    disposition: Literal["Detected"] = "Detected"
    message: str
    metadata: Metadata
    finding_info: FindingInfo
    resources: list[Resource]
    evidences: list[Evidence]
    anomaly_analyses: list[AnomalyAnalysis]
    observables: list[Observable]
    remediation: Remediation | UnsetType = UNSET
    unmapped: dict[str, str | int | float | None]


def encode_ocsf(alert: Alert) -> bytes:
    """One Detection Finding; open, update, close and reopen are activities 1, 2, 3 and 99 of its uid."""
    return ENCODER.encode(finding_of(alert))


def finding_of(alert: Alert) -> DetectionFinding:
    """The finding as an object."""
    time_ms, first_ms, last_ms = times_ms(alert)
    activity_id, activity = _ACTIVITIES[alert.op]
    severity_id, severity = _SEVERITIES[alert.severity]
    is_closed = alert.op == "close"
    attack_prob = alert.score.attack_prob
    fields: dict[str, Any] = {
        "activity_id": activity_id,
        "activity_name": activity,
        "type_uid": 200400 + activity_id,
        "type_name": f"Detection Finding: {activity}",
        "time": time_ms,
        "start_time": first_ms,
        "end_time": last_ms,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": 4 if is_closed else 1,
        "status": "Resolved" if is_closed else "New",
        "risk_score": RISK_SCORES[alert.severity],
        "risk_level_id": severity_id - 1,
        "risk_level": severity,
        "is_alert": alert.mode == "enforce" and not is_closed,
        "message": printable(alert.words, 2048),
    }
    if attack_prob is not None:
        fields["confidence_score"] = round(100 * attack_prob)
    if alert.recommendation is not None:
        fields["remediation"] = Remediation(
            desc=printable(f"Recommendation {alert.recommendation} on topic copycatch.recommendations", 1024)
        )
    return DetectionFinding(
        **fields,
        metadata=_metadata_of(alert, time_ms),
        finding_info=_info_of(alert, time_ms, first_ms, last_ms),
        resources=[Resource(uid=alert.model_id, name=printable(alert.model_id, 256))],
        evidences=[_evidence_of(alert)],
        anomaly_analyses=[_analysis_of(alert, reason) for reason in alert.reasons],
        observables=_observables_of(alert),
        unmapped=_unmapped_of(alert),
    )


def _metadata_of(alert: Alert, time_ms: int) -> Metadata:
    return Metadata(
        profiles=["security_control"],
        uid=f"{alert.uid}:{alert.op}:{time_ms}",
        correlation_uid=alert.uid,
        logged_time=time_ms,
        tenant_uid=UNSET if alert.tenant_id is None else alert.tenant_id,
        product=Product(version=alert.detector_version),
    )


def _info_of(alert: Alert, time_ms: int, first_ms: int, last_ms: int) -> FindingInfo:
    is_learned = alert.score.tail_prob is not None
    is_shadow = alert.mode == "shadow"
    return FindingInfo(
        uid=alert.uid,
        title=title_of(alert),
        desc=printable(alert.words, 2048),
        types=["model_extraction"],
        created_time=time_ms,
        first_seen_time=first_ms,
        last_seen_time=last_ms,
        related_events_count=alert.queries,
        related_events=UNSET if alert.part_of is None else [RelatedEvent(uid=alert.part_of)],
        analytic=Analytic(
            uid=alert.rule,
            name=printable(alert.rule, 256),
            type_id=4 if is_learned else 1,
            type="Learning (ML/DL)" if is_learned else "Rule",
            version=f"{alert.detector_version}+policy.{alert.policy_version}",
            state_id=3 if is_shadow else 1,
            state="Experimental" if is_shadow else "Active",
        ),
        attacks=[_attack_of(technique_id) for technique_id in alert.techniques],
    )


def _attack_of(technique_id: str) -> Attack:
    technique = technique_of(technique_id)
    parent = technique_of(technique.parent)
    return Attack(
        tactic=AtlasItem(uid=TACTIC_ID, name=TACTIC_NAME, src_url=tactic_url()),
        technique=AtlasItem(uid=parent.id, name=parent.name, src_url=technique_url(parent.id)),
        sub_technique=UNSET
        if parent.id == technique.id
        else AtlasItem(uid=technique.id, name=technique.name, src_url=technique_url(technique.id)),
    )


def _evidence_of(alert: Alert) -> Evidence:
    addresses = addresses_of(alert)
    return Evidence(
        uid=f"{alert.uid}:window",
        name="evidence window",
        user=User(uid=alert.entity.id) if alert.entity.kind == "account" else UNSET,
        src_endpoint=Endpoint(ip=addresses[0]) if addresses else UNSET,
        data={
            "entity": alert.entity.id,
            "window_s": alert.window_s,
            "queries": alert.queries,
            "sample_event_ids": alert.sample_event_ids,
            "traceparent": alert.traceparent,
            "accounts": alert.entity.accounts,
            "accounts_total": alert.entity.accounts_total,
            "reasons": [msgspec.to_builtins(reason) for reason in alert.reasons],
        },
    )


def _analysis_of(alert: Alert, reason: Reason) -> AnomalyAnalysis:
    baselines = [
        Observation(value=number_text(bound))
        for bound in (reason.normal_low, reason.normal_high)
        if bound is not None
    ]
    return AnomalyAnalysis(
        analysis_targets=[AnalysisTarget(name=printable(alert.entity.id, 256), type=alert.entity.kind)],
        anomalies=[
            Observed(
                observation_parameter=reason.feature,
                observation_type="Feature value",
                observations=[Observation(value=number_text(reason.value), count=alert.queries)],
            )
        ],
        baselines=[
            Observed(
                observation_parameter=reason.feature,
                observation_type="5 % and 95 % quantile of normal accounts",
                observations=baselines,
            )
        ]
        if baselines
        else [],
    )


def _observables_of(alert: Alert) -> list[Observable]:
    found = [Observable(name="resources[0].uid", type_id=10, type="Resource UID", value=alert.model_id)]
    addresses = addresses_of(alert)
    if addresses:
        name = "evidences[0].src_endpoint.ip"
        found.append(Observable(name=name, type_id=2, type="IP Address", value=addresses[0]))
    if alert.entity.kind == "account":
        name = "evidences[0].user.uid"
        found.append(Observable(name=name, type_id=31, type="User Unique ID", value=alert.entity.id))
    else:
        found += [
            Observable(name="evidences[0].data", type_id=31, type="User Unique ID", value=account)
            for account in alert.entity.accounts[:ACCOUNTS_MAX]
        ]
    return found


def _unmapped_of(alert: Alert) -> dict[str, str | int | float | None]:
    drill: dict[str, str | int | float | None] = {"copycatch.drill": True} if alert.drill is True else {}
    return drill | {
        "copycatch.mode": alert.mode,
        "copycatch.tail_prob": alert.score.tail_prob,
        "copycatch.rank": alert.score.rank,
        "copycatch.recommendation": alert.recommendation,
        "copycatch.policy_version": alert.policy_version,
        "copycatch.looks_like": "; ".join(alert.looks_like),
    }
