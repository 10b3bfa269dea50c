"""Revisions of recommendations that a person makes: taken back, or put in force by hand."""

from dataclasses import dataclass

import msgspec

from copycatch.decisions.recommend import FALLBACKS, MITIGATIONS, decision_key_of, params_for
from copycatch.records.policy import Enforcement
from copycatch.records.wire import ACTION_RANKS, Action, Recommendation, Score
from copycatch.units import MS_PER_S, UnixMs, format_rfc3339

POLICY_VERSION = "by hand"


@dataclass(frozen=True, slots=True)
class Person:
    """Who decides, and why."""

    name: str
    why: str


def revoked(row: Recommendation, person: Person, now_ms: UnixMs) -> Recommendation:
    """The revision that takes a row back.

    It stands above every earlier one. The detector goes on by itself: an account that still deviates gets a
    new recommendation when it is due; a benign verdict keeps it away.
    """
    return msgspec.structs.replace(
        row,
        op="revoke",
        revision=row.revision + 1,
        epoch=max(row.epoch, now_ms),
        issued_at=format_rfc3339(now_ms),
        expires_at=format_rfc3339(now_ms),
        ttl_s=None,
        decided_by=person.name,
        decided_why=person.why,
    )


def added(
    key: tuple[str | None, str, str],
    action: Action,
    ttl_s: float,
    person: Person,
    now_ms: UnixMs,
    known: Recommendation | None = None,
) -> Recommendation:
    """The revision that puts an action in force for a while, as a person decides.

    Parameters
    ----------
    key : tuple
        Tenant, account, model.
    known : Recommendation, optional
        The newest row of the same decision key.

    Examples
    --------
    >>> row = added((None, "a", "m"), "block", 3600.0, Person("kim", "a leaked key"), UnixMs(0))
    >>> row.decision_key, row.action, row.expires_at, row.decided_by
    ('|account|a|m', 'block', '1970-01-01T01:00:00.000Z', 'kim')
    """
    tenant_id, account_id, model_id = key
    return Recommendation(
        decision_key=decision_key_of(key),
        revision=1 if known is None else known.revision + 1,
        op="upsert",
        mode="enforce",
        action=action,
        action_rank=ACTION_RANKS[action],
        action_params=params_for(action, Enforcement(), {}),
        fallback_action=FALLBACKS[action],
        requires_human=False,
        scope="account",
        value=account_id,
        tenant_id=tenant_id,
        model_id=model_id,
        issued_at=format_rfc3339(now_ms),
        expires_at=format_rfc3339(now_ms + round(ttl_s * MS_PER_S)),
        ttl_s=ttl_s,
        severity="high",
        score=Score(tail_prob=None, rank="set by a person"),
        alert_uids=[],
        reasons=[],
        techniques=[],
        policy_version=POLICY_VERSION,
        mitigations=list(MITIGATIONS[action]),
        epoch=now_ms if known is None else max(known.epoch, now_ms),
        decided_by=person.name,
        decided_why=person.why,
    )
