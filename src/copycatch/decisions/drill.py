"""What a drill announces: a real alert and a real recommendation, about its own account only.

Everything follows from the marked record and the policy, so that whoever began the drill knows the keys of
what must come, and a worker that took over in the middle can end it.
"""

import msgspec

from copycatch import __version__
from copycatch.decisions.alert_text import ACTION_TEXTS
from copycatch.decisions.case import ActiveRecommendation, Case, Episode
from copycatch.decisions.episodes import uid_of
from copycatch.decisions.plan import EntityKey, make_plan
from copycatch.decisions.recommend import (
    EXTRACTION_TECHNIQUES,
    allowed,
    decision_key_of,
    params_for,
    revoke_of,
    upsert_of,
)
from copycatch.records.drill import QUERIES, DrillQuery
from copycatch.records.policy import Policy
from copycatch.records.wire import Action, Alert, Entity, Op, Recommendation, Score
from copycatch.units import UnixMs, format_rfc3339

RULE = "drill"
TTL_MS = 600_000
SCORE = Score(tail_prob=None, rank="a drill, which is not scored")


def drill_uid(key: EntityKey) -> str:
    """Uid of a drill's alert.

    Examples
    --------
    >>> drill_uid((None, "copycatch-drill-1", "m")) == drill_uid((None, "copycatch-drill-1", "m"))
    True
    """
    return uid_of(RULE, Case(*key), 0)


def opened(query: DrillQuery, n_seen: int, first_ms: UnixMs, policy: Policy) -> tuple[Alert, Recommendation]:
    """The last marked query has come, with `n_seen` in all since `first_ms`."""
    words = (
        f"DRILL, not an attack: {n_seen} of {QUERIES} marked queries of a drill arrived. It is about no real "
        f"account. Recommended, for the drill's account only: {ACTION_TEXTS[_action(query, policy)]}."
    )
    return _alert(query, "open", n_seen, first_ms, policy, words), _recommendation(query, first_ms, policy)


def ended(query: DrillQuery, first_ms: UnixMs, policy: Policy) -> tuple[Alert, Recommendation]:
    """The drill's last record has come: what it announced is taken back."""
    words = "DRILL, not an attack: it is over, and what it recommended is taken back."
    alert = _alert(query, "close", QUERIES, first_ms, policy, words)
    return alert, _recommendation(query, first_ms, policy, is_over=True)


def _key(query: DrillQuery) -> EntityKey:
    return (query.tenant_id, query.account_id, query.model_id)


def _action(query: DrillQuery, policy: Policy) -> Action:
    """What the policy does at the gravest severity; what waits for a person would end the drill there."""
    action = make_plan(policy, []).settings_for(_key(query)).actions.get("critical", "block")
    return "block" if action == "revoke_key" else allowed(action, policy.enforcement)


def _alert(query: DrillQuery, op: Op, n_seen: int, first_ms: UnixMs, policy: Policy, words: str) -> Alert:
    key = _key(query)
    return Alert(
        uid=drill_uid(key),
        op=op,
        time=format_rfc3339(query.time_ms),
        first_seen=format_rfc3339(first_ms),
        last_seen=format_rfc3339(query.time_ms),
        severity="critical",
        mode=make_plan(policy, []).settings_for(key).mode,
        tenant_id=query.tenant_id,
        model_id=query.model_id,
        entity=Entity(kind="account", id=query.account_id, accounts=[query.account_id], accounts_total=1),
        score=SCORE,
        rule=RULE,
        policy_version=policy.content_version,
        detector_version=__version__,
        window_s=(query.time_ms - first_ms) / 1000,
        queries=n_seen,
        reasons=[],
        sample_event_ids=[query.event_id],
        techniques=list(EXTRACTION_TECHNIQUES),
        recommendation=decision_key_of(key),
        words=words,
        drill=True,
    )


def _recommendation(
    query: DrillQuery, first_ms: UnixMs, policy: Policy, *, is_over: bool = False
) -> Recommendation:
    key, action = _key(query), _action(query, policy)
    case = Case(*key, revision=2 if is_over else 1, epoch=query.time_ms)
    episode = Episode(
        rule=RULE, uid=drill_uid(key), start_ms=first_ms, severity="critical", action=action,
        clear_after_ms=0, last_over_ms=query.time_ms, first_seen_ms=first_ms, last_seen_ms=query.time_ms,
        queries=QUERIES, score=SCORE, reasons=[], sample_event_ids=[query.event_id], client_ips=[],
        looks_like=[],
    )  # fmt: skip
    mode = make_plan(policy, []).settings_for(key).mode
    params = params_for(action, policy.enforcement, {})
    active = ActiveRecommendation(action, params, mode, query.time_ms, TTL_MS, RULE)
    if is_over:
        row = revoke_of(case, [episode], active, policy.content_version, query.time_ms)
    else:
        row = upsert_of(case, [episode], active, policy.content_version)
    return msgspec.structs.replace(row, techniques=list(EXTRACTION_TECHNIQUES), drill=True)
