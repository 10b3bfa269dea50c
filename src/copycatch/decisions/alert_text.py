"""The paragraph at the end of every alert."""

from collections.abc import Sequence

from copycatch.decisions.case import ActiveRecommendation
from copycatch.decisions.explain import readable_duration, readable_number
from copycatch.decisions.plan import EntityKey
from copycatch.records.wire import Action, Reason, Score
from copycatch.safe_text import printable
from copycatch.units import format_rfc3339

REASONS_IN_TEXT_MAX = 3

ACTION_TEXTS: dict[Action, str] = {
    "observe": "log its queries in full and watch it",
    "throttle": "slow it down to a normal rate",
    "reduce_output": "give it labels without fine probabilities",
    "perturb": "blur its probabilities without changing labels",
    "challenge": "ask for a proof of who it is",
    "block": "refuse its queries",
    "revoke_key": "have a person revoke its key",
}


def who_text(key: EntityKey) -> str:
    """Who is meant, safe to print.

    Examples
    --------
    >>> who_text((None, "acct-1", "fraud")), who_text(("acme", "acct-1", "fraud"))
    ('Account acct-1 on model fraud', 'Account acct-1 of tenant acme on model fraud')
    """
    tenant_id, account_id, model_id = key
    tenant = f" of tenant {printable(tenant_id)}" if tenant_id else ""
    models = "over the models that it asks" if model_id == "*" else f"on model {printable(model_id)}"
    return f"Account {printable(account_id)}{tenant} {models}"


def finding_text(
    key: EntityKey,
    score: Score,
    queries: int,
    window_s: float,
    reasons: Sequence[Reason],
    looks_like: Sequence[str],
    action: Action,
) -> str:
    """One paragraph: who, what was seen, why it matters, what speaks against it, what to do."""
    unit = "query" if queries == 1 else "queries"
    seen = f"{readable_number(queries)} {unit} in {readable_duration(window_s)}"
    if score.tail_prob is None:
        lead = f"{who_text(key)} is past a limit that the policy sets ({seen})."
    else:
        lead = f"{who_text(key)} may be extracting the model: after {seen} it is {score.rank}."
    parts = [lead]
    if reasons:
        parts.append("Seen: " + "; ".join(r.words for r in reasons[:REASONS_IN_TEXT_MAX]) + ".")
    if looks_like:
        names = ", ".join(printable(name) for name in looks_like)
        # Of 45 true attackers on the development traces 35 resemble one, and 4 of 5 false alarms.
        parts.append(f"Ask the owner first: it also resembles {names}, as most attacks do.")
    parts.append(f"Recommended: {ACTION_TEXTS[action]} ({action}).")
    return " ".join(parts)


def closing_text(key: EntityKey, rule: str, why: str) -> str:
    return f"{who_text(key)}: finding of rule {printable(rule)} closed, {why}."


def ran_out_text(last_seen_ms: int, active: ActiveRecommendation | None) -> str:
    """Why a finding ends that nothing has renewed.

    Examples
    --------
    >>> ran_out_text(0, None)
    'no further sign of it since 1970-01-01T00:00Z; it has run out'
    """
    what = "it" if active is None else active.action
    return f"no further sign of it since {format_rfc3339(last_seen_ms)[:16]}Z; {what} has run out"


def after_close_text(queries: int) -> str:
    """What to do once a finding is closed: the answers are out.

    Examples
    --------
    >>> after_close_text(1486)
    'It has stopped, or was cut off. What it got it has: answers to up to 1,486 queries. Keep the log, and ask who owns the key.'
    """  # noqa: E501
    unit = "query" if queries == 1 else "queries"
    return (
        f"It has stopped, or was cut off. What it got it has: answers to up to "
        f"{readable_number(queries)} {unit}. "
        "Keep the log, and ask who owns the key."
    )


def model_text(model_id: str, why: str, *, is_open: bool) -> str:
    """What an alert about a model says."""
    if not is_open:
        return f"Model {printable(model_id)} is judged again; before, {why}."
    return (
        f"Accounts of model {printable(model_id)} are not judged as they should be: {why}. "
        "Limits still hold. Compare what the gateway logs with what the model takes."
    )


def flood_text(model_id: str, accounts_total: int, minute_start: str, alerts_max: int) -> str:
    """What a summary alert says."""
    return (
        f"{accounts_total} more accounts on model {printable(model_id)} were over the alert threshold in the "
        f"minute from {minute_start}, but no more than {alerts_max} alerts a minute go out "
        "(budget.alerts_per_minute_max). They are not lost: each is alerted by itself when it is judged "
        "again, still anomalous. So many at once are a campaign over many accounts, a release that changed "
        "everybody's queries, or a reference that no longer fits; look at the accounts listed and at the "
        "budget metric."
    )
