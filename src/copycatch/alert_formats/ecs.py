"""Elastic Common Schema; the classes are the schema of what is written."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from copycatch.alert_formats.text import (
    RISK_SCORES,
    TACTIC_ID,
    TACTIC_NAME,
    addresses_of,
    normal_text,
    number_text,
    tactic_url,
    technique_of,
    technique_url,
)
from copycatch.records.wire import ENCODER, Alert, Op
from copycatch.safe_text import printable

ECS_VERSION: Literal["9.4.0"] = "9.4.0"
_ACTIONS: dict[str, str] = {
    "open": "model-extraction-suspected",
    "update": "model-extraction-continues",
    "close": "model-extraction-ended",
    "reopen": "model-extraction-resumed",
}


class Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Objects of ECS: whatever is not named here is not written."""


class EcsVersion(Strict, frozen=True, kw_only=True):
    version: Literal["9.4.0"] = ECS_VERSION


class Event(Strict, frozen=True, kw_only=True):
    kind: Literal["alert"] = "alert"
    category: list[Literal["threat", "api"]]
    type: list[Literal["info", "indicator"]]
    action: Literal[
        "model-extraction-suspected",
        "model-extraction-continues",
        "model-extraction-ended",
        "model-extraction-resumed",
    ]
    id: str
    module: Literal["copycatch"] = "copycatch"
    dataset: Literal["copycatch.alert"] = "copycatch.alert"
    provider: Literal["copycatch"] = "copycatch"
    severity: int
    risk_score: float
    reason: str
    start: str
    end: str
    created: str


class Rule(Strict, frozen=True, kw_only=True):
    id: str
    name: str
    version: str
    category: Literal["model_extraction"] = "model_extraction"
    reference: str | UnsetType = UNSET


class Atlas(Strict, frozen=True, kw_only=True):
    id: list[str]
    name: list[str]
    reference: list[str]


class TechniqueItem(Strict, frozen=True, kw_only=True):
    id: list[str]
    name: list[str]
    reference: list[str]
    subtechnique: Atlas | UnsetType = UNSET


class Threat(Strict, frozen=True, kw_only=True):
    framework: Literal["MITRE ATLAS"] = "MITRE ATLAS"
    tactic: Atlas
    technique: TechniqueItem


class Risk(Strict, frozen=True, kw_only=True):
    calculated_score: float
    calculated_score_norm: float
    calculated_level: Literal["Low", "Moderate", "High", "Critical"]


class User(Strict, frozen=True, kw_only=True):
    id: str
    risk: Risk


class Source(Strict, frozen=True, kw_only=True):
    ip: str


class Related(Strict, frozen=True, kw_only=True):
    ip: list[str]
    user: list[str]


class Request(Strict, frozen=True, kw_only=True):
    model: str


class GenAi(Strict, frozen=True, kw_only=True):
    request: Request


class Organization(Strict, frozen=True, kw_only=True):
    id: str


class Own(Strict, frozen=True, kw_only=True):
    """What ECS has no field for, under the product's own name as ECS asks."""

    uid: str
    op: Op
    mode: Literal["enforce", "shadow"]
    entity_kind: Literal["account", "campaign", "model"]
    entity_id: str
    accounts_total: int
    tail_prob: float | None
    rank: str
    attack_prob: float | None
    queries: int
    window_s: float
    policy_version: str
    recommendation: str | None
    sample_event_ids: list[str]
    looks_like: list[str]
    reasons: list[dict[str, Any]]
    part_of: str | None
    traceparent: str | None
    drill: bool | UnsetType = UNSET


class EcsAlert(Strict, frozen=True, kw_only=True):
    """An alert document as copycatch writes it."""

    timestamp: str = field(name="@timestamp")
    ecs: EcsVersion
    tags: list[str] | UnsetType = UNSET  # "drill" on what is about nobody
    event: Event
    rule: Rule
    threat: Threat | UnsetType = UNSET
    user: User | UnsetType = UNSET  # of one account; a campaign and a model are no users
    source: Source | UnsetType = UNSET
    related: Related
    gen_ai: GenAi
    organization: Organization | UnsetType = UNSET
    message: str
    copycatch: Own


_LEVELS: dict[str, Literal["Low", "Moderate", "High", "Critical"]] = {
    "low": "Low",
    "medium": "Moderate",
    "high": "High",
    "critical": "Critical",
}


def encode_ecs(alert: Alert) -> bytes:
    """One ECS document."""
    return ENCODER.encode(ecs_of(alert))


def ecs_of(alert: Alert) -> EcsAlert:
    """The document as an object."""
    risk = float(RISK_SCORES[alert.severity])
    addresses = addresses_of(alert)
    return EcsAlert(
        timestamp=alert.time,
        ecs=EcsVersion(),
        tags=["drill"] if alert.drill is True else UNSET,
        event=_event_of(alert, risk),
        rule=Rule(
            id=alert.rule,
            name=printable(alert.rule, 256),
            version=f"{alert.detector_version}+policy.{alert.policy_version}",
            reference=technique_url(alert.techniques[0]) if alert.techniques else UNSET,
        ),
        threat=_threat_of(alert.techniques) if alert.techniques else UNSET,
        user=_user_of(alert, risk) if alert.entity.kind == "account" else UNSET,
        source=Source(ip=addresses[0]) if addresses else UNSET,
        related=Related(ip=addresses, user=alert.entity.accounts),
        gen_ai=GenAi(request=Request(model=alert.model_id)),
        organization=UNSET if alert.tenant_id is None else Organization(id=alert.tenant_id),
        message=printable(alert.words, 8191),  # analysers of the full-text field index no more
        copycatch=_own_of(alert),
    )


def _user_of(alert: Alert, risk: float) -> User:
    level = _LEVELS[alert.severity]
    return User(
        id=alert.entity.id,
        risk=Risk(calculated_score=risk, calculated_score_norm=risk, calculated_level=level),
    )


def _event_of(alert: Alert, risk: float) -> Event:
    reasons = "; ".join(
        f"{reason.feature} {number_text(reason.value)} (normal {normal_text(reason)})"
        for reason in alert.reasons
    )
    return Event(
        category=["threat", "api"],
        type=["info", "indicator"],
        action=_ACTIONS[alert.op],  # type: ignore[arg-type]  # the table holds the literal words
        id=alert.uid,
        severity=int(risk),
        risk_score=risk,
        reason=printable(reasons, 1024),  # keywords longer than 1,024 are not indexed
        start=alert.first_seen,
        end=alert.last_seen,
        created=alert.time,
    )


def _threat_of(technique_ids: list[str]) -> Threat:
    found = [technique_of(technique_id) for technique_id in technique_ids]
    parents = [technique_of(parent) for parent in dict.fromkeys(technique.parent for technique in found)]
    children = [technique for technique in found if technique.id != technique.parent]
    subtechnique: Atlas | UnsetType = UNSET
    if children:
        subtechnique = Atlas(
            id=[child.id for child in children],
            name=[child.name for child in children],
            reference=[technique_url(child.id) for child in children],
        )
    return Threat(
        tactic=Atlas(id=[TACTIC_ID], name=[TACTIC_NAME], reference=[tactic_url()]),
        technique=TechniqueItem(
            id=[parent.id for parent in parents],
            name=[parent.name for parent in parents],
            reference=[technique_url(parent.id) for parent in parents],
            subtechnique=subtechnique,
        ),
    )


def _own_of(alert: Alert) -> Own:
    return Own(
        uid=alert.uid,
        op=alert.op,
        mode=alert.mode,
        entity_kind=alert.entity.kind,
        entity_id=alert.entity.id,
        accounts_total=alert.entity.accounts_total,
        tail_prob=alert.score.tail_prob,
        rank=alert.score.rank,
        attack_prob=alert.score.attack_prob,
        queries=alert.queries,
        window_s=alert.window_s,
        policy_version=alert.policy_version,
        recommendation=alert.recommendation,
        sample_event_ids=alert.sample_event_ids,
        looks_like=alert.looks_like,
        reasons=[msgspec.to_builtins(reason) for reason in alert.reasons],
        part_of=alert.part_of,
        traceparent=alert.traceparent,
        drill=alert.drill,
    )
